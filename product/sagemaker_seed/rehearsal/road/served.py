"""What a stage serves with: endpoints, or schedules of transform jobs; and a run of such a job. Deploys nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...errors import SeedError
from . import models, stacks
from .journey import Journey
from .stages import Stage

STARTS_JOBS = "aws-sdk:sagemaker:createTransformJob"
PAYLOADS = "test/payloads/**/*.csv"
JOB_SECONDS = 60.0


@dataclass(frozen=True)
class Serving:
    """Something that answers with a model: its name, its status, and what changes when it is updated.

    Attributes:
        kind: ``endpoint`` or ``schedule``.
        package: ARN of the model package; empty if the model is made of none.
    """

    kind: str
    name: str
    status: str
    configuration: str
    package: str

    def __str__(self) -> str:
        """For a person."""
        shown = self.name if self.kind == "endpoint" else f"{self.kind} {self.name}"
        return f"{shown} {self.status}, serves {models.short(self.package)}"


def of(journey: Journey, stage: Stage) -> list[Serving]:
    """Everything that serves in a stage: all of its account, or what bears its name where stages share one."""
    sagemaker = journey.client("sagemaker", stage.name)
    found = []
    for endpoint in sagemaker.list_endpoints()["Endpoints"]:
        name = endpoint["EndpointName"]
        if _is_of(journey, stage, name):
            config = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
            package = models.served(sagemaker, name)
            found.append(Serving("endpoint", name, endpoint["EndpointStatus"], config, package))
    for schedule, job in _schedules(journey, stage):
        package = models.package_of(sagemaker, job["ModelName"])
        found.append(Serving("schedule", schedule["Name"], schedule["State"], job["ModelName"], package))
    return found


def _is_of(journey: Journey, stage: Stage, name: str) -> bool:
    return stage.name in journey.accounts or name.endswith(f"-{stage.key}")


def check(journey: Journey) -> None:
    """Whether something serves in every stage.

    Raises:
        SeedError: there is nothing in one.
    """
    for stage in journey.stages:
        for one in of(journey, stage):
            journey.endpoints[stage.name] = {"name": one.name, "package": one.package, "status": one.status}
            journey.say(f"{stage.name:<13} {one}")
    if missing := [stage.name for stage in journey.stages if stage.name not in journey.endpoints]:
        raise SeedError(f"neither an endpoint nor a schedule of transform jobs in {', '.join(missing)}")


def run_jobs(journey: Journey) -> None:
    """Puts a request where each enabled schedule reads, and lets it start its job: what happens every day on AWS.

    Raises:
        SeedError: the job fails, or writes nothing.
    """
    for stage in journey.stages:
        for schedule, job in _schedules(journey, stage):
            if schedule["State"] == "ENABLED":
                journey.say(f"{stage.name:<13} {_run(journey, stage, schedule, job)}")


def _schedules(journey: Journey, stage: Stage) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The schedules of transform jobs, each with the job that it starts."""
    scheduler = journey.client("scheduler", stage.name)
    for listed in scheduler.list_schedules()["Schedules"]:
        if listed["Target"]["Arn"].endswith(STARTS_JOBS) and _is_of(journey, stage, listed["Name"]):
            schedule = scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
            yield schedule, json.loads(schedule["Target"]["Input"])


def _run(journey: Journey, stage: Stage, schedule: dict[str, Any], job: dict[str, Any]) -> str:
    request = next(iter(sorted(journey.clone.folder.glob(PAYLOADS))), None)
    if request is None:
        raise SeedError(f"the seed has no {PAYLOADS} to give to the schedule {schedule['Name']}")
    s3, sagemaker = journey.client("s3", stage.name), journey.client("sagemaker", stage.name)
    place = urlsplit(job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    s3.put_object(Bucket=place.netloc, Key=f"{place.path.lstrip('/')}{request.name}", Body=request.read_bytes())
    before = {one["TransformJobName"] for one in _jobs(sagemaker)}
    # A schedule calls its target whenever it is changed here; to what it was is a change too.
    given = ("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "State")
    journey.client("scheduler", stage.name).update_schedule(
        **{name: schedule[name] for name in given},
        FlexibleTimeWindow=schedule["FlexibleTimeWindow"],
        Target=schedule["Target"],
    )
    name = _ended(sagemaker, before, schedule["Name"])
    output = urlsplit(sagemaker.describe_transform_job(TransformJobName=name)["TransformOutput"]["S3OutputPath"])
    key = f"{output.path.lstrip('/')}/{request.name}.out"
    answers = s3.get_object(Bucket=output.netloc, Key=key)["Body"].read()
    return f"{schedule['Name']} started {name}: {len(answers):,} bytes of answers for {request.name}"


def _ended(sagemaker: Any, before: set[str], schedule: str) -> str:
    """The name of a new job that has completed.

    Raises:
        SeedError: there is none, or it did not complete.
    """
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        for one in (job for job in _jobs(sagemaker) if job["TransformJobName"] not in before):
            if one["TransformJobStatus"] == "Completed":
                return str(one["TransformJobName"])
            if one["TransformJobStatus"] in {"Failed", "Stopped"}:
                raise SeedError(f"{one['TransformJobName']} failed: {one.get('FailureReason', 'nothing says why')}")
        time.sleep(stacks.POLL_SECONDS)
    raise SeedError(f"no job of the schedule {schedule} completed within {JOB_SECONDS:g} s")


def _jobs(sagemaker: Any) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_transform_jobs").paginate()
    return [job for page in pages for job in page["TransformJobSummaries"]]
