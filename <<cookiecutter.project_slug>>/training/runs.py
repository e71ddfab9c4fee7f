"""Starts executions of the pipeline, follows them, tells how they ended; boto3 alone, changes no pipeline."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.errors import DeployError, NoApprovedModelError, UsageError
from deploy.registry import NEWEST, Group, choose_package
from training.project import Project
from training.publishing import find_pipeline

RUNNING = ("Executing", "Stopping")
NO_MODEL = "none"
_MAX_FAILURES = 5
_FIRST_PAUSE_SECONDS, _PAUSE_GROWTH = 0.5, 1.15


class NoPipelineError(DeployError):
    """The pipeline is not there yet, or was never started."""

    outcome = "no-pipeline"


@dataclass(frozen=True)
class Step:
    """A step of an execution, as far as it has come."""

    name: str
    status: str
    seconds: float | None = None
    cached: bool = False
    reason: str = ""
    attempts: int = 1
    model_package_arn: str = ""
    job_arn: str = ""
    outcome: str = ""
    """Of a condition: `True` or `False`."""

    @property
    def note(self) -> str:
        """Return what there is to say about it, in a few words."""
        said = ["from the cache"] if self.cached else []
        said += [f"{self.attempts} attempts"] if self.attempts > 1 else []
        said += [f"condition is {self.outcome}"] if self.outcome else []
        said += [text for text in (self.model_package_arn, self.reason) if text]
        return "; ".join(said)


@dataclass(frozen=True)
class Execution:
    """An execution: how it stands, and its steps in the order in which they began."""

    arn: str
    status: str
    reason: str = ""
    steps: tuple[Step, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Say whether it may still change."""
        return self.status in RUNNING

    @property
    def succeeded(self) -> bool:
        """Say whether it ended well."""
        return self.status == "Succeeded"

    @property
    def model_package_arn(self) -> str:
        """Return the ARN of the model that it registered, or an empty string."""
        return next((step.model_package_arn for step in self.steps if step.model_package_arn), "")

    def failure(self) -> str:
        """Return why it did not end well, in one line: the failed steps' own words before the execution's."""
        said = [
            f"{step.name}: {step.reason}" for step in self.steps if step.status == "Failed" and step.reason
        ]
        return "; ".join(said) or self.reason or f"it is {self.status.lower()}"

    def to_dict(self) -> dict[str, Any]:
        """Return it for --json."""
        return {
            "execution_arn": self.arn,
            "status": self.status,
            "failure_reason": "" if self.succeeded or self.running else self.failure(),
            "model_package_arn": self.model_package_arn,
            "steps": [
                {"name": s.name, "status": s.status, "seconds": s.seconds, "cached": s.cached, "note": s.note}
                for s in self.steps
            ],
        }


