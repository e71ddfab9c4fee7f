"""What Service Catalog holds of products that were launched. Reads no request and makes no stack."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..ground import Actor
from ..wire import AwsError
from .servicecatalog_store import invalid, new_id, now

ENDED = {"SUCCEEDED", "FAILED"}


@dataclass
class Record:
    """A request about a provisioned product: what became of it, and why."""

    type: str
    version: str
    id: str = field(default_factory=lambda: new_id("rec"))
    status: str = "CREATED"
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    errors: list[dict[str, str]] = field(default_factory=list)
    outputs: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Provisioned:
    """A provisioned product, which is a stack; ``actor`` is who makes it: the launch role, or whoever launched it."""

    name: str
    id: str
    arn: str
    product: str
    version: str
    portfolio: str
    path: str
    user: str
    session: str
    token: str
    launch_role: str | None
    actor: Actor
    stack: str
    region: str
    tags: Mapping[str, str]
    notified: Sequence[str]
    parameters: dict[str, str] = field(default_factory=dict)
    stack_id: str = ""
    status: str = "UNDER_CHANGE"
    message: str = ""
    created: datetime = field(default_factory=now)
    records: list[Record] = field(default_factory=list)

    @property
    def last_success(self) -> Record | None:
        """The latest launch or update that succeeded."""
        done = [r for r in self.records if r.status == "SUCCEEDED" and r.type != "TERMINATE_PROVISIONED_PRODUCT"]
        return done[-1] if done else None


class Shelf:
    """The provisioned products of one account in one region, also those that are gone: their records stay."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.there: dict[str, Provisioned] = {}
        self.records: dict[str, tuple[Provisioned, Record]] = {}

    def find(self, given: Mapping[str, Any]) -> Provisioned:
        """The one of the id or the name that a request gives.

        Raises:
            AwsError: none, or both are given, or there is none.
        """
        identifier = given.get("ProvisionedProductId") or given.get("Id")
        name = given.get("ProvisionedProductName") or given.get("Name")
        if (identifier is None) == (name is None):
            raise invalid("Name the provisioned product by its id or by its name, one of the two.")
        for one in self.there.values():
            if identifier == one.id or name == one.name:
                return one
        raise AwsError("ResourceNotFoundException", f"Provisioned product {identifier or name} not found.")

    def begin(self, provisioned: Provisioned, record: Record) -> None:
        """Notes a request that changes a provisioned product.

        Raises:
            AwsError: another change is under way.
        """
        if provisioned.records and provisioned.records[-1].status not in ENDED:
            raise AwsError(
                "ResourceInUseException",
                f"Provisioned product {provisioned.id} is being changed by record {provisioned.records[-1].id}.",
            )
        provisioned.records.append(record)
        provisioned.status, provisioned.message = "UNDER_CHANGE", ""
        self.there[provisioned.id] = provisioned
        self.records[record.id] = (provisioned, record)
