"""What each version of a product launches from: its template, and the seed code that it names, there and tagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from ..errors import BadInput
from ..publish.release import OBJECT_TAG, read_template
from .preparing import aws
from .subject import AT_ONCE, Subject

NEWEST = 20  # versions that are looked at


def check(subject: Subject, product_id: str, versions: Sequence[Mapping[str, Any]]) -> None:
    """Every version that can be launched, the newest first."""
    if not subject.bucket:
        return
    clients = subject.home.client("servicecatalog"), subject.home.client("s3")
    launchable = sorted((v for v in versions if can_launch(v)), key=lambda v: v["CreatedTime"], reverse=True)[:NEWEST]

    def look(version: Mapping[str, Any]) -> None:
        with subject.report.looking_at(f"version {version['Name']}"):
            _version(subject, *clients, product_id, version)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(look, launchable))


def can_launch(version: Mapping[str, Any]) -> bool:
    """Whether people may choose the version."""
    return bool(version.get("Active", True)) and version.get("Guidance", "DEFAULT") == "DEFAULT"


def _version(subject: Subject, servicecatalog: Any, s3: Any, product_id: str, version: Mapping[str, Any]) -> None:
    described = servicecatalog.describe_provisioning_artifact(
        ProductId=product_id, ProvisioningArtifactId=version["Id"], Verbose=True
    )
    # Only what lies in the bucket can be looked at; what Service Catalog copies to a bucket of AWS cannot.
    _, _, key = str(described["Info"].get("TemplateUrl", "")).partition(f"{subject.bucket}")
    key = key.partition("/")[2].partition("?")[0]
    if not key:
        return
    ids = f"--product-id {product_id} --provisioning-artifact-id {version['Id']}"
    hide = aws(subject.home, f"servicecatalog update-provisioning-artifact {ids} --no-active")
    try:
        body = s3.get_object(Bucket=subject.bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        _gone(subject, error, f"template {key}", version, hide)
        return
    if body == subject.template:  # its seed code is looked at already
        return
    try:
        code = read_template(body, key).get("Mappings", {}).get("Seed", {}).get("Code", {})
    except BadInput:
        return
    if code.get("Bucket") == subject.bucket and code.get("Key") != subject.code_key:  # that one is looked at already
        try:
            tags = s3.get_object_tagging(Bucket=subject.bucket, Key=code["Key"])["TagSet"]
        except ClientError as error:
            _gone(subject, error, f"seed code {code['Key']}", version, hide)
            return
        report_tag(subject, code["Key"], {tag["Key"]: tag["Value"] for tag in tags})


def _gone(subject: Subject, error: ClientError, what: str, version: Mapping[str, Any], hide: str) -> None:
    if error.response["Error"].get("Code") not in {"404", "NoSuchKey"}:
        raise error
    subject.report.add(
        "a version launches from what is gone",
        f"version {version['Name']} ({version['Id']})",
        f"its {what} is not in s3://{subject.bucket} any more",
        "launch",
        f"undo the deletion (the bucket keeps versions for 90 days), or hide the version: {hide}",
    )


def report_tag(subject: Subject, key: str, tags: Mapping[str, str]) -> None:
    """A finding, if published seed code does not carry the tag by which a launch role may read it."""
    value = tags.get(OBJECT_TAG["Key"])
    if value != OBJECT_TAG["Value"]:
        subject.report.add(
            "the seed code lacks its tag",
            f"s3://{subject.bucket}/{key}",
            f"a launch role reads only objects tagged {OBJECT_TAG['Key']}=true; this has {value or 'none'}",
            "launch",
            aws(
                subject.home,
                f"s3api put-object-tagging --bucket {subject.bucket} --key {key} "
                f"--tagging 'TagSet=[{{Key={OBJECT_TAG['Key']},Value=true}}]'",
            ),
        )
