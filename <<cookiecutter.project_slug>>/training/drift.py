"""Describes columns and finds where newer ones differ, in the files of Model Monitor; reads no data.

The formats are those that AWS documents for Model Monitor (statistics.json, constraints.json and
constraint_violations.json), so that its tools read them; the distances are those of its analyzer, which
builds on Deequ: the largest difference between two distributions, less what chance alone explains.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

STATISTICS, CONSTRAINTS, VIOLATIONS = "statistics.json", "constraints.json", "constraint_violations.json"
INTEGRAL, FRACTIONAL, STRING = "Integral", "Fractional", "String"
SAMPLE_ROWS = 100_000
"""More rows than these tell no more about a distribution: callers take that many, evenly."""
THRESHOLD = 0.1
_BUCKETS = 10
_SKETCH = 2048
# Of two samples of one distribution, 99.7 % differ by less than this, times the root of (n + m) / (n * m).
_CHANCE = 1.8
_CHECKS = {
    "evaluate_constraints": "Enabled",
    "emit_metrics": "Enabled",
    "datatype_check_threshold": 1.0,
    "domain_content_threshold": 1.0,
    "distribution_constraints": {
        "perform_comparison": "Enabled",
        "comparison_threshold": THRESHOLD,
        "comparison_method": "Robust",
    },
}


@dataclass(frozen=True)
class Column:
    """The values of one feature: numbers or texts, without those that are missing."""

    name: str
    values: Sequence[Any]
    missing: int = 0
    wrong: int = 0
    """Values that are not of the column's type, which are not among `values`."""
    categorical: bool = False

    @property
    def present(self) -> int:
        """Return how many cells hold something."""
        return len(self.values) + self.wrong

    @property
    def type(self) -> str:
        """Return the type as Model Monitor calls it."""
        if self.categorical:
            return STRING
        return INTEGRAL if all(float(value).is_integer() for value in self.values) else FRACTIONAL

    @property
    def completeness(self) -> float:
        """Return the share of the cells that hold something; 1 if there are no cells."""
        total = self.present + self.missing
        return self.present / total if total else 1.0


@dataclass(frozen=True)
class Violation:
    """Where newer data breaks what the baseline says, in the words of constraint_violations.json."""

    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True)
