"""test/test.py and its checks with AWS stubbed: bad endpoints fail their check; results are always left."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from conftest import PACKAGE_ARN, ROOT, Stub

import checks
import endpoint
import labelled
from checks import Following, Subject, percentile, run
from endpoint import Connection, NoAnswerError, NotInServiceError, RealTime, wait_until_in_service
from expectations import BadInput, Expectations, Form, Load, Payload, Quality
from page import render
from report import ERROR, FAILED, PASSED, SKIPPED, Check, Report

NOW = datetime(2026, 11, 21, tzinfo=UTC)
NAME = "iris-p-1-prod"
PARAMETERS = {
    "SageMakerProjectName": "iris",
    "SageMakerProjectId": "p-1",
    "StageName": "prod",
    "ModelPackageName": PACKAGE_ARN,
    "EndpointInstanceType": "ml.m5.large",
    "EndpointInstanceCount": "2",
    "DataCapturePercentage": "0",
    "DataCaptureS3Uri": "",
    "KmsKeyArn": "",
    "EnableNetworkIsolation": "true",
    "SubnetIds": "subnet-b,subnet-a",
    "SecurityGroupIds": "sg-a",
}
CSV = Payload("rows.csv", "text/csv", b"1\n", 1, [{"value": 1.0, "tolerance": 0.5}])
JSON = Payload("rows.json", "application/json", b'{"instances": [[1]]}', 1, None)
GOOD_ANSWER = b'{"predictions": [{"value": 1.2}]}'
ORDER = [
    "in-service",
    "update-not-rolled-back",
    "serves-the-model-package-of-the-build",
    "runs-the-configuration-of-the-build",
    "payload rows.csv",
    "payload rows.json",
    "latency",
    "bad input: text",
    "healthy-after-bad-input",
]


def load_main() -> ModuleType:
    """`test` is also the name of a package of Python's own, so that this one is loaded by its path."""
    spec = importlib.util.spec_from_file_location("endpoint_test", ROOT / "test" / "test.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _another_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the team expects of its endpoint, and its own tests of it, out of these tests."""
    folder = tmp_path_factory.mktemp("repository") / "test"
    folder.mkdir()
    (folder.parent / "seed.json").write_text(json.dumps({"answers": {"prediction": "regression"}}))
    (folder.parent / "prod-config-template.json").write_text("{}")
    (folder / "rows.csv").write_bytes(CSV.body)
    load = {"requests": 2, "concurrency": 1, "seconds": 5, "p50_milliseconds": 50, "p95_milliseconds": 100}
    payload = {"file": "rows.csv", "content_type": CSV.content_type}
    expected = {"schema_version": 1, "timeout_seconds": 1, "answers": {}, "payloads": [payload]}
    (folder / "expectations.json").write_text(json.dumps({**expected, "bad_input": [], "latency": load}))
    found = load_main()
    monkeypatch.setattr(found, "HERE", folder)
    monkeypatch.setitem(globals(), "load_main", lambda: found)


@pytest.fixture
def main() -> Callable[..., int]:
    found: Callable[..., int] = load_main().main
    return found


def describe(stubber: Stubber, status: str = "InService", **more: Any) -> None:
    answer = {
        "EndpointName": NAME,
        "EndpointArn": f"arn:aws:sagemaker:eu-west-1:111111111111:endpoint/{NAME}",
        "EndpointConfigName": "config-1",
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **more,
    }
    stubber.add_response("describe_endpoint", answer, {"EndpointName": NAME})


def describe_config(stubber: Stubber, count: int = 2, **more: Any) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "model-1",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    answer = {
        "EndpointConfigName": "config-1",
        "EndpointConfigArn": "arn:aws:sagemaker:eu-west-1:111111111111:endpoint-config/config-1",
        "ProductionVariants": [variant],
        "CreationTime": NOW,
        **more,
    }
    stubber.add_response("describe_endpoint_config", answer, {"EndpointConfigName": "config-1"})


def describe_model(stubber: Stubber, container: dict[str, Any] | None = None, **more: Any) -> None:
    answer = {
        "ModelName": "model-1",
        "ModelArn": "arn:aws:sagemaker:eu-west-1:111111111111:model/model-1",
        "CreationTime": NOW,
        "EnableNetworkIsolation": True,
        "VpcConfig": {"Subnets": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
        **(
            {"PrimaryContainer": container or {"ModelPackageName": PACKAGE_ARN}}
            if "Containers" not in more
            else {}
        ),
        **more,
    }
    stubber.add_response("describe_model", answer, {"ModelName": "model-1"})


def answer(stubber: Stubber, body: bytes = GOOD_ANSWER, content_type: str = "application/json") -> None:
    stubber.add_response(
        "invoke_endpoint",
        {"Body": StreamingBody(io.BytesIO(body), len(body)), "ContentType": content_type},
        {"EndpointName": NAME, "ContentType": ANY, "Accept": "application/json", "Body": ANY},
    )


def server_error(stubber: Stubber, status: int = 500) -> None:
    stubber.add_client_error(
        "invoke_endpoint", "ModelError", "Received an error", modeled_fields={"OriginalStatusCode": status}
    )


class Connected(Connection):
    """A connection whose clients are stubbed."""

    def __init__(self, **clients: Any) -> None:
        super().__init__("eu-west-1")
        self._clients = {name.replace("_", "-"): client for name, client in clients.items()}


class Bench:
    """A subject with stubbed clients: a good endpoint, two payloads, a load of four, one bad input."""

    def __init__(
        self,
        stub: Stub,
        p95_milliseconds: float = 60000,
        quality: Quality | None = None,
        following: Following | None = None,
    ) -> None:
        client, self.sagemaker = stub("sagemaker")
        runtime, self.runtime = stub("sagemaker-runtime")
        s3, self.s3 = stub("s3")
        load = Load(4, 1, 10, 60000, p95_milliseconds)
        bad = [BadInput("text", "text/csv", b"x\n")]
        expectations = Expectations("regression", 1, Form([]), [CSV, JSON], {}, bad, load, quality)
        connection = Connected(sagemaker=client, sagemaker_runtime=runtime, s3=s3)
        self.subject = Subject(
            endpoint=NAME,
            stage="prod",
            kind="real-time",
            parameters=PARAMETERS,
            expectations=expectations,
            folder=ROOT / "test",
            invoker=RealTime(connection, NAME, PARAMETERS),
            home=connection,
            following=following,
            timeout_seconds=0.05,
            poll_seconds=0.01,
        )
        self.report = Report(started="2026-11-21T00:00:00+00:00")

    def good(self, invocations: int = 6, healthy: bool = True) -> None:
        describe(self.sagemaker)
        describe_config(self.sagemaker)
        describe_model(self.sagemaker)
        for _ in range(invocations):
            answer(self.runtime)
        if healthy:
            self.healthy()

    def healthy(self) -> None:
        """The bad input is refused, and the endpoint is as good as before."""
        server_error(self.runtime, 400)
        describe(self.sagemaker)
        answer(self.runtime)

    def outcomes(self) -> dict[str, str]:
        run(self.subject, self.report)
        return {check.name: check.outcome for check in self.report.checks}

    def message(self, name: str) -> str:
        return next(check.message for check in self.report.checks if check.name == name)


def test_a_good_endpoint_passes_every_check(stub: Stub) -> None:
    bench = Bench(stub)
    bench.good()
    assert bench.outcomes() == dict.fromkeys(ORDER, PASSED)
    assert bench.report.outcome == PASSED
    latency = bench.report.measurements["latency"]
    assert list(latency) == ["p50_ms", "p95_ms", "requests", "errors"]
    assert (latency["requests"], latency["errors"]) == (4, 0)


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        ("Failed", "no capacity", f"{NAME} is Failed: no capacity"),
        ("OutOfService", "x", f"{NAME} is OutOfService: x"),
        ("UpdateRollbackFailed", "x", f"{NAME} is UpdateRollbackFailed: x"),
        ("Deleting", "x", f"{NAME} is Deleting: x"),
    ],
)
def test_a_failed_endpoint_fails_at_once_and_the_rest_is_skipped(
    stub: Stub, status: str, reason: str, message: str
) -> None:
    bench = Bench(stub)
    describe(bench.sagemaker, status, FailureReason=reason)
    assert bench.outcomes() == {"in-service": FAILED, **dict.fromkeys(ORDER[1:], SKIPPED)}
    assert bench.message("in-service") == message


