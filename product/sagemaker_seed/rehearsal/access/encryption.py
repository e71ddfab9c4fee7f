"""Whether a caller may use the KMS key that an object of S3 is encrypted with. S3 itself decides the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...policies import Asked
from ..wire import AwsError, Caller
from . import keys
from .context import UNDERSTOOD
from .decision import Said, message, refusal
from .resources import key_arn

# Operations of S3 -> what they do with the key, https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
WRITING = {
    "CopyObject": ("kms:GenerateDataKey",),
    "CreateMultipartUpload": ("kms:GenerateDataKey",),
    "PutObject": ("kms:GenerateDataKey",),
    "UploadPart": ("kms:GenerateDataKey", "kms:Decrypt"),
    "UploadPartCopy": ("kms:GenerateDataKey", "kms:Decrypt"),
}
READING = {"CompleteMultipartUpload", "GetObject"}
AWS_KEY = "alias/aws/s3"


@dataclass(frozen=True)
class Use:
    """A KMS key in the service of one object.

    Attributes:
        key: its id, ARN or alias; empty for the one that AWS makes for S3 in every account.
        context: the object's ARN, or its bucket's where that has a bucket key.
        region: of the bucket.
        partition: of the bucket.
    """

    key: str
    context: str
    region: str
    partition: str


def of_object(stored: Any, arn: str, region: str, partition: str) -> Use | None:
    """How moto's ``stored`` object is encrypted; None if with no key of KMS."""
    if stored is None or stored.encryption != "aws:kms":
        return None
    whole = arn.partition("/")[0] if _is_on(stored.bucket_key_enabled) else arn
    return Use(stored.kms_key_id or "", whole, region, partition)


def of_upload(bucket: Any, arn: str, headers: Any, region: str, partition: str) -> Use | None:
    """How an upload to moto's ``bucket`` will be encrypted: as it says itself, else as the bucket says."""
    rule = (bucket.encryption or {}).get("Rule", {})
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    algorithm = headers.get("x-amz-server-side-encryption") or default.get("SSEAlgorithm")
    if algorithm != "aws:kms":
        return None
    key = headers.get("x-amz-server-side-encryption-aws-kms-key-id") or default.get("KMSMasterKeyID") or ""
    bucket_key = headers.get("x-amz-server-side-encryption-bucket-key-enabled") or rule.get("BucketKeyEnabled")
    return Use(key, arn.partition("/")[0] if _is_on(bucket_key) else arn, region, partition)


def _is_on(value: object) -> bool:
    return str(value).lower() == "true"


def check(caller: Caller, actions: tuple[str, ...], use: Use, *, own: bool) -> None:
    """Refuses what the key's policy and the caller's own do not allow.

    Args:
        caller: who reads or writes.
        actions: of KMS, as S3 makes them in the caller's name.
        use: the key, and what for.
        own: whether the bucket is in the caller's account.

    Raises:
        AwsError: ``AccessDenied`` or ``KMS.NotFoundException``.
    """
    if caller.identity is None:
        return
    if not use.key or use.key.endswith(AWS_KEY):
        if not own:
            raise AwsError("AccessDenied", "The key aws/s3 is of one account alone: no other can use its objects.", 403)
        return
    arn = key_arn(use.key, {"partition": use.partition, "region": use.region, "account": caller.account})
    key = keys.found(arn)
    if key is None:
        raise AwsError("KMS.NotFoundException", f"Key '{arn}' does not exist", 400)
    known = {
        **caller.identity.context,
        **keys.context(key, caller.account, {"aws:s3:arn": use.context}),
        "kms:viaservice": f"s3.{use.region}.amazonaws.com",
        "aws:resourceaccount": key.account_id,
        "aws:requestedregion": use.region,
    }
    for action in actions:
        asked = Asked(caller.account, caller.arn, action, arn, known, UNDERSTOOD, caller.session)
        same, said = key.account_id == caller.account, Said(key.arn, keys.verdict(key, asked))
        reason = refusal(caller.identity, asked, own=same, resource=said, through_resource=True)
        if reason:
            raise AwsError("AccessDenied", message(caller.identity.shown, action, arn, reason), 403)
