"""What single actions ask of other services and make of their answers, which are given here; and how they end."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from sagemaker_seed.rehearsal.delivery import approval, build, stacks
from sagemaker_seed.rehearsal.delivery.artifacts import Store
from sagemaker_seed.rehearsal.delivery.execution import ActionRun, Artifact
from sagemaker_seed.rehearsal.delivery.failure import MESSAGE_LENGTH, ActionAbandoned, ActionFailed, shortened
from sagemaker_seed.rehearsal.delivery.job import Job, Outcome
from sagemaker_seed.rehearsal.delivery.questions import Questions
from sagemaker_seed.rehearsal.ground import Actor

REGION, ACCOUNT, BUILD = "eu-west-1", "111111111111", "p:1"
ROOT = Actor(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
ROLE = Actor(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/pipe/1", "KEY", "token")
SOURCE = Artifact("Source", "store", "pipe/Source/abc", "commit-1")
BUILT = Artifact("Built", "store", "pipe/Built/def")


class Answers:
    """Stands for the ground: clients whose calls are checked against AWS's model and answered in order."""

    url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.stubs: dict[str, Any] = {}
        self.actors: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        for service in ("cloudformation", "codebuild", "logs"):
            client = boto3.client(
                service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y", endpoint_url=self.url
            )
            client.meta.events.register("provide-client-params.*.StartBuild", self._keep)
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.asked.append(params)

    def client(self, service: str, actor: Actor, region: str) -> Any:
        assert region == REGION
        self.actors[service] = actor.arn
        return self.stubs[service].client

    def root(self, account: str, partition: str) -> Actor:
        assert (account, partition) == (ACCOUNT, "aws")
        return ROOT

    def will(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        self.stubs[service].add_response(operation, answer)

    def await_event(self, kinds: list[str], since: int, seconds: float) -> int:
        time.sleep(min(seconds, 0.03))
        return since

    def wont(self, service: str, operation: str, code: str, message: str) -> None:
        self.stubs[service].add_client_error(operation, code, message, 400)


def a_job(
    answers: Answers,
    configuration: dict[str, str],
    inputs: tuple[Artifact, ...] = (),
    outputs: tuple[str, ...] = (),
    timeout: float = 5.0,
) -> Job:
    declared = {"name": "Act", "outputArtifacts": [{"name": name} for name in outputs]}
    run = ActionRun("execution", 1, "Stage", declared, None)
    run.resolved = configuration
    stub: Any = answers
    return Job(
        ground=stub,
        actor=ROLE,
        owner=ROLE,
        account=ACCOUNT,
        region=REGION,
        partition="aws",
        pipeline="pipe",
        run=run,
        store=Store("store", "pipe", "arn:aws:kms:eu-west-1:111111111111:key/k"),
        inputs=inputs,
        override={},
        timeout=timeout,
        over=threading.Event(),
        questions=Questions(),
    )


# ------------------------------------------------------------------------------------------------------------ builds


def ran(
    answers: Answers,
    configuration: dict[str, str] | None = None,
    inputs: tuple[Artifact, ...] = (SOURCE,),
    outputs: tuple[str, ...] = (),
) -> Outcome:
    return build.codebuild(a_job(answers, {"ProjectName": "p", **(configuration or {})}, inputs, outputs))


def succeeding(**more: Any) -> Answers:
    answers = Answers()
    answers.will("codebuild", "start_build", {"build": {"id": BUILD}})
    answers.will("codebuild", "batch_get_builds", {"builds": [{"id": BUILD, "buildStatus": "IN_PROGRESS"}]})
    answers.will("codebuild", "batch_get_builds", {"builds": [{"id": BUILD, "buildStatus": "SUCCEEDED", **more}]})
    return answers


def test_a_build_is_given_its_artifacts_its_variables_and_the_key() -> None:
    answers = succeeding(exportedEnvironmentVariables=[{"name": "VERSION", "value": "7"}])
    variables = [{"name": "A", "value": "1"}, {"name": "B", "value": "/b", "type": "PARAMETER_STORE"}]
    configuration = {"PrimarySource": "Source", "EnvironmentVariables": json.dumps(variables)}
    outcome = ran(answers, configuration, (BUILT, SOURCE), ("Results", "More"))
    [asked] = answers.asked
    assert asked["projectName"] == "p"
    assert (asked["sourceTypeOverride"], asked["sourceLocationOverride"]) == ("S3", "store/pipe/Source/abc")
    assert asked["sourceVersion"] == "commit-1"
    assert asked["secondarySourcesOverride"] == [
        {"type": "S3", "location": "store/pipe/Built/def", "sourceIdentifier": "Built"}
    ]
    first, second = outcome.outputs
    assert (first.name, second.name) == ("Results", "More")
    result = asked["artifactsOverride"]
    assert f"{result['location']}/{result['path']}/{result['name']}" == f"{first.bucket}/{first.key}"
    assert (result["type"], result["packaging"]) == ("S3", "ZIP")
    [more] = asked["secondaryArtifactsOverride"]
    assert (more["artifactIdentifier"], f"{more['path']}/{more['name']}") == ("More", second.key)
    assert asked["environmentVariablesOverride"] == [
        {"name": "A", "value": "1", "type": "PLAINTEXT"},
        {"name": "B", "value": "/b", "type": "PARAMETER_STORE"},
        {"name": "CODEBUILD_INITIATOR", "value": "codepipeline/pipe", "type": "PLAINTEXT"},
    ]
    assert asked["encryptionKeyOverride"].endswith("key/k")
    assert outcome.variables == {"VERSION": "7"}
    assert answers.actors == {"codebuild": ROLE.arn}


def test_a_build_without_outputs_has_no_artifacts() -> None:
    answers = succeeding()
    assert ran(answers).outputs == ()
    assert answers.asked[0]["artifactsOverride"] == {"type": "NO_ARTIFACTS"}
    assert answers.asked[0]["secondaryArtifactsOverride"] == []


def test_a_failed_build_says_which_phase_with_what_and_how_the_log_ends() -> None:
    answers = Answers()
    answers.will("codebuild", "start_build", {"build": {"id": BUILD}})
    failed = {
        "id": BUILD,
        "buildStatus": "FAILED",
        "phases": [
            {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED", "contexts": [{"statusCode": "", "message": ""}]},
            {
                "phaseType": "BUILD",
                "phaseStatus": "FAILED",
                "contexts": [
                    {
                        "statusCode": "COMMAND_EXECUTION_ERROR",
                        "message": "Error while executing command: python test.py. Reason: exit status 1",
                    }
                ],
            },
        ],
        "logs": {"groupName": "/aws/codebuild/p", "streamName": "1"},
    }
    answers.will("codebuild", "batch_get_builds", {"builds": [failed]})
    lines = ["Traceback\n", "AssertionError: accuracy 0.3 is below 0.8\n"]
    answers.will("logs", "get_log_events", {"events": [{"message": line} for line in lines]})
    with pytest.raises(ActionFailed) as failure:
        ran(answers)
    assert failure.value.message.splitlines() == [
        "Build terminated with state: FAILED. Build ID: p:1",
        "Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error while executing command: python test.py. "
        "Reason: exit status 1",
        "The last lines of its log:",
        "Traceback",
        "AssertionError: accuracy 0.3 is below 0.8",
    ]
    assert answers.actors == {"codebuild": ROLE.arn, "logs": ROOT.arn}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1", "is not valid JSON"),
        ('{"name": "A", "value": "1"}', "not a JSON array"),
        ('[{"name": "A"}]', "not a JSON array of objects with name and value"),
        ('[{"name": "A", "value": "1", "type": "SECRET"}]', "unknown type SECRET"),
    ],
)
def test_variables_that_are_wrong_start_no_build(text: str, message: str) -> None:
    answers = Answers()
    with pytest.raises(ActionFailed, match=message) as failure:
        ran(answers, {"EnvironmentVariables": text})
    assert failure.value.code == "ConfigurationError"
    assert answers.asked == []


