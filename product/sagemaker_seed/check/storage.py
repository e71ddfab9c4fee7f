"""The seed bucket and what is published in it: there, ours, here, readable for the launch role, and tagged."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ..publish.catalog import LAUNCH_ROLE_TAG, PORTFOLIO_TAG
from .findings import Report
from .preparing import aws, deploy
from .roles import Answer, may
from .subject import Subject
from .versions import report_tag

WHOEVER_LAUNCHES = "<ARN of the Studio execution role, with its path>"


def check(subject: Subject) -> None:
    """The bucket, then the objects; without a bucket there is nothing to look for in it."""
    if _bucket(subject):
        with subject.report.looking_at(f"encryption of s3://{subject.bucket}"):
            _encryption(subject)
        with subject.report.looking_at(f"versioning of s3://{subject.bucket}"):
            _versioning(subject)
        if subject.code_key:
            with subject.report.looking_at(f"s3://{subject.bucket}/{subject.code_key}"):
                _object(subject)


def _deploy(subject: Subject) -> str:
    made = deploy(subject.home, "catalog.yaml", PrincipalArn1=WHOEVER_LAUNCHES)
    return f"{made}; its output SeedBucket is what --bucket takes"


def _bucket(subject: Subject) -> bool:
    s3, bucket, report = subject.home.client("s3"), subject.bucket, subject.report
    if not bucket:
        report.add(
            "no seed bucket",
            "the answer seed_bucket, or --bucket",
            "there is nowhere to publish to",
            "publish",
            _deploy(subject),
        )
        return False
    try:
        head = s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=subject.home.id)
    except ClientError as error:
        if error.response["Error"].get("Code") in {"404", "NoSuchBucket"}:
            report.add(
                "the seed bucket does not exist", bucket, "publishing uploads to it", "publish", _deploy(subject)
            )
        else:
            home = subject.home
            policy = f"sagemaker-seed/sagemaker-seed-publisher-{home.region}"
            publisher = f"arn:{home.partition}:iam::{home.id}:policy/{policy}"
            report.add(
                "the seed bucket is not ours",
                bucket,
                f"it belongs to another account than {subject.home.id}, or may not be listed",
                "publish",
                f"{_deploy(subject)}; or, if it is there: aws iam attach-role-policy --role-name '<who publishes>' "
                f"--policy-arn {publisher}",
            )
        return False
    region = head.get("BucketRegion", subject.home.region)
    if region != subject.home.region:
        report.add(
            "the seed bucket is in another region",
            f"{bucket} in {region}",
            f"CodeCommit reads seed code from a bucket of its own region, {subject.home.region}, only",
            "publish",
            f"give the bucket of {subject.home.region}, or --region {region}",
        )
        return False
    _tags(subject)
    return True


def tags_of(s3: Any, bucket: str, report: Report) -> dict[str, str]:
    """What the seed bucket says of the rest; nothing where there is no bucket, which is another finding."""
    with report.looking_at(f"tags of s3://{bucket}"):
        try:
            return {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
        except ClientError as error:
            if error.response["Error"].get("Code") not in {"NoSuchTagSet", "NoSuchBucket", "404", "PermanentRedirect"}:
                raise
    return {}


def _tags(subject: Subject) -> None:
    tags = subject.bucket_tags
    for attribute, tag, what in (
        ("portfolio_id", PORTFOLIO_TAG, "portfolio"),
        ("launch_role_arn", LAUNCH_ROLE_TAG, "launch role"),
    ):
        if getattr(subject, attribute) is None:
            setattr(subject, attribute, tags.get(tag))
        if getattr(subject, attribute) is None:
            subject.report.add(
                f"the {what} is not known",
                f"s3://{subject.bucket}",
                f"the bucket has no tag {tag}, by which publishing finds it",
                "publish",
                f"{deploy(subject.home, 'catalog.yaml')}; or give --{attribute.replace('_', '-')}",
            )


def _encryption(subject: Subject) -> None:
    answer = subject.home.client("s3").get_bucket_encryption(Bucket=subject.bucket)
    for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        key = default.get("KMSMasterKeyID")
        if default.get("SSEAlgorithm") == "AES256":
            continue
        role = subject.role(subject.launch_role_arn) if subject.launch_role_arn else None
        via = {"kms:viaservice": f"s3.{subject.home.region}.amazonaws.com"}
        if role is not None and may(role, "kms:Decrypt", key or "", via, subject.home.region) is Answer.NO:
            statement = f'{{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "{key or "*"}"}}'
            subject.report.add(
                "the launch role cannot decrypt the seed bucket",
                f"s3://{subject.bucket} with {key or 'aws/s3'}",
                "what is published is encrypted with a key that the launch role may not use",
                "launch",
                f"let the bucket use AES256, or add to {role.name}: {statement}",
            )


def _versioning(subject: Subject) -> None:
    status = subject.home.client("s3").get_bucket_versioning(Bucket=subject.bucket).get("Status", "off")
    if status != "Enabled":
        subject.report.add(
            "the seed bucket has no versioning",
            f"s3://{subject.bucket} ({status})",
            "what older versions of the product launch from could be lost for good by one deletion",
            "launch",
            aws(
                subject.home,
                f"s3api put-bucket-versioning --bucket {subject.bucket} --versioning-configuration Status=Enabled",
            ),
        )


def _object(subject: Subject) -> None:
    s3, where = subject.home.client("s3"), f"s3://{subject.bucket}/{subject.code_key}"
    try:
        found = s3.get_object_tagging(Bucket=subject.bucket, Key=subject.code_key)["TagSet"]
    except ClientError as error:
        if error.response["Error"].get("Code") in {"404", "NoSuchKey"}:
            subject.report.note(f"{where}: not published yet")
            return
        raise
    subject.object_tags = {tag["Key"]: tag["Value"] for tag in found}
    report_tag(subject, subject.code_key, subject.object_tags)
