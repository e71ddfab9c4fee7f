"""Stack sets: one template, a stack in each of many accounts and regions, made through CloudFormation's own API.

In a set that is managed by its own roles, the administration role assumes the execution role of the target account. In
one that Organizations manages, AWS acts in the member accounts by roles of its own making, which may do everything; the
accounts' roots stand for them here.
"""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from botocore.exceptions import ClientError

from ...templates.document import Document
from ..ground import Actor, Ground
from ..wire import AwsError
from .stack import now

POLL_SECONDS = 0.05
SERVICE_MANAGED, SELF_MANAGED = "SERVICE_MANAGED", "SELF_MANAGED"
# What StackSets does with a stack that it finds in a state that no update leads out of: it makes it anew.
DEAD = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"}
GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
Target = tuple[str, str]  # account, region


class Undone(Exception):
    """An instance could not be brought to what is wanted; the message is the reason."""


@dataclass
class Instance:
    """One account and region of a set; ``stack_id`` is empty until there is a stack."""

    account: str
    region: str
    unit: str | None
    overrides: dict[str, str] = field(default_factory=dict)
    stack_id: str = ""
    status: str = "OUTDATED"
    detail: str = "PENDING"
    reason: str | None = None
    operation: str = ""


@dataclass
class Result:
    """What an operation did at one target."""

    account: str
    region: str
    unit: str | None
    status: str = "PENDING"
    reason: str | None = None


@dataclass
class Preferences:
    """How an operation goes on; as the API gives it, with its defaults."""

    given: Mapping[str, Any]

    def at_once(self, count: int) -> int:
        """How many accounts of a region are worked on at the same time."""
        percentage = count * self.given.get("MaxConcurrentPercentage", 0) // 100
        return int(max(1, self.given.get("MaxConcurrentCount", 0), percentage))

    def tolerated(self, count: int) -> int:
        """How many accounts of a region may fail before the operation stops."""
        percentage = count * self.given.get("FailureTolerancePercentage", 0) // 100
        return int(max(self.given.get("FailureToleranceCount", 0), percentage))


@dataclass
class StackSetOperation:
    """Something done to the instances of a set."""

    id: str
    action: str
    preferences: Preferences
    retain: bool
    targets: dict[str, Any]
    results: dict[Target, Result]
    status: str = "RUNNING"
    created: datetime = field(default_factory=now)
    ended: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass
class StackSet:
    """A set. Whoever reads several fields or changes one holds the lock."""

    name: str
    account: str
    region: str
    partition: str
    document: Document
    texts: dict[str, str]
    tags: dict[str, str]
    capabilities: list[str]
    model: str
    description: str | None
    administration_role: str | None
    execution_role: str
    auto_deployment: dict[str, Any] | None
    status: str = "ACTIVE"
    units: list[str] = field(default_factory=list)
    instances: dict[Target, Instance] = field(default_factory=dict)
    operations: dict[str, StackSetOperation] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def id(self) -> str:
        """The set's id."""
        return f"{self.name}:{self.uuid}"

    @property
    def arn(self) -> str:
        """The set's ARN."""
        return f"arn:{self.partition}:cloudformation:{self.region}:{self.account}:stackset/{self.id}"

    @property
    def running(self) -> StackSetOperation | None:
        """The operation that goes on."""
        return next((o for o in self.operations.values() if o.status in {"RUNNING", "STOPPING"}), None)


