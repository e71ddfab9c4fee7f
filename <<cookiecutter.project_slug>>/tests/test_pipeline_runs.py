"""Starting, following and reporting executions, against answers of SageMaker that the tests write."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber
from conftest import GROUP, PACKAGE_ARN, Stub

from deploy.errors import UsageError
from training import runs
from training.project import Project, read_project
from training.reporting import to_junit

PIPELINE = "iris-p-0123456789ab-training"
ARN = f"arn:aws:sagemaker:eu-west-1:111111111111:pipeline/{PIPELINE}/execution/abcdefghijkl"
DEFINITION = {
    "Parameters": [
        {"Name": "Rounds", "Type": "Integer"},
        {"Name": "ProductionModel", "Type": "String"},
        {"Name": "CommitId", "Type": "String"},
    ]
}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(training_environment: dict[str, str]) -> Project:
    return read_project({**training_environment, "COMMIT_ID": "0123456789abcdef"})


def there(stubber: Stubber, definition: dict[str, Any] | None = None) -> None:
    text = json.dumps(DEFINITION if definition is None else definition)
    stubber.add_response("describe_pipeline", {"PipelineDefinition": text}, {"PipelineName": PIPELINE})


def approved(stubber: Stubber, arn: str | None) -> None:
    listed = [
        {
            "ModelPackageArn": arn,
            "ModelPackageGroupName": GROUP,
            "CreationTime": BEGAN,
            "ModelPackageStatus": "Completed",
        }
    ]
    stubber.add_response("list_model_packages", {"ModelPackageSummaryList": listed if arn else []})


def test_the_first_model_is_measured_against_none(project: Project, stub: Stub) -> None:
    client, stubber = stub()
    there(stubber)
    approved(stubber, None)
    expected = {
        "PipelineName": PIPELINE,
        "PipelineExecutionDisplayName": "commit-0123456789ab",
        "PipelineExecutionDescription": ANY,
        "PipelineParameters": [
            {"Name": "CommitId", "Value": "0123456789abcdef"},
            {"Name": "ProductionModel", "Value": "none"},
            {"Name": "Rounds", "Value": "7"},
        ],
    }
    stubber.add_response("start_pipeline_execution", {"PipelineExecutionArn": ARN}, expected)
    assert runs.start(client, project, {"Rounds": "7"}) == ARN


def test_a_later_model_is_measured_against_the_newest_approved(project: Project, stub: Stub) -> None:
    client, stubber = stub()
    approved(stubber, PACKAGE_ARN)
    described = {
        "ModelPackageName": "7",
        "ModelPackageArn": PACKAGE_ARN,
        "CreationTime": BEGAN,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://artifacts/model.tar.gz"}]},
    }
    stubber.add_response("describe_model_package", described, {"ModelPackageName": PACKAGE_ARN})
    assert runs.production_model(client, project) == "s3://artifacts/model.tar.gz"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Round": "1"}, "no parameter Round: it has Rounds"),
        ({"Rounds": "many"}, "Rounds: 'many' is no Integer"),
    ],
)
def test_a_wrong_parameter_starts_nothing(
    project: Project, stub: Stub, given: dict[str, str], expected: str
) -> None:
    client, stubber = stub()
    there(stubber)
    with pytest.raises(UsageError, match=expected):
        runs.start(client, project, given)


def test_without_a_pipeline_the_next_step_is_said(project: Project, stub: Stub) -> None:
    client, stubber = stub()
    stubber.add_client_error("describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    with pytest.raises(runs.NoPipelineError, match=r"upsert. first"):
        runs.start(client, project)


def summaries(stubber: Stubber, status: str, description: str) -> None:
    summary = {
        "PipelineExecutionArn": ARN,
        "PipelineExecutionStatus": status,
        "PipelineExecutionDescription": description,
    }
    expected = {
        "PipelineName": PIPELINE,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 1,
    }
    stubber.add_response("list_pipeline_executions", {"PipelineExecutionSummaries": [summary]}, expected)


@pytest.mark.parametrize(
    ("status", "same", "counts"),
    [
        ("Succeeded", True, True),
        ("Executing", True, True),
        ("Failed", True, False),
        ("Stopped", True, False),
        ("Succeeded", False, False),
    ],
)
def test_what_ran_and_did_not_fail_need_not_run_again(
    project: Project, stub: Stub, status: str, same: bool, counts: bool
) -> None:
    client, stubber = stub()
    there(stubber)
    approved(stubber, None)
    started: dict[str, Any] = {}
    client.meta.events.register(
        "provide-client-params.sagemaker.StartPipelineExecution", lambda params, **_: started.update(params)
    )
    stubber.add_response("start_pipeline_execution", {"PipelineExecutionArn": ARN})
    runs.start(client, project)
    there(stubber, DEFINITION if same else {**DEFINITION, "Steps": []})
    summaries(stubber, status, started["PipelineExecutionDescription"])
    assert runs.already(client, project) == (ARN if counts else None)


def steps(stubber: Stubber, status: str, *found: dict[str, Any], reason: str = "") -> None:
    described = {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": status}
    described |= {"FailureReason": reason} if reason else {}
    stubber.add_response("describe_pipeline_execution", described, {"PipelineExecutionArn": ARN})
    stubber.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": list(found)})


def step(name: str, status: str, seconds: float | None = None, **more: Any) -> dict[str, Any]:
    found = {"StepName": name, "StepStatus": status, "StartTime": BEGAN, **more}
    return found | ({"EndTime": BEGAN + timedelta(seconds=seconds)} if seconds is not None else {})


def test_it_follows_to_the_end_and_tells_each_change_once(stub: Stub) -> None:
    client, stubber = stub()
    registered = {"Metadata": {"RegisterModel": {"Arn": PACKAGE_ARN}}}
    steps(stubber, "Executing", step("Preprocess", "Executing"))
    steps(stubber, "Executing", step("Preprocess", "Executing"))
    steps(stubber, "Executing", step("Preprocess", "Succeeded", 3), step("Train", "Executing"))
    cached = step("Train", "Succeeded", 0.5, CacheHitResult={"SourcePipelineExecutionArn": ARN})
    steps(
        stubber,
        "Succeeded",
        step("Preprocess", "Succeeded", 3),
        cached,
        step("Register", "Succeeded", 1, **registered),
    )
    heard: list[str] = []
    slept: list[float] = []
    execution = runs.watch(client, ARN, heard.append, every=0.6, sleep=slept.append)
    assert execution.succeeded
    assert execution.model_package_arn == PACKAGE_ARN
    assert slept == [0.5, pytest.approx(0.575), 0.6]
    assert heard == [
        "Preprocess   Executing",
        "Preprocess   Succeeded in 3.0 s",
        "Train        Executing",
        "Train        Succeeded in 0.5 s: from the cache",
        f"Register     Succeeded in 1.0 s: {PACKAGE_ARN}",
    ]
    assert runs.table(execution).splitlines() == [
        "Step        Status     Seconds",
        "Preprocess  Succeeded  3.0",
        "Train       Succeeded  0.5      from the cache",
        f"Register    Succeeded  1.0      {PACKAGE_ARN}",
        f"{ARN}: Succeeded",
    ]


def test_it_follows_no_longer_than_asked(stub: Stub) -> None:
    client, stubber = stub()
    for _ in range(3):
        steps(stubber, "Executing", step("Train", "Executing"))
    time = iter([0.0, 10.0, 20.0, 30.0])
    execution = runs.watch(
        client, ARN, lambda _: None, at_most=30, sleep=lambda _: None, now=lambda: next(time)
    )
    assert execution.running
    assert not execution.succeeded


@pytest.mark.parametrize(
    ("answers", "gives_up"),
    [("xxxxS", False), ("xxxxx", True), ("xxxxExxxxS", False)],
    ids=["short", "long", "twice short"],
)
def test_a_network_that_fails_for_a_while_does_not_end_it(answers: str, gives_up: bool) -> None:
    class Client:
        left = list(answers)  # noqa: RUF012

        def describe_pipeline_execution(self, **_: Any) -> dict[str, str]:
            if (answer := self.left.pop(0)) == "x":
                raise EndpointConnectionError(endpoint_url="https://example.com")
            return {"PipelineExecutionStatus": {"E": "Executing", "S": "Succeeded"}[answer]}

        def get_paginator(self, _: str) -> Any:
            return type("Pages", (), {"paginate": lambda self, **_: []})()

    def act() -> runs.Execution:
        return runs.watch(Client(), ARN, lambda _: None, sleep=lambda _: None)

    if gives_up:
        with pytest.raises(EndpointConnectionError):
            act()
    else:
        assert act().succeeded


def test_the_failed_steps_own_words_come_first(stub: Stub) -> None:
    client, stubber = stub()
    failed = step("Reject", "Failed", 0, Metadata={"Fail": {"ErrorMessage": "rejected:\n accuracy 0.8"}})
    steps(
        stubber,
        "Failed",
        step("Train", "Succeeded", 2),
        failed,
        reason="Step failure: one or more steps failed",
    )
    execution = runs.look(client, ARN)
    assert execution.failure() == "Reject: rejected: accuracy 0.8"
    assert execution.to_dict()["failure_reason"] == execution.failure()


def test_an_execution_may_fail_by_itself(stub: Stub) -> None:
    client, stubber = stub()
    steps(stubber, "Failed", reason="No permission")
    assert runs.look(client, ARN).failure() == "No permission"


@pytest.mark.parametrize(
    ("execution", "counts"),
    [
        (runs.Execution(ARN, "Succeeded", steps=(runs.Step("A", "Succeeded", 1.0),)), ("1", "0", "0")),
        (runs.Execution(ARN, "Executing", steps=(runs.Step("A", "Executing"),)), ("1", "0", "1")),
        (runs.Execution(ARN, "Failed", steps=(runs.Step("A", "Failed", reason="a\x00<b"),)), ("1", "1", "0")),
        (runs.Execution(ARN, "Failed", reason="no"), ("1", "1", "0")),
    ],
)
def test_the_report_counts_what_happened(execution: runs.Execution, counts: tuple[str, str, str]) -> None:
    suite = ET.fromstring(to_junit(execution, PIPELINE))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == counts
    for failure in suite.iter("failure"):
        assert failure.get("message") in ("a?<b", "no")
