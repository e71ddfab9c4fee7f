"""Faults that a rehearsal puts in place: calls that are refused, to see what failure looks like. Chooses none."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

from .wire import AwsError, Request

MESSAGE = "This call was made to fail by the rehearsal."


@dataclass(frozen=True)
class Fault:
    """A call that fails the next times that it is made in an account.

    Attributes:
        code: AWS's code of the error, such as one that an SDK takes for a reason to try again.
    """

    service: str
    operation: str
    account: str
    code: str = "InternalFailure"
    times: int = 1


class Faults:
    """The faults of one server."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str], list[Fault]] = {}
        self._met = 0
        self._lock = threading.Lock()

    def add(self, body: bytes) -> dict[str, int]:
        """Puts one in place, given as a JSON object of its fields; says how many calls will be refused."""
        fault = Fault(**json.loads(body))
        with self._lock:
            place = (fault.service, fault.operation, fault.account)
            self._waiting.setdefault(place, []).extend([fault] * fault.times)
            return {"waiting": self._count()}

    def state(self) -> dict[str, int]:
        """Says how many calls will be refused, and how many have been."""
        with self._lock:
            return {"waiting": self._count(), "met": self._met}

    def meet(self, request: Request) -> None:
        """Lets a request pass, unless a fault waits for it.

        Raises:
            AwsError: the code of the fault, said to be the rehearsal's own doing.
        """
        with self._lock:
            faults = self._waiting.get((request.service, request.operation, request.caller.account))
            if not faults:
                return
            fault = faults.pop(0)
            self._met += 1
        raise AwsError(fault.code, MESSAGE, 400)

    def _count(self) -> int:
        return sum(len(faults) for faults in self._waiting.values())
