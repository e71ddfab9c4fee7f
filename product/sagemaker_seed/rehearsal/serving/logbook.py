"""Copies a container's log into CloudWatch Logs while it is written, as the model's role. Reads nothing back."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from ..jobs.storage import Aws

PAUSE_SECONDS = 0.25
BYTES_AT_ONCE = 256 * 1024


class Logbook:
    """One stream of a log group. What cannot be written is lost, as on AWS, and the server's log says why."""

    def __init__(self, aws: Aws, group: str, stream: str, file: Path) -> None:
        self._aws, self._group, self._stream, self._file = aws, group, stream, file
        self._offset, self._opened, self._closed = 0, False, False
        self._lock = threading.Lock()
        self._written = threading.Event()
        threading.Thread(target=self._follow, daemon=True, name=f"log of {stream}").start()

    @property
    def last_line(self) -> str:
        """The last line of the log that is not empty."""
        if not self._file.is_file():
            return ""
        lines = self._file.read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def note(self) -> None:
        """Something may have been written; it is copied before long."""
        self._written.set()

    def close(self) -> None:
        """Copies the rest, now."""
        self._closed = True
        self._written.set()
        self._copy()

    def _follow(self) -> None:
        while not self._closed:
            self._written.wait()
            time.sleep(PAUSE_SECONDS)
            self._written.clear()
            if not self._closed:
                self._copy()

    def _copy(self) -> None:
        with self._lock:
            for _ in range(1000):
                lines = self._new_lines()
                if not lines:
                    return
                try:
                    self._put(lines)
                except (ClientError, BotoCoreError) as error:
                    print(f"log of {self._group} {self._stream} lost: {error}", file=sys.stderr, flush=True)

    def _new_lines(self) -> list[str]:
        """Whole lines that were not copied yet; the last without an end too, once nothing more is written."""
        if not self._file.is_file():
            return []
        with self._file.open("rb") as file:
            file.seek(self._offset)
            content = file.read(BYTES_AT_ONCE)
        if not self._closed and len(content) < BYTES_AT_ONCE:
            content = content[: content.rfind(b"\n") + 1]
        self._offset += len(content)
        return content.decode(errors="replace").splitlines()

    def _put(self, lines: list[str]) -> None:
        logs = self._aws.client("logs")
        if not self._opened:
            with suppress(logs.exceptions.ResourceAlreadyExistsException):  # the group of other instances
                logs.create_log_group(logGroupName=self._group)
            with suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
            self._opened = True
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line or " "} for line in lines]
        logs.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=events)
