"""CloudFormation's answers about stacks: what there is, what happened, and what a template says. Changes nothing."""

from __future__ import annotations

import json
from typing import Any

from ...templates import parameters
from ...templates.document import Document
from ...templates.values import as_text
from ..stacks.stack import Resource, Stack, StackEvent
from ..wire import AwsError, Request
from .cloudformation_requests import Answer, Parameters, Requests, invalid, page, required_capabilities

NOT_CHECKED: Answer = {"StackDriftStatus": "NOT_CHECKED"}
CONSTRAINTS = ("AllowedPattern", "ConstraintDescription", "MaxLength", "MinLength", "MaxValue", "MinValue")


def tag_list(tags: dict[str, str]) -> list[Answer]:
    """Tags as the API writes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def parameter_list(document: Document, texts: dict[str, str]) -> list[Answer]:
    """Parameters as the API writes them, secret ones masked."""
    return [
        {"ParameterKey": name, "ParameterValue": parameters.shown(document.parameters[name], text)}
        for name, text in texts.items()
    ]


def _stack(stack: Stack) -> Answer:
    with stack.lock:
        return {
            "StackId": stack.id,
            "StackName": stack.name,
            "ChangeSetId": stack.change_set_id,
            "Description": stack.document.description,
            "Parameters": parameter_list(stack.document, stack.texts),
            "CreationTime": stack.created,
            "DeletionTime": stack.deleted,
            "LastUpdatedTime": stack.updated,
            "RollbackConfiguration": {},
            "StackStatus": stack.status,
            "StackStatusReason": stack.reason,
            "DisableRollback": stack.on_failure == "DO_NOTHING",
            "NotificationARNs": [],
            "TimeoutInMinutes": stack.timeout_minutes,
            "Capabilities": stack.capabilities,
            "Outputs": [
                {
                    "OutputKey": output.name,
                    "OutputValue": output.value,
                    "Description": output.description,
                    "ExportName": output.export,
                }
                for output in stack.outputs
            ],
            "RoleARN": stack.role,
            "Tags": tag_list(stack.tags),
            "EnableTerminationProtection": stack.protected,
            "RetainExceptOnCreate": stack.retain_except_on_create,
            "DriftInformation": NOT_CHECKED,
        }


def _describe_stacks(api: Requests, request: Request, p: Parameters) -> Answer:
    if name := p.get("StackName"):
        return {"Stacks": [_stack(api.stack(request, name))]}
    return page([_stack(stack) for stack in api.stacks(request).alive()], "Stacks", p)


def _list_stacks(api: Requests, request: Request, p: Parameters) -> Answer:
    wanted = p.get("StackStatusFilter")
    found = [stack for stack in api.stacks(request).all() if not wanted or stack.status in wanted]
    summaries = [
        {
            "StackId": stack.id,
            "StackName": stack.name,
            "TemplateDescription": stack.document.description,
            "CreationTime": stack.created,
            "LastUpdatedTime": stack.updated,
            "DeletionTime": stack.deleted,
            "StackStatus": stack.status,
            "StackStatusReason": stack.reason,
            "DriftInformation": NOT_CHECKED,
        }
        for stack in found
    ]
    return page(summaries, "StackSummaries", p)


def _event(stack: Stack, event: StackEvent) -> Answer:
    return {
        "StackId": stack.id,
        "EventId": event.id,
        "StackName": stack.name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id or "",
        "ResourceType": event.type,
        "Timestamp": event.time,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ResourceProperties": event.properties,
        "ClientRequestToken": event.token,
    }


def _describe_events(api: Requests, request: Request, p: Parameters) -> Answer:
    if not p.get("StackName"):
        raise invalid("Stack name or id is required")
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        events = [_event(stack, event) for event in reversed(stack.events)]
    return page(events, "StackEvents", p)


def _resource(resource: Resource) -> Answer:
    return {
        "LogicalResourceId": resource.wanted.logical_id,
        "PhysicalResourceId": resource.physical_id or "",
        "ResourceType": resource.wanted.type,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def _list_resources(api: Requests, request: Request, p: Parameters) -> Answer:
    stack = api.stack(request, p["StackName"])
    with stack.lock:
        found = [{**_resource(r), "LastUpdatedTimestamp": r.updated} for r in stack.resources.values()]
    return page(found, "StackResourceSummaries", p)


def _describe_resources(api: Requests, request: Request, p: Parameters) -> Answer:
    if bool(p.get("StackName")) == bool(p.get("PhysicalResourceId")):
        raise invalid("Exactly one of StackName and PhysicalResourceId must be specified.")
    physical, logical = p.get("PhysicalResourceId"), p.get("LogicalResourceId")
    if physical:
        stacks = [s for s in api.stacks(request).alive() if physical in [r.physical_id for r in s.resources.values()]]
        if not stacks:
            raise invalid(f"Stack for {physical} does not exist")
        stack = stacks[0]
    else:
        stack = api.stack(request, p["StackName"])
    with stack.lock:
        found = [
            {**_resource(r), "Timestamp": r.updated, "StackName": stack.name, "StackId": stack.id}
            for name, r in stack.resources.items()
            if logical in (None, name)
        ]
    return {"StackResources": found}


def _describe_resource(api: Requests, request: Request, p: Parameters) -> Answer:
    stack, name = api.stack(request, p["StackName"]), p["LogicalResourceId"]
    with stack.lock:
        resource = stack.resources.get(name)
        if resource is None:
            raise invalid(f"Resource {name} does not exist for stack {stack.name}")
        more: Answer = {"StackName": stack.name, "StackId": stack.id, "LastUpdatedTimestamp": resource.updated}
        if resource.wanted.metadata is not None:
            more["Metadata"] = json.dumps(resource.wanted.metadata)
        return {"StackResourceDetail": {**_resource(resource), **more}}


def _get_template(api: Requests, request: Request, p: Parameters) -> Answer:
    stages = ["Original", "Processed"]
    if name := p.get("ChangeSetName"):
        from .cloudformation_changesets import find

        return {
            "TemplateBody": find(api, request, name, p.get("StackName"))[1].document.text,
            "StagesAvailable": stages,
        }
    if not p.get("StackName"):
        raise invalid("StackName is required.")
    return {"TemplateBody": api.stack(request, p["StackName"]).document.text, "StagesAvailable": stages}


def _declared(name: str, parameter: Any) -> Answer:
    default = parameter.get("Default")
    texts = [default] if not isinstance(default, list) else default
    return {
        "ParameterKey": name,
        "DefaultValue": None if default is None else ",".join(map(as_text, texts)),
        "NoEcho": as_text(parameter.get("NoEcho", False)).lower() == "true",
        "Description": parameter.get("Description"),
    }


def _summary(document: Document) -> Answer:
    capabilities, reason = required_capabilities(document)
    return {"Description": document.description, "Capabilities": capabilities, "CapabilitiesReason": reason}


def _validate(api: Requests, request: Request, p: Parameters) -> Answer:
    document = api.document(request, p)
    declared = [_declared(name, parameter) for name, parameter in document.parameters.items()]
    return {**_summary(document), "Parameters": declared, "DeclaredTransforms": []}


def _get_summary(api: Requests, request: Request, p: Parameters) -> Answer:
    if p.get("StackSetName"):
        raise AwsError(
            "ValidationError", "The embedded AWS gives summaries of stacks and templates, not of stack sets."
        )
    document = api.stack(request, p["StackName"]).document if p.get("StackName") else api.document(request, p)
    declared = [
        {
            **_declared(name, parameter),
            "ParameterType": parameter["Type"],
            "ParameterConstraints": {
                "AllowedValues": [as_text(value) for value in parameter.get("AllowedValues", ())],
            },
        }
        for name, parameter in document.parameters.items()
    ]
    return {
        **_summary(document),
        "Parameters": declared,
        "ResourceTypes": document.types,
        "Version": "2010-09-09",
        "Metadata": json.dumps(document.metadata) if document.metadata else None,
        "DeclaredTransforms": [],
        "ResourceIdentifierSummaries": [],
    }


def _list_exports(api: Requests, request: Request, p: Parameters) -> Answer:
    exports = [
        {"ExportingStackId": stack.id, "Name": output.export, "Value": output.value}
        for stack, output in api.stacks(request).exports()
    ]
    return page(exports, "Exports", p)


def _list_imports(api: Requests, request: Request, p: Parameters) -> Answer:
    users = api.stacks(request).importers(p["ExportName"])
    if not users:
        raise invalid(f"Export '{p['ExportName']}' is not imported by any stack.")
    return page(users, "Imports", p)


OPERATIONS = {
    "DescribeStackEvents": _describe_events,
    "DescribeStackResource": _describe_resource,
    "DescribeStackResources": _describe_resources,
    "DescribeStacks": _describe_stacks,
    "GetTemplate": _get_template,
    "GetTemplateSummary": _get_summary,
    "ListExports": _list_exports,
    "ListImports": _list_imports,
    "ListStackResources": _list_resources,
    "ListStacks": _list_stacks,
    "ValidateTemplate": _validate,
}
