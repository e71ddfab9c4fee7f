"""Deploy actions on one CloudFormation stack: creates, updates, replaces, deletes it, directly or by a change set."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from . import artifacts
from .execution import Artifact
from .failure import CONFIGURATION, ActionFailed
from .job import Job, Outcome, as_json

# As much of a template as CloudFormation takes in the request itself.
BODY_BYTES = 51_200
NO_UPDATES = "No updates are to be performed"
NO_CHANGES = ("didn't contain changes", NO_UPDATES)
# A stack in one of these cannot be updated: REPLACE_ON_FAILURE deletes it first.
BROKEN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED"}
SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}
BEGUN = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}
CANCELLED = "cancelled"
CHANGES = "CloudFormation Stack Status Change"


def cloudformation(job: Job) -> Outcome:
    """Does what the action's mode says."""
    return MODES[job.configuration["ActionMode"]](job)


def _create_update(job: Job) -> Outcome:
    stack = _stack(job)
    return _create(job) if _is_new(stack) else _update(job)


def _replace_on_failure(job: Job) -> Outcome:
    stack = _stack(job)
    if stack is not None and stack["StackStatus"] in BROKEN:
        _delete(job, stack)
        stack = None
    return _create(job) if _is_new(stack) else _update(job)


def _delete_only(job: Job) -> Outcome:
    stack = _stack(job)
    if stack is not None:
        _delete(job, stack)
    return Outcome(summary="Deployment Succeeded")


def _change_set_replace(job: Job) -> Outcome:
    client, stack, name = job.client("cloudformation"), _stack(job), job.configuration["ChangeSetName"]
    if stack is not None:
        client.delete_change_set(StackName=_name(job), ChangeSetName=name)
    request = _request(job)
    request.pop("StackPolicyBody", None)  # a change set has none; the policy comes with the stack's own operations
    made = client.create_change_set(
        ChangeSetName=name, ChangeSetType="CREATE" if _is_new(stack) else "UPDATE", **request
    )
    job.note(external_id=made["StackId"], external_url=_url(job, made["StackId"]))

    def ready() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_change_set(StackName=_name(job), ChangeSetName=name)
        return found if found["Status"] in {"CREATE_COMPLETE", "FAILED"} else None

    found = job.wait(ready)
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "")
        if not any(text in reason for text in NO_CHANGES):
            raise ActionFailed(f"Change set {name} of stack {_name(job)} failed: {reason}")
        return Outcome({"StackName": _name(job), "ChangeSetName": name}, summary=reason)
    return Outcome({"StackName": _name(job), "ChangeSetName": name}, summary=f"Change set {name} created.")


def _change_set_execute(job: Job) -> Outcome:
    client, name = job.client("cloudformation"), job.configuration["ChangeSetName"]
    found = client.describe_change_set(StackName=_name(job), ChangeSetName=name)
    if found["Status"] == "FAILED" and any(text in found.get("StatusReason", "") for text in NO_CHANGES):
        return _succeeded(job, _existing(job))
    client.execute_change_set(StackName=_name(job), ChangeSetName=name)
    return _succeeded(job, _settled(job, found["StackId"]))


MODES: dict[str, Callable[[Job], Outcome]] = {
    "CREATE_UPDATE": _create_update,
    "REPLACE_ON_FAILURE": _replace_on_failure,
    "DELETE_ONLY": _delete_only,
    "CHANGE_SET_REPLACE": _change_set_replace,
    "CHANGE_SET_EXECUTE": _change_set_execute,
}
# mode -> what the configuration must have for it
NEEDED: dict[str, tuple[str, ...]] = {
    "CREATE_UPDATE": ("RoleArn", "TemplatePath"),
    "REPLACE_ON_FAILURE": ("RoleArn", "TemplatePath"),
    "DELETE_ONLY": ("RoleArn",),
    "CHANGE_SET_REPLACE": ("RoleArn", "TemplatePath", "ChangeSetName"),
    "CHANGE_SET_EXECUTE": ("ChangeSetName",),
}


def _name(job: Job) -> str:
    return job.configuration["StackName"]


