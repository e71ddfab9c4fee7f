"""S3 as moto has it, with the access decisions that moto leaves out: the owner of a bucket, and its policy.

moto lets any account read and write any bucket. Here an account's buckets are its own, a bucket policy can let others
in, a policy with a Deny keeps the owner out as well, and ``x-amz-expected-bucket-owner`` is compared. ACLs let nobody
in (AWS switches them off on new buckets). Writes to one bucket take turns, so that of two conditional uploads of one
key one fails. Requests count as made over TLS 1.3: that the embedded AWS is reached over plain HTTP is no property of
what is rehearsed. Where the embedded AWS is strict, the caller's own policies and those of KMS keys have their say too.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from ... import policies as policy
from ..access import context, encryption
from ..access.decision import Said, message, refusal
from ..access.identity import not_evaluated
from ..wire import AwsError, Caller, Request, not_implemented
from .service import Service

# Operations whose IAM action is not simply their own name.
ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketInventoryConfiguration": "PutInventoryConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
# What moto has. It takes any other request for the nearest of these (an unknown sub-resource of an object for the
# object itself), so that this list, and not moto, has to refuse the rest.
IMPLEMENTED = frozenset(
    """
    AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload
    DeleteBucket DeleteBucketCors DeleteBucketEncryption DeleteBucketLifecycle
    DeleteBucketOwnershipControls DeleteBucketPolicy DeleteBucketReplication DeleteBucketTagging
    DeleteBucketWebsite DeleteObject DeleteObjects DeleteObjectTagging DeletePublicAccessBlock
    GetBucketAccelerateConfiguration GetBucketAcl GetBucketCors GetBucketEncryption
    GetBucketInventoryConfiguration GetBucketLifecycleConfiguration GetBucketLocation GetBucketLogging
    GetBucketNotificationConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
    GetBucketReplication GetBucketTagging GetBucketVersioning GetBucketWebsite GetObject GetObjectAcl
    GetObjectAttributes GetObjectLegalHold GetObjectLockConfiguration GetObjectTagging
    GetPublicAccessBlock HeadBucket HeadObject ListBucketInventoryConfigurations ListBuckets
    ListMultipartUploads ListObjectVersions ListObjects ListObjectsV2 ListParts
    PutBucketAccelerateConfiguration PutBucketAcl PutBucketCors PutBucketEncryption
    PutBucketInventoryConfiguration PutBucketLifecycleConfiguration PutBucketLogging
    PutBucketNotificationConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketReplication
    PutBucketTagging PutBucketVersioning PutBucketWebsite PutObject PutObjectAcl PutObjectLegalHold
    PutObjectLockConfiguration PutObjectRetention PutObjectTagging PutPublicAccessBlock UploadPart
    UploadPartCopy
    """.split()
)
OF_A_VERSION = {
    "GetObject",
    "HeadObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObject",
    "DeleteObjectTagging",
    "GetObjectAttributes",
}
# What the account itself can always do, so that a policy cannot lock its owner out.
NEVER_LOCKED = {"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"}
# Condition keys that have a header's value, and those that have one of the query's.
HEADER_KEYS = (
    "if-match",
    "if-none-match",
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
)
QUERY_KEYS = ("delimiter", "max-keys", "prefix")
ABSENT = (
    "s3:existingobjecttag/",
    "s3:requestobjecttag/",
    "s3:requestobjecttagkeys",
    *(f"s3:{name}" for name in (*HEADER_KEYS, *QUERY_KEYS)),
)


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
            else:
                _check_own_policies(request.caller, f"s3:{action_of(request.operation, None)}", "*")
            yield

    return Service(name="s3", operations={}, guard=guard)


@dataclass(frozen=True)
class Place:
    """A bucket, or with a ``key`` an object in it, or with a ``version`` too one version of that."""

    partition: str
    bucket: str
    key: str = ""
    version: str | None = None

    @property
    def arn(self) -> str:
        """As policies name it."""
        return f"arn:{self.partition}:s3:::{self.bucket}" + (f"/{self.key}" if self.key else "")


def read_object(caller: Caller, place: Place) -> bytes:
    """The content of an object, if ``caller`` may read it.

    Raises:
        AwsError: ``AccessDenied``, ``NoSuchBucket`` or ``NoSuchKey``.
    """
    if owner_of(place.bucket, place.partition) is None:
        raise AwsError("NoSuchBucket", f"The specified bucket does not exist: {place.bucket}", 404)
    _check_access(caller, action_of("GetObject", place.version), place, {})
    found = _object(place)
    if found is None:
        raise AwsError("NoSuchKey", f"The specified key does not exist: {place.key} in {place.bucket}", 404)
    _check_decryption(caller, place)
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


def _object(place: Place) -> Any:
    owner = owner_of(place.bucket, place.partition)
    if owner is None:
        return None
    return s3_backends[owner][place.partition].get_object(place.bucket, place.key, version_id=place.version)


def _denied(why: str) -> AwsError:
    return AwsError("AccessDenied", f"Access Denied. {why}", 403)


def _check(request: Request, bucket: str) -> None:
    """Refuses what the caller may not do to a bucket; that it is missing is moto's to answer."""
    partition = str(get_partition(request.region))
    owner = owner_of(bucket, partition)
    if owner is None or request.operation == "CreateBucket":
        if not request.caller.account:
            raise _denied("Sign the request: nothing here is open to everybody.")
        if request.operation == "CreateBucket":
            _check_own_policies(request.caller, "s3:CreateBucket", Place(partition, bucket).arn)
        return
    _check_owner(request, "x-amz-expected-bucket-owner", bucket, owner)
    given, version = _given(request), request.http.args.get("versionId")
    for key in _keys(request):
        place = Place(partition, bucket, key, version)
        _check_access(request.caller, action_of(request.operation, version), place, given)
        if given.get("s3:requestobjecttagkeys") and request.operation != "PutObjectTagging":
            _check_own_policies(request.caller, "s3:PutObjectTagging", place.arn, given)
        _check_encryption(request, place)
    if copied := request.http.headers.get("x-amz-copy-source"):
        path, _, query = copied.partition("?versionId=")
        from_bucket, _, from_key = unquote(path).lstrip("/").partition("/")
        source = Place(partition, from_bucket, from_key, query or None)
        if from_owner := owner_of(from_bucket, partition):
            _check_owner(request, "x-amz-source-expected-bucket-owner", from_bucket, from_owner)
            _check_access(request.caller, action_of("GetObject", source.version), source, {})
            _check_decryption(request.caller, source)
            _check_copied_tags(request, Place(partition, bucket, str(request.path_parameters.get("Key", ""))), source)


