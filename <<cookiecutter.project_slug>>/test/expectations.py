"""What the endpoint must answer: the recorded payloads, whether an answer keeps to them; invokes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "expectations.json"
_SUM_TOLERANCE = 0.01
_MAX_INVOCATIONS = 1000


@dataclass(frozen=True)
class Payload:
    """A recorded request; `expected` has one entry per row (None: any well-formed answer), or is None."""

    file: str
    content_type: str
    body: bytes
    rows: int
    expected: list[dict[str, Any] | None] | None


@dataclass(frozen=True)
class Expectations:
    """What is asked of the endpoint; `broken` has the payloads that cannot be sent, with the reason."""

    prediction: str
    classes: list[str]
    timeout_seconds: float
    invocations: int
    p95_milliseconds: float
    payloads: list[Payload]
    broken: dict[str, str]


class ExpectationsError(ValueError):
    """expectations.json cannot be used; the message is one line."""


def read_expectations(folder: Path, prediction: str) -> Expectations:
    """Read `folder/<prediction>/expectations.json` and its payloads. Raises ExpectationsError."""
    path = folder / prediction / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExpectationsError(f"{path}: cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ExpectationsError(f"{path}: must be JSON: {error}") from error
    try:
        return _expectations(path.parent, prediction, data)
    except _FormError as error:
        raise ExpectationsError(f"{path}: {error}") from error


class _FormError(ValueError):
    pass


def _expectations(folder: Path, prediction: str, data: Any) -> Expectations:
    if prediction not in _ANSWERS:
        raise _FormError(f"no such kind of prediction: {prediction}; there is {', '.join(_ANSWERS)}")
    _keys(data, "the file", {"timeout_seconds", "latency", "payloads"}, {"classes"})
    latency = _keys(data["latency"], "latency", {"invocations", "p95_milliseconds"})
    classes = data.get("classes", [])
    if prediction == "classification" and not (isinstance(classes, list) and len(set(map(str, classes))) > 1):
        raise _FormError("classes must list the classes that the model tells apart")
    if not isinstance(data["payloads"], list) or not data["payloads"]:
        raise _FormError("payloads must be a list of at least one payload")
    classes = [str(name) for name in classes]
    payloads, broken = [], {}
    for entry in data["payloads"]:
        _keys(entry, "a payload", {"file", "content_type"}, {"expected"})
        try:
            payload = _payload(folder, entry)
            _check_expected(prediction, classes, payload)
            payloads.append(payload)
        except _FormError as error:
            broken[str(entry["file"])] = str(error)
    invocations = _number(latency["invocations"], "latency.invocations", 1, _MAX_INVOCATIONS)
    return Expectations(
        prediction=prediction,
        classes=classes,
        timeout_seconds=_number(data["timeout_seconds"], "timeout_seconds", 0.1, 60),
        invocations=int(invocations),
        p95_milliseconds=_number(latency["p95_milliseconds"], "latency.p95_milliseconds", 0.001, 60000),
        payloads=payloads,
        broken=broken,
    )


def _keys(data: Any, what: str, needed: set[str], optional: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _FormError(f"{what} must be a mapping")
    missing, unknown = needed - set(data), set(data) - needed - (optional or set())
    if missing or unknown:
        parts = [f"lacks {name}" for name in sorted(missing)] + [
            f"has the unknown key {name}" for name in sorted(unknown)
        ]
        raise _FormError(f"{what} {' and '.join(parts)}")
    return data


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _FormError(f"{what} must be a number from {low} to {high}, not {value!r}")
    return float(value)


def _payload(folder: Path, entry: dict[str, Any]) -> Payload:
    file, kind, expected = entry["file"], entry["content_type"], entry.get("expected")
    if kind not in _ROWS:
        raise _FormError(f"{FILE}: content_type must be one of {', '.join(_ROWS)}, not {kind!r}")
    if not isinstance(file, str) or Path(file).name != file:
        raise _FormError(f"{FILE}: file must name a file beside it, not {file!r}")
    try:
        body = (folder / file).read_bytes()
    except OSError as error:
        raise _FormError(f"{FILE} names {file}, which cannot be read: {error.strerror}") from error
    try:
        rows = _ROWS[kind](body)
    except (ValueError, KeyError, TypeError) as error:
        raise _FormError(f"{file} is not {kind}: {error}") from error
    if rows == 0:
        raise _FormError(f"{file} has no rows")
    if expected is not None and (not isinstance(expected, list) or len(expected) != rows):
        found = len(expected) if isinstance(expected, list) else "something else"
        raise _FormError(f"{FILE}: expected must list one answer per row of {file}: {rows}, not {found}")
    return Payload(file, kind, body, rows, expected)


def _check_expected(prediction: str, classes: list[str], payload: Payload) -> None:
    """Refuse an expected answer that would silently be compared with nothing."""
    for row, wanted in enumerate(payload.expected or [], start=1):
        what = f"{FILE}: expected answer {row} of {payload.file}"
        if wanted is None:
            continue
        _keys(wanted, what, _EXPECTED_KEYS[prediction])
        if prediction == "classification" and wanted["label"] not in classes:
            raise _FormError(f"{what} is not one of the classes: {wanted['label']!r}")
        if prediction == "regression" and not (
            _is_finite(wanted["value"]) and _is_finite(wanted["tolerance"])
        ):
            raise _FormError(f"{what} needs numbers as value and tolerance")


_EXPECTED_KEYS = {"classification": {"label"}, "regression": {"value", "tolerance"}}


def _csv_rows(body: bytes) -> int:
    return sum(bool(line.strip()) for line in body.decode().splitlines())


def _json_rows(body: bytes) -> int:
    return len(json.loads(body)["instances"])


_ROWS: dict[str, Callable[[bytes], int]] = {"text/csv": _csv_rows, "application/json": _json_rows}


def answer_problem(
    expectations: Expectations, payload: Payload, content_type: str, body: bytes
) -> str | None:
    """Return in one line what is wrong with an answer, or None.

    The answer's form: application/json `{"predictions": [...]}`, one prediction per row of the payload, in
    its order.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return f"answered {content_type or 'no content type'} instead of application/json"
    try:
        predictions = json.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError):
        return f'the answer is not {{"predictions": [...]}}: {body[:80]!r}'
    if not isinstance(predictions, list) or len(predictions) != payload.rows:
        count = len(predictions) if isinstance(predictions, list) else "no list of"
        return f"{count} predictions for {payload.rows} rows"
    for row, prediction in enumerate(predictions, start=1):
        wanted = payload.expected[row - 1] if payload.expected is not None else None
        problem = _ANSWERS[expectations.prediction](expectations, prediction, wanted or {})
        if problem is not None:
            return f"row {row}: {problem}"
    return None


