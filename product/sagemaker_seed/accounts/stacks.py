"""One stack at a time: looks whether it is as wanted, and brings it there with a change set. Knows no template."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError

from ..errors import BadInput, SeedError
from ..publish.release import read_template
from .connections import Place

FIRST_POLL_SECONDS, LAST_POLL_SECONDS, TIMEOUT_SECONDS = 0.1, 3.0, 1800.0
# How CloudFormation says, as the reason of a failed change set, that there was nothing in it.
NOTHING = ("didn't contain changes", "No updates are to be performed")
_SIGNS = {"Add": "+", "Remove": "-"}

Say = Callable[[str], None]


class Action(Enum):
    """What has to be done to a stack."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    CREATE_AGAIN = "delete what a failed creation left, and create"
    UPDATE = "update"


@dataclass(frozen=True)
class Wanted:
    """A stack as it is to be; a parameter that is not given stays as it is, or as the template has it."""

    place: Place
    name: str
    file: str
    template: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """What has to be done to a stack, and why."""

    wanted: Wanted
    action: Action
    why: tuple[str, ...]
    parameters: Mapping[str, str]


def find(client: Any, name: str) -> dict[str, Any] | None:
    """The stack of this name, if there is one."""
    try:
        return dict(client.describe_stacks(StackName=name)["Stacks"][0])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise


