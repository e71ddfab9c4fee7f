"""SageMaker's transform jobs: a model is started, asked about every object under a prefix, and ended again.

The objects are read and the answers written as the model's role. A job has one model process, whatever its number of
instances.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..ground import Event, Ground
from ..jobs import storage
from ..jobs.failure import StepFailure, StepStopped
from ..jobs.storage import Aws
from ..serving.failure import ServingFailure
from ..serving.model_server import Invocation, ModelServer, NoReply, Seat
from ..serving.transforming import TooLarge, assembled, payloads
from ..wire import AwsError, Request, not_implemented
from .sagemaker_models import PRINCIPAL, Model, Models, arn, checked, listed
from .sagemaker_registry import backend, invalid
from .service import Operation

Answer = dict[str, Any]

LOG_GROUP = "/aws/sagemaker/TransformJobs"
# What is not done; a job with it is refused by name.
REFUSED = ("DataCaptureConfig", "DataProcessing", "ExperimentConfig", "ModelClientConfig")
# Of the input: the only value, or values, that something may have.
TAKEN = {
    "CompressionType": ("None",),
    "SplitType": ("None", "Line"),
}
ENDED = ("Completed", "Failed", "Stopped")
SUFFIX = ".out"


@dataclass
class Job:
    """A transform job: what was asked for and what became of it. ``tags`` is what moto's operations on tags look at."""

    name: str
    arn: str
    given: Mapping[str, Any]
    model: Model
    tags: list[dict[str, str]]
    status: str = "InProgress"
    reason: str | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: datetime | None = None
    ended: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class Transforms:
    """The operations on transform jobs."""

    def __init__(self, ground: Ground, models: Models) -> None:
        self._ground, self._models = ground, models
        self._jobs: dict[tuple[str, str], dict[str, Job]] = {}
        self._lock = threading.RLock()
        self.operations: dict[str, Operation] = {
            "CreateTransformJob": self._create,
            "DescribeTransformJob": self._describe,
            "ListTransformJobs": self._list,
            "StopTransformJob": self._stop,
        }

    def _of(self, request: Request) -> dict[str, Job]:
        return self._jobs.setdefault((request.caller.account, request.region), {})

    def _find(self, request: Request) -> Job:
        name = checked(request)["TransformJobName"]
        with self._lock:
            found = self._of(request).get(name)
        if found is None:
            raise AwsError("ResourceNotFound", f"Could not find requested job with name: {name}")
        return found

    def _create(self, request: Request) -> Answer:
        given = checked(request)
        _check(given)
        name = given["TransformJobName"]
        model = self._models.find(request, given["ModelName"])
        job = Job(name, arn(request, "transform-job", name), given, model, list(given.get("Tags") or ()))
        with self._lock:
            if name in self._of(request):
                raise AwsError("ResourceInUse", f"Job name must be unique within an AWS account and region: {name}")
            self._of(request)[name] = job
            backend(request).transform_jobs[name] = job  # where moto's operations on tags look
        work = threading.Thread(target=self._run, args=(job, request.region), daemon=True, name=f"transform {name}")
        work.start()
        return {"TransformJobArn": job.arn}

    def _run(self, job: Job, region: str) -> None:
        job.started = datetime.now(UTC)
        self._tell(job, region)
        status, reason = "Completed", None
        try:
            with self._ground.workshop.slot(job.stop):
                _transform(self._ground, job, region)
        except StepStopped:
            status = "Stopped"
        except (ServingFailure, StepFailure, TooLarge) as failure:
            status, reason = "Failed", str(failure)
        except Exception as error:  # a job must not stay under way for ever
            if not job.stop.is_set():
                traceback.print_exc()
            status = "Stopped" if job.stop.is_set() else "Failed"
            reason = None if job.stop.is_set() else f"The embedded AWS failed: {type(error).__name__}: {error}"
        job.reason, job.ended = reason, datetime.now(UTC)
        job.status = status
        if reason:
            print(f"{job.arn} failed: {reason}", file=sys.stderr, flush=True)
        self._tell(job, region)

    def _tell(self, job: Job, region: str) -> None:
        """Emits the event of a change of status."""
        detail = {
            "TransformJobName": job.name,
            "TransformJobArn": job.arn,
            "TransformJobStatus": job.status,
            "ModelName": job.model.name,
            "CreationTime": int(job.created.timestamp() * 1000),
            **({"FailureReason": job.reason} if job.reason else {}),
        }
        kind = "SageMaker Transform Job State Change"
        self._ground.emit(Event(job.arn.split(":")[4], region, "aws.sagemaker", kind, detail, (job.arn,)))

    def _describe(self, request: Request) -> Answer:
        job = self._find(request)
        maybe = {"FailureReason": job.reason, "TransformStartTime": job.started, "TransformEndTime": job.ended}
        return {
            **{key: value for key, value in job.given.items() if key != "Tags"},
            "TransformJobArn": job.arn,
            "TransformJobStatus": job.status,
            "CreationTime": job.created,
            **{key: value for key, value in maybe.items() if value is not None},
        }

    def _list(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            found = [
                {
                    "TransformJobName": job.name,
                    "TransformJobArn": job.arn,
                    "TransformJobStatus": job.status,
                    "CreationTime": job.created,
                    "LastModifiedTime": job.ended or job.started or job.created,
                    **({"TransformEndTime": job.ended} if job.ended else {}),
                    **({"FailureReason": job.reason} if job.reason else {}),
                }
                for job in self._of(request).values()
                if given.get("StatusEquals") in (None, job.status)
            ]
        keys = {"Name": "TransformJobName", "CreationTime": "CreationTime", "Status": "TransformJobStatus"}
        return listed(found, given, "TransformJobSummaries", keys, "TransformJobName")

    def _stop(self, request: Request) -> Answer:
        job = self._find(request)
        if job.status in ENDED:
            raise invalid(f"The request was rejected because the transform job is in status {job.status}.")
        job.status = "Stopping"
        job.stop.set()
        return {}


def _check(given: Mapping[str, Any]) -> None:
    for refused in REFUSED:
        if given.get(refused):
            raise not_implemented("sagemaker", "CreateTransformJob", f"It does not implement {refused}.")
    source = given["TransformInput"]
    for name, taken in TAKEN.items():
        if source.get(name) not in (None, *taken):
            why = f"Of {name} it takes {' and '.join(taken)} alone."
            raise not_implemented("sagemaker", "CreateTransformJob", why)
    if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
        raise not_implemented("sagemaker", "CreateTransformJob", "Of S3DataType it takes S3Prefix alone.")
    if (given.get("BatchStrategy") == "MultiRecord") and (source.get("SplitType") or "None") == "None":
        raise invalid("BatchStrategy MultiRecord needs a SplitType: without one every object is one record.")


def _transform(ground: Ground, job: Job, region: str) -> None:
    """Runs the job.

    Raises:
        ServingFailure: the model does not start.
        StepFailure: the input is not there or cannot be read, the model refuses it, or the output cannot be written.
        TooLarge: a record of the input is.
        StepStopped: the job was asked to stop.
    """
    try:
        actor = ground.role(job.model.role, PRINCIPAL, "SageMaker")
    except AwsError as error:
        raise ServingFailure(f"Unable to assume the role {job.model.role} of the model: {error.message}") from None
    aws = Aws(ground, actor, region)
    given = job.given
    uri = given["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    objects = storage.objects(aws, uri)
    contents = job.model.contents
    environment = {**contents.environment, **(given.get("Environment") or {}), "SAGEMAKER_BATCH": "true"}
    seat = Seat(job.name, job.arn, job.name, log_group=LOG_GROUP)
    server = ModelServer.started(ground.standby, aws, seat, replace(contents, environment=environment))
    try:
        for key, below in objects:
            _one(aws, job, server, key, below)
    finally:
        server.stop()


def _one(aws: Aws, job: Job, server: ModelServer, uri: str, below: str) -> None:
    """Transforms one object.

    Args:
        below: its name below the prefix of the input, which its answer has below that of the output.
    """
    source, output = job.given["TransformInput"], job.given["TransformOutput"]
    wanted = {"Content-Type": source.get("ContentType"), "Accept": output.get("Accept")}
    headers = {name: value for name, value in wanted.items() if value}
    answers = []
    for payload in payloads(storage.read_bytes(aws, uri), job.given):
        if job.stop.is_set():
            raise StepStopped
        try:
            reply = server.invoke(Invocation(payload, headers))
        except NoReply as error:
            raise _algorithm(uri, f"no answer: {error}") from None
        if reply.status >= 400:
            said = reply.body.decode(errors="replace")
            raise _algorithm(uri, f"Bad HTTP status received from algorithm: {reply.status}: {said}")
        answers.append(reply.body)
    body, key_id = assembled(answers, output.get("AssembleWith")), output.get("KmsKeyId")
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
    place = f"{output['S3OutputPath'].rstrip('/')}/{below}{SUFFIX}"
    bucket, key = storage.split(place)
    try:
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **sealed)
    except (ClientError, BotoCoreError) as error:
        raise StepFailure(f"ClientError: Upload to {place} failed: {error}") from None


def _algorithm(uri: str, why: str) -> StepFailure:
    return StepFailure(f"AlgorithmError: See job logs for more information ({uri}: {why})")
