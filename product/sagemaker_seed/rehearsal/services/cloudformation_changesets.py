"""CloudFormation's change sets: made, looked at, executed and deleted. What an execution does is the engine's."""

from __future__ import annotations

import uuid
from typing import Any

from ..stacks import plan
from ..stacks.plan import Change
from ..stacks.stack import UPDATABLE, ChangeSet, Stack, now
from ..wire import AwsError, Request
from .cloudformation_requests import Answer, Parameters, Requests, invalid, page, tags_of
from .cloudformation_views import parameter_list, tag_list

NOTHING_CHANGED = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
ON_FAILURE = {"ROLLBACK", "DELETE", "DO_NOTHING"}


def find(api: Requests, request: Request, name: str, stack_name: str | None) -> tuple[Stack, ChangeSet]:
    """A change set by ARN, or by its name and its stack's.

    Raises:
        AwsError: there is none.
    """
    if not name.startswith("arn:") and not stack_name:
        raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
    stacks = [api.stack(request, stack_name)] if stack_name else api.stacks(request).all()
    for stack in stacks:
        with stack.lock:
            for change_set in stack.change_sets.values():
                if name in (change_set.id, change_set.name):
                    return stack, change_set
    raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


def as_answer(change: Change) -> Answer:
    """A change as the API writes it."""
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if name in change.replacing else "Never",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name in change.properties
    ]
    return {
        "Type": "Resource",
        "ResourceChange": {
            "Action": change.action,
            "LogicalResourceId": change.logical_id,
            "PhysicalResourceId": change.physical_id,
            "ResourceType": change.type,
            "Replacement": change.replacement,
            "Scope": list(change.scope),
            "Details": details if change.action == "Modify" else [],
        },
    }


def _reviewed(api: Requests, request: Request, p: Parameters) -> tuple[Stack, bool]:
    """The stack that a change set is for, and whether it is to be created; a new one waits for it."""
    stacks, name, kind = api.stacks(request), p["StackName"], p.get("ChangeSetType", "UPDATE")
    if kind not in {"CREATE", "UPDATE"}:
        raise invalid(f"The embedded AWS has no change sets of type {kind}.")
    stack = stacks.find(name)
    if kind == "UPDATE":
        if stack is None or stack.status == "DELETE_COMPLETE":
            raise invalid(f"Stack [{name}] does not exist")
        if stack.status not in UPDATABLE:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack, False
    if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
        raise invalid(
            f"Stack [{name}] already exists and cannot be created again with the changeSet [{p['ChangeSetName']}]."
        )
    if stack is None:
        document = api.document(request, p)
        stack = Stack(api.place(request, name), document, {}, {}, [], None, status="REVIEW_IN_PROGRESS")
    return stack, True


def _create(api: Requests, request: Request, p: Parameters) -> Answer:
    with api.stacks(request).naming:
        stack, is_creation = _reviewed(api, request, p)
        with stack.lock:
            if any(c.name == p["ChangeSetName"] for c in stack.change_sets.values()):
                raise AwsError("AlreadyExistsException", f"ChangeSet {p['ChangeSetName']} already exists", 400)
            change_set = _made(api, request, p, stack, is_creation)
            stack.change_sets[change_set.id] = change_set
        if is_creation and api.stacks(request).find(stack.id) is None:
            api.stacks(request).add(stack)
            stack.become("REVIEW_IN_PROGRESS", "User Initiated")
    return {"Id": change_set.id, "StackId": stack.id}


def _made(api: Requests, request: Request, p: Parameters, stack: Stack, is_creation: bool) -> ChangeSet:
    previous = None if is_creation else stack.document
    document = api.document(request, p, previous)
    api.check_capabilities(document, p.get("Capabilities", ()))
    role = p.get("RoleARN") or stack.role
    texts = api.texts(document, p, {} if is_creation else stack.texts)
    tags = tags_of(p["Tags"]) if "Tags" in p else dict(stack.tags)
    desired = api.desired(request, api.actor(request, role), document, texts, stack.place)
    found, outputs = plan.changes(stack.resources, desired, api.providers, retagged=tags != stack.tags)
    where = f"{request.region}:{request.caller.account}"
    on_failure = p.get("OnStackFailure")
    if on_failure is not None and on_failure not in ON_FAILURE:
        raise invalid(f"OnStackFailure must be one of {sorted(ON_FAILURE)}.")
    change_set = ChangeSet(
        id=f"arn:{request.partition}:cloudformation:{where}:changeSet/{p['ChangeSetName']}/{uuid.uuid4()}",
        name=p["ChangeSetName"],
        description=p.get("Description"),
        created=now(),
        document=document,
        texts=texts,
        tags=tags,
        capabilities=list(p.get("Capabilities", [])),
        role=role,
        on_failure=on_failure,
        changes=[as_answer(change) for change in found],
        revision=stack.revision,
        is_creation=is_creation,
    )
    if not is_creation and not found and outputs == stack.outputs and tags == stack.tags:
        change_set.status, change_set.execution, change_set.reason = "FAILED", "UNAVAILABLE", NOTHING_CHANGED
    return change_set


