"""Follows executions of CodePipeline's pipelines until they end or wait for a person. Starts none, decides nothing."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any

from ...errors import SeedError
from ..embedded import EmbeddedAws

# A pipeline says when it changes: looking as well is for one that changes without a word.
PATIENCE_SECONDS = 1.0
# What changes together is looked at once.
SETTLE_SECONDS = 0.03
CHANGES = ("CodePipeline Pipeline Execution State Change", "CodePipeline Action Execution State Change")
START_SECONDS = 20.0
TIMEOUT_SECONDS = 900.0
RUNNING = {"InProgress", "Stopping"}
QUESTION_WIDTH = 100


@dataclass
class Action:
    """An action of an execution, as far as it has come.

    Attributes:
        external: the id of what it started, such as a build's; empty if there is none.
        said: what it says about how it ended.
        asks: what it tells the person whom it asks, and the link that it gives; empty if it asks nobody.
        decided: whether a person has decided already, and the pipeline is about to take note.
    """

    stage: str
    name: str
    provider: str
    status: str
    began: datetime
    ended: datetime
    external: str
    said: str
    asks: tuple[str, str] = ("", "")
    decided: bool = False

    @property
    def seconds(self) -> float:
        """How long it took, or has been taking."""
        return (self.ended - self.began).total_seconds()

    @property
    def waits(self) -> bool:
        """Whether it is a person that it waits for."""
        return self.provider == "Manual" and self.status == "InProgress" and not self.decided


@dataclass
class Run:
    """An execution of a pipeline: its status, why it is there, and its actions in the order in which they began."""

    pipeline: str
    id: str
    status: str
    trigger: str
    began: datetime
    actions: list[Action] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether nothing of it goes on until a person has decided."""
        running = [a for a in self.actions if a.status == "InProgress"]
        return self.status == "InProgress" and bool(running) and all(a.waits for a in running)

    @property
    def settled(self) -> bool:
        """Whether it has ended, or waits for a person."""
        return self.status not in RUNNING or self.waits

    @property
    def ended(self) -> datetime:
        """When its last action ended; when it began, if it had none."""
        return max((action.ended for action in self.actions), default=self.began)

    @property
    def failed(self) -> Action | None:
        """The action that failed, if one did."""
        return next((a for a in self.actions if a.status in {"Failed", "Abandoned"}), None)


