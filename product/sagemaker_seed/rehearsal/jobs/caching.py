"""Step caching: which successful steps of before can stand in for one that is to run. Runs nothing.

What counts as "the same arguments" follows the table of default cache keys in SageMaker's documentation on step
caching: outputs, instances, roles and names do not count, and neither does what is in the objects that a URI names.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .definition import Step

KEYS = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}


@dataclass(frozen=True)
class Hit:
    """A step that succeeded before: the execution it was in, what describes it, its ARN, and when it ended."""

    execution: str
    properties: Mapping[str, Any]
    arn: str
    ended: datetime


class Cache:
    """The successful steps of one pipeline."""

    def __init__(self) -> None:
        self._hits: dict[tuple[str, str, str], Hit] = {}
        self._lock = threading.Lock()

    def find(self, step: Step, arguments: Mapping[str, Any]) -> Hit | None:
        """The latest success of this step with the same arguments, if its cache is on and that is not too long ago."""
        if not step.cached or step.type not in KEYS:
            return None
        with self._lock:
            hit = self._hits.get(_key(step, arguments))
        too_old = hit and step.cache_lifetime is not None and datetime.now(UTC) - hit.ended > step.cache_lifetime
        return None if too_old else hit

    def keep(self, step: Step, arguments: Mapping[str, Any], hit: Hit) -> None:
        """Notes a success, whether or not the step's cache is on: it may be for the next execution."""
        if step.type in KEYS:
            with self._lock:
                self._hits[_key(step, arguments)] = hit


def _key(step: Step, arguments: Mapping[str, Any]) -> tuple[str, str, str]:
    counted = {name: arguments.get(name) for name in KEYS[step.type]}
    return step.name, step.type, hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
