"""Batch inference: what its stage files may say, and how the jobs of the test end."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from conftest import ROOT, Stub
from test_endpoint_checks import NOW, Connected

import batch
import build
from deploy.parameters import read_parameters
from deploy.stages import StageFile, stage_problems
from endpoint import NoAnswerError, NotInServiceError

DECLARED = read_parameters((ROOT / build.TEMPLATE).read_text(encoding="utf-8"), build.TEMPLATE)[0]
NEEDED: dict[str, Any] = {"TransformInstanceType": "ml.m5.large"}


def problems_of(parameters: dict[str, Any]) -> list[str]:
    stage = StageFile("prod.json", {**NEEDED, **parameters})
    return [str(problem) for problem in stage_problems(stage, DECLARED, build.instance_types())]


@pytest.mark.parametrize(
    "parameters",
    [
        {"ScheduleExpression": "rate(1 day)"},
        {"ScheduleExpression": "cron(15 10 ? * MON-FRI *)", "ScheduleTimezone": "Europe/Berlin"},
        {"TransformMaxConcurrent": 16, "TransformMaxPayloadMB": 6, "InputS3Uri": "s3://some-bucket/requests"},
    ],
)
def test_takes(parameters: dict[str, Any]) -> None:
    assert problems_of(parameters) == []


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"ScheduleExpression": "every day"}, "must match"),
        ({"ScheduleExpression": "cron(0 6 * * *)"}, "must match"),
        ({"TransformMaxConcurrent": 17, "TransformMaxPayloadMB": 6}, "must be at most 100"),
        ({"InputS3Uri": "some-bucket/requests"}, "must match"),
        ({"TransformInstanceType": "ml.t2.medium"}, "is not an instance type for transform jobs"),
        ({"EndpointInstanceCount": 2}, "is not a parameter of the endpoint template"),
    ],
)
def test_refuses(parameters: dict[str, Any], rule: str) -> None:
    (problem,) = problems_of(parameters)
    assert rule in problem


JOB = {
    "TransformJobName": "iris-<aws.scheduler.execution-id>",
    "ModelName": "m",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in/"}}},
    "TransformOutput": {"S3OutputPath": "s3://b/output/1", "Accept": "application/json"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}


def scheduled(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> tuple[batch.Batch, Stubber, Stubber]:
    """Return a schedule of transform jobs with stubbed clients, and the stubs of SageMaker and S3."""
    monkeypatch.setattr(batch.time, "sleep", lambda _: None)
    client, sagemaker = stub("sagemaker")
    storage, s3 = stub("s3")
    found = batch.Batch(Connected(sagemaker=client, s3=storage), "iris-p-1-prod", {})
    found._job = JOB
    return found, sagemaker, s3


def job(sagemaker: Stubber, s3: Stubber, objects: int, status: str, **more: Any) -> None:
    for _ in range(objects):
        s3.add_response("put_object", {})
    sagemaker.add_response("create_transform_job", {"TransformJobArn": "arn:aws:sagemaker:::transform-job/a"})
    described = {
        "TransformJobName": "iris-1",
        "TransformJobArn": "arn:aws:sagemaker:eu-west-1:111111111111:transform-job/iris-1",
        "TransformJobStatus": status,
        "ModelName": "m",
        "TransformInput": JOB["TransformInput"],
        "TransformResources": JOB["TransformResources"],
        "CreationTime": NOW,
        **more,
    }
    sagemaker.add_response("describe_transform_job", described)


def test_requests_are_answered_by_one_job(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    found, sagemaker, s3 = scheduled(stub, monkeypatch)
    job(sagemaker, s3, 2, "Completed")
    for label in "ab":
        lines = 2 * (json.dumps({"predictions": [{"label": label}]}) + "\n")
        s3.add_response("get_object", {"Body": StreamingBody(io.BytesIO(lines.encode()), len(lines))})
    found.prepare([b"1\n2\n", b"3\n4\n"])
    answer = found.send("text/csv", b"3\n4\n")
    assert json.loads(answer.body) == {"predictions": [{"label": "b"}, {"label": "b"}]}


def test_a_job_that_fails_says_why_for_each_request(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    found, sagemaker, s3 = scheduled(stub, monkeypatch)
    job(sagemaker, s3, 2, "Failed", FailureReason="the model\nrefused")
    job(sagemaker, s3, 1, "Failed", FailureReason="the model\nrefused")
    found.prepare([b"1\n", b"2\n"])
    with pytest.raises(NoAnswerError, match="is Failed: the model refused"):
        found.send("text/csv", b"1\n")


def test_a_job_that_never_ends_is_waited_for_once(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "JOB_SECONDS", -1)
    found, sagemaker, s3 = scheduled(stub, monkeypatch)
    job(sagemaker, s3, 1, "InProgress")
    sagemaker.add_response("stop_transform_job", {})
    found.prepare([b"1\n"])
    with pytest.raises(NoAnswerError, match="is still running after -1 seconds") as caught:
        found.send("text/csv", b"1\n")
    assert caught.value.timed_out


def test_a_schedule_that_starts_no_job_is_not_in_service(stub: Stub) -> None:
    client, scheduler = stub("scheduler")
    found = batch.Batch(Connected(scheduler=client), "iris-p-1-prod", {})
    scheduler.add_client_error("get_schedule", "ResourceNotFoundException", "no")
    with pytest.raises(NotInServiceError, match="there is no schedule iris-p-1-prod"):
        found.wait(1, 1)
    scheduler.add_response(
        "get_schedule", {"State": "ENABLED", "Target": {"Arn": "a", "RoleArn": "r", "Input": "{"}}
    )
    with pytest.raises(NotInServiceError, match="starts no job: its input is no JSON"):
        found.wait(1, 1)