class Follower:
    """What has been seen of some pipelines, so that a next look finds what is new.

    Args:
        aws: where they are.
        account: whose they are.
        pipelines: their names.
    """

    def __init__(self, aws: EmbeddedAws, account: str, pipelines: Iterable[str]) -> None:
        self._aws, self._client = aws, aws.client("codepipeline", account)
        self._heard = 0
        self.pipelines = list(pipelines)
        self._seen: set[str] = set()
        self._decided: set[tuple[str, str, str]] = set()
        self._told: dict[tuple[str, str, str], str] = {}
        self._ended: dict[str, list[Action]] = {}

    def mark(self) -> None:
        """From here on, executions that exist already are old."""
        self._seen |= {run.id for run in self._listed()}

    def decided(self, run: Run, stage: str, action: str) -> None:
        """A person has decided on an action: it waits no longer, even if the pipeline has not taken note yet."""
        self._decided.add((run.id, stage, action))

    def follow(self, say: Callable[[str], None], doing: Callable[[str], None], *, expect: int = 1) -> list[Run]:
        """The executions since the last mark, once all of them have settled; oldest first.

        Args:
            say: hears a line for each action that ends.
            doing: hears what goes on.
            expect: how many executions must have begun.

        Raises:
            SeedError: nothing began, or it went on for too long.
        """
        began = time.monotonic()
        while True:
            runs = self.recent()
            for run in runs:
                self._tell(run, say)
            waited = time.monotonic() - began
            if len(runs) >= expect and all(run.settled for run in runs):
                return runs
            if len(runs) < expect and waited > START_SECONDS:
                names = ", ".join(self.pipelines)
                raise SeedError(f"{len(runs)} of {expect} executions began within {START_SECONDS:.0f} s in {names}")
            if waited > TIMEOUT_SECONDS:
                raise SeedError(f"a pipeline still runs after {TIMEOUT_SECONDS:.0f} s: {_going_on(runs)}")
            doing(_going_on(runs) or "waiting for a pipeline to start")
            self._heard = self._aws.await_event(CHANGES, self._heard, PATIENCE_SECONDS)
            time.sleep(SETTLE_SECONDS)

    def recent(self) -> list[Run]:
        """The executions since the last mark as they are now, oldest first."""
        runs = [self._followed(run) for run in self._listed() if run.id not in self._seen]
        return sorted(runs, key=lambda run: run.began)

    def everything(self) -> list[Run]:
        """Every execution that there is, oldest first, with its actions."""
        return sorted((self._followed(run) for run in self._listed()), key=lambda run: run.began)

    def _listed(self) -> list[Run]:
        """Every execution, without its actions."""
        found = []
        for pipeline in self.pipelines:
            answer = self._client.list_pipeline_executions(pipelineName=pipeline)
            for summary in answer["pipelineExecutionSummaries"]:
                run = Run(
                    pipeline,
                    summary["pipelineExecutionId"],
                    summary["status"],
                    summary.get("trigger", {}).get("triggerType", ""),
                    summary["startTime"],
                )
                found.append(run)
        return found

    def _followed(self, run: Run) -> Run:
        """The execution with its actions; of one that has ended they are what they were at the last look."""
        if run.status in RUNNING:
            self._ended.pop(run.id, None)  # it may be one that was retried
        elif run.id in self._ended:
            run.actions = self._ended[run.id]
            return run
        answer = self._client.list_action_executions(
            pipelineName=run.pipeline, filter={"pipelineExecutionId": run.id}, maxResults=100
        )
        run.actions = sorted(map(_action, answer["actionExecutionDetails"]), key=lambda action: action.began)
        for action in run.actions:
            action.decided = (run.id, action.stage, action.name) in self._decided
        if run.status not in RUNNING:
            self._ended[run.id] = run.actions
        return run

    def _tell(self, run: Run, say: Callable[[str], None]) -> None:
        for action in run.actions:
            key = (run.id, action.stage, f"{action.name} {action.began}")
            state = "waits" if action.waits else action.status
            if self._told.get(key) == state or state == "InProgress":
                continue
            self._told[key] = state
            say(f"{short(run.pipeline):<7} {line(action)}")
            if action.waits:
                for text in textwrap.wrap(action.asks[0], QUESTION_WIDTH):
                    say(f"{'':<7} | {text}")


def _action(detail: dict[str, Any]) -> Action:
    given, output = detail.get("input", {}), detail.get("output", {})
    result = output.get("executionResult", {})
    error = result.get("errorDetails", {}).get("message", "")
    asked = given.get("resolvedConfiguration", {})
    return Action(
        stage=detail["stageName"],
        name=detail["actionName"],
        provider=given.get("actionTypeId", {}).get("provider", ""),
        status=detail["status"],
        began=detail["startTime"],
        ended=detail["lastUpdateTime"],
        external=result.get("externalExecutionId", ""),
        said=_first_lines(error or result.get("externalExecutionSummary", "")),
        asks=(asked.get("CustomData", ""), asked.get("ExternalEntityLink", "")),
    )


def _first_lines(said: str) -> str:
    """What stands before the end of a log, in one line: the log has a place of its own."""
    lines = takewhile(lambda text: "last lines" not in text, said.splitlines())
    return " ".join(" ".join(lines).split())


def _going_on(runs: list[Run]) -> str:
    return "; ".join(
        f"{short(run.pipeline)} {action.stage}/{action.name} {action.provider}"
        for run in runs
        for action in run.actions
        if action.status == "InProgress"
    )


def short(pipeline: str) -> str:
    """The last part of a pipeline's name, which tells it from the project's others."""
    return pipeline.rpartition("-")[2]


def line(action: Action) -> str:
    """What is said of an action that has ended or waits."""
    where = f"{action.stage}/{action.name}"
    if action.waits:
        return f"{where:<21} waits for a person"
    # Of a build, the log is shown; here it would say no more than that it failed.
    tells = action.status != "Succeeded" and action.said and action.provider != "CodeBuild"
    said = f": {action.said}" if tells else ""
    return f"{where:<21} {action.status} in {action.seconds:.1f} s{said}"
