"""What an action has to act with: its configuration, its artifacts, whoever it acts as, and a way to wait."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..ground import Actor, Ground
from . import artifacts
from .artifacts import Store
from .execution import ActionRun, Artifact, Revision, now
from .failure import CONFIGURATION, TIMED_OUT, ActionAbandoned, ActionFailed
from .questions import Questions

POLL_SECONDS = 0.03
# Builds and stacks say when they end: looking as well is for one that ends without a word.
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What an action that succeeded leaves behind."""

    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Artifact, ...] = ()
    summary: str = ""
    revision: Revision | None = None


@dataclass(frozen=True)
class Job:
    """One attempt of an action, as its executor sees it.

    Attributes:
        actor: the pipeline's role, or the action's own, assumed by the pipeline's.
        owner: the pipeline's role in any case.
        inputs: the input artifacts, in the order of the declaration.
        override: the source revision that the execution was started with, by its type; empty if it was not.
        timeout: seconds until the action fails by itself.
        over: set when nobody waits for the execution any more.
    """

    ground: Ground
    actor: Actor
    owner: Actor
    account: str
    region: str
    partition: str
    pipeline: str
    run: ActionRun
    store: Store
    inputs: tuple[Artifact, ...]
    override: Mapping[str, str]
    timeout: float
    over: threading.Event
    questions: Questions

    @property
    def configuration(self) -> Mapping[str, str]:
        """The action's configuration, with variables resolved."""
        return self.run.resolved

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the output artifacts."""
        return tuple(output["name"] for output in self.run.declared["outputArtifacts"])

    @property
    def host(self) -> str:
        """The console's host, for links."""
        return f"https://{self.region}.console.aws.amazon.com"

    def client(self, service: str) -> Any:
        """A client of whoever acts."""
        return self.ground.client(service, self.actor, self.region)

    def owners_client(self, service: str) -> Any:
        """A client of the pipeline's role."""
        return self.ground.client(service, self.owner, self.region)

    def input(self, name: str) -> Artifact:
        """An input artifact by its name.

        Raises:
            ActionFailed: the action does not have it.
        """
        for artifact in self.inputs:
            if artifact.name == name:
                return artifact
        raise ActionFailed(f"Artifact [{name}] is not an input artifact of action [{self.run.name}].", CONFIGURATION)

    def file(self, reference: str) -> str:
        """The text of a file that ``Artifact::path`` names."""
        name, _, path = reference.partition("::")
        return artifacts.read(self.client("s3"), self.input(name), path)

    def wait(self, check: Callable[[], Any]) -> Any:
        """What ``check`` answers as soon as that is not None.

        Raises:
            ActionFailed: the action's time is up.
            ActionAbandoned: the execution is over.
        """
        return self._wait(check, lambda: self.over.wait(POLL_SECONDS))

    def follow(self, check: Callable[[], Any], kind: str, patience: float = PATIENCE_SECONDS) -> Any:
        """The same for what says so when it changes, so that ``check``, which calls an API, is not asked all the time.

        Args:
            kind: the detail type of the event that says so.
            patience: seconds after which ``check`` is asked without having heard anything.

        Raises:
            ActionFailed: the action's time is up.
            ActionAbandoned: the execution is over.
        """
        seen = 0

        def pause() -> bool:
            nonlocal seen
            seen = self.ground.await_event([kind], seen, patience)
            return self.over.is_set()

        return self._wait(check, pause)

    def _wait(self, check: Callable[[], Any], pause: Callable[[], bool]) -> Any:
        deadline = time.monotonic() + self.timeout
        while (answer := check()) is None:
            if pause():
                raise ActionAbandoned
            if time.monotonic() > deadline:
                raise ActionFailed(f"The action did not end within {self.timeout / 60:g} minutes.", TIMED_OUT)
        return answer

    def note(self, **changes: Any) -> None:
        """Makes something known while the action runs, such as the id of a build."""
        for name, value in changes.items():
            setattr(self.run, name, value)
        self.run.changed = now()


def as_json(text: str, what: str) -> Any:
    """The content of a JSON text.

    Raises:
        ActionFailed: it is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ActionFailed(f"{what} is not valid JSON: {error}", CONFIGURATION) from None


def moment(value: datetime | float | str) -> datetime:
    """A time as git or an API tells it; the present if it cannot be read."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromtimestamp(float(str(value).split()[0]), now().tzinfo)
    except (ValueError, IndexError, OSError):
        return now()
