"""The model registry: the project's model package group, who may read it, and the model package to deploy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deploy.errors import NoApprovedModelError, NotDeployableError

NEWEST = "newest"
"""What the pipeline passes when a commit, not an approval, started it."""

_PAGE = 100
_MAX_EMPTY_PAGES = 100
_GROUP_SID = "StagesReadModelPackageGroup"
_PACKAGE_SID = "StagesDeployModelPackages"
_OUR_SIDS = (_GROUP_SID, _PACKAGE_SID)
_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):sagemaker:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):(?P<resource>.+)"
)


@dataclass(frozen=True)
class Group:
    """A model package group, and what build.py did to it."""

    name: str
    arn: str
    created: bool

    @property
    def partition(self) -> str:
        """Return the AWS partition, such as aws or aws-cn."""
        return self.arn.split(":")[1]

    @property
    def account(self) -> str:
        """Return the id of the account that owns the group."""
        return self.arn.split(":")[4]

    @property
    def package_prefix(self) -> str:
        """Return the beginning of the ARN of each of the group's model packages."""
        return self.arn.replace(":model-package-group/", ":model-package/", 1) + "/"


@dataclass(frozen=True)
class ModelPackage:
    """The model package to deploy; `chosen` says whether it was `given` or is the `newest` approved."""

    arn: str
    chosen: str


