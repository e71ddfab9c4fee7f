"""S3 as moto has it, with the access decisions that moto leaves out: the owner of a bucket, and its policy.

moto lets any account read and write any bucket. Here an account's buckets are its own, a bucket policy can let others in, a policy
with a Deny keeps the owner out as well, and ``x-amz-expected-bucket-owner`` is compared. ACLs let nobody in (AWS switches them off
on new buckets). Writes to one bucket take turns, so that of two conditional uploads of one key one fails. Requests count as made
over TLS 1.3: that the embedded AWS is reached over plain HTTP is no property of what is rehearsed.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import unquote

from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from ..wire import AwsError, Caller, Request, not_implemented
from . import policy
from .service import Service

# Operations whose IAM action is not simply their own name.
ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
# What moto has. It takes any other request for the nearest of these (an unknown sub-resource of an object for the object), so that
# this list, and not moto, has to refuse the rest.
IMPLEMENTED = {
    *"AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket".split(),
    *"DeleteBucketCors DeleteBucketEncryption DeleteBucketLifecycle DeleteBucketOwnershipControls DeleteBucketPolicy".split(),
    *"DeleteBucketReplication DeleteBucketTagging DeleteBucketWebsite DeleteObject DeleteObjects DeleteObjectTagging".split(),
    *"DeletePublicAccessBlock GetBucketAccelerateConfiguration GetBucketAcl GetBucketCors GetBucketEncryption".split(),
    *"GetBucketInventoryConfiguration GetBucketLifecycleConfiguration GetBucketLocation GetBucketLogging".split(),
    *"GetBucketNotificationConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus".split(),
    *"GetBucketReplication GetBucketTagging GetBucketVersioning GetBucketWebsite GetObject GetObjectAcl".split(),
    *"GetObjectAttributes GetObjectLegalHold GetObjectLockConfiguration GetObjectTagging GetPublicAccessBlock".split(),
    *"HeadBucket HeadObject ListBucketInventoryConfigurations ListBuckets ListMultipartUploads ListObjectVersions".split(),
    *"ListObjects ListObjectsV2 ListParts PutBucketAccelerateConfiguration PutBucketAcl PutBucketCors".split(),
    *"PutBucketEncryption PutBucketInventoryConfiguration PutBucketLifecycleConfiguration PutBucketLogging".split(),
    *"PutBucketNotificationConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketReplication".split(),
    *"PutBucketTagging PutBucketVersioning PutBucketWebsite PutObject PutObjectAcl PutObjectLegalHold".split(),
    *"PutObjectLockConfiguration PutObjectRetention PutObjectTagging PutPublicAccessBlock UploadPart UploadPartCopy".split(),
}
OF_A_VERSION = {
    "GetObject",
    "HeadObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObject",
    "GetObjectAttributes",
}
# What the account itself can always do, so that a policy cannot lock its owner out.
NEVER_LOCKED = {"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"}
ABSENT = ("s3:existingobjecttag/", "s3:requestobjecttag/", "s3:x-amz-server-side-encryption")
HEADER_KEYS = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl")


def service() -> Service:
    """S3, with locks of its own for each server."""
    locks: dict[str, threading.RLock] = defaultdict(threading.RLock)

    @contextmanager
    def guard(request: Request) -> Iterator[None]:
        if request.operation not in IMPLEMENTED:
            raise not_implemented("s3", request.operation)
        bucket = str(request.path_parameters.get("Bucket", ""))
        with ExitStack() as held:
            if bucket and request.writes:
                held.enter_context(locks[bucket])
            if bucket:
                _check(request, bucket)
            elif not request.caller.account:
                raise _denied("Sign the request: an anonymous caller has no buckets to list.")
            yield

    return Service(name="s3", operations={}, guard=guard)


def read_object(caller: Caller, partition: str, bucket: str, key: str, version: str | None = None) -> bytes:
    """The content of an object, if ``caller`` may read it.

    Raises:
        AwsError: ``AccessDenied``, ``NoSuchBucket`` or ``NoSuchKey``.
    """
    if owner_of(bucket, partition) is None:
        raise AwsError("NoSuchBucket", f"The specified bucket does not exist: {bucket}", 404)
    _check_access(caller, partition, "GetObjectVersion" if version else "GetObject", bucket, key, {}, version)
    found = _object(partition, bucket, key, version)
    if found is None:
        raise AwsError("NoSuchKey", f"The specified key does not exist: {key} in {bucket}", 404)
    return bytes(found.value)


def region_of(bucket: str, partition: str) -> str | None:
    """The region that a bucket is in; None if there is no such bucket."""
    found = _bucket(partition, bucket)
    return None if found is None else str(found.region_name)


def owner_of(bucket: str, partition: str) -> str | None:
    """The account that a bucket belongs to; None if there is no such bucket."""
    known = s3_backends.bucket_accounts.get(bucket)
    return None if known is None or known[0] != partition else str(known[1])


def _bucket(partition: str, bucket: str) -> Any:
    owner = owner_of(bucket, partition)
    return None if owner is None else s3_backends[owner][partition].buckets.get(bucket)


def _object(partition: str, bucket: str, key: str, version: str | None) -> Any:
    owner = owner_of(bucket, partition)
    return None if owner is None else s3_backends[owner][partition].get_object(bucket, key, version_id=version)


def _denied(why: str) -> AwsError:
    return AwsError("AccessDenied", f"Access Denied. {why}", 403)


def _check(request: Request, bucket: str) -> None:
    """Refuses what the caller may not do to an existing bucket; a missing one, and making one, is moto's to answer."""
    partition = str(get_partition(request.region))
    owner = owner_of(bucket, partition)
    if owner is None:
        if not request.caller.account:
            raise _denied("Sign the request: nothing here is open to everybody.")
        return
    if request.operation == "CreateBucket":
        return
    _check_owner(request, "x-amz-expected-bucket-owner", bucket, owner)
    headers = {f"s3:{name}": value for name in HEADER_KEYS if (value := request.http.headers.get(name))}
    version = request.http.args.get("versionId")
    _check_access(
        request.caller,
        partition,
        _action(request.operation, version),
        bucket,
        str(request.path_parameters.get("Key", "")),
        headers,
        version,
    )
    if source := request.http.headers.get("x-amz-copy-source"):
        from_bucket, _, from_key = unquote(source.split("?")[0]).lstrip("/").partition("/")
        if from_owner := owner_of(from_bucket, partition):
            _check_owner(request, "x-amz-source-expected-bucket-owner", from_bucket, from_owner)
            _check_access(request.caller, partition, "GetObject", from_bucket, from_key, {}, None)


