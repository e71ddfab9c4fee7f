"""The metrics of predictions, as training/quality.py has them, without its libraries; reads no files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SMALLEST_SHARE = 2.220446049250313e-16


class CannotMeasureError(ValueError):
    """Something that the measurement needs is missing or of another form; the message is one line."""


Predictions = Sequence[Mapping[str, Any]]
Measure = Callable[[Sequence[str], Predictions, Sequence[str]], float]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _accuracy(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:  # noqa: ARG001
    return _mean([float(one["label"] == label) for label, one in zip(truth, predictions, strict=True)])


def _counts(
    truth: Sequence[str], predictions: Predictions
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    hits = Counter(label for label, one in zip(truth, predictions, strict=True) if one["label"] == label)
    return hits, Counter(truth), Counter(str(one["label"]) for one in predictions)


def _balanced(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:  # noqa: ARG001
    hits, actual, _ = _counts(truth, predictions)
    return _mean([hits[name] / count for name, count in actual.items()])


def _precision(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    hits, _, guessed = _counts(truth, predictions)
    return _mean([hits[name] / guessed[name] if guessed[name] else 0.0 for name in classes])


def _recall(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    hits, actual, _ = _counts(truth, predictions)
    return _mean([hits[name] / actual[name] if actual[name] else 0.0 for name in classes])


def _f1(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    hits, actual, guessed = _counts(truth, predictions)
    both = {name: actual[name] + guessed[name] for name in classes}
    return _mean([2 * hits[name] / both[name] if both[name] else 0.0 for name in classes])


def _shares(predictions: Predictions, name: str) -> list[float]:
    """Return the probability of a class in every row; in each they are made to add up to 1 exactly."""
    try:
        return [
            float(one["probabilities"][name]) / math.fsum(map(float, one["probabilities"].values()))
            for one in predictions
        ]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise CannotMeasureError(f"the answers lack probabilities of {name}") from None


def _area(truth: Sequence[str], predictions: Predictions, positive: str) -> float:
    """Return the area under the curve of one class against the rest: by ranks, equal ones sharing theirs."""
    found = [label == positive for label in truth]
    hits = sum(found)
    if not 0 < hits < len(found):
        raise CannotMeasureError(f"the labelled rows need some of class {positive!r} and some of others")
    shares = _shares(predictions, positive)
    order = sorted(range(len(shares)), key=shares.__getitem__)
    total, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and shares[order[end]] == shares[order[start]]:
            end += 1
        total += (start + end + 1) / 2 * sum(found[index] for index in order[start:end])
        start = end
    return (total - hits * (hits + 1) / 2) / (hits * (len(found) - hits))


def _auc(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    # Of two classes, the second is the positive one.
    return _mean(
        [_area(truth, predictions, name) for name in (classes[1:] if len(classes) == 2 else classes)]
    )


def _log_loss(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    shares = {name: _shares(predictions, name) for name in classes}
    return _mean([-math.log(max(shares[label][row], _SMALLEST_SHARE)) for row, label in enumerate(truth)])


def _pairs(truth: Sequence[str], predictions: Predictions) -> list[tuple[float, float]]:
    pairs = [(float(actual), float(one["value"])) for actual, one in zip(truth, predictions, strict=True)]
    for actual, _ in pairs:
        # A mean of it would be no number either, which is neither above nor below any bound.
        if not math.isfinite(actual):
            raise CannotMeasureError(f"the labelled rows have {actual:g} where a number is needed")
    return pairs


def _mae(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:  # noqa: ARG001
    return _mean([abs(actual - guess) for actual, guess in _pairs(truth, predictions)])


def _rmse(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:  # noqa: ARG001
    return math.sqrt(_mean([(actual - guess) ** 2 for actual, guess in _pairs(truth, predictions)]))


def _r2(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:  # noqa: ARG001
    pairs = _pairs(truth, predictions)
    mean = _mean([actual for actual, _ in pairs])
    spread = math.fsum((actual - mean) ** 2 for actual, _ in pairs)
    if not spread:
        raise CannotMeasureError("the labelled rows all have the same value: there is no R² of them")
    return 1 - math.fsum((actual - guess) ** 2 for actual, guess in pairs) / spread


@dataclass(frozen=True)
class Metric:
    """A metric: for which kind of prediction, whether more of it is better, and how it is measured."""

    prediction: str
    more_is_better: bool
    measure: Measure


METRICS = {
    "accuracy": Metric("classification", True, _accuracy),
    "balanced_accuracy": Metric("classification", True, _balanced),
    "precision": Metric("classification", True, _precision),
    "recall": Metric("classification", True, _recall),
    "f1": Metric("classification", True, _f1),
    "auc": Metric("classification", True, _auc),
    "log_loss": Metric("classification", False, _log_loss),
    "rmse": Metric("regression", False, _rmse),
    "mae": Metric("regression", False, _mae),
    "r2": Metric("regression", True, _r2),
}


def measure(metric: str, truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> float:
    """Return a metric of predictions, each of the form that was asked for. Raises CannotMeasureError."""
    unknown = sorted(set(truth) - set(classes)) if classes else []
    if unknown:
        raise CannotMeasureError(
            f"the labelled rows have the class {unknown[0]!r}, which expectations.json lacks"
        )
    try:
        return METRICS[metric].measure(truth, predictions, sorted(classes))
    except ValueError as error:
        raise CannotMeasureError(str(error)) from None


def confusion(truth: Sequence[str], predictions: Predictions, classes: Sequence[str]) -> list[list[int]]:
    """Return the confusion matrix: rows are the true classes, columns the predicted ones."""
    pairs = Counter((label, one["label"]) for label, one in zip(truth, predictions, strict=True))
    return [[pairs[actual, guess] for guess in classes] for actual in classes]
