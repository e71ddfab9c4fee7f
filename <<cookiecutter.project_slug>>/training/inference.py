"""Serves the model in SageMaker's XGBoost container: CSV or JSON in, JSON or CSV out; trains nothing.

Stands alone: it runs from the folder code/ of a model, with nothing of this repository beside it.

The container (sagemaker_containers, class Transformer) wraps whatever input_fn, predict_fn or output_fn
raise in an error of its own, which its web server answers with status 500. A request that cannot be read
is the client's mistake, and must be a 4xx: so a Refusal travels through the three functions as a value,
and output_fn returns it as a response of Flask, which the container passes on with its status.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON, CSV = "application/json", "text/csv"
# Cells that hold no value: as in the data that the model was trained on.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")
BAD_REQUEST, NOT_ACCEPTABLE, UNSUPPORTED_MEDIA_TYPE = 400, 406, 415

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LARGEST = 3.4028234663852886e38
_SHOWN = 40

Cells = list[list[Any]]


class _Refused(Exception):
    """The request breaks a rule; the message is one line for the client."""

    def __init__(self, message: str, status: int = BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Refusal:
    """What the client is told in place of an answer."""

    status: int
    message: str

    @property
    def body(self) -> str:
        """Return the body of the response, as JSON."""
        return json.dumps({"error": self.message}, ensure_ascii=False)


@dataclass(frozen=True)
class Model:
    """The booster with what it needs to read a row and to name its answer."""

    booster: Any
    schema: dict[str, Any]


def model_fn(model_dir: str) -> Model:
    """Load the model of a folder. What XGBoost or JSON raise when it is broken is not caught here."""
    import xgboost

    folder = Path(model_dir)
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    booster = xgboost.Booster(model_file=folder / "xgboost-model.ubj")
    names = [feature["name"] for feature in schema["features"]]
    if booster.feature_names != names:
        raise ValueError(f"the model reads {booster.feature_names}, its schema.json {names}")
    return Model(booster, schema)


def input_fn(body: bytes | str, content_type: str) -> Cells | Refusal:
    """Return the rows of a request as they stand there, text in CSV and values in JSON, or a refusal."""
    media_type, _, parameters = content_type.partition(";")
    reader = _READERS.get(media_type.strip().lower())
    try:
        if reader is None:
            raise _Refused(
                f"content type {content_type!r} is not supported; send {' or '.join(_READERS)}",
                UNSUPPORTED_MEDIA_TYPE,
            )
        rows = reader(_text(body, parameters))
        if not rows:
            raise _Refused("there are no rows in the request")
    except _Refused as refused:
        return Refusal(refused.status, str(refused))
    return rows


def predict_fn(rows: Cells | Refusal, model: Model) -> list[dict[str, Any]] | Refusal:
    """Return a prediction for every row: `label` and `probabilities` by class, or `value`; or a refusal."""
    if isinstance(rows, Refusal):
        return rows
    try:
        values = [_encoded(number, row, model.schema["features"]) for number, row in enumerate(rows, start=1)]
    except _Refused as refused:
        return Refusal(refused.status, str(refused))
    import numpy
    import xgboost

    matrix = xgboost.DMatrix(
        numpy.array(values, dtype=numpy.float32),
        feature_names=model.booster.feature_names,
        feature_types=model.booster.feature_types,
        enable_categorical=True,
    )
    return [_named(answer, model.schema["classes"]) for answer in model.booster.predict(matrix).tolist()]


def output_fn(predictions: list[dict[str, Any]] | Refusal, accept: str) -> Any:
    """Return the body and its content type; for a refusal a response of Flask with a status of 4xx."""
    if isinstance(predictions, Refusal):
        return _response(predictions)
    for wanted in (accept or JSON).split(","):
        writer = _WRITERS.get(wanted.partition(";")[0].strip().lower())
        if writer is not None:
            return writer(predictions)
    return _response(
        Refusal(NOT_ACCEPTABLE, f"accept {accept!r} is not supported; ask for {JSON} or {CSV}"),
    )


def _response(refusal: Refusal) -> Any:
    from flask import Response

    return Response(refusal.body, status=refusal.status, mimetype=JSON)


def _text(body: bytes | str, parameters: str) -> str:
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise _Refused(f"charset {charset[1]!r} is not supported; send UTF-8", UNSUPPORTED_MEDIA_TYPE)
    try:
        return body if isinstance(body, str) else bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused(f"the body is not UTF-8 text: {error.reason} at byte {error.start}") from None


def _csv_rows(text: str) -> Cells:
    """Rows without a header; blank lines are left out."""
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise _Refused(f"the body is not CSV: {error}") from None


def _json_rows(text: str) -> Cells:
    try:
        told = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise _Refused("the body is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise _Refused(f"the body is not JSON: {error}") from None
    rows = told.get("instances") if isinstance(told, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise _Refused('the body must be {"instances": [[...], ...]}: one list of values for each row')
    return rows


def _no_number(name: str) -> Any:
    raise _Refused(f"the body holds {name}, which is no JSON; send null for a missing value")


def _encoded(number: int, row: list[Any], features: list[dict[str, Any]]) -> list[float]:
    if len(row) != len(features):
        names = ", ".join(feature["name"] for feature in features)
        raise _Refused(f"row {number}: {len(row)} values; expected {len(features)}: {names}")
    return [
        _READ[feature["type"]](number, cell, feature) for cell, feature in zip(row, features, strict=True)
    ]


def _number(row: int, cell: Any, feature: dict[str, Any]) -> float:
    """Read what is already a number as it is, and text only when all of it is one."""
    if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
        return math.nan
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    is_text = isinstance(cell, str) and _NUMBER.fullmatch(cell.strip())
    if not (is_number or is_text):
        raise _Refused(f"row {row}: column {feature['name']!r}: {_shown(cell)} is not a number")
    # Compared as it is: an integer of JSON can be too long for a float.
    value = float(cell) if is_text else cell
    if not abs(value) <= _LARGEST:
        raise _Refused(
            f"row {row}: column {feature['name']!r}: {_shown(cell)} is not a finite number of 32 bits"
        )
    return float(value)


def _category(row: int, cell: Any, feature: dict[str, Any]) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
        return math.nan
    known = feature["categories"]
    if not isinstance(cell, str) or cell.strip() not in known:
        some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        raise _Refused(
            f"row {row}: column {feature['name']!r}: unknown category {_shown(cell)}; known are {some}"
        )
    return float(known.index(cell.strip()))


def _shown(cell: Any) -> str:
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _named(answer: Any, classes: list[str]) -> dict[str, Any]:
    """Put names to the answer of XGBoost: with two classes it is the probability of the second alone."""
    if not classes:
        return {"value": answer}
    shares = answer if isinstance(answer, list) else [1 - answer, answer]
    best = max(range(len(shares)), key=shares.__getitem__)
    return {"label": classes[best], "probabilities": dict(zip(classes, shares, strict=True))}


def _as_json(predictions: list[dict[str, Any]]) -> tuple[str, str]:
    return json.dumps({"predictions": predictions}, ensure_ascii=False, allow_nan=False), JSON


def _as_csv(predictions: list[dict[str, Any]]) -> tuple[str, str]:
    """One line for every row: the label and the probabilities in the order of the classes, or the value."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for one in predictions:
        writer.writerow([one["value"]] if "value" in one else [one["label"], *one["probabilities"].values()])
    return out.getvalue(), CSV


_READERS = {CSV: _csv_rows, JSON: _json_rows}
_WRITERS = {JSON: _as_json, CSV: _as_csv, "*/*": _as_json, "application/*": _as_json, "text/*": _as_csv}
_READ = {"number": _number, "category": _category}
