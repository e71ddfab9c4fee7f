"""What a stage's model, its test and its jobs do: where requests and answers lie, and which permissions that takes.

It follows from the endpoint template with the stage's file, which is one of four kinds of inference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .resources import MADE_UP, arn_of
from .statements import Act
from .subject import GROUP, Subject

OUTPUT = ("AsyncInferenceConfig", "OutputConfig")  # of an endpoint's configuration


class Place(NamedTuple):
    """Where in S3 a stage reads or writes."""

    what: str
    uri: str

    @property
    def bucket(self) -> str:
        """Its bucket."""
        return urlsplit(self.uri).netloc

    def arn(self, partition: str, *below: str) -> str:
        """Of an object there."""
        key = "/".join([urlsplit(self.uri).path.strip("/"), *below, "x"]).lstrip("/")
        return f"arn:{partition}:s3:::{self.bucket}/{key}"

    def bucket_arn(self, partition: str) -> str:
        """Of its bucket."""
        return f"arn:{partition}:s3:::{self.bucket}"


def places(subject: Subject, stage: str) -> dict[str, Place]:
    """By what lies there: the places in S3 of a stage, as far as they are known."""
    found: dict[str, str] = {}
    for kind, properties in subject.endpoints.get(stage, {}).values():
        if kind == "AWS::SageMaker::EndpointConfig":
            found["answers"] = _at(properties, *OUTPUT, "S3OutputPath")
            found["failures"] = _at(properties, *OUTPUT, "S3FailurePath")
            found["captured data"] = _at(properties, "DataCaptureConfig", "DestinationS3Uri")
        elif kind == "AWS::Scheduler::Schedule" and (job := job_of(properties)):
            found["requests"] = _at(job, "TransformInput", "DataSource", "S3DataSource", "S3Uri")
            # In a folder for each job, which the scheduler names.
            found["answers"] = _at(job, "TransformOutput", "S3OutputPath").rpartition("/")[0]
    return {what: Place(what, uri) for what, uri in found.items() if uri.startswith("s3://")}


def _at(value: Any, *keys: str) -> str:
    """The text that lies below these keys; empty if there is none, or it is not known before a launch."""
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else ""
    return value if isinstance(value, str) else ""


def job_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The transform job that a schedule starts; empty if it starts something else, or it is not known."""
    if not _at(properties, "Target", "Arn").endswith(":createTransformJob"):
        return {}
    try:
        return dict(json.loads(_at(properties, "Target", "Input")))
    except ValueError:
        return {}


def job_arn(subject: Subject, stage: str, job: Mapping[str, Any]) -> str:
    """Of any job of a schedule: the scheduler fills in what makes its name unique."""
    here = f"{subject.home.region}:{subject.stage_ids[stage]}"
    return (
        f"arn:{subject.home.partition}:sagemaker:{here}:transform-job/{_at(job, 'TransformJobName').partition('<')[0]}x"
    )


def model_acts(subject: Subject, stage: str) -> Iterator[Act]:
    """What a model reads and writes while it answers."""
    partition, found = subject.home.partition, places(subject, stage)
    why = f"requests and answers in {stage}"
    if "answers" in found:
        asked = found.get("requests", found["answers"])
        yield Act("s3:GetObject", asked.arn(partition), why)
        yield Act("s3:PutObject", found["answers"].arn(partition), why)
    if "requests" in found:
        yield Act("s3:ListBucket", found["requests"].bucket_arn(partition), why)
    if "failures" in found:
        yield Act("s3:PutObject", found["failures"].arn(partition), why)
    for kind, properties in subject.endpoints.get(stage, {}).values():
        if kind == "AWS::SageMaker::EndpointConfig":
            topics = [_at(properties, *OUTPUT, "NotificationConfig", name) for name in ("SuccessTopic", "ErrorTopic")]
            yield from (Act("sns:Publish", topic, f"notices of {stage}") for topic in topics if topic)


def test_acts(subject: Subject, stage: str) -> Iterator[Act]:
    """What the test of a stage calls, by what the stage is made of."""
    home, account, why = subject.home, subject.stage_ids[stage], f"the test of {stage}"
    base = f"arn:{home.partition}:sagemaker:{home.region}:{account}:"
    made = dict(subject.endpoints.get(stage, {}).values()) or {"AWS::SageMaker::Endpoint": {}}
    found = places(subject, stage)
    yield Act("sagemaker:DescribeModel", f"{base}model/{MADE_UP}", why)
    if "AWS::SageMaker::Endpoint" in made:
        verbs = ["DescribeEndpoint", "InvokeEndpointAsync" if "answers" in found else "InvokeEndpoint"]
        yield from (Act(f"sagemaker:{verb}", f"{base}endpoint/{GROUP}-{stage}", why) for verb in verbs)
        yield Act("sagemaker:DescribeEndpointConfig", f"{base}endpoint-config/{MADE_UP}", why)
    if schedule := made.get("AWS::Scheduler::Schedule"):
        own = arn_of("AWS::Scheduler::Schedule", schedule, replace(home, id=account))
        yield Act("scheduler:GetSchedule", own, why)
        if job := job_of(schedule):
            verbs = ["CreateTransformJob", "DescribeTransformJob", "StopTransformJob"]
            yield from (Act(f"sagemaker:{verb}", job_arn(subject, stage, job), why) for verb in verbs)
    if "answers" in found:
        yield Act("s3:PutObject", found["answers"].arn(home.partition, "test"), f"{why}: requests")
        yield Act("s3:GetObject", found["answers"].arn(home.partition), f"{why}: answers")
