"""Invokes an asynchronous endpoint: the request into S3, the answer out of S3; judges nothing."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from endpoint import OK, Answer, Connection, NoAnswerError, Ready, RealTime, Served

ACCEPT = "application/json"
ANSWER_SECONDS = 300.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
# How SageMaker writes the model's HTTP status into the object of a failure.
_STATUS = re.compile(r"error \(([45]\d\d)\)")
_NOT_THERE = frozenset({"NoSuchKey", "404"})


class Asynchronous(RealTime):
    """An endpoint with a queue; it is waited for, and looked at, like one that answers at once."""

    def __init__(self, connection: Connection, name: str, parameters: Mapping[str, str]) -> None:
        super().__init__(connection, name, parameters)
        self._output = ""

    def served(self, ready: Ready) -> Served:
        """Return what the endpoint runs, and see where it puts its answers."""
        found = super().served(ready)
        self._output = str(found.config["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"])
        return found

    def send(self, content_type: str, body: bytes) -> Answer:
        """Put a request beside the answers, have it queued, and wait for its answer or its failure."""
        from botocore.exceptions import BotoCoreError, ClientError

        from deploy.errors import one_line

        if not self._output:
            self.served(self.wait(ANSWER_SECONDS, _LONGEST_PAUSE_SECONDS))
        request = f"{self._output.rstrip('/')}/test/{uuid.uuid4()}"
        began = time.perf_counter()
        try:
            self._s3().put_object(**_place(request), Body=body)
            queued = self.connection.client("sagemaker-runtime").invoke_endpoint_async(
                EndpointName=self.name, ContentType=content_type, Accept=ACCEPT, InputLocation=request
            )
            return self._answer(queued, began)
        except (BotoCoreError, ClientError) as error:
            raise NoAnswerError(one_line(error)) from error

    def _answer(self, queued: Mapping[str, Any], began: float) -> Answer:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer = self._read(queued["OutputLocation"])
            if answer is not None:
                # Of an answer in S3 nothing says what it is: it is what was asked for.
                return Answer(OK, ACCEPT, answer, time.perf_counter() - began)
            failure = self._read(queued.get("FailureLocation", ""))
            if failure is not None:
                return _refused(failure.decode("utf-8", "replace"), time.perf_counter() - began)
            if time.perf_counter() - began > ANSWER_SECONDS:
                raise NoAnswerError(
                    f"neither {queued['OutputLocation']} nor a failure after {ANSWER_SECONDS:g} seconds", True
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _read(self, uri: str) -> bytes | None:
        if not uri:
            return None
        s3 = self._s3()
        try:
            return bytes(s3.get_object(**_place(uri))["Body"].read())
        except s3.exceptions.ClientError as error:
            if error.response["Error"].get("Code") in _NOT_THERE:
                return None
            raise

    def _s3(self) -> Any:
        return self.connection.client("s3")


def _place(uri: str) -> dict[str, str]:
    parts = urlsplit(uri)
    return {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}


def _refused(failure: str, seconds: float) -> Answer:
    """Return the answer that a failure stands for. Raises NoAnswerError if no status is in it."""
    message = " ".join(failure.split())
    status = _STATUS.search(message)
    if status is None:
        raise NoAnswerError(message)
    return Answer(int(status[1]), "", b"", seconds, message)
