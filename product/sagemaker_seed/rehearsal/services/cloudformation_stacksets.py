"""CloudFormation's API of stack sets: the sets, their instances by account or organizational unit, their operations.

What a delegated administrator makes as such belongs to the management account: all administrators share these sets.
Accounts that join a unit later get no stacks by themselves: automatic deployment is refused.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from ...templates import parameters
from ..stacks.stacksets import (
    SELF_MANAGED,
    SERVICE_MANAGED,
    Instance,
    Preferences,
    Result,
    Runner,
    StackSet,
    StackSetOperation,
    Target,
)
from ..wire import AwsError, Request, not_implemented
from .cloudformation_requests import Answer, Parameters, Requests, invalid, page, tags_of
from .cloudformation_views import parameter_list, tag_list

NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
TRUSTED = "member.org.stacksets.cloudformation.amazonaws.com"
EXECUTION_ROLE = "AWSCloudFormationStackSetExecutionRole"
NOT_MANAGEMENT = (
    "You must be the management account or delegated admin account of an organization before operating a "
    "SERVICE_MANAGED stack set"
)
REFUSED_SETTINGS = {"StackId": "Stacks cannot be imported.", "AccountsUrl": "Accounts are named in the request."}
Act = Callable[["StackSets", Request, Parameters], Answer]


class StackSets:
    """The sets of every account and region, and what their operations share with those of stacks."""

    def __init__(self, api: Requests) -> None:
        self.api = api
        self._sets: dict[tuple[str, str], list[StackSet]] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Callable[[Request], object]]:
        """The operations, by name."""
        return {name: self._operation(act) for name, act in OPERATIONS.items()}

    def _operation(self, act: Act) -> Callable[[Request], object]:
        def answer(_: Requests, request: Request, p: Parameters) -> Answer:
            for name, why in REFUSED_SETTINGS.items():
                if p.get(name) or p.get("DeploymentTargets", {}).get(name):
                    raise not_implemented("cloudformation", f"{request.operation} with {name}", why)
            return act(self, request, p)

        return self.api.operation(answer)

    def owner(self, request: Request, p: Parameters) -> str:
        """The account whose sets a request is about: the caller's, or the management account's if called as delegated.

        Raises:
            AwsError: the caller is no delegated administrator of StackSets, or may not ask whether they are.
        """
        ground, account = self.api.ground, request.caller.account
        if p.get("CallAs", "SELF") == "SELF":
            return account
        management = self._management(request)
        # StackSets asks in the caller's name.
        target = "AWSOrganizationsV20161128.ListDelegatedAdministrators"
        ground.permit(ground.caller(request), request.region, "organizations", target, {"ServicePrincipal": TRUSTED})
        client = self._organizations(request, management)
        found = client.list_delegated_administrators(ServicePrincipal=TRUSTED)["DelegatedAdministrators"]
        if account not in [administrator["Id"] for administrator in found]:
            raise invalid("Account used is not a delegated administrator")
        return management

    def all(self, request: Request, p: Parameters) -> list[StackSet]:
        """The sets of the owner's account and the region, deleted ones too."""
        owner = self.owner(request, p)
        with self._lock:
            return self._sets.setdefault((owner, request.region), [])

    def find(self, request: Request, p: Parameters) -> StackSet:
        """The one that the request names: by name the one that is not deleted, by id or ARN any.

        Raises:
            AwsError: there is none.
        """
        name = p["StackSetName"]
        for stack_set in self.all(request, p):
            if name in (stack_set.id, stack_set.arn) or (name == stack_set.name and stack_set.status == "ACTIVE"):
                return stack_set
        raise AwsError("StackSetNotFoundException", f"StackSet {name} not found", 404)

    def _management(self, request: Request) -> str:
        """The management account of the caller's organization.

        Raises:
            AwsError: they are in none.
        """
        try:
            asked = self._organizations(request, request.caller.account).describe_organization()
        except ClientError:
            raise invalid(NOT_MANAGEMENT) from None
        return str(asked["Organization"]["MasterAccountId"])

    def check_organization(self, request: Request, p: Parameters) -> None:
        """Refuses whoever acts for another than the management account of an organization that trusts StackSets.

        Raises:
            AwsError: with what to do.
        """
        management = self._management(request)
        if management != self.owner(request, p):
            raise invalid(NOT_MANAGEMENT)
        client = self._organizations(request, management)
        trusted = client.list_aws_service_access_for_organization()["EnabledServicePrincipals"]
        if TRUSTED not in [service["ServicePrincipal"] for service in trusted]:
            raise invalid(
                "You must enable organizations access to operate a service managed stack set "
                f"(organizations:EnableAWSServiceAccess for {TRUSTED})"
            )

    def accounts_of(self, request: Request, units: Iterable[str]) -> dict[str, str]:
        """The active accounts below organizational units or a root, each with the unit that was named.

        The management account is never one of them.

        Raises:
            AwsError: there is no such unit.
        """
        management = self._management(request)
        client = self._organizations(request, management)

        def below(parent: str) -> list[str]:
            found = [
                account["Id"]
                for answer in client.get_paginator("list_accounts_for_parent").paginate(ParentId=parent)
                for account in answer["Accounts"]
                if account["Status"] == "ACTIVE"
            ]
            for answer in client.get_paginator("list_organizational_units_for_parent").paginate(ParentId=parent):
                for unit in answer["OrganizationalUnits"]:
                    found += below(unit["Id"])
            return found

        accounts: dict[str, str] = {}
        for unit in units:
            try:
                for account in below(unit):
                    accounts.setdefault(account, unit)
            except ClientError as error:
                said = error.response["Error"]["Message"]
                raise invalid(f"Organizational unit {unit} cannot be a target: {said}") from None
        accounts.pop(management, None)
        return accounts

    def _organizations(self, request: Request, account: str) -> Any:
        root = self.api.ground.root(account, request.partition)
        return self.api.ground.client("organizations", root, request.region)

    # --- operations on instances

    def targets(self, stack_set: StackSet, request: Request, p: Parameters) -> tuple[dict[str, str | None], Answer]:
        """Accounts that a request is about, each with its unit; and the targets as the operation shows them.

        Raises:
            AwsError: they do not fit the set's permission model.
        """
        given = p.get("DeploymentTargets", {})
        units, accounts = given.get("OrganizationalUnitIds", []), given.get("Accounts", []) or p.get("Accounts", [])
        if stack_set.model == SELF_MANAGED:
            if units or given.get("AccountFilterType"):
                raise invalid("OrganizationalUnitIds are only for StackSets with SERVICE_MANAGED permission model")
            return dict.fromkeys(accounts), {"Accounts": accounts}
        if not units:
            raise invalid("StackSets with SERVICE_MANAGED permission model can only have OrganizationalUnit as target")
        found: dict[str, str | None] = dict(self.accounts_of(request, units))
        how = given.get("AccountFilterType", "NONE" if not accounts else "INTERSECTION")
        chosen = FILTERS[how](found, accounts)
        return {account: found.get(account) for account in chosen}, given

    def begin(
        self, stack_set: StackSet, p: Parameters, action: str, results: Sequence[Result], targets: Answer
    ) -> StackSetOperation:
        """Starts an operation, unless one is going on.

        Raises:
            AwsError: ``OperationInProgressException`` or ``OperationIdAlreadyExistsException``.
        """
        with stack_set.lock:
            self.check_idle(stack_set)
            identifier = p.get("OperationId") or str(uuid.uuid4())
            if identifier in stack_set.operations:
                raise AwsError("OperationIdAlreadyExistsException", f"Operation {identifier} already exists", 409)
            preferences = Preferences(p.get("OperationPreferences", {}))
            by_target: dict[Target, Result] = {(r.account, r.region): r for r in results}
            operation = StackSetOperation(
                identifier, action, preferences, bool(p.get("RetainStacks")), targets, by_target
            )
            stack_set.operations[identifier] = operation
        regions = preferences.given.get("RegionOrder") or p.get("Regions", [])
        Runner(self.api.ground, stack_set).start(operation, regions)
        return operation

    @staticmethod
    def check_idle(stack_set: StackSet) -> None:
        """Refuses while an operation goes on.

        Raises:
            AwsError: ``OperationInProgressException``.
        """
        if running := stack_set.running:
            raise AwsError(
                "OperationInProgressException",
                f"Another Operation on StackSet {stack_set.arn} is in progress: {running.id}",
                409,
            )