def test_a_missing_endpoint(stub: Stub) -> None:
    bench = Bench(stub)
    bench.sagemaker.add_client_error("describe_endpoint", "ValidationException", "Could not find endpoint")
    assert bench.outcomes()["in-service"] == FAILED
    assert bench.message("in-service") == f"there is no endpoint {NAME}"


def test_an_endpoint_that_may_not_be_looked_at_is_an_error_of_the_check(stub: Stub) -> None:
    bench = Bench(stub)
    bench.sagemaker.add_client_error("describe_endpoint", "AccessDeniedException", "not authorized")
    assert bench.outcomes()["in-service"] == ERROR
    assert bench.report.outcome == ERROR
    assert "AccessDeniedException" in bench.message("in-service")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_ends_when_the_endpoint_is_in_service(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    for status in ("Creating", "Creating", "Updating", "InService"):
        describe(stubber, status)
    clock = Clock()
    ready = wait_until_in_service(client, NAME, 100, 10, clock=lambda: clock.now, sleep=clock.sleep)
    assert ready.seen == ("Creating", "Updating", "InService")
    assert clock.now == 30


def test_waiting_has_a_bound_and_says_so(stub: Stub) -> None:
    client, stubber = stub("sagemaker")
    for _ in range(4):
        describe(stubber, "Updating")
    clock = Clock()
    with pytest.raises(NotInServiceError, match="is still Updating after 25 seconds"):
        wait_until_in_service(client, NAME, 25, 10, clock=lambda: clock.now, sleep=clock.sleep)
    assert clock.now == 25


@pytest.mark.parametrize(
    "seen", [[("RollingBack", {}), ("InService", {})], [("InService", {"FailureReason": "alarm"})]]
)
def test_a_rolled_back_update_fails(stub: Stub, seen: list[tuple[str, dict[str, Any]]]) -> None:
    bench = Bench(stub)
    for status, more in seen:
        describe(bench.sagemaker, status, **more)
    describe_config(bench.sagemaker)
    describe_model(bench.sagemaker)
    for _ in range(6):
        answer(bench.runtime)
    bench.healthy()
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), "update-not-rolled-back": FAILED}
    assert "was rolled back" in bench.message("update-not-rolled-back")


