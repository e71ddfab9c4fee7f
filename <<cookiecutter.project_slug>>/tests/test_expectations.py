"""The recorded payloads: that those of this repository are good, and that mistakes in them are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from expectations import Expectations, ExpectationsError, Payload, answer_problem, read_expectations

PREDICTION = json.loads((ROOT / "seed.json").read_text(encoding="utf-8"))["answers"]["prediction"]
KINDS = sorted(path.name for path in (ROOT / "test" / "payloads").iterdir() if path.is_dir())

GOOD: dict[str, Any] = {
    "classes": ["a", "b"],
    "timeout_seconds": 1,
    "latency": {"invocations": 2, "p95_milliseconds": 100},
    "payloads": [{"file": "rows.csv", "content_type": "text/csv", "expected": [{"label": "a"}, None]}],
}


@pytest.fixture
def payloads(tmp_path: Path) -> Path:
    for kind in ("classification", "regression"):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "rows.csv").write_text("1,2\n3,4\n")
        (folder / "rows.json").write_text('{"instances": [[1, 2]]}')
        (folder / "empty.csv").write_text("\n")
    return tmp_path


def read(folder: Path, change: dict[str, Any], prediction: str = "classification") -> Expectations:
    (folder / prediction / "expectations.json").write_text(json.dumps({**GOOD, **change}))
    return read_expectations(folder, prediction)


def test_the_payloads_of_this_project_are_there() -> None:
    assert PREDICTION in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_payloads_of_this_repository_can_be_sent(kind: str) -> None:
    expectations = read_expectations(ROOT / "test" / "payloads", kind)
    assert expectations.broken == {}
    assert {payload.content_type for payload in expectations.payloads} == {"text/csv", "application/json"}
    listed = {payload.file for payload in expectations.payloads} | {"expectations.json"}
    assert {path.name for path in (ROOT / "test" / "payloads" / kind).iterdir()} == listed


def test_a_payload_knows_its_rows_and_what_is_expected(payloads: Path) -> None:
    (payload,) = read(payloads, {}).payloads
    assert payload == Payload("rows.csv", "text/csv", b"1,2\n3,4\n", 2, [{"label": "a"}, None])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timeout": 1}, "the file has the unknown key timeout"),
        ({"timeout_seconds": 0}, "timeout_seconds must be a number from 0.1 to 60"),
        ({"timeout_seconds": "1"}, "timeout_seconds must be a number"),
        ({"latency": {"invocations": 1}}, "latency lacks p95_milliseconds"),
        (
            {"latency": {"invocations": 5000, "p95_milliseconds": 1}},
            "latency.invocations must be a number from 1 to 1000",
        ),
        ({"classes": ["a"]}, "classes must list the classes"),
        ({"payloads": []}, "at least one payload"),
        ({"payloads": ["rows.csv"]}, "a payload must be a mapping"),
        ({"payloads": [{"file": "rows.csv"}]}, "a payload lacks content_type"),
    ],
)
def test_a_malformed_file_is_refused(payloads: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpectationsError, match=message):
        read(payloads, change)


def test_a_missing_or_unreadable_file_is_refused(payloads: Path) -> None:
    with pytest.raises(ExpectationsError, match="cannot be read"):
        read_expectations(payloads, "regression")
    (payloads / "regression" / "expectations.json").write_text("{")
    with pytest.raises(ExpectationsError, match="must be JSON"):
        read_expectations(payloads, "regression")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"file": "gone.csv", "content_type": "text/csv"}, "names gone.csv, which cannot be read"),
        ({"file": "../rows.csv", "content_type": "text/csv"}, "must name a file beside it"),
        ({"file": "rows.csv", "content_type": "text/plain"}, "content_type must be one of"),
        ({"file": "rows.csv", "content_type": "application/json"}, "rows.csv is not application/json"),
        ({"file": "empty.csv", "content_type": "text/csv"}, "has no rows"),
        (
            {"file": "rows.csv", "content_type": "text/csv", "expected": [None]},
            "one answer per row of rows.csv: 2, not 1",
        ),
        (
            {"file": "rows.csv", "content_type": "text/csv", "expected": [{"lable": "a"}, None]},
            "unknown key lable",
        ),
        (
            {"file": "rows.csv", "content_type": "text/csv", "expected": [{"label": "c"}, None]},
            "not one of the classes",
        ),
    ],
)
def test_a_broken_payload_is_named_and_the_others_stay(
    payloads: Path, payload: dict[str, Any], message: str
) -> None:
    expectations = read(payloads, {"payloads": [payload, GOOD["payloads"][0]]})
    assert [good.file for good in expectations.payloads] == ["rows.csv"]
    assert message in expectations.broken[payload["file"]]


def test_a_regression_expects_a_value_with_its_tolerance(payloads: Path) -> None:
    payload = {"file": "rows.json", "content_type": "application/json", "expected": [{"value": 1}]}
    broken = read(payloads, {"payloads": [payload]}, "regression").broken
    assert "lacks tolerance" in broken["rows.json"]


CLASSES = Expectations("classification", ["a", "b"], 1, 1, 1, [], {})
NUMBERS = Expectations("regression", [], 1, 1, 1, [], {})
PAYLOAD = Payload("rows.csv", "text/csv", b"1\n", 1, [{"label": "a"}])
NUMBER_PAYLOAD = Payload("rows.csv", "text/csv", b"1\n", 1, [{"value": 1.0, "tolerance": 0.5}])


def label(name: str = "a", **probabilities: Any) -> dict[str, Any]:
    return {"label": name, "probabilities": probabilities or {"a": 0.75, "b": 0.25}}


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        (label(), None),
        (label(a=1, b=0), None),
        (label(a=0.5, b=0.5), None),
        ("a", "row 1: no label"),
        ({"probabilities": {}}, "row 1: no label"),
        (label("c"), "'c' is not one of a, b"),
        ({"label": "a"}, "probabilities must name exactly a, b"),
        (label(a=1), "probabilities must name exactly a, b"),
        (label(a=1.5, b=-0.5), "not a number from 0 to 1"),
        (label(a="1", b=0), "not a number from 0 to 1"),
        (label(a=float("nan"), b=0), "not a number from 0 to 1"),
        (label(a=0.9, b=0.9), "add up to 1.800"),
        (label("b"), "'b' is not the most probable class"),
        (label("b", a=0.2, b=0.8), "expected 'a', answered 'b'"),
    ],
)
def test_answers_of_a_classification(prediction: Any, problem: str | None) -> None:
    check(CLASSES, PAYLOAD, {"predictions": [prediction]}, problem)


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        ({"value": 1.5}, None),
        ({"value": 1}, None),
        ({"value": 1.51}, "expected 1.0 ± 0.5, answered 1.51"),
        ({"value": "1"}, "no finite number"),
        ({"value": True}, "no finite number"),
        ({"value": float("inf")}, "no finite number"),
        (1.0, "no finite number"),
        ({}, "no finite number"),
    ],
)
def test_answers_of_a_regression(prediction: Any, problem: str | None) -> None:
    check(NUMBERS, NUMBER_PAYLOAD, {"predictions": [prediction]}, problem)


def check(expectations: Expectations, payload: Payload, answer: Any, problem: str | None) -> None:
    found = answer_problem(
        expectations, payload, "application/json; charset=utf-8", json.dumps(answer).encode()
    )
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert problem in found


@pytest.mark.parametrize(
    ("content_type", "body", "problem"),
    [
        ("text/csv", b"a\n", "answered text/csv instead of application/json"),
        ("", b"{}", "answered no content type"),
        ("application/json", b"\xff", "the answer is not"),
        ("application/json", b"[]", "the answer is not"),
        ("application/json", b'{"predictions": 1}', "no list of predictions for 1 rows"),
        ("application/json", b'{"predictions": []}', "0 predictions for 1 rows"),
    ],
)
def test_the_form_of_an_answer(content_type: str, body: bytes, problem: str) -> None:
    assert problem in str(answer_problem(CLASSES, PAYLOAD, content_type, body))