def _classification(expectations: Expectations, prediction: Any, wanted: dict[str, Any]) -> str | None:
    if not isinstance(prediction, dict) or not isinstance(prediction.get("label"), str):
        return f"no label in {str(prediction)[:80]!r}"
    label = prediction["label"]
    if label not in expectations.classes:
        return f"the label {label!r} is not one of {', '.join(expectations.classes)}"
    problem = _probabilities(expectations.classes, label, prediction.get("probabilities"))
    if problem is None and label != wanted.get("label", label):
        return f"expected {wanted['label']!r}, answered {label!r}"
    return problem


def _probabilities(classes: list[str], label: str, probabilities: Any) -> str | None:
    if not isinstance(probabilities, dict) or set(probabilities) != set(classes):
        return f"probabilities must name exactly {', '.join(classes)}"
    if not all(_is_finite(value) and 0 <= value <= 1 for value in probabilities.values()):
        return "a probability is not a number from 0 to 1"
    if abs(sum(probabilities.values()) - 1) > _SUM_TOLERANCE:
        return f"the probabilities add up to {sum(probabilities.values()):.3f}"
    if probabilities[label] < max(probabilities.values()):
        return f"the label {label!r} is not the most probable class"
    return None


def _regression(_: Expectations, prediction: Any, wanted: dict[str, Any]) -> str | None:
    if not isinstance(prediction, dict) or not _is_finite(prediction.get("value")):
        return f"no finite number 'value' in {str(prediction)[:80]!r}"
    if wanted and abs(prediction["value"] - wanted["value"]) > wanted["tolerance"]:
        return f"expected {wanted['value']} ± {wanted['tolerance']}, answered {prediction['value']:g}"
    return None


def _is_finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


_ANSWERS: dict[str, Callable[[Expectations, Any, dict[str, Any]], str | None]] = {
    "classification": _classification,
    "regression": _regression,
}