def ensure_group(client: Any, name: str, description: str, tags: dict[str, str]) -> Group:
    """Return the model package group of that name; create it with the tags if there is none."""
    arn = _find_group(client, name)
    if arn is not None:
        return Group(name, arn, created=False)
    try:
        answer = client.create_model_package_group(
            ModelPackageGroupName=name,
            ModelPackageGroupDescription=description,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    except client.exceptions.ClientError as error:
        # Two builds began at once and the other one was first.
        if not _says(error, "already exists"):
            raise
        arn = _find_group(client, name)
        if arn is None:
            raise
        return Group(name, arn, created=False)
    return Group(name, answer["ModelPackageGroupArn"], created=True)


def _find_group(client: Any, name: str) -> str | None:
    try:
        return str(client.describe_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"])
    except client.exceptions.ClientError as error:
        if _says(error, "does not exist"):
            return None
        raise


def _says(error: Any, text: str) -> bool:
    """SageMaker answers a missing resource with a ValidationException; only its text tells it apart."""
    details = error.response["Error"]
    return details.get("Code") == "ValidationException" and text in details.get("Message", "")


def ensure_policy(client: Any, group: Group, stage_accounts: Iterable[str]) -> str:
    """Let the stages' accounts read and deploy the group's model packages, and nobody else by our statements.

    Statements that others have put into the policy stay. Returns what was done: `unchanged`, `written` or
    `removed`.
    """
    others = sorted(set(stage_accounts) - {group.account})
    current = None if group.created else _read_policy(client, group.name)
    foreign = [s for s in _statements(current) if s.get("Sid") not in _OUR_SIDS]
    wanted = {"Version": "2012-10-17", "Statement": foreign + policy_statements(group, others)}
    if _canonical(wanted["Statement"]) == _canonical(_statements(current)):
        return "unchanged"
    if not wanted["Statement"]:
        client.delete_model_package_group_policy(ModelPackageGroupName=group.name)
        return "removed"
    client.put_model_package_group_policy(
        ModelPackageGroupName=group.name, ResourcePolicy=json.dumps(wanted, separators=(",", ":"))
    )
    return "written"


def policy_statements(group: Group, accounts: list[str]) -> list[dict[str, Any]]:
    """Return what each of `accounts` needs to create a model from a package, and no more.

    Not sagemaker:UpdateModelPackage, which AWS's own example has: with it a stage's account could approve
    models.
    """
    if not accounts:
        return []
    principal = {"AWS": [f"arn:{group.partition}:iam::{account}:root" for account in accounts]}
    rights = (
        (_GROUP_SID, ["sagemaker:DescribeModelPackageGroup"], group.arn),
        (
            _PACKAGE_SID,
            ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:CreateModel"],
            group.package_prefix + "*",
        ),
    )
    return [
        {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resource}
        for sid, actions, resource in rights
    ]


def _read_policy(client: Any, name: str) -> Any:
    try:
        return json.loads(client.get_model_package_group_policy(ModelPackageGroupName=name)["ResourcePolicy"])
    except client.exceptions.ClientError as error:
        if _says(error, "Cannot find"):
            return None
        raise


def _statements(policy: Any) -> list[dict[str, Any]]:
    statements = (policy or {}).get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def _canonical(value: Any) -> Any:
    """Return statements so that equal rights compare equal: AWS may reorder lists and unwrap single items."""
    if isinstance(value, dict):
        return tuple(sorted((key, _canonical(item)) for key, item in value.items()))
    if isinstance(value, list):
        return (
            tuple(sorted((_canonical(item) for item in value), key=repr))
            if len(value) != 1
            else _canonical(value[0])
        )
    return value


_REJECTED_MEANWHILE = "was rejected after this run began"


def choose_package(
    client: Any, group: Group, given: str, rejected: str = _REJECTED_MEANWHILE
) -> ModelPackage:
    """Return the model package to deploy: the given one if it may be deployed, else the newest approved one.

    `rejected` is what is said of a given one that is. Raises NotDeployableError for a given package that is
    not this project's, gone, or not approved (any more), and NoApprovedModelError if nothing is given and
    nothing in the group is approved.
    """
    if given in ("", NEWEST):
        return ModelPackage(_newest_approved(client, group), NEWEST)
    _must_belong(given, group)
    return ModelPackage(_must_be_approved(client, given, rejected), "given")


def earlier_package(client: Any, name: str, version: str) -> tuple[str, str]:
    """Return an approved model package of a group, by its version number or ARN, and the newest approved one.

    Raises NotDeployableError if the group is not there, or the version is not approved or not of this group.
    """
    arn = _find_group(client, name)
    if arn is None:
        raise NotDeployableError(f"There is no model package group {name} in this account and region")
    group = Group(name, arn, created=False)
    given = f"{group.package_prefix}{int(version)}" if version.isdecimal() else version
    _must_belong(given, group)
    return _must_be_approved(client, given, "is rejected"), _newest_approved(client, group)


def _newest_approved(client: Any, group: Group) -> str:
    """Ask for one page, newest first, whatever the size of the group.

    AWS does not say that a filtered page is never empty while more follow, so empty pages are followed, but
    not forever.
    """
    request: dict[str, Any] = {
        "ModelPackageGroupName": group.name,
        "ModelApprovalStatus": "Approved",
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": _PAGE,
    }
    for _ in range(_MAX_EMPTY_PAGES):
        answer = client.list_model_packages(**request)
        if answer["ModelPackageSummaryList"]:
            return _must_be_complete(answer["ModelPackageSummaryList"][0])
        if not answer.get("NextToken"):
            raise NoApprovedModelError(
                f"No approved model package in group {group.name} yet: approve one in the model registry, "
                "and the deployment starts by itself. Nothing was written"
            )
        request["NextToken"] = answer["NextToken"]
    raise NotDeployableError(
        f"Group {group.name}: {_MAX_EMPTY_PAGES} empty pages of model packages; pass an ARN instead"
    )


@dataclass(frozen=True)
class Baseline:
    """What the monitor of a model package's endpoint compares with, and what it runs; each of them a URI."""

    statistics: str
    constraints: str
    code: str
    image: str

    def owned(self) -> dict[str, str]:
        """Return it as parameters of the endpoint template."""
        return {
            "BaselineStatisticsS3Uri": self.statistics,
            "BaselineConstraintsS3Uri": self.constraints,
            "MonitorCodeS3Uri": self.code,
            "MonitorImageUri": self.image,
        }


def find_baseline(client: Any, package: ModelPackage) -> Baseline | None:
    """Return the baseline that the training registered with the package; None if it registered none."""
    described = client.describe_model_package(ModelPackageName=package.arn)
    quality = described.get("DriftCheckBaselines", {}).get("ModelDataQuality", {})
    found = Baseline(
        quality.get("Statistics", {}).get("S3Uri", ""),
        quality.get("Constraints", {}).get("S3Uri", ""),
        described.get("CustomerMetadataProperties", {}).get("code", ""),
        described.get("InferenceSpecification", {}).get("Containers", [{}])[0].get("Image", ""),
    )
    return found if all(found.owned().values()) else None


def _must_be_complete(package: dict[str, Any]) -> str:
    arn, status = str(package["ModelPackageArn"]), package.get("ModelPackageStatus", "Completed")
    if status != "Completed":
        raise NotDeployableError(f"{arn} is approved, but its status is {status}: it cannot be deployed")
    return arn


def _must_belong(arn: str, group: Group) -> None:
    """SageMaker writes ARNs in lower case whatever the case of the group's name, so case tells nothing."""
    if _ARN.fullmatch(arn) is None or ":model-package/" not in arn:
        raise NotDeployableError(
            f"{arn!r} is not the ARN of a model package (expected {group.package_prefix}VERSION)"
        )
    version = arn[len(group.package_prefix) :]
    if not arn.lower().startswith(group.package_prefix.lower()) or not version.isdecimal():
        raise NotDeployableError(
            f"{arn} does not belong to this project (expected {group.package_prefix}VERSION)"
        )


def _must_be_approved(client: Any, arn: str, rejected: str) -> str:
    try:
        package = client.describe_model_package(ModelPackageName=arn)
    except client.exceptions.ClientError as error:
        if _says(error, "does not exist") or _says(error, "not found"):
            raise NotDeployableError(f"{arn} does not exist (any more); approve another version") from error
        raise
    status = package.get("ModelApprovalStatus", "PendingManualApproval")
    if status != "Approved":
        meanwhile = rejected if status == "Rejected" else f"is {status}"
        raise NotDeployableError(
            f"{arn} {meanwhile}: only an approved model package is deployed. Nothing was written"
        )
    return _must_be_complete(package)
