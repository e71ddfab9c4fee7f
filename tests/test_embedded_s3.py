"""The embedded S3 where a publisher needs it as on AWS: owners, policies, conditions, checksums, tags, versions."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
MINE, OTHER = "621111111111", "622222222222"
numbers = count()


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    return aws.client("s3", MINE)


@pytest.fixture
def others(aws: EmbeddedAws) -> Any:
    return aws.client("s3", OTHER)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"seed-bucket-{next(numbers)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refusal:
        call()
    code = refusal.value.response["Error"]["Code"]
    assert isinstance(code, str)
    return code


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_head_bucket_says_the_region(s3: Any, bucket: str) -> None:
    head = s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=MINE)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == REGION


def test_a_missing_bucket_is_not_found(s3: Any) -> None:
    assert code_of(lambda: s3.head_bucket(Bucket="no-such-bucket-at-all")) == "404"
    assert code_of(lambda: s3.get_object(Bucket="no-such-bucket-at-all", Key="k")) == "NoSuchBucket"


def test_a_bucket_of_another_account_is_closed(s3: Any, others: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    assert code_of(lambda: others.head_bucket(Bucket=bucket)) == "403"
    assert code_of(lambda: others.head_object(Bucket=bucket, Key="k")) == "403"
    for call in (
        lambda: others.get_object(Bucket=bucket, Key="k"),
        lambda: others.put_object(Bucket=bucket, Key="k", Body=b"theirs"),
        lambda: others.list_objects_v2(Bucket=bucket),
        lambda: others.delete_object(Bucket=bucket, Key="k"),
        lambda: others.put_bucket_policy(Bucket=bucket, Policy="{}"),
        lambda: others.delete_bucket(Bucket=bucket),
    ):
        assert code_of(call) == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"mine"


def test_a_name_that_another_account_has_is_taken(others: Any, s3: Any, bucket: str) -> None:
    where = {"LocationConstraint": REGION}
    assert code_of(lambda: others.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)) == (
        "BucketAlreadyExists"
    )
    assert code_of(lambda: s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)) == (
        "BucketAlreadyOwnedByYou"
    )


def test_the_expected_owner_is_compared(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=MINE)
    assert code_of(lambda: s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=OTHER)) == "403"
    for call in (
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"y", ExpectedBucketOwner=OTHER),
        lambda: s3.get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=OTHER),
    ):
        assert code_of(call) == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def policy(bucket: str, **statement: Any) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    whole = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": resources} | statement
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


def test_a_policy_lets_another_account_in_for_what_it_says(s3: Any, others: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="shared/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="private/b", Body=b"b")
    allowed = policy(
        bucket,
        Principal={"AWS": f"arn:aws:iam::{OTHER}:root"},
        Action="s3:GetObject",
        Resource=f"arn:aws:s3:::{bucket}/shared/*",
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=allowed)
    assert others.get_object(Bucket=bucket, Key="shared/a")["Body"].read() == b"a"
    assert code_of(lambda: others.get_object(Bucket=bucket, Key="private/b")) == "AccessDenied"
    assert code_of(lambda: others.put_object(Bucket=bucket, Key="shared/a", Body=b"")) == "AccessDenied"


def test_a_policy_condition_on_an_objects_tag(s3: Any, others: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"a", Tagging="servicecatalog%3Aprovisioning=true")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"b")
    condition = {"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}}
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(bucket, Principal={"AWS": OTHER}, Action="s3:GetObject", Condition=condition)
    )
    assert others.get_object(Bucket=bucket, Key="tagged")["Body"].read() == b"a"
    assert code_of(lambda: others.get_object(Bucket=bucket, Key="plain")) == "AccessDenied"


def test_deny_what_is_not_tls_denies_nothing_here(s3: Any, bucket: str) -> None:
    tls_only = policy(bucket, Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=tls_only)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_deny_keeps_the_owner_out_but_not_from_the_policy(s3: Any, bucket: str) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Effect="Deny"))
    assert code_of(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x")) == "AccessDenied"
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_condition_that_is_not_known_never_opens_a_door(s3: Any, others: Any, bucket: str, effect: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    condition = {"StringEquals": {"aws:PrincipalOrgID": "o-example"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Effect=effect, Condition=condition))
    caller = others if effect == "Allow" else s3
    with pytest.raises(ClientError, match="aws:PrincipalOrgID") as refusal:
        caller.get_object(Bucket=bucket, Key="k")
    assert refusal.value.response["Error"]["Code"] == "AccessDenied"


def test_write_once(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refusal:
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert refusal.value.response["Error"]["Code"] == "PreconditionFailed"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


@pytest.mark.slow
def test_of_many_conditional_uploads_at_once_one_wins(s3: Any, bucket: str) -> None:
    def upload(attempt: tuple[str, int]) -> int:
        key, number = attempt
        # Content that takes a while to digest, so that uploads that do not take turns overlap in one round of four.
        content = bytes([number]) * 100_000
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return 0
        return 1

    with ThreadPoolExecutor(20) as pool:
        rounds = [sum(pool.map(upload, [(f"k{key}", number) for number in range(20)])) for key in range(24)]
    assert rounds == [1] * 24


def test_a_checksum_is_kept_and_given_back(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"content", ChecksumSHA256=sha256(b"content"))
    assert put["ChecksumSHA256"] == sha256(b"content")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == sha256(b"content")
    assert "ChecksumSHA256" not in s3.head_object(Bucket=bucket, Key="k")


def test_a_checksum_that_the_sdk_computes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"content", ChecksumAlgorithm="SHA256")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256(b"content")
    s3.put_object(Bucket=bucket, Key="default", Body=b"content")
    assert "ChecksumCRC32" in s3.head_object(Bucket=bucket, Key="default", ChecksumMode="ENABLED")


def test_content_that_is_not_what_its_checksum_says_is_refused(s3: Any, bucket: str) -> None:
    call = partial(s3.put_object, Bucket=bucket, Key="k", Body=b"content", ChecksumSHA256=sha256(b"other"))
    assert code_of(call) == "BadDigest"
    assert code_of(lambda: s3.head_object(Bucket=bucket, Key="k")) == "404"


def test_tags_in_the_upload(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="servicecatalog%3Aprovisioning=true&a=b%20c")
    tags = {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]}
    assert tags == {"servicecatalog:provisioning": "true", "a": "b c"}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "only", "Value": "1"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "only", "Value": "1"}]


def test_bucket_tags(s3: Any, bucket: str) -> None:
    assert code_of(lambda: s3.get_bucket_tagging(Bucket=bucket)) == "NoSuchTagSet"
    tags = [{"Key": "sagemaker-seed:portfolio", "Value": "port-1"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags


def test_versions(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert first != second
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"


def test_a_copy_needs_its_source_too(s3: Any, others: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    target = f"others-bucket-{next(numbers)}"
    others.create_bucket(Bucket=target, CreateBucketConfiguration={"LocationConstraint": REGION})
    source = {"Bucket": bucket, "Key": "k"}
    assert code_of(lambda: others.copy_object(Bucket=target, Key="k", CopySource=source)) == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Principal={"AWS": OTHER}, Action="s3:GetObject"))
    others.copy_object(Bucket=target, Key="k", CopySource=source)
    assert others.get_object(Bucket=target, Key="k")["Body"].read() == b"mine"


def test_a_large_upload_in_parts(s3: Any, bucket: str, tmp_path: Any) -> None:
    content = b"0123456789abcdef" * 600_000
    path = tmp_path / "big"
    path.write_bytes(content)
    s3.upload_file(str(path), bucket, "big", ExtraArgs={"Tagging": "servicecatalog%3Aprovisioning=true"})
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == content
    assert s3.get_object_tagging(Bucket=bucket, Key="big")["TagSet"][0]["Value"] == "true"


def test_presigned_urls_are_their_signers(s3: Any, others: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="folder/a b+c", Body=b"mine")
    where = {"Bucket": bucket, "Key": "folder/a b+c"}
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", Params=where)) as answer:
        assert answer.read() == b"mine"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(others.generate_presigned_url("get_object", Params=where))
    assert refusal.value.code == 403
    refusal.value.close()


def test_a_bucket_policy_for_everybody(s3: Any, aws: EmbeddedAws, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    url = f"{aws.url}/{bucket}/k"
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(url)
    assert refusal.value.code == 403
    refusal.value.close()
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Action="s3:GetObject"))
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"mine"
    upload = urllib.request.Request(url, data=b"theirs", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(upload)
    assert refusal.value.code == 403
    refusal.value.close()
