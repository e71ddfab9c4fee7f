"""Log groups."""

from __future__ import annotations

from typing import Any

from ..provider import Context, Made
from .common import Properties, generated, gone_is_fine, not_changed, resource, retag, tags_of, undone

GROUP = "AWS::Logs::LogGroup"


def _create(context: Context, properties: Properties) -> Made:
    logs, name = context.client("logs"), properties.get("LogGroupName") or generated(context, 512)
    given = {"kmsKeyId": properties.get("KmsKeyId"), "logGroupClass": properties.get("LogGroupClass")}
    tags = tags_of(context, properties)
    logs.create_log_group(
        logGroupName=name, **{k: v for k, v in given.items() if v}, **({"tags": tags} if tags else {})
    )
    with undone(lambda: logs.delete_log_group(logGroupName=name)):
        _retain(logs, name, None, properties.get("RetentionInDays"))
    return Made(name, {"Arn": f"{_arn(context, name)}:*"})


def _arn(context: Context, name: str) -> str:
    return f"arn:{context.partition}:logs:{context.region}:{context.account}:log-group:{name}"


def _retain(logs: Any, name: str, old: int | None, new: int | None) -> None:
    if new is not None and new != old:
        logs.put_retention_policy(logGroupName=name, retentionInDays=new)
    elif new is None and old is not None:
        logs.delete_retention_policy(logGroupName=name)


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    not_changed(GROUP, old, new, "LogGroupClass")
    logs, name = context.client("logs"), made.physical_id
    _retain(logs, name, old.get("RetentionInDays"), new.get("RetentionInDays"))
    before, key = old.get("KmsKeyId"), new.get("KmsKeyId")
    if key and key != before:
        logs.associate_kms_key(logGroupName=name, kmsKeyId=key)
    elif before and not key:
        logs.disassociate_kms_key(logGroupName=name)
    arn = _arn(context, name)
    retag(
        logs.list_tags_for_resource(resourceArn=arn)["tags"],
        tags_of(context, new),
        lambda tags: logs.tag_resource(resourceArn=arn, tags=tags),
        lambda keys: logs.untag_resource(resourceArn=arn, tagKeys=keys),
    )
    return made


def _delete(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ResourceNotFoundException"):
        context.client("logs").delete_log_group(logGroupName=made.physical_id)


PROVIDERS = dict(
    (resource(GROUP, _create, _update, _delete, honours="KmsKeyId LogGroupClass LogGroupName RetentionInDays Tags"),)
)