OLD = PACKAGE_ARN.replace("/7", "/6")


@pytest.mark.parametrize(
    ("model", "served"),
    [
        ({"container": {"ModelPackageName": OLD}}, OLD),
        ({"container": {"Image": "111111111111.dkr.ecr.eu-west-1.amazonaws.com/x"}}, "(no model package)"),
        ({"Containers": [{"ModelPackageName": PACKAGE_ARN}, {"ModelPackageName": OLD}]}, OLD),
    ],
)
def test_an_endpoint_in_service_with_another_model_fails(
    stub: Stub, model: dict[str, Any], served: str
) -> None:
    bench = Bench(stub)
    describe(bench.sagemaker)
    describe_config(bench.sagemaker)
    describe_model(bench.sagemaker, **model)
    for _ in range(6):
        answer(bench.runtime)
    bench.healthy()
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), ORDER[2]: FAILED}
    assert served in bench.message(ORDER[2])


@pytest.mark.parametrize(
    "model",
    [
        {"container": {"ModelPackageName": PACKAGE_ARN.upper()}},
        {"Containers": [{"ModelPackageName": PACKAGE_ARN}]},
    ],
)
def test_the_model_package_may_be_in_another_case_or_in_containers(stub: Stub, model: dict[str, Any]) -> None:
    bench = Bench(stub)
    describe(bench.sagemaker)
    describe_config(bench.sagemaker)
    describe_model(bench.sagemaker, **model)
    for _ in range(6):
        answer(bench.runtime)
    bench.healthy()
    assert bench.outcomes()[ORDER[2]] == PASSED


@pytest.mark.parametrize(
    ("wanted", "runs", "message"),
    [
        (OLD, OLD, f"serves {PACKAGE_ARN}, with {OLD} as its shadow"),
        (OLD, PACKAGE_ARN, f"serves {PACKAGE_ARN}, but has {PACKAGE_ARN} beside it instead of {OLD}"),
        (OLD, "", f"serves {PACKAGE_ARN}, but has no shadow beside it instead of {OLD}"),
        ("", OLD, f"serves {PACKAGE_ARN}, but has {OLD} beside it instead of no shadow"),
    ],
    ids=["the one", "another", "missing", "forgotten"],
)
def test_the_shadow_is_that_of_the_build(stub: Stub, wanted: str, runs: str, message: str) -> None:
    bench = Bench(stub)
    bench.subject = replace(bench.subject, parameters={**PARAMETERS, "ShadowModelPackageName": wanted})
    describe(bench.sagemaker)
    shadow = {"VariantName": "Shadow", "ModelName": "model-1"}
    describe_config(bench.sagemaker, **({"ShadowProductionVariants": [shadow]} if runs else {}))
    describe_model(bench.sagemaker)
    if runs:
        describe_model(bench.sagemaker, {"ModelPackageName": runs})
    for _ in range(6):
        answer(bench.runtime)
    bench.healthy()
    right = PASSED if wanted == runs else FAILED
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), ORDER[2]: right}
    assert bench.message(ORDER[2]) == message


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 20,
    "DestinationS3Uri": "s3://b/p",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.mark.parametrize(
    ("config", "model", "message"),
    [
        ({"count": 1}, {}, "EndpointInstanceCount is 1 instead of 2"),
        ({"KmsKeyId": "key"}, {}, "KmsKeyArn is key instead of none"),
        ({"DataCaptureConfig": CAPTURE}, {}, "DataCapturePercentage is 20 instead of 0"),
        ({}, {"EnableNetworkIsolation": False}, "EnableNetworkIsolation is false instead of true"),
        (
            {},
            {"VpcConfig": {"Subnets": ["subnet-a"], "SecurityGroupIds": ["sg-a"]}},
            "SubnetIds is subnet-a instead of",
        ),
    ],
)
def test_another_configuration_than_the_builds_fails(
    stub: Stub, config: dict[str, Any], model: dict[str, Any], message: str
) -> None:
    bench = Bench(stub)
    describe(bench.sagemaker)
    describe_config(bench.sagemaker, **config)
    describe_model(bench.sagemaker, **model)
    for _ in range(6):
        answer(bench.runtime)
    bench.healthy()
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), ORDER[3]: FAILED}
    assert message in bench.message(ORDER[3])


