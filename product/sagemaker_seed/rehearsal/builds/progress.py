"""How far a build has come: its phases, and what the end will show. Runs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

IN_PROGRESS = "IN_PROGRESS"


def now() -> datetime:
    """This moment, as the API writes it."""
    return datetime.now(UTC)


@dataclass
class Phase:
    """A phase that has begun."""

    name: str
    started: datetime
    status: str = ""
    ended: datetime | None = None
    contexts: list[dict[str, str]] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """As ``BatchGetBuilds`` shows it."""
        shown: dict[str, Any] = {"phaseType": self.name, "startTime": self.started}
        if self.ended is not None:
            shown |= {
                "phaseStatus": self.status,
                "endTime": self.ended,
                "durationInSeconds": round((self.ended - self.started).total_seconds()),
                "contexts": self.contexts or [{"statusCode": "", "message": ""}],
            }
        return shown


class Progress:
    """The phases of one build; written by its thread, read by whoever asks.

    Args:
        changed: called after each phase with its name and after the end, outside of the lock.
    """

    def __init__(self, changed: Callable[[Phase | None], None]) -> None:
        self.started = now()
        self.ended: datetime | None = None
        self.status = IN_PROGRESS
        self.resolved = ""
        self.artifacts: dict[str, Any] = {}
        self.secondary: list[dict[str, Any]] = []
        self.exported: list[dict[str, str]] = []
        self.reports: list[str] = []
        self.stop = threading.Event()
        self._phases: list[Phase] = []
        self._lock = threading.Lock()
        self._changed = changed

    def begin(self, name: str) -> None:
        """A phase begins."""
        with self._lock:
            self._phases.append(Phase(name, now()))

    def end(self, status: str, code: str = "", message: str = "") -> None:
        """The phase that runs ends."""
        with self._lock:
            phase = self._phases[-1]
            phase.ended, phase.status = now(), status
            phase.contexts = [{"statusCode": code, "message": message}]
        self._changed(phase)

    def finish(self, status: str) -> None:
        """The build ends."""
        with self._lock:
            self._phases.append(Phase("COMPLETED", now()))
            self.ended, self.status = now(), status
        self._changed(None)

    @property
    def phase(self) -> str:
        """The phase that runs, or ran last."""
        with self._lock:
            return self._phases[-1].name if self._phases else "SUBMITTED"

    def phases(self) -> list[dict[str, Any]]:
        """As ``BatchGetBuilds`` shows them."""
        with self._lock:
            return [phase.described() for phase in self._phases]

    def failures(self) -> list[Phase]:
        """The phases that did not succeed."""
        with self._lock:
            return [phase for phase in self._phases if phase.status not in ("", "SUCCEEDED")]
