"""A pipeline at work: which execution may enter which stage, and what follows at its end. Runs no action itself.

One lock for each pipeline guards all of its state; a stage that an execution has entered has a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .execution import (
    ABANDONED,
    ALIVE,
    CANCELLED,
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    SUPERSEDED,
    ActionRun,
    Execution,
    StageRun,
    now,
)
from .news import News
from .questions import Questions

PARALLEL = "PARALLEL"
# Executions of one pipeline that may be under way at once.
AT_ONCE = 50

Runner = Callable[["Line", Execution, dict[str, Any]], ActionRun]


class TooMany(Exception):
    """As many executions as there may be are under way."""


@dataclass
class Transition:
    """Whether executions may pass, and who said so last."""

    enabled: bool = True
    by: str = ""
    at: datetime | None = None
    reason: str = ""


@dataclass
class Station:
    """A stage of the pipeline as it is now: who is in it, who waits in front of it, and what it did last."""

    name: str
    inside: list[Execution] = field(default_factory=list)
    waiting: list[Execution] = field(default_factory=list)
    last: Execution | None = None
    runs: dict[str, ActionRun] = field(default_factory=dict)
    inbound: Transition = field(default_factory=Transition)
    outbound: Transition = field(default_factory=Transition)


class Line:
    """One pipeline and its executions, oldest first.

    Args:
        declared: the checked declaration, with its version.
        begin: begins an attempt of an action in a thread of its own, and returns what is known of it. Called under
            the lock; the attempt takes the lock to say how it ends (:meth:`ended`).
    """

    def __init__(self, declared: dict[str, Any], arn: str, news: News, begin: Runner) -> None:
        self.declared, self.arn = declared, arn
        self.created = self.updated = now()
        self.lock = threading.Condition(threading.RLock())
        self.executions: list[Execution] = []
        self.questions = Questions()
        self.stations = [Station(stage["name"]) for stage in declared["stages"]]
        self.tokens: dict[str, str] = {}
        self._news, self._begin = news, begin

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.declared["name"])

    def station(self, name: str) -> Station | None:
        """A stage by its name; None if there is none."""
        return next((station for station in self.stations if station.name == name), None)

    def execution(self, identifier: str) -> Execution | None:
        """An execution by its id; None if there is none."""
        return next((execution for execution in self.executions if execution.id == identifier), None)

    # ------------------------------------------------------------------------------------------------ from outside

    def start(
        self, values: dict[str, str], trigger: tuple[str, str], overrides: dict[str, dict[str, str]], missing: list[str]
    ) -> Execution:
        """A new execution; one that lacks the value of a variable fails at once.

        Raises:
            TooMany: 50 are under way.
        """
        with self.lock:
            if sum(execution.status in ALIVE for execution in self.executions) >= AT_ONCE:
                raise TooMany
            execution = Execution(len(self.executions), self.declared, values, trigger, overrides)
            self.executions.append(execution)
            self._news.execution(execution)
            if missing:
                execution.summary = f"No value for the variable(s) {', '.join(missing)}, which have no default."
                self._finish(execution, FAILED)
            else:
                self._arrive(execution, self.stations[0])
            return execution

    def redeclare(self, declared: dict[str, Any]) -> None:
        """Takes a new declaration; what was under way with the old one is cancelled."""
        with self.lock:
            before = {station.name: station for station in self.stations}
            for execution in reversed(self.executions):  # who waits first, so that nobody moves up
                if execution.status in ALIVE:
                    execution.summary = "The pipeline's definition was updated before the execution could be completed."
                    self._break_off(execution, CANCELLED)
            self.declared, self.updated = declared, now()
            self.stations = [before.get(stage["name"], Station(stage["name"])) for stage in declared["stages"]]

    def close(self) -> None:
        """Nothing goes on: the pipeline is deleted."""
        with self.lock:
            for execution in reversed(self.executions):
                if execution.status in ALIVE:
                    self._break_off(execution, CANCELLED)

    def stop(self, execution: Execution, reason: str, *, abandon: bool) -> None:
        """Stops an execution: when its running actions have ended, or at once."""
        with self.lock:
            execution.stop_reason = reason
            if abandon or not self._inside(execution):
                self._break_off(execution, STOPPED)
                return
            self._set(execution, STOPPING)
            for station in self._inside(execution):
                execution.stages[station.name].status = STOPPING
                self._news.stage(execution, station.name, execution.stages[station.name])

    def retry(self, execution: Execution, station: Station, *, everything: bool) -> None:
        """Runs again what failed in a stage, or all of it."""
        with self.lock:
            stage = execution.stages[station.name]
            kept = {} if everything else {name: run for name, run in stage.actions.items() if run.status == SUCCEEDED}
            execution.stages[station.name] = StageRun(attempts=stage.attempts + 1, actions=kept)
            execution.over = threading.Event()
            execution.stop_reason, execution.summary = None, ""
            execution.attempts += 1
            execution.status, execution.updated = IN_PROGRESS, now()
            self._news.execution(execution, "RESUMED")
            self._arrive(execution, station)

    def transition(self, station: Station, kind: str, changed: Transition) -> None:
        """Opens or closes the way into a stage or out of it."""
        with self.lock:
            if kind == "Inbound":
                station.inbound = changed
            else:
                station.outbound = changed
            self._advance()

    def ended(self, execution: Execution, run: ActionRun, keep: Callable[[], str]) -> None:
        """An attempt of an action has ended; if somebody waits for it, ``keep`` notes how, and answers its status."""
        with self.lock:
            if run.status == IN_PROGRESS:
                run.status, run.changed = keep(), now()
                self._news.action(execution, run)
                self.lock.notify_all()

    # ------------------------------------------------------------------------------------------------ between stages

    def _inside(self, execution: Execution) -> list[Station]:
        return [station for station in self.stations if execution in station.inside]

    def _arrive(self, execution: Execution, station: Station) -> None:
        """The execution waits in front of a stage, and goes in if it may."""
        station.waiting.append(execution)
        self._advance()
        if execution.mode != "SUPERSEDED" or len(station.waiting) < 2:
            return
        newest = max(station.waiting, key=lambda e: e.number)
        for older in [e for e in station.waiting if e is not newest]:
            station.waiting.remove(older)
            older.summary = f"Superseded by {newest.id} in front of stage {station.name}."
            self._finish(older, SUPERSEDED)

    def _advance(self) -> None:
        """Lets in whoever may go on, from the last stage to the first, so that a freed stage is seen."""
        for position in reversed(range(len(self.stations))):
            station = self.stations[position]
            open_ = station.inbound.enabled and (position == 0 or self.stations[position - 1].outbound.enabled)
            while open_ and station.waiting and self._has_room(station):
                self._enter(station.waiting.pop(0), station)

    def _has_room(self, station: Station) -> bool:
        return not station.inside or station.waiting[0].mode == PARALLEL

    def _enter(self, execution: Execution, station: Station) -> None:
        station.inside.append(execution)
        station.last = execution
        stage = execution.stages.setdefault(station.name, StageRun())
        stage.status, stage.started, execution.updated = IN_PROGRESS, now(), now()
        self._news.stage(execution, station.name, stage, "RESUMED" if stage.attempts > 1 else "")
        threading.Thread(
            target=self._stage, args=(execution, station, stage), daemon=True, name=f"{self.name}-{station.name}"
        ).start()

    def _finish(self, execution: Execution, status: str) -> None:
        self._set(execution, status)
        execution.over.set()

    def _set(self, execution: Execution, status: str) -> None:
        execution.status, execution.updated = status, now()
        self._news.execution(execution)
        self.lock.notify_all()

    def _break_off(self, execution: Execution, status: str) -> None:
        """Ends an execution wherever it is; nobody waits for its actions any more."""
        for station in self.stations:
            if execution in station.waiting:
                station.waiting.remove(execution)
            if execution not in station.inside:
                continue
            station.inside.remove(execution)
            stage = execution.stages[station.name]
            for run in stage.actions.values():
                if run.status == IN_PROGRESS:
                    run.status, run.changed = ABANDONED, now()
                    self._news.action(execution, run)
            stage.status = status
            self._news.stage(execution, station.name, stage)
        self._finish(execution, status)
        self._advance()

    # ------------------------------------------------------------------------------------------------ inside a stage

    def _stage(self, execution: Execution, station: Station, stage: StageRun) -> None:
        """Runs a stage's actions: those of one run order side by side, one order after another."""
        declared = execution.stage(station.name)["actions"]
        with self.lock:
            for order in sorted({action["runOrder"] for action in declared}):
                for action in declared:
                    if action["runOrder"] == order and action["name"] not in stage.actions:
                        self._act(execution, station, stage, action)
                while self._works(execution, station, stage):
                    self.lock.wait()
                if execution not in station.inside or stage.status == STOPPING or self._failed(stage):
                    break
            if execution in station.inside:
                self._leave(execution, station, stage)

    def _act(self, execution: Execution, station: Station, stage: StageRun, action: dict[str, Any]) -> None:
        run = self._begin(self, execution, {**action, "stage": station.name})
        stage.actions[run.name] = station.runs[run.name] = run
        execution.history.append(run)
        self._news.action(execution, run)

    def _works(self, execution: Execution, station: Station, stage: StageRun) -> bool:
        running = any(run.status == IN_PROGRESS for run in stage.actions.values())
        return running and execution in station.inside

    @staticmethod
    def _failed(stage: StageRun) -> list[ActionRun]:
        return [run for run in stage.actions.values() if run.status == FAILED]

    def _leave(self, execution: Execution, station: Station, stage: StageRun) -> None:
        station.inside.remove(execution)
        failed = self._failed(stage)
        stage.status = FAILED if failed else STOPPED if stage.status == STOPPING else SUCCEEDED
        self._news.stage(execution, station.name, stage)
        position = self.stations.index(station)
        if stage.status != SUCCEEDED:
            names = ", ".join(f"{station.name}/{run.name}" for run in failed)
            execution.summary = f"Failed in {names}." if failed else ""
            # Who asked for a stop gets one, whatever became of the actions that were waited for.
            self._finish(execution, STOPPED if execution.status == STOPPING else FAILED)
        elif position + 1 < len(self.stations):
            self._arrive(execution, self.stations[position + 1])
        else:
            self._finish(execution, SUCCEEDED)
        self._advance()
