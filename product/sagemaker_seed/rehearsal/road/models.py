"""Registered models: which there are, and a person's approval or rejection of one. Trains none."""

from __future__ import annotations

from typing import Any

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"


def packages(sagemaker: Any) -> list[dict[str, Any]]:
    """Every version in every group of the account, the newest first."""
    groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    found = [
        package
        for group in groups
        for package in sagemaker.list_model_packages(
            ModelPackageGroupName=group["ModelPackageGroupName"], SortBy="CreationTime", SortOrder="Descending"
        )["ModelPackageSummaryList"]
    ]
    return sorted(found, key=lambda p: (p["CreationTime"], p.get("ModelPackageVersion", 0)), reverse=True)


def decide(sagemaker: Any, package: str, status: str) -> None:
    """Approves or rejects a model."""
    sagemaker.update_model_package(
        ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription=f"{status} in a rehearsal"
    )


def served(sagemaker: Any, endpoint: str) -> str:
    """The ARN of the model package that an endpoint serves; empty if its model is made of none."""
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    return package_of(sagemaker, configuration["ProductionVariants"][0]["ModelName"])


def package_of(sagemaker: Any, name: str) -> str:
    """The ARN of the model package that a model is made of; empty if it is made of none."""
    model = sagemaker.describe_model(ModelName=name)
    containers = [model.get("PrimaryContainer") or {}, *model.get("Containers", ())]
    return next((c["ModelPackageName"] for c in containers if c.get("ModelPackageName")), "")


def short(package: str) -> str:
    """Group and version, of an ARN."""
    return package.partition("model-package/")[2] or package