def _check_owner(request: Request, header: str, bucket: str, owner: str) -> None:
    expected = request.http.headers.get(header)
    if expected and expected != owner:
        raise _denied(f"Bucket {bucket} does not belong to the expected account {expected}.")


def _action(operation: str, version: str | None) -> str:
    action = ACTIONS.get(operation, operation)
    if version and operation in OF_A_VERSION:
        action = action.replace("Object", "ObjectVersion", 1)
    return action


def _check_access(
    caller: Caller, partition: str, action: str, bucket: str, key: str, headers: dict[str, str], version: str | None
) -> None:
    """Refuses unless the bucket is the caller's own or its policy lets the caller in, and no policy statement denies.

    Raises:
        AwsError: ``AccessDenied``; the message says which of these it was.
    """
    found = _bucket(partition, bucket)
    own = caller.account != "" and caller.account == owner_of(bucket, partition)
    if found is None or (own and caller.is_account and action in NEVER_LOCKED):
        return
    verdict = policy.Verdict(allowed=False, denied=False, unknown=())
    if found.policy is not None:
        resource = f"arn:{partition}:s3:::{bucket}" + (f"/{key}" if key else "")
        context = {
            "aws:securetransport": "true",
            "s3:tlsversion": "1.3",
            "aws:principalaccount": caller.account,
            "aws:principalarn": caller.arn,
            **headers,
            **_tags(partition, bucket, key, version),
        }
        asked = policy.Asked(caller.account, caller.arn, f"s3:{action}", resource, context, ABSENT)
        verdict = policy.evaluate(json.loads(found.policy), asked)
    unknown = f" (conditions not evaluated here: {', '.join(verdict.unknown)})" if verdict.unknown else ""
    if verdict.denied:
        raise _denied(f"The policy of {bucket} denies s3:{action}{unknown}.")
    if not own and not verdict.allowed:
        who = f"account {caller.account}" if caller.account else "an anonymous caller"
        raise _denied(
            f"Bucket {bucket} belongs to another account, and its policy does not allow {who} s3:{action}{unknown}."
        )


def _tags(partition: str, bucket: str, key: str, version: str | None) -> dict[str, str]:
    """The condition keys that an object's tags give."""
    found = _object(partition, bucket, key, version) if key else None
    if found is None:
        return {}
    tags = s3_backends[owner_of(bucket, partition)][partition].tagger.get_tag_dict_for_resource(found.arn)
    return {f"s3:existingobjecttag/{name}".lower(): str(value) for name, value in tags.items()}