def parameters_of(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """What a stack was deployed with, defaults included."""
    return {p["ParameterKey"]: p["ParameterValue"] for p in (stack or {}).get("Parameters", ())}


def outputs_of(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """What a stack says of itself."""
    return {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", ())}


def look(client: Any, wanted: Wanted) -> Step:
    """Compares a stack with how it is to be; reads only.

    Raises:
        BadInput: a parameter is missing, or not the template's.
        SeedError: it is in a state that nothing but a person gets it out of.
    """
    stack = find(client, wanted.name)
    status = stack["StackStatus"] if stack else ""
    fresh = status in {"", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
    failed = status in {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
    there = {} if fresh or failed else parameters_of(stack)
    parameters = _complete(wanted, there)
    if fresh:
        return Step(wanted, Action.CREATE, (), parameters)
    if failed:
        return Step(wanted, Action.CREATE_AGAIN, (status,), parameters)
    if not status.endswith("_COMPLETE") and not status.endswith("_IN_PROGRESS"):
        raise SeedError(f"{wanted.place}: the stack {wanted.name} is {status}; see to it in the console first")
    why = [
        f"{name}: {there.get(name) or 'empty'} -> {value or 'empty'}"
        for name, value in parameters.items()
        if there.get(name) != value
    ]
    if str(client.get_template(StackName=wanted.name, TemplateStage="Original")["TemplateBody"]) != wanted.template:
        why.insert(0, f"{wanted.file} is another than what was deployed")
    if status.endswith("_IN_PROGRESS"):
        why.insert(0, f"somebody else is at it: {status}")
    return Step(wanted, Action.UPDATE if why else Action.UNCHANGED, tuple(why), parameters)


def _complete(wanted: Wanted, there: Mapping[str, str]) -> dict[str, str]:
    declared = read_template(wanted.template, wanted.file).get("Parameters", {})
    defaults = {name: str(spec["Default"]) for name, spec in declared.items() if "Default" in spec}
    known = {**defaults, **{name: value for name, value in there.items() if name in declared}, **wanted.parameters}
    missing = [f"{wanted.place.account}: {wanted.file} needs a value for {n}" for n in declared if n not in known]
    unknown = [f"{wanted.place.account}: {wanted.file} has no parameter {n}" for n in known if n not in declared]
    if missing or unknown:
        raise BadInput(*missing, *unknown)
    return known


def bring(client: Any, step: Step, say: Say, doing: Say) -> dict[str, Any]:
    """Does what a step says; returns the stack as it is then.

    Raises:
        SeedError: it failed; the message names the resource and the reason.
    """
    name = step.wanted.name
    # Somebody else's change, or our own of a run that was cut off: how it ends decides what is left to do.
    if _settle(client, name, doing) is not None:
        step = look(client, step.wanted)
    if step.action is Action.CREATE_AGAIN:
        _delete(client, name, doing)
    if step.action is not Action.UNCHANGED:
        _change(client, step, say, doing)
    stack = find(client, name)
    if stack is None:
        raise SeedError(f"the stack {name} was deleted meanwhile; run the same command again")
    return stack


def _change(client: Any, step: Step, say: Say, doing: Say) -> None:
    name = step.wanted.name
    now = find(client, name)
    is_new = now is None or now["StackStatus"] in {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
    made = client.create_change_set(
        StackName=name,
        ChangeSetName=f"sagemaker-seed-{uuid.uuid4().hex}",
        ChangeSetType="CREATE" if is_new else "UPDATE",
        TemplateBody=step.wanted.template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in step.parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    described = _made(client, made["Id"], name, doing)
    if described["Status"] != "CREATE_COMPLETE":
        refused = described.get("StatusReason", "it does not say why")
        client.delete_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
        if any(words in refused for words in NOTHING):
            return
        raise SeedError(f"the stack {name}: CloudFormation refused the change: {refused}")
    for line in _lines(client, made["Id"], is_new=is_new):
        say(line)
    began = described["CreationTime"]
    client.execute_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
    stack = _settle(client, made["StackId"], doing)
    if stack is None or stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        status = stack["StackStatus"] if stack else "gone"
        raise SeedError(f"the stack {name} is {status}: {reason(client, made['StackId'], began)}")


def _made(client: Any, change_set: str, name: str, doing: Say) -> dict[str, Any]:
    for _ in _polls(f"the change set of {name}"):
        described: dict[str, Any] = client.describe_change_set(ChangeSetName=change_set, StackName=name)
        if described["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            return described
        doing(f"{name}: working out the changes")
    raise AssertionError("polling ends by an error")  # pragma: no cover


def _lines(client: Any, change_set: str, *, is_new: bool) -> list[str]:
    pages = client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    if is_new:
        return [f"+ {len(changes)} resources"]
    return [
        f"{_SIGNS.get(change['Action'], '~')} {change['LogicalResourceId']} ({change['ResourceType']})"
        + (", made anew" if change.get("Replacement") == "True" else "")
        for change in changes
    ]


def _delete(client: Any, name: str, doing: Say) -> None:
    stack = find(client, name)
    if stack is None:
        return
    client.delete_stack(StackName=stack["StackId"])
    gone = _settle(client, stack["StackId"], doing)
    if gone is not None and gone["StackStatus"] != "DELETE_COMPLETE":
        raise SeedError(f"the stack {name} is {gone['StackStatus']}; see to it in the console first")


def _settle(client: Any, name: str, doing: Say) -> dict[str, Any] | None:
    """The stack, once nothing happens to it any more."""
    for _ in _polls(f"the stack {name}"):
        stack = find(client, name)
        if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            return stack
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        doing(f"{stack['StackName']}: {stack['StackStatus']}")
    raise AssertionError("polling ends by an error")  # pragma: no cover


def _polls(what: str) -> Iterator[None]:
    """Again and again, ever less often.

    Raises:
        SeedError: it takes too long.
    """
    deadline, pause = time.monotonic() + TIMEOUT_SECONDS, FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_POLL_SECONDS)
    raise SeedError(f"{what} takes more than {TIMEOUT_SECONDS / 60:.0f} minutes; run the same command again later")


def reason(client: Any, stack: str, since: datetime | None = None) -> str:
    """Why a stack failed: its first resource that failed (since then, if that is given), and what it said."""
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack)
    events = [event for page in pages for event in page["StackEvents"]]
    for event in reversed(events):  # the newest comes first
        if since is not None and event["Timestamp"] < since:
            continue
        said = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in said.lower():
            return f"{event['LogicalResourceId']} ({event['ResourceType']}): {said}"
    return "no resource says why"
