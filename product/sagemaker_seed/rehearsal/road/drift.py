"""What comes when requests are no longer like the training data: the monitor finds it, an alarm says it, a training.

The stage file of production switches the monitor on, as a person would, by a commit. Hours pass when it is said.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import SeedError
from ..embedded import EmbeddedAwsError
from . import models, stacks
from .following import confirm
from .journey import Journey

FILE, STAGE = "prod-config-template.json", "production"
# What is captured here is nobody's, and has no key; the seed's gate wants that decided.
ACCEPTED = "security/accepted.json"
WITHOUT_KEY = {
    "rule": "CAPTURE_ENCRYPTION",
    "resource": "EndpointConfig",
    "reason": "A rehearsal captures rows of its own; the bucket encrypts them.",
}
SWITCHES = {"DataCapturePercentage": 100, "MonitorSchedule": "daily", "Dashboard": True}
PARAMETER = "RetrainOnDrift"
# So far from the training data that no distribution of its features overlaps with the new one.
FACTOR = 10.0
ROWS_AT_ONCE, REQUESTS = 50, 4
CAPTURED_SECONDS, MONITOR_SECONDS = 20.0, 120.0
VIOLATIONS = "constraint_violations.json"


def drift(journey: Journey) -> None:
    """Watches the endpoint in production; first nothing is wrong, then requests drift, and a model is trained."""
    endpoint = _switched_on(journey)
    sagemaker = journey.client("sagemaker", STAGE)
    rows = list(_rows(journey))
    _send(journey, endpoint, rows)
    _expect(journey, _monitored(journey, sagemaker, endpoint), violated=False)
    _send(journey, endpoint, [[_shifted(cell) for cell in row] for row in rows])
    trains = journey.project_parameters.get(PARAMETER) == "yes"
    before = [package["ModelPackageArn"] for package in models.packages(journey.as_person("sagemaker"))]
    _expect(journey, _monitored(journey, sagemaker, endpoint), violated=True)
    if not trains:
        journey.say(f"nobody trains: the project was launched without {PARAMETER}")
        return
    confirm(journey)
    newest = models.packages(journey.as_person("sagemaker"))[0]
    if newest["ModelPackageArn"] in before or newest["ModelApprovalStatus"] != models.PENDING:
        raise SeedError("drift should have trained a model that waits for approval, and registered none")
    journey.say(f"trained {models.short(newest['ModelPackageArn'])}, which waits for approval")


def _switched_on(journey: Journey) -> str:
    """The endpoint in production, whose monitor a commit has switched on."""
    path = journey.clone.folder / FILE
    if not path.is_file():
        raise SeedError(f"the seed has no {FILE}, which this step changes")
    stage = json.loads(path.read_text())
    stage["Parameters"] |= SWITCHES
    _default_bucket(journey)
    journey.follower.mark()
    changed = {FILE: stage, ACCEPTED: {"accepted": [WITHOUT_KEY]}}
    journey.clone.commit(
        "Watch production", {name: json.dumps(text, indent=2) + "\n" for name, text in changed.items()}
    )
    confirm(journey, expect=len(journey.follower.pipelines))
    name = str(journey.endpoints[STAGE]["name"])
    dashboards = journey.client("cloudwatch", STAGE).list_dashboards()["DashboardEntries"]
    names = ", ".join(entry["DashboardName"] for entry in dashboards)
    journey.say(f"{name} is captured and monitored; dashboard {names}")
    return name


def _default_bucket(journey: Journey) -> None:
    """The bucket that SageMaker makes in an account when somebody first works there."""
    bucket = f"sagemaker-{journey.region}-{journey.account(STAGE)}"
    s3 = journey.client("s3", STAGE)
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        where = {} if journey.region == "us-east-1" else {"LocationConstraint": journey.region}
        s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))


def _rows(journey: Journey) -> Iterator[list[str]]:
    """The training data as a client would send it: features alone, in their order."""
    settings = json.loads((journey.clone.folder / "training" / "settings.json").read_text())
    prediction = journey.seed.answers["prediction"]
    left_out = {settings["target"][prediction], *settings["drop"][prediction]}
    with (journey.clone.folder / settings["data"]).open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield [cell for name, cell in row.items() if name not in left_out]


def _shifted(cell: str) -> str:
    try:
        return str(float(cell) * FACTOR)
    except ValueError:
        return cell


def _send(journey: Journey, endpoint: str, rows: Sequence[Sequence[str]]) -> None:
    """Sends rows in a few requests, and waits until they have been captured."""
    runtime, s3 = journey.client("sagemaker-runtime", STAGE), journey.client("s3", STAGE)
    bucket = f"sagemaker-{journey.region}-{journey.account(STAGE)}"
    before = _captured(s3, bucket, endpoint)
    parts = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)][:REQUESTS]
    for part in parts:
        body = io.StringIO(newline="")
        csv.writer(body, lineterminator="\n").writerows(part)
        runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=body.getvalue())
    _until(
        CAPTURED_SECONDS,
        lambda: _captured(s3, bucket, endpoint) >= before + len(parts),
        f"the {len(parts)} requests to {endpoint} were not captured",
    )
    journey.say(f"sent {sum(map(len, parts))} rows")


def _captured(s3: Any, bucket: str, endpoint: str) -> int:
    """How many requests have been captured."""
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"data-capture/{endpoint}/{endpoint}/").get("Contents", ())
    bodies = [s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found]
    return sum(body.count(b"\n") for body in bodies)


def _monitored(journey: Journey, sagemaker: Any, endpoint: str) -> list[dict[str, str]]:
    """What the monitor finds when its time comes.

    Raises:
        SeedError: it did not run to its end.
    """
    rule = f"sagemaker-{journey.project.id}-prod-monitor"
    try:
        deliveries = journey.aws.let_time_come(rule, journey.account(STAGE))
    except EmbeddedAwsError as error:
        raise SeedError(f"the monitor cannot be started: {error}") from None
    for delivery in deliveries:
        if delivery.status != "delivered":
            raise SeedError(f"the schedule {rule} did not start the monitor: {delivery.reason}")
    listed = sagemaker.list_pipeline_executions(PipelineName=f"{endpoint}-monitor", SortOrder="Descending")
    arn = listed["PipelineExecutionSummaries"][0]["PipelineExecutionArn"]
    ended = {"Succeeded", "Failed", "Stopped"}

    def status() -> str:
        return str(sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"])

    _until(MONITOR_SECONDS, lambda: status() in ended, f"the monitor of {endpoint} does not end")
    (step,) = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    if step["StepStatus"] != "Succeeded":
        raise SeedError(f"the monitor of {endpoint} failed: {step.get('FailureReason', 'nothing says why')}")
    job = sagemaker.describe_processing_job(
        ProcessingJobName=step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    )
    journey.say(job["ExitMessage"])
    where = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    body = journey.client("s3", STAGE).get_object(Bucket=bucket, Key=f"{prefix}/{VIOLATIONS}")["Body"].read()
    return list(json.loads(body)["violations"])


def _expect(journey: Journey, violations: Sequence[dict[str, str]], *, violated: bool) -> None:
    """Whether the monitor found what it should have found, and the alarm says so."""
    for violation in violations:
        journey.say(f"{violation['feature_name']}: {violation['description']}")
    alarms = [
        alarm
        for alarm in journey.client("cloudwatch", STAGE).describe_alarms()["MetricAlarms"]
        if alarm.get("MetricName") == "violations"
    ]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
    if bool(violations) != violated:
        raise SeedError(
            f"the monitor found {len(violations)} violations in requests that do{'' if violated else ' not'} drift"
        )
    if not states or set(states.values()) != {"ALARM" if violated else "OK"}:
        raise SeedError(f"the monitor found {len(violations)} violations, and the alarm is {states or 'not there'}")
    journey.say(", ".join(f"{name} is {state}" for name, state in states.items()))


def _until(seconds: float, holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SeedError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(stacks.POLL_SECONDS)