def test_a_wrong_answer_fails_its_payload(stub: Stub) -> None:
    bench = Bench(stub)
    bench.good(invocations=0, healthy=False)
    answer(bench.runtime, b'{"predictions": [{"value": 3}]}')
    answer(bench.runtime, b"3", "text/csv")
    for _ in range(4):
        answer(bench.runtime)
    server_error(bench.runtime, 400)
    outcomes = bench.outcomes()
    assert [outcomes[name] for name in ORDER[4:]] == [FAILED, FAILED, PASSED, PASSED, SKIPPED]
    assert "answered 3" in bench.message("payload rows.csv")
    assert "answered text/csv" in bench.message("payload rows.json")


def test_one_server_error_in_the_load_fails_the_latency_check(stub: Stub) -> None:
    bench = Bench(stub)
    bench.good(invocations=5, healthy=False)
    server_error(bench.runtime)
    bench.healthy()
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), "latency": FAILED}
    message = bench.message("latency")
    assert message.startswith(
        "1 of 4 invocations failed, the first with rows.json: InvokeEndpoint: ModelError"
    )


def test_the_load_ends_early_when_everything_fails(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_FAILED_INVOCATIONS", 2)
    bench = Bench(stub)
    bench.good(invocations=0, healthy=False)
    for _ in range(5):
        server_error(bench.runtime)
    outcomes = bench.outcomes()
    assert [outcomes[name] for name in ORDER[4:]] == [*[FAILED] * 4, SKIPPED]
    assert "is the client's mistake, but was answered with 500" in bench.message("bad input: text")
    assert "2 of 2 invocations failed" in bench.message("latency")


def test_a_slow_endpoint_fails_the_latency_check(stub: Stub) -> None:
    bench = Bench(stub, p95_milliseconds=0.000001)
    bench.good()
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), "latency": FAILED}
    assert "at most 1e-06 ms for p95 are allowed" in bench.message("latency")


