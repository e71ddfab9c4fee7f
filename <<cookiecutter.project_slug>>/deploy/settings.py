"""What a build is told by its environment, read once and checked as a whole; touches no file and no AWS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import UsageError
from deploy.exports import FORMATS
from deploy.registry import NEWEST
from deploy.stages import STAGES

_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_FILE = r"[^/\0]+(/[^/\0]+)*"
_ROLE = r"/?([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}"
_ACCOUNT = r"([0-9]{12})?"

Variable = tuple[str, str, str | None, str]
"""A variable of the environment: name, pattern of its value, default (None: it must be set), what it is."""

_VARIABLES: tuple[Variable, ...] = (
    ("SAGEMAKER_PROJECT_NAME", rf"(?=.{{1,32}}$){_NAME}", None, "the project's name"),
    ("SAGEMAKER_PROJECT_ID", rf"(?=.{{1,20}}$){_NAME}", None, "the project's id"),
    ("SOURCE_MODEL_PACKAGE_GROUP_NAME", rf"(?=.{{1,63}}$){_NAME}", None, "a model package group"),
    ("SAGEMAKER_EXECUTION_ROLE_STAGING_NAME", _ROLE, None, "the name of a role, with its path"),
    ("SAGEMAKER_EXECUTION_ROLE_PROD_NAME", _ROLE, None, "the name of a role, with its path"),
    ("ACCOUNT_STAGING_ID", _ACCOUNT, "", "an account id of 12 digits, or empty for this account"),
    ("ACCOUNT_PROD_ID", _ACCOUNT, "", "an account id of 12 digits, or empty for this account"),
    ("DEPLOY_TARGET", "|".join(FORMATS), "cloudformation", " or ".join(FORMATS)),
    ("MODEL_PACKAGE_ARN", r".*", NEWEST, "the ARN of a model package"),
    ("AWS_REGION", r"[a-z]{2,}(-[a-z0-9]+)+", None, "an AWS region"),
    ("EXPORT_TEMPLATE_NAME", _FILE, "template-export.yml", "a file name"),
    ("EXPORT_TEMPLATE_STAGING_CONFIG", _FILE, "staging-config-export.json", "a file name"),
    ("EXPORT_TEMPLATE_PROD_CONFIG", _FILE, "prod-config-export.json", "a file name"),
)


@dataclass(frozen=True)
class Settings:
    """The environment of a build; mappings are by stage."""

    project_name: str
    project_id: str
    group_name: str
    roles: dict[str, str]
    accounts: dict[str, str]
    """Account ids of 12 digits; an empty string is the account of the build itself."""
    target: str
    model_package_arn: str
    region: str
    template_file: Path
    stage_files: dict[str, Path]

    def owned(self, stage: str) -> dict[str, str]:
        """Return the stage's parameters that the build knows before it asks the registry."""
        return {
            "SageMakerProjectName": self.project_name,
            "SageMakerProjectId": self.project_id,
            "StageName": stage,
            "ModelExecutionRoleName": self.roles[stage].lstrip("/"),
        }


def read_variables(
    table: Iterable[Variable], environment: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return the values by name, and a line for each missing or wrong one; an empty one counts as unset."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name, pattern, default, what in table:
        value = environment.get(name, "").strip() or default
        if value is None:
            problems.append(f"{name} is not set: expected {what}")
        elif re.fullmatch(pattern, value) is None:
            problems.append(f"{name}: {value!r} is not {what}")
        values[name] = value or ""
    return values, problems


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings; an empty variable counts as unset. Raises UsageError naming every bad variable."""
    values, problems = read_variables(_VARIABLES, environment)
    if not problems:
        problems = _clashing_files(values)
    if problems:
        raise UsageError("\n".join(["The environment of the build is incomplete or wrong", *problems]))
    return Settings(
        project_name=values["SAGEMAKER_PROJECT_NAME"],
        project_id=values["SAGEMAKER_PROJECT_ID"],
        group_name=values["SOURCE_MODEL_PACKAGE_GROUP_NAME"],
        roles={stage: values[f"SAGEMAKER_EXECUTION_ROLE_{stage.upper()}_NAME"] for stage in STAGES},
        accounts={stage: values[f"ACCOUNT_{stage.upper()}_ID"] for stage in STAGES},
        target=values["DEPLOY_TARGET"],
        model_package_arn=values["MODEL_PACKAGE_ARN"],
        region=values["AWS_REGION"],
        template_file=Path(values["EXPORT_TEMPLATE_NAME"]),
        stage_files={stage: Path(values[f"EXPORT_TEMPLATE_{stage.upper()}_CONFIG"]) for stage in STAGES},
    )


def _clashing_files(values: Mapping[str, str]) -> list[str]:
    names = [name for name, *_ in _VARIABLES if name.startswith("EXPORT_")]
    distinct = {str(Path(values[name])) for name in names}
    return [] if len(distinct) == len(names) else [f"{', '.join(names)} must name three different files"]
