"""The model registry: every request is checked against the API by botocore's stubber."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from conftest import ACCOUNT, GROUP, GROUP_ARN, PACKAGE_ARN, PROD_ACCOUNT, STAGING_ACCOUNT, Stub

from deploy.errors import NoApprovedModelError, NotDeployableError
from deploy.registry import (
    Group,
    ModelPackage,
    choose_package,
    ensure_group,
    ensure_policy,
    policy_statements,
)

FOUND = Group(GROUP, GROUP_ARN, created=False)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
STATUS = {"ValidationStatuses": [], "ImageScanStatuses": []}
TAGS = {"sagemaker:project-name": "iris"}


def missing(stubber: Stubber, operation: str, message: str) -> None:
    stubber.add_client_error(operation, "ValidationException", message)


def describe_group(stubber: Stubber) -> None:
    stubber.add_response(
        "describe_model_package_group",
        {
            "ModelPackageGroupName": GROUP,
            "ModelPackageGroupArn": GROUP_ARN,
            "CreationTime": NOW,
            "CreatedBy": {},
            "ModelPackageGroupStatus": "Completed",
        },
        {"ModelPackageGroupName": GROUP},
    )


def test_a_group_that_exists_is_found(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    describe_group(stubber)
    assert ensure_group(client, GROUP, "text", TAGS) == FOUND


def test_a_missing_group_is_created_with_its_tags(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    missing(stubber, "describe_model_package_group", f"ModelPackageGroup {GROUP_ARN} does not exist.")
    stubber.add_response(
        "create_model_package_group",
        {"ModelPackageGroupArn": GROUP_ARN},
        {
            "ModelPackageGroupName": GROUP,
            "ModelPackageGroupDescription": "text",
            "Tags": [{"Key": "sagemaker:project-name", "Value": "iris"}],
        },
    )
    assert ensure_group(client, GROUP, "text", TAGS) == Group(GROUP, GROUP_ARN, created=True)


def test_another_build_may_create_the_group_first(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    missing(stubber, "describe_model_package_group", f"ModelPackageGroup {GROUP_ARN} does not exist.")
    missing(stubber, "create_model_package_group", f"Model Package Group already exists: {GROUP_ARN}")
    describe_group(stubber)
    assert ensure_group(client, GROUP, "text", TAGS) == FOUND


@pytest.mark.parametrize(
    ("code", "message"),
    [("AccessDeniedException", "does not exist"), ("ValidationException", "the name is too long")],
)
def test_other_errors_are_not_taken_for_a_missing_group(stub: Stub, code: str, message: str) -> None:
    client, stubber = stub("sagemaker")
    stubber.add_client_error("describe_model_package_group", code, message)
    with pytest.raises(ClientError):
        ensure_group(client, GROUP, "text", TAGS)


def policy_of(*accounts: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": policy_statements(FOUND, list(accounts))}


def read_policy(stubber: Stubber, policy: dict[str, Any] | None) -> None:
    if policy is None:
        missing(stubber, "get_model_package_group_policy", f"Cannot find resource policy for: {GROUP_ARN}")
    else:
        stubber.add_response("get_model_package_group_policy", {"ResourcePolicy": json.dumps(policy)})


def test_a_policy_gives_other_accounts_what_deploying_needs_and_no_more() -> None:
    group, packages = policy_statements(FOUND, [STAGING_ACCOUNT, PROD_ACCOUNT])
    roots = {"AWS": [f"arn:aws:iam::{STAGING_ACCOUNT}:root", f"arn:aws:iam::{PROD_ACCOUNT}:root"]}
    assert group["Principal"] == packages["Principal"] == roots
    assert group["Action"] == ["sagemaker:DescribeModelPackageGroup"]
    assert group["Resource"] == GROUP_ARN
    assert packages["Action"] == [
        "sagemaker:DescribeModelPackage",
        "sagemaker:ListModelPackages",
        "sagemaker:CreateModel",
    ]
    assert packages["Resource"] == f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/{GROUP}/*"


def test_a_policy_has_the_partition_of_the_group() -> None:
    china = Group(GROUP, GROUP_ARN.replace("arn:aws:", "arn:aws-cn:"), created=True)
    text = json.dumps(policy_statements(china, [PROD_ACCOUNT]))
    assert f"arn:aws-cn:iam::{PROD_ACCOUNT}:root" in text
    assert "arn:aws:" not in text


@pytest.mark.parametrize(
    ("accounts", "principals"),
    [
        ([STAGING_ACCOUNT, PROD_ACCOUNT], [STAGING_ACCOUNT, PROD_ACCOUNT]),
        ([PROD_ACCOUNT, PROD_ACCOUNT], [PROD_ACCOUNT]),
        ([ACCOUNT, PROD_ACCOUNT], [PROD_ACCOUNT]),
    ],
)
def test_the_policy_of_a_new_group_names_each_other_account_once(
    stub: Stub, accounts: list[str], principals: list[str]
) -> None:
    client, stubber = stub("sagemaker")
    written = json.dumps(policy_of(*principals), separators=(",", ":"))
    stubber.add_response(
        "put_model_package_group_policy",
        {"ModelPackageGroupArn": GROUP_ARN},
        {"ModelPackageGroupName": GROUP, "ResourcePolicy": written},
    )
    assert ensure_policy(client, Group(GROUP, GROUP_ARN, created=True), accounts) == "written"


def test_a_new_group_of_one_account_gets_no_policy_and_no_call(stub: Stub) -> None:
    client, _ = stub("sagemaker")
    assert ensure_policy(client, Group(GROUP, GROUP_ARN, created=True), [ACCOUNT, ACCOUNT]) == "unchanged"


def as_aws_returns_it(policy: dict[str, Any]) -> dict[str, Any]:
    """The same rights in another form: single items unwrapped, lists and statements in another order."""
    group, packages = policy["Statement"]
    group = {**group, "Action": group["Action"][0], "Principal": {"AWS": group["Principal"]["AWS"][::-1]}}
    return {**policy, "Statement": [{**packages, "Action": packages["Action"][::-1]}, group]}


@pytest.mark.parametrize("accounts", [[STAGING_ACCOUNT, PROD_ACCOUNT], [PROD_ACCOUNT]])
def test_an_equal_policy_is_not_written_again(stub: Stub, accounts: list[str]) -> None:
    client, stubber = stub("sagemaker")
    read_policy(stubber, as_aws_returns_it(policy_of(*accounts)))
    assert ensure_policy(client, FOUND, accounts) == "unchanged"


@pytest.mark.parametrize("old", [None, policy_of(STAGING_ACCOUNT), {"Statement": []}])
def test_a_policy_that_differs_is_brought_up_to_date(stub: Stub, old: dict[str, Any] | None) -> None:
    client, stubber = stub("sagemaker")
    read_policy(stubber, old)
    stubber.add_response("put_model_package_group_policy", {"ModelPackageGroupArn": GROUP_ARN})
    assert ensure_policy(client, FOUND, [PROD_ACCOUNT]) == "written"


def test_statements_of_others_stay(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    theirs = {
        "Sid": "Auditors",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sagemaker:List*",
        "Resource": "*",
    }
    read_policy(
        stubber, {"Version": "2012-10-17", "Statement": [*policy_of(STAGING_ACCOUNT)["Statement"], theirs]}
    )
    wanted = {"Version": "2012-10-17", "Statement": [theirs, *policy_of(PROD_ACCOUNT)["Statement"]]}
    stubber.add_response(
        "put_model_package_group_policy",
        {"ModelPackageGroupArn": GROUP_ARN},
        {"ModelPackageGroupName": GROUP, "ResourcePolicy": json.dumps(wanted, separators=(",", ":"))},
    )
    assert ensure_policy(client, FOUND, [PROD_ACCOUNT]) == "written"


def test_an_account_that_is_no_stage_any_more_loses_its_rights(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    read_policy(stubber, policy_of(STAGING_ACCOUNT))
    stubber.add_response("delete_model_package_group_policy", {}, {"ModelPackageGroupName": GROUP})
    assert ensure_policy(client, FOUND, [ACCOUNT, ACCOUNT]) == "removed"


def summary(version: int, status: str = "Completed") -> dict[str, Any]:
    return {
        "ModelPackageGroupName": GROUP,
        "ModelPackageVersion": version,
        "ModelPackageArn": PACKAGE_ARN.replace("/7", f"/{version}"),
        "CreationTime": NOW,
        "ModelPackageStatus": status,
        "ModelApprovalStatus": "Approved",
    }


LIST_REQUEST = {
    "ModelPackageGroupName": GROUP,
    "ModelApprovalStatus": "Approved",
    "SortBy": "CreationTime",
    "SortOrder": "Descending",
    "MaxResults": 100,
}


@pytest.mark.parametrize("given", ["", "newest"])
def test_the_newest_approved_package_takes_one_call_even_if_more_pages_follow(stub: Stub, given: str) -> None:
    client, stubber = stub("sagemaker")
    answer = {"ModelPackageSummaryList": [summary(7), summary(6)], "NextToken": "more"}
    stubber.add_response("list_model_packages", answer, LIST_REQUEST)
    assert choose_package(client, FOUND, given) == ModelPackage(PACKAGE_ARN, "newest")


def test_an_empty_page_with_more_behind_it_is_followed(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    stubber.add_response(
        "list_model_packages", {"ModelPackageSummaryList": [], "NextToken": "t"}, LIST_REQUEST
    )
    stubber.add_response(
        "list_model_packages", {"ModelPackageSummaryList": [summary(7)]}, {**LIST_REQUEST, "NextToken": "t"}
    )
    assert choose_package(client, FOUND, "newest").arn == PACKAGE_ARN


def test_empty_pages_are_not_followed_for_ever(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    for _ in range(100):
        stubber.add_response("list_model_packages", {"ModelPackageSummaryList": [], "NextToken": "t"})
    with pytest.raises(NotDeployableError, match="100 empty pages"):
        choose_package(client, FOUND, "newest")


def test_nothing_approved_yet_is_its_own_outcome(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": []})
    with pytest.raises(
        NoApprovedModelError, match=f"No approved model package in group {GROUP} yet"
    ) as error:
        choose_package(client, FOUND, "newest")
    assert (error.value.outcome, error.value.exit_code) == ("no-approved-model-package", 1)


def test_the_newest_package_must_be_complete(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": [summary(7, "Failed")]})
    with pytest.raises(NotDeployableError, match="its status is Failed"):
        choose_package(client, FOUND, "newest")


def describe_package(
    stubber: Stubber, approval: str | None, status: str = "Completed", arn: str = PACKAGE_ARN
) -> None:
    answer = {
        "ModelPackageName": GROUP,
        "ModelPackageArn": arn,
        "CreationTime": NOW,
        "ModelPackageStatus": status,
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
    }
    if approval:
        answer["ModelApprovalStatus"] = approval
    stubber.add_response("describe_model_package", answer, {"ModelPackageName": arn})


def test_a_given_package_is_deployed_without_listing(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    describe_package(stubber, "Approved")
    assert choose_package(client, FOUND, PACKAGE_ARN) == ModelPackage(PACKAGE_ARN, "given")


def test_a_given_package_may_have_its_group_in_lower_case(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    group = Group("Iris-p-1", GROUP_ARN.replace(GROUP, "Iris-p-1"), created=False)
    lower = PACKAGE_ARN.replace(GROUP, "iris-p-1")
    describe_package(stubber, "Approved", arn=lower)
    assert choose_package(client, group, lower).arn == lower


@pytest.mark.parametrize(
    ("approval", "message"),
    [
        ("Rejected", "was rejected after this run began"),
        ("PendingManualApproval", "is Pending"),
        (None, "is Pending"),
    ],
)
def test_a_given_package_that_is_not_approved_any_more(
    stub: Stub, approval: str | None, message: str
) -> None:
    client, stubber = stub("sagemaker")
    describe_package(stubber, approval)
    with pytest.raises(NotDeployableError, match=message):
        choose_package(client, FOUND, PACKAGE_ARN)


def test_a_given_package_that_is_unfinished(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    describe_package(stubber, "Approved", "InProgress")
    with pytest.raises(NotDeployableError, match="its status is InProgress"):
        choose_package(client, FOUND, PACKAGE_ARN)


def test_a_given_package_that_is_gone(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    missing(stubber, "describe_model_package", f"ModelPackage {PACKAGE_ARN} does not exist.")
    with pytest.raises(NotDeployableError, match="does not exist"):
        choose_package(client, FOUND, PACKAGE_ARN)


@pytest.mark.parametrize(
    "arn",
    [
        PACKAGE_ARN.replace(GROUP, "other-group"),
        PACKAGE_ARN.replace(ACCOUNT, PROD_ACCOUNT),
        PACKAGE_ARN.replace("eu-west-1", "us-east-1"),
        PACKAGE_ARN.replace(GROUP, GROUP + "-2"),
        PACKAGE_ARN + "/8",
        PACKAGE_ARN[:-1],
    ],
)
def test_a_package_of_another_project_is_refused_without_a_call(stub: Stub, arn: str) -> None:
    client, _ = stub("sagemaker")
    with pytest.raises(NotDeployableError, match="does not belong to this project"):
        choose_package(client, FOUND, arn)


@pytest.mark.parametrize("text", ["7", "latest", GROUP_ARN, "#{variables.ModelPackageArn}"])
def test_what_is_no_arn_of_a_package_is_refused_without_a_call(stub: Stub, text: str) -> None:
    client, _ = stub("sagemaker")
    with pytest.raises(NotDeployableError, match="is not the ARN of a model package"):
        choose_package(client, FOUND, text)


def test_other_errors_of_the_registry_pass(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    stubber.add_client_error(
        "describe_model_package", "AccessDeniedException", "no", expected_params={"ModelPackageName": ANY}
    )
    with pytest.raises(ClientError):
        choose_package(client, FOUND, PACKAGE_ARN)