def test_an_endpoint_that_never_answers_is_asked_only_once(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(stub)
    bench.good(invocations=0, healthy=False)

    def never(**_: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://runtime")

    monkeypatch.setattr(bench.subject.home.client("sagemaker-runtime"), "invoke_endpoint", never)
    outcomes = bench.outcomes()
    assert [outcomes[name] for name in ORDER[4:]] == [FAILED, *[SKIPPED] * 4]
    assert "no answer within" in bench.message("payload rows.csv")


def test_the_load_ends_when_the_endpoint_falls_silent(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(stub)
    bench.good(invocations=2, healthy=False)
    runtime = bench.subject.home.client("sagemaker-runtime")
    invoke = runtime.invoke_endpoint
    asked: list[str] = []

    def silent_after_two(**request: Any) -> Any:
        asked.append(request["ContentType"])
        if len(asked) > 2:
            raise ReadTimeoutError(endpoint_url="https://runtime")
        return invoke(**request)

    monkeypatch.setattr(runtime, "invoke_endpoint", silent_after_two)
    later = dict.fromkeys(ORDER[-2:], SKIPPED)
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), "latency": FAILED, **later}
    assert len(asked) == 3
    assert "1 of 1 invocations failed" in bench.message("latency")


@pytest.mark.parametrize(("share", "value"), [(50, 50), (95, 95), (100, 100)])
def test_percentiles(share: int, value: int) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value
    assert percentile([3.0], share) == 3.0


def test_the_role_of_a_stage_is_assumed(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    sts, stubber = stub("sts")
    secret = {
        "AccessKeyId": "ASIAEXAMPLEEXAMPLE",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": NOW,
    }
    role = "arn:aws:iam::222222222222:role/seed/test"
    stubber.add_response("assume_role", {"Credentials": secret}, {"RoleArn": role, "RoleSessionName": ANY})
    asked: list[tuple[str, Any]] = []

    def client(service: str, **options: Any) -> Any:
        asked.append((service, options.get("aws_access_key_id")))
        return sts if service == "sts" else object()

    monkeypatch.setattr(boto3, "client", client)
    for given in (role, ""):
        connection = Connection("eu-west-1", given, 1)
        for service in ("sagemaker", "sagemaker-runtime", "sagemaker"):
            connection.client(service)
    key = "ASIAEXAMPLEEXAMPLE"
    assert asked == [
        ("sts", None),
        ("sagemaker", key),
        ("sagemaker-runtime", key),
        ("sagemaker", None),
        ("sagemaker-runtime", None),
    ]


def test_results_and_junit_say_the_same() -> None:
    report = Report(started="2026-11-21T00:00:00+00:00", stage="prod", endpoint=NAME)
    report.checks = [
        Check("one", PASSED, "fine", 0.5),
        Check("two", FAILED, "bad <&> \x00\ud800", 0.1),
        Check("three", ERROR, "broken"),
        Check("four", SKIPPED, "later"),
    ]
    body = json.loads(report.to_json().encode())
    assert (body["schema_version"], body["outcome"], body["measurements"]) == (2, "error", {})
    assert [check["outcome"] for check in body["checks"]] == [PASSED, FAILED, ERROR, SKIPPED]
    suite = ET.fromstring(report.to_junit().encode())[0]
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"],
        ["failure"],
        ["error"],
        ["skipped"],
    ]
    failure = suite[1][0].get("message")
    assert failure == "bad <&> ??"


def test_a_message_is_one_line_of_some_length_whatever_was_said() -> None:
    check = Check("in-service", FAILED, "is Failed: no\n  capacity\r\n" + "x" * 5000)
    assert check.message.startswith("is Failed: no capacity xxx")
    assert (len(check.message), check.message[-1]) == (1000, "…")


LABELLED = {
    "model-metrics.json": json.dumps({"regression_metrics": {"rmse": {"value": 0.2}, "mae": {"value": 0.1}}}),
    "test.csv": "length,width\n1,1.0\n2,1.4\n3,1.2\n",
}
METADATA = {"metric": "rmse", "target": "width", "test_data": "s3://b/test.csv"}


def describe_package(stubber: Stubber, **more: Any) -> None:
    quality = {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/model-metrics.json"}}
    answer = {
        "ModelPackageName": "iris/7",
        "ModelPackageArn": PACKAGE_ARN,
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelMetrics": {"ModelQuality": quality},
        "CustomerMetadataProperties": METADATA,
        **more,
    }
    stubber.add_response("describe_model_package", answer, {"ModelPackageName": PACKAGE_ARN})


def read(stubber: Stubber, name: str, text: str | None = None) -> None:
    body = (LABELLED[name] if text is None else text).encode()
    asked = {"Bucket": "b", "Key": name, "Range": ANY}
    stubber.add_response("get_object", {"Body": StreamingBody(io.BytesIO(body), len(body))}, asked)


def values(*found: float) -> bytes:
    return json.dumps({"predictions": [{"value": value} for value in found]}).encode()


@pytest.mark.parametrize(
    ("tolerance", "outcome", "message"),
    [
        (0.05, PASSED, "rmse 0.2449 on 3 labelled rows; registered was 0.2"),
        (0.02, FAILED, "rmse 0.2449 on 3 labelled rows; registered was 0.2; at most 0.22 is required"),
    ],
)
def test_the_quality_is_measured_on_the_rows_that_were_registered(
    stub: Stub, tolerance: float, outcome: str, message: str
) -> None:
    bench = Bench(stub, quality=Quality(tolerance, 100))
    bench.good(healthy=False)
    describe_package(bench.sagemaker)
    read(bench.s3, "model-metrics.json")
    read(bench.s3, "test.csv")
    answer(bench.runtime, values(1.3, 1.1, 1.2))
    bench.healthy()
    found = bench.outcomes()
    assert found == {
        **dict.fromkeys(ORDER, PASSED),
        "quality": outcome,
        "comparison-with-next-stage": SKIPPED,
    }
    assert bench.message("quality") == message
    measured = {"metric": "rmse", "registered": 0.2, "tolerance": tolerance, "rows": 3, "value": 0.244949}
    assert bench.report.measurements["quality"] == measured
    assert bench.report.figures["residuals"] == {"actual": [1.0, 1.4, 1.2], "predicted": [1.3, 1.1, 1.2]}


@pytest.mark.parametrize(
    ("package", "files", "message"),
    [
        ({"ModelMetrics": {}}, {}, "no rmse is registered with"),
        ({"CustomerMetadataProperties": {**METADATA, "metric": "f1"}}, {}, "f1 is no metric of a regression"),
        (
            {"CustomerMetadataProperties": {"metric": "rmse"}},
            {"model-metrics.json": None},
            "no test data is registered with",
        ),
        ({}, {"model-metrics.json": "[]"}, "s3://b/model-metrics.json has not the form"),
        (
            {"CustomerMetadataProperties": {**METADATA, "target": "height"}},
            {"model-metrics.json": None, "test.csv": None},
            "has no column 'height'; it has length, width",
        ),
        (
            {},
            {"model-metrics.json": None, "test.csv": "length,width\n1\n2,3\n"},
            "row 1 has 1 cells; the header has 2",
        ),
    ],
)
def test_what_the_quality_cannot_be_measured_by_is_named(
    stub: Stub, package: dict[str, Any], files: dict[str, str | None], message: str
) -> None:
    bench = Bench(stub, quality=Quality(0.02, 100))
    bench.good(healthy=False)
    describe_package(bench.sagemaker, **package)
    for name, text in files.items():
        read(bench.s3, name, text)
    bench.healthy()
    assert bench.outcomes()["quality"] == FAILED
    assert message in bench.message("quality")
    assert "quality" not in bench.report.measurements


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model-metrics.json": '{"regression_metrics": {"rmse": {"value": NaN}}}'}, "no rmse is registered"),
        (
            {"model-metrics.json": None, "test.csv": "length,width\n1,nan\n2,2\n3,3\n"},
            "have nan where a number",
        ),
    ],
    ids=["registered", "labelled"],
)
def test_a_quality_that_is_no_number_is_no_success(
    stub: Stub, files: dict[str, str | None], message: str
) -> None:
    bench = Bench(stub, quality=Quality(0.02, 100))
    bench.good(healthy=False)
    describe_package(bench.sagemaker)
    for name, text in files.items():
        read(bench.s3, name, text)
    if "test.csv" in files:
        answer(bench.runtime, values(1.3, 1.1, 1.2))
    bench.healthy()
    assert bench.outcomes()["quality"] == FAILED
    assert message in bench.message("quality")


