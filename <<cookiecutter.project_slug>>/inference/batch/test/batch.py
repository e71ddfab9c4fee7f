"""Runs the transform job of a schedule on requests of the test, and reads its answers; judges nothing.

The job is the one that the schedule starts: the same model, instances and settings. Its name, what it reads
and where it writes are the test's own.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from endpoint import OK, Answer, Connection, NoAnswerError, NotInServiceError, Ready, Served

JOB_SECONDS = 1800.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 15.0
_LONGEST_NAME = 63
_GROUP = "default"
_RUNNING = frozenset({"InProgress", "Stopping"})


class Batch:
    """A schedule of transform jobs. Requests that are made ready together are answered by one job."""

    def __init__(self, connection: Connection, name: str, parameters: Mapping[str, str]) -> None:  # noqa: ARG002
        self.connection, self.name = connection, name
        self._job: dict[str, Any] = {}
        self._answers: dict[bytes, Answer] = {}
        self._silence: NoAnswerError | None = None

    def wait(self, timeout_seconds: float, poll_seconds: float) -> Ready:  # noqa: ARG002
        """Return the schedule, which is there or not: there is nothing to wait for."""
        client = self.connection.client("scheduler")
        try:
            schedule: dict[str, Any] = client.get_schedule(GroupName=_GROUP, Name=self.name)
        except client.exceptions.ResourceNotFoundException as error:
            raise NotInServiceError(f"there is no schedule {self.name}") from error
        try:
            self._job = dict(json.loads(schedule["Target"]["Input"]))
        except (ValueError, TypeError) as error:
            raise NotInServiceError(
                f"the schedule {self.name} starts no job: its input is no JSON"
            ) from error
        return Ready(schedule, (str(schedule["State"]),))

    def served(self, ready: Ready) -> Served:  # noqa: ARG002
        """Return the job that the schedule starts, and its model."""
        model = self.connection.client("sagemaker").describe_model(ModelName=self._job["ModelName"])
        return Served(self._job, [model])

    def declines(self, content_type: str) -> str:
        """Return why requests of this type are not sent: the job of the schedule reads another one."""
        wanted = self._job.get("TransformInput", {}).get("ContentType", "")
        return "" if content_type == wanted else f"the job of the schedule reads {wanted}, not {content_type}"

    def prepare(self, bodies: Sequence[bytes]) -> None:
        """Have one job answer several requests, which takes minutes; `send` then has their answers."""
        try:
            self._answers |= dict(zip(bodies, self._run(bodies), strict=True))
        except NoAnswerError as error:
            # Each is sent by itself then, and says by itself what is wrong with it; but after a job that was
            # waited for in vain no other is.
            self._silence = error if error.timed_out else None

    def send(self, content_type: str, body: bytes) -> Answer:  # noqa: ARG002
        """Return the answer to a request, from a job of its own if it was not made ready."""
        if self._silence:
            raise self._silence
        return self._answers.get(body) or self._run([body])[0]

    def _run(self, bodies: Sequence[bytes]) -> list[Answer]:
        """Run a job over the requests, an object for each; return its answers. Raises NoAnswerError."""
        from botocore.exceptions import BotoCoreError, ClientError

        from deploy.errors import one_line

        began = time.perf_counter()
        number = uuid.uuid4().hex
        job = self._own(number)
        folder, output = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], job["TransformOutput"]
        s3, names = self.connection.client("s3"), [f"{at:03d}.csv" for at in range(len(bodies))]
        try:
            for name, body in zip(names, bodies, strict=True):
                s3.put_object(**_place(f"{folder}{name}"), Body=body)
            self.connection.client("sagemaker").create_transform_job(**job)
            self._wait(job["TransformJobName"])
            places = [_place(f"{output['S3OutputPath']}/{name}.out") for name in names]
            found = [s3.get_object(**place)["Body"].read() for place in places]
        except (BotoCoreError, ClientError) as error:
            raise NoAnswerError(one_line(error)) from error
        seconds = time.perf_counter() - began
        return [Answer(OK, str(output.get("Accept", "")), _joined(body), seconds) for body in found]

    def _own(self, number: str) -> dict[str, Any]:
        """Return the schedule's job under a name of the test's, with places below the schedule's output."""
        job = json.loads(json.dumps(self._job))
        stem = str(job["TransformJobName"]).partition("-<")[0]
        job["TransformJobName"] = f"{stem}-{number}"[:_LONGEST_NAME]
        # The folder of a single job, which the scheduler would name, is left out.
        place = f"{job['TransformOutput']['S3OutputPath'].rpartition('/')[0]}/test/{number}"
        job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] = f"{place}/input/"
        job["TransformOutput"]["S3OutputPath"] = f"{place}/answers"
        job.pop("Tags", None)
        return dict(job)

    def _wait(self, name: str) -> None:
        client = self.connection.client("sagemaker")
        deadline, pause = time.monotonic() + JOB_SECONDS, _FIRST_PAUSE_SECONDS
        while True:
            described = client.describe_transform_job(TransformJobName=name)
            if described["TransformJobStatus"] not in _RUNNING:
                break
            if time.monotonic() > deadline:
                client.stop_transform_job(TransformJobName=name)
                raise NoAnswerError(f"{name} is still running after {JOB_SECONDS:g} seconds", True)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        if described["TransformJobStatus"] != "Completed":
            reason = " ".join(str(described.get("FailureReason", "no reason given")).split())
            raise NoAnswerError(f"{name} is {described['TransformJobStatus']}: {reason}")


def _place(uri: str) -> dict[str, str]:
    parts = urlsplit(uri)
    return {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}


def _joined(body: bytes) -> bytes:
    """Return one answer for all rows of an object: a job writes a line for each part that it made of it."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        predictions = [one for line in lines for one in line["predictions"]]
    except (ValueError, KeyError, TypeError):
        return body  # whoever compares it says what is wrong with it
    return json.dumps({"predictions": predictions}, ensure_ascii=False).encode()