def _check_copied_tags(request: Request, place: Place, source: Place) -> None:
    """A copy takes the tags along, which needs permission to read them and to set them."""
    if request.operation != "CopyObject" or request.http.headers.get("x-amz-tagging-directive") == "REPLACE":
        return
    if request.caller.identity is not None and _tags(source):
        _check_access(request.caller, action_of("GetObjectTagging", source.version), source, {})
        _check_access(request.caller, "PutObjectTagging", place, {})


def _keys(request: Request) -> list[str]:
    """The objects that a request is about; an empty name for its bucket."""
    if request.operation == "DeleteObjects":
        return [str(named["Key"]) for named in request.parameters().get("Delete", {}).get("Objects", [])]
    return [str(request.path_parameters.get("Key", ""))]


def _given(request: Request) -> dict[str, policy.Value]:
    """The condition keys that a request's headers, query and tags have values for."""
    headers, query = request.http.headers, request.http.args
    tags = dict(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))
    if request.operation == "PutObjectTagging":
        tags = {tag["Key"]: tag["Value"] for tag in request.parameters().get("Tagging", {}).get("TagSet", [])}
    return {
        **{f"s3:{name}": value for name in HEADER_KEYS if (value := headers.get(name))},
        **{f"s3:{name}": query[name] for name in QUERY_KEYS if name in query},
        **{f"s3:requestobjecttag/{name}".lower(): value for name, value in tags.items()},
        **({"s3:requestobjecttagkeys": tuple(tags)} if tags else {}),
    }


