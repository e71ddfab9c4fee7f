"""The monitor of an endpoint: the baseline, what counts as drift, what a run writes and tells."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from conftest import Scripts

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
SIZES = [number / 10 for number in range(200)]
COLOURS = ["red", "green"] * 100


@pytest.fixture
def drift(scripts: Scripts) -> ModuleType:
    return scripts.drift


def baseline(drift: ModuleType) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = [drift.Column("size", SIZES), drift.Column("colour", COLOURS, categorical=True)]
    return drift.statistics(columns, 200), drift.constraints(columns)


def compared(drift: ModuleType, *columns: Any, widths: tuple[int, int] = (2, 2), **more: Any) -> Any:
    return drift.compare(*baseline(drift), columns, widths, **more)


def test_the_baseline_has_model_monitors_format(drift: ModuleType) -> None:
    statistics, constraints = baseline(drift)
    size, colour = statistics["features"]
    assert statistics["dataset"] == {"item_count": 200}
    assert (size["inferred_type"], colour["inferred_type"]) == ("Fractional", "String")
    numbers = size["numerical_statistics"]
    assert numbers["common"] == {"num_present": 200, "num_missing": 0}
    assert (numbers["min"], numbers["max"], numbers["mean"]) == (0.0, 19.9, pytest.approx(9.95))
    assert [bucket["count"] for bucket in numbers["distribution"]["kll"]["buckets"]] == [20] * 10
    assert numbers["distribution"]["kll"]["sketch"]["data"] == [SIZES]
    assert constraints["features"][0]["num_constraints"] == {"is_non_negative": True}
    assert constraints["features"][1]["string_constraints"] == {"domains": ["green", "red"]}
    assert constraints["monitoring_config"]["distribution_constraints"]["comparison_threshold"] == 0.1


def test_a_large_column_is_sketched_and_the_sketch_stands_for_all_of_it(drift: ModuleType) -> None:
    column = drift.Column("size", [float(number) for number in range(10_000)])
    (described,) = drift.statistics([column], 10_000)["features"]
    data = described["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
    assert [len(level) for level in data] == [0, 0, 0, 1250]
    found = drift.compare(drift.statistics([column], 10_000), drift.constraints([column]), [column], (1, 1))
    assert found.distances == {"size": 0.0}


def test_the_same_distribution_is_no_drift_and_neither_are_a_few_rows(drift: ModuleType) -> None:
    colours = drift.Column("colour", COLOURS, categorical=True)
    assert compared(drift, drift.Column("size", SIZES[::-1]), colours).violations == []
    few = drift.Column("colour", ["red"] * 3, categorical=True)
    assert compared(drift, drift.Column("size", [19.0, 19.5, 19.9]), few).violations == []


def test_another_distribution_is_drift_as_far_as_the_threshold_lets_it(drift: ModuleType) -> None:
    size, colour = (
        drift.Column("size", [v + 8 for v in SIZES]),
        drift.Column("colour", COLOURS, categorical=True),
    )
    found = compared(drift, size, colour)
    # 0.4 of the values lie above all of the baseline; chance explains 1.8 * sqrt(400 / 40000) of it.
    assert found.distances == {"size": pytest.approx(0.4 - 0.18), "colour": 0.0}
    (violation,) = found.violations
    assert violation.constraint_check_type == "baseline_drift_check"
    assert violation.description == "Baseline drift distance: 0.22 exceeds threshold: 0.1"
    assert compared(drift, size, colour, threshold=0.3).violations == []


@pytest.mark.parametrize(
    ("size", "colour", "widths", "kind", "words"),
    [
        ({"missing": 20}, {}, (2, 2), "completeness_check", "Only 90.91% of data is there"),
        ({"wrong": 2}, {}, (2, 2), "data_type_check", "Only 99.01% of data is Fractional"),
        (
            {},
            {"values": ["blue", *COLOURS]},
            (2, 2),
            "categorical_values_check",
            "99.50% of data matches",
        ),
        ({}, {}, (1, 2), "missing_column_check", "in current dataset: 1, Number"),
        ({}, {}, (2, 3), "extra_column_check", "in current dataset: 3, Number"),
    ],
)
def test_every_check_names_what_it_found(
    drift: ModuleType, size: Any, colour: Any, widths: tuple[int, int], kind: str, words: str
) -> None:
    columns = (
        drift.Column("size", **{"values": SIZES, **size}),
        drift.Column("colour", **{"values": COLOURS, "categorical": True, **colour}),
    )
    (violation,) = compared(drift, *columns, widths=widths).violations
    assert violation.constraint_check_type == kind
    assert words in violation.description


class Aws:
    """S3 with the captured data of one hour, and CloudWatch, which notes what it is told."""

    def __init__(self, *requests: tuple[str, str, str]) -> None:
        self.lines = [
            json.dumps(
                {
                    "captureData": {
                        "endpointInput": {"observedContentType": kind, "data": body, "encoding": "CSV"}
                    },
                    "eventMetadata": {"inferenceTime": time},
                }
            )
            for time, kind, body in requests
        ]
        self.told: dict[str, float] = {}

    def client(self, _: str) -> Any:
        return self

    def get_paginator(self, _: str) -> Any:
        def paginate(Bucket: str, Prefix: str) -> list[dict[str, Any]]:
            there = (Bucket, Prefix) == ("captured", "p/e/e/AllTraffic/2026/11/21/12/")
            return [{"Contents": [{"Key": "k"}]}] if there else [{}]

        return SimpleNamespace(paginate=paginate)

    def get_object(self, **_: str) -> dict[str, Any]:
        body = io.BytesIO("\n".join(self.lines).encode())
        body.iter_lines = lambda: iter(body.read().splitlines())  # type: ignore[attr-defined]
        return {"Body": body}

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        assert Namespace == "/aws/sagemaker/Endpoints/data-metrics"
        for one in MetricData:
            assert [d["Value"] for d in one["Dimensions"]] == ["e", "e-monitor"]
            self.told[one["MetricName"]] = one.get("Value", one.get("StatisticValues", {}).get("Maximum"))


def monitored(scripts: Scripts, aws: Aws, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    statistics, constraints = baseline(scripts.drift)
    scripts.drift.save(folder, "statistics.json", statistics)
    scripts.drift.save(folder, "constraints.json", constraints)
    monkeypatch.setitem(__import__("sys").modules, "boto3", aws)
    words = ["--capture", "s3://captured/p/e", "--endpoint", "e", "--schedule", "e-monitor", "--hours", "1"]
    words += ["--until", NOW.isoformat(), "--statistics", str(folder), "--constraints", str(folder)]
    scripts.monitor.main([*words, "--output", str(folder / "report")])
    return (folder / "output" / "message").read_text(encoding="utf-8")


def test_a_run_reports_what_was_sent_in_its_time(
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = "\n".join(f"{size + 50},red" for size in SIZES)
    aws = Aws(
        ("2026-11-21T11:00:00Z", "text/csv", "1,red"),  # before its time
        ("2026-11-21T12:00:00Z", "text/csv", rows),
        ("2026-11-21T12:10:00Z", "application/json", '{"instances": [[60, "red"], [null, "red"]]}'),
        ("2026-11-21T12:20:00Z", "image/png", "?"),
    )
    said = monitored(scripts, aws, tmp_path, monkeypatch)
    assert said.startswith("CompletedWithViolations: 3 violations in 202 rows from 2026-11-21T11:30Z")
    assert said.endswith("1 requests cannot be read")
    written = json.loads((tmp_path / "report" / "constraint_violations.json").read_text())["violations"]
    assert [(v["feature_name"], v["constraint_check_type"]) for v in written] == [
        ("size", "completeness_check"),
        ("size", "baseline_drift_check"),
        ("colour", "baseline_drift_check"),
    ]
    assert (aws.told["violations"], aws.told["rows"], aws.told["feature_data_size"]) == (3, 202, 69.9)
    assert aws.told["feature_baseline_drift_size"] > 0.8


def test_of_many_rows_those_that_are_kept_are_of_the_whole_time(scripts: Scripts) -> None:
    def record(first: int) -> dict[str, Any]:
        body = "\n".join(f"{number},red" for number in range(first, first + 7))
        side = {"data": body, "encoding": "CSV", "observedContentType": "text/csv"}
        return {"captureData": {"endpointInput": side}}

    for most, kept in ((70, range(70)), (69, range(0, 70, 2)), (17, range(0, 70, 8))):
        rows, unread = scripts.monitor._rows(iter(map(record, range(0, 70, 7))), most)
        assert ([int(row[0]) for row in rows], unread) == (list(kept), 0)


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b'{"eventMetadata": {"inferenceTime": "soon"}}'])
def test_a_line_that_is_no_capture_is_named_by_its_object(scripts: Scripts, line: bytes) -> None:
    with pytest.raises(scripts.failures.DataError, match=r"e/1\.jsonl: a line is no record of data capture"):
        scripts.monitor._record(line, "e/1.jsonl")


def test_without_requests_there_is_no_news(
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = Aws()
    assert monitored(scripts, aws, tmp_path, monkeypatch).startswith("Completed: no violations in 0 rows")
    assert aws.told == {"rows": 0}


def test_the_monitor_says_what_is_wrong_with_a_baseline(scripts: Scripts, tmp_path: Path) -> None:
    with pytest.raises(scripts.failures.DataError, match=r"there is no statistics\.json; train the model"):
        scripts.monitor._baseline(tmp_path, "statistics.json")
