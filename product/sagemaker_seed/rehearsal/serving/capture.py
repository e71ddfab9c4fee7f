"""Data capture: samples invocations and writes them to S3 as the model's role. Looks at no content."""

from __future__ import annotations

import base64
import json
import queue
import sys
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..jobs import storage
from ..jobs.failure import StepFailure
from ..jobs.storage import Aws

ENCODINGS = {"CsvContentTypes": "CSV", "JsonContentTypes": "JSON"}
MODES = {
    "Input": ("endpointInput",),
    "Output": ("endpointOutput",),
    "InputAndOutput": ("endpointInput", "endpointOutput"),
}
GATHER_SECONDS = 0.1
LINES_AT_ONCE = 1000


@dataclass(frozen=True)
class Exchange:
    """An invocation that was answered: content type and body of both sides, and the ids that the caller gave it."""

    sent: tuple[str, bytes]
    answered: tuple[str, bytes]
    attributes: str = ""
    inference: str = ""


class Capture:
    """What one variant of an endpoint captures; every so many-th invocation, so that tests can count on it."""

    def __init__(self, aws: Aws, config: Mapping[str, Any], endpoint: str, variant: str) -> None:
        self._aws, self._config = aws, config
        self._prefix = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}"
        self._saved = 0
        self._lock = threading.Lock()
        self._taken: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True, name=f"capture of {endpoint}")
        self._writer.start()

    def take(self, exchange: Exchange) -> None:
        """Captures an invocation if it is in the sample."""
        with self._lock:
            self._saved += int(self._config["InitialSamplingPercentage"])
            if self._saved < 100:
                return
            self._saved -= 100
        self._taken.put(self._record(exchange))

    def close(self) -> None:
        """Writes what is left."""
        self._taken.put(None)
        self._writer.join(10)

    def _record(self, exchange: Exchange) -> dict[str, Any]:
        sides = {"endpointInput": ("INPUT", *exchange.sent), "endpointOutput": ("OUTPUT", *exchange.answered)}
        wanted = {side for option in self._config["CaptureOptions"] for side in MODES[option["CaptureMode"]]}
        attributes = {"customAttributes": [exchange.attributes]} if exchange.attributes else {}
        inference = {"inferenceId": exchange.inference} if exchange.inference else {}
        return {
            "captureData": {side: self._side(*sides[side]) for side in sorted(wanted)},
            "eventMetadata": {
                "eventId": str(uuid.uuid4()),
                **attributes,
                **inference,
                "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }

    def _side(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        headers = self._config.get("CaptureContentTypeHeader") or {}
        plain = content_type.partition(";")[0].strip()
        encoding = next((name for key, name in ENCODINGS.items() if plain in headers.get(key, ())), "BASE64")
        data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
        return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}

    def _write(self) -> None:
        ended = False
        while not ended:
            gathered = [self._taken.get()]
            with suppress(queue.Empty):
                while gathered[-1] is not None and len(gathered) < LINES_AT_ONCE:
                    gathered.append(self._taken.get(timeout=GATHER_SECONDS))
            ended = gathered[-1] is None
            if lines := [record for record in gathered if record is not None]:
                self._put(lines)

    def _put(self, lines: list[dict[str, Any]]) -> None:
        now = datetime.now(UTC)
        uri = f"{self._prefix}/{now:%Y/%m/%d/%H}/{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        text = "".join(json.dumps(line) + "\n" for line in lines)
        key_id = self._config.get("KmsKeyId")
        sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
        try:
            bucket, key = storage.split(uri)
            self._aws.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode(), **sealed)
        except (ClientError, BotoCoreError, StepFailure) as error:
            print(f"captured data for {uri} lost: {error}", file=sys.stderr, flush=True)
