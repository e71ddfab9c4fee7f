"""SageMaker's container contract on a folder: paths, environment, failure files, logs. Fetches and stores no data."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .failure import INTERNAL_ERROR, StepFailure, client_error
from .storage import Aws
from .workshop import Ending, Machine, Workshop

# Not inside a longer path, such as that of an S3 URI.
OPT_ML = re.compile(r"(?<![\w./-])/opt/ml(?=/|$|[\s:;,'\"])")
REASON_LENGTH = 1024
PYTHONS = {"python", "python3"}
DEFAULT_SECONDS = 86400
PYTHON = {
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
}
"""What Python reads when it starts."""
# Host names of a job's machines must resolve: addresses of the loopback do, and where the whole of 127/8 is the
# loopback (Linux), every job gets some of its own, so that its machines can use the same ports as another job's.
WHOLE_LOOPBACK = sys.platform == "linux"
LOG_EVENTS = 10_000
LOG_BYTES = 900_000


@dataclass(frozen=True)
class Place:
    """What a job runs in: the workshop, its account's AWS, the signal to stop, its name, ARN and own folder."""

    workshop: Workshop
    aws: Aws
    stop: threading.Event
    job: str
    arn: str
    folder: Path
    number: int


@dataclass(frozen=True)
class Host:
    """One of a job's machines: its name, its number, and the folder that stands for ``/opt/ml``."""

    name: str
    number: int
    base: Path

    def at(self, path: str) -> Path:
        """Where a path of the container, such as ``/opt/ml/model``, is here."""
        return self.base / path.removeprefix("/opt/ml").lstrip("/")


def hosts(place: Place, count: int) -> list[Host]:
    """The machines of a job, with their folders made."""
    made = []
    for number in range(count):
        base = place.folder / f"algo-{number + 1}" / "opt" / "ml"
        for name in ("input/config", "output/data", "model", "code"):
            (base / name).mkdir(parents=True)
        (base.parents[1] / "tmp").mkdir()
        made.append(Host(_host_name(place.number, number, count), number, base))
    return made


def _host_name(job: int, number: int, count: int) -> str:
    if count == 1:
        return "localhost"
    return f"127.{1 + job // 250 % 250}.{1 + job % 250}.{number + 1}" if WHOLE_LOOPBACK else f"127.0.0.{number + 1}"


def rerooted(text: str, host: Host) -> str:
    """``text`` with the container's ``/opt/ml`` replaced by the folder that stands for it."""
    return OPT_ML.sub(lambda _: str(host.base), text)


def search_path() -> str:
    """Where a machine's programs are: those of the environment that the rehearsal runs in come first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def environment(place: Place, host: Host, given: Mapping[str, str], *, isolated: bool = False) -> dict[str, str]:
    """The environment of a machine: nothing of the server's own but where programs are.

    An ``isolated`` one is not told where AWS is, as a container without a network cannot reach it.
    """
    room = host.base.parents[1]
    own = {
        "PATH": search_path(),
        "HOME": str(room),
        "TMPDIR": str(room / "tmp"),
        **PYTHON,
        "SAGEMAKER_BASE_DIR": str(host.base),
        "AWS_REGION": place.aws.region,
    }
    aws = {} if isolated else place.aws.environment()
    return own | {name: rerooted(value, host) for name, value in given.items()} | aws


def command(words: Sequence[str], host: Host, path: str) -> list[str]:
    """A container's command for this machine; Python is the one that runs this server.

    Raises:
        StepFailure: there is no such program.
    """
    program, *arguments = (rerooted(word, host) for word in words)
    found = sys.executable if program in PYTHONS else shutil.which(program, path=path)
    if found is None:
        raise client_error(f"The program {words[0]} of the container's entrypoint is not on this machine")
    return [found, *arguments]


def run(place: Place, machines: Sequence[Machine], seconds: int) -> Ending:
    """Runs a job's machines, and puts their logs where CloudWatch would have them.

    Raises:
        StepFailure: a program cannot be started.
        StepStopped: the execution was stopped.
    """
    started = int(time.time() * 1000)
    try:
        return place.workshop.run(machines, place.stop, seconds)
    except OSError as error:
        raise client_error(f"{machines[0].command[0]} cannot be started: {error.strerror}") from error
    finally:
        _log(place, machines, started)


def judge(ending: Ending, hosts_: Sequence[Host], machines: Sequence[Machine], message: str, limit: int) -> None:
    """Raises the failure that the processes ended with, if they did; ``message`` is the failure file's place.

    Raises:
        StepFailure: "AlgorithmError", with what the failure file or else the end of the log says.
    """
    failed = ending.first_failed
    if ending.timed_out:
        raise client_error(f"The job ran for longer than MaxRuntimeInSeconds ({limit}) and was stopped")
    if failed is None:
        return
    code = ending.codes[failed]
    host = next(h for h, machine in zip(hosts_, machines, strict=True) if machine.name == failed)
    if code == -signal.SIGKILL:
        # Nothing here kills a machine that did nothing wrong: as when the instance under a container is lost.
        raise StepFailure(
            "InternalServerError: We encountered an internal error. Please try again. "
            f"(The process of {host.name} was killed from outside.)",
            INTERNAL_ERROR,
        )
    said = failure_message(host, message) or _last_line(machines[host.number].log)
    raise StepFailure(f"AlgorithmError: {said or 'See job logs for more information'}, exit code: {_exit_code(code)}")


def failure_message(host: Host, place: str) -> str:
    """What a container wrote into its failure file (``output/failure``, ``output/message``); empty if nothing."""
    path = host.base / place
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        return file.read(REASON_LENGTH).decode(errors="replace").strip()


def write_json(path: Path, content: object) -> None:
    """Writes a configuration file of the container."""
    path.write_text(json.dumps(content), encoding="utf-8")


def cpus(count: int) -> int:
    """The processors for each of ``count`` machines that share this one."""
    return max(1, (os.cpu_count() or 1) // count)


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _last_line(log: Path) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:REASON_LENGTH] if lines else ""


def _log(place: Place, machines: Sequence[Machine], started: int) -> None:
    """Copies the machines' logs to the log group that SageMaker would use, a stream for each."""
    logs = place.aws.client("logs")
    group = LOG_GROUPS[place.arn.split(":")[5].partition("/")[0]]
    with suppress(logs.exceptions.ResourceAlreadyExistsException):  # one group for all jobs of a kind
        logs.create_log_group(logGroupName=group)
    now = int(time.time() * 1000)
    for machine in machines:
        stream = f"{place.job}/{machine.name}-{started // 1000}"
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        lines = machine.log.read_text(errors="replace").splitlines() if machine.log.is_file() else []
        events, size = [], 0
        for line in reversed(lines[-LOG_EVENTS:]):
            size += len(line.encode()) + 26
            if size > LOG_BYTES:
                break
            events.append({"timestamp": now, "message": line or " "})
        if events:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events[::-1])


LOG_GROUPS = {"processing-job": "/aws/sagemaker/ProcessingJobs", "training-job": "/aws/sagemaker/TrainingJobs"}
