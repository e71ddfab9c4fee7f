"""What a build is told by its environment, read once and checked as a whole; touches no file and no AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import UsageError, one_line
from deploy.exports import FORMATS
from deploy.registry import NEWEST

_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_FILE = r"[^/\0]+(/[^/\0]+)*"
_ROLE = r"/?([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64}"
_ACCOUNT = r"([0-9]{12})?"

Variable = tuple[str, str, str | None, str]
"""A variable of the environment: name, pattern of its value, default (None: it must be set), what it is."""

LAYOUTS = {"two": ("staging", "prod"), "three": ("dev", "preprod", "prod")}
"""The stages by the answer `stages`, in the order in which they are deployed."""

_VARIABLES: tuple[Variable, ...] = (
    ("SAGEMAKER_PROJECT_NAME", rf"(?=.{{1,32}}$){_NAME}", None, "the project's name"),
    ("SAGEMAKER_PROJECT_ID", rf"(?=.{{1,20}}$){_NAME}", None, "the project's id"),
    ("SOURCE_MODEL_PACKAGE_GROUP_NAME", rf"(?=.{{1,63}}$){_NAME}", None, "a model package group"),
    ("MODEL_PACKAGE_ARN", r".*", NEWEST, "the ARN of a model package"),
    ("AWS_REGION", r"[a-z]{2,}(-[a-z0-9]+)+", None, "an AWS region"),
    ("DRIFT_EVENT_BUS_ARN", r"(arn:.+:event-bus/.+)?", "", "the ARN of an event bus, or empty"),
    ("EXPORT_TEMPLATE_NAME", _FILE, "template-export.yml", "a file name"),
)


@dataclass(frozen=True)
class Answers:
    """What the repository was made for, as its seed.json says: its stages, and how they are deployed."""

    stages: tuple[str, ...]
    target: str


def read_answers(root: Path) -> Answers:
    """Return the answers of the repository in `root`. Raises UsageError."""
    path = root / "seed.json"
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))["answers"]
        stages, target = LAYOUTS[answers["stages"]], str(answers["deploy_target"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no answers stages and deploy_target in it: {one_line(error)}") from error
    if target not in FORMATS:
        raise UsageError(f"{path}: deploy_target: {target!r} is not {' or '.join(FORMATS)}")
    return Answers(stages, target)


def _variables(answers: Answers) -> Iterable[Variable]:
    """Return what a build with these answers reads: for each stage its role, its account, and its file."""
    yield from _VARIABLES
    yield "DEPLOY_TARGET", "|".join(FORMATS), answers.target, " or ".join(FORMATS)
    for stage in answers.stages:
        name = stage.upper()
        yield f"SAGEMAKER_EXECUTION_ROLE_{name}_NAME", _ROLE, None, "the name of a role, with its path"
        yield f"ACCOUNT_{name}_ID", _ACCOUNT, "", "an account id of 12 digits, or empty for this account"
        yield f"EXPORT_TEMPLATE_{name}_CONFIG", _FILE, f"{stage}-config-export.json", "a file name"


@dataclass(frozen=True)
class Project:
    """What a person must say about a project to have its pipeline do something."""

    name: str
    id: str
    group: str
    region: str

    @property
    def pipeline(self) -> str:
        """Return the name of the deploy pipeline."""
        return f"sagemaker-{self.name}-{self.id}-deploy"


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
    drift_event_bus: str
    """The ARN of the bus that drift is told to; empty if nobody wants to know."""
    template_file: Path
    stage_files: dict[str, Path]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages, in the order in which they are deployed."""
        return tuple(self.stage_files)

    def owned(self, stage: str) -> dict[str, str]:
        """Return the stage's parameters that the build knows before it asks the registry."""
        return {
            "SageMakerProjectName": self.project_name,
            "SageMakerProjectId": self.project_id,
            "StageName": stage,
            "ModelExecutionRoleName": self.roles[stage].lstrip("/"),
            "DriftEventBusArn": self.drift_event_bus,
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


def read_project(environment: Mapping[str, str]) -> Project:
    """Return which project it is. Raises UsageError naming every bad variable."""
    names = ("SAGEMAKER_PROJECT_NAME", "SAGEMAKER_PROJECT_ID", "AWS_REGION")
    table = [variable for variable in _VARIABLES if variable[0] in names]
    values, problems = read_variables(table, environment)
    if problems:
        raise UsageError("\n".join(["The environment does not say which project it is", *problems]))
    name, identifier, region = (values[name] for name in names)
    return Project(name, identifier, f"{name}-{identifier}", region)


def read_settings(environment: Mapping[str, str], answers: Answers) -> Settings:
    """Return the settings; an empty variable counts as unset. Raises UsageError naming every bad variable."""
    stages = answers.stages
    values, problems = read_variables(_variables(answers), environment)
    if not problems:
        problems = _clashing_files(values)
    if problems:
        raise UsageError("\n".join(["The environment of the build is incomplete or wrong", *problems]))
    return Settings(
        project_name=values["SAGEMAKER_PROJECT_NAME"],
        project_id=values["SAGEMAKER_PROJECT_ID"],
        group_name=values["SOURCE_MODEL_PACKAGE_GROUP_NAME"],
        roles={stage: values[f"SAGEMAKER_EXECUTION_ROLE_{stage.upper()}_NAME"] for stage in stages},
        accounts={stage: values[f"ACCOUNT_{stage.upper()}_ID"] for stage in stages},
        target=values["DEPLOY_TARGET"],
        model_package_arn=values["MODEL_PACKAGE_ARN"],
        region=values["AWS_REGION"],
        drift_event_bus=values["DRIFT_EVENT_BUS_ARN"],
        template_file=Path(values["EXPORT_TEMPLATE_NAME"]),
        stage_files={stage: Path(values[f"EXPORT_TEMPLATE_{stage.upper()}_CONFIG"]) for stage in stages},
    )


def _clashing_files(values: Mapping[str, str]) -> list[str]:
    names = [name for name in values if name.startswith("EXPORT_")]
    distinct = {str(Path(values[name])) for name in names}
    return [] if len(distinct) == len(names) else [f"{', '.join(names)} must all name different files"]
