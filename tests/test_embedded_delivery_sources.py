"""Source actions of the embedded CodePipeline: commits of a repository, versions of an object; and its events."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from delivery_support import REGION, Delivery, Pipeline, action, ask, stage, until
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow


@pytest.fixture
def delivery(aws: EmbeddedAws) -> Delivery:
    return Delivery(aws)


def source_of(pipeline: Pipeline, identifier: str) -> dict[str, Any]:
    """The attempt of the source action in an execution that has come to the approval behind it."""
    until(lambda: pipeline.inside("Deploy") == identifier, "the stage behind the source")
    [found] = [f for f in pipeline.attempts(identifier) if f["actionName"] == "Source"]
    return found


def files_of(delivery: Delivery, attempt: dict[str, Any]) -> dict[str, str]:
    [output] = attempt["output"]["outputArtifacts"]
    place = output["s3location"]
    content = delivery.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if not name.endswith("/")}


# ---------------------------------------------------------------------------------------------------------------- S3


def test_each_execution_takes_the_version_of_its_time(delivery: Delivery) -> None:
    first = delivery.put({"note.txt": "one"})
    pipeline = delivery.create(stage("Deploy", ask()))
    attempt = source_of(pipeline, pipeline.first)
    assert attempt["output"]["outputVariables"]["VersionId"] == first
    assert files_of(delivery, attempt) == {"note.txt": "one"}
    second = delivery.put({"note.txt": "two"})
    started = pipeline.start()
    pipeline.answer()
    assert files_of(delivery, source_of(pipeline, started)) == {"note.txt": "two"}
    revisions = pipeline.executions()[0]["sourceRevisions"]
    assert [(r["actionName"], r["revisionId"]) for r in revisions] == [("Source", second)]
    pipeline.answer()
    chosen = {"actionName": "Source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": first}
    again = pipeline.start(sourceRevisions=[chosen])
    assert files_of(delivery, source_of(pipeline, again)) == {"note.txt": "one"}


def test_an_object_that_is_not_there_fails_the_source_by_its_name(delivery: Delivery) -> None:
    delivery.s3.delete_object(Bucket=delivery.bucket, Key="source.zip")
    pipeline = delivery.create(stage("Deploy", ask()))
    assert pipeline.ended(pipeline.first) == "Failed"
    error = pipeline.error("Source", "Source")
    assert (error["code"], "no object is at [source.zip]" in error["message"]) == ("ConfigurationError", True)


def test_a_bucket_without_versions_is_no_source(delivery: Delivery) -> None:
    delivery.s3.put_bucket_versioning(Bucket=delivery.bucket, VersioningConfiguration={"Status": "Suspended"})
    pipeline = delivery.create(stage("Deploy", ask()))
    assert pipeline.ended(pipeline.first) == "Failed"
    assert "does not have versioning enabled" in pipeline.error("Source", "Source")["message"]


# -------------------------------------------------------------------------------------------------------- CodeCommit


class Repository:
    """A repository with one commit on main, and a pipeline of it."""

    def __init__(self, delivery: Delivery) -> None:
        self.api = delivery.client("codecommit")
        self.api.create_repository(repositoryName="code")
        self.head = self.commit("first commit", {"a.txt": "one", "folder/b.txt": "b"})
        where = {"RepositoryName": "code", "BranchName": "main", "PollForSourceChanges": "false"}
        self.source = action("Source", "Source/CodeCommit", where, (), ("SourceArtifact",), namespace="Source")
        declared = delivery.declaration(stage("Deploy", ask()), executionMode="QUEUED")
        declared["stages"][0] = stage("Source", self.source)
        self.declared = declared

    def commit(self, message: str, files: dict[str, str], parent: str | None = None) -> str:
        put = [{"filePath": path, "fileContent": text.encode()} for path, text in files.items()]
        more = {"parentCommitId": parent} if parent else {}
        made = self.api.create_commit(
            repositoryName="code", branchName="main", commitMessage=message, putFiles=put, **more
        )
        return str(made["commitId"])


def test_a_commit_is_the_source_with_its_files_and_its_variables(delivery: Delivery) -> None:
    repository = Repository(delivery)
    delivery.api.create_pipeline(pipeline=repository.declared)
    pipeline = Pipeline(delivery, "pipeline")
    attempt = source_of(pipeline, pipeline.first)
    assert files_of(delivery, attempt) == {"a.txt": "one", "folder/b.txt": "b"}
    variables = attempt["output"]["outputVariables"]
    assert (variables["CommitId"], variables["CommitMessage"]) == (repository.head, "first commit")
    assert (variables["RepositoryName"], variables["BranchName"]) == ("code", "main")
    [revision] = pipeline.execution(pipeline.first)["artifactRevisions"]
    assert (revision["name"], revision["revisionId"]) == ("SourceArtifact", repository.head)
    pipeline.answer()
    head = repository.commit("second", {"a.txt": "two"}, repository.head)
    second = pipeline.start()
    assert files_of(delivery, source_of(pipeline, second))["a.txt"] == "two"
    pipeline.answer()
    chosen = {"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": repository.head}
    third = pipeline.start(sourceRevisions=[chosen])
    assert files_of(delivery, source_of(pipeline, third))["a.txt"] == "one"
    assert pipeline.execution(second)["artifactRevisions"][0]["revisionId"] == head


def test_a_branch_that_is_not_there_fails_the_source_in_the_words_of_codecommit(delivery: Delivery) -> None:
    repository = Repository(delivery)
    repository.source["configuration"]["BranchName"] = "other"
    delivery.api.create_pipeline(pipeline=repository.declared)
    pipeline = Pipeline(delivery, "pipeline")
    assert pipeline.ended(pipeline.first) == "Failed"
    message = pipeline.error("Source", "Source")["message"]
    assert message.startswith("Error calling getBranch: ")
    assert "BranchDoesNotExistException" in message


def test_a_branch_is_watched_unless_the_action_says_otherwise(delivery: Delivery) -> None:
    repository = Repository(delivery)
    quiet = repository.declared | {"name": "quiet"}
    delivery.api.create_pipeline(pipeline=quiet)
    del repository.source["configuration"]["PollForSourceChanges"]
    delivery.api.create_pipeline(pipeline=repository.declared)
    pipeline = Pipeline(delivery, "pipeline")
    repository.api.create_branch(repositoryName="code", branchName="other", commitId=repository.head)
    head = repository.commit("second", {"a.txt": "two"}, repository.head)
    until(lambda: len(pipeline.executions()) == 2, "the execution that the commit starts")
    started = pipeline.executions()[0]
    assert started["trigger"] == {"triggerType": "PollForSourceChanges", "triggerDetail": head}
    assert len(Pipeline(delivery, "quiet").executions()) == 1


# ------------------------------------------------------------------------------------------------------------ events


def test_events_tell_what_happens_to_executions_stages_and_actions(delivery: Delivery) -> None:
    events, sqs = delivery.client("events"), delivery.client("sqs")
    queue = sqs.create_queue(QueueName="news")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    let_in = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [let_in]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["aws.codepipeline"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn}])
    pipeline = delivery.create(stage("Deploy", ask()))
    pipeline.answer(status="Rejected", summary="no")
    assert pipeline.ended(pipeline.first) == "Failed"
    told: list[dict[str, Any]] = []

    def complete() -> bool:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        told.extend(json.loads(message["Body"]) for message in messages)
        return len(told) >= 10

    until(complete, f"ten events, only {len(told)}")
    said = [
        (
            event["detail-type"].split()[1],
            event["detail"].get("action") or event["detail"].get("stage"),
            event["detail"]["state"],
        )
        for event in told
    ]
    assert sorted(said, key=str) == sorted(
        [
            ("Pipeline", None, "STARTED"),
            ("Stage", "Source", "STARTED"),
            ("Action", "Source", "STARTED"),
            ("Action", "Source", "SUCCEEDED"),
            ("Stage", "Source", "SUCCEEDED"),
            ("Stage", "Deploy", "STARTED"),
            ("Action", "Ask", "STARTED"),
            ("Action", "Ask", "FAILED"),
            ("Stage", "Deploy", "FAILED"),
            ("Pipeline", None, "FAILED"),
        ],
        key=str,
    )
    [failed] = [e for e in told if e["detail"].get("action") == "Ask" and e["detail"]["state"] == "FAILED"]
    assert "no" in failed["detail"]["execution-result"]["external-execution-summary"]
    assert failed["resources"] == [f"arn:aws:codepipeline:{REGION}:{delivery.account}:pipeline"]
    assert failed["detail"]["execution-id"] == pipeline.first
    assert failed["detail"]["pipeline-execution-attempt"] == 1

    del told[:10]
    delivery.api.retry_stage_execution(
        pipelineName="pipeline", stageName="Deploy", pipelineExecutionId=pipeline.first, retryMode="FAILED_ACTIONS"
    )
    until(lambda: complete() or len(told) >= 3, "the events of the retry")
    resumed = [event["detail"].get("stage", "") for event in told if event["detail"]["state"] == "RESUMED"]
    assert sorted(resumed) == ["", "Deploy"]
    assert {event["detail"]["pipeline-execution-attempt"] for event in told} == {2}


def test_a_rule_starts_an_execution_with_variables_from_its_event(delivery: Delivery) -> None:
    pipeline = delivery.create(
        stage("Deploy", ask()), variables=[{"name": "Model", "defaultValue": "newest"}], executionMode="QUEUED"
    )
    role = delivery.make_role("rule", "events.amazonaws.com")
    events = delivery.client("events")
    events.put_rule(Name="approved", EventPattern=json.dumps({"source": ["test"], "detail": {"status": ["Approved"]}}))
    transformer = {
        "InputPathsMap": {"approved": "$.detail.arn"},
        "InputTemplate": '{"variables": [{"name": "Model", "value": "<approved>"}]}',
    }
    arn = f"arn:aws:codepipeline:{REGION}:{delivery.account}:pipeline"
    target = {"Id": "pipeline", "Arn": arn, "RoleArn": role, "InputTransformer": transformer}
    assert events.put_targets(Rule="approved", Targets=[target])["FailedEntryCount"] == 0
    detail = json.dumps({"status": "Approved", "arn": "model/7"})
    events.put_events(Entries=[{"Source": "test", "DetailType": "x", "Detail": detail}])
    until(lambda: len(pipeline.executions()) == 2, "the execution that the rule starts")
    started = pipeline.execution(pipeline.executions()[0]["pipelineExecutionId"])
    assert started["variables"] == [{"name": "Model", "resolvedValue": "model/7"}]
    assert started["trigger"]["triggerType"] == "CloudWatchEvent"
