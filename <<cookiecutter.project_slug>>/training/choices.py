"""What training/settings.json and seed.json say about the training; checks both, changes neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import UsageError

SETTINGS = "training/settings.json"
PREDICTIONS = ("classification", "regression")


@dataclass(frozen=True)
class Instances:
    """The machines of one step."""

    type: str
    count: int
    volume_gb: int


@dataclass(frozen=True)
class Choices:
    """Everything about the training that a person may change without touching code."""

    title: str
    description: str
    team: str
    prediction: str
    data: Path
    target: str
    drop: tuple[str, ...]
    categorical: tuple[str, ...]
    image_version: str
    processing: Instances
    train: Instances
    split: dict[str, float]
    split_seed: int
    shards: int
    hyperparameters: dict[str, float | int | str]
    metric: str
    threshold: float


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Where in the settings, what it must be, and the words for that. `@` stands for the kind of prediction.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("data", lambda v: isinstance(v, str) and v != "", "the path of a CSV file or a folder of them"),
    ("target.@", lambda v: isinstance(v, str) and v != "", "the name of a column"),
    ("drop.@", _strings, "a list of columns"),
    ("categorical.@", _strings, "a list of columns"),
    ("image.version", lambda v: isinstance(v, str) and v != "", "a version of the image, such as 3.2-0"),
    *(
        rule
        for step in ("preprocess", "train", "evaluate")
        for rule in (
            (f"instances.{step}.type", lambda v: isinstance(v, str) and v.startswith("ml."), "ml.<type>"),
            (f"instances.{step}.count", lambda v: _whole(v) and v >= 1, "a whole number, 1 or more"),
            (f"instances.{step}.volume_gb", lambda v: _whole(v) and v >= 1, "a whole number, 1 or more"),
        )
    ),
    *(
        (f"split.{part}", lambda v: _number(v) and 0 < v < 1, "a share between 0 and 1")
        for part in ("train", "validation", "test")
    ),
    ("split.seed", _whole, "a whole number"),
    ("split.shards", lambda v: _whole(v) and v >= 1, "a whole number, 1 or more"),
    (
        "hyperparameters",
        lambda v: isinstance(v, dict) and all(_number(x) or isinstance(x, str) for x in v.values()),
        "numbers or texts by name",
    ),
    *(
        (f"hyperparameters.{name}", _number, "a number")
        for name in ("num_round", "max_depth", "eta", "subsample")
    ),
    ("threshold.@.metric", lambda v: isinstance(v, str) and v != "", "the name of a metric"),
    ("threshold.@.value", _number, "a number"),
)


def read_choices(root: Path) -> Choices:
    """Return what the two files of the repository at `root` say. Raises UsageError naming every bad one."""
    answers = _read(root / "seed.json", "seed.json").get("answers", {})
    prediction = answers.get("prediction")
    if prediction not in PREDICTIONS:
        raise UsageError(
            f"seed.json: answers.prediction is {prediction!r}: expected {' or '.join(PREDICTIONS)}"
        )
    settings = _read(root / SETTINGS, SETTINGS)
    problems = []
    found: dict[str, Any] = {}
    for path, holds, what in _RULES:
        value = _at(settings, path.replace("@", prediction))
        found[path] = value
        if not holds(value):
            where = path.replace("@", prediction)
            problems.append(f"{where} is {'missing' if value is None else repr(value)}: expected {what}")
    if not problems:
        problems = _together(settings)
    if not problems and not (root / found["data"]).exists():
        problems = [f"data: there is no {found['data']} in this repository"]
    if problems:
        raise UsageError(f"{SETTINGS}: " + "; ".join(problems))
    machines = {step: Instances(**settings["instances"][step]) for step in ("preprocess", "train")}
    return Choices(
        title=str(answers.get("project_name", "")),
        description=str(answers.get("description", "")),
        team=str(answers.get("team", "")),
        prediction=prediction,
        data=root / found["data"],
        target=found["target.@"],
        drop=tuple(found["drop.@"]),
        categorical=tuple(found["categorical.@"]),
        image_version=found["image.version"],
        processing=machines["preprocess"],
        train=machines["train"],
        split={part: float(found[f"split.{part}"]) for part in ("train", "validation", "test")},
        split_seed=found["split.seed"],
        shards=found["split.shards"],
        hyperparameters=dict(found["hyperparameters"]),
        metric=found["threshold.@.metric"],
        threshold=float(found["threshold.@.value"]),
    )


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{name} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{name}, line {error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(loaded, dict):
        raise UsageError(f"{name} is not a JSON object")
    return loaded


def _at(settings: Any, path: str) -> Any:
    for part in path.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _together(settings: dict[str, Any]) -> list[str]:
    """Return what is wrong only in combination."""
    instances, split = settings["instances"], settings["split"]
    problems = []
    if instances["preprocess"] != instances["evaluate"]:
        problems.append("instances.preprocess and instances.evaluate differ: one parameter sets both")
    if instances["preprocess"]["count"] != 1:
        problems.append("instances.preprocess.count must be 1: one machine splits all of the data")
    if split["shards"] < instances["train"]["count"]:
        problems.append(
            "split.shards is less than instances.train.count: a machine would have nothing to train on"
        )
    if abs(sum(split[part] for part in ("train", "validation", "test")) - 1) > 1e-9:
        problems.append("split.train, split.validation and split.test do not add up to 1")
    return problems
