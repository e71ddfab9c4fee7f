"""Remembers which statements of which policies let something happen, so that one can ask which were never needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable


class Grants:
    """Of one embedded AWS: caller's ARN, policy and statement -> the actions that it allowed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: dict[tuple[str, str, str], dict[str, int]] = {}

    def note(self, principal: str, granted_by: Iterable[tuple[str, str]], action: str) -> None:
        """Every statement that allowed an action counts, also where one would have been enough."""
        with self._lock:
            for policy, statement in granted_by:
                actions = self._actions.setdefault((principal, policy, statement), {})
                actions[action] = actions.get(action, 0) + 1

    def listed(self) -> list[dict[str, object]]:
        """As data: ``account``, ``principal``, ``policy``, ``statement`` (Sid or number from 1), ``actions``."""
        with self._lock:
            return [
                {
                    "account": principal.split(":")[4],
                    "principal": principal,
                    "policy": policy,
                    "statement": statement,
                    "actions": dict(actions),
                }
                for (principal, policy, statement), actions in sorted(self._actions.items())
            ]