def test_bad_input_that_is_answered_fails(stub: Stub) -> None:
    bench = Bench(stub)
    bench.good(healthy=False)
    answer(bench.runtime)
    describe(bench.sagemaker)
    answer(bench.runtime)
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), "bad input: text": FAILED}
    assert bench.message("bad input: text").startswith('was answered instead of refused: b\'{"predictions"')


def test_a_comparison_that_cannot_be_made_fails_no_stage(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> None:
    def another_kind(_: Any) -> Any:
        raise KeyError("AsyncInferenceConfig")

    bench = Bench(stub)
    monkeypatch.setattr(labelled.Trial, "_comparison", another_kind)
    trial = labelled.Trial(bench.subject, Quality(0.02, 100), bench.report, lambda _: "nobody asks")
    assert trial.comparison() == (
        SKIPPED,
        "the next stage cannot be compared: unexpected KeyError: 'AsyncInferenceConfig'",
    )


def test_a_mistyped_name_in_what_was_deployed_fails(stub: Stub) -> None:
    bench = Bench(stub)
    bench.good()
    parameters = {name.replace("KmsKeyArn", "KmsKeyAm"): value for name, value in PARAMETERS.items()}
    bench.subject = replace(bench.subject, parameters=parameters)
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), ORDER[3]: FAILED}
    assert bench.message(ORDER[3]).startswith("the configuration that was deployed lacks KmsKeyArn:")


def test_a_check_that_makes_no_sense_for_a_kind_is_skipped_by_name(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        checks.NOT_FOR, "real-time", {"latency": "nobody waits", "bad input": "nobody sends it"}
    )
    monkeypatch.setattr(RealTime, "declines", lambda _, kind: "no JSON" if kind == JSON.content_type else "")
    prepared: list[bytes] = []
    monkeypatch.setattr(RealTime, "prepare", lambda _, bodies: prepared.extend(bodies))
    bench = Bench(stub)
    bench.good(invocations=1, healthy=False)
    describe(bench.sagemaker)
    answer(bench.runtime)
    skipped = {
        "latency": "nobody waits",
        "bad input: text": "nobody sends it",
        "payload rows.json": "no JSON",
    }
    assert bench.outcomes() == {**dict.fromkeys(ORDER, PASSED), **dict.fromkeys(skipped, SKIPPED)}
    assert {name: bench.message(name) for name in skipped} == skipped
    assert prepared == [CSV.body]


def test_the_kind_of_inference_has_all_that_it_needs() -> None:
    answers = json.loads((ROOT / "seed.json").read_text())["answers"]
    kind = answers.get("inference", "real-time")
    assert {*checks.CONFIGURATION_OF, *checks.NOT_FOR} >= endpoint.INVOKERS.keys()
    assert endpoint.invoker(kind, Connection("eu-west-1"), NAME, PARAMETERS)
    assert {name for names in checks.NOT_FOR.values() for name in names} <= {
        checks.BAD_INPUT,
        *ORDER,
        "quality",
        checks.COMPARISON,
    }