def _stack(job: Job) -> dict[str, Any] | None:
    try:
        found: list[dict[str, Any]] = job.client("cloudformation").describe_stacks(StackName=_name(job))["Stacks"]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return found[0] if found else None


def _is_new(stack: dict[str, Any] | None) -> bool:
    return stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS"


def _existing(job: Job) -> dict[str, Any]:
    stack = _stack(job)
    if stack is None:
        raise ActionFailed(f"Stack [{_name(job)}] does not exist")
    return stack


def _create(job: Job) -> Outcome:
    made = job.client("cloudformation").create_stack(**_request(job))["StackId"]
    return _succeeded(job, _settled(job, made))


def _update(job: Job) -> Outcome:
    try:
        stack = job.client("cloudformation").update_stack(**_request(job))["StackId"]
    except ClientError as error:
        if NO_UPDATES not in error.response["Error"]["Message"]:
            raise
        return _succeeded(job, _existing(job))
    return _succeeded(job, _settled(job, stack))


def _delete(job: Job, stack: dict[str, Any]) -> None:
    role = {"RoleARN": job.configuration["RoleArn"]} if "RoleArn" in job.configuration else {}
    job.client("cloudformation").delete_stack(StackName=_name(job), **role)
    _settled(job, stack["StackId"])


def _settled(job: Job, stack_id: str) -> dict[str, Any]:
    """The stack when its operation has ended well.

    Raises:
        ActionFailed: it has ended otherwise; the message is the first failure among the stack's events.
    """
    job.note(external_id=stack_id, external_url=_url(job, stack_id))

    def ended() -> dict[str, Any] | None:
        stack: dict[str, Any] = job.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]
        return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack

    stack: dict[str, Any] = job.follow(ended, CHANGES)
    if stack["StackStatus"] not in SUCCEEDED:
        cause = _cause(job, stack_id) or stack.get("StackStatusReason") or "no event of the stack says why"
        raise ActionFailed(f"Stack {_name(job)} ended as {stack['StackStatus']}. {cause}")
    return stack


def _cause(job: Job, stack_id: str) -> str:
    """The first failure of the stack's last operation; empty if there is none, or the events may not be read."""
    failed: list[dict[str, Any]] = []
    try:
        pages = job.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for event in (event for page in pages for event in page["StackEvents"]):  # the newest first
            if event["ResourceStatus"].endswith("_FAILED"):
                failed.append(event)
            if event.get("PhysicalResourceId") == stack_id and event["ResourceStatus"] in BEGUN:
                break
    except ClientError as error:
        return f"(Its events cannot be read: {error.response['Error']['Message']})"
    causes = [e for e in failed if CANCELLED not in e.get("ResourceStatusReason", "").lower()] or failed
    if not causes:
        return ""
    first = causes[-1]
    return (
        f"{first['LogicalResourceId']} ({first['ResourceType']}) {first['ResourceStatus']}: "
        f"{first.get('ResourceStatusReason', 'no reason given')}"
    )


def _succeeded(job: Job, stack: dict[str, Any]) -> Outcome:
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs") or ()}
    job.note(external_id=stack["StackId"], external_url=_url(job, stack["StackId"]))
    kept: tuple[Artifact, ...] = ()
    if job.outputs and "OutputFileName" in job.configuration:
        content = artifacts.packed({job.configuration["OutputFileName"]: json.dumps(outputs)})
        kept = (job.store.put(job.client("s3"), job.outputs[0], content),)
    return Outcome(outputs, kept, f"Deployment Succeeded; stack {_name(job)} is {stack['StackStatus']}")


def _url(job: Job, stack_id: str) -> str:
    return f"{job.host}/cloudformation/home?region={job.region}#/stack/detail?stackId={stack_id}"


# ------------------------------------------------------------------------------------------------ template, parameters


