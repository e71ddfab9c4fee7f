"""Remembers which statements of which policies let something happen, and what nobody's policies let happen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .attached import kind_of


@dataclass
class _Statement:
    """What one statement has done: action -> how often, and how often no other statement would have done as well."""

    actions: dict[str, int] = field(default_factory=dict)
    alone: int = 0


class Grants:
    """Of one embedded AWS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: dict[tuple[str, str, str], _Statement] = {}
        self._refusals: list[dict[str, str]] = []

    def note(self, principal: str, granted_by: Sequence[tuple[str, str]], action: str) -> None:
        """Every statement that allowed an action counts, also where one would have been enough."""
        for policy, statement in granted_by:
            self._note((principal, policy, statement), action, alone=len(granted_by) == 1)

    def note_attached(self, holder: str, statement: str, action: str, *, alone: bool) -> None:
        """A statement of a resource's policy let somebody do something; ``alone``: nothing else would have."""
        self._note((holder, kind_of(holder), statement), action, alone=alone)

    def _note(self, key: tuple[str, str, str], action: str, *, alone: bool) -> None:
        with self._lock:
            noted = self._statements.setdefault(key, _Statement())
            noted.actions[action] = noted.actions.get(action, 0) + 1
            noted.alone += alone

    def refuse(self, principal: str, action: str, resource: str, reason: str) -> None:
        """Nothing allowed this, or something denied it."""
        with self._lock:
            self._refusals.append({"principal": principal, "action": action, "resource": resource, "reason": reason})

    def listed(self) -> list[dict[str, Any]]:
        """As data, what ``embedded.Grant`` says."""
        with self._lock:
            return [
                {
                    "account": holder.split(":")[4],
                    "holder": holder,
                    "policy": policy,
                    "statement": statement,
                    **asdict(noted),
                }
                for (holder, policy, statement), noted in sorted(self._statements.items())
            ]

    def refused(self) -> list[dict[str, str]]:
        """As data, what ``embedded.Refusal`` says; oldest first."""
        with self._lock:
            return list(self._refusals)
