"""Deploy actions on CloudFormation stack sets: the set itself, and its instances by account or organizational unit."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from .failure import CONFIGURATION, ActionFailed
from .job import Job, Outcome, as_json
from .stacks import CHANGES, capabilities, template

SERVICE_MANAGED = "SERVICE_MANAGED"
# An operation ends a little after the last of its stacks, and says nothing of its own.
OPERATION_SECONDS = 0.25
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
AUTOMATIC = {"Enabled": (True, False), "EnabledWithStackRetention": (True, True), "Disabled": (False, False)}
PREFERENCES = ("FailureTolerancePercentage", "MaxConcurrentPercentage")
PAIR = "ParameterKey="


def stack_set(job: Job) -> Outcome:
    """Creates or updates the set; instances that are missing at its targets come first, as CodePipeline does it."""
    client, name = job.client("cloudformation"), job.configuration["StackSetName"]
    settings, preferences, found = _managed(job, _settings(job)), _preferences(job), _described(job)
    regions = _regions(job) if "DeploymentTargets" in job.configuration else []
    if found is None:
        identifier = client.create_stack_set(StackSetName=name, **settings)["StackSetId"]
        return _done(identifier, _ensure_instances(job, found, regions))
    _ensure_instances(job, found, regions)
    operation = client.update_stack_set(StackSetName=name, **preferences, **settings)["OperationId"]
    _settled(job, operation)
    return _done(found["StackSetId"], operation)


def stack_instances(job: Job) -> Outcome:
    """Creates the instances that are missing at the targets, and gives those that are there the overrides."""
    found = _described(job)
    if found is None:
        raise ActionFailed(f"StackSet {job.configuration['StackSetName']} not found")
    targets = _targets(job, found["PermissionModel"])
    overrides = _parameters(job, "ParameterOverrides")
    existing = _instances(job)
    operation = ""
    regions = _regions(job)
    missing, present = _split(targets, regions, existing)
    for chosen, where in missing:
        operation = _operate(job, "create_stack_instances", chosen, where, overrides)
    for chosen, where in present:
        operation = _operate(job, "update_stack_instances", chosen, where, overrides)
    return _done(found["StackSetId"], operation)


def _described(job: Job) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = job.client("cloudformation").describe_stack_set(
            StackSetName=job.configuration["StackSetName"]
        )["StackSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"StackSetNotFoundException", "StackSetNotFound"}:
            return None
        raise
    return None if found.get("Status") == "DELETED" else found


def _settings(job: Job) -> dict[str, Any]:
    given = job.configuration
    settings: dict[str, Any] = {
        **template(job),
        "Parameters": _parameters(job, "Parameters"),
        "Capabilities": capabilities(given),
        "PermissionModel": _model(job),
    }
    if "Description" in given:
        settings["Description"] = given["Description"]
    return settings


def _managed(job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with what the set's permission model adds to them."""
    given = job.configuration
    if settings["PermissionModel"] == SERVICE_MANAGED:
        enabled, retained = AUTOMATIC[given.get("OrganizationsAutoDeployment", "Disabled")]
        deployment = {"Enabled": enabled, **({"RetainStacksOnAccountRemoval": retained} if enabled else {})}
        return settings | {"AutoDeployment": deployment}
    roles = {
        parameter: given[key]
        for parameter, key in (
            ("AdministrationRoleARN", "AdministrationRoleArn"),
            ("ExecutionRoleName", "ExecutionRoleName"),
        )
        if key in given
    }
    return settings | roles


def _model(job: Job) -> str:
    return job.configuration.get("PermissionModel", "SELF_MANAGED")


def _parameters(job: Job, key: str) -> list[dict[str, Any]]:
    """Parameters as a list of ``{"ParameterKey": ..., "ParameterValue": ...}``, from a file or written out."""
    text = job.configuration.get(key)
    if text is None:
        return []
    if "::" in text and PAIR not in text and not text.lstrip().startswith(("[", "{")):
        given, what = as_json(job.file(text), f"{key} {text}"), text
    elif text.lstrip().startswith(PAIR):
        given, what = [_pair(part, key) for part in text.split()], key
    else:
        given, what = as_json(text, key), key
    if not isinstance(given, list) or not all(isinstance(p, dict) and "ParameterKey" in p for p in given):
        raise ActionFailed(
            f"{what} is not a list of objects with ParameterKey and ParameterValue, as {key} of this action needs it.",
            CONFIGURATION,
        )
    known = {"ParameterKey", "ParameterValue", "UsePreviousValue"}
    for parameter in given:
        if unknown := sorted(parameter.keys() - known):
            raise ActionFailed(f"{what} has a parameter with unknown keys: {', '.join(unknown)}.", CONFIGURATION)
        if not isinstance(parameter.get("ParameterValue", ""), str):
            raise ActionFailed(f"{what}: the value of {parameter['ParameterKey']} is not a string.", CONFIGURATION)
    return given


def _pair(text: str, key: str) -> dict[str, Any]:
    """One parameter in the short form ``ParameterKey=...,ParameterValue=...``."""
    parts = dict(part.partition("=")[::2] for part in text.split(",", 1))
    if set(parts) - {"ParameterKey", "ParameterValue", "UsePreviousValue"}:
        raise ActionFailed(f"{key} has {text!r}, which is not ParameterKey=...,ParameterValue=....", CONFIGURATION)
    flag = {"UsePreviousValue": parts.pop("UsePreviousValue").lower() == "true"} if "UsePreviousValue" in parts else {}
    return {**parts, **flag}