def _execution(stack: Stack, change_set: ChangeSet) -> str:
    outdated = change_set.execution == "AVAILABLE" and change_set.revision != stack.revision
    return "OBSOLETE" if outdated else change_set.execution


def _summary(stack: Stack, change_set: ChangeSet) -> Answer:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": change_set.id,
        "ChangeSetName": change_set.name,
        "ExecutionStatus": _execution(stack, change_set),
        "Status": change_set.status,
        "StatusReason": change_set.reason,
        "CreationTime": change_set.created,
        "Description": change_set.description,
    }


def _describe(api: Requests, request: Request, p: Parameters) -> Answer:
    stack, change_set = find(api, request, p["ChangeSetName"], p.get("StackName"))
    more: dict[str, Any] = {
        "Parameters": parameter_list(change_set.document, change_set.texts),
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": change_set.capabilities,
        "Tags": tag_list(change_set.tags),
        "OnStackFailure": change_set.on_failure,
    }
    return {**_summary(stack, change_set), **more, **page(change_set.changes, "Changes", p)}


def _list(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        summaries = [_summary(stack, c) for c in stack.change_sets.values() if c.execution != "EXECUTE_COMPLETE"]
    return page(summaries, "Summaries", p)


def _delete(api: Requests, request: Request, p: Parameters) -> Answer:
    try:
        stack, change_set = find(api, request, p["ChangeSetName"], p.get("StackName"))
    except AwsError as error:
        if error.code == "ChangeSetNotFound":  # deleting what is not there is a success
            return {}
        raise
    with stack.lock:
        if change_set.execution == "EXECUTE_IN_PROGRESS":
            raise AwsError(
                "InvalidChangeSetStatus", f"ChangeSet [{change_set.id}] cannot be deleted in its current status", 400
            )
        del stack.change_sets[change_set.id]
    return {}


def _execute(api: Requests, request: Request, p: Parameters) -> Answer:
    stack, change_set = find(api, request, p["ChangeSetName"], p.get("StackName"))
    with stack.lock:
        status = _execution(stack, change_set)
        if status != "AVAILABLE":
            raise AwsError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{change_set.id}] cannot be executed in its current execution status of [{status}]"
                + (f": {change_set.reason}" if change_set.reason else ""),
            )
        if stack.is_busy:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        actor = api.actor(request, change_set.role)
        desired = api.desired(request, actor, change_set.document, change_set.texts, stack.place)
        change_set.execution = "EXECUTE_COMPLETE"
        stack.change_sets = {change_set.id: change_set}
        stack.change_set_id, stack.role, stack.capabilities = change_set.id, change_set.role, change_set.capabilities
        stack.token = p.get("ClientRequestToken")
        stack.retain_except_on_create = bool(p.get("RetainExceptOnCreate"))
        on_failure = change_set.on_failure or ("DO_NOTHING" if p.get("DisableRollback") else "ROLLBACK")
        deployment = api.deployment(request, stack, actor, change_set.tags)
        if change_set.is_creation:
            stack.on_failure, stack.document, stack.texts = on_failure, change_set.document, change_set.texts
            stack.tags = dict(change_set.tags)
            deployment.begin("CREATE_IN_PROGRESS")
            deployment.start(lambda: deployment.create(desired))
        else:
            stack.updated = now()
            deployment.begin("UPDATE_IN_PROGRESS")
            deployment.start(lambda: deployment.update(desired, roll_back=on_failure != "DO_NOTHING"))
    return {}


OPERATIONS = {
    "CreateChangeSet": _create,
    "DeleteChangeSet": _delete,
    "DescribeChangeSet": _describe,
    "ExecuteChangeSet": _execute,
    "ListChangeSets": _list,
}
