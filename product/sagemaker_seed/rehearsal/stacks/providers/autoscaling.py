"""Application Auto Scaling: targets that can scale, and the policies by which they do."""

from __future__ import annotations

from ..provider import Context, Made, ResourceFailed
from .common import Properties, gone_is_fine, picked, resource, retag, tags_of

SERVICE = "application-autoscaling"
GONE = "ObjectNotFoundException"
IDENTITY = ("ResourceId", "ScalableDimension", "ServiceNamespace")
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
CONFIGURATIONS = (
    "StepScalingPolicyConfiguration TargetTrackingScalingPolicyConfiguration PredictiveScalingPolicyConfiguration"
)


def _register(context: Context, properties: Properties, **tags: dict[str, str]) -> Made:
    given = {key: value for key, value in properties.items() if key != "Tags"}
    arn = context.client(SERVICE).register_scalable_target(**given, **{k: v for k, v in tags.items() if v})
    identity = "|".join(properties[name] for name in IDENTITY)
    return Made(identity, {"Id": identity, "ScalableTargetARN": arn.get("ScalableTargetARN")})


def _create_target(context: Context, properties: Properties) -> Made:
    return _register(context, properties, Tags=tags_of(context, properties))


def _update_target(context: Context, _: Made, __: Properties, new: Properties) -> Made:
    registered = _register(context, new)
    scaling, arn = context.client(SERVICE), registered.attributes["ScalableTargetARN"]
    if arn is not None:
        retag(
            scaling.list_tags_for_resource(ResourceARN=arn)["Tags"],
            tags_of(context, new),
            lambda tags: scaling.tag_resource(ResourceARN=arn, Tags=tags),
            lambda keys: scaling.untag_resource(ResourceARN=arn, TagKeys=keys),
        )
    return registered


def _delete_target(context: Context, made: Made, _: Properties) -> None:
    identity = dict(zip(IDENTITY, made.physical_id.split("|"), strict=True))
    with gone_is_fine(GONE):
        context.client(SERVICE).deregister_scalable_target(**identity)


def _put_policy(context: Context, properties: Properties) -> Made:
    given = picked(properties, f"PolicyName PolicyType {CONFIGURATIONS}")
    target = _target_of(properties)
    arn = context.client(SERVICE).put_scaling_policy(**given, **target)["PolicyARN"]
    return Made(f"{arn}|{target['ScalableDimension']}", {"Arn": arn, "PolicyName": properties["PolicyName"]}, ref=arn)


def _target_of(properties: Properties) -> dict[str, str]:
    """Which target a policy is for: named by its three parts, or by what ``Ref`` of the target gives."""
    if "ScalingTargetId" not in properties:
        return picked(properties, " ".join(IDENTITY))
    parts = properties["ScalingTargetId"].split("|")
    if len(parts) != len(IDENTITY):
        raise ResourceFailed(f"Invalid request provided: {properties['ScalingTargetId']!r} is no scaling target's id.")
    return dict(zip(IDENTITY, parts, strict=True))


def _update_policy(context: Context, _: Made, __: Properties, new: Properties) -> Made:
    return _put_policy(context, new)


def _delete_policy(context: Context, made: Made, properties: Properties) -> None:
    with gone_is_fine(GONE):
        context.client(SERVICE).delete_scaling_policy(
            PolicyName=made.attributes["PolicyName"], **_target_of(properties)
        )


PROVIDERS = dict(
    (
        resource(
            TARGET,
            _create_target,
            _update_target,
            _delete_target,
            honours="MaxCapacity MinCapacity ResourceId RoleARN ScalableDimension ServiceNamespace SuspendedState Tags",
        ),
        resource(
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            _put_policy,
            _update_policy,
            _delete_policy,
            honours=f"PolicyName PolicyType ScalingTargetId {CONFIGURATIONS} {' '.join(IDENTITY)}",
        ),
    )
)
