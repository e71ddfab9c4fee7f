"""A person beside the pipelines: follows what has begun, approves what asks, and reads the log of what failed."""

from __future__ import annotations

from typing import Any

from ...errors import SeedError
from . import builds, runs
from .journey import Journey


def follow_to_approval(journey: Journey) -> list[runs.Run]:
    """Follows what has begun until it waits for a person.

    Raises:
        SeedError: an execution failed, or ended without asking anybody.
    """
    done = journey.follower.follow(journey.say, journey.doing)
    for run in done:
        refuse_failure(journey, run)
    if not any(run.waits for run in done):
        if journey.options.product is None:
            raise SeedError("production was reached without a person's approval")
        journey.say("nobody was asked: production was reached without a person's approval")
    return done


def go_on(journey: Journey) -> list[runs.Run]:
    """Approves what waits, and follows it until it waits for a person again, at a later stage.

    Raises:
        SeedError: an execution failed, or ended without asking anybody.
    """
    client = journey.as_person("codepipeline")
    for run in journey.follower.follow(journey.say, journey.doing):
        if run.waits:
            _approve(journey, client, run)
    return follow_to_approval(journey)


def confirm(journey: Journey, *, expect: int = 1, forgive: bool = False) -> list[runs.Run]:
    """Approves what waits, as often as it asks, and follows it to its end.

    Args:
        expect: how many executions must have begun since the last mark.
        forgive: whether one may fail.

    Raises:
        SeedError: an execution failed.
    """
    client = journey.as_person("codepipeline")
    while True:
        done = journey.follower.follow(journey.say, journey.doing, expect=expect)
        for run in () if forgive else done:
            refuse_failure(journey, run)
        waiting = [run for run in done if run.waits]
        if not waiting:
            journey.follower.mark()
            return done
        for run in waiting:
            _approve(journey, client, run)


def _approve(journey: Journey, client: Any, run: runs.Run) -> None:
    state = client.get_pipeline_state(name=run.pipeline)
    for stage in state["stageStates"]:
        if stage.get("latestExecution", {}).get("pipelineExecutionId") != run.id:
            continue
        for action in stage["actionStates"]:
            latest = action.get("latestExecution", {})
            if latest.get("status") != "InProgress" or not latest.get("token"):
                continue
            client.put_approval_result(
                pipelineName=run.pipeline,
                stageName=stage["stageName"],
                actionName=action["actionName"],
                token=latest["token"],
                result={"status": "Approved", "summary": "Approved in a rehearsal"},
            )
            journey.follower.decided(run, stage["stageName"], action["actionName"])
            journey.say(f"{runs.short(run.pipeline):<7} {stage['stageName']}/{action['actionName']} approved")


def refuse_failure(journey: Journey, run: runs.Run) -> None:
    """Shows the log of what failed, and ends the rehearsal for it.

    Raises:
        SeedError: the execution failed; the message names the action and what it said.
    """
    failed = run.failed
    if failed is None and run.status in {"Succeeded", "InProgress", "Superseded"}:
        return
    explain(journey, run)
    raise SeedError(failure(run))


def failure(run: runs.Run) -> str:
    """Where an execution failed, and what was said there."""
    failed = run.failed
    if failed is None:
        return f"{run.pipeline}: {run.status}"
    return f"{run.pipeline}: {failed.stage}/{failed.name} failed: {failed.said or 'nothing says why'}"


def explain(journey: Journey, run: runs.Run) -> None:
    """The log of a failed build, where a person would look for it."""
    failed = run.failed
    if failed is None or failed.provider != "CodeBuild" or not failed.external:
        return
    described = builds.describe(journey.client("codebuild"), journey.client("logs"), failed.external)
    for line in builds.failure(described):
        journey.say(f"| {line}")
