"""Runs a training job in script mode: channels from S3, the user's script, model and output to S3. No algorithms."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from . import container, storage
from .container import Host, Place
from .failure import StepFailure, client_error
from .workshop import Machine

FAILURE = "output/failure"
INTERNAL_PREFIX = "sagemaker_"


def run(place: Place, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the job to its end; returns what its description has beyond the arguments.

    Raises:
        StepFailure: the job failed; the message is its failure reason.
        StepStopped: the execution was stopped.
    """
    hyperparameters = {name: _decoded(text) for name, text in arguments["HyperParameters"].items()}
    program = _program(hyperparameters)
    resources = arguments["ResourceConfig"]
    all_hosts = container.hosts(place, int(resources.get("InstanceCount") or 1))
    for host in all_hosts:
        _channels(place, arguments, host, len(all_hosts))
        _code(place, hyperparameters["sagemaker_submit_directory"], program, host)
        _configuration(arguments, host, all_hosts)
    machines = [_machine(place, arguments, hyperparameters, program, host, all_hosts) for host in all_hosts]
    limit = int((arguments.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", container.DEFAULT_SECONDS))
    container.judge(container.run(place, machines, limit), all_hosts, machines, FAILURE, limit)
    return {"ModelArtifacts": {"S3ModelArtifacts": _results(place, arguments, all_hosts)}}


def _decoded(text: str) -> Any:
    """A hyperparameter's value: JSON where it is JSON, as SDKs write it, and else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _program(hyperparameters: Mapping[str, Any]) -> str:
    program = hyperparameters.get("sagemaker_program")
    if not isinstance(program, str) or not program.strip():
        raise StepFailure(
            "AlgorithmError: Empty module name: the hyperparameter sagemaker_program must name the script, exit code: 1"
        )
    if PurePosixPath(program).suffix != ".py":
        raise client_error(f"The embedded AWS runs scripts in Python: sagemaker_program {program!r} must end in .py")
    return program


def _channels(place: Place, arguments: Mapping[str, Any], host: Host, count: int) -> None:
    for channel in arguments.get("InputDataConfig") or ():
        source = channel["DataSource"]["S3DataSource"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key" and count > 1
        shard = storage.Shard(host.number, count) if sharded else None
        folder = storage.inside(host.base / "input" / "data", channel["ChannelName"], "InputDataConfig")
        storage.download(place.aws, source["S3Uri"], folder, shard)


def _code(place: Place, uri: Any, program: str, host: Host) -> None:
    archive = host.base / "sourcedir.tar.gz"
    found = storage.download(place.aws, str(uri), host.base / "archive")
    if len(found) != 1:
        raise client_error(f"sagemaker_submit_directory {uri} names {len(found)} objects; expected one tar.gz")
    found[0].rename(archive)
    unpack(archive, host.base / "code", str(uri))
    script = storage.inside(host.base / "code", program, "sagemaker_program")
    if not script.is_file():
        raise StepFailure(
            f"AlgorithmError: No module {program!r} in {uri}: sagemaker_program must name a file at that place in it, "
            "exit code: 1"
        )


def unpack(archive: Path, folder: Path, source: str) -> None:
    """Unpacks a tar.gz into ``folder``.

    Raises:
        StepFailure: it is none, or a member is not a file or folder inside.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _unpack_member(tar, member, folder, source)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise client_error(f"{source} is not a readable tar.gz: {error}") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, source: str) -> None:
    """By hand: ``filter="data"`` is not in every Python 3.11."""
    name = member.name.removeprefix("./").rstrip("/")
    if name in {"", "."} and member.isdir():
        return
    path = storage.inside(folder, name, source)
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    content = tar.extractfile(member) if member.isfile() else None
    if content is None:
        raise client_error(f"{member.name!r} in {source} is neither a file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)


def _configuration(arguments: Mapping[str, Any], host: Host, all_hosts: list[Host]) -> None:
    folder = host.base / "input" / "config"
    container.write_json(folder / "hyperparameters.json", arguments["HyperParameters"])
    container.write_json(folder / "inputdataconfig.json", _channels_config(arguments))
    container.write_json(folder / "resourceconfig.json", _resources(host, all_hosts))


def _channels_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": "File",
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": "None",
            **({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {}),
        }
        for channel in arguments.get("InputDataConfig") or ()
    }


def _resources(host: Host, all_hosts: list[Host]) -> dict[str, Any]:
    return {
        "current_host": host.name,
        "hosts": [other.name for other in all_hosts],
        "network_interface_name": "lo",
    }


def _machine(  # noqa: PLR0917 - what a machine is made of
    place: Place,
    arguments: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
    program: str,
    host: Host,
    all_hosts: list[Host],
) -> Machine:
    users = {name: value for name, value in hyperparameters.items() if not name.startswith(INTERNAL_PREFIX)}
    words = [text for name in sorted(users) for text in (_option(name), _as_text(users[name]))]
    base = {
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": "/opt/ml/input/config",
        "SM_OUTPUT_DIR": "/opt/ml/output",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_MODULE_DIR": str(hyperparameters["sagemaker_submit_directory"]),
        "SM_MODULE_NAME": PurePosixPath(program).stem,
        "SM_USER_ENTRY_POINT": program,
        "SM_USER_ARGS": json.dumps(words),
        "SM_HPS": json.dumps(users),
        **{f"SM_HP_{name.upper()}": _as_text(value) for name, value in users.items()},
        "SM_HOSTS": json.dumps([other.name for other in all_hosts]),
        "SM_CURRENT_HOST": host.name,
        "SM_NETWORK_INTERFACE_NAME": "lo",
        "SM_NUM_CPUS": str(container.cpus(len(all_hosts))),
        "SM_NUM_GPUS": "0",
        "SM_NUM_NEURONS": "0",
        "SM_LOG_LEVEL": "20",
        "SM_INPUT_DATA_CONFIG": json.dumps(_channels_config(arguments)),
        "SM_RESOURCE_CONFIG": json.dumps(_resources(host, all_hosts)),
        "SM_CHANNELS": json.dumps(sorted(_channels_config(arguments))),
        **{f"SM_CHANNEL_{name.upper()}": f"/opt/ml/input/data/{name}" for name in _channels_config(arguments)},
        "TRAINING_JOB_NAME": place.job,
        "TRAINING_JOB_ARN": place.arn,
    }
    given = {**base, **(arguments.get("Environment") or {})}
    environment = container.environment(place, host, given, isolated=bool(arguments.get("EnableNetworkIsolation")))
    environment["PYTHONPATH"] = str(host.base / "code")
    return Machine(
        name=f"algo-{host.number + 1}",
        command=container.command(["python3", f"/opt/ml/code/{program}", *words], host, environment["PATH"]),
        environment=environment,
        folder=host.base / "code",
        log=place.folder / f"algo-{host.number + 1}.log",
    )


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _as_text(value: Any) -> str:
    """A value on the command line and in ``SM_HP_``, as SageMaker's training toolkit writes it: as Python does."""
    return "" if value is None else json.dumps(value) if isinstance(value, dict | list) else str(value)


def _results(place: Place, arguments: Mapping[str, Any], all_hosts: list[Host]) -> str:
    """Uploads model.tar.gz and output.tar.gz of what all machines wrote; returns the URI of the first."""
    root = f"{arguments['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{place.job}/output"
    for name, folder in (("model", "model"), ("output", "output/data")):
        archive = place.folder / f"{name}.tar.gz"
        files = _pack(archive, [host.base / folder for host in all_hosts])
        if files or name == "model":
            storage.upload_file(place.aws, archive, f"{root}/{name}.tar.gz")
    return f"{root}/model.tar.gz"


def _pack(archive: Path, folders: list[Path]) -> int:
    """Packs the files of several folders into one tar.gz; where they share a name the first machine's stays."""
    packed: set[str] = set()
    with tarfile.open(archive, "w:gz") as tar:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise client_error(f"{name} is a link that leads out of the folder of results")
                if path.is_file() and name not in packed:
                    packed.add(name)
                    tar.add(path, name, recursive=False)
    return len(packed)
