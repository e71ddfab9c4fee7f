"""The events of a pipeline as EventBridge gets them: executions, stages and actions that change their state."""

from __future__ import annotations

from typing import Any

from ..ground import Event, Ground
from .execution import ActionRun, Execution, StageRun

# The states of executions and stages by another name.
STATES = {"InProgress": "STARTED", "Cancelled": "CANCELED"}


class News:
    """Says what happens to one pipeline."""

    def __init__(self, ground: Ground, account: str, region: str, arn: str) -> None:
        self._ground, self._account, self._region, self._arn = ground, account, region, arn

    def execution(self, execution: Execution, state: str = "") -> None:
        """An execution has changed; ``state`` if it is not what its status says."""
        kind, detail = execution.trigger
        self._emit(
            "Pipeline",
            execution,
            state or _state(execution.status),
            {
                "start-time": _stamp(execution.started),
                "execution-trigger": {"trigger-type": kind, "trigger-detail": detail},
            },
        )

    def stage(self, execution: Execution, name: str, stage: StageRun, state: str = "") -> None:
        """A stage has."""
        more: dict[str, Any] = {"stage": name, "start-time": _stamp(stage.started)}
        self._emit("Stage", execution, state or _state(stage.status), more)

    def action(self, execution: Execution, run: ActionRun) -> None:
        """An action has."""
        result: dict[str, str] = {
            "external-execution-id": run.external_id,
            "external-execution-url": run.external_url,
            "external-execution-summary": (run.error or {}).get("message") or run.summary,
            "error-code": (run.error or {}).get("code", ""),
        }
        self._emit(
            "Action",
            execution,
            _state(run.status),
            {
                "stage": run.stage,
                "action": run.name,
                "action-execution-id": run.id,
                "start-time": _stamp(run.started),
                "region": self._region,
                "type": dict(run.declared["actionTypeId"]),
                "execution-result": {key: value for key, value in result.items() if value},
                "input-artifacts": [_place(artifact) for artifact in run.inputs],
                "output-artifacts": [_place(artifact) for artifact in run.outputs],
            },
        )

    def _emit(self, what: str, execution: Execution, state: str, more: dict[str, Any]) -> None:
        detail = {
            "pipeline": execution.declared["name"],
            "execution-id": execution.id,
            "version": execution.version,
            "state": state,
            "pipeline-execution-attempt": execution.attempts,
            **more,
        }
        kind = f"CodePipeline {what} Execution State Change"
        self._ground.emit(Event(self._account, self._region, "aws.codepipeline", kind, detail, (self._arn,)))


def _state(status: str) -> str:
    return STATES.get(status, status.upper())


def _stamp(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def _place(artifact: Any) -> dict[str, Any]:
    return {"name": artifact.name, "s3location": {"bucket": artifact.bucket, "key": artifact.key}}