def test_a_build_that_is_gone_fails_the_action() -> None:
    answers = Answers()
    answers.will("codebuild", "start_build", {"build": {"id": BUILD}})
    answers.will("codebuild", "batch_get_builds", {"builds": []})
    with pytest.raises(ActionFailed, match="p:1 is not there any more"):
        ran(answers)


def test_a_build_that_takes_too_long_fails_the_action() -> None:
    answers = Answers()
    answers.will("codebuild", "start_build", {"build": {"id": BUILD}})
    for _ in range(10):
        answers.will("codebuild", "batch_get_builds", {"builds": [{"id": BUILD, "buildStatus": "IN_PROGRESS"}]})
    with pytest.raises(ActionFailed, match="did not end within") as failure:
        build.codebuild(a_job(answers, {"ProjectName": "p"}, (SOURCE,), timeout=0.05))
    assert failure.value.code == "ActionTimeout"


# ------------------------------------------------------------------------------------------------------------ stacks

STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/s/1"
DELETE = {"ActionMode": "DELETE_ONLY", "StackName": "s", "RoleArn": ROLE.arn}


def event(number: int, logical: str, status: str, reason: str = "", physical: str = "x") -> dict[str, Any]:
    return {
        "StackId": STACK,
        "EventId": str(number),
        "StackName": "s",
        "LogicalResourceId": logical,
        "PhysicalResourceId": STACK if logical == "s" else physical,
        "ResourceType": "AWS::CloudFormation::Stack" if logical == "s" else "AWS::SNS::Topic",
        "Timestamp": datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC),
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def stack(status: str) -> dict[str, Any]:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return {"Stacks": [{"StackName": "s", "StackId": STACK, "StackStatus": status, "CreationTime": made}]}


