"""The recorded payloads: that those of this repository are good, and that mistakes in them are found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from expectations import (
    FILE,
    Expectations,
    ExpectationsError,
    Form,
    Load,
    Payload,
    answer_problem,
    read_expectations,
)
from measures import METRICS, CannotMeasureError, confusion, measure

PREDICTION = json.loads((ROOT / "seed.json").read_text(encoding="utf-8"))["answers"]["prediction"]
STAGES = [path.name.removesuffix("-config-template.json") for path in ROOT.glob("*-config-template.json")]

LATENCY = {"requests": 2, "concurrency": 1, "seconds": 5, "p50_milliseconds": 50, "p95_milliseconds": 100}
GOOD: dict[str, Any] = {
    "schema_version": 1,
    "timeout_seconds": 1,
    "answers": {"classes": ["a", "b"]},
    "payloads": [{"file": "rows.csv", "content_type": "text/csv", "expected": [{"label": "a"}, None]}],
    "bad_input": [{"name": "text", "content_type": "text/csv", "body": "x"}],
    "latency": LATENCY,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("1,2\n3,4\n")
    (tmp_path / "rows.json").write_text('{"instances": [[1, 2]]}')
    (tmp_path / "empty.csv").write_text("\n")
    return tmp_path


def read(
    folder: Path, change: dict[str, Any], prediction: str = "classification", stage: str = "prod"
) -> Expectations:
    answers = {"answers": {}} if prediction == "regression" else {}
    (folder / "expectations.json").write_text(json.dumps({**GOOD, **answers, **change}))
    return read_expectations(folder / "expectations.json", prediction, stage, ["staging", "prod"])


@pytest.mark.parametrize("stage", STAGES)
def test_the_expectations_of_this_repository_can_be_kept(stage: str) -> None:
    try:
        problems = list(read_expectations(ROOT / "test" / FILE, PREDICTION, stage, STAGES).broken.values())
    except ExpectationsError as error:
        problems = [str(error)]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_a_payload_knows_its_rows_and_what_is_expected(folder: Path) -> None:
    (payload,) = read(folder, {}).payloads
    assert payload == Payload("rows.csv", "text/csv", b"1,2\n3,4\n", 2, [{"label": "a"}, None])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timeout": 1}, "the file has the unknown key timeout"),
        ({"timeout_seconds": 0}, "timeout_seconds must be a number from 0.1 to 60"),
        ({"timeout_seconds": "1"}, "timeout_seconds must be a number"),
        ({"schema_version": 2}, "schema_version must be 1, not 2"),
        ({"latency": {"invocations": 1}}, "latency lacks concurrency"),
        ({"latency": {**LATENCY, "requests": 5000}}, "latency.requests must be a number from 1 to 1000"),
        ({"latency": {**LATENCY, "concurrency": 9}}, "latency.concurrency must be a number from 1 to 8"),
        ({"latency": {**LATENCY, "seconds": 61}}, "latency.seconds must be a number from 0.1 to 60"),
        ({"answers": {"classes": ["a"]}}, "answers.classes must list the classes"),
        (
            {"answers": {"classes": ["a", "b"], "probabilities": 1}},
            "answers.probabilities must be true or false",
        ),
        ({"answers": {}}, "answers lacks classes"),
        ({"bad_input": [{"name": "x", "content_type": "text/csv"}]}, "a bad input lacks body"),
        ({"bad_input": [*GOOD["bad_input"], *GOOD["bad_input"]]}, "two bad inputs have the name 'text'"),
        ({"bad_input": [{"name": "x", "content_type": "", "body": "x"}]}, "must have text as name"),
        ({"quality": {"rows": 10}}, "quality lacks tolerance"),
        ({"quality": {"rows": 10, "tolerance": -1}}, "quality.tolerance must be a number from 0"),
        ({"quality": {"rows": 10, "tolerance": 1, "labelled": "rows.csv"}}, "quality lacks target"),
        (
            {"quality": {"rows": 10, "tolerance": 1, "labelled": "gone.csv", "target": "x"}},
            "quality.labelled names gone.csv, which is not there",
        ),
        (
            {"quality": {"rows": 10, "tolerance": 1, "registered": "0.9"}},
            "quality.registered must be a number",
        ),
        (
            {"stages": {"production": {}}},
            "stages has 'production', which is no stage; there is prod, staging",
        ),
        ({"stages": []}, "stages must map the names of stages"),
        ({"stages": {"prod": {"latenzy": {}}}}, "the file has the unknown key latenzy"),
        ({"payloads": []}, "at least one payload"),
        ({"payloads": ["rows.csv"]}, "a payload must be a mapping"),
        ({"payloads": [{"file": "rows.csv"}]}, "a payload lacks content_type"),
    ],
)
def test_a_malformed_file_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ExpectationsError, match=message):
        read(folder, change)


def test_a_missing_or_unreadable_file_is_refused(folder: Path) -> None:
    file = folder / "expectations.json"
    with pytest.raises(ExpectationsError, match="cannot be read"):
        read_expectations(file, "regression")
    file.write_text("{")
    with pytest.raises(ExpectationsError, match="must be JSON"):
        read_expectations(file, "regression")


def test_a_stage_has_expectations_of_its_own_where_it_says_so(folder: Path) -> None:
    stages = {"prod": {"latency": {"requests": 1}, "quality": None, "bad_input": []}}
    told = {"stages": stages, "quality": {"rows": 10, "tolerance": 0.1}}
    staging, prod = (read(folder, told, stage=stage) for stage in ("staging", "prod"))
    assert staging.latency == Load(2, 1, 5, 50, 100)
    assert prod.latency == Load(1, 1, 5, 50, 100)
    assert staging.quality is not None
    assert (prod.quality, len(staging.bad_input), prod.bad_input) == (None, 1, [])


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"file": "gone.csv", "content_type": "text/csv"}, "names gone.csv, which cannot be read"),
        ({"file": "../rows.csv", "content_type": "text/csv"}, "must name a file beside it or below, not"),
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
    folder: Path, payload: dict[str, Any], message: str
) -> None:
    expectations = read(folder, {"payloads": [payload, GOOD["payloads"][0]]})
    assert [good.file for good in expectations.payloads] == ["rows.csv"]
    assert message in expectations.broken[payload["file"]]


def test_a_regression_expects_a_value_with_its_tolerance(folder: Path) -> None:
    payload = {"file": "rows.json", "content_type": "application/json", "expected": [{"value": 1}]}
    broken = read(folder, {"payloads": [payload]}, "regression").broken
    assert "lacks tolerance" in broken["rows.json"]


LOAD = Load(1, 1, 1, 1, 1)
CLASSES = Expectations("classification", 1, Form(["a", "b"]), [], {}, [], LOAD)
NUMBERS = Expectations("regression", 1, Form([], minimum=0.5, maximum=9), [], {}, [], LOAD)
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
        ({"value": 0.4}, "answered 0.4, which is below the minimum of 0.5"),
        ({"value": 10}, "answered 10, which is above the maximum of 9"),
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
        ("application/json", b'{"predictions": 1}', "answered no list of predictions for 1 row"),
        ("application/json", b'{"predictions": []}', "answered 0 predictions for 1 row"),
        ("application/json", b"[" * 100_000, "the answer is not"),
        (
            "application/json",
            b'{"predictions": [{"label": "a", "probabilities": {"a": 1%s, "b": 0}}]}' % (b"0" * 400),
            "a probability is not a number",
        ),
    ],
)
def test_the_form_of_an_answer(content_type: str, body: bytes, problem: str) -> None:
    assert problem in str(answer_problem(CLASSES, PAYLOAD, content_type, body))


def test_probabilities_need_not_be_there() -> None:
    plain = replace(CLASSES, answers=Form(["a", "b"], probabilities=False))
    check(plain, PAYLOAD, {"predictions": [{"label": "a"}]}, None)


def shares(label: str, **probabilities: float) -> dict[str, Any]:
    return {"label": label, "probabilities": probabilities}


TRUTH = ["a", "a", "b", "b"]
GUESSES = [
    shares("a", a=0.8, b=0.2),
    shares("b", a=0.4, b=0.6),
    shares("b", a=0.4, b=0.6),
    shares("b", a=0.1, b=0.9),
]
WIDTHS = [{"value": 1.0}, {"value": 2.5}, {"value": 2.0}]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("accuracy", 3 / 4),
        ("balanced_accuracy", 3 / 4),
        ("precision", (1 + 2 / 3) / 2),
        ("recall", (1 / 2 + 1) / 2),
        ("f1", (2 / 3 + 4 / 5) / 2),
        ("auc", (4 - 0.5) / 4),  # of the four pairs, one is a tie
        ("log_loss", -math.log(0.8 * 0.4 * 0.6 * 0.9) / 4),
        ("mae", 0.5),
        ("rmse", math.sqrt((0.25 + 1) / 3)),
        ("r2", 1 - 1.25 / 2),
    ],
)
def test_metrics(metric: str, value: float) -> None:
    kind = METRICS[metric].prediction
    given = (TRUTH, GUESSES, ["b", "a"]) if kind == "classification" else (["1", "2", "3"], WIDTHS, [])
    assert measure(metric, *given) == pytest.approx(value)


def test_what_cannot_be_measured_is_named() -> None:
    for metric, truth, guesses, message in (
        ("accuracy", ["a", "x"], GUESSES[:2], "the class 'x', which expectations.json lacks"),
        ("auc", ["a", "a"], GUESSES[:2], "need some of class 'b'"),
        ("auc", ["a", "b"], [{"label": "a"}] * 2, "lack probabilities of b"),
    ):
        with pytest.raises(CannotMeasureError, match=message):
            measure(metric, truth, guesses, ["a", "b"])
    for truth, message in ((["1", "1"], "all have the same value"), (["1", "one"], "could not convert")):
        with pytest.raises(CannotMeasureError, match=message):
            measure("r2", truth, WIDTHS[:2], [])


def test_the_confusion_matrix_has_the_true_classes_as_rows() -> None:
    assert confusion(TRUTH, GUESSES, ["a", "b"]) == [[1, 1], [0, 2]]
