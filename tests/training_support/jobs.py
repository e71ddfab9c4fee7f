"""Runs the scripts of the steps as child processes under SageMaker's container contract; calls no AWS."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seed_support.baking import TEMPLATE, scrubbed

SCRIPTS = TEMPLATE / "training"
SETTINGS: dict[str, Any] = json.loads((SCRIPTS / "settings.json").read_text(encoding="utf-8"))
IRIS = TEMPLATE / "data" / "iris.csv"
TIMEOUT = 120


@dataclass(frozen=True)
class Done:
    """How a job ended, and what it left in its failure file (empty when there is none)."""

    code: int
    out: str
    error: str
    failure: str


def _done(process: subprocess.CompletedProcess[str], base: Path, failure_file: str) -> Done:
    path = base / "output" / failure_file
    failure = path.read_text(encoding="utf-8") if path.exists() else ""
    return Done(process.returncode, process.stdout, process.stderr, failure)


@dataclass(frozen=True)
class Work:
    """A folder in which one pipeline runs, step after step."""

    folder: Path

    def processing(self, script: str, *words: str, **env: str) -> Done:
        """Runs a processing script."""
        base = self.folder / "ml"
        (base / "output" / "message").unlink(missing_ok=True)
        environment = scrubbed(SAGEMAKER_BASE_DIR=str(base), AWS_DEFAULT_REGION="eu-west-1", **env)
        ran = subprocess.run(
            [sys.executable, str(SCRIPTS / script), *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        return _done(ran, base, "message")

    def preprocess(self, data: Path, prediction: str, target: str, *words: str) -> Done:
        """Runs Preprocess on a CSV file or a folder of them."""
        if data.is_file():
            source = self.folder / "input"
            source.mkdir(exist_ok=True)
            (source / data.name).write_bytes(data.read_bytes())
            data = source
        return self.processing(
            *("preprocess.py", "--input", str(data), "--output", str(self.folder / "prepared")),
            *("--prediction", prediction, "--target", target, *words),
        )

    def train(self, *words: str, hosts: Sequence[str] = ("localhost",), **env: str) -> list[Done]:
        """Runs Train on every host at once, its shards dealt out as S3 keys are; returns the ends by host."""
        port = str(free_port())
        running = []
        shards = sorted((self.folder / "prepared" / "train").iterdir())
        for number, host in enumerate(hosts):
            base = self.folder / f"host-{number}"
            channel = base / "input/data/train"
            channel.mkdir(parents=True, exist_ok=True)
            for shard in shards[number :: len(hosts)]:
                target = channel / shard.name
                target.unlink(missing_ok=True)
                target.symlink_to(shard)
            environment = scrubbed(
                **{
                    "SAGEMAKER_BASE_DIR": str(base),
                    "SM_CHANNEL_TRAIN": str(channel),
                    "SM_CHANNEL_VALIDATION": str(self.folder / "prepared/validation"),
                    "SM_CHANNEL_SCHEMA": str(self.folder / "prepared/schema"),
                    "SM_MODEL_DIR": str(base / "model"),
                    "SM_OUTPUT_DATA_DIR": str(base / "output/data"),
                    "SM_HOSTS": json.dumps(list(hosts)),
                    "SM_CURRENT_HOST": host,
                    "SM_NUM_CPUS": "1",
                    "TRACKER_PORT": port,
                    "TRACKER_SECONDS": "20",
                    **env,
                }
            )
            command = [sys.executable, str(SCRIPTS / "train.py"), *words]
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            running.append((process, base, command))
        try:
            ends = []
            for process, base, command in running:
                out, error = process.communicate(timeout=TIMEOUT)
                ends.append(
                    _done(subprocess.CompletedProcess(command, process.returncode, out, error), base, "failure")
                )
            return ends
        finally:
            for process, _, _ in running:
                process.kill()

    @property
    def model(self) -> Path:
        """The model folder of the first host."""
        return self.folder / "host-0" / "model"

    def archive(self) -> Path:
        """Packs the model folder as SageMaker does, and returns the folder with model.tar.gz."""
        folder = self.folder / "archive"
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as packed:
            packed.add(self.model, arcname=".")
        return folder

    def evaluate(self, metric: str, threshold: float, production: str = "none", **env: str) -> Done:
        """Runs Evaluate on the archive and the test rows."""
        return self.processing(
            *("evaluate.py", "--model", str(self.archive()), "--test", str(self.folder / "prepared/test")),
            *("--output", str(self.folder / "evaluation"), "--metric", metric, "--threshold", str(threshold)),
            *("--production-model", production),
            **env,
        )

    def report(self, name: str = "evaluation") -> dict[str, Any]:
        """What Evaluate wrote."""
        path = self.folder / "evaluation" / f"{name}.json"
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        return told


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hyperparameters(**changed: float) -> list[str]:
    """The hyperparameters of settings.json with changes, as the container passes them on."""
    values = {**SETTINGS["hyperparameters"], **changed}
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]
