"""The comparison of a shadow with the model in service: which captures make pairs, and what is counted."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest
from botocore.stub import ANY
from conftest import ROOT, Stub


@pytest.fixture(scope="module")
def shadow() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shadow", ROOT / "test" / "shadow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shadow"] = module
    spec.loader.exec_module(module)
    return module


def line(request: str, answers: list[str | float], inference: str = "") -> str:
    rows = [{"label": one} if isinstance(one, str) else {"value": one} for one in answers]
    sides = {
        "endpointInput": {"data": request, "encoding": "CSV"},
        "endpointOutput": {"data": json.dumps({"predictions": rows}), "encoding": "JSON"},
    }
    known = {"inferenceId": inference} if inference else {}
    return json.dumps({"captureData": sides, "eventMetadata": {"eventId": "x", **known}})


def test_pairs_are_matched_by_id_or_else_by_request(shadow: ModuleType) -> None:
    serving = list(
        shadow.read_captured([line("1", ["a"], "id-1"), line("2", ["a"]), line("2", ["b"]), line("3", ["c"])])
    )
    copies = list(
        shadow.read_captured(
            [line("2", ["x"]), line("1", ["y"], "id-1"), line("1", ["z"], "id-9"), line("4", ["z"])]
        )
    )
    pairs = shadow.pairs_of(serving, copies)
    assert [(one.request, two.request, one is serving[1]) for one, two in pairs] == [
        ("2", "2", True),
        ("1", "1", False),
    ]


def test_rows_are_counted_and_what_differs_is_shown(shadow: ModuleType) -> None:
    left = list(shadow.read_captured([line("1", ["a", "b"]), line("2", ["c"])]))
    right = list(shadow.read_captured([line("1", ["a", "x"]), line("2", ["c", "d"])]))
    found = shadow.compare(list(zip(left, right, strict=True)))
    assert (found["rows"], found["agreeing"], found["largest_difference"]) == (4, 2, None)
    assert [one["request"] for one in found["examples"]] == ["1", "2"]


def test_values_are_alike_to_six_digits(shadow: ModuleType) -> None:
    left = list(shadow.read_captured([line("1", [1.0, 100.0])]))
    right = list(shadow.read_captured([line("1", [1.0000001, 100.5])]))
    found = shadow.compare(list(zip(left, right, strict=True)))
    assert (found["rows"], found["agreeing"], found["largest_difference"]) == (2, 1, 0.5)


def test_an_answer_of_another_form_is_no_comparison(shadow: ModuleType) -> None:
    with pytest.raises(ValueError, match="not an answer of this repository"):
        shadow.predictions("[1, 2]")


def test_what_cannot_be_read_is_counted_and_costs_nothing_else(shadow: ModuleType) -> None:
    left = list(shadow.read_captured([line("1", ["a"]), line("2", [1.5]), line("3", [1.5])]))
    right = list(shadow.read_captured([line("1", ["a"]), line("2", ["b"]), line("3", [1.5])]))
    csv = shadow.Captured("", "4", "a,0.9,0.1\n")
    found = shadow.compare([*zip(left, right, strict=True), (csv, csv)])
    counts = {name: found[name] for name in ("rows", "agreeing", "unread", "largest_difference")}
    assert counts == {"rows": 3, "agreeing": 2, "unread": 1, "largest_difference": 0.0}


def test_the_latency_is_that_of_all_requests_however_long_it_has_been(shadow: ModuleType, stub: Stub) -> None:
    client, stubber = stub("cloudwatch")
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    hours = [{"SampleCount": 1.0, "Sum": 9000.0}, {"SampleCount": 3.0, "Sum": 3000.0}]
    asked = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "Dimensions": ANY,
        "StartTime": now - timedelta(days=59),
        "EndTime": now,
        "Period": 3600,
        "Statistics": ["SampleCount", "Sum"],
    }
    stubber.add_response("get_metric_statistics", {"Datapoints": hours}, asked)
    stubber.add_response("get_metric_statistics", {"Datapoints": []})
    since = now - timedelta(days=90)
    assert shadow._latency(client, "iris-p-1-prod", "Shadow", since, now) == {"average": 3.0}
    assert shadow._latency(client, "iris-p-1-prod", "Shadow", since, now) == {}


def test_what_callers_sent_is_shown_as_text(shadow: ModuleType) -> None:
    evil = "<script>alert(1)</script>"
    left = list(shadow.read_captured([line(evil, [evil])]))
    right = list(shadow.read_captured([line(evil, ["b"])]))
    found = shadow.compare(list(zip(left, right, strict=True)))
    captured = {"serving": 1, "shadow": 1}
    page = shadow.page(shadow.Comparison(evil, evil, evil, captured, 1, latency_milliseconds={}, **found))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6


def test_a_capture_of_one_side_alone_is_left_out(shadow: ModuleType) -> None:
    whole = json.loads(line("1", ["a"]))
    del whole["captureData"]["endpointOutput"]
    assert list(shadow.read_captured([json.dumps(whole)])) == []
