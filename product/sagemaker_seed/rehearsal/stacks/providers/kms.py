"""Keys and aliases."""

from __future__ import annotations

from typing import Any

from ..provider import Context, Made
from .common import Properties, document, gone_is_fine, not_changed, picked, resource, retag, tag_list, tags_of, undone

KEY = "AWS::KMS::Key"
FIXED = "KeySpec KeyUsage MultiRegion Origin"
LONGEST_WINDOW = 30


def _create_key(context: Context, properties: Properties) -> Made:
    kms = context.client("kms")
    given = picked(properties, f"Description BypassPolicyLockoutSafetyCheck {FIXED}")
    policy = {"Policy": document(properties["KeyPolicy"])} if "KeyPolicy" in properties else {}
    tags = tag_list(tags_of(context, properties), "TagKey", "TagValue")
    key = kms.create_key(**given, **policy, **({"Tags": tags} if tags else {}))["KeyMetadata"]
    with undone(lambda: kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)):
        if properties.get("EnableKeyRotation"):
            kms.enable_key_rotation(KeyId=key["KeyId"], **picked(properties, "RotationPeriodInDays"))
        if not properties.get("Enabled", True):
            kms.disable_key(KeyId=key["KeyId"])
    return Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})


def _update_key(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    not_changed(KEY, old, new, *FIXED.split())
    kms, key = context.client("kms"), made.physical_id
    if new.get("Enabled", True) and not old.get("Enabled", True):
        kms.enable_key(KeyId=key)  # first: a disabled key takes no other change
    if old.get("Description") != new.get("Description"):
        kms.update_key_description(KeyId=key, Description=new.get("Description", ""))
    if "KeyPolicy" in new and old.get("KeyPolicy") != new["KeyPolicy"]:
        bypass = picked(new, "BypassPolicyLockoutSafetyCheck")
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(new["KeyPolicy"]), **bypass)
    _rotate(kms, key, old, new)
    retag(
        kms.list_resource_tags(KeyId=key)["Tags"],
        tags_of(context, new),
        lambda tags: kms.tag_resource(KeyId=key, Tags=tag_list(tags, "TagKey", "TagValue")),
        lambda names: kms.untag_resource(KeyId=key, TagKeys=names),
    )
    if old.get("Enabled", True) and not new.get("Enabled", True):
        kms.disable_key(KeyId=key)
    return made


def _rotate(kms: Any, key: str, old: Properties, new: Properties) -> None:
    before, after = (picked(p, "EnableKeyRotation RotationPeriodInDays") for p in (old, new))
    if before == after:
        return
    if new.get("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=key, **picked(new, "RotationPeriodInDays"))
    elif old.get("EnableKeyRotation"):
        kms.disable_key_rotation(KeyId=key)


def _delete_key(context: Context, made: Made, properties: Properties) -> None:
    window = int(properties.get("PendingWindowInDays", LONGEST_WINDOW))
    with gone_is_fine("NotFoundException"), gone_is_fine("KMSInvalidStateException", saying="pending deletion"):
        context.client("kms").schedule_key_deletion(KeyId=made.physical_id, PendingWindowInDays=window)


def _create_alias(context: Context, properties: Properties) -> Made:
    context.client("kms").create_alias(**properties)
    return Made(properties["AliasName"], {})


def _update_alias(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    context.client("kms").update_alias(**new)
    return made


def _delete_alias(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("NotFoundException"):
        context.client("kms").delete_alias(AliasName=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            KEY,
            _create_key,
            _update_key,
            _delete_key,
            honours="BypassPolicyLockoutSafetyCheck Description EnableKeyRotation Enabled KeyPolicy "
            f"PendingWindowInDays RotationPeriodInDays Tags {FIXED}",
        ),
        resource("AWS::KMS::Alias", _create_alias, _update_alias, _delete_alias, honours="AliasName TargetKeyId"),
    )
)
