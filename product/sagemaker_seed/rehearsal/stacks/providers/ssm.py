"""Parameters of Systems Manager."""

from __future__ import annotations

from ..provider import Context, Made
from .common import Properties, generated, gone_is_fine, picked, resource, retag, tag_list, tags_of

GIVEN = "Value Type Description AllowedPattern DataType Tier Policies"


def _create(context: Context, properties: Properties) -> Made:
    name, tags = properties.get("Name") or f"CFN-{generated(context, 508)}", tag_list(tags_of(context, properties))
    context.client("ssm").put_parameter(Name=name, **picked(properties, GIVEN), **({"Tags": tags} if tags else {}))
    return _parameter(context, name, properties)


def _parameter(context: Context, name: str, properties: Properties) -> Made:
    arn = f"arn:{context.partition}:ssm:{context.region}:{context.account}:parameter/{name.lstrip('/')}"
    return Made(name, {"Arn": arn, "Name": name, **picked(properties, "Type Value")})


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    ssm, name = context.client("ssm"), made.physical_id
    if picked(old, GIVEN) != picked(new, GIVEN):
        # Without one, PutParameter would leave the old description.
        ssm.put_parameter(Name=name, Overwrite=True, **({"Description": ""} | picked(new, GIVEN)))
    named = {"ResourceType": "Parameter", "ResourceId": name}
    retag(
        ssm.list_tags_for_resource(**named)["TagList"],
        tags_of(context, new),
        lambda tags: ssm.add_tags_to_resource(**named, Tags=tag_list(tags)),
        lambda keys: ssm.remove_tags_from_resource(**named, TagKeys=keys),
    )
    return _parameter(context, name, new)


def _delete(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ParameterNotFound"):
        context.client("ssm").delete_parameter(Name=made.physical_id)


PROVIDERS = dict((resource("AWS::SSM::Parameter", _create, _update, _delete, honours=f"Name Tags {GIVEN}"),))
