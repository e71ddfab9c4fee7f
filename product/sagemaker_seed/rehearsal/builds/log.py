"""The log of a build: a file that commands print to, brought to CloudWatch Logs while they do. Runs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .failure import BuildFailure

FLUSH_SECONDS = 0.2
BATCH_EVENTS = 10_000
BATCH_BYTES = 900_000
LINE_BYTES = 250_000
EVENT_OVERHEAD = 26


class Log:
    """A log file and, with ``client``, the stream that it goes to.

    Raises:
        BuildFailure: ``ACCESS_DENIED``, the role may not make the stream.
    """

    def __init__(self, path: Path, client: Any, *, group: str, stream: str, role: str, build: str) -> None:
        self.path = path
        self._client, self._group, self._stream = client, group, stream
        self._role, self._build = role, build
        self._sent, self._lock, self._ended = 0, threading.Lock(), threading.Event()
        self._refused: ClientError | None = None
        path.touch()
        if client is not None:
            self._open()
            threading.Thread(target=self._follow, daemon=True, name="log").start()

    def say(self, text: str) -> None:
        """Writes a line of CodeBuild's own."""
        moment = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"[Container] {moment} {line}\n" for line in text.splitlines()))

    def flush(self) -> None:
        """Sends what has been printed so far.

        Raises:
            BuildFailure: ``ACCESS_DENIED``, the role may not write to the stream.
        """
        if self._client is None:
            return
        with self._lock:
            if self._refused is None:
                self._send()
            if self._refused is not None:
                raise self._denied("write to", self._refused)

    def close(self) -> None:
        """Sends the rest; what cannot be sent has been said before."""
        self._ended.set()
        if self._client is not None:
            with self._lock:
                if self._refused is None:
                    self._send(whole=True)

    def _open(self) -> None:
        where = {"logGroupName": self._group, "logStreamName": self._stream}
        try:
            try:
                self._client.create_log_stream(**where)
            except self._client.exceptions.ResourceNotFoundException:
                with suppress(self._client.exceptions.ResourceAlreadyExistsException):  # another build was quicker
                    self._client.create_log_group(logGroupName=self._group)
                self._client.create_log_stream(**where)
        except ClientError as error:
            raise self._denied("create", error) from None

    def _denied(self, act: str, error: ClientError) -> BuildFailure:
        return BuildFailure(
            "ACCESS_DENIED",
            f"Service role {self._role} does not allow AWS CodeBuild to {act} Amazon CloudWatch Logs log streams for "
            f"build {self._build}. Error message: {error.response['Error'].get('Message', error)}",
        )

    def _follow(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            with self._lock:
                if self._refused is None and not self._ended.is_set():
                    self._send()

    def _send(self, *, whole: bool = False) -> None:
        with self.path.open("rb") as file:
            file.seek(self._sent)
            new = file.read()
        end = len(new) if whole else new.rfind(b"\n") + 1
        for events in _batches(new[:end]):
            try:
                self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=events)
            except ClientError as error:
                self._refused = error
                return
        self._sent += end


def _batches(text: bytes) -> Iterator[list[dict[str, Any]]]:
    now, events, size = int(time.time() * 1000), list[dict[str, Any]](), 0
    for line in text.split(b"\n")[: None if text and not text.endswith(b"\n") else -1]:
        message = line[:LINE_BYTES].decode(errors="replace").rstrip("\r") + "\n"
        weight = len(message.encode()) + EVENT_OVERHEAD
        if events and (size + weight > BATCH_BYTES or len(events) == BATCH_EVENTS):
            yield events
            events, size = [], 0
        events.append({"timestamp": now, "message": message})
        size += weight
    if events:
        yield events