class Runner:
    """Runs operations on a set, in threads of their own."""

    def __init__(self, ground: Ground, stack_set: StackSet) -> None:
        self._ground, self._set = ground, stack_set

    def start(self, operation: StackSetOperation, regions: Sequence[str]) -> None:
        """Works through the operation's targets, region by region in this order."""
        act = self._delete if operation.action == "DELETE" else self._deploy

        def run() -> None:
            try:
                status = self._work(operation, regions, act)
            except Exception:  # nobody waits for the thread: the operation itself must say that it broke
                traceback.print_exc()
                status = "FAILED"
            with self._set.lock:
                operation.status, operation.ended = status, now()

        threading.Thread(target=run, daemon=True, name=f"stack set {self._set.name}").start()

    def _work(
        self, operation: StackSetOperation, regions: Sequence[str], act: Callable[[Result, StackSetOperation], None]
    ) -> str:
        order = {region: number for number, region in enumerate(regions)}
        results = sorted(operation.results.values(), key=lambda r: order.get(r.region, len(order)))
        failed = False
        for _, group in groupby(results, key=lambda r: r.region):
            targets = list(group)
            tolerated = operation.preferences.tolerated(len(targets))
            failures: list[Result] = []

            def one(
                result: Result, failures: list[Result] = failures, tolerated: int = tolerated, given_up: bool = failed
            ) -> None:
                if given_up or len(failures) > tolerated or operation.stop.is_set():
                    result.status, result.reason = "CANCELLED", "Cancelled since failure tolerance has exceeded"
                    if operation.stop.is_set():
                        result.reason = "Cancelled since the operation was stopped"
                    return
                try:
                    act(result, operation)
                    result.status = "SUCCEEDED"
                except Undone as error:
                    result.status, result.reason = "FAILED", str(error)
                    failures.append(result)

            with ThreadPoolExecutor(operation.preferences.at_once(len(targets))) as pool:
                list(pool.map(one, targets))
            failed = failed or len(failures) > tolerated
        return "STOPPED" if operation.stop.is_set() else "FAILED" if failed else "SUCCEEDED"

    # --- one target

    def _actor(self, account: str) -> Actor:
        """Who acts in a target account.

        Raises:
            Undone: a role is not there, or is not to be assumed.
        """
        if self._set.model == SERVICE_MANAGED:
            return self._ground.root(account, self._set.partition)
        start = f"arn:{self._set.partition}:iam::"
        administration = self._set.administration_role or (
            f"{start}{self._set.account}:role/AWSCloudFormationStackSetAdministrationRole"
        )
        execution, session = f"{start}{account}:role/{self._set.execution_role}", self._set.uuid
        try:
            administrator = self._ground.role(administration, "cloudformation.amazonaws.com", session)
            return self._ground.role_of(administrator, execution, self._set.region, session)
        except AwsError as error:
            raise Undone(f"Account {self._set.account} should have '{administration}': {error.message}") from None
        except ClientError as error:
            said = error.response["Error"]["Message"]
            raise Undone(
                f"Account {account} should have '{self._set.execution_role}' role with trust relationship to Role "
                f"'{administration.rpartition('/')[2]}': {said}"
            ) from None

    def _deploy(self, result: Result, operation: StackSetOperation) -> None:
        instance = self._set.instances[result.account, result.region]
        instance.detail, instance.operation, instance.status = "RUNNING", operation.id, "OUTDATED"
        try:
            client = self._ground.client("cloudformation", self._actor(result.account), result.region)
            self._bring_up_to_date(client, instance)
        except (Undone, ClientError) as error:
            reason = str(error) if isinstance(error, Undone) else error.response["Error"]["Message"]
            instance.detail, instance.reason = "FAILED", reason
            raise Undone(reason) from None
        instance.status, instance.detail, instance.reason = "CURRENT", "SUCCEEDED", None

    def _bring_up_to_date(self, client: Any, instance: Instance) -> None:
        texts = self._set.texts | instance.overrides
        wanted: dict[str, Any] = {
            "TemplateBody": self._set.document.text,
            "Parameters": [{"ParameterKey": key, "ParameterValue": text} for key, text in texts.items()],
            "Capabilities": self._set.capabilities,
            "Tags": [{"Key": key, "Value": value} for key, value in self._set.tags.items()],
        }
        found = _described(client, instance.stack_id)
        if found is not None and found["StackStatus"] in DEAD:
            client.delete_stack(StackName=instance.stack_id)
            _settled(client, instance.stack_id)
            found = None
        if found is None:
            name = f"StackSet-{self._set.name}-{uuid.uuid4()}"
            instance.stack_id = client.create_stack(StackName=name, **wanted)["StackId"]
        else:
            try:
                client.update_stack(StackName=instance.stack_id, **wanted)
            except ClientError as error:
                if "No updates are to be performed" not in error.response["Error"]["Message"]:
                    raise
        if (found := _settled(client, instance.stack_id)) and found["StackStatus"] not in GOOD:
            raise Undone(_why(client, instance.stack_id, found["StackStatus"]))

    def _delete(self, result: Result, operation: StackSetOperation) -> None:
        instance = self._set.instances[result.account, result.region]
        instance.operation, instance.detail = operation.id, "RUNNING"
        if instance.stack_id and not operation.retain:
            try:
                client = self._ground.client("cloudformation", self._actor(result.account), result.region)
                client.delete_stack(StackName=instance.stack_id)
                found = _settled(client, instance.stack_id)
                if found["StackStatus"] != "DELETE_COMPLETE":
                    raise Undone(_why(client, instance.stack_id, found["StackStatus"]))
            except (Undone, ClientError) as error:
                reason = str(error) if isinstance(error, Undone) else error.response["Error"]["Message"]
                instance.status, instance.detail, instance.reason = "INOPERABLE", "INOPERABLE", reason
                raise Undone(reason) from None
        with self._set.lock:
            del self._set.instances[result.account, result.region]


def _described(client: Any, stack_id: str) -> dict[str, Any] | None:
    """The stack, if there is one that is not deleted."""
    if not stack_id:
        return None
    found: dict[str, Any] = client.describe_stacks(StackName=stack_id)["Stacks"][0]
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def _settled(client: Any, stack_id: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = client.describe_stacks(StackName=stack_id)["Stacks"][0]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            return found
        time.sleep(POLL_SECONDS)


def _why(client: Any, stack_id: str, status: str) -> str:
    """The reason of the first resource that failed, as StackSets words it."""
    events = client.describe_stack_events(StackName=stack_id)["StackEvents"]
    for event in reversed(events):
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
            return (
                f"ResourceLogicalId:{event['LogicalResourceId']}, ResourceType:{event['ResourceType']}, "
                f"ResourceStatusReason:{reason}."
            )
    return f"Stack {stack_id} is in {status} state."
