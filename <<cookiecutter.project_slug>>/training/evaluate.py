"""The step Evaluate: measures the model on the test rows, against the threshold and the model in production.

It decides whether the model is accepted and says why; registering or rejecting is the pipeline's.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import tarfile
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import failures
import numpy as np
import quality
import schema
import tables
import xgboost
from failures import DataError, ScriptError, UsageError
from schema import Schema
from train import MODEL_FILE, importance

ARCHIVE = "model.tar.gz"
NO_PRODUCTION = "none"
_KINDS = {
    "classification": ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}


@dataclass(frozen=True)
class Model:
    """A model with the schema it was trained with; `name` is how people are told of it."""

    name: str
    booster: xgboost.Booster
    table: Schema


@dataclass(frozen=True)
class Measured:
    """What a model makes of the test rows: class indices or values, and probabilities or values."""

    truth: np.ndarray
    answers: np.ndarray
    metrics: dict[str, float]


def main(words: list[str]) -> None:
    """Read `--model` and `--test`, write evaluation.json and model-metrics.json to `--output`."""
    arguments = _arguments(words)
    with tempfile.TemporaryDirectory() as scratch:
        model = _load(arguments.model / ARCHIVE, Path(scratch, "model"), "the model")
        if arguments.metric not in _KINDS[model.table.prediction]:
            raise UsageError(
                f"--metric: {arguments.metric} is no metric of a {model.table.prediction};"
                f" there are {', '.join(_KINDS[model.table.prediction])}"
            )
        paths = tables.csv_files(arguments.test)
        measured = _measure(model, paths)
        production = None
        if arguments.production_model != NO_PRODUCTION:
            production = _production(arguments.production_model, Path(scratch), model, paths)
    report = _report(arguments, model, measured, production)
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = model.table
    for name, value in (
        ("evaluation", report),
        ("model-metrics", quality.model_metrics(measured.truth, measured.answers, table.classes)),
    ):
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        (arguments.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(report["summary"])


def _arguments(words: list[str]) -> Namespace:
    parser = failures.Parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help=f"folder with {ARCHIVE}")
    parser.add_argument("--test", type=Path, required=True, help="folder with the test rows")
    parser.add_argument("--output", type=Path, required=True, help="folder for what is written")
    parser.add_argument("--metric", choices=tuple(quality.MORE_IS_BETTER), required=True)
    parser.add_argument("--threshold", type=float, required=True, help="what the metric must reach")
    parser.add_argument(
        "--production-model",
        default=NO_PRODUCTION,
        help=f"s3://bucket/key of its {ARCHIVE}, or {NO_PRODUCTION}",
    )
    arguments = parser.parse_args(words)
    if not math.isfinite(arguments.threshold):
        raise UsageError(f"--threshold: {arguments.threshold} is not a number that a metric can reach")
    return arguments


def _load(archive: Path, folder: Path, name: str) -> Model:
    try:
        _unpack(archive, folder)
    except FileNotFoundError:
        raise DataError(f"{name}: {archive} is missing") from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{name}: {archive.name} cannot be unpacked: {error}") from None
    table = schema.load(folder, name)
    try:
        booster = xgboost.Booster(model_file=folder / MODEL_FILE)
    except xgboost.core.XGBoostError:
        raise DataError(f"{name}: {MODEL_FILE} is missing or not a model of XGBoost") from None
    return Model(name, booster, table)


def _unpack(archive: Path, folder: Path) -> None:
    """Take the two files that are needed out of the archive; nothing else in it can land anywhere."""
    folder.mkdir()
    with tarfile.open(archive) as packed:
        for member in packed:
            name = member.name.removeprefix("./")
            if name in {MODEL_FILE, schema.FILE_NAME} and member.isfile():
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(cast("IO[bytes]", packed.extractfile(member)), target)


def _measure(model: Model, paths: list[Path]) -> Measured:
    """Score the test rows. Raises DataError when the model cannot read them."""
    table = model.table
    chunks: list[tables.Chunk] = []
    for path in paths:
        tables.check_rows(path, tables.read_header(path))
        chunks.extend(tables.read_chunks(path, table))
    truth = np.concatenate([labels for _, labels in chunks])
    answers = np.concatenate([_predict(model, features) for features, _ in chunks])
    if not table.classes:
        if len(truth) < 2:
            raise DataError(
                f"the test data has {len(truth)} row; at least 2 are needed to measure a regression"
            )
        return Measured(truth, answers, quality.regression(truth, answers))
    truth = truth.astype(np.int64)
    absent = [label for index, label in enumerate(table.classes) if index not in set(truth.tolist())]
    if absent:
        raise DataError(f"the test data has no row of class {absent[0]!r} in column {table.target!r}")
    shares = quality.probabilities(answers, table.classes)
    return Measured(truth, shares, quality.classification(truth, shares))


def _predict(model: Model, features: np.ndarray) -> np.ndarray:
    table = model.table
    matrix = xgboost.DMatrix(
        features, feature_names=table.names, feature_types=table.xgboost_types, enable_categorical=True
    )
    return np.asarray(model.booster.predict(matrix))


def _production(uri: str, scratch: Path, model: Model, paths: list[Path]) -> Measured:
    """Measure the model in production on the same rows. Raises DataError when that cannot be compared."""
    archive = scratch / f"production-{ARCHIVE}"
    _download(uri, archive)
    other = _load(archive, scratch / "production", f"the model in production ({uri})")
    advice = (
        f"; to register without the comparison, start with the model in production set to {NO_PRODUCTION}"
    )
    for what, ours, theirs in (
        ("kind of prediction", model.table.prediction, other.table.prediction),
        ("target", model.table.target, other.table.target),
        (
            f"set of classes in column {model.table.target!r}",
            ", ".join(model.table.classes),
            ", ".join(other.table.classes),
        ),
    ):
        if ours != theirs:
            raise DataError(
                f"{other.name} has another {what} ({theirs}, not {ours}) and cannot be compared{advice}"
            )
    try:
        return _measure(other, paths)
    except DataError as error:
        raise DataError(f"{other.name} cannot read the test data: {error}{advice}") from None


def _download(uri: str, target: Path) -> None:
    place = urlsplit(uri)
    key = place.path.lstrip("/")
    if place.scheme != "s3" or not place.netloc or not key:
        raise UsageError(f"--production-model: {uri!r} is neither s3://bucket/key nor {NO_PRODUCTION}")
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        boto3.client("s3").download_file(place.netloc, key, str(target))
    except (ClientError, BotoCoreError) as error:
        raise ScriptError(f"the model in production ({uri}) cannot be downloaded: {error}") from None


def _report(
    arguments: Namespace, model: Model, measured: Measured, production: Measured | None
) -> dict[str, Any]:
    metric, threshold = arguments.metric, arguments.threshold
    value = measured.metrics[metric]
    met = _at_least_as_good(metric, value, threshold)
    theirs = production.metrics[metric] if production else None
    not_worse = theirs is None or _at_least_as_good(metric, value, theirs)
    classes = model.table.classes
    detail: dict[str, Any] = (
        {"confusion_matrix": quality.confusion(measured.truth, measured.answers, classes)}
        if classes
        else {"residuals": quality.residuals(measured.truth, measured.answers)}
    )
    return {
        "prediction": model.table.prediction,
        "metric": {"name": metric, "value": value, "threshold": threshold, "met": met},
        "metrics": measured.metrics,
        **detail,
        "feature_importance": importance(model.booster, model.table),
        "production": {
            "model": arguments.production_model if production else None,
            "value": theirs,
            "not_worse": not_worse,
        },
        "accepted": met and not_worse,
        "summary": _summary(arguments, measured, met, theirs, not_worse),
    }


def _at_least_as_good(metric: str, value: float, other: float) -> bool:
    return value >= other if quality.MORE_IS_BETTER[metric] else value <= other


def _summary(
    arguments: Namespace, measured: Measured, met: bool, theirs: float | None, not_worse: bool
) -> str:
    """Return one line: the verdict with its reasons, then all figures."""
    metric, threshold = arguments.metric, arguments.threshold
    value = f"{metric} {measured.metrics[metric]:.4g}"
    more = quality.MORE_IS_BETTER[metric]
    bound = f"the threshold of {'at least' if more else 'at most'} {threshold:g}"
    reasons = [f"{value} meets {bound}" if met else f"{value} misses {bound}"]
    if not met and not _at_least_as_good(metric, quality.BEST[metric], threshold):
        side = "above" if more else "below"
        reasons.append(f"which no model can meet, as {metric} is never {side} {quality.BEST[metric]:g}")
    if theirs is not None:
        reasons.append(
            f"{'not worse' if not_worse else 'worse'} than {theirs:.4g} of the model in production"
        )
    figures = ", ".join(f"{name} {figure:.4g}" for name, figure in measured.metrics.items())
    verdict = "accepted" if met and not_worse else "rejected"
    return f"{verdict}: {', '.join(reasons)}; on {len(measured.truth)} test rows: {figures}"


if __name__ == "__main__":
    sys.exit(failures.run(main, failures.PROCESSING))
