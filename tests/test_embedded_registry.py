"""The model registry over its API: groups, versions, approval, policies, and what it keeps of what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pipeline_support import IMAGE, Lab
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

GROUP = "makers"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz", "Environment": {"A": "b"}}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["application/json"],
}
CARD = {
    "ModelCardContent": json.dumps({"model_overview": {"model_creator": "Data science"}}),
    "ModelCardStatus": "Draft",
}
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                "Action": "sagemaker:DescribeModelPackage",
                "Resource": "*",
            }
        ],
    }
)


@pytest.fixture
def registry(aws: EmbeddedAws) -> Any:
    """A client of a fresh account with a group in it."""
    client = Lab(aws).sagemaker
    client.create_model_package_group(ModelPackageGroupName=GROUP)
    return client


def add(registry: Any, **more: Any) -> str:
    given = {"ModelPackageGroupName": GROUP, "InferenceSpecification": SPECIFICATION, **more}
    return str(registry.create_model_package(**given)["ModelPackageArn"])


def refused(act: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        act()
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def test_a_group_is_made_once(registry: Any) -> None:
    described = registry.describe_model_package_group(ModelPackageGroupName=GROUP)
    account = described["ModelPackageGroupArn"].split(":")[4]
    assert described["ModelPackageGroupArn"] == f"arn:aws:sagemaker:{REGION}:{account}:model-package-group/{GROUP}"
    assert described["ModelPackageGroupStatus"] == "Completed"
    code, message = refused(lambda: registry.create_model_package_group(ModelPackageGroupName=GROUP))
    assert (code, message) == (
        "ValidationException",
        f"Model Package Group already exists: {described['ModelPackageGroupArn']}",
    )
    assert len(registry.list_model_package_groups()["ModelPackageGroupSummaryList"]) == 1


@pytest.mark.parametrize("name", ["-a", "a_b", "a b", "a" * 64])
def test_a_group_needs_a_name_as_aws_has_them(registry: Any, name: str) -> None:
    code, message = refused(lambda: registry.create_model_package_group(ModelPackageGroupName=name))
    assert (code, "at 'modelPackageGroupName'" in message) == ("ValidationException", True)


def test_versions_count_up_and_wait_for_approval(registry: Any) -> None:
    arns = [add(registry), add(registry, ModelApprovalStatus="Approved"), add(registry)]
    assert [arn.partition("model-package/")[2] for arn in arns] == [f"{GROUP}/{n}" for n in (1, 2, 3)]
    found = [registry.describe_model_package(ModelPackageName=arn) for arn in arns]
    assert [one["ModelPackageVersion"] for one in found] == [1, 2, 3]
    assert [one["ModelApprovalStatus"] for one in found] == [
        "PendingManualApproval",
        "Approved",
        "PendingManualApproval",
    ]
    assert {one["ModelPackageStatus"] for one in found} == {"Completed"}


def test_what_a_package_is_told_it_keeps(registry: Any) -> None:
    told = {
        "ModelPackageDescription": "a model",
        "CustomerMetadataProperties": {"commit": "abc"},
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/m"}}},
        "MetadataProperties": {"CommitId": "abc", "ProjectId": "p-1"},
        "Domain": "MACHINE_LEARNING",
        "Task": "CLASSIFICATION",
        "SamplePayloadUrl": "s3://b/payload.tar.gz",
        "ModelCard": CARD,
        "SkipModelValidation": "All",
    }
    described = registry.describe_model_package(ModelPackageName=add(registry, **told))
    assert {name: described[name] for name in told} == told
    assert described["InferenceSpecification"]["Containers"][0]["Environment"] == {"A": "b"}
    plain = registry.describe_model_package(ModelPackageName=add(registry))
    assert not plain.keys() & {"CustomerMetadataProperties", "ModelCard", "SamplePayloadUrl"}
    assert plain["SkipModelValidation"] == "None"


def test_an_update_changes_what_it_names_and_nothing_else(registry: Any) -> None:
    arn = add(registry, CustomerMetadataProperties={"commit": "abc", "data": "s3://d"}, ModelCard=CARD)
    before = registry.describe_model_package(ModelPackageName=arn)
    registry.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good enough"
    )
    approved = registry.describe_model_package(ModelPackageName=arn)
    changed = {name for name in approved if approved[name] != before.get(name)} - {"ResponseMetadata"}
    assert changed <= {"ModelApprovalStatus", "ApprovalDescription", "LastModifiedTime", "LastModifiedBy"}
    assert (approved["ModelApprovalStatus"], approved["ApprovalDescription"]) == ("Approved", "good enough")
    registry.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"by": "me", "commit": "def"})
    more = registry.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"]
    assert more == {"commit": "def", "data": "s3://d", "by": "me"}
    registry.update_model_package(ModelPackageArn=arn, CustomerMetadataPropertiesToRemove=["data"])
    registry.update_model_package(ModelPackageArn=arn, ApprovalDescription="better")
    last = registry.describe_model_package(ModelPackageName=arn)
    assert last["CustomerMetadataProperties"] == {"commit": "def", "by": "me"}
    assert (last["ModelApprovalStatus"], last["ApprovalDescription"]) == ("Approved", "better")
    assert last["ModelCard"] == CARD


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ModelApprovalStatus": "Perhaps"}, "Value 'Perhaps' at 'modelApprovalStatus'"),
        ({"ModelPackageGroupName": "missing"}, "model-package-group/missing does not exist"),
        ({"ModelPackageRegistrationType": "Logged"}, "does not implement ModelPackageRegistrationType"),
        (
            {"ModelPackageGroupName": f"arn:aws:sagemaker:{REGION}:222222222222:model-package-group/{GROUP}"},
            "does not implement model packages in a group of another account",
        ),
        ({"SamplePayloadUrl": "file:///x"}, "at 'samplePayloadUrl'"),
        ({"ModelPackageName": "both"}, "Either ModelPackageName or ModelPackageGroupName"),
    ],
)
def test_packages_that_cannot_be_made(registry: Any, given: dict[str, Any], problem: str) -> None:
    code, message = refused(lambda: add(registry, **given))
    assert (code, problem in message) == ("ValidationException", True), message
    assert registry.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"] == []


def test_a_group_is_known_by_its_arn_too(registry: Any) -> None:
    group = registry.describe_model_package_group(ModelPackageGroupName=GROUP)["ModelPackageGroupArn"]
    assert add(registry, ModelPackageGroupName=group).endswith(f"model-package/{GROUP}/1")


def test_packages_without_a_group_have_a_name_of_their_own(registry: Any) -> None:
    given = {"ModelPackageName": "alone", "InferenceSpecification": SPECIFICATION}
    arn = registry.create_model_package(**given)["ModelPackageArn"]
    assert arn.endswith(":model-package/alone")
    assert "ModelApprovalStatus" not in registry.describe_model_package(ModelPackageName="alone")
    code, message = refused(lambda: registry.create_model_package(**given))
    assert (code, message) == ("ValidationException", "Model Package already exists: alone")


def test_updates_that_cannot_be_made(registry: Any) -> None:
    arn = add(registry)
    missing = arn[:-1] + "7"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ModelPackageArn": missing, "ModelApprovalStatus": "Approved"}, f"ModelPackage {missing} does not exist."),
        ({"ModelPackageArn": arn, "ModelApprovalStatus": "Perhaps"}, "at 'modelApprovalStatus'"),
        (
            {"ModelPackageArn": arn, "SourceUri": "s3://x"},
            "does not implement an update of a model package's SourceUri",
        ),
    ]
    for given, problem in cases:
        code, message = refused(lambda given=given: registry.update_model_package(**given))  # type: ignore[misc]
        assert (code, problem in message) == ("ValidationException", True), message
    assert registry.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "PendingManualApproval"
    code, message = refused(lambda: registry.describe_model_package(ModelPackageName=missing))
    assert (code, message) == ("ValidationException", f"ModelPackage {missing} does not exist.")


def test_one_token_makes_one_version(registry: Any) -> None:
    assert len({add(registry, ClientToken="same") for _ in range(3)}) == 1
    assert add(registry, ClientToken="other").endswith("/2")


def test_packages_are_listed_sorted_filtered_and_in_pages(registry: Any) -> None:
    statuses = ["Approved", "Rejected", "Approved", "PendingManualApproval", "Approved"]
    arns = [add(registry, ModelApprovalStatus=status) for status in statuses]

    def listed(**asked: Any) -> list[str]:
        found = registry.list_model_packages(ModelPackageGroupName=GROUP, **asked)["ModelPackageSummaryList"]
        return [package["ModelPackageArn"] for package in found]

    assert listed(SortBy="CreationTime", SortOrder="Descending") == arns[::-1]
    assert listed(SortBy="CreationTime", SortOrder="Ascending") == arns
    assert listed(ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending") == [
        arns[4],
        arns[2],
        arns[0],
    ]
    pages = registry.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=GROUP, SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": 2}
    )
    assert [p["ModelPackageArn"] for page in pages for p in page["ModelPackageSummaryList"]] == arns[::-1]


def test_the_policy_of_a_group(registry: Any) -> None:
    group = registry.describe_model_package_group(ModelPackageGroupName=GROUP)["ModelPackageGroupArn"]
    code, message = refused(lambda: registry.get_model_package_group_policy(ModelPackageGroupName=GROUP))
    assert (code, message) == ("ValidationException", f"Cannot find resource policy for: {group}")
    answer = registry.put_model_package_group_policy(ModelPackageGroupName=GROUP, ResourcePolicy=POLICY)
    assert answer["ModelPackageGroupArn"] == group
    assert registry.get_model_package_group_policy(ModelPackageGroupName=GROUP)["ResourcePolicy"] == POLICY
    for text in ("{", "[]", '{"Version": "2012-10-17"}', POLICY + " " * 20480):
        code, message = refused(
            lambda text=text: registry.put_model_package_group_policy(  # type: ignore[misc]
                ModelPackageGroupName=GROUP, ResourcePolicy=text
            )
        )
        assert code == "ValidationException", message
    assert registry.get_model_package_group_policy(ModelPackageGroupName=GROUP)["ResourcePolicy"] == POLICY
    registry.delete_model_package_group_policy(ModelPackageGroupName=GROUP)
    for act in ("get", "delete"):
        call = getattr(registry, f"{act}_model_package_group_policy")
        assert "Cannot find resource policy" in refused(lambda call=call: call(ModelPackageGroupName=GROUP))[1]  # type: ignore[misc]
    code, message = refused(lambda: registry.get_model_package_group_policy(ModelPackageGroupName="missing"))
    assert message.endswith("model-package-group/missing does not exist.")


def test_a_group_is_deleted_when_it_is_empty_and_its_policy_with_it(registry: Any) -> None:
    add(registry)
    code, message = refused(lambda: registry.delete_model_package_group(ModelPackageGroupName=GROUP))
    assert (code, "still contains model packages" in message) == ("ConflictException", True)
    registry.create_model_package_group(ModelPackageGroupName="empty")
    registry.put_model_package_group_policy(ModelPackageGroupName="empty", ResourcePolicy=POLICY)
    registry.delete_model_package_group(ModelPackageGroupName="empty")
    names = [g["ModelPackageGroupName"] for g in registry.list_model_package_groups()["ModelPackageGroupSummaryList"]]
    assert names == [GROUP]
    registry.create_model_package_group(ModelPackageGroupName="empty")
    code, message = refused(lambda: registry.get_model_package_group_policy(ModelPackageGroupName="empty"))
    assert "Cannot find resource policy" in message
    code, message = refused(lambda: registry.delete_model_package_group(ModelPackageGroupName="missing"))
    assert (code, message.endswith("missing does not exist.")) == ("ValidationException", True)


def test_what_is_not_implemented_is_refused_by_name(registry: Any) -> None:
    code, message = refused(lambda: registry.delete_model_package(ModelPackageName=add(registry)))
    assert (code, "sagemaker:DeleteModelPackage" in message) == ("NotImplementedByEmbeddedAws", True)


def test_accounts_and_regions_have_registries_of_their_own(aws: EmbeddedAws, registry: Any) -> None:
    arn = add(registry)
    for other in (Lab(aws).sagemaker, Lab(aws, "us-west-2").sagemaker):
        assert other.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
        assert refused(lambda other=other: other.describe_model_package(ModelPackageName=arn))[1] == (  # type: ignore[misc]
            f"ModelPackage {arn} does not exist."
        )
        other.create_model_package_group(ModelPackageGroupName=GROUP)
        assert add(other).endswith(f"{GROUP}/1")


@pytest.mark.slow
def test_a_hundred_registrations_at_once_get_versions_of_their_own(registry: Any) -> None:
    with ThreadPoolExecutor(8) as threads:
        arns = list(threads.map(lambda _: add(registry), range(100)))
    assert {int(arn.rpartition("/")[2]) for arn in arns} == set(range(1, 101))
