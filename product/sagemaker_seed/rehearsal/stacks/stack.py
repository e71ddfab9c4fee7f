"""The state of stacks: what one consists of and what happened to it; and all of an account. Changes no resource."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...templates.desired import Output, Place, Wanted
from ...templates.document import Document
from .provider import Made

BUSY = "_IN_PROGRESS"
# States of a stack that can be updated; ROLLBACK_COMPLETE is not one of them.
UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_FAILED",
    "IMPORT_COMPLETE",
}


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Resource:
    """A resource of a stack.

    Attributes:
        properties: as they were given to the provider.
        made: None while it is not there.
        before: logical ids of those that it depends on.
    """

    wanted: Wanted
    properties: Mapping[str, Any]
    before: frozenset[str]
    made: Made | None = None
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    updated: datetime = field(default_factory=now)

    @property
    def physical_id(self) -> str | None:
        """What the stack lists it by."""
        return self.made.physical_id if self.made else None


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history."""

    id: str
    time: datetime
    logical_id: str
    physical_id: str | None
    type: str
    status: str
    reason: str | None
    properties: str | None
    token: str | None


@dataclass
class ChangeSet:
    """A change that can be looked at before it is made. ``revision``: the stack's, when this was made."""

    id: str
    name: str
    description: str | None
    created: datetime
    document: Document
    texts: dict[str, str]
    tags: dict[str, str]
    capabilities: list[str]
    role: str | None
    on_failure: str | None
    changes: list[dict[str, Any]]
    revision: int
    is_creation: bool
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    execution: str = "AVAILABLE"


@dataclass
class Stack:
    """A stack, alive or deleted. Whoever reads several fields or changes one holds the lock."""

    place: Place
    document: Document
    texts: dict[str, str]
    tags: dict[str, str]
    capabilities: list[str]
    role: str | None
    protected: bool = False
    on_failure: str = "ROLLBACK"
    timeout_minutes: int | None = None
    retain_except_on_create: bool = False
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    change_set_id: str | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    events: list[StackEvent] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    revision: int = 0
    token: str | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    unfinished: Any = None  # the deployment whose rollback failed

    @property
    def id(self) -> str:
        """The stack's ARN."""
        return self.place.stack_id

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.place.stack_name

    @property
    def is_busy(self) -> bool:
        """Whether an operation runs; a stack that waits for its first change set is not busy."""
        return self.status.endswith(BUSY) and self.status != "REVIEW_IN_PROGRESS"

    def say(
        self, logical_id: str, kind: str, physical_id: str | None, status: str, reason: str | None, **more: Any
    ) -> None:
        """Adds an event."""
        time = now()
        identifier = str(uuid.uuid4()) if logical_id == self.name else f"{logical_id}-{status}-{uuid.uuid4()}"
        with self.lock:
            self.events.append(
                StackEvent(
                    identifier, time, logical_id, physical_id, kind, status, reason, more.get("properties"), self.token
                )
            )

    def become(self, status: str, reason: str | None = None) -> None:
        """Goes into another state, and says so."""
        with self.lock:
            self.say(self.name, "AWS::CloudFormation::Stack", self.id, status, reason)
            self.status, self.reason = status, reason


class Stacks:
    """The stacks of one account and region, deleted ones too."""

    def __init__(self) -> None:
        # `naming` is held while a name is found free and taken, and never asked for by who holds a stack's lock.
        self.naming = threading.RLock()
        self.lock = threading.RLock()
        self._by_id: dict[str, Stack] = {}

    def add(self, stack: Stack) -> None:
        """Adds a new one."""
        with self.lock:
            self._by_id[stack.id] = stack

    def remove(self, stack: Stack) -> None:
        """Forgets one that never was more than a name for a change set."""
        with self.lock:
            del self._by_id[stack.id]

    def find(self, name_or_id: str) -> Stack | None:
        """By name the one that is not deleted, by ARN any."""
        with self.lock:
            if name_or_id in self._by_id:
                return self._by_id[name_or_id]
            return next((s for s in self.alive() if s.name == name_or_id), None)

    def all(self) -> list[Stack]:
        """Every stack there has been, newest first."""
        with self.lock:
            return list(reversed(self._by_id.values()))

    def alive(self) -> list[Stack]:
        """Those that are not deleted, newest first."""
        return [stack for stack in self.all() if stack.status != "DELETE_COMPLETE"]

    def exports(self) -> Iterator[tuple[Stack, Output]]:
        """Every exported value."""
        for stack in self.alive():
            for output in list(stack.outputs):
                if output.export is not None:
                    yield stack, output

    def importers(self, export: str) -> list[str]:
        """Names of the stacks that import a value."""
        return [stack.name for stack in self.alive() if export in stack.imports]
