"""The embedded CodePipeline, through boto3: executions between stages, approvals, retries, stops; what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from delivery_support import REGION, Delivery, Pipeline, action, ask, stage, until
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow

DEPLOY = stage("Deploy", ask())
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def delivery(aws: EmbeddedAws) -> Delivery:
    return Delivery(aws)


def refused(act: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        act()
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


# ---------------------------------------------------------------------------------------------------------- one run


def test_the_first_execution_begins_with_the_pipeline_and_waits_for_the_approval(delivery: Delivery) -> None:
    version = delivery.put({"note.txt": "second"})
    pipeline = delivery.create(DEPLOY)
    assert pipeline.token()
    assert re.fullmatch(UUID, pipeline.first)
    assert pipeline.execution(pipeline.first)["trigger"] == {
        "triggerType": "CreatePipeline",
        "triggerDetail": f"arn:aws:iam::{delivery.account}:root",
    }
    state = pipeline.state()
    assert state["Source"]["latestExecution"]["status"] == "Succeeded"
    assert state["Source"]["actions"]["Source"]["currentRevision"]["revisionId"] == version
    assert state["Deploy"]["latestExecution"] == {
        "pipelineExecutionId": pipeline.first,
        "status": "InProgress",
        "type": "STANDARD",
    }
    assert pipeline.status(pipeline.first) == "InProgress"
    pipeline.answer(summary="go")
    assert pipeline.ended(pipeline.first) == "Succeeded"
    approval = pipeline.action("Deploy", "Ask")
    assert (approval["status"], approval["summary"]) == ("Succeeded", "go")
    assert approval["lastUpdatedBy"] == f"arn:aws:iam::{delivery.account}:root"
    assert "token" not in approval


def test_artifacts_lie_in_the_store_under_the_names_of_aws(delivery: Delivery) -> None:
    key = delivery.client("kms").create_key()["KeyMetadata"]["Arn"]
    store = {"type": "S3", "location": delivery.bucket, "encryptionKey": {"type": "KMS", "id": key}}
    pipeline = delivery.create(DEPLOY, name="a-name-that-is-longer-than-twenty", artifactStore=store)
    pipeline.token()
    [source] = [found for found in pipeline.attempts() if found["actionName"] == "Source"]
    [output] = source["output"]["outputArtifacts"]
    assert output["name"] == "SourceArtifact"
    assert output["s3location"]["bucket"] == delivery.bucket
    assert re.fullmatch(r"a-name-that-is-longe/SourceArti/[A-Za-z0-9]{7}", output["s3location"]["key"])
    head = delivery.s3.head_object(Bucket=delivery.bucket, Key=output["s3location"]["key"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_rejected_approval_fails_the_execution_with_what_was_said(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, stage("Later", ask()))
    pipeline.answer(status="Rejected", summary="too early")
    assert pipeline.ended(pipeline.first) == "Failed"
    assert pipeline.error("Deploy", "Ask")["message"] == f"Rejected by arn:aws:iam::{delivery.account}:root: too early"
    assert pipeline.state()["Deploy"]["latestExecution"]["status"] == "Failed"
    assert "latestExecution" not in pipeline.state()["Later"]
    assert pipeline.execution(pipeline.first)["statusSummary"] == "Failed in Deploy/Ask."


def test_answers_need_the_token_of_the_question_and_are_taken_once(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY)
    token = pipeline.token()

    def answer(given: str, stage: str = "Deploy", action: str = "Ask") -> None:
        result = {"status": "Approved", "summary": ""}
        delivery.api.put_approval_result(
            pipelineName="pipeline", stageName=stage, actionName=action, token=given, result=result
        )

    other = "00000000-0000-0000-0000-000000000000"
    assert refused(lambda: answer(other))[0] == "InvalidApprovalTokenException"
    assert refused(lambda: answer(token, stage="Nowhere"))[0] == "StageNotFoundException"
    assert refused(lambda: answer(token, action="Nothing"))[0] == "ActionNotFoundException"
    assert refused(lambda: answer(token, stage="Source", action="Source"))[0] == "ActionNotFoundException"
    assert pipeline.status(pipeline.first) == "InProgress"
    answer(token)
    assert refused(lambda: answer(token))[0] == "ApprovalAlreadyCompletedException"
    assert pipeline.ended(pipeline.first) == "Succeeded"
    assert refused(lambda: answer(token))[0] == "ApprovalAlreadyCompletedException"


def test_an_approval_tells_its_topic(delivery: Delivery) -> None:
    sns, sqs = delivery.client("sns"), delivery.client("sqs")
    topic = sns.create_topic(Name="approvals")["TopicArn"]
    queue = sqs.create_queue(QueueName="approvals")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    told = {"NotificationArn": topic, "CustomData": "Revision #{Source.VersionId}"}
    pipeline = delivery.create(stage("Deploy", action("Ask", "Approval/Manual", told)))
    token = pipeline.token()
    [message] = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "the notification")
    assert token in message["Body"]
    revision = pipeline.state()["Source"]["actions"]["Source"]["currentRevision"]["revisionId"]
    assert f"Revision {revision}" in message["Body"]


def test_actions_go_in_the_order_of_their_run_order_and_side_by_side_within_one(delivery: Delivery) -> None:
    late = {**ask("Late"), "runOrder": 2}
    pipeline = delivery.create(stage("Deploy", late, ask("One"), ask("Two")))
    assert pipeline.token(name="One")
    assert pipeline.token(name="Two")
    assert pipeline.action("Deploy", "Late") == {}
    pipeline.answer(name="One")
    pipeline.answer(name="Two")
    pipeline.answer(name="Late")
    assert pipeline.ended(pipeline.first) == "Succeeded"
    names = [found["actionName"] for found in pipeline.attempts(pipeline.first)]
    assert (names[0], sorted(names[1:3]), names[3]) == ("Source", ["One", "Two"], "Late")


def test_what_comes_after_a_failed_action_does_not_begin(delivery: Delivery) -> None:
    pipeline = delivery.create(stage("Deploy", ask(), ask("Late", runOrder=2)))
    pipeline.answer(status="Rejected")
    assert pipeline.ended(pipeline.first) == "Failed"
    assert pipeline.action("Deploy", "Late") == {}


def test_when_one_of_two_actions_fails_the_other_is_waited_for(delivery: Delivery) -> None:
    pipeline = delivery.create(stage("Deploy", ask("One"), ask("Two")))
    pipeline.answer(name="One", status="Rejected")
    until(lambda: pipeline.action("Deploy", "One").get("status") == "Failed", "the rejection")
    assert pipeline.status(pipeline.first) == "InProgress"
    pipeline.answer(name="Two")
    assert pipeline.ended(pipeline.first) == "Failed"
    assert pipeline.action("Deploy", "Two")["status"] == "Succeeded"


# --------------------------------------------------------------------------------------------------------- variables


def test_variables_of_the_pipeline_of_actions_and_of_the_execution_are_resolved(delivery: Delivery) -> None:
    text = "#{variables.Model}, #{Source.ObjectKey}, #{codepipeline.PipelineExecutionId}, #{not a reference}"
    asking = stage("Deploy", action("Ask", "Approval/Manual", {"CustomData": text}))
    variables = [{"name": "Model", "defaultValue": "newest"}]
    pipeline = delivery.create(asking, variables=variables, executionMode="QUEUED")
    pipeline.answer()
    second = pipeline.start(variables=[{"name": "Model", "value": "model/7"}])
    assert pipeline.ended(pipeline.first) == "Succeeded"
    until(lambda: pipeline.inside("Deploy") == second, "the second execution")
    pipeline.answer()
    assert pipeline.ended(second) == "Succeeded"
    resolved = {
        found["pipelineExecutionId"]: found["input"]["resolvedConfiguration"]["CustomData"]
        for found in pipeline.attempts()
        if found["actionName"] == "Ask"
    }
    assert resolved == {
        pipeline.first: f"newest, source.zip, {pipeline.first}, #{{not a reference}}",
        second: f"model/7, source.zip, {second}, #{{not a reference}}",
    }
    assert pipeline.execution(second)["variables"] == [{"name": "Model", "resolvedValue": "model/7"}]


def test_a_variable_that_an_action_does_not_give_fails_the_action_that_wants_it(delivery: Delivery) -> None:
    asking = action("Ask", "Approval/Manual", {"CustomData": "#{Source.Nothing}"})
    pipeline = delivery.create(stage("Deploy", asking))
    assert pipeline.ended(pipeline.first) == "Failed"
    assert "#{Source.Nothing}" in pipeline.error("Deploy", "Ask")["message"]
    assert "variables could not be resolved" in pipeline.error("Deploy", "Ask")["message"]


def test_variables_must_be_declared_and_have_values(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, variables=[{"name": "Needed"}])
    assert pipeline.ended(pipeline.first) == "Failed"
    assert "Needed" in pipeline.execution(pipeline.first)["statusSummary"]
    assert refused(pipeline.start) == ("ValidationException", "Value not provided for variable(s) Needed")
    code, message = refused(lambda: pipeline.start(variables=[{"name": "Other", "value": "1"}]))
    assert (code, "Other" in message) == ("ValidationException", True)
    chosen = pipeline.start(variables=[{"name": "Needed", "value": "1"}])
    pipeline.answer()
    assert pipeline.ended(chosen) == "Succeeded"


# ------------------------------------------------------------------------------------------------- several at a time


def test_superseded_of_those_that_wait_only_the_newest_stays(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY)
    pipeline.token()
    second, third = pipeline.start(), pipeline.start()
    assert pipeline.ended(second) == "Superseded"
    until(lambda: pipeline.waiting("Deploy") == [third], "the newest in front of the stage")
    assert pipeline.inside("Deploy") == pipeline.first
    pipeline.answer()
    assert pipeline.ended(pipeline.first) == "Succeeded"
    until(lambda: pipeline.inside("Deploy") == third, "the newest in the stage")
    assert third in pipeline.execution(second)["statusSummary"]


def test_queued_each_waits_its_turn_and_none_is_dropped(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    pipeline.token()
    second, third = pipeline.start(), pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second, third], "two in front of the stage, in their order")
    for identifier in (pipeline.first, second, third):
        until(lambda: pipeline.inside("Deploy") == identifier, "its turn")  # noqa: B023 - called at once
        pipeline.answer()
        assert pipeline.ended(identifier) == "Succeeded"


def test_queued_a_failure_lets_the_next_one_in(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    second = pipeline.start()
    pipeline.answer(status="Rejected")
    assert pipeline.ended(pipeline.first) == "Failed"
    until(lambda: pipeline.inside("Deploy") == second, "the next one")


def test_parallel_nobody_waits(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="PARALLEL")
    first = pipeline.token()
    second = pipeline.start()
    until(lambda: pipeline.token() != first, "the second question")
    assert pipeline.inside("Deploy") == second
    pipeline.answer()
    assert pipeline.ended(second) == "Succeeded"
    assert pipeline.status(pipeline.first) == "InProgress"


def test_a_disabled_transition_holds_executions_back(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY)
    pipeline.answer()
    pipeline.ended(pipeline.first)
    way = {"pipelineName": "pipeline", "stageName": "Deploy", "transitionType": "Inbound"}
    delivery.api.disable_stage_transition(**way, reason="freeze")
    second = pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second], "the execution in front of the stage")
    transition = pipeline.state()["Deploy"]["inboundTransitionState"]
    assert (transition["enabled"], transition["disabledReason"]) == (False, "freeze")
    delivery.api.enable_stage_transition(**way)
    until(lambda: pipeline.inside("Deploy") == second, "the execution in the stage")
    assert pipeline.state()["Deploy"]["inboundTransitionState"]["enabled"] is True


def test_an_outbound_transition_holds_them_in_front_of_the_next_stage(delivery: Delivery) -> None:
    delivery.put({"note.txt": "x"})
    pipeline = delivery.create(DEPLOY)
    pipeline.answer()
    pipeline.ended(pipeline.first)
    way = {"pipelineName": "pipeline", "stageName": "Source", "transitionType": "Outbound"}
    delivery.api.disable_stage_transition(**way, reason="freeze")
    second = pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second], "the execution in front of the next stage")
    delivery.api.enable_stage_transition(**way)
    until(lambda: pipeline.inside("Deploy") == second, "the execution in the stage")


def test_the_same_request_token_starts_one_execution(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    assert pipeline.start(clientRequestToken="once") == pipeline.start(clientRequestToken="once")
    assert len(pipeline.executions()) == 2


# ------------------------------------------------------------------------------------------------- stops and retries


def stop(pipeline: Pipeline, identifier: str, **more: Any) -> None:
    pipeline.api.stop_pipeline_execution(pipelineName=pipeline.name, pipelineExecutionId=identifier, **more)


def test_a_stop_waits_for_what_runs_and_begins_nothing_more(delivery: Delivery) -> None:
    pipeline = delivery.create(stage("Deploy", ask(), ask("Late", runOrder=2)))
    pipeline.token()
    stop(pipeline, pipeline.first, reason="lunch")
    assert pipeline.status(pipeline.first) == "Stopping"
    assert pipeline.state()["Deploy"]["latestExecution"]["status"] == "Stopping"
    assert refused(lambda: stop(pipeline, pipeline.first))[0] == "DuplicatedStopRequestException"
    pipeline.answer()
    assert pipeline.ended(pipeline.first) == "Stopped"
    assert pipeline.action("Deploy", "Late") == {}
    assert pipeline.executions()[0]["stopTrigger"] == {"reason": "lunch"}
    assert refused(lambda: stop(pipeline, pipeline.first))[0] == "PipelineExecutionNotStoppableException"


def test_a_stop_can_abandon_what_runs(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    token = pipeline.token()
    second = pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second], "the next one")
    stop(pipeline, pipeline.first, abandon=True)
    assert pipeline.status(pipeline.first) == "Stopped"
    abandoned = [found for found in pipeline.attempts(pipeline.first) if found["actionName"] == "Ask"]
    assert [found["status"] for found in abandoned] == ["Abandoned"]
    until(lambda: pipeline.inside("Deploy") == second, "the next one in the stage")
    assert pipeline.token() != token


def test_an_execution_that_waits_is_stopped_at_once(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    pipeline.token()
    second = pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second], "the execution in front of the stage")
    stop(pipeline, second)
    assert pipeline.status(second) == "Stopped"
    assert pipeline.waiting("Deploy") == []
    assert pipeline.inside("Deploy") == pipeline.first


def retry(pipeline: Pipeline, identifier: str, mode: str = "FAILED_ACTIONS", stage: str = "Deploy") -> None:
    pipeline.api.retry_stage_execution(
        pipelineName=pipeline.name, stageName=stage, pipelineExecutionId=identifier, retryMode=mode
    )


@pytest.mark.parametrize(("mode", "again"), [("FAILED_ACTIONS", 1), ("ALL_ACTIONS", 2)])
def test_a_retry_runs_again_what_failed_or_everything(delivery: Delivery, mode: str, again: int) -> None:
    pipeline = delivery.create(stage("Deploy", ask("One"), ask("Two")), stage("Later", ask()))
    pipeline.answer(name="One")
    pipeline.answer(name="Two", status="Rejected")
    assert pipeline.ended(pipeline.first) == "Failed"
    retry(pipeline, pipeline.first, mode)
    assert pipeline.status(pipeline.first) == "InProgress"
    if again == 2:
        pipeline.answer(name="One")
    pipeline.answer(name="Two")
    pipeline.answer("Later")
    assert pipeline.ended(pipeline.first) == "Succeeded"
    names = [found["actionName"] for found in pipeline.attempts()]
    assert (names.count("One"), names.count("Two"), names.count("Source")) == (again, 2, 1)
    assert pipeline.state()["Deploy"]["retryStageMetadata"]["manualStageRetryAttempt"] == 1


def test_only_the_latest_failed_execution_of_a_stage_can_be_retried(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    pipeline.token()
    assert refused(lambda: retry(pipeline, pipeline.first))[0] == "ConflictException"
    pipeline.answer(status="Rejected")
    pipeline.ended(pipeline.first)
    assert refused(lambda: retry(pipeline, pipeline.first, stage="Source"))[0] == "StageNotRetryableException"
    assert refused(lambda: retry(pipeline, pipeline.first, stage="Nowhere"))[0] == "StageNotFoundException"
    second = pipeline.start()
    pipeline.answer()
    assert pipeline.ended(second) == "Succeeded"
    assert refused(lambda: retry(pipeline, pipeline.first))[0] == "NotLatestPipelineExecutionException"
    assert refused(lambda: retry(pipeline, second))[0] == "StageNotRetryableException"


# ------------------------------------------------------------------------------------------------------- the pipeline


def test_an_update_is_a_new_version_and_cancels_what_runs(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    pipeline.token()
    second = pipeline.start()
    until(lambda: pipeline.waiting("Deploy") == [second], "the execution in front of the stage")
    changed = delivery.declaration(stage("Deploy", ask("Other")))
    assert delivery.api.update_pipeline(pipeline=changed)["pipeline"]["version"] == 2
    assert [pipeline.status(found) for found in (pipeline.first, second)] == ["Cancelled", "Cancelled"]
    assert len(pipeline.executions()) == 2
    assert [found["actionName"] for found in pipeline.attempts(second)] == ["Source"]
    third = pipeline.start()
    pipeline.answer(name="Other")
    assert pipeline.ended(third) == "Succeeded"
    assert pipeline.execution(third)["pipelineVersion"] == 2


def test_what_there_is_can_be_read_and_deleted(delivery: Delivery) -> None:
    declared = delivery.declaration(DEPLOY, name="b")
    answer = delivery.api.create_pipeline(pipeline=declared, tags=[{"key": "team", "value": "x"}])
    assert answer["pipeline"]["version"] == 1
    assert answer["pipeline"]["executionMode"] == "SUPERSEDED"
    delivery.create(DEPLOY, name="a")
    assert [found["name"] for found in delivery.api.list_pipelines()["pipelines"]] == ["a", "b"]
    found = delivery.api.get_pipeline(name="b")
    assert found["pipeline"] == answer["pipeline"]
    arn = f"arn:aws:codepipeline:{REGION}:{delivery.account}:b"
    assert found["metadata"]["pipelineArn"] == arn
    delivery.api.tag_resource(resourceArn=arn, tags=[{"key": "more", "value": ""}])
    delivery.api.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert delivery.api.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "more", "value": ""}]
    assert refused(lambda: delivery.api.create_pipeline(pipeline=declared))[0] == "PipelineNameInUseException"
    delivery.api.delete_pipeline(name="b")
    assert refused(lambda: delivery.api.get_pipeline(name="b"))[0] == "PipelineNotFoundException"
    assert [found["name"] for found in delivery.api.list_pipelines()["pipelines"]] == ["a"]


def test_accounts_and_regions_keep_their_pipelines_apart(delivery: Delivery, aws: EmbeddedAws) -> None:
    delivery.create(DEPLOY)
    assert Delivery(aws).api.list_pipelines()["pipelines"] == []
    assert aws.client("codepipeline", delivery.account, "eu-central-1").list_pipelines()["pipelines"] == []


def test_executions_are_listed_newest_first_page_by_page_and_by_stage(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY)
    pipeline.answer(status="Rejected")
    pipeline.ended(pipeline.first)
    second = pipeline.start()
    pipeline.answer()
    pipeline.ended(second)
    page = delivery.api.list_pipeline_executions(pipelineName="pipeline", maxResults=1)
    assert [found["pipelineExecutionId"] for found in page["pipelineExecutionSummaries"]] == [second]
    rest = delivery.api.list_pipeline_executions(pipelineName="pipeline", nextToken=page["nextToken"])
    assert [found["pipelineExecutionId"] for found in rest["pipelineExecutionSummaries"]] == [pipeline.first]
    chosen = pipeline.executions(filter={"succeededInStage": {"stageName": "Deploy"}})
    assert [found["pipelineExecutionId"] for found in chosen] == [second]
    bad = refused(lambda: delivery.api.list_pipeline_executions(pipelineName="pipeline", nextToken="???"))
    assert bad[0] == "InvalidNextTokenException"


def test_what_is_not_there_is_said(delivery: Delivery) -> None:
    api, other = delivery.api, "00000000-0000-0000-0000-000000000000"
    delivery.create(DEPLOY)
    assert refused(lambda: api.get_pipeline_state(name="none"))[0] == "PipelineNotFoundException"
    assert refused(lambda: api.start_pipeline_execution(name="none"))[0] == "PipelineNotFoundException"
    missing = refused(lambda: api.get_pipeline_execution(pipelineName="pipeline", pipelineExecutionId=other))
    assert missing[0] == "PipelineExecutionNotFoundException"
    assert refused(lambda: api.start_pipeline_execution(name="a b"))[0] == "ValidationException"


def test_operations_and_filters_that_are_not_there_are_refused_by_name(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY)
    code, message = refused(
        lambda: delivery.api.rollback_stage(
            pipelineName="pipeline", stageName="Deploy", targetPipelineExecutionId=pipeline.first
        )
    )
    assert (code, "codepipeline:RollbackStage" in message) == ("NotImplementedByEmbeddedAws", True)
    latest = {"latestInPipelineExecution": {"pipelineExecutionId": pipeline.first, "startTimeRange": "Latest"}}
    code, message = refused(lambda: delivery.api.list_action_executions(pipelineName="pipeline", filter=latest))
    assert (code, "latestInPipelineExecution" in message) == ("NotImplementedByEmbeddedAws", True)


def test_fifty_executions_are_the_limit(delivery: Delivery) -> None:
    pipeline = delivery.create(DEPLOY, executionMode="QUEUED")
    for _ in range(49):
        pipeline.start()
    assert refused(pipeline.start)[0] == "ConcurrentPipelineExecutionsLimitExceededException"
    delivery.api.delete_pipeline(name="pipeline")
