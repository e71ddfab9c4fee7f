"""The models of projects that are launched already: whether the stages' roles can read package, artifact and key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from ..policies import NOTHING, Value, evaluate
from . import roles
from .statements import Act, covers
from .subject import Subject
from .targets import stage_roles

# A project's group is named <project>-<id>, and SageMaker makes up ids like this.
GROUP = re.compile(r".+-p-[a-z0-9]{12}")
AWS_KEY = "alias/aws/s3"  # what S3 encrypts with where nobody names a key
NEWEST = 20  # groups that are looked at
RETRAIN = "train it again with the project's key, as the project's training pipeline does"


def check(subject: Subject) -> None:
    """The newest approved package of each project, as each stage would deploy it."""
    sagemaker = subject.home.client("sagemaker")
    pages = sagemaker.get_paginator("list_model_package_groups").paginate(SortBy="CreationTime", SortOrder="Descending")
    groups = [g["ModelPackageGroupName"] for page in pages for g in page["ModelPackageGroupSummaryList"]]
    for group in [name for name in groups if GROUP.fullmatch(name)][:NEWEST]:
        with subject.report.looking_at(f"model package group {group}"):
            found = sagemaker.list_model_packages(
                ModelPackageGroupName=group,
                ModelApprovalStatus="Approved",
                SortBy="CreationTime",
                SortOrder="Descending",
                MaxResults=1,
            )["ModelPackageSummaryList"]
            if found:
                _package(subject, sagemaker, group, found[0]["ModelPackageArn"])


def _package(subject: Subject, sagemaker: Any, group: str, package: str) -> None:
    described = sagemaker.describe_model_package(ModelPackageName=package)
    policy = _policy(lambda: sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"])
    for stage, account in subject.stage_ids.items():
        for arn, what in stage_roles(subject, stage):
            role = subject.role(arn) if subject.account_of(arn) else None
            if role is None:
                continue
            # Without a policy no build was there yet; the first one shares the group.
            if what.startswith("CloudFormation") and account != subject.home.id and policy:
                _shared(subject, role, what, package, policy)
            for container in described.get("InferenceSpecification", {}).get("Containers", ()):
                _artifact(subject, role, what, package, container.get("ModelDataUrl", ""))


def _shared(subject: Subject, role: roles.Role, what: str, package: str, policy: Mapping[str, Any]) -> None:
    for action in ("sagemaker:CreateModel", "sagemaker:DescribeModelPackage"):
        verdict = evaluate(policy, roles.asked(role, action, package, {}, subject.home.region))
        if not verdict.allowed or verdict.denied:
            wanted = {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{subject.home.partition}:iam::{role.account}:root"},
                "Action": ["sagemaker:CreateModel", "sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
                "Resource": f"{package.rpartition('/')[0]}/*",
            }
            subject.report.add(
                f"{what} cannot read the model packages",
                package,
                f"the policy of its group does not let {role.account} in to {action}",
                "deploy",
                f"start the project's deploy pipeline, whose build shares the group, or add: {json.dumps(wanted)}",
            )
            return


def _artifact(subject: Subject, role: roles.Role, what: str, package: str, url: str) -> None:
    place = urlsplit(url)
    bucket, name = place.netloc, place.path.lstrip("/")
    if place.scheme != "s3":
        return
    home, s3 = subject.home, subject.home.client("s3")
    why = f"the model of {package.rpartition(':')[2]}"
    try:
        head = s3.head_object(Bucket=bucket, Key=name)
    except ClientError as error:
        if error.response["Error"].get("Code") in {"404", "NoSuchKey", "NoSuchBucket"}:
            subject.report.add("a model's artifact is gone", url, f"{why} is made from it", "deploy", RETRAIN)
            return
        raise
    arn = f"arn:{home.partition}:s3:::{bucket}/{name}"
    read = Act("s3:GetObject", arn, why)
    needed = [(read, "bucket", _policy(lambda: s3.get_bucket_policy(Bucket=bucket)["Policy"]))]
    if head.get("ServerSideEncryption") == "aws:kms":
        key, kms = head.get("SSEKMSKeyId") or AWS_KEY, home.client("kms")
        metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
        if (key.endswith(AWS_KEY) or metadata.get("KeyManager") == "AWS") and role.account != home.id:
            subject.report.add(
                "a model is encrypted with a key that other accounts cannot use",
                url,
                f"{why} lies under {key}, a key of AWS's own, and {role.arn} is in another account",
                "deploy",
                RETRAIN,
            )
            return
        via: dict[str, Value] = {
            "kms:viaservice": f"s3.{home.region}.amazonaws.com",
            "kms:calleraccount": role.account,
            "kms:encryptioncontext:aws:s3:arn": arn.partition("/")[0] if head.get("BucketKeyEnabled") else arn,
        }
        decrypt = Act("kms:Decrypt", metadata["Arn"], why, via)
        policy = _policy(lambda: kms.get_key_policy(KeyId=metadata["Arn"], PolicyName="default")["Policy"])
        needed.append((decrypt, "key", policy))
    elsewhere = role.account != home.id
    for act, holder, policy in needed:
        question = roles.asked(role, act.action, act.resource if holder == "bucket" else "", act.context, home.region)
        verdict = evaluate(policy, question) if policy else NOTHING
        if elsewhere or not verdict.direct:
            covers(subject, role, [act], "deploy", what)
        if verdict.denied or (elsewhere and not verdict.allowed):
            subject.report.add(
                f"the policy of a model's {holder} does not let {what} in",
                act.resource,
                f"{role.arn} needs {act.action} for {why}",
                "deploy",
                f"let it in there, or {RETRAIN}",
            )


def _policy(ask: Any) -> Mapping[str, Any]:
    """A resource's policy; empty if it has none."""
    try:
        text = ask()
    except ClientError as error:
        code = error.response["Error"].get("Code", "")
        if code in {"NoSuchBucketPolicy", "ValidationException", "ResourceNotFound"}:
            return {}
        raise
    return dict(json.loads(text))
