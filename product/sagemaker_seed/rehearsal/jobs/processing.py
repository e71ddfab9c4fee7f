"""Runs a processing job: inputs from S3, the container's command, outputs to S3. Decides nothing of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import container, contract, storage
from .container import Host, Place
from .failure import client_error
from .workshop import Machine

MESSAGE = "output/message"


def run(place: Place, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the job to its end; returns what its description has beyond the arguments.

    Raises:
        StepFailure: the job failed; the message is its failure reason.
        StepStopped: the execution was stopped.
    """
    cluster = arguments["ProcessingResources"]["ClusterConfig"]
    application = arguments["AppSpecification"]
    words = [*(application.get("ContainerEntrypoint") or ()), *(application.get("ContainerArguments") or ())]
    if not application.get("ContainerEntrypoint"):
        raise client_error("The embedded AWS runs no images: AppSpecification.ContainerEntrypoint must say what to run")
    machines_of = container.hosts(place, int(cluster["InstanceCount"]))
    for host in machines_of:
        _inputs(place, arguments, host, len(machines_of))
    outputs = (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    for host in machines_of:
        for output in outputs:
            host.at(_local(output["S3Output"])).mkdir(parents=True, exist_ok=True)
        _configuration(place, arguments, host, machines_of)
    machines = [_machine(place, arguments, host, words) for host in machines_of]
    limit = int((arguments.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", container.DEFAULT_SECONDS))
    container.judge(container.run(place, machines, limit), machines_of, machines, MESSAGE, limit)
    for host in machines_of:
        for output in outputs:
            storage.upload(place.aws, host.at(_local(output["S3Output"])), output["S3Output"]["S3Uri"])
    said = container.failure_message(machines_of[0], MESSAGE)
    return {"ExitMessage": said} if said else {}


def _local(where: Mapping[str, Any]) -> str:
    path = str(where.get("LocalPath"))
    if not contract.is_local(path):
        raise client_error(f"LocalPath {path} is not a folder under {contract.LOCAL_ROOT}")
    return path


def _inputs(place: Place, arguments: Mapping[str, Any], host: Host, count: int) -> None:
    for given in arguments.get("ProcessingInputs") or ():
        source = given["S3Input"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key" and count > 1
        shard = storage.Shard(host.number, count) if sharded else None
        storage.download(place.aws, source["S3Uri"], host.at(_local(source)), shard)


def _configuration(place: Place, arguments: Mapping[str, Any], host: Host, all_hosts: list[Host]) -> None:
    folder = host.base / "config"
    folder.mkdir(exist_ok=True)
    names = [other.name for other in all_hosts]
    container.write_json(folder / "resourceconfig.json", {"current_host": host.name, "hosts": names})
    container.write_json(
        folder / "processingjobconfig.json",
        {"ProcessingJobArn": place.arn, "ProcessingJobName": place.job, **arguments},
    )


def _machine(place: Place, arguments: Mapping[str, Any], host: Host, words: list[str]) -> Machine:
    isolated = bool((arguments.get("NetworkConfig") or {}).get("EnableNetworkIsolation"))
    given = {**(arguments.get("Environment") or {}), "PROCESSING_JOB_ARN": place.arn}
    environment = container.environment(place, host, given, isolated=isolated)
    return Machine(
        name=f"algo-{host.number + 1}",
        command=container.command(words, host, environment["PATH"]),
        environment=environment,
        folder=host.base.parents[1],
        log=place.folder / f"algo-{host.number + 1}.log",
    )