def test_the_load_keeps_to_its_bounds() -> None:
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3)

    def meet(payload: str) -> endpoint.Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=5)  # nobody is answered before three are asked at once
        with lock:
            running -= 1
        return endpoint.Answer(200, "", b"", 0.002)

    found = endpoint.load(meet, ["a", "b"], requests=9, concurrency=3, seconds=5, most_failures=5)
    assert (found.requests, len(found.seconds), most) == (9, 9, 3)

    def send(payload: str) -> endpoint.Answer:
        time.sleep(0.002)
        return endpoint.Answer(200, "", b"", 0.002)

    found = endpoint.load(send, ["a"], requests=1000, concurrency=1, seconds=0.02, most_failures=5)
    assert 1 <= found.requests <= 10

    def broken(payload: str) -> endpoint.Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        endpoint.load(broken, ["a"], requests=9, concurrency=2, seconds=5, most_failures=5)

    def refused(payload: str) -> endpoint.Answer:
        raise NoAnswerError("no")

    found = endpoint.load(refused, ["a"], requests=99, concurrency=1, seconds=5, most_failures=3)
    assert found.failures == ["a: no"] * 3


def test_the_page_shows_everything_and_runs_nothing() -> None:
    evil = "</script><script>alert(1)</script><img src=//x onerror=a> \x00\ud800 {0} \" '"
    report = Report("2026-11-21T00:00:00+00:00", evil, evil, evil)
    report.checks = [Check(evil, outcome, evil * 50) for outcome in (PASSED, FAILED, ERROR, SKIPPED)]
    report.checks += [Check(f"check {number}", PASSED, "x" * 1000) for number in range(2000)]
    names = [f"{number}{evil}" for number in range(100)]
    report.figures = {
        "confusion": {"classes": names, "rows": [list(range(100)) for _ in names]},
        "latency": {"milliseconds": [1.0, 2.0, 2.0, 50.0], "bounds": {"p50": 5.0, "p95": 9.0}},
        "residuals": {"actual": [float(n) for n in range(5000)], "predicted": [-1.0] * 5000},
    }
    report.measurements = {
        "latency": {"p50_ms": 2.0, "p95_ms": 50.0, "requests": 4, "errors": 0},
        "quality": {"metric": evil, "value": 0.0, "registered": 0.0, "tolerance": 0, "rows": 9},
        "comparison": {
            "stage": "prod",
            "metric": evil,
            "value": -2.0,
            "rows": 9,
            "different": 1,
            "model_package": evil,
        },
    }
    shown = render(report)
    assert len(shown.encode()) < 1_000_000
    assert shown.count("<svg") == 4
    # Nothing to run, to load or to leave for; no markup but our own.
    assert not re.search(r"<script|<img|<link|<a |https?://|url\(|@import", shown)
    tags = set(re.findall(r"<(\w+)", shown))
    assert tags <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "main",
            "h1",
            "h2",
            "p",
            "b",
            "div",
            "dl",
            "dt",
            "dd",
        ),
        *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
        *("svg", "rect", "text", "line", "circle"),
    }
    assert "prefers-color-scheme: dark" in shown
    assert "default-src &#x27;none" not in shown
    assert "Content-Security-Policy" in shown
    failed = shown.index("What did not pass")
    assert failed < shown.index("All checks") < shown.index("and 1704 more, which are in test-results.json")
    ET.fromstring(re.sub(r"<(meta[^>]*)>", r"<\1/>", shown.partition("\n")[2]))


def test_the_page_has_room_for_what_is_all_markup() -> None:
    report = Report("2026-11-21T00:00:00+00:00", '"' * 9999, '"' * 9999, '"' * 9999)
    report.checks = [Check('"' * 600, FAILED, '"' * 5000) for _ in range(400)]
    shown = render(report)
    assert len(shown.encode()) < 1_000_000
    assert re.search(r"and \d+ more, which are in test-results.json", shown)


def test_a_page_of_nothing_is_a_page_too() -> None:
    shown = render(Report(started=""))
    assert '<p class="verdict bad">error</p>' in shown
    assert "<svg" not in shown


def test_a_report_without_a_passed_check_is_no_success() -> None:
    assert Report(started="").outcome == ERROR
    assert Report(started="", checks=[Check("a", SKIPPED, "")]).outcome == ERROR


