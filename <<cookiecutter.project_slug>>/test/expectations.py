"""What an endpoint must do in a stage, from expectations.json, and whether an answer keeps to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "expectations.json"
SCHEMA_VERSION = 1
_SUM_TOLERANCE = 0.01
# The load is for measuring, not for finding out what an endpoint can bear: it has bounds of its own.
_MAX_REQUESTS, _MAX_CONCURRENCY, _MAX_SECONDS = 1000, 8, 60


@dataclass(frozen=True)
class Payload:
    """A recorded request; `expected` has one entry per row (None: any well-formed answer), or is None."""

    file: str
    content_type: str
    body: bytes
    rows: int
    expected: list[dict[str, Any] | None] | None


@dataclass(frozen=True)
class BadInput:
    """A request that must be refused as the client's mistake."""

    name: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Form:
    """What every prediction keeps to: its classes, or the range of its values (None: no bound)."""

    classes: list[str]
    probabilities: bool = True
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Load:
    """The requests that latency is measured with, which end with the first bound met, and what it may be."""

    requests: int
    concurrency: int
    seconds: float
    p50_milliseconds: float
    p95_milliseconds: float


@dataclass(frozen=True)
class Quality:
    """How good the model must be on labelled rows that it was not trained on.

    Empty `labelled`: the test part that the training pipeline registered with the model package; else a CSV
    file with a header here, whose column `target` has the truth. Empty `metric`: the one the model was
    accepted by. `registered` None: what is registered with the model package.
    """

    tolerance: float
    rows: int
    labelled: str = ""
    target: str = ""
    metric: str = ""
    registered: float | None = None


@dataclass(frozen=True)
class Expectations:
    """What is asked of the endpoint; `broken` has the requests that cannot be sent, with the reason."""

    prediction: str
    timeout_seconds: float
    answers: Form
    payloads: list[Payload]
    broken: dict[str, str]
    bad_input: list[BadInput]
    latency: Load
    quality: Quality | None = None


class ExpectationsError(ValueError):
    """expectations.json cannot be used; the message is one line."""


