"""How long the whole road takes, in how much memory; what each deployment after the first costs; twenty projects."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import psutil
from measure import verdict
from sagemaker_seed.console import Console
from sagemaker_seed.rehearsal.road import launch, models
from sagemaker_seed.rehearsal.road.following import confirm
from sagemaker_seed.rehearsal.road.journey import Journey, Options
from sagemaker_seed.rehearsal.road.walk import walk

COMMAND = Path(sys.executable).with_name("sagemaker-seed")
SAMPLE_SECONDS = 0.1
DEPLOYS = 5
PROJECTS = 20
ENDS = 3
"""So many launches at either end are compared by their medians."""


def used(process: psutil.Process) -> int:
    """The bytes that a process and all below it hold; what two of them share counts twice."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def road(folder: Path) -> tuple[float, float]:
    """Walks the road with the command, as anybody does; its seconds, and the most memory that it held, in MB."""
    folder.mkdir()
    began = time.perf_counter()
    with (folder / "road.log").open("w+") as log:
        command = subprocess.Popen([str(COMMAND), "rehearse", "--output", str(folder)], stdout=log, stderr=log)
        peak, watched = 0, psutil.Process(command.pid)
        while command.poll() is None:
            try:
                peak = max(peak, used(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(SAMPLE_SECONDS)
        if command.wait():
            log.seek(0)
            raise SystemExit(f"the rehearsal failed:\n{log.read()}")
    return time.perf_counter() - began, peak / 2**20


def deploys(folder: Path) -> list[tuple[float, float]]:
    """The seconds from the approval of another model to the end of the deployment in production, several times.

    Each with those of the security gate in it: how long it takes is up to a repository's own unit tests.
    """
    taken: list[tuple[float, float]] = []

    def more(journey: Journey) -> None:
        if not journey.endpoints:
            return  # the road has failed, and says so
        sagemaker = journey.as_person("sagemaker")
        for _ in range(DEPLOYS):
            package = _another(journey)
            began = time.perf_counter()
            models.decide(sagemaker, package, models.APPROVED)
            confirm(journey)
            taken.append((time.perf_counter() - began, _gate(journey)))
            for stage, endpoint in journey.endpoints.items():
                found = models.served(journey.client("sagemaker", stage), endpoint["name"])
                if found != package:
                    raise SystemExit(f"{stage} serves {found}, not {package}")

    _walk(Options(None, [], folder), more)
    return taken


def _gate(journey: Journey) -> float:
    """The seconds that the last run of the deploy pipeline spent in the stage Security."""
    client = journey.client("codepipeline")
    names = [found["name"] for found in client.list_pipelines()["pipelines"]]
    (pipeline,) = (name for name in names if not name.endswith("-train"))
    (last,) = client.list_pipeline_executions(pipelineName=pipeline, maxResults=1)["pipelineExecutionSummaries"]
    only = {"pipelineExecutionId": last["pipelineExecutionId"]}
    details = client.list_action_executions(pipelineName=pipeline, filter=only)["actionExecutionDetails"]
    actions = [action for action in details if action["stageName"] == "Security"]
    ended = max(action["lastUpdateTime"] for action in actions)
    return float((ended - min(action["startTime"] for action in actions)).total_seconds())


def _walk(options: Options, then: Callable[[Journey], None]) -> None:
    options.output.mkdir()
    with (options.output / "road.log").open("w") as log, redirect_stdout(log):
        walk(options, Console(), keep=then)


def _another(journey: Journey) -> str:
    """A new version of the model that waits for its approval; the same model once more, because training takes time."""
    sagemaker = journey.client("sagemaker")
    described = sagemaker.describe_model_package(ModelPackageName=journey.package)
    same = ("ModelPackageGroupName", "InferenceSpecification", "ModelMetrics", "CustomerMetadataProperties")
    kept: dict[str, Any] = {name: described[name] for name in same if name in described}
    return str(sagemaker.create_model_package(**kept, ModelApprovalStatus=models.PENDING)["ModelPackageArn"])


def projects(folder: Path) -> list[float]:
    """The seconds of each of many launches, one after the other; each begins when the pipelines of the last rest."""
    taken: list[float] = []

    def many(journey: Journey) -> None:
        for number in range(PROJECTS):
            began = time.perf_counter()
            made = launch.launch(journey, f"project-{number:02}")
            taken.append(time.perf_counter() - began)
            follower = journey.following(made.of_type("AWS::CodePipeline::Pipeline"))
            follower.follow(lambda _: None, lambda _: None, expect=0)

    _walk(Options(None, [], folder, until="publish", parameters=["TrainOnCommit=no"]), many)
    return taken


def main() -> int:
    """Prints the figures, and how they stand against their bounds."""
    with tempfile.TemporaryDirectory() as name:
        seconds, peak = road(Path(name, "road"))
        later = deploys(Path(name, "deploys"))
        launches = projects(Path(name, "projects"))
    print(f"  the whole road {seconds:.1f} s, at most {peak:.0f} MB in all its processes together")
    told = ", ".join(f"{taken:.1f} ({gate:.1f})" for taken, gate in later)
    print(f"  each of {DEPLOYS} deployments after it (in the security gate): {told} s")
    beside = statistics.median(taken - gate for taken, gate in later)
    first, last = (statistics.median(part) for part in (launches[:ENDS], launches[-ENDS:]))
    print(f"  {PROJECTS} launches: {launches[0]:.2f} s the first, {launches[-1]:.2f} s the last")
    holds = [
        verdict("seconds of the road", seconds, 30, at_most=True),
        verdict("MB of memory", peak, 1024, at_most=True),
        verdict("seconds of a further deployment beside its gate, median", beside, 5, at_most=True),
        verdict("the last launches to the first, medians", last / first, 1.5, at_most=True),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