def results(folder: Path) -> dict[str, Any]:
    assert ET.parse(folder / "results.xml").getroot().tag == "testsuites"
    assert "</html>" in (folder / "test-report.html").read_text()
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.mark.parametrize(
    ("config", "environment", "message"),
    [
        (None, {}, "BUILD_CONFIG is not set"),
        (None, {"BUILD_CONFIG": "gone.json"}, "gone.json: cannot be read"),
        ("{", {}, "not JSON"),
        ('{"Parameters": {"StageName": "prod"}}', {}, "lacks SageMakerProjectName"),
        (json.dumps({"Parameters": PARAMETERS}), {"STAGE": "staging"}, "is for prod, but STAGE is staging"),
    ],
)
def test_bad_input_leaves_results_and_exit_code_2(
    main: Callable[..., int],
    tmp_path: Path,
    config: str | None,
    environment: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = {"EXPORT_TEST_RESULTS": str(tmp_path / "results.json"), **environment}
    if config is not None:
        (tmp_path / "config.json").write_text(config)
        environment["BUILD_CONFIG"] = str(tmp_path / "config.json")
    assert main([], environment) == 2
    found = results(tmp_path)
    assert found["outcome"] == ERROR
    assert message in found["checks"][0]["message"]
    assert message in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--unknown"], ["--timeout", "0"], ["--timeout", "soon"]])
def test_wrong_use_leaves_results_too(main: Callable[..., int], tmp_path: Path, arguments: list[str]) -> None:
    assert main(arguments, {"EXPORT_TEST_RESULTS": str(tmp_path / "results.json")}) == 2
    assert results(tmp_path)["outcome"] == ERROR


def good_environment(folder: Path) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps({"Parameters": PARAMETERS}))
    return {"BUILD_CONFIG": str(folder / "config.json"), "EXPORT_TEST_RESULTS": str(folder / "results.json")}


def test_an_unexpected_exception_leaves_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_main()

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(module, "run", broken)
    assert module.main([], {**good_environment(tmp_path), "AWS_REGION": "eu-west-1"}) == 1
    assert "unexpected ZeroDivisionError: a defect" in results(tmp_path)["checks"][0]["message"]


def test_an_interrupted_run_leaves_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_main()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    assert module.main([], {**good_environment(tmp_path), "AWS_REGION": "eu-west-1"}) == 1
    assert results(tmp_path)["checks"][0]["message"] == "the run was interrupted"


def test_results_stand_there_before_anything_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_main()

    def looked(*_: Any) -> None:
        assert results(tmp_path)["checks"][0]["message"] == "the run did not come to its end"
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_test", looked)
    assert module.main([], {**good_environment(tmp_path), "AWS_REGION": "eu-west-1"}) == 1
    assert results(tmp_path)["checks"][0]["message"] == "the run was interrupted"


def test_plots_that_cannot_be_drawn_cost_only_the_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_main()

    def passed(_: Subject, report: Report) -> checks.Found:
        report.checks.append(Check("all", PASSED, "fine"))
        report.figures["confusion"] = "nonsense"
        return checks.Found()

    monkeypatch.setattr(module, "run", passed)
    assert module.main([], {**good_environment(tmp_path), "AWS_REGION": "eu-west-1"}) == 1
    found = results(tmp_path)
    assert (found["outcome"], found["checks"][1]["name"]) == ("error", "page")


def test_no_region_is_an_error_of_the_connection(main: Callable[..., int], tmp_path: Path) -> None:
    assert main([], good_environment(tmp_path)) == 1
    check = results(tmp_path)["checks"][0]
    assert (check["name"], check["outcome"]) == ("connection", ERROR)
    assert "no AWS region; set AWS_REGION" in check["message"]


def test_the_build_artifact_of_codebuild_is_looked_at_first(
    main: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    environment = {**good_environment(artifact), "EXPORT_TEST_RESULTS": str(tmp_path / "results.json")}
    environment |= {"BUILD_CONFIG": "config.json", "CODEBUILD_SRC_DIR_BuildArtifact": str(artifact)}
    monkeypatch.chdir(tmp_path)
    assert main([], environment) == 1
    assert results(tmp_path)["endpoint"] == NAME


def test_results_that_cannot_be_written_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load_main()

    def passed(_: Subject, report: Report) -> checks.Found:
        report.checks.append(Check("all", PASSED, "fine"))
        return checks.Found()

    monkeypatch.setattr(module, "run", passed)
    environment = {**good_environment(tmp_path), "AWS_REGION": "eu-west-1"}
    assert module.main([], environment) == 0
    (tmp_path / "file").write_text("")
    assert module.main([], {**environment, "EXPORT_TEST_RESULTS": str(tmp_path / "file" / "r.json")}) == 1
    assert "cannot write the results" in capsys.readouterr().err


def test_json_prints_the_results_alone(
    main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--json"], good_environment(tmp_path))
    assert json.loads(capsys.readouterr().out) == results(tmp_path)
