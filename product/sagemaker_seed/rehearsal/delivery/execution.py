"""What is known of a pipeline's executions, their stages and actions. Decides nothing and runs nothing."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

IN_PROGRESS, SUCCEEDED, FAILED, ABANDONED = "InProgress", "Succeeded", "Failed", "Abandoned"
STOPPING, STOPPED, SUPERSEDED, CANCELLED = "Stopping", "Stopped", "Superseded", "Cancelled"
ALIVE = {IN_PROGRESS, STOPPING}


def now() -> datetime:
    """The time, as answers give it."""
    return datetime.now(UTC)


def new_id() -> str:
    """An identifier as executions, actions and approvals have."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Artifact:
    """A zip in the artifact store, and the revision of the source that it was made from, if it was."""

    name: str
    bucket: str
    key: str
    revision: str = ""


@dataclass(frozen=True)
class Revision:
    """What a source action found."""

    id: str
    summary: str
    url: str
    created: datetime


@dataclass
class ActionRun:
    """One attempt of an action; ``status`` is AWS's."""

    execution: str
    version: int
    stage: str
    declared: dict[str, Any]
    role: str | None
    id: str = field(default_factory=new_id)
    status: str = IN_PROGRESS
    started: datetime = field(default_factory=now)
    changed: datetime = field(default_factory=now)
    summary: str = ""
    token: str = ""
    updated_by: str = ""
    external_id: str = ""
    external_url: str = ""
    log_stream: str = ""
    error: dict[str, str] | None = None
    resolved: dict[str, str] = field(default_factory=dict)
    inputs: list[Artifact] = field(default_factory=list)
    outputs: list[Artifact] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    revision: Revision | None = None

    @property
    def name(self) -> str:
        """The action's name, which is unique in its stage."""
        return str(self.declared["name"])


@dataclass
class StageRun:
    """What became of a stage in one execution; ``actions`` has the last attempt of each action."""

    status: str = IN_PROGRESS
    attempts: int = 1
    started: datetime = field(default_factory=now)
    actions: dict[str, ActionRun] = field(default_factory=dict)


@dataclass
class Execution:
    """One execution of a pipeline as it was declared when it started; ``history`` has every attempt of every action."""

    number: int
    declared: dict[str, Any]
    values: dict[str, str]
    trigger: tuple[str, str]
    overrides: dict[str, dict[str, str]]
    id: str = field(default_factory=new_id)
    status: str = IN_PROGRESS
    summary: str = ""
    stop_reason: str | None = None
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stages: dict[str, StageRun] = field(default_factory=dict)
    history: list[ActionRun] = field(default_factory=list)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)
    attempts: int = 1
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def version(self) -> int:
        """The version of the declaration."""
        return int(self.declared["version"])

    @property
    def mode(self) -> str:
        """How it shares the stages with other executions."""
        return str(self.declared["executionMode"])

    def stage(self, name: str) -> dict[str, Any]:
        """The declaration of a stage."""
        return next(dict(stage) for stage in self.declared["stages"] if stage["name"] == name)