def failing() -> Answers:
    answers = Answers()
    answers.will("cloudformation", "describe_stacks", stack("CREATE_COMPLETE"))
    answers.will("cloudformation", "delete_stack", {})
    answers.will("cloudformation", "describe_stacks", stack("DELETE_IN_PROGRESS"))
    answers.will("cloudformation", "describe_stacks", stack("DELETE_FAILED"))
    return answers


def test_a_failed_stack_says_which_resource_failed_first_in_its_last_operation() -> None:
    answers = failing()
    happened = [
        event(1, "s", "CREATE_IN_PROGRESS", "User Initiated"),
        event(2, "Old", "CREATE_FAILED", "of an operation before"),
        event(3, "s", "DELETE_IN_PROGRESS", "User Initiated"),
        event(4, "First", "DELETE_FAILED", "Resource deletion cancelled"),
        event(5, "Guilty", "DELETE_FAILED", "it is still in use"),
        event(6, "Later", "DELETE_FAILED", "it needs Guilty"),
        event(7, "s", "DELETE_FAILED", "The following resource(s) failed to delete: [Guilty, Later]."),
    ]
    answers.will("cloudformation", "describe_stack_events", {"StackEvents": happened[::-1]})
    with pytest.raises(ActionFailed) as failure:
        stacks.cloudformation(a_job(answers, DELETE))
    assert failure.value.message == (
        "Stack s ended as DELETE_FAILED. Guilty (AWS::SNS::Topic) DELETE_FAILED: it is still in use"
    )


def test_events_that_may_not_be_read_hide_no_failure() -> None:
    answers = failing()
    answers.wont("cloudformation", "describe_stack_events", "AccessDenied", "pipe may not do DescribeStackEvents")
    with pytest.raises(ActionFailed) as failure:
        stacks.cloudformation(a_job(answers, DELETE))
    assert "Stack s ended as DELETE_FAILED" in failure.value.message
    assert "pipe may not do DescribeStackEvents" in failure.value.message


# --------------------------------------------------------------------------------------------------------- approvals


def test_a_question_that_nobody_answers_expires() -> None:
    job = a_job(Answers(), {}, timeout=0.05)
    with pytest.raises(ActionFailed) as failure:
        approval.manual(job)
    assert failure.value.code == "ActionTimeout"
    assert job.run.token == ""


def test_a_question_of_an_execution_that_is_over_is_dropped() -> None:
    job = a_job(Answers(), {})
    job.over.set()
    with pytest.raises(ActionAbandoned):
        approval.manual(job)
    assert job.questions.answer(job.run.token, "Approved", "", "somebody") is None


# ---------------------------------------------------------------------------------------------------------- messages


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    long = "which phase failed " + "x" * 9000 + " the cause"
    short = shortened(long)
    assert len(short) <= MESSAGE_LENGTH
    assert short.startswith("which phase failed")
    assert short.endswith(" the cause")
    assert shortened("short") == "short"