def _check_encryption(request: Request, place: Place) -> None:
    bucket, region = _bucket(place.partition, place.bucket), region_of(place.bucket, place.partition)
    if request.operation in encryption.READING:
        _check_decryption(request.caller, place)
    elif request.operation in encryption.WRITING and region is not None:
        use = encryption.of_upload(bucket, place.arn, request.http.headers, region, place.partition)
        if use is not None:
            own = request.caller.account == owner_of(place.bucket, place.partition)
            encryption.check(request.caller, encryption.WRITING[request.operation], use, own=own)


def _check_decryption(caller: Caller, place: Place) -> None:
    region = region_of(place.bucket, place.partition)
    use = None if region is None else encryption.of_object(_object(place), place.arn, region, place.partition)
    if use is not None:
        own = caller.account == owner_of(place.bucket, place.partition)
        encryption.check(caller, ("kms:Decrypt",), use, own=own)


def _check_owner(request: Request, header: str, bucket: str, owner: str) -> None:
    expected = request.http.headers.get(header)
    if expected and expected != owner:
        raise _denied(f"Bucket {bucket} does not belong to the expected account {expected}.")


def action_of(operation: str, version: str | None) -> str:
    """The IAM action, without its service, that an operation is, on a version or on an object or bucket as such."""
    action = ACTIONS.get(operation, operation)
    if version and operation in OF_A_VERSION:
        action = action.replace("Object", "ObjectVersion", 1)
    return action


def _check_access(caller: Caller, action: str, place: Place, given: Mapping[str, policy.Value]) -> None:
    """Refuses unless the bucket is the caller's own or its policy lets the caller in, and no policy statement denies.

    Where the caller's own policies count, the bucket being theirs is not enough.

    Raises:
        AwsError: ``AccessDenied``; the message says which of these it was.
    """
    found = _bucket(place.partition, place.bucket)
    own = caller.account != "" and caller.account == owner_of(place.bucket, place.partition)
    if found is None or (own and caller.is_account and action in NEVER_LOCKED):
        return
    asked = _asked(caller, f"s3:{action}", place.arn, {**given, **_tags(place)})
    verdict = policy.NOTHING if found.policy is None else policy.evaluate(json.loads(found.policy), asked)
    if caller.identity is not None:
        said = Said(Place(place.partition, place.bucket).arn, verdict)
        _refuse_if(caller, asked, refusal(caller.identity, asked, own=own, resource=said))
        return
    unknown = not_evaluated(verdict.unknown)
    if verdict.denied:
        raise _denied(f"The policy of {place.bucket} denies s3:{action}{unknown}.")
    if not own and not verdict.allowed:
        what = f"s3:{action} to {f'account {caller.account}' if caller.account else 'an anonymous caller'}"
        raise _denied(f"{place.bucket} belongs to another account, and its policy does not allow {what}{unknown}.")


def _check_own_policies(
    caller: Caller, action: str, resource: str, given: Mapping[str, policy.Value] | None = None
) -> None:
    """Refuses what the caller's own policies do not allow, where they count, and no bucket's policy is asked."""
    if caller.identity is not None:
        asked = _asked(caller, action, resource, given or {})
        _refuse_if(caller, asked, refusal(caller.identity, asked, own=True))


def _asked(caller: Caller, action: str, resource: str, given: Mapping[str, policy.Value]) -> policy.Asked:
    known = {
        "aws:securetransport": "true",
        "s3:tlsversion": "1.3",
        "aws:principalaccount": caller.account,
        "aws:principalarn": caller.arn,
        **(caller.identity.context if caller.identity is not None else {}),
        **given,
    }
    absent = ABSENT if caller.identity is None else (*ABSENT, *context.UNDERSTOOD)
    return policy.Asked(caller.account, caller.arn, action, resource, known, absent, caller.session)


def _refuse_if(caller: Caller, asked: policy.Asked, reason: str) -> None:
    if reason and caller.identity is not None:
        raise AwsError("AccessDenied", message(caller.identity.shown, asked.action, asked.resource, reason), 403)


def _tags(place: Place) -> dict[str, str]:
    """The condition keys that an object's tags give."""
    found = _object(place) if place.key else None
    owner = owner_of(place.bucket, place.partition)
    if found is None or owner is None:
        return {}
    tags = s3_backends[owner][place.partition].tagger.get_tag_dict_for_resource(found.arn)
    return {f"s3:existingobjecttag/{name}".lower(): str(value) for name, value in tags.items()}
