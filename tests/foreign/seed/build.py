"""Picks the newest approved model, lets the stages' accounts read it, and writes their configurations."""

from __future__ import annotations

import json
import os

import boto3

environment = os.environ
sagemaker = boto3.client("sagemaker")
organizations = boto3.client("organizations")
group = environment["SOURCE_MODEL_PACKAGE_GROUP_NAME"]
units = {"staging": "ORGANIZATIONAL_UNIT_STAGING_ID", "prod": "ORGANIZATIONAL_UNIT_PROD_ID"}


def accounts() -> list[str]:
    """The accounts in the organizational units."""
    found = [organizations.list_accounts_for_parent(ParentId=environment[name])["Accounts"] for name in units.values()]
    return [account["Id"] for some in found for account in some]


def share() -> None:
    """Lets the stages' accounts read the group and make models of its versions."""
    owner = boto3.client("sts").get_caller_identity()["Account"]
    region = environment["AWS_REGION"]
    principals = [f"arn:aws:iam::{account}:root" for account in accounts()]
    arn = f"arn:aws:sagemaker:{region}:{owner}"
    statements = [
        {
            "Sid": "ReadGroup",
            "Effect": "Allow",
            "Principal": {"AWS": principals},
            "Action": ["sagemaker:DescribeModelPackageGroup"],
            "Resource": f"{arn}:model-package-group/{group}",
        },
        {
            "Sid": "UseVersions",
            "Effect": "Allow",
            "Principal": {"AWS": principals},
            "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:CreateModel"],
            "Resource": f"{arn}:model-package/{group}/*",
        },
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=policy)


found = sagemaker.list_model_packages(
    ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
)["ModelPackageSummaryList"]
if not found:
    raise SystemExit(f"No approved model package in {group}")
share()
for stage in units:
    with open(f"{stage}-config-template.json") as file:
        parameters = json.load(file)["Parameters"]
    parameters["SageMakerProjectName"] = environment["SAGEMAKER_PROJECT_NAME"]
    parameters["SageMakerProjectId"] = environment["SAGEMAKER_PROJECT_ID"]
    parameters["ModelPackageName"] = found[0]["ModelPackageArn"]
    parameters["ModelExecutionRoleName"] = environment[f"SAGEMAKER_EXECUTION_ROLE_{stage.upper()}_NAME"]
    with open(environment[f"EXPORT_TEMPLATE_{stage.upper()}_CONFIG"], "w") as file:
        json.dump([{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()], file, indent=2)
