"""Draws a model's plots as SVG, from plain values; colours are the page's own, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 26.0, 38.0
FEATURES_SHOWN = 12
LINES = ("a", "b", "c", "d")


def of(model: Mapping[str, Any]) -> list[Markup]:
    """The plots for which a model package brings the values."""
    evaluation, found = model.get("evaluation") or {}, []
    if evaluation.get("confusion_matrix"):
        found.append(confusion(evaluation["confusion_matrix"]))
    if evaluation.get("residuals"):
        found.append(residuals(evaluation["residuals"]))
    if evaluation.get("feature_importance"):
        found.append(importance(evaluation["feature_importance"]))
    if model.get("curve"):
        found.append(curve(model["curve"]))
    return found


def confusion(matrix: Mapping[str, Any]) -> Markup:
    """How often each true class (rows) was predicted as which (columns)."""
    classes, rows = list(matrix["classes"]), matrix["rows"]
    most = max((max(row) for row in rows), default=0) or 1
    left, side = 96.0, min(44.0, 220.0 / max(1, len(classes)))
    parts = []
    for i, row in enumerate(rows):
        y = TOP + i * side
        parts.append(_text(left - 8, y + side / 2 + 4, classes[i], "end"))
        for j, count in enumerate(row):
            x = left + j * side
            shade = count / most
            parts.append(
                f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{side - 2:.1f}" height="{side - 2:.1f}"'
                f' style="--shade:{shade:.2f}"/>'
            )
            kind = "on" if shade > 0.5 else ""
            parts.append(_text(x + side / 2 - 1, y + side / 2 + 4, str(count), "middle", kind))
    below = TOP + len(classes) * side + 14
    for j, name in enumerate(classes):
        x = left + (j + 0.5) * side
        parts.append(
            f'<text x="{x:.1f}" y="{below:.1f}" text-anchor="end" transform="rotate(-30 {x:.1f} {below:.1f})">'
            f"{escape(_cut(name))}</text>"
        )
    return _figure("True class by predicted class, test rows", parts, left + len(classes) * side + RIGHT, below + 42)


def residuals(values: Mapping[str, Sequence[float]]) -> Markup:
    """Each test row by its true and its predicted value; on the line they agree."""
    actual, predicted = values["actual"], values["predicted"]
    low, high = min(*actual, *predicted), max(*actual, *predicted)
    axes = _Axes((low, high), (low, high))
    parts = [*axes.frame("true", "predicted"), axes.line([(low, low), (high, high)], "rule")]
    parts += [
        f'<circle class="dot" cx="{axes.x(a):.1f}" cy="{axes.y(p):.1f}" r="3"/>'
        for a, p in zip(actual, predicted, strict=True)
    ]
    return _figure("Predicted by true value, test rows", parts)


def importance(shares: Mapping[str, float]) -> Markup:
    """Each feature's share of the gain of all splits."""
    shown = sorted(shares.items(), key=lambda pair: -pair[1])[:FEATURES_SHOWN]
    most, row, left = max((share for _, share in shown), default=1.0) or 1.0, 22.0, 130.0
    parts = []
    for number, (name, share) in enumerate(shown):
        y, width = TOP + number * row, share / most * (WIDTH - left - 50)
        parts.append(_text(left - 8, y + 12, _cut(name), "end"))
        parts.append(f'<rect class="bar" x="{left}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{row - 7}"/>')
        parts.append(_text(left + width + 6, y + 12, f"{share:.0%}"))
    return _figure("Share of the gain of all splits", parts, height=TOP + len(shown) * row + 8)


def curve(parts_of_data: Mapping[str, Mapping[str, Sequence[float]]]) -> Markup:
    """The metric of each round of training, by part of the data."""
    series = {
        f"{part} {metric}": list(values)
        for part, metrics in parts_of_data.items()
        for metric, values in metrics.items()
    }
    everything = [value for values in series.values() for value in values]
    if not everything:
        return Markup()
    rounds = max(len(values) for values in series.values())
    axes = _Axes((0, max(1, rounds - 1)), (min(everything), max(everything)))
    drawn = [*axes.frame("round", "")]
    for number, (name, values) in enumerate(series.items()):
        kind = LINES[number % len(LINES)]
        drawn.append(axes.line(enumerate(values), f"line {kind}"))
        x, y = WIDTH - RIGHT - 128, TOP + 14 + 16 * number
        drawn.append(f'<rect class="key {kind}" x="{x}" y="{y - 8}" width="12" height="4"/>')
        drawn.append(_text(x + 18, y - 2, name))
    return _figure("Training, round by round", drawn)


class _Axes:
    """Two axes with round numbers."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.across, self.up = _widened(across), _widened(up)

    def x(self, value: float) -> float:
        """Where a value lies from left to right."""
        low, high = self.across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value lies from top to bottom."""
        low, high = self.up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def frame(self, across: str, up: str) -> list[str]:
        """Grid, numbers and names of the axes."""
        parts = []
        for value in _round_numbers(*self.up):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 6, y + 4, f"{value:g}", "end"))
        for value in _round_numbers(*self.across):
            parts.append(_text(self.x(value), HEIGHT - BOTTOM + 16, f"{value:g}", "middle"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, across, "middle"))
        if up:
            middle = (TOP + HEIGHT - BOTTOM) / 2
            parts.append(
                f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{up}</text>'
            )
        return parts

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> str:
        """A line through points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{path}"/>'


def _widened(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _round_numbers(low: float, high: float) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step)
    return [round(n * step, 10) for n in range(first, math.floor(high / step) + 1)]


def _cut(text: Any, length: int = 18) -> str:
    shown = str(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _text(x: float, y: float, text: Any, anchor: str = "start", kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(str(text))}</text>'


def _figure(title: str, parts: Sequence[str], width: float = WIDTH, height: float = HEIGHT) -> Markup:
    drawn = "".join(parts)
    return Markup(  # noqa: S704 - every text in it was escaped, and the rest are numbers
        f'<figure><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">{drawn}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )
