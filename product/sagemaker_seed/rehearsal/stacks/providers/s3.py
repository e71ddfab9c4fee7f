"""Buckets and their policies. A bucket's settings are a table: how each property is put, and how it is taken away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..provider import Context, Made, ResourceFailed
from .common import (
    Properties,
    changed,
    document,
    generated,
    gone_is_fine,
    picked,
    refused,
    resource,
    tag_list,
    tags_of,
    undone,
)

BUCKET = "AWS::S3::Bucket"
DEFAULT_REGION = "us-east-1"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@dataclass(frozen=True)
class Setting:
    """How a property of a bucket gets to the API: ``put`` with its value, ``remove`` when it is not given any more."""

    put: Callable[[Any, str, Any], object]
    remove: Callable[[Any, str], object]


def _encryption(s3: Any, bucket: str, value: Properties) -> None:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        if ignored := set(rule) - {"ServerSideEncryptionByDefault", "BucketKeyEnabled"}:
            raise refused(BUCKET, ", ".join(f"BucketEncryption {name}" for name in sorted(ignored)))
        default = rule.get("ServerSideEncryptionByDefault")
        rules.append(
            {
                **({"ApplyServerSideEncryptionByDefault": default} if default else {}),
                **picked(rule, "BucketKeyEnabled"),
            }
        )
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _public_access(s3: Any, bucket: str, value: Properties) -> None:
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={name: value.get(name, False) for name in BLOCKS}
    )


def _lifecycle(s3: Any, bucket: str, value: Properties) -> None:
    if ignored := set(value) - {"Rules"}:
        raise refused(BUCKET, ", ".join(f"LifecycleConfiguration {name}" for name in sorted(ignored)))
    rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    expiration = {
        api: rule[ours]
        for ours, api in (
            ("ExpirationInDays", "Days"),
            ("ExpirationDate", "Date"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if ours in rule
    }
    noncurrent = rule.get("NoncurrentVersionExpiration")
    if noncurrent is None and "NoncurrentVersionExpirationInDays" in rule:
        noncurrent = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    transitions = [*rule.get("Transitions", ()), *([rule["Transition"]] if "Transition" in rule else [])]
    old = rule.get("NoncurrentVersionTransition")
    noncurrent_transitions = [*rule.get("NoncurrentVersionTransitions", ()), *([old] if old else [])]
    parts = {
        "ID": rule.get("Id"),
        "Status": rule["Status"],
        "Filter": _lifecycle_filter(rule),
        "Expiration": expiration,
        "NoncurrentVersionExpiration": noncurrent,
        "AbortIncompleteMultipartUpload": rule.get("AbortIncompleteMultipartUpload"),
        "Transitions": [_renamed(t, TransitionInDays="Days", TransitionDate="Date") for t in transitions],
        "NoncurrentVersionTransitions": [
            _renamed(t, TransitionInDays="NoncurrentDays") for t in noncurrent_transitions
        ],
    }
    return {name: part for name, part in parts.items() if part or name == "Filter"}


def _lifecycle_filter(rule: Properties) -> dict[str, Any]:
    tags = rule.get("TagFilters", [])
    conditions = picked(rule, "Prefix ObjectSizeGreaterThan ObjectSizeLessThan")
    conditions |= {name: int(size) for name, size in conditions.items() if name.startswith("ObjectSize")}
    if len(tags) + len(conditions) > 1:
        return {"And": conditions | ({"Tags": tags} if tags else {})}
    return conditions or ({"Tag": tags[0]} if tags else {"Prefix": ""})


def _renamed(value: Properties, **names: str) -> dict[str, Any]:
    return {names.get(name, name): item for name, item in value.items()}


def _cors(s3: Any, bucket: str, value: Properties) -> None:
    rules = [_renamed(r, ExposedHeaders="ExposeHeaders", Id="ID", MaxAge="MaxAgeSeconds") for r in value["CorsRules"]]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def _access_control(_: Any, __: str, value: str) -> None:
    if value != "Private":
        raise refused(BUCKET, f"AccessControl {value}: access control lists let nobody in")


SETTINGS = {
    "AccessControl": Setting(_access_control, lambda _s3, _bucket: None),
    "OwnershipControls": Setting(
        lambda s3, bucket, value: s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=value),
        lambda s3, bucket: s3.delete_bucket_ownership_controls(Bucket=bucket),
    ),
    "PublicAccessBlockConfiguration": Setting(
        _public_access, lambda s3, bucket: s3.delete_public_access_block(Bucket=bucket)
    ),
    "BucketEncryption": Setting(_encryption, lambda s3, bucket: s3.delete_bucket_encryption(Bucket=bucket)),
    "VersioningConfiguration": Setting(
        lambda s3, bucket, value: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value),
        # What has had versions keeps them.
        lambda s3, bucket: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
    ),
    "LifecycleConfiguration": Setting(_lifecycle, lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket)),
    "CorsConfiguration": Setting(_cors, lambda s3, bucket: s3.delete_bucket_cors(Bucket=bucket)),
}


def _create_bucket(context: Context, properties: Properties) -> Made:
    s3, name = context.client("s3"), properties.get("BucketName") or generated(context, 63, lower=True)
    where = {} if context.region == DEFAULT_REGION else {"LocationConstraint": context.region}
    try:
        # In us-east-1 S3 takes the making of a bucket that is there and one's own for made; CloudFormation does not.
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise ResourceFailed(f"{name} already exists") from None
    else:
        raise ResourceFailed(f"{name} already exists")
    s3.create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}))
    with undone(lambda: s3.delete_bucket(Bucket=name)):
        _put_settings(s3, name, {}, properties)
        _put_tags(s3, name, tags_of(context, properties))
    return _bucket(context, name)


def _update_bucket(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    s3, name = context.client("s3"), made.physical_id
    _put_settings(s3, name, old, new)
    if _tags(s3, name) != tags_of(context, new):
        _put_tags(s3, name, tags_of(context, new))
    return _bucket(context, name)


def _put_settings(s3: Any, name: str, old: Properties, new: Properties) -> None:
    moved = set(changed(old, new))
    for prop in [prop for prop in SETTINGS if prop in moved]:  # in the table's order: blocks before policies
        if prop in new:
            SETTINGS[prop].put(s3, name, new[prop])
        else:
            SETTINGS[prop].remove(s3, name)


def _tags(s3: Any, name: str) -> dict[str, str]:
    try:
        return {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        return {}


def _put_tags(s3: Any, name: str, tags: dict[str, str]) -> None:
    if tags:
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(tags)})
    elif _tags(s3, name):
        s3.delete_bucket_tagging(Bucket=name)


def _bucket(context: Context, name: str) -> Made:
    suffix = "amazonaws.com.cn" if context.partition == "aws-cn" else "amazonaws.com"
    separator = "-" if context.region == DEFAULT_REGION else "."
    attributes = {
        "Arn": f"arn:{context.partition}:s3:::{name}",
        "DomainName": f"{name}.s3.{suffix}",
        "DualStackDomainName": f"{name}.s3.dualstack.{context.region}.{suffix}",
        "RegionalDomainName": f"{name}.s3.{context.region}.{suffix}",
        "WebsiteURL": f"http://{name}.s3-website{separator}{context.region}.{suffix}",
    }
    return Made(name, attributes)


def _delete_bucket(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("NoSuchBucket"):
        context.client("s3").delete_bucket(Bucket=made.physical_id)


def _create_policy(context: Context, properties: Properties) -> Made:
    s3, bucket = context.client("s3"), properties["Bucket"]
    try:
        s3.get_bucket_policy(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
    else:
        raise ResourceFailed(f"The bucket policy already exists on bucket {bucket}.")
    return _put_policy(context, properties)


def _update_policy(context: Context, _: Made, __: Properties, new: Properties) -> Made:
    return _put_policy(context, new)


def _put_policy(context: Context, properties: Properties) -> Made:
    bucket, policy = properties["Bucket"], document(properties["PolicyDocument"])
    json.loads(policy)
    context.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    return Made(bucket, {})


def _delete_policy(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("NoSuchBucket", "NoSuchBucketPolicy"):
        context.client("s3").delete_bucket_policy(Bucket=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            BUCKET, _create_bucket, _update_bucket, _delete_bucket, honours=" ".join(["BucketName Tags", *SETTINGS])
        ),
        resource(
            "AWS::S3::BucketPolicy", _create_policy, _update_policy, _delete_policy, honours="Bucket PolicyDocument"
        ),
    )
)
