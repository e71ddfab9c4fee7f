"""The open questions of manual approvals: who asks waits here for who answers. Asks nobody itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from .execution import new_id, now


@dataclass
class Question:
    """One question and what somebody answered, when they have."""

    token: str = field(default_factory=new_id)
    status: str = ""
    summary: str = ""
    by: str = ""
    answered: datetime | None = None


class Questions:
    """Those of one pipeline."""

    def __init__(self) -> None:
        self._open: dict[str, Question] = {}
        self._lock = threading.Lock()

    def ask(self) -> Question:
        """A new one; :meth:`close` it in any case."""
        question = Question()
        with self._lock:
            self._open[question.token] = question
        return question

    def close(self, question: Question) -> None:
        """Takes no answer any more."""
        with self._lock:
            del self._open[question.token]

    def answer(self, token: str, status: str, summary: str, by: str) -> datetime | None:
        """Keeps an answer and says when it was given; None if nobody asks, or somebody else was first."""
        with self._lock:
            question = self._open.get(token)
            if question is None or question.answered is not None:
                return None
            question.status, question.summary, question.by = status, summary, by
            question.answered = now()
            return question.answered
