"""EventBridge's rules with their targets, and event buses with their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..provider import Context, Made, ResourceFailed
from .common import Properties, document, generated, gone_is_fine, picked, resource, retag, tag_list, tags_of, undone

DEFAULT_BUS = "default"


def _create(context: Context, properties: Properties) -> Made:
    events, name = context.client("events"), properties.get("Name") or generated(context, 64)
    bus = properties.get("EventBusName", DEFAULT_BUS)
    with gone_is_fine("ResourceNotFoundException"):
        events.describe_rule(Name=name, EventBusName=bus)
        raise ResourceFailed(f"{name} already exists")
    tags = tag_list(tags_of(context, properties))
    arn = _put_rule(events, name, bus, properties, **({"Tags": tags} if tags else {}))
    with undone(lambda: _remove(events, name, bus)):
        _put_targets(events, name, bus, properties.get("Targets", []))
    return Made(name if bus == DEFAULT_BUS else f"{bus.rpartition('/')[2]}|{name}", {"Arn": arn, "RuleName": name})


def _put_rule(events: Any, name: str, bus: str, properties: Properties, **tags: Any) -> str:
    pattern = {"EventPattern": document(properties["EventPattern"])} if "EventPattern" in properties else {}
    answer = events.put_rule(
        Name=name,
        EventBusName=bus,
        State=properties.get("State", "ENABLED"),
        **pattern,
        **picked(properties, "Description ScheduleExpression RoleArn"),
        **tags,
    )
    return str(answer["RuleArn"])


def _put_targets(events: Any, name: str, bus: str, targets: list[dict[str, Any]]) -> None:
    if not targets:
        return
    failed = events.put_targets(Rule=name, EventBusName=bus, Targets=targets).get("FailedEntries", [])
    if failed:
        told = "; ".join(f"{f.get('TargetId')}: {f.get('ErrorMessage') or f.get('ErrorCode')}" for f in failed)
        raise ResourceFailed(f"Failed to put targets of rule {name}: {told}")


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    events, name, bus = context.client("events"), made.attributes["RuleName"], new.get("EventBusName", DEFAULT_BUS)
    arn = _put_rule(events, name, bus, new)
    targets = new.get("Targets", [])
    _put_targets(events, name, bus, [target for target in targets if target not in old.get("Targets", [])])
    stale = {target["Id"] for target in old.get("Targets", [])} - {target["Id"] for target in targets}
    if stale:
        events.remove_targets(Rule=name, EventBusName=bus, Ids=sorted(stale))
    _retag(events, arn, tags_of(context, new))
    return made


def _retag(events: Any, arn: str, wanted: Mapping[str, str]) -> None:
    """Of a rule or a bus."""
    retag(
        events.list_tags_for_resource(ResourceARN=arn)["Tags"],
        wanted,
        lambda tags: events.tag_resource(ResourceARN=arn, Tags=tag_list(tags)),
        lambda keys: events.untag_resource(ResourceARN=arn, TagKeys=keys),
    )


def _remove(events: Any, name: str, bus: str) -> None:
    with gone_is_fine("ResourceNotFoundException"):
        targets = [t["Id"] for t in events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]]
        if targets:
            events.remove_targets(Rule=name, EventBusName=bus, Ids=targets)
        events.delete_rule(Name=name, EventBusName=bus)


def _delete(context: Context, made: Made, properties: Properties) -> None:
    _remove(context.client("events"), made.attributes["RuleName"], properties.get("EventBusName", DEFAULT_BUS))


# --- buses


def _create_bus(context: Context, properties: Properties) -> Made:
    events, name = context.client("events"), properties["Name"]
    tags = tag_list(tags_of(context, properties))
    arn = str(events.create_event_bus(Name=name, **({"Tags": tags} if tags else {}))["EventBusArn"])
    with undone(lambda: events.delete_event_bus(Name=name)):
        _let_in(events, name, None, properties.get("Policy"))
    return Made(name, {"Arn": arn, "Name": name})


def _let_in(events: Any, name: str, old: Any, new: Any) -> None:
    if new is not None and new != old:
        events.put_permission(EventBusName=name, Policy=document(new))
    elif new is None and old is not None:
        events.remove_permission(EventBusName=name, RemoveAllPermissions=True)


def _update_bus(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    events, arn = context.client("events"), made.attributes["Arn"]
    _let_in(events, made.physical_id, old.get("Policy"), new.get("Policy"))
    _retag(events, arn, tags_of(context, new))
    return made


def _delete_bus(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ResourceNotFoundException"):
        context.client("events").delete_event_bus(Name=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            "AWS::Events::EventBus",
            _create_bus,
            _update_bus,
            _delete_bus,
            honours="Name Policy Tags",
        ),
        resource(
            "AWS::Events::Rule",
            _create,
            _update,
            _delete,
            honours="Description EventBusName EventPattern Name RoleArn ScheduleExpression State Tags Targets",
            # The bus is only in part of the schema's cases create-only: when it changes.
            replaces=frozenset({"Name", "EventBusName"}),
        ),
    )
)
