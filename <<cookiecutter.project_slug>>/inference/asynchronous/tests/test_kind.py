"""An asynchronous endpoint: what its stage files may say, and how its answers and failures are read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from conftest import ROOT, Stub
from test_endpoint_checks import Connected

import asynchronous
import build
from deploy.parameters import read_parameters
from deploy.stages import StageFile, stage_problems
from endpoint import Answer, NoAnswerError

DECLARED = read_parameters((ROOT / build.TEMPLATE).read_text(encoding="utf-8"), build.TEMPLATE)[0]
NEEDED: dict[str, Any] = {"EndpointInstanceType": "ml.m5.large"}


def problems_of(parameters: dict[str, Any]) -> list[str]:
    stage = StageFile("prod.json", {**NEEDED, **parameters})
    return [str(problem) for problem in stage_problems(stage, DECLARED, build.instance_types())]


@pytest.mark.parametrize(
    "parameters",
    [
        {"AutoscalingMaxCapacity": 4, "AutoscalingMinCapacity": 0},
        {"OutputS3Uri": "s3://some-bucket/answers", "AsyncMaxConcurrentPerInstance": 1000},
        {"SuccessTopicArn": "arn:aws:sns:eu-west-1:111111111111:sagemaker-answers"},
    ],
)
def test_takes(parameters: dict[str, Any]) -> None:
    assert problems_of(parameters) == []


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        (
            {"AutoscalingMaxCapacity": 1, "AutoscalingMinCapacity": 1, "EndpointInstanceCount": 2},
            "must lie between",
        ),
        ({"OutputS3Uri": "s3://some-bucket/answers/"}, "must match"),
        ({"ErrorTopicArn": "sagemaker-failures"}, "must match"),
        ({"EndpointInstanceType": "ml.m5.xlrage"}, "is not an instance type for endpoints"),
        ({"UpdatePolicy": "CANARY"}, "is not a parameter of the endpoint template"),
    ],
)
def test_refuses(parameters: dict[str, Any], rule: str) -> None:
    (problem,) = problems_of(parameters)
    assert rule in problem


class Queue:
    """An asynchronous endpoint with stubbed clients, which is sent one request."""

    def __init__(self, stub: Stub, monkeypatch: pytest.MonkeyPatch, *found: str | None) -> None:
        """Have S3 answer, where the answer and the failure are looked for in turn; None: nothing is there."""
        monkeypatch.setattr(asynchronous.time, "sleep", lambda _: None)
        runtime, queue = stub("sagemaker-runtime")
        client, s3 = stub("s3")
        s3.add_response("put_object", {}, {"Bucket": "b", "Key": ANY, "Body": b"1,2\n"})
        places = {"OutputLocation": "s3://b/out/1.out", "FailureLocation": "s3://b/failed/1.out"}
        queue.add_response("invoke_endpoint_async", places)
        for key, text in zip(["out/1.out", "failed/1.out"] * 2, found, strict=False):
            _object(s3, key, text)
        self.endpoint = asynchronous.Asynchronous(Connected(sagemaker_runtime=runtime, s3=client), "e", {})
        self.endpoint._output = "s3://b/out"

    def send(self) -> Answer:
        return self.endpoint.send("text/csv", b"1,2\n")


def _object(s3: Stubber, key: str, text: str | None) -> None:
    asked = {"Bucket": "b", "Key": key}
    if text is None:
        s3.add_client_error("get_object", "NoSuchKey", "no", expected_params=asked)
    else:
        body = StreamingBody(io.BytesIO(text.encode()), len(text))
        s3.add_response("get_object", {"Body": body}, asked)


def test_an_answer_is_waited_for(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Queue(stub, monkeypatch, None, None, '{"predictions": []}').send()
    assert (answer.status, answer.body) == (200, b'{"predictions": []}')


@pytest.mark.parametrize("status", [400, 500])
def test_a_failure_has_the_status_of_the_model(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    answer = Queue(stub, monkeypatch, None, f"Received an error ({status}) from\nprimary").send()
    assert (answer.status, answer.message) == (status, f"Received an error ({status}) from primary")


def test_a_failure_without_a_status_is_no_answer(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoAnswerError, match="the container died") as caught:
        Queue(stub, monkeypatch, None, "the container\ndied").send()
    assert not caught.value.timed_out


def test_what_never_answers_is_silence(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "ANSWER_SECONDS", 0)
    with pytest.raises(NoAnswerError, match=r"neither .+ nor a failure after 0 s") as caught:
        Queue(stub, monkeypatch, None, None).send()
    assert caught.value.timed_out
