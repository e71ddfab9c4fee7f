"""CodeBuild's API of builds: puts a project and what is said at the start together, and has the result run."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ..builds.order import Order
from ..builds.progress import Phase, Progress
from ..builds.running import Run
from ..builds.sources import FETCHERS
from ..ground import Event, Ground
from ..wire import AwsError, Request, not_implemented
from .codebuild_store import Answer, Build, Parameters, Project, Store, invalid, not_found, page
from .validation import check

BUILDS_AT_ONCE = 6
CURATED = re.compile(
    r"aws/codebuild/(?:standard:\d+\.0|(?:amazonlinux2?|amazonlinux)-(?:x86_64|aarch64)-standard:\d+\.0|"
    r"amazonlinux-(?:x86_64|aarch64)-lambda-standard:python3\.\d+|python:[\d.]+|ubuntu-base:[\d.]+)(?:-[\d.]+)?"
)
MAINTAINED = re.compile(
    r"aws/codebuild/(?:standard:[78]\.0|amazonlinux-x86_64-standard:[56]\.0|amazonlinux-aarch64-standard:[34]\.0|"
    r"amazonlinux-(?:x86_64|aarch64)-lambda-standard:python3\.1[123])(?:-[\d.]+)?"
)
ON_LINUX = {
    "LINUX_CONTAINER",
    "ARM_CONTAINER",
    "LINUX_LAMBDA_CONTAINER",
    "ARM_LAMBDA_CONTAINER",
    "LINUX_EC2",
    "ARM_EC2",
}
# override at the start -> setting of the project's source, environment, or of the project itself
SOURCE_OVERRIDES = {
    "sourceTypeOverride": "type",
    "sourceLocationOverride": "location",
    "buildspecOverride": "buildspec",
    "gitCloneDepthOverride": "gitCloneDepth",
}
ENVIRONMENT_OVERRIDES = {
    "imageOverride": "image",
    "environmentTypeOverride": "type",
    "computeTypeOverride": "computeType",
    "privilegedModeOverride": "privilegedMode",
    "imagePullCredentialsTypeOverride": "imagePullCredentialsType",
}
OVERRIDES = {
    "artifactsOverride": "artifacts",
    "secondaryArtifactsOverride": "secondaryArtifacts",
    "secondarySourcesOverride": "secondarySources",
    "secondarySourcesVersionOverride": "secondarySourceVersions",
    "sourceVersion": "sourceVersion",
    "serviceRoleOverride": "serviceRole",
    "timeoutInMinutesOverride": "timeoutInMinutes",
    "queuedTimeoutInMinutesOverride": "queuedTimeoutInMinutes",
    "encryptionKeyOverride": "encryptionKey",
    "logsConfigOverride": "logsConfig",
    "cacheOverride": "cache",
}
# What would make a build run otherwise than it does here.
REFUSED = (
    *("sourceAuthOverride", "gitSubmodulesConfigOverride", "certificateOverride", "registryCredentialOverride"),
    *("debugSessionEnabled", "fleetOverride", "autoRetryLimitOverride", "hostKernelOverride"),
)
NOT_FROM_A_PIPELINE = "The source of this project is CODEPIPELINE: only a pipeline can start it"
INITIATOR = "CODEBUILD_INITIATOR"
REPEATED = (
    *("source", "secondarySources", "secondarySourceVersions", "environment", "cache", "vpcConfig", "serviceRole"),
    *("timeoutInMinutes", "queuedTimeoutInMinutes", "encryptionKey"),
)


class Builds:
    """The operations on builds; all accounts' builds share the machine."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._slots = threading.BoundedSemaphore(BUILDS_AT_ONCE)
        self.operations: dict[str, Callable[[Store, Request, Parameters], Answer]] = {
            "BatchDeleteBuilds": _delete,
            "BatchGetBuilds": _batch_get,
            "ListBuilds": _list,
            "ListBuildsForProject": _list_for_project,
            "RetryBuild": self._retry,
            "StartBuild": self._start,
            "StopBuild": _stop,
        }

    def _start(self, store: Store, request: Request, given: Parameters) -> Answer:
        check(given, request.operation_model.input_shape)
        token = given.get("idempotencyToken")
        if token and token in store.answered:
            before, identifier = store.answered[token]
            if before != given:
                raise invalid("idempotencyToken was used before with other parameters")
            return {"build": described(store.builds[identifier])}
        build = self._begun(store, request, given)
        if token:
            store.answered[token] = (given, build.order.identifier)
        return {"build": described(build)}

    def _retry(self, store: Store, request: Request, given: Parameters) -> Answer:
        before = _build(store, str(given.get("id") or ""))
        if before.progress.ended is None:
            raise invalid(f"Build {before.order.identifier} is still in progress")
        return {"build": described(self._begun(store, request, before.request))}

    def _begun(self, store: Store, request: Request, given: Parameters) -> Build:
        project = store.project(given["projectName"])
        for refused in REFUSED:
            if given.get(refused):
                raise not_implemented("codebuild", request.operation, f"({refused} of a build)")
        settings = _settings(project, given)
        _check_possible(settings, request.operation)
        project.builds += 1
        order = _order(store, project, settings, given, _initiator(request, given))
        progress = Progress(lambda phase: self._tell(order, progress, phase))
        build = Build(order, progress, given, {key: settings[key] for key in REPEATED if key in settings})
        store.builds[order.identifier] = build
        run = Run(self._ground, order, progress, self._slots)
        seconds = float(settings["queuedTimeoutInMinutes"]) * 60
        threading.Thread(target=run.run, args=(seconds,), daemon=True, name=order.identifier).start()
        return build

    def _tell(self, order: Order, progress: Progress, phase: Phase | None) -> None:
        """Says what EventBridge would get: each phase that ends, and each status."""
        detail: dict[str, Any] = {"project-name": order.project, "build-id": order.arn, "version": "1"}
        information = {
            "build-complete": progress.ended is not None,
            "initiator": order.initiator,
            "build-start-time": progress.started.strftime("%b %d, %Y %I:%M:%S %p"),
            "source": {"type": order.source["type"], "location": order.source.get("location", "")},
            "logs": {"group-name": order.logs["group"], "stream-name": order.logs["stream"]},
        }
        if phase is not None:
            detail |= {"completed-phase": phase.name, "completed-phase-status": phase.status}
            detail |= {"completed-phase-context": str([c["message"] for c in phase.contexts])}
            self._emit(order, "CodeBuild Build Phase Change", {**detail, "additional-information": information})
        if phase is None or phase.name == "SUBMITTED":
            detail = {"build-status": progress.status, "project-name": order.project, "build-id": order.arn}
            detail |= {"current-phase": progress.phase, "version": "1", "additional-information": information}
            self._emit(order, "CodeBuild Build State Change", detail)

    def _emit(self, order: Order, kind: str, detail: Mapping[str, Any]) -> None:
        self._ground.emit(Event(order.account, order.region, "aws.codebuild", kind, detail, (order.arn,)))


