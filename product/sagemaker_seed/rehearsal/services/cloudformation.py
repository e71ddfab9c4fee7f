"""CloudFormation: stacks are created, updated and deleted here, by the engine in ``stacks/``. Nothing of it is moto's.

An operation checks what it is asked for, and answers; what takes time goes on in the stack's own thread. What is not in
the tables of operations is refused by name.
"""

from __future__ import annotations

import threading

from ..ground import Actor, Ground
from ..stacks import plan
from ..stacks.stack import UPDATABLE, Stack, now
from ..wire import AwsError, Request
from . import cloudformation_changesets, cloudformation_stacksets, cloudformation_views
from .cloudformation_requests import Answer, Parameters, Requests, invalid, tags_of
from .service import Service

NO_UPDATES = "No updates are to be performed."
POLL_SECONDS = 0.05


def service(ground: Ground) -> Service:
    """CloudFormation, with stacks of its own for each account and region."""
    api = Requests(ground)
    tables = (OPERATIONS, cloudformation_changesets.OPERATIONS, cloudformation_views.OPERATIONS)
    operations = {name: api.operation(act) for table in tables for name, act in table.items()}
    operations |= cloudformation_stacksets.StackSets(api).operations()
    return Service(name="cloudformation", operations=operations, complete=True)


def _create(api: Requests, request: Request, p: Parameters) -> Answer:
    document = api.document(request, p)
    texts = api.texts(document, p, {})
    api.check_capabilities(document, p.get("Capabilities", ()))
    if p.get("DisableRollback") is not None and p.get("OnFailure") is not None:
        raise invalid("You can specify either DisableRollback or OnFailure, but not both.")
    actor = api.actor(request, p.get("RoleARN"))
    place = api.place(request, p["StackName"])
    desired = api.desired(request, actor, document, texts, place)
    stack = Stack(
        place,
        document,
        texts,
        tags_of(p.get("Tags", ())),
        list(p.get("Capabilities", [])),
        p.get("RoleARN"),
        protected=bool(p.get("EnableTerminationProtection")),
        on_failure="DO_NOTHING" if p.get("DisableRollback") else p.get("OnFailure", "ROLLBACK"),
        timeout_minutes=p.get("TimeoutInMinutes"),
        retain_except_on_create=bool(p.get("RetainExceptOnCreate")),
        token=p.get("ClientRequestToken"),
    )
    stacks = api.stacks(request)
    with stacks.naming:
        if stacks.find(stack.name) is not None:
            raise AwsError("AlreadyExistsException", f"Stack [{stack.name}] already exists")
        stacks.add(stack)
    deployment = api.deployment(request, stack, actor, stack.tags)
    deployment.begin("CREATE_IN_PROGRESS")
    deployment.start(lambda: deployment.create(desired))
    return {"StackId": stack.id}


def _update(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        if stack.status == "DELETE_COMPLETE":
            raise invalid(f"Stack [{p['StackName']}] does not exist")
        if stack.status not in UPDATABLE:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        document = api.document(request, p, stack.document)
        texts = api.texts(document, p, stack.texts)
        api.check_capabilities(document, p.get("Capabilities", ()))
        tags = tags_of(p["Tags"]) if "Tags" in p else dict(stack.tags)
        role = p.get("RoleARN") or stack.role
        actor = api.actor(request, role)
        desired = api.desired(request, actor, document, texts, stack.place)
        found, outputs = plan.changes(stack.resources, desired, api.providers, retagged=tags != stack.tags)
        if not found and outputs == stack.outputs and tags == stack.tags:
            raise invalid(NO_UPDATES)
        stack.role, stack.capabilities, stack.updated = role, list(p.get("Capabilities", [])), now()
        stack.token, stack.retain_except_on_create = p.get("ClientRequestToken"), bool(p.get("RetainExceptOnCreate"))
        deployment = api.deployment(request, stack, actor, tags)
        deployment.begin("UPDATE_IN_PROGRESS")
        deployment.start(lambda: deployment.update(desired, roll_back=not p.get("DisableRollback")))
    return {"StackId": stack.id}


def _delete(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stacks(request).find(p["StackName"])
    if stack is None or stack.status in {"DELETE_COMPLETE", "DELETE_IN_PROGRESS"}:
        return {}  # deleting what is not there is a success
    retained, force = p.get("RetainResources", []), p.get("DeletionMode") == "FORCE_DELETE_STACK"
    with stack.lock:
        if stack.protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if (retained or force) and stack.status != "DELETE_FAILED":
            what = "RetainResources" if retained else "FORCE_DELETE_STACK"
            raise invalid(
                f"Invalid operation on stack [{stack.id}]. {what} is valid only for stacks in DELETE_FAILED state."
            )
        if unknown := sorted(set(retained) - set(stack.resources)):
            raise invalid(f"Stack [{stack.id}] does not contain the resource(s) to retain: [{', '.join(unknown)}]")
        for output in stack.outputs:
            users = [n for n in api.stacks(request).importers(output.export or "") if n != stack.name]
            if output.export is not None and users:
                raise invalid(f"Export {output.export} cannot be deleted as it is in use by {', '.join(users)}")
        role = p.get("RoleARN") or stack.role
        actor = api.actor(request, role)
        stack.token = p.get("ClientRequestToken")
        busy = stack.is_busy
        stack.stopping.set()
        if not busy:
            _start_deletion(api, request, stack, actor, retained, force=force)
    if busy:

        def when_idle() -> None:
            while stack.is_busy:
                threading.Event().wait(POLL_SECONDS)
            with stack.lock:
                if stack.status != "DELETE_COMPLETE":
                    _start_deletion(api, request, stack, actor, retained, force=force)

        threading.Thread(target=when_idle, daemon=True, name=f"delete {stack.name}").start()
    return {}


def _start_deletion(
    api: Requests, request: Request, stack: Stack, actor: Actor, retained: list[str], *, force: bool
) -> None:
    deployment = api.deployment(request, stack, actor, stack.tags)
    deployment.begin("DELETE_IN_PROGRESS")
    deployment.start(lambda: deployment.delete(retained, force=force))


def _cancel_update(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        if stack.status != "UPDATE_IN_PROGRESS":
            raise invalid(f"CancelUpdateStack cannot be called from current stack status: {stack.status}")
        stack.stopping.set()
    return {}


def _continue_rollback(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        if stack.status != "UPDATE_ROLLBACK_FAILED" or stack.unfinished is None:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be rolled back.")
        deployment = stack.unfinished
        deployment.actor = api.actor(request, p.get("RoleARN") or stack.role)
        skip = p.get("ResourcesToSkip", [])
        deployment.begin("UPDATE_ROLLBACK_IN_PROGRESS")
        deployment.start(lambda: deployment.roll_back(skip))
    return {}


def _protect(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    stack.protected = bool(p["EnableTerminationProtection"])
    return {"StackId": stack.id}


OPERATIONS = {
    "CancelUpdateStack": _cancel_update,
    "ContinueUpdateRollback": _continue_rollback,
    "CreateStack": _create,
    "DeleteStack": _delete,
    "UpdateStack": _update,
    "UpdateTerminationProtection": _protect,
}