class Comparison:
    """What became of a comparison: the distance from the baseline by feature, and what is violated."""

    distances: dict[str, float] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def save(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write one of the files; the same content gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def statistics(columns: Sequence[Column], rows: int) -> dict[str, Any]:
    """Return the content of statistics.json."""
    return {
        "version": 0.0,
        "dataset": {"item_count": rows},
        "features": [
            {"name": column.name, "inferred_type": column.type, **_DESCRIBED[column.categorical](column)}
            for column in columns
        ],
    }


def constraints(columns: Sequence[Column]) -> dict[str, Any]:
    """Return the content of constraints.json: what newer data must keep to."""
    return {
        "version": 0.0,
        "features": [
            {
                "name": column.name,
                "inferred_type": column.type,
                "completeness": column.completeness,
                **(
                    {"string_constraints": {"domains": sorted(set(column.values))}}
                    if column.categorical
                    else {"num_constraints": {"is_non_negative": all(value >= 0 for value in column.values)}}
                ),
            }
            for column in columns
        ],
        "monitoring_config": _CHECKS,
    }


def _common(column: Column) -> dict[str, int]:
    return {"num_present": column.present, "num_missing": column.missing}


def _numerical(column: Column) -> dict[str, Any]:
    values = sorted(float(value) for value in column.values)
    found: dict[str, Any] = {"common": _common(column)}
    if values:
        mean = math.fsum(values) / len(values)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        found |= {
            "mean": mean,
            "sum": math.fsum(values),
            "std_dev": deviation,
            "min": values[0],
            "max": values[-1],
            "distribution": {"kll": {"buckets": _buckets(values), "sketch": _sketch(values)}},
        }
    return {"numerical_statistics": found}


def _buckets(values: Sequence[float]) -> list[dict[str, float]]:
    """Return ten intervals of equal width with their counts; the last one includes its upper bound."""
    low, high = values[0], values[-1]
    width = (high - low) / _BUCKETS
    bounds = [low + number * width for number in range(_BUCKETS)] + [high]
    counts = Counter(min(bisect_right(bounds, value), _BUCKETS) - 1 for value in values)
    return [
        {"lower_bound": bounds[n], "upper_bound": bounds[n + 1], "count": counts[n]} for n in range(_BUCKETS)
    ]


def _sketch(values: Sequence[float]) -> dict[str, Any]:
    """Return a KLL sketch: values of level n stand for 2 to the n values each, and one level is enough."""
    level = max(0, math.ceil(math.log2(len(values) / _SKETCH)))
    step = 2**level
    kept = list(values[step // 2 :: step])
    return {"parameters": {"c": 0.64, "k": float(_SKETCH)}, "data": [*([] for _ in range(level)), kept]}


def _categorical(column: Column) -> dict[str, Any]:
    counts = sorted(Counter(column.values).items())
    return {
        "string_statistics": {
            "common": _common(column),
            "distinct_count": float(len(counts)),
            "distribution": {
                "categorical": {"buckets": [{"value": value, "count": count} for value, count in counts]}
            },
        }
    }


_DESCRIBED = {False: _numerical, True: _categorical}


def compare(
    baseline: Mapping[str, Any],
    limits: Mapping[str, Any],
    columns: Sequence[Column],
    widths: tuple[int, int],
    threshold: float | None = None,
) -> Comparison:
    """Return how columns differ from a baseline.

    Args:
        baseline: statistics.json of the baseline.
        limits: its constraints.json.
        columns: those of the newer data, in the baseline's order; without any value they are not compared.
        widths: the fewest and the most columns that a row of it has.
        threshold: the largest distance that is no drift, in place of what constraints.json says.
    """
    expected = limits["features"]
    found = Comparison()
    found.violations.extend(_width_violations(len(expected), widths))
    described = {feature["name"]: feature for feature in baseline["features"]}
    for limit, column in zip(expected, columns, strict=False):
        checks = {**limits["monitoring_config"], **(limit.get("monitoringConfigOverrides") or {})}
        found.violations.extend(_cell_violations(limit, checks, column))
        if column.values:
            distance = _distance(described[column.name], column, checks["distribution_constraints"])
            found.distances[column.name] = distance
            allowed = checks["distribution_constraints"]["comparison_threshold"]
            allowed = allowed if threshold is None else threshold
            if distance > allowed:
                words = f"Baseline drift distance: {distance:.4g} exceeds threshold: {allowed:g}"
                found.violations.append(Violation(column.name, "baseline_drift_check", words))
    return found


def _width_violations(expected: int, widths: tuple[int, int]) -> list[Violation]:
    least, most = widths
    return [
        Violation(
            kind.capitalize() + " columns",
            f"{kind}_column_check",
            f"There are {kind} columns in current dataset. Number of columns in current dataset: {number}, "
            f"Number of columns in baseline constraints: {expected}",
        )
        for kind, number, wrong in (("missing", least, least < expected), ("extra", most, most > expected))
        if wrong
    ]


def _cell_violations(limit: Mapping[str, Any], checks: Mapping[str, Any], column: Column) -> list[Violation]:
    found = []
    wanted = limit["inferred_type"]
    right = sum(_is_of(wanted, value) for value in column.values)
    share = right / column.present if column.present else 1.0
    if share < checks["datatype_check_threshold"]:
        words = (
            f"Data type match requirement is not met. Expected data type: {wanted}, Expected match: "
            f"{checks['datatype_check_threshold']:.1%}. Observed: Only {share:.2%} of data is {wanted}."
        )
        found.append(Violation(column.name, "data_type_check", words))
    if column.completeness < limit["completeness"]:
        words = (
            f"Data completeness requirement is not met. Expected: {limit['completeness']:.2%}. "
            f"Observed: Only {column.completeness:.2%} of data is there."
        )
        found.append(Violation(column.name, "completeness_check", words))
    domains = set(limit.get("string_constraints", {}).get("domains", ()))
    known = sum(value in domains for value in column.values) / len(column.values) if column.values else 1.0
    if domains and known < checks["domain_content_threshold"]:
        words = (
            f"Value requirement is not met. Expected match: {checks['domain_content_threshold']:.1%}. "
            f"Observed: Only {known:.2%} of data matches the known values."
        )
        found.append(Violation(column.name, "categorical_values_check", words))
    return found


def _is_of(wanted: str, value: Any) -> bool:
    return wanted != INTEGRAL or float(value).is_integer()


def _distance(described: Mapping[str, Any], column: Column, how: Mapping[str, Any]) -> float:
    if how["perform_comparison"] != "Enabled":
        return 0.0
    if column.categorical:
        buckets = described["string_statistics"]["distribution"]["categorical"]["buckets"]
        before = {bucket["value"]: bucket["count"] for bucket in buckets}
        largest, count = _categorical_difference(before, Counter(column.values)), sum(before.values())
    else:
        kept = described["numerical_statistics"].get("distribution", {}).get("kll", {}).get("sketch", {})
        weighted = [(value, 2**level) for level, data in enumerate(kept.get("data", ())) for value in data]
        largest, count = _numerical_difference(weighted, column.values), sum(w for _, w in weighted)
    if how["comparison_method"] != "Robust" or not count:
        return largest
    now = len(column.values)
    return max(0.0, largest - _CHANCE * math.sqrt((count + now) / (count * now)))


def _numerical_difference(before: Sequence[tuple[float, int]], now: Sequence[float]) -> float:
    """Return the largest difference between two cumulative distributions (two-sample Kolmogorov-Smirnov)."""
    if not before:
        return 0.0
    ordered = sorted(before)
    points, sums = [value for value, _ in ordered], [0, *accumulate(weight for _, weight in ordered)]
    newer = sorted(now)
    return max(
        abs(sums[bisect_right(points, point)] / sums[-1] - bisect_right(newer, point) / len(newer))
        for point in {*points, *newer}
    )


def _categorical_difference(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Return the largest difference between the shares of a value."""
    total, newer = sum(before.values()), sum(now.values())
    return max(
        (abs(before.get(value, 0) / total - now.get(value, 0) / newer) for value in {*before, *now}),
        default=0.0,
    )