def _settings(project: Project, given: Parameters) -> Parameters:
    """The project's settings with what the start of a build says over them."""
    settings = {**project.settings}
    settings |= {name: given[key] for key, name in OVERRIDES.items() if given.get(key) is not None}
    for part, overrides in (("source", SOURCE_OVERRIDES), ("environment", ENVIRONMENT_OVERRIDES)):
        said = {name: given[key] for key, name in overrides.items() if given.get(key) is not None}
        settings[part] = {**settings[part], **said}
    return settings


def _check_possible(settings: Parameters, operation: str) -> None:
    source, environment = settings["source"], settings["environment"]
    if source["type"] == "CODEPIPELINE":
        raise invalid(NOT_FROM_A_PIPELINE)
    for one in (source, *settings.get("secondarySources", ())):
        if one["type"] not in FETCHERS:
            raise not_implemented("codebuild", operation, f"The source type {one['type']} is not reachable here.")
        if one["type"] != "NO_SOURCE" and not one.get("location"):
            raise invalid("Project source location is required")
    if environment["type"] not in ON_LINUX:
        raise not_implemented("codebuild", operation, f"Builds of the type {environment['type']} do not run here.")
    if not CURATED.fullmatch(environment["image"]):
        why = f"Of build images only AWS's own for Linux are stood in for, not {environment['image']}."
        raise not_implemented("codebuild", operation, why)
    if settings["artifacts"]["type"] == "CODEPIPELINE":
        raise invalid(NOT_FROM_A_PIPELINE)
    if (settings.get("logsConfig") or {}).get("s3Logs", {}).get("status") == "ENABLED":
        raise not_implemented("codebuild", operation, "Logs in S3 are not written.")


def _initiator(request: Request, given: Parameters) -> str:
    for variable in given.get("environmentVariablesOverride") or ():
        if variable["name"] == INITIATOR:  # a pipeline says so
            return str(variable["value"])
    caller = request.caller
    return "root" if caller.is_account else caller.arn.partition("/")[2]


