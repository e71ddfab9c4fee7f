"""Faults that a rehearsal puts in place: calls that are refused once, to see what failure looks like. Chooses none."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

from .wire import AwsError, Request

MESSAGE = "This call was made to fail by the rehearsal."


@dataclass(frozen=True)
class Fault:
    """A call that fails the next time that it is made in an account."""

    service: str
    operation: str
    account: str


class Faults:
    """The faults of one server."""

    def __init__(self) -> None:
        self._waiting: set[Fault] = set()
        self._met = 0
        self._lock = threading.Lock()

    def add(self, body: bytes) -> dict[str, int]:
        """Puts one in place, given as a JSON object of its fields; says how many wait."""
        fault = Fault(**json.loads(body))
        with self._lock:
            self._waiting.add(fault)
            return {"waiting": len(self._waiting)}

    def state(self) -> dict[str, int]:
        """Says how many wait, and how many have been met."""
        with self._lock:
            return {"waiting": len(self._waiting), "met": self._met}

    def meet(self, request: Request) -> None:
        """Lets a request pass, unless a fault waits for it.

        Raises:
            AwsError: ``InternalFailure``, said to be the rehearsal's own doing.
        """
        met = Fault(request.service, request.operation, request.caller.account)
        with self._lock:
            if met not in self._waiting:
                return
            self._waiting.remove(met)
            self._met += 1
        raise AwsError("InternalFailure", MESSAGE, 400)