def read_expectations(
    path: Path, prediction: str, stage: str = "", stages: Collection[str] = ()
) -> Expectations:
    """Read a file and the payloads that it names, for one of `stages`. Raises ExpectationsError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExpectationsError(f"{path}: cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ExpectationsError(f"{path}: must be JSON: {error}") from error
    try:
        return _expectations(path.parent, prediction, _for_stage(data, stage, stages))
    except _FormError as error:
        raise ExpectationsError(f"{path}: {error}") from error


class _FormError(ValueError):
    pass


def _for_stage(data: Any, stage: str, stages: Collection[str]) -> Any:
    """Return the file with what `stages` says of this stage laid over it; each section must be of a stage."""
    if not isinstance(data, dict):
        return data
    sections = data.get("stages", {})
    if not isinstance(sections, dict) or not all(isinstance(own, dict) for own in sections.values()):
        raise _FormError("stages must map the names of stages to what is different there")
    for name in sections:
        if name not in stages:
            raise _FormError(f"stages has {name!r}, which is no stage; there is {', '.join(sorted(stages))}")
    return _over({key: value for key, value in data.items() if key != "stages"}, sections.get(stage, {}))


def _over(base: Any, own: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return {**base, **{key: _over(base.get(key), value) for key, value in own.items()}}


def _expectations(folder: Path, prediction: str, data: Any) -> Expectations:
    if prediction not in _ANSWERS:
        raise _FormError(f"no such kind of prediction: {prediction}; there is {', '.join(_ANSWERS)}")
    needed = {"schema_version", "timeout_seconds", "answers", "payloads", "bad_input", "latency"}
    _keys(data, "the file", needed, {"quality"})
    if data["schema_version"] != SCHEMA_VERSION:
        raise _FormError(f"schema_version must be {SCHEMA_VERSION}, not {data['schema_version']!r}")
    if not isinstance(data["payloads"], list) or not data["payloads"]:
        raise _FormError("payloads must be a list of at least one payload")
    form = _FORMS[prediction](data["answers"])
    payloads, broken = [], {}
    for entry in data["payloads"]:
        _keys(entry, "a payload", {"file", "content_type"}, {"expected"})
        try:
            payload = _payload(folder, entry)
            _check_expected(prediction, form, payload)
            payloads.append(payload)
        except _FormError as error:
            broken[str(entry["file"])] = str(error)
    return Expectations(
        prediction=prediction,
        timeout_seconds=_number(data["timeout_seconds"], "timeout_seconds", 0.1, 60),
        answers=form,
        payloads=payloads,
        broken=broken,
        bad_input=_bad_input(data["bad_input"]),
        latency=_load(data["latency"]),
        quality=None if data.get("quality") is None else _quality(folder, data["quality"]),
    )


def _of_classes(data: Any) -> Form:
    _keys(data, "answers", {"classes"}, {"probabilities"})
    classes, probabilities = data["classes"], data.get("probabilities", True)
    if not isinstance(classes, list) or len(set(map(str, classes))) < 2:
        raise _FormError("answers.classes must list the classes that the model tells apart")
    if not isinstance(probabilities, bool):
        raise _FormError(f"answers.probabilities must be true or false, not {probabilities!r}")
    return Form([str(name) for name in classes], probabilities)


def _of_numbers(data: Any) -> Form:
    _keys(data, "answers", set(), {"minimum", "maximum"})
    for name, value in data.items():
        if not is_finite(value):
            raise _FormError(f"answers.{name} must be a number, not {value!r}")
    return Form([], minimum=data.get("minimum"), maximum=data.get("maximum"))


_FORMS: dict[str, Callable[[Any], Form]] = {"classification": _of_classes, "regression": _of_numbers}


def _bad_input(data: Any) -> list[BadInput]:
    if not isinstance(data, list):
        raise _FormError("bad_input must be a list of requests")
    found: dict[str, BadInput] = {}
    for entry in data:
        _keys(entry, "a bad input", {"name", "content_type", "body"})
        name = entry["name"]
        if not all(isinstance(text, str) and text for text in entry.values()):
            raise _FormError(f"the bad input {name!r} must have text as name, content_type and body")
        if name in found:
            raise _FormError(f"two bad inputs have the name {name!r}")
        found[name] = BadInput(name, entry["content_type"], entry["body"].encode())
    return list(found.values())


def _load(data: Any) -> Load:
    _keys(data, "latency", {"requests", "concurrency", "seconds", "p50_milliseconds", "p95_milliseconds"})
    return Load(
        requests=int(_number(data["requests"], "latency.requests", 1, _MAX_REQUESTS)),
        concurrency=int(_number(data["concurrency"], "latency.concurrency", 1, _MAX_CONCURRENCY)),
        seconds=_number(data["seconds"], "latency.seconds", 0.1, _MAX_SECONDS),
        p50_milliseconds=_number(data["p50_milliseconds"], "latency.p50_milliseconds", 0.001, 60000),
        p95_milliseconds=_number(data["p95_milliseconds"], "latency.p95_milliseconds", 0.001, 60000),
    )


def _quality(folder: Path, data: Any) -> Quality:
    _keys(data, "quality", {"tolerance", "rows"}, {"labelled", "target", "metric", "registered"})
    texts = {name: data[name] for name in ("labelled", "target", "metric") if name in data}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise _FormError(
                f"quality.{name} must be text, not {value!r}; leave it out for the registered one"
            )
    if "labelled" in texts:
        if "target" not in texts:
            raise _FormError("quality lacks target: the column of the labelled file that has the truth")
        if not _beside(folder, texts["labelled"]).is_file():
            raise _FormError(f"quality.labelled names {texts['labelled']}, which is not there")
    registered = data.get("registered")
    if registered is not None and not is_finite(registered):
        raise _FormError(f"quality.registered must be a number, not {registered!r}")
    return Quality(
        tolerance=_number(data["tolerance"], "quality.tolerance", 0, 1e9),
        rows=int(_number(data["rows"], "quality.rows", 2, 10000)),
        registered=registered,
        **texts,
    )


def _beside(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise _FormError(f"{FILE}: file must name a file beside it or below, not {name!r}")
    return folder / name


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
    path = _beside(folder, file)
    try:
        body = path.read_bytes()
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


def _check_expected(prediction: str, form: Form, payload: Payload) -> None:
    """Refuse an expected answer that would silently be compared with nothing."""
    for row, wanted in enumerate(payload.expected or [], start=1):
        what = f"{FILE}: expected answer {row} of {payload.file}"
        if wanted is None:
            continue
        _keys(wanted, what, _EXPECTED_KEYS[prediction])
        if prediction == "classification" and wanted["label"] not in form.classes:
            raise _FormError(f"{what} is not one of the classes: {wanted['label']!r}")
        if prediction == "regression" and not (is_finite(wanted["value"]) and is_finite(wanted["tolerance"])):
            raise _FormError(f"{what} needs numbers as value and tolerance")


_EXPECTED_KEYS = {"classification": {"label"}, "regression": {"value", "tolerance"}}


def _csv_rows(body: bytes) -> int:
    return sum(bool(line.strip()) for line in body.decode().splitlines())


def _json_rows(body: bytes) -> int:
    return len(json.loads(body)["instances"])


_ROWS: dict[str, Callable[[bytes], int]] = {"text/csv": _csv_rows, "application/json": _json_rows}


def predictions_in(content_type: str, body: bytes, rows: int) -> list[Any]:
    """Return the predictions of an answer: one per row of the request, in its order.

    The answer's form is application/json `{"predictions": [...]}`. Raises ValueError with one line that says
    how it differs.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ValueError(f"answered {content_type or 'no content type'} instead of application/json")
    try:
        predictions = json.loads(body)["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f'the answer is not {{"predictions": [...]}}: {body[:80]!r}') from None
    if not isinstance(predictions, list) or len(predictions) != rows:
        count = len(predictions) if isinstance(predictions, list) else "no list of"
        raise ValueError(f"answered {_counted(count, 'prediction')} for {_counted(rows, 'row')}")
    return predictions


def _counted(count: int | str, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def answer_problem(
    expectations: Expectations, payload: Payload, content_type: str, body: bytes
) -> str | None:
    """Return in one line what is wrong with the answer to a payload, or None."""
    try:
        predictions = predictions_in(content_type, body, payload.rows)
    except ValueError as error:
        return str(error)
    for row, prediction in enumerate(predictions, start=1):
        wanted = payload.expected[row - 1] if payload.expected is not None else None
        problem = prediction_problem(expectations, prediction, wanted or {})
        if problem is not None:
            return f"row {row}: {problem}"
    return None


def prediction_problem(
    expectations: Expectations, prediction: Any, wanted: Mapping[str, Any] | None = None
) -> str | None:
    """Return in one line what is wrong with one prediction, its form or its value, or None."""
    return _ANSWERS[expectations.prediction](expectations.answers, prediction, wanted or {})


def _classification(form: Form, prediction: Any, wanted: Mapping[str, Any]) -> str | None:
    if not isinstance(prediction, dict) or not isinstance(prediction.get("label"), str):
        return f"no label in {str(prediction)[:80]!r}"
    label = prediction["label"]
    if label not in form.classes:
        return f"the label {label!r} is not one of {', '.join(form.classes)}"
    problem = _probabilities(form, label, prediction.get("probabilities")) if form.probabilities else None
    if problem is None and label != wanted.get("label", label):
        return f"expected {wanted['label']!r}, answered {label!r}"
    return problem


def _probabilities(form: Form, label: str, probabilities: Any) -> str | None:
    if not isinstance(probabilities, dict) or set(probabilities) != set(form.classes):
        return f"probabilities must name exactly {', '.join(form.classes)}"
    if not all(is_finite(value) and 0 <= value <= 1 for value in probabilities.values()):
        return "a probability is not a number from 0 to 1"
    if abs(sum(probabilities.values()) - 1) > _SUM_TOLERANCE:
        return f"the probabilities add up to {sum(probabilities.values()):.3f}"
    if probabilities[label] < max(probabilities.values()):
        return f"the label {label!r} is not the most probable class"
    return None


def _regression(form: Form, prediction: Any, wanted: Mapping[str, Any]) -> str | None:
    if not isinstance(prediction, dict) or not is_finite(prediction.get("value")):
        return f"no finite number 'value' in {str(prediction)[:80]!r}"
    value = prediction["value"]
    if form.minimum is not None and value < form.minimum:
        return f"answered {value:g}, which is below the minimum of {form.minimum:g}"
    if form.maximum is not None and value > form.maximum:
        return f"answered {value:g}, which is above the maximum of {form.maximum:g}"
    if wanted and abs(value - wanted["value"]) > wanted["tolerance"]:
        return f"expected {wanted['value']} ± {wanted['tolerance']}, answered {value:g}"
    return None


def is_finite(value: Any) -> bool:
    """Return whether a value of JSON is a number that can be compared: Python reads NaN and Infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits, which JSON may hold
        return False


_ANSWERS: dict[str, Callable[[Form, Any, Mapping[str, Any]], str | None]] = {
    "classification": _classification,
    "regression": _regression,
}
