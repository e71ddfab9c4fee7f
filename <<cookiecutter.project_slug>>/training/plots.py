"""The plots of the notebook, drawn with matplotlib from plain values; reads nothing."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

_MANY = 12


def columns(table: Any, target: str) -> Figure:
    """Return a histogram of each numeric column of a table, by class where the target has few values."""
    numeric = [name for name in table.select_dtypes("number").columns if name != target][:_MANY]
    groups = table.groupby(target) if table[target].nunique() <= _MANY else [("all rows", table)]
    figure, axes = plt.subplots(
        1,
        max(len(numeric), 1),
        figsize=(3.2 * max(len(numeric), 1), 2.8),
        squeeze=False,
        layout="constrained",
    )
    for axis, name in zip(axes[0], numeric, strict=False):
        values = table[name].dropna()
        for label, rows in groups:
            axis.hist(
                rows[name].dropna(), bins=20, range=(values.min(), values.max()), alpha=0.6, label=str(label)
            )
        axis.set_title(name)
    axes[0][0].legend(title=target, fontsize="small")
    return figure


def outcome(found: dict[str, Any]) -> Figure:
    """Return the confusion matrix of a classification, or a regression's predictions against the truth."""
    figure, axis = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
    if "confusion_matrix" in found:
        _confusion(axis, found["confusion_matrix"])
    else:
        _residuals(axis, found["residuals"])
    return figure


def _confusion(axis: Any, matrix: dict[str, Any]) -> None:
    rows, classes = matrix["rows"], matrix["classes"]
    axis.imshow(rows, cmap="Blues")
    most = max(max(row) for row in rows)
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            axis.text(
                j, i, str(count), ha="center", va="center", color="white" if count > most / 2 else "black"
            )
    axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="predicted", ylabel="true", title="Test rows")


def _residuals(axis: Any, residuals: dict[str, list[float]]) -> None:
    actual, predicted = residuals["actual"], residuals["predicted"]
    ends = [min(actual), max(actual)]
    axis.plot(ends, ends, color="gray", linewidth=1)
    axis.scatter(actual, predicted, s=14, alpha=0.7)
    axis.set(xlabel="true", ylabel="predicted", title="Test rows")


def importance(found: dict[str, Any]) -> Figure:
    """Return how much each feature contributes, the greatest on top."""
    shares = list(found["feature_importance"].items())[:20]
    figure, axis = plt.subplots(figsize=(5, 0.6 + 0.35 * len(shares)), layout="constrained")
    axis.barh([name for name, _ in reversed(shares)], [share for _, share in reversed(shares)])
    axis.set_title("Share of the gain of all splits")
    return figure


def curve(rounds: dict[str, dict[str, list[float]]]) -> Figure:
    """Return the metric over the rounds of the training, one line for each part of the data."""
    figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
    for part, series in rounds.items():
        for name, values in series.items():
            axis.plot(values, label=f"{part}: {name}")
    axis.set(xlabel="round", title="Training curve")
    axis.legend(fontsize="small")
    return figure