def _order(store: Store, project: Project, settings: Parameters, given: Parameters, initiator: str) -> Order:
    name, unique = settings["name"], str(uuid.uuid4())
    identifier = f"{name}:{unique}"
    cloudwatch = (settings.get("logsConfig") or {}).get("cloudWatchLogs") or {}
    prefix = cloudwatch.get("streamName")
    key = settings["encryptionKey"]
    image = settings["environment"]["image"]
    versions = {v["sourceIdentifier"]: v["sourceVersion"] for v in settings.get("secondarySourceVersions", ())}
    return Order(
        identifier=identifier,
        arn=store.arn("build", identifier),
        project=name,
        project_arn=project.arn,
        number=project.builds,
        account=store.account,
        region=store.region,
        partition=store.partition,
        role=settings["serviceRole"],
        image=image,
        initiator=initiator,
        source=settings["source"],
        version=settings.get("sourceVersion") or "",
        secondary=settings.get("secondarySources", ()),
        secondary_versions=versions,
        from_pipeline=project.settings["source"]["type"] == "CODEPIPELINE",
        artifacts=settings["artifacts"],
        secondary_artifacts=settings.get("secondaryArtifacts", ()),
        variables=[
            *settings["environment"]["environmentVariables"],
            *(v for v in given.get("environmentVariablesOverride") or () if v["name"] != INITIATOR),
        ],
        key="" if key.endswith("alias/aws/s3") else key,
        logs={
            "enabled": cloudwatch.get("status", "ENABLED") == "ENABLED",
            "group": cloudwatch.get("groupName") or f"/aws/codebuild/{name}",
            "stream": f"{prefix}/{unique}" if prefix else unique,
        },
        seconds=float(settings["timeoutInMinutes"]) * 60,
        warnings=_warnings(settings),
    )


def _warnings(settings: Parameters) -> list[str]:
    """What a build's log has to say of what is not as on AWS."""
    environment = settings["environment"]
    said = []
    if not MAINTAINED.fullmatch(environment["image"]):
        said.append(f"AWS does not maintain the image {environment['image']} any more")
    if environment.get("privilegedMode"):
        said.append("Privileged mode changes nothing here: there is no Docker")
    if settings["cache"]["type"] != "NO_CACHE":
        said.append("The project's cache is not kept from build to build")
    if settings.get("vpcConfig"):
        said.append("The project's VPC is not looked at: a build has this machine's network")
    return said


def described(build: Build) -> Answer:
    """A build as ``BatchGetBuilds`` shows it."""
    order, progress = build.order, build.progress
    ended = {"endTime": progress.ended} if progress.ended else {}
    resolved = {"resolvedSourceVersion": progress.resolved} if progress.resolved else {}
    version = {"sourceVersion": order.version} if order.version else {}
    return {
        "id": order.identifier,
        "arn": order.arn,
        "buildNumber": order.number,
        "startTime": progress.started,
        **ended,
        "currentPhase": progress.phase,
        "buildStatus": progress.status,
        **version,
        **resolved,
        "projectName": order.project,
        "phases": progress.phases(),
        "artifacts": progress.artifacts or {"location": ""},
        "secondaryArtifacts": progress.secondary,
        "logs": _logs(order),
        "buildComplete": progress.ended is not None,
        "initiator": order.initiator,
        "exportedEnvironmentVariables": progress.exported,
        "reportArns": progress.reports,
        **build.shown,
    }


def _logs(order: Order) -> Answer:
    if not order.logs["enabled"]:
        return {"cloudWatchLogs": {"status": "DISABLED"}}
    group, stream = order.logs["group"], order.logs["stream"]
    where = f"arn:{order.partition}:logs:{order.region}:{order.account}:log-group:{group}:log-stream:{stream}"
    return {
        "groupName": group,
        "streamName": stream,
        "cloudWatchLogsArn": where,
        "cloudWatchLogs": {"status": "ENABLED", "groupName": group},
    }


def _build(store: Store, identifier: str) -> Build:
    found = store.builds.get(identifier.rpartition("/")[2])
    if found is None:
        raise not_found(f"Build cannot be found: {identifier}")
    return found


def _stop(store: Store, _: Request, given: Parameters) -> Answer:
    build = _build(store, given["id"])
    build.progress.stop.set()
    return {"build": described(build)}


def _batch_get(store: Store, _: Request, given: Parameters) -> Answer:
    names = [name.rpartition("/")[2] for name in given.get("ids") or ()]
    return {
        "builds": [described(store.builds[name]) for name in names if name in store.builds],
        "buildsNotFound": [name for name in names if name not in store.builds],
    }


def _delete(store: Store, _: Request, given: Parameters) -> Answer:
    deleted, kept = [], []
    for identifier in given["ids"]:
        build = store.builds.get(identifier.rpartition("/")[2])
        if build is None or build.progress.ended is None:
            kept.append({"id": identifier, "statusCode": "BUILD_IN_PROGRESS" if build else "BUILD_NOT_FOUND"})
            continue
        del store.builds[build.order.identifier]
        deleted.append(build.order.arn)
    return {"buildsDeleted": deleted, "buildsNotDeleted": kept}


def _newest_first(given: Parameters) -> Parameters:
    return {**given, "sortOrder": given.get("sortOrder") or "DESCENDING"}


def _list(store: Store, _: Request, given: Parameters) -> Answer:
    return page(store.builds, _newest_first(given), "ids")


def _list_for_project(store: Store, _: Request, given: Parameters) -> Answer:
    name = store.project(given["projectName"]).settings["name"]
    ids = [identifier for identifier, build in store.builds.items() if build.order.project == name]
    if not ids and given.get("nextToken"):
        raise AwsError("InvalidInputException", "Invalid nextToken")
    return page(ids, _newest_first(given), "ids")
