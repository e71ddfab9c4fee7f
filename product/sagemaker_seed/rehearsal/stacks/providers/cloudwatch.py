"""Alarms and dashboards."""

from __future__ import annotations

from ..provider import Context, Made, ResourceFailed
from .common import Properties, generated, gone_is_fine, resource, retag, tag_list, tags_of

ALARM = (
    "ActionsEnabled AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions "
    "EvaluateLowSampleCountPercentile EvaluationPeriods ExtendedStatistic InsufficientDataActions MetricName Metrics "
    "Namespace OKActions Period Statistic Threshold ThresholdMetricId TreatMissingData Unit"
)


def _arn(context: Context, name: str) -> str:
    return f"arn:{context.partition}:cloudwatch:{context.region}:{context.account}:alarm:{name}"


def _put_alarm(context: Context, name: str, properties: Properties, tags: dict[str, str]) -> Made:
    given = {key: value for key, value in properties.items() if key not in {"AlarmName", "Tags"}}
    metrics = [{"ReturnData": True, **metric} for metric in given.pop("Metrics", ())]
    context.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        **given,
        **({"Metrics": metrics} if metrics else {}),
        **({"Tags": tag_list(tags)} if tags else {}),
    )
    return Made(name, {"Arn": _arn(context, name)})


def _create_alarm(context: Context, properties: Properties) -> Made:
    name = properties.get("AlarmName") or generated(context, 255)
    # PutMetricAlarm overwrites; CloudFormation does not take what it has not made.
    if context.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        raise ResourceFailed(f"{name} already exists")
    return _put_alarm(context, name, properties, tags_of(context, properties))


def _update_alarm(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    cloudwatch, arn = context.client("cloudwatch"), _arn(context, made.physical_id)
    _put_alarm(context, made.physical_id, new, {})  # which leaves the tags of an alarm as they are
    retag(
        cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"],
        tags_of(context, new),
        lambda tags: cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(tags)),
        lambda keys: cloudwatch.untag_resource(ResourceARN=arn, TagKeys=keys),
    )
    return made


def _delete_alarm(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ResourceNotFound"):
        context.client("cloudwatch").delete_alarms(AlarmNames=[made.physical_id])


def _create_dashboard(context: Context, properties: Properties) -> Made:
    name = properties.get("DashboardName") or generated(context, 255)
    return _put_dashboard(context, name, properties)


def _put_dashboard(context: Context, name: str, properties: Properties) -> Made:
    answer = context.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=properties["DashboardBody"])
    if wrong := answer.get("DashboardValidationMessages"):
        raise ResourceFailed("; ".join(f"{m.get('DataPath', '')} {m.get('Message', '')}".strip() for m in wrong))
    return Made(name, {})


def _update_dashboard(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    return _put_dashboard(context, made.physical_id, new)


def _delete_dashboard(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ResourceNotFound", "DashboardNotFoundError"):
        context.client("cloudwatch").delete_dashboards(DashboardNames=[made.physical_id])


PROVIDERS = dict(
    (
        resource(
            "AWS::CloudWatch::Alarm", _create_alarm, _update_alarm, _delete_alarm, honours=f"AlarmName Tags {ALARM}"
        ),
        resource(
            "AWS::CloudWatch::Dashboard",
            _create_dashboard,
            _update_dashboard,
            _delete_dashboard,
            honours="DashboardBody DashboardName",
        ),
    )
)