FILTERS: dict[str, Callable[[Iterable[str], Iterable[str]], list[str]]] = {
    "NONE": lambda found, _: list(found),
    "INTERSECTION": lambda found, accounts: [a for a in found if a in set(accounts)],
    "DIFFERENCE": lambda found, accounts: [a for a in found if a not in set(accounts)],
    "UNION": lambda found, accounts: list(dict.fromkeys([*found, *accounts])),
}


def _overrides(stack_set: StackSet, p: Parameters, previous: dict[str, str]) -> dict[str, str]:
    given = p.get("ParameterOverrides", [])
    declared = {e["ParameterKey"]: stack_set.document.parameters.get(e["ParameterKey"]) for e in given}
    if unknown := sorted(name for name, parameter in declared.items() if parameter is None):
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    known = {name: parameter for name, parameter in declared.items() if parameter is not None}
    return previous | parameters.chosen(known, given, previous)


# --- sets


def _create(sets: StackSets, request: Request, p: Parameters) -> Answer:
    name, model = p["StackSetName"], p.get("PermissionModel", SELF_MANAGED)
    if not NAME.fullmatch(name):
        raise invalid(f"Value '{name}' at 'stackSetName' failed to satisfy constraint: {NAME.pattern}")
    _check_model(sets, request, p, model)
    document = sets.api.document(request, p)
    sets.api.check_capabilities(document, p.get("Capabilities", ()))
    made = StackSet(
        name=name,
        account=sets.owner(request, p),
        region=request.region,
        partition=request.partition,
        document=document,
        texts=sets.api.texts(document, p, {}),
        tags=tags_of(p.get("Tags", ())),
        capabilities=list(p.get("Capabilities", [])),
        model=model,
        description=p.get("Description"),
        administration_role=p.get("AdministrationRoleARN"),
        execution_role=p.get("ExecutionRoleName", EXECUTION_ROLE),
        auto_deployment=p.get("AutoDeployment"),
    )
    known = sets.all(request, p)
    with sets.api.stacks(request).lock:
        if any(s.name == name and s.status == "ACTIVE" for s in known):
            raise AwsError("NameAlreadyExistsException", f"StackSet {name} already exists", 409)
        known.append(made)
    return {"StackSetId": made.id}


