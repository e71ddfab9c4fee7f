"""The step Train: trains an XGBoost model on one host or several and saves it; sees no test data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cluster
import failures
import hyperparameters
import schema
import tables
import xgboost
from failures import DataError, UsageError
from schema import Schema
from spooling import Batches, Spool

MODEL_FILE = "xgboost-model.ubj"
# The port of the tracker on the first host. All ports are open between the hosts of a training job.
TRACKER_PORT = 9099
_PROGRESS_EVERY = 10


@dataclass(frozen=True)
class Job:
    """What SageMaker tells a training container in its environment."""

    channels: dict[str, Path]
    model: Path
    output: Path
    hosts: list[str]
    host: str
    threads: int
    port: int
    finding_seconds: float


def main(words: list[str]) -> None:
    """Read the channels train, validation and schema; write the model below SM_MODEL_DIR."""
    chosen = hyperparameters.read(words)
    job = _job(os.environ)
    with tempfile.TemporaryDirectory() as scratch:
        _run(job, chosen, Path(scratch))


def _run(job: Job, chosen: dict[str, Any], scratch: Path) -> None:
    problem, table = "", None
    shards, validation = Spool(scratch / "train"), Spool(scratch / "validation")
    try:
        table = schema.load(job.channels["schema"], "channel schema")
        shards.extend(_chunks(job.channels["train"], table, job))
        validation.extend(_chunks(job.channels["validation"], table, job))
    except DataError as error:
        problem = f"{job.host}: {error}" if len(job.hosts) > 1 else str(error)
    with cluster.joined(job.hosts, job.host, job.port, job.finding_seconds) as ring:
        # A host that stops alone would leave the others waiting: all of them stop, with the same reason.
        ring.agree(problem)
        if table is None:
            raise AssertionError("a host without a schema has a problem")
        booster, curve = _train(table, shards, validation, chosen, job)
        model = bytes(booster.save_raw(raw_format="ubj"))
        digest = hashlib.sha256(model).hexdigest()
        ring.must_be_equal(digest, "the model")
        print(f"model: {booster.num_boosted_rounds()} rounds, sha256 {digest}, on {job.host}")
        if ring.is_first:
            _save(model, table, job)
            _report(booster, curve, table, job)


def _job(environment: os._Environ[str]) -> Job:
    try:
        hosts = json.loads(environment.get("SM_HOSTS", '["localhost"]'))
        job = Job(
            channels={
                name: Path(environment[f"SM_CHANNEL_{name.upper()}"])
                for name in ("train", "validation", "schema")
            },
            model=Path(environment["SM_MODEL_DIR"]),
            output=Path(environment["SM_OUTPUT_DATA_DIR"]),
            hosts=hosts,
            host=environment.get("SM_CURRENT_HOST", hosts[0]),
            threads=int(environment.get("SM_NUM_CPUS", os.cpu_count() or 1)),
            port=int(environment.get("TRACKER_PORT", TRACKER_PORT)),
            finding_seconds=float(environment.get("TRACKER_SECONDS", cluster.FINDING_SECONDS)),
        )
    except KeyError as error:
        raise UsageError(
            f"{error.args[0]} is not set; SageMaker sets it from the channels of the job"
        ) from None
    except ValueError as error:
        raise UsageError(
            f"SM_HOSTS, SM_NUM_CPUS, TRACKER_PORT or TRACKER_SECONDS is wrong: {error}"
        ) from None
    if job.host not in job.hosts:
        raise UsageError(f"SM_CURRENT_HOST {job.host} is not among SM_HOSTS {', '.join(job.hosts)}")
    return job


def _chunks(folder: Path, table: Schema, job: Job) -> Iterator[tables.Chunk]:
    """Read a channel chunk by chunk, as 32-bit floats and never as anything wider."""
    if len(job.hosts) > 1 and not any(folder.rglob("*.csv")):
        raise DataError(
            f"channel {folder.name}: no shard is left for this host; {len(job.hosts)} hosts need"
            f" --shards of at least {len(job.hosts)} in preprocessing"
        )
    for path in tables.csv_files(folder):
        yield from tables.read_chunks(path, table)


def objective(table: Schema) -> dict[str, Any]:
    """Return the objective of XGBoost and the metric that early stopping looks at."""
    if not table.classes:
        return {"objective": "reg:squarederror", "eval_metric": "rmse"}
    if len(table.classes) == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss"}
    return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(table.classes)}


def _train(
    table: Schema,
    shards: Spool,
    validation: Spool,
    chosen: dict[str, Any],
    job: Job,
) -> tuple[xgboost.Booster, dict[str, Any]]:
    """Return the booster at its best round, and the metric of every round by part."""
    settings = {"max_bin": chosen["max_bin"], "nthread": job.threads, "enable_categorical": True}
    train_matrix = xgboost.QuantileDMatrix(Batches(shards, table), **settings)
    validation_matrix = xgboost.QuantileDMatrix(Batches(validation, table), ref=train_matrix, **settings)
    callbacks: list[xgboost.callback.TrainingCallback] = []
    if chosen["early_stopping_rounds"]:
        callbacks.append(
            xgboost.callback.EarlyStopping(
                rounds=chosen["early_stopping_rounds"], data_name="validation", save_best=True
            )
        )
    curve: dict[str, Any] = {}
    began = time.perf_counter()
    booster = xgboost.train(
        {
            **objective(table),
            **{name: value for name, value in chosen.items() if name not in hyperparameters.OWN},
            "tree_method": "hist",
            "nthread": job.threads,
        },
        train_matrix,
        num_boost_round=chosen["num_round"],
        evals=[(train_matrix, "train"), (validation_matrix, "validation")],
        evals_result=curve,
        callbacks=callbacks,
        verbose_eval=_PROGRESS_EVERY,
    )
    rounds, seconds = len(curve["train"][objective(table)["eval_metric"]]), time.perf_counter() - began
    print(f"trained: {rounds} rounds in {seconds:.2f} s, {seconds / rounds:.4f} s per round")
    return booster, curve


def _save(model: bytes, table: Schema, job: Job) -> None:
    """Write what model.tar.gz consists of: the model, its schema, and the code that serves it."""
    job.model.mkdir(parents=True, exist_ok=True)
    (job.model / MODEL_FILE).write_bytes(model)
    table.save(job.model)
    code = job.model / "code"
    code.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("inference.py"), code / "inference.py")


def _report(booster: xgboost.Booster, curve: dict[str, Any], table: Schema, job: Job) -> None:
    """Write the training curve and the importance of the features, for people."""
    job.output.mkdir(parents=True, exist_ok=True)
    for name, value in (
        ("training-curve", curve),
        ("feature-importance", importance(booster, table)),
    ):
        text = json.dumps(value, indent=2, ensure_ascii=False)
        (job.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def importance(booster: xgboost.Booster, table: Schema) -> dict[str, float]:
    """Return the share of every feature in the gain of all splits, greatest first; 0 for one never used."""
    gains = cast("dict[str, float]", booster.get_score(importance_type="total_gain"))
    total = sum(gains.values()) or 1.0
    shares = {name: float(gains.get(name, 0.0)) / total for name in table.names}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


if __name__ == "__main__":
    sys.exit(failures.run(main, failures.TRAINING))
