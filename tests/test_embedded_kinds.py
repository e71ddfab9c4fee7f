"""Inference beside real time in the embedded AWS: serverless, asynchronous, shadows, transform jobs on schedules."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from endpoint_support import REGION, Stage, error_of
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.serving.transforming import TooLarge, payloads

pytestmark = pytest.mark.slow
# Answers a line for each line, or with the status that a line names.
LINES = """
from flask import Response

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return (body if isinstance(body, str) else body.decode()).splitlines()

def predict_fn(lines, model):
    return lines

def output_fn(lines, accept):
    refused = [line for line in lines if line.startswith("refuse ")]
    if refused:
        return Response("no", status=int(refused[0].split()[1]), mimetype="text/plain")
    return " ".join(line[::-1] for line in lines) + f" ({len(lines)})", accept or "text/plain"
"""
TRUST = {"Version": "2012-10-17"}


@pytest.fixture(scope="module")
def stage(aws: EmbeddedAws) -> Stage:
    """An account with a model that turns lines round."""
    stage = Stage(aws)
    stage.model("turns", LINES)
    return stage


def eventually(seen: Callable[[], Any]) -> Any:
    """What is seen as soon as there is something."""
    for _ in range(500):
        if found := seen():
            return found
        time.sleep(0.02)
    raise TimeoutError("nothing came")


def content(stage: Stage, uri: str) -> str:
    """The text of an object, as soon as it is there."""

    def read() -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if "Contents" not in stage.s3.list_objects_v2(Bucket=bucket, Prefix=key):
            return ""
        return str(stage.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    return str(eventually(read))


def variant(**more: Any) -> dict[str, Any]:
    return {"VariantName": "v", "ModelName": "turns", **more}


INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}
QUEUE = {"OutputConfig": {"S3OutputPath": "s3://b/out"}}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://b/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


def memory(megabytes: int, **more: int) -> dict[str, Any]:
    return {"ServerlessConfig": {"MemorySizeInMB": megabytes, "MaxConcurrency": 2, **more}}


@pytest.mark.parametrize(
    ("variants", "more", "said"),
    [
        ([variant(**memory(1500))], {}, "multiple of 1024"),
        ([variant(**memory(7168))], {}, "less than or equal to 6144"),
        ([variant(**memory(2048, ProvisionedConcurrency=3))], {}, "ProvisionedConcurrency must be less than"),
        ([variant(**SERVERLESS, **INSTANCES)], {}, "InitialInstanceCount, InstanceType cannot be given together"),
        ([variant(**SERVERLESS), variant(**SERVERLESS, VariantName="w")], {}, "has one production variant"),
        ([variant(**SERVERLESS)], {"DataCaptureConfig": CAPTURE}, "DataCaptureConfig is not supported for serverless"),
        ([variant(**SERVERLESS)], {"AsyncInferenceConfig": QUEUE}, "AsyncInferenceConfig is not supported"),
        ([variant(**SERVERLESS, ModelName="isolated")], {}, "has a VPC or network isolation"),
        (
            [variant(**INSTANCES), variant(**INSTANCES, VariantName="w")],
            {"AsyncInferenceConfig": QUEUE},
            "An asynchronous endpoint has one production variant",
        ),
        (
            [variant(**INSTANCES)],
            {"ShadowProductionVariants": [variant(**INSTANCES, VariantName="s", InitialVariantWeight=2.0)]},
            "is at most that of its production variant",
        ),
        ([variant(**INSTANCES)], {"ShadowProductionVariants": [variant(**INSTANCES)]}, "Variant names must be unique"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    stage: Stage, variants: list[dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    if not stage.sagemaker.list_models(NameContains="isolated")["Models"]:
        stage.model("isolated", LINES, EnableNetworkIsolation=True)
    create = stage.sagemaker.create_endpoint_config
    refused = error_of(lambda: create(EndpointConfigName="bad", ProductionVariants=variants, **more))
    assert refused["Code"] == "ValidationException"
    assert said in refused["Message"]


def served(stage: Stage, name: str, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    stage.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)
    stage.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return stage.settled(name)


def test_a_serverless_endpoint_answers_and_refuses_what_is_more_than_its_concurrency(aws: EmbeddedAws) -> None:
    stage = Stage(aws)
    stage.model("turns")
    (seen,) = served(stage, "serverless", variant(**SERVERLESS))["ProductionVariants"]
    assert seen["CurrentServerlessConfig"] == SERVERLESS["ServerlessConfig"]
    assert "CurrentInstanceCount" not in seen
    assert stage.ask("hello you", endpoint="serverless")["said"] == "you"
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(stage.ask, "sleep 1", endpoint="serverless")
        time.sleep(0.3)
        refused = error_of(lambda: stage.ask(endpoint="serverless"))
        assert (refused["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 429)
        assert slow.result()["said"] == "1"
    assert stage.ask("hello again", endpoint="serverless")["said"] == "again"


@pytest.fixture(scope="module")
def queue(stage: Stage) -> dict[str, str]:
    """An asynchronous endpoint with a topic for both outcomes; and a queue that the topic tells."""
    sns, sqs = (stage.aws.client(name, stage.account) for name in ("sns", "sqs"))
    topic, url = sns.create_topic(Name="told")["TopicArn"], sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    places = {"S3OutputPath": f"s3://{stage.bucket}/out/", "S3FailurePath": f"s3://{stage.bucket}/failed"}
    output = {**places, "NotificationConfig": {"SuccessTopic": topic, "ErrorTopic": topic}}
    seen = served(stage, "queue", variant(**INSTANCES), AsyncInferenceConfig={"OutputConfig": output})
    assert seen["EndpointStatus"] == "InService"
    assert seen["AsyncInferenceConfig"]["OutputConfig"] == output
    stage.s3.put_object(Bucket=stage.bucket, Key="in/good", Body=b"abc\ndef")
    stage.s3.put_object(Bucket=stage.bucket, Key="in/bad", Body=b"refuse 415")
    return {"queue": url, "in": f"s3://{stage.bucket}/in"}


def told(stage: Stage, url: str, inference: str) -> dict[str, Any]:
    """What the topic said of an invocation."""

    def look() -> dict[str, Any]:
        sqs = stage.aws.client("sqs", stage.account)
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        messages = [json.loads(json.loads(one["Body"])["Message"]) for one in found]
        return next((one for one in messages if one["inferenceId"] == inference), {})

    return dict(eventually(look))


def test_an_asynchronous_answer_is_an_object_and_the_topic_is_told(stage: Stage, queue: dict[str, str]) -> None:
    given = {"ContentType": "text/plain", "Accept": "text/csv", "InferenceId": "one"}
    answer = stage.runtime.invoke_endpoint_async(EndpointName="queue", InputLocation=f"{queue['in']}/good", **given)
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["InferenceId"]) == (202, "one")
    assert answer["OutputLocation"].startswith(f"s3://{stage.bucket}/out/")
    assert content(stage, answer["OutputLocation"]) == "cba fed (2)"
    said = told(stage, queue["queue"], "one")
    assert said["invocationStatus"] == "Completed"
    assert said["requestParameters"]["endpointName"] == "queue"
    assert said["responseParameters"] == {"contentType": "text/csv", "outputLocation": answer["OutputLocation"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [("bad", 'Received client error (415) from model with message "no"'), ("missing", "Unable to read")],
)
def test_an_asynchronous_failure_is_an_object_too(stage: Stage, queue: dict[str, str], name: str, said: str) -> None:
    answer = stage.runtime.invoke_endpoint_async(
        EndpointName="queue", InputLocation=f"{queue['in']}/{name}", InferenceId=name
    )
    assert said in content(stage, answer["FailureLocation"])
    assert "Contents" not in stage.s3.list_objects_v2(
        Bucket=stage.bucket, Prefix=answer["OutputLocation"].split("/", 3)[3]
    )
    heard = told(stage, queue["queue"], name)
    assert heard["invocationStatus"] == "Failed"
    assert said in heard["failureReason"]


def test_each_kind_of_endpoint_is_invoked_in_its_own_way(stage: Stage, queue: dict[str, str]) -> None:
    assert "InvokeEndpointAsync" in error_of(lambda: stage.ask(endpoint="queue"))["Message"]
    call, good = stage.runtime.invoke_endpoint_async, f"{queue['in']}/good"
    assert "is no S3 URI" in error_of(lambda: call(EndpointName="queue", InputLocation="/tmp/x"))["Message"]
    assert "not found" in error_of(lambda: call(EndpointName="none", InputLocation=good))["Message"]
    refused = error_of(lambda: call(EndpointName="queue", InputLocation=good, Filename="x"))
    assert refused["Code"] == "NotImplementedByEmbeddedAws"


def test_a_shadow_gets_its_share_answers_nobody_and_is_captured(aws: EmbeddedAws) -> None:
    stage = Stage(aws)
    stage.model("old")
    stage.model("new")
    shadow = {"VariantName": "shadow", "ModelName": "new", **INSTANCES, "InitialVariantWeight": 0.5}
    capture = {
        **CAPTURE,
        "DestinationS3Uri": f"s3://{stage.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    both = variant(ModelName="old", **INSTANCES)
    seen = served(stage, "endpoint", both, ShadowProductionVariants=[shadow], DataCaptureConfig=capture)
    assert [one["VariantName"] for one in seen["ShadowProductionVariants"]] == ["shadow"]
    for number in range(10):
        assert stage.ask(f"hello {number}", InferenceId=f"id-{number}")["model"] == "old"
    # A shadow that breaks is nobody's trouble.
    assert stage.ask("print last")["model"] == "old"

    def captured(name: str) -> list[dict[str, Any]]:
        listed = stage.s3.list_objects_v2(Bucket=stage.bucket, Prefix=f"captured/endpoint/{name}/").get("Contents", [])
        texts = [stage.s3.get_object(Bucket=stage.bucket, Key=one["Key"])["Body"].read() for one in listed]
        return [json.loads(line) for text in texts for line in text.decode().splitlines()]

    assert len(eventually(lambda: len(captured("v")) >= 11 and captured("v"))) == 11
    copies = eventually(lambda: len(captured("shadow")) >= 5 and captured("shadow"))
    assert len(copies) == 5
    assert {json.loads(one["captureData"]["endpointOutput"]["data"])["model"] for one in copies} == {"new"}
    assert {one["eventMetadata"]["inferenceId"] for one in copies} == {"id-1", "id-3", "id-5", "id-7", "id-9"}


def job(stage: Stage, name: str, **more: Any) -> dict[str, Any]:
    """The parameters of a transform job over what is under in/NAME."""
    source = {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{stage.bucket}/jobs/{name}/"}},
        "ContentType": "text/plain",
        **more.pop("source", {}),
    }
    output = {"S3OutputPath": f"s3://{stage.bucket}/answers/{name}", **more.pop("output", {})}
    return {
        "TransformJobName": name,
        "ModelName": "turns",
        "TransformInput": source,
        "TransformOutput": output,
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    }


def ended(stage: Stage, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        seen: dict[str, Any] = stage.sagemaker.describe_transform_job(TransformJobName=name)
        return seen if seen["TransformJobStatus"] in {"Completed", "Failed", "Stopped"} else {}

    return dict(eventually(look))


def test_a_job_asks_the_model_about_every_object(stage: Stage) -> None:
    for key, body in {"a.csv": b"abc\ndef\n", "deep/b.csv": b"xy\n"}.items():
        stage.s3.put_object(Bucket=stage.bucket, Key=f"jobs/each/{key}", Body=body)
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "each": ({"source": {"SplitType": "Line"}, "BatchStrategy": "SingleRecord"}, "cba (1)\nfed (1)\n"),
        "many": ({"source": {"SplitType": "Line"}, "BatchStrategy": "MultiRecord"}, "cba fed (2)\n"),
        "whole": ({"source": {"SplitType": "None"}}, "cba fed (2)\n"),
    }
    for name, (more, wanted) in cases.items():
        given = job(stage, "each", output={"AssembleWith": "Line"}, **more)
        given["TransformOutput"]["S3OutputPath"] = f"s3://{stage.bucket}/answers/{name}"
        stage.sagemaker.create_transform_job(**{**given, "TransformJobName": name})
        assert ended(stage, name)["TransformJobStatus"] == "Completed"
        assert content(stage, f"s3://{stage.bucket}/answers/{name}/a.csv.out") == wanted
        assert content(stage, f"s3://{stage.bucket}/answers/{name}/deep/b.csv.out") == "yx (1)\n"
    assert error_of(lambda: stage.sagemaker.create_transform_job(**job(stage, "each")))["Code"] == "ResourceInUse"
    (listed,) = stage.sagemaker.list_transform_jobs(NameContains="man")["TransformJobSummaries"]
    assert (listed["TransformJobName"], listed["TransformJobStatus"]) == ("many", "Completed")
    logs = stage.aws.client("logs", stage.account)
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs")["logStreams"]
    assert {stream["logStreamName"].split("/")[0] for stream in streams} >= set(cases)


def test_a_job_that_cannot_be_done_says_why(stage: Stage) -> None:
    stage.s3.put_object(Bucket=stage.bucket, Key="jobs/refused/a.csv", Body=b"refuse 400")
    for name, said in {
        "empty": "ClientError: No S3 objects found under S3 URL",
        "refused": "AlgorithmError: See job logs for more information",
    }.items():
        stage.sagemaker.create_transform_job(**job(stage, name))
        seen = ended(stage, name)
        assert (seen["TransformJobStatus"], seen["FailureReason"].startswith(said)) == ("Failed", True), seen
    assert "Bad HTTP status received from algorithm: 400" in seen["FailureReason"]
    assert "Contents" not in stage.s3.list_objects_v2(Bucket=stage.bucket, Prefix="answers/refused")
    refused = error_of(lambda: stage.sagemaker.stop_transform_job(TransformJobName="empty"))
    assert "is in status Failed" in refused["Message"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({"DataProcessing": {"JoinSource": "Input"}}, "NotImplementedByEmbeddedAws", "DataProcessing"),
        ({"source": {"SplitType": "RecordIO"}}, "NotImplementedByEmbeddedAws", "Of SplitType it takes None and Line"),
        ({"source": {"CompressionType": "Gzip"}}, "NotImplementedByEmbeddedAws", "CompressionType"),
        ({"BatchStrategy": "MultiRecord"}, "ValidationException", "needs a SplitType"),
        ({"ModelName": "nobody"}, "ValidationException", "Could not find model"),
    ],
)
def test_a_job_that_is_not_done_is_refused_by_name(stage: Stage, more: dict[str, Any], code: str, said: str) -> None:
    refused = error_of(lambda: stage.sagemaker.create_transform_job(**job(stage, "never", **more)))
    assert refused["Code"] == code
    assert said in refused["Message"]


def test_how_an_object_is_cut_into_requests() -> None:
    def cut(strategy: str, megabytes: int, content: bytes) -> list[bytes]:
        given = {"TransformInput": {"SplitType": "Line"}, "BatchStrategy": strategy, "MaxPayloadInMB": megabytes}
        return list(payloads(content, given))

    line = b"x" * 600_000 + b"\n"
    assert cut("MultiRecord", 1, line * 3) == [line] * 3
    assert cut("MultiRecord", 2, line * 4) == [line * 3, line]
    assert cut("MultiRecord", 0, line * 40) == [line * 40]
    assert cut("SingleRecord", 6, b"a\n\nb") == [b"a\n", b"b"]
    with pytest.raises(TooLarge, match="larger than MaxPayloadInMB"):
        cut("MultiRecord", 1, b"x" * 1_100_000)


# --- schedules


@pytest.fixture(scope="module")
def starter(stage: Stage) -> str:
    """A role that the scheduler may assume, and that may do anything."""
    iam = stage.aws.client("iam", stage.account)
    statement = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="starter", AssumeRolePolicyDocument=json.dumps({**TRUST, "Statement": [statement]}))
    return str(role["Role"]["Arn"])


def schedule(role: str, target: str, given: object, **more: Any) -> dict[str, Any]:
    text = given if isinstance(given, str) else json.dumps(given)
    return {
        "Name": "daily",
        "ScheduleExpression": "cron(0 6 * * ? *)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": f"arn:aws:scheduler:::aws-sdk:{target}", "RoleArn": role, "Input": text},
        **more,
    }


def test_a_schedule_calls_its_target_when_it_is_made_and_changed(stage: Stage, starter: str) -> None:
    scheduler = stage.aws.client("scheduler", stage.account)
    stage.s3.put_object(Bucket=stage.bucket, Key="jobs/daily/a.csv", Body=b"abc\n")
    given = {**job(stage, "daily"), "TransformJobName": "daily-<aws.scheduler.execution-id>"}
    scheduler.create_schedule(**schedule(starter, "sagemaker:createTransformJob", given))
    mine = f"arn:aws:scheduler:{REGION}:{stage.account}:schedule/default/daily"

    def jobs() -> list[str]:
        listed = stage.sagemaker.list_transform_jobs(NameContains="daily-")["TransformJobSummaries"]
        return [one["TransformJobName"] for one in listed]

    (first,) = eventually(jobs)
    assert ended(stage, first)["TransformJobStatus"] == "Completed"
    off = schedule(starter, "sagemaker:createTransformJob", given, State="DISABLED")
    scheduler.update_schedule(**off)
    scheduler.update_schedule(**schedule(starter, "sagemaker:createTransformJob", given))
    assert len(set(eventually(lambda: len(jobs()) > 1 and jobs()))) == 2
    scheduler.update_schedule(**schedule(starter, "sagemaker:createTransformJob", {**given, "ModelName": "nobody"}))
    calls = eventually(lambda: len(seen := [c for c in stage.aws.scheduled() if c.schedule == mine]) > 2 and seen)
    assert [bool(call.reason) for call in calls] == [False, False, True]
    assert "Could not find model" in calls[2].reason


@pytest.mark.parametrize(
    ("target", "given", "more", "said"),
    [
        ("sagemaker:createTransformJob", "{", {}, "it is no JSON"),
        ("sagemaker:createTransformJob", {}, {"ScheduleExpression": "cron(0 6 * * *)"}, "Invalid Schedule Expression"),
        ("sagemaker:createTransformJob", {}, {"ScheduleExpression": "every day"}, "Invalid Schedule Expression"),
        ("sagemaker:describeTransformJob", {}, {}, "no such operation that changes something"),
        ("sagemaker:createTransfromJob", {}, {}, "no such operation that changes something"),
        ("nothing:create", {}, {}, "no such operation that changes something"),
    ],
)
def test_a_schedule_that_could_not_call_its_target_is_refused(
    stage: Stage, starter: str, target: str, given: object, more: dict[str, Any], said: str
) -> None:
    scheduler = stage.aws.client("scheduler", stage.account)
    refused = error_of(lambda: scheduler.create_schedule(**{**schedule(starter, target, given, **more), "Name": "bad"}))
    assert refused["Code"] == "ValidationException"
    assert said in refused["Message"]
    wrong = schedule(stage.role, "sagemaker:createTransformJob", {})
    assert (
        "must allow AWS EventBridge Scheduler to assume"
        in error_of(lambda: scheduler.create_schedule(**wrong))["Message"]
    )
    queue = {**schedule(starter, "sqs:sendMessage", {})}
    queue["Target"] = {**queue["Target"], "Arn": f"arn:aws:sqs:{REGION}:{stage.account}:q"}
    assert error_of(lambda: scheduler.create_schedule(**queue))["Code"] == "NotImplementedByEmbeddedAws"
