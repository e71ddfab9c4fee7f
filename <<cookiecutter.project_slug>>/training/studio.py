"""Finds the project from a notebook in Studio, where no build says which one it is; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.errors import UsageError
from training.project import Project, read_project

# The names of the product's own template: the bucket and the role that it makes for every project.
_BUCKET = "sagemaker-project-{id}-{account}"
_ROLE = "arn:{partition}:iam::{account}:role/sagemaker-seed/sagemaker-seed-training"


def find_project(environment: Mapping[str, str], name: str, client: Any) -> Project:
    """Return the project that the environment names, else the one that AWS knows as `name`.

    `client` makes a client of boto3 for a service. Raises UsageError when there is no such project here.
    """
    if environment.get("SAGEMAKER_PROJECT_ID"):
        return read_project(environment)
    sagemaker = client("sagemaker")
    try:
        project_id = sagemaker.describe_project(ProjectName=name)["ProjectId"]
    except sagemaker.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise UsageError(
            f"There is no SageMaker project {name!r} in {sagemaker.meta.region_name}: set PROJECT to the "
            "name that was given when the project was made"
        ) from error
    me = client("sts").get_caller_identity()
    account, partition = me["Account"], me["Arn"].split(":")[1]
    bucket = _BUCKET.format(id=project_id, account=account)
    return read_project(
        {
            "SAGEMAKER_PROJECT_NAME": name,
            "SAGEMAKER_PROJECT_ID": project_id,
            "ARTIFACT_BUCKET": bucket,
            "ARTIFACT_KEY_ARN": _key(client("s3"), bucket),
            "SAGEMAKER_PIPELINE_ROLE_ARN": _ROLE.format(partition=partition, account=account),
            "SOURCE_MODEL_PACKAGE_GROUP_NAME": f"{name}-{project_id}",
            "AWS_REGION": sagemaker.meta.region_name,
            "COMMIT_ID": environment.get("COMMIT_ID", ""),
        }
    )


def _key(s3: Any, bucket: str) -> str:
    """Return the ARN of the key with which the bucket encrypts what it is given."""
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    found = (rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "") for rule in rules)
    return next((key for key in found if key), "")