def template(job: Job) -> dict[str, str]:
    """The template as a parameter of a request: itself, or where it lies if it is too long for that."""
    reference = job.configuration["TemplatePath"]
    text = job.file(reference)
    if len(text.encode()) <= BODY_BYTES:
        return {"TemplateBody": text}
    # Put there as the pipeline's role: a role of another account may read the artifact bucket, not write to it.
    place = job.store.put(job.owners_client("s3"), reference.partition("::")[0], text.encode())
    return {"TemplateURL": f"https://{place.bucket}.s3.{job.region}.amazonaws.com/{place.key}"}


def _request(job: Job) -> dict[str, Any]:
    given = job.configuration
    settings = _settings(job)
    parameters = settings["Parameters"] | _overrides(job)
    request: dict[str, Any] = {
        "StackName": _name(job),
        **template(job),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": capabilities(given),
    }
    if "RoleArn" in given:
        request["RoleARN"] = given["RoleArn"]
    if settings["Tags"]:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in settings["Tags"].items()]
    if settings["StackPolicy"]:
        request["StackPolicyBody"] = json.dumps(settings["StackPolicy"])
    return request


def capabilities(given: Any) -> list[str]:
    """The capabilities that a configuration acknowledges."""
    return [name.strip() for name in given.get("Capabilities", "").split(",") if name.strip()]


def _settings(job: Job) -> dict[str, dict[str, Any]]:
    """The template configuration file: ``Parameters``, ``Tags`` and ``StackPolicy``."""
    settings: dict[str, dict[str, Any]] = {"Parameters": {}, "Tags": {}, "StackPolicy": {}}
    reference = job.configuration.get("TemplateConfiguration")
    if reference is None:
        return settings
    what = f"The template configuration {reference}"
    given = as_json(job.file(reference), what)
    if not isinstance(given, dict) or not all(isinstance(given.get(name, {}), dict) for name in settings):
        raise ActionFailed(f"{what} is not an object with Parameters, Tags and StackPolicy.", CONFIGURATION)
    if unknown := sorted(given.keys() - settings.keys()):
        raise ActionFailed(f"{what} has unknown keys: {', '.join(unknown)}.", CONFIGURATION)
    settings |= given
    for name in ("Parameters", "Tags"):
        if wrong := [key for key, value in settings[name].items() if not isinstance(value, str)]:
            raise ActionFailed(f"{what} has {name} that are not strings: {', '.join(wrong)}.", CONFIGURATION)
    return settings


def _overrides(job: Job) -> dict[str, str]:
    """Parameters in the action's own configuration, which win over those of the file."""
    text = job.configuration.get("ParameterOverrides")
    if text is None:
        return {}
    given = as_json(text, "ParameterOverrides")
    if not isinstance(given, dict):
        raise ActionFailed("ParameterOverrides is not a JSON object.", CONFIGURATION)
    return {name: _overridden(job, name, value) for name, value in given.items()}


def _overridden(job: Job, name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        [(function, arguments)] = value.items()
        if function in FUNCTIONS and isinstance(arguments, list):
            return FUNCTIONS[function](job, *map(str, arguments))
    raise ActionFailed(
        f"ParameterOverrides has {name}, which is neither a string nor one of {', '.join(FUNCTIONS)}.", CONFIGURATION
    )


def _artifact_attribute(job: Job, name: str, attribute: str) -> str:
    artifact = job.input(name)
    attributes = {
        "BucketName": artifact.bucket,
        "ObjectKey": artifact.key,
        "URL": f"https://{artifact.bucket}.s3.{job.region}.amazonaws.com/{artifact.key}",
    }
    if attribute not in attributes:
        raise ActionFailed(f"Fn::GetArtifactAtt has no attribute {attribute}.", CONFIGURATION)
    return attributes[attribute]


def _parameter(job: Job, name: str, file: str, key: str) -> str:
    content = as_json(job.file(f"{name}::{file}"), f"{name}::{file}")
    if not isinstance(content, dict) or key not in content:
        raise ActionFailed(f"Fn::GetParam: {name}::{file} has no key {key}.", CONFIGURATION)
    return str(content[key])


FUNCTIONS: dict[str, Callable[..., str]] = {"Fn::GetArtifactAtt": _artifact_attribute, "Fn::GetParam": _parameter}