def _check_model(sets: StackSets, request: Request, p: Parameters, model: str) -> None:
    if model == SERVICE_MANAGED:
        if p.get("AdministrationRoleARN") or p.get("ExecutionRoleName"):
            raise invalid("AdministrationRoleARN and ExecutionRoleName are not for a SERVICE_MANAGED stack set")
        sets.check_organization(request, p)
    elif p.get("CallAs", "SELF") != "SELF":
        raise invalid("CallAs DELEGATED_ADMIN is only supported for StackSets with SERVICE_MANAGED permission model")
    elif p.get("AutoDeployment"):
        raise invalid("AutoDeployment is only supported for StackSets with SERVICE_MANAGED permission model")
    if p.get("AutoDeployment", {}).get("Enabled"):
        raise not_implemented(
            "cloudformation", f"{request.operation} with AutoDeployment", "Accounts that join later get no stacks."
        )
    if p.get("ManagedExecution", {}).get("Active"):
        raise not_implemented(
            "cloudformation", f"{request.operation} with ManagedExecution", "Operations are not queued."
        )


def _update(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    _check_model(sets, request, p, p.get("PermissionModel", found.model))
    if p.get("PermissionModel", found.model) != found.model:
        raise not_implemented("cloudformation", "UpdateStackSet with another PermissionModel")
    with found.lock:
        sets.check_idle(found)
        document = sets.api.document(request, p, found.document)
        sets.api.check_capabilities(document, p.get("Capabilities", ()))
        texts = sets.api.texts(document, p, found.texts)
        tags = tags_of(p["Tags"]) if "Tags" in p else found.tags
        some = any(p.get(name) for name in ("Accounts", "DeploymentTargets", "Regions"))
        accounts, targets = sets.targets(found, request, p) if some else ({}, {})
        found.document, found.texts, found.tags = document, texts, tags
        found.capabilities = list(p.get("Capabilities", []))
        found.description = p.get("Description", found.description)
        found.administration_role = p.get("AdministrationRoleARN", found.administration_role)
        found.execution_role = p.get("ExecutionRoleName", found.execution_role)
        for instance in found.instances.values():
            instance.status = "OUTDATED"
        results = [
            Result(i.account, i.region, i.unit)
            for i in found.instances.values()
            if not some or (i.account in accounts and i.region in p.get("Regions", ()))
        ]
        operation = sets.begin(found, p, "UPDATE", results, targets)
    return {"OperationId": operation.id}


def _delete(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    with found.lock:
        sets.check_idle(found)
        if found.instances:
            raise AwsError("StackSetNotEmptyException", "StackSet is not empty", 409)
        found.status = "DELETED"
    return {}


def _set(found: StackSet) -> Answer:
    with found.lock:
        managed = found.model == SERVICE_MANAGED
        return {
            "StackSetName": found.name,
            "StackSetId": found.id,
            "StackSetARN": found.arn,
            "Description": found.description,
            "Status": found.status,
            "TemplateBody": found.document.text,
            "Parameters": parameter_list(found.document, found.texts),
            "Capabilities": found.capabilities,
            "Tags": tag_list(found.tags),
            "AdministrationRoleARN": None if managed else found.administration_role,
            "ExecutionRoleName": None if managed else found.execution_role,
            "AutoDeployment": found.auto_deployment,
            "PermissionModel": found.model,
            "OrganizationalUnitIds": found.units,
            "ManagedExecution": {"Active": False},
            "Regions": list(dict.fromkeys(region for _, region in found.instances)),
        }


def _describe(sets: StackSets, request: Request, p: Parameters) -> Answer:
    return {"StackSet": _set(sets.find(request, p))}


def _list(sets: StackSets, request: Request, p: Parameters) -> Answer:
    names = ("StackSetName", "StackSetId", "Description", "Status", "AutoDeployment", "PermissionModel")
    summaries = [
        {name: answer[name] for name in names}
        for answer in map(_set, list(sets.all(request, p)))
        if p.get("Status") in (None, answer["Status"])
    ]
    return page(summaries, "Summaries", p, p.get("MaxResults", 100))


# --- instances


def _create_instances(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    accounts, targets = sets.targets(found, request, p)
    with found.lock:
        sets.check_idle(found)
        results = []
        for account, unit in accounts.items():
            for region in p["Regions"]:
                instance = found.instances.get((account, region)) or Instance(account, region, unit)
                instance.overrides = _overrides(found, p, instance.overrides)
                found.instances[account, region] = instance
                results.append(Result(account, region, unit))
        found.units = list(dict.fromkeys([*found.units, *targets.get("OrganizationalUnitIds", ())]))
        operation = sets.begin(found, p, "CREATE", results, targets)
    return {"OperationId": operation.id}


def _existing(found: StackSet, accounts: Iterable[str], regions: Iterable[str]) -> list[Instance]:
    wanted = set(accounts)
    return [i for i in found.instances.values() if i.account in wanted and i.region in set(regions)]


def _update_instances(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    accounts, targets = sets.targets(found, request, p)
    with found.lock:
        sets.check_idle(found)
        instances = _existing(found, accounts, p["Regions"])
        if not instances and accounts:
            raise AwsError(
                "StackInstanceNotFoundException", f"No stack instances of {found.name} at these targets", 404
            )
        for instance in instances:
            if "ParameterOverrides" in p:
                instance.overrides = _overrides(found, p, instance.overrides)
        results = [Result(i.account, i.region, i.unit) for i in instances]
        operation = sets.begin(found, p, "UPDATE", results, targets)
    return {"OperationId": operation.id}


def _delete_instances(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    accounts, targets = sets.targets(found, request, p)
    with found.lock:
        sets.check_idle(found)
        units = set(targets.get("OrganizationalUnitIds", ()))
        left_unit = {i.account for i in found.instances.values() if i.unit in units and i.account not in accounts}
        stays = set(p.get("DeploymentTargets", {}).get("Accounts", ()))
        gone = left_unit if not stays else set()
        results = [Result(i.account, i.region, i.unit) for i in _existing(found, {*accounts, *gone}, p["Regions"])]
        if not stays and set(p["Regions"]) >= {region for _, region in found.instances}:
            found.units = [unit for unit in found.units if unit not in units]
        operation = sets.begin(found, p, "DELETE", results, targets)
    return {"OperationId": operation.id}


def _instance(found: StackSet, instance: Instance) -> Answer:
    return {
        "StackSetId": found.id,
        "Region": instance.region,
        "Account": instance.account,
        "StackId": instance.stack_id,
        "Status": instance.status,
        "StatusReason": instance.reason,
        "StackInstanceStatus": {"DetailedStatus": instance.detail},
        "OrganizationalUnitId": instance.unit,
        "DriftStatus": "NOT_CHECKED",
        "LastOperationId": instance.operation,
    }


def _describe_instance(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    account, region = p["StackInstanceAccount"], p["StackInstanceRegion"]
    with found.lock:
        instance = found.instances.get((account, region))
        if instance is None:
            where = f"{found.id}, {account}, {region}"
            raise AwsError("StackInstanceNotFoundException", f"Stack instance not found for {where}", 404)
        overrides = parameter_list(found.document, instance.overrides)
        return {"StackInstance": {**_instance(found, instance), "ParameterOverrides": overrides}}


def _list_instances(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    if p.get("Filters"):
        raise not_implemented("cloudformation", "ListStackInstances with Filters")
    with found.lock:
        summaries = [
            _instance(found, i)
            for i in found.instances.values()
            if p.get("StackInstanceAccount") in (None, i.account) and p.get("StackInstanceRegion") in (None, i.region)
        ]
    return page(summaries, "Summaries", p, p.get("MaxResults", 100))


# --- operations


def _find_operation(found: StackSet, identifier: str) -> StackSetOperation:
    if identifier not in found.operations:
        raise AwsError("OperationNotFoundException", f"Operation {identifier} not found in StackSet {found.id}", 404)
    return found.operations[identifier]


def _operation(operation: StackSetOperation) -> Answer:
    failed = sum(result.status == "FAILED" for result in operation.results.values())
    return {
        "OperationId": operation.id,
        "Action": operation.action,
        "Status": operation.status,
        "CreationTimestamp": operation.created,
        "EndTimestamp": operation.ended,
        "OperationPreferences": dict(operation.preferences.given),
        "StatusDetails": {"FailedStackInstancesCount": failed},
    }


def _describe_operation(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    operation = _find_operation(found, p["OperationId"])
    more = {
        "StackSetId": found.id,
        "RetainStacks": operation.retain,
        "AdministrationRoleARN": found.administration_role if found.model == SELF_MANAGED else None,
        "ExecutionRoleName": found.execution_role if found.model == SELF_MANAGED else None,
        "DeploymentTargets": operation.targets,
    }
    return {"StackSetOperation": {**_operation(operation), **more}}


def _list_operations(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    listed = [_operation(operation) for operation in reversed(list(found.operations.values()))]
    return page(listed, "Summaries", p, p.get("MaxResults", 100))


def _list_results(sets: StackSets, request: Request, p: Parameters) -> Answer:
    operation = _find_operation(sets.find(request, p), p["OperationId"])
    listed = [
        {
            "Account": result.account,
            "Region": result.region,
            "Status": result.status,
            "StatusReason": result.reason,
            "OrganizationalUnitId": result.unit,
        }
        for result in operation.results.values()
    ]
    return page(listed, "Summaries", p, p.get("MaxResults", 100))


def _stop(sets: StackSets, request: Request, p: Parameters) -> Answer:
    found = sets.find(request, p)
    with found.lock:
        operation = _find_operation(found, p["OperationId"])
        if operation.status not in {"RUNNING", "STOPPING"}:
            raise AwsError("InvalidOperationException", f"Operation {operation.id} is {operation.status}", 400)
        operation.stop.set()
        operation.status = "STOPPING"
    return {}


OPERATIONS: dict[str, Act] = {
    "CreateStackInstances": _create_instances,
    "CreateStackSet": _create,
    "DeleteStackInstances": _delete_instances,
    "DeleteStackSet": _delete,
    "DescribeStackInstance": _describe_instance,
    "DescribeStackSet": _describe,
    "DescribeStackSetOperation": _describe_operation,
    "ListStackInstances": _list_instances,
    "ListStackSetOperationResults": _list_results,
    "ListStackSetOperations": _list_operations,
    "ListStackSets": _list,
    "StopStackSetOperation": _stop,
    "UpdateStackInstances": _update_instances,
    "UpdateStackSet": _update,
}
