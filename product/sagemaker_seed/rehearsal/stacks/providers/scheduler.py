"""EventBridge Scheduler's schedules, which have no tags."""

from __future__ import annotations

from ..provider import Context, Made
from .common import Properties, generated, gone_is_fine, picked, resource

DEFAULT_GROUP = "default"
GIVEN = (
    "Description EndDate FlexibleTimeWindow GroupName ScheduleExpression ScheduleExpressionTimezone StartDate State "
    "Target"
)


def _create(context: Context, properties: Properties) -> Made:
    name = properties.get("Name") or generated(context, 64)
    arn = context.client("scheduler").create_schedule(Name=name, **picked(properties, GIVEN))["ScheduleArn"]
    return Made(name, {"Arn": arn})


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    if picked(old, GIVEN) != picked(new, GIVEN):
        context.client("scheduler").update_schedule(Name=made.physical_id, **picked(new, GIVEN))
    return made


def _delete(context: Context, made: Made, properties: Properties) -> None:
    with gone_is_fine("ResourceNotFoundException"):
        group = properties.get("GroupName", DEFAULT_GROUP)
        context.client("scheduler").delete_schedule(Name=made.physical_id, GroupName=group)


PROVIDERS = dict((resource("AWS::Scheduler::Schedule", _create, _update, _delete, honours=f"Name {GIVEN}"),))
