"""How train.py goes from one host to two on a million rows: time per round, and peak memory of every host."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from measure import verdict
from seed_support.baking import scrubbed
from training_support.jobs import SCRIPTS, free_port

ROWS, COLUMNS, SHARDS, ROUNDS = 1_000_000, 30, 4, 10
VALIDATION_ROWS = 20_000
DATA_MB = ROWS * COLUMNS * 4 / 2**20
"""The features as 32-bit floats, the least that they take in memory unpacked."""
FEATURES = [f"x{number:02d}" for number in range(COLUMNS)]


@dataclass(frozen=True)
class Host:
    """What one host took."""

    seconds: float
    per_round: float
    peak_mb: float
    model: str


def write_csv(path: Path, rows: int, seed: int) -> None:
    """Writes rows of integers whose first columns decide the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with path.open("w", encoding="ascii") as file:
        file.write(",".join([*FEATURES, "label"]) + "\n")
        for start in range(0, rows, 50_000):
            values = random.integers(0, 10_000, (min(50_000, rows - start), COLUMNS))
            labels = values[:, 0] + values[:, 1] // 2 + random.integers(0, 3000, len(values)) > 9000
            lines = np.column_stack([values, labels.astype(values.dtype)]).tolist()
            file.writelines(",".join(map(str, line)) + "\n" for line in lines)


def prepare(folder: Path) -> None:
    """Writes shards, validation rows and the schema, as preprocessing would."""
    for number in range(SHARDS):
        write_csv(folder / f"train/part-{number:05d}.csv", ROWS // SHARDS, number)
    write_csv(folder / "validation/validation.csv", VALIDATION_ROWS, SHARDS)
    features = [{"name": name, "type": "number", "categories": [], "statistics": {}} for name in FEATURES]
    schema = {
        "version": 1,
        "prediction": "classification",
        "target": "label",
        "features": features,
        "classes": ["0", "1"],
        "rows": {},
    }
    (folder / "schema").mkdir()
    (folder / "schema/schema.json").write_text(json.dumps(schema))


def start(folder: Path, number: int, hosts: list[str], port: int) -> tuple[subprocess.Popen[str], Path]:
    """Starts train.py on one host with one thread."""
    base = folder / f"{len(hosts)}-hosts" / str(number)
    channel = base / "train"
    channel.mkdir(parents=True)
    for shard in sorted((folder / "train").iterdir())[number :: len(hosts)]:
        (channel / shard.name).symlink_to(shard)
    environment = scrubbed(
        SAGEMAKER_BASE_DIR=str(base),
        SM_CHANNEL_TRAIN=str(channel),
        SM_CHANNEL_VALIDATION=str(folder / "validation"),
        SM_CHANNEL_SCHEMA=str(folder / "schema"),
        SM_MODEL_DIR=str(base / "model"),
        SM_OUTPUT_DATA_DIR=str(base / "data"),
        SM_HOSTS=json.dumps(hosts),
        SM_CURRENT_HOST=hosts[number],
        SM_NUM_CPUS="1",
        OMP_NUM_THREADS="1",
        TRACKER_PORT=str(port),
        TRACKER_SECONDS="120",
    )
    log = base / "log"
    words = [sys.executable, str(SCRIPTS / "train.py"), "--num_round", str(ROUNDS), "--max_depth", "6"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*words, "--early_stopping_rounds", "0"], env=environment, stdout=out, stderr=subprocess.STDOUT, text=True
        )
    return process, log


def measure(folder: Path, hosts: list[str]) -> list[Host]:
    """Trains on the hosts at once; the kernel tells the peak memory of each of the processes."""
    port, began = free_port(), time.perf_counter()
    running = [start(folder, number, hosts, port) for number in range(len(hosts))]
    found = []
    for process, log in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = log.read_text()
        per_round = re.search(r"([\d.]+) s per round", said)
        model = re.search(r"sha256 (\w+)", said)
        if process.returncode or not per_round or not model:
            for other, _ in running:
                if other.returncode is None:
                    other.kill()
            raise SystemExit(f"training failed: {said}")
        found.append(Host(time.perf_counter() - began, float(per_round[1]), _mb(usage), model[1]))
    return found


def _mb(usage: resource.struct_rusage) -> float:
    # Kilobytes on Linux, bytes on macOS.
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def bare() -> float:
    """The memory of a process that has imported what train.py imports, and does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import pandas, xgboost, xgboost.tracker"], env=scrubbed())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return _mb(usage)


def main() -> int:
    """Prints a line for every host, and how the figures stand against their bounds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        print(f"  {ROWS} rows x {COLUMNS} columns: {DATA_MB:.0f} MB as 32-bit floats, one thread a host")
        print(f"  imports alone: {bare():.0f} MB")
        taken = {len(hosts): measure(folder, hosts) for hosts in (["localhost"], ["localhost", "algo-2"])}
    for count, hosts in taken.items():
        for number, host in enumerate(hosts, start=1):
            print(
                f"  host {number} of {count}: {host.per_round:.3f} s per round, {host.seconds:.1f} s in all,"
                f" at most {host.peak_mb:.0f} MB"
            )
    if len({host.model for host in taken[2]}) > 1:
        raise SystemExit("the two hosts ended with different models")
    worst = max(host.peak_mb for hosts in taken.values() for host in hosts)
    faster = taken[2][0].per_round / taken[1][0].per_round
    memory = verdict("peak memory to the data in memory", worst / DATA_MB, 3, at_most=True)
    # Two processes on two cores that other work shares; hosts of their own come nearer to one half.
    return 0 if verdict("time per round on two hosts to that on one", faster, 0.8, at_most=True) and memory else 1


if __name__ == "__main__":
    sys.exit(main())