def production_model(client: Any, project: Project) -> str:
    """Return the S3 URI of the newest approved model of the project, or `none`."""
    try:
        package = choose_package(client, Group(project.group, "", created=False), NEWEST)
    except NoApprovedModelError:
        return NO_MODEL
    described = client.describe_model_package(ModelPackageName=package.arn)
    return str(described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


def start(client: Any, project: Project, given: Mapping[str, str] | None = None) -> str:
    """Start an execution and return its ARN.

    `given` are values of the pipeline's parameters. Without them a new model is measured against the newest
    approved one, and carries the commit that the environment names. Raises NoPipelineError before the first
    `upsert`, and UsageError for a parameter that the pipeline does not have or that is not of its type.
    """
    definition = _definition(client, project)
    known = {one["Name"]: one["Type"] for one in definition.get("Parameters", [])}
    values = dict(given or {})
    if problems := [*_wrong(values, known)]:
        raise UsageError("; ".join(problems))
    if "ProductionModel" not in values:
        values["ProductionModel"] = production_model(client, project)
    values.setdefault("CommitId", project.commit)
    answer = client.start_pipeline_execution(
        PipelineName=project.pipeline,
        PipelineExecutionDisplayName=_display_name(project.commit),
        PipelineExecutionDescription=f"Commit {project.commit}, by {project.reason}, {_mark(definition)}",
        PipelineParameters=[{"Name": name, "Value": value} for name, value in sorted(values.items())],
    )
    return str(answer["PipelineExecutionArn"])


_READS: dict[str, Callable[[str], object]] = {"Integer": int, "Float": float, "String": str, "Boolean": str}


def _wrong(values: Mapping[str, str], known: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        if name not in known:
            yield f"the pipeline has no parameter {name}: it has {', '.join(known)}"
            continue
        try:
            _READS[known[name]](value)
        except ValueError:
            yield f"{name}: {value!r} is no {known[name]}"


def _definition(client: Any, project: Project) -> dict[str, Any]:
    found = find_pipeline(client, project)
    if found is None:
        raise NoPipelineError(
            f"There is no pipeline {project.pipeline} yet: run `python -m training.pipeline upsert` first"
        )
    loaded: dict[str, Any] = json.loads(found["PipelineDefinition"])
    return loaded


def _mark(definition: dict[str, Any]) -> str:
    """Return by what an execution tells later which definition it ran; code and data are in it by digest."""
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return f"definition {hashlib.sha256(canonical.encode()).hexdigest()}"


def _display_name(commit: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", f"commit-{commit[:12]}").strip("-")


def already(client: Any, project: Project) -> str | None:
    """Return the ARN of the newest execution if it ran what the pipeline is now, and runs or succeeded.

    One that failed or was stopped does not count: what was to be done is still to be done.
    """
    definition = _definition(client, project)
    newest = _newest(client, project)
    if newest is None or newest["PipelineExecutionStatus"] not in ("Executing", "Succeeded"):
        return None
    same = _mark(definition) in newest.get("PipelineExecutionDescription", "")
    return str(newest["PipelineExecutionArn"]) if same else None


def newest_execution(client: Any, project: Project) -> str:
    """Return the ARN of the newest execution. Raises NoPipelineError if there is none."""
    _definition(client, project)
    newest = _newest(client, project)
    if newest is None:
        raise NoPipelineError(
            f"{project.pipeline} was never started: run `python -m training.pipeline start`"
        )
    return str(newest["PipelineExecutionArn"])


def _newest(client: Any, project: Project) -> dict[str, Any] | None:
    answer = client.list_pipeline_executions(
        PipelineName=project.pipeline, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
    )
    return next(iter(answer["PipelineExecutionSummaries"]), None)


def look(client: Any, arn: str) -> Execution:
    """Return how an execution stands."""
    described = client.describe_pipeline_execution(PipelineExecutionArn=arn)
    pages = client.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return Execution(
        arn=arn,
        status=described["PipelineExecutionStatus"],
        reason=" ".join(described.get("FailureReason", "").split()),
        steps=tuple(_step(step) for page in pages for step in page["PipelineExecutionSteps"]),
    )


def _step(answer: dict[str, Any]) -> Step:
    began, ended = answer.get("StartTime"), answer.get("EndTime")
    metadata = answer.get("Metadata", {})
    job = metadata.get("TrainingJob") or metadata.get("ProcessingJob") or {}
    return Step(
        name=answer["StepName"],
        status=answer["StepStatus"],
        seconds=_between(began, ended),
        cached=bool(answer.get("CacheHitResult")),
        reason=" ".join(
            (answer.get("FailureReason") or metadata.get("Fail", {}).get("ErrorMessage", "")).split()
        ),
        attempts=answer.get("AttemptCount", 1) or 1,
        model_package_arn=metadata.get("RegisterModel", {}).get("Arn", ""),
        job_arn=job.get("Arn", ""),
        outcome=metadata.get("Condition", {}).get("Outcome", ""),
    )


def _between(began: datetime | None, ended: datetime | None) -> float | None:
    return None if began is None or ended is None else round((ended - began).total_seconds(), 1)


def watch(
    client: Any,
    arn: str,
    say: Callable[[str], None],
    *,
    every: float = 15.0,
    at_most: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Execution:
    """Follow an execution to its end, or for `at_most` seconds, and return how it then stands.

    It looks often at first, when most happens, and ever less often, up to `every` seconds. `say` hears one
    line for each change of a step. An error of the network does not end it, unless it comes back time after
    time.
    """
    from botocore.exceptions import BotoCoreError

    began, heard, failures = now(), dict[str, str](), 0
    pause = min(_FIRST_PAUSE_SECONDS, every)
    while True:
        try:
            execution = look(client, arn)
            failures = 0
        except BotoCoreError:
            failures += 1
            if failures == _MAX_FAILURES:
                raise
            pause = every
        else:
            for step in execution.steps:
                if heard.get(step.name) != step.status:
                    heard[step.name] = step.status
                    say(_line(step))
            if not execution.running or (at_most is not None and now() - began >= at_most):
                return execution
        sleep(pause)
        pause = min(pause * _PAUSE_GROWTH, every)


def _line(step: Step) -> str:
    took = f" in {step.seconds:.1f} s" if step.seconds is not None else ""
    note = f": {step.note}" if step.note else ""
    return f"{step.name:<12} {step.status}{took}{note}"


def table(execution: Execution) -> str:
    """Return the steps and the outcome, in lines of a table."""
    rows = [("Step", "Status", "Seconds", "")]
    rows += [
        (step.name, step.status, "" if step.seconds is None else f"{step.seconds:.1f}", step.note)
        for step in execution.steps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=False)) for row in rows]
    lines = [f"{line}  {row[3]}".rstrip() for line, row in zip(lines, rows, strict=True)]
    return "\n".join([*lines, f"{execution.arn}: {execution.status}"])
