"""CodeBuild's API of projects. Runs nothing, and refuses a project only for what CodeBuild would."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..ground import Ground
from ..wire import AwsError, Request
from .codebuild_store import Answer, Parameters, Project, Store, invalid, not_found, page
from .validation import check

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,149}")
ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/.+")
SETTINGS = (
    *("name", "description", "source", "secondarySources", "sourceVersion", "secondarySourceVersions", "artifacts"),
    *("secondaryArtifacts", "cache", "environment", "serviceRole", "timeoutInMinutes", "queuedTimeoutInMinutes"),
    *("encryptionKey", "tags", "vpcConfig", "logsConfig", "fileSystemLocations", "concurrentBuildLimit"),
    *("autoRetryLimit",),
)
# What would change how builds run, and nobody here does.
REFUSED = ("buildBatchConfig", "fileSystemLocations", "autoRetryLimit", "badgeEnabled")
DEFAULTS: Parameters = {
    "timeoutInMinutes": 60,
    "queuedTimeoutInMinutes": 480,
    "cache": {"type": "NO_CACHE"},
}
ENVIRONMENT_DEFAULTS: Parameters = {
    "environmentVariables": [],
    "privilegedMode": False,
    "imagePullCredentialsType": "CODEBUILD",
}
LOCATED = {"CODECOMMIT", "S3", "GITHUB", "GITHUB_ENTERPRISE", "BITBUCKET", "GITLAB", "GITLAB_SELF_MANAGED"}
SORT_KEYS: dict[str, Callable[[Project], Any]] = {
    "NAME": lambda project: project.settings["name"],
    "CREATED_TIME": lambda project: project.created,
    "LAST_MODIFIED_TIME": lambda project: project.modified,
}


class Projects:
    """The operations on projects."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.operations: dict[str, Callable[[Store, Request, Parameters], Answer]] = {
            "BatchGetProjects": _batch_get,
            "CreateProject": self._create,
            "DeleteProject": _delete,
            "InvalidateProjectCache": _invalidate,
            "ListProjects": _list,
            "UpdateProject": self._update,
        }

    def _create(self, store: Store, request: Request, given: Parameters) -> Answer:
        check(given, request.operation_model.input_shape)
        name = given["name"]
        if name in store.projects:
            raise AwsError("ResourceAlreadyExistsException", f"Project already exists: {store.arn('project', name)}")
        settings = {key: given[key] for key in SETTINGS if given.get(key) is not None}
        project = Project(store.arn("project", name), self._checked(store, request, given, {**DEFAULTS, **settings}))
        store.projects[name] = project
        return {"project": project.described()}

    def _update(self, store: Store, request: Request, given: Parameters) -> Answer:
        check(given, request.operation_model.input_shape)
        project = store.project(given["name"])
        changed = {key: given[key] for key in SETTINGS if given.get(key) is not None}
        project.settings = self._checked(store, request, given, {**project.settings, **changed})
        project.modified = type(project.created).now(project.created.tzinfo)
        return {"project": project.described()}

    def _checked(self, store: Store, request: Request, given: Parameters, settings: Parameters) -> Parameters:
        for refused in REFUSED:
            if given.get(refused):
                raise invalid(f"The embedded AWS does not implement {refused} of {request.operation}.")
        if not NAME.fullmatch(settings["name"]):
            raise invalid(f"Project name must match the pattern {NAME.pattern}")
        for source in (settings["source"], *settings.get("secondarySources", ())):
            _check_source(source)
        for source in settings.get("secondarySources", ()):
            if not source.get("sourceIdentifier"):
                raise invalid("Source identifier is required for secondary sources")
        _check_artifacts(settings)
        self._check_role(settings["serviceRole"], store.arn("project", settings["name"]))
        key = settings.get("encryptionKey") or f"arn:{store.partition}:kms:{store.region}:{store.account}:alias/aws/s3"
        environment = {**ENVIRONMENT_DEFAULTS, **settings["environment"]}
        names = [variable["name"] for variable in environment["environmentVariables"]]
        if len(names) != len(set(names)):
            raise invalid("Duplicate environment variable names")
        return {**settings, "encryptionKey": key, "environment": environment}

    def _check_role(self, arn: str, project: str) -> None:
        if not ROLE.fullmatch(arn):
            raise invalid("Invalid service role: Service role account ID does not match caller's account or bad ARN")
        try:
            self._ground.role(arn, "codebuild.amazonaws.com", "AWSCodeBuild-check", project)
        except AwsError as error:
            raise invalid(
                f"CodeBuild is not authorized to perform: sts:AssumeRole on {arn} ({error.message})"
            ) from None


def _check_source(source: Parameters) -> None:
    kind = source["type"]
    if kind in LOCATED and not source.get("location"):
        raise invalid("Project source location is required")
    if kind in {"CODEPIPELINE", "NO_SOURCE"} and source.get("location"):
        raise invalid(f"Invalid project source: location must be empty for source type {kind}")
    if kind == "NO_SOURCE" and not source.get("buildspec"):
        raise invalid("Invalid project source: buildspec is required for source type NO_SOURCE")


def _check_artifacts(settings: Parameters) -> None:
    kind, source = settings["artifacts"]["type"], settings["source"]["type"]
    if (kind == "CODEPIPELINE") != (source == "CODEPIPELINE"):
        raise invalid("Invalid artifacts: artifact type CODEPIPELINE should be used with source type CODEPIPELINE")
    for artifacts in (settings["artifacts"], *settings.get("secondaryArtifacts", ())):
        if artifacts["type"] == "S3" and not artifacts.get("location"):
            raise invalid("Project artifacts location is required")
    for artifacts in settings.get("secondaryArtifacts", ()):
        if not artifacts.get("artifactIdentifier"):
            raise invalid("Artifact identifier is required for secondary artifacts")


def _batch_get(store: Store, _: Request, given: Parameters) -> Answer:
    names = [name.rpartition("/")[2] for name in given.get("names") or ()]
    return {
        "projects": [store.projects[name].described() for name in names if name in store.projects],
        "projectsNotFound": [name for name in names if name not in store.projects],
    }


def _delete(store: Store, _: Request, given: Parameters) -> Answer:
    store.projects.pop(given["name"].rpartition("/")[2], None)  # AWS does not mind when there is none either
    return {}


def _invalidate(store: Store, _: Request, given: Parameters) -> Answer:
    store.project(given["projectName"])
    return {}


def _list(store: Store, _: Request, given: Parameters) -> Answer:
    key = SORT_KEYS.get(given.get("sortBy") or "NAME")
    if key is None:
        raise not_found(f"There is no order by {given['sortBy']}")
    return page((p.settings["name"] for p in sorted(store.projects.values(), key=key)), given, "projects")