def _listed(job: Job, key: str) -> list[str]:
    """The items of a setting: written out with commas, or a JSON list in a file of an artifact."""
    text = job.configuration.get(key, "")
    if "::" in text:
        given = as_json(job.file(text), f"{key} {text}")
        if isinstance(given, list) and given and isinstance(given[0], dict):
            given = [item for group in given for value in group.values() for item in value]
        if not isinstance(given, list):
            raise ActionFailed(f"{key} {text} is not a JSON list.", CONFIGURATION)
        return [str(item) for item in given]
    return [item.strip() for item in text.split(",") if item.strip()]


def _regions(job: Job) -> list[str]:
    regions = _listed(job, "Regions")
    if not regions:
        raise ActionFailed("Regions is needed beside DeploymentTargets.", CONFIGURATION)
    return regions


def _targets(job: Job, model: str) -> dict[str, list[str]]:
    """Accounts, or organizational units where the set is managed by the service; by the name of their kind."""
    return {"units" if model == SERVICE_MANAGED else "accounts": _listed(job, "DeploymentTargets")}


def _ensure_instances(job: Job, found: dict[str, Any] | None, regions: list[str]) -> str:
    """Creates the instances that are missing; the id of the last operation, empty if none was needed."""
    targets = _targets(job, found["PermissionModel"] if found else _model(job))
    missing, _ = _split(targets, regions, _instances(job) if found else [])
    operation = ""
    for chosen, where in missing:
        operation = _operate(job, "create_stack_instances", chosen, where, [])
    return operation


def _instances(job: Job) -> list[dict[str, Any]]:
    pages = job.client("cloudformation").get_paginator("list_stack_instances")
    return [
        instance
        for page in pages.paginate(StackSetName=job.configuration["StackSetName"])
        for instance in page["Summaries"]
    ]


Split = list[tuple[dict[str, list[str]], list[str]]]


def _split(targets: dict[str, list[str]], regions: list[str], existing: list[dict[str, Any]]) -> tuple[Split, Split]:
    """Which targets have no instance in a region, and which have one; each with that region."""
    [(kind, names)] = targets.items()
    where = {(i.get("OrganizationalUnitId" if kind == "units" else "Account"), i["Region"]) for i in existing}
    missing: Split = []
    present: Split = []
    for region in regions:
        lacking = [name for name in names if (name, region) not in where]
        having = [name for name in names if (name, region) in where]
        missing += [({kind: lacking}, [region])] if lacking else []
        present += [({kind: having}, [region])] if having else []
    return missing, present


def _operate(
    job: Job, operation: str, targets: dict[str, list[str]], regions: list[str], overrides: list[dict[str, Any]]
) -> str:
    """Starts an operation on instances and waits for its end; its id."""
    where: dict[str, Any] = (
        {"DeploymentTargets": {"OrganizationalUnitIds": targets["units"]}}
        if "units" in targets
        else {"Accounts": targets["accounts"]}
    )
    started = getattr(job.client("cloudformation"), operation)(
        StackSetName=job.configuration["StackSetName"],
        Regions=regions,
        **where,
        **({"ParameterOverrides": overrides} if overrides else {}),
        **_preferences(job),
    )
    _settled(job, started["OperationId"])
    return str(started["OperationId"])


def _preferences(job: Job) -> dict[str, Any]:
    """How many may fail, and how many are worked on at once."""
    try:
        given = {key: int(job.configuration[key]) for key in PREFERENCES if key in job.configuration}
    except ValueError:
        raise ActionFailed(f"{' and '.join(PREFERENCES)} are whole numbers.", CONFIGURATION) from None
    return {"OperationPreferences": given} if given else {}


def _settled(job: Job, operation: str) -> None:
    """Waits until an operation has ended well.

    Raises:
        ActionFailed: it has not; the message has the reason of each account and region.
    """
    client, name = job.client("cloudformation"), job.configuration["StackSetName"]
    job.note(external_id=operation)

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_stack_set_operation(StackSetName=name, OperationId=operation)[
            "StackSetOperation"
        ]
        return found if found["Status"] in ENDED else None

    found: dict[str, Any] = job.follow(ended, CHANGES, OPERATION_SECONDS)
    if found["Status"] == "SUCCEEDED":
        return
    pages = client.get_paginator("list_stack_set_operation_results").paginate(StackSetName=name, OperationId=operation)
    failed = [
        f"{result['Account']}/{result['Region']}: {result['Status']}: {result.get('StatusReason', 'no reason given')}"
        for page in pages
        for result in page["Summaries"]
        if result["Status"] != "SUCCEEDED"
    ]
    reasons = "\n".join(failed) or found.get("StatusReason", "no reason given")
    raise ActionFailed(f"Operation {operation} ({found['Action']}) of stack set {name} {found['Status']}.\n{reasons}")


def _done(identifier: str, operation: str) -> Outcome:
    variables = {"StackSetId": identifier, **({"OperationId": operation} if operation else {})}
    return Outcome(variables, summary=f"Deployment Succeeded; {json.dumps(variables)}")
