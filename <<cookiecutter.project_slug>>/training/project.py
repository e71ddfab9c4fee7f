"""Which SageMaker project the training belongs to, and the names that follow; touches no file, no AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.errors import UsageError
from deploy.settings import Variable, read_variables

_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
COMMIT, DRIFT = "commit", "drift"
_PARTITION = r"arn:aws[a-z-]*"

_VARIABLES: tuple[Variable, ...] = (
    ("SAGEMAKER_PROJECT_NAME", rf"(?=.{{1,32}}$){_NAME}", None, "the project's name"),
    ("SAGEMAKER_PROJECT_ID", rf"(?=.{{1,20}}$){_NAME}", None, "the project's id"),
    ("ARTIFACT_BUCKET", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", None, "the name of the project's bucket"),
    (
        "ARTIFACT_KEY_ARN",
        rf"({_PARTITION}:kms:[a-z0-9-]+:[0-9]{{12}}:key/[A-Za-z0-9-]+)?",
        "",
        "the ARN of the KMS key of that bucket, or empty",
    ),
    (
        "SAGEMAKER_PIPELINE_ROLE_ARN",
        rf"{_PARTITION}:iam::[0-9]{{12}}:role/[A-Za-z0-9_+=,.@/-]+",
        None,
        "the ARN of the role that trains",
    ),
    ("SOURCE_MODEL_PACKAGE_GROUP_NAME", rf"(?=.{{1,63}}$){_NAME}", None, "a model package group"),
    ("AWS_REGION", r"[a-z]{2,}(-[a-z0-9]+)+", None, "an AWS region"),
    ("COMMIT_ID", r"[A-Za-z0-9._-]{1,64}", "unknown", "the id of a commit"),
    ("TRAIN_REASON", rf"{COMMIT}|{DRIFT}", COMMIT, f"{COMMIT} or {DRIFT}"),
)


@dataclass(frozen=True)
class Project:
    """A launched SageMaker project: where its training runs, with whose rights, and where things are kept."""

    name: str
    id: str
    bucket: str
    key_arn: str
    """The KMS key that protects the bucket; empty: whatever the bucket itself says."""
    role_arn: str
    group: str
    region: str
    commit: str = "unknown"
    reason: str = COMMIT
    """Why it trains: a commit, or that requests to an endpoint drift away from the training data."""

    @property
    def pipeline(self) -> str:
        """Return the name of the SageMaker pipeline."""
        return f"{self.name}-{self.id}-training"

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags by which Studio finds what belongs to a project."""
        return {"sagemaker:project-name": self.name, "sagemaker:project-id": self.id}

    def uri(self, *parts: str) -> str:
        """Return the S3 URI of a key of this project."""
        return "s3://" + "/".join([self.bucket, self.key(*parts)])

    def key(self, *parts: str) -> str:
        """Return an S3 key of this project; all that training writes lies below the project's name."""
        return "/".join([self.name, *parts])


def read_project(environment: Mapping[str, str]) -> Project:
    """Return the project that the environment names; an empty variable counts as unset.

    Raises UsageError naming every variable that is missing or wrong.
    """
    values, problems = read_variables(_VARIABLES, environment)
    if problems:
        raise UsageError("The environment does not say which project this is: " + "; ".join(problems))
    return Project(
        name=values["SAGEMAKER_PROJECT_NAME"],
        id=values["SAGEMAKER_PROJECT_ID"],
        bucket=values["ARTIFACT_BUCKET"],
        key_arn=values["ARTIFACT_KEY_ARN"],
        role_arn=values["SAGEMAKER_PIPELINE_ROLE_ARN"],
        group=values["SOURCE_MODEL_PACKAGE_GROUP_NAME"],
        region=values["AWS_REGION"],
        commit=values["COMMIT_ID"],
        reason=values["TRAIN_REASON"],
    )
