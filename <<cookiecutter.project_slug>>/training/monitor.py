"""The monitor of an endpoint: compares what it was sent with what its model learned from; serves nothing.

It runs on a schedule, as a processing job in the account of the endpoint, with the code and the baseline of
the model package that is deployed. What it finds goes to S3 in the files of SageMaker Model Monitor, and to
CloudWatch under the names that Model Monitor uses.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import drift
import failures
import inference
from drift import Column
from failures import DataError, UsageError

NAMESPACE = "/aws/sagemaker/Endpoints/data-metrics"
VARIANT = "AllTraffic"
METRICS_AT_ONCE = 500
Cells = list[list[Any]]


def main(words: list[str]) -> None:
    """Read what was captured in the hours before `--until`; write reports to `--output`, and metrics."""
    import boto3

    arguments = _arguments(words)
    statistics = _baseline(arguments.statistics, drift.STATISTICS)
    constraints = _baseline(arguments.constraints, drift.CONSTRAINTS)
    since = arguments.until - timedelta(hours=arguments.hours)
    rows, unread = _rows(captured(boto3.client("s3"), arguments, since), drift.SAMPLE_ROWS)
    columns = _columns(constraints["features"], rows)
    found = drift.Comparison()
    if rows:
        widths = min(map(len, rows)), max(map(len, rows))
        found = drift.compare(statistics, constraints, columns, widths, arguments.threshold)
        drift.save(arguments.output, drift.STATISTICS, drift.statistics(columns, len(rows)))
    violations = [asdict(violation) for violation in found.violations]
    drift.save(arguments.output, drift.VIOLATIONS, {"version": 0.0, "violations": violations})
    _publish(boto3.client("cloudwatch"), arguments, metrics(columns, found, len(rows)))
    _tell(found, len(rows), unread, since, arguments.until)


def _arguments(words: list[str]) -> Namespace:
    parser = failures.Parser(__doc__)
    parser.add_argument("--capture", type=_place, required=True, help="s3://bucket/prefix of captured data")
    parser.add_argument("--endpoint", required=True, help="its name")
    parser.add_argument("--schedule", required=True, help="the name that the metrics are to bear")
    parser.add_argument("--until", type=_moment, required=True, help="the end of the time that is looked at")
    parser.add_argument("--hours", type=int, required=True, help="how long that time is")
    parser.add_argument("--threshold", type=float, help="the largest distance that is no drift")
    parser.add_argument(
        "--statistics", type=Path, required=True, help="folder with the baseline's statistics"
    )
    parser.add_argument("--constraints", type=Path, required=True, help="folder with its constraints")
    parser.add_argument("--output", type=Path, required=True, help="folder for what is written")
    arguments = parser.parse_args(words)
    if arguments.hours < 1:
        raise UsageError(f"--hours: {arguments.hours} must be at least 1")
    return arguments


def _place(text: str) -> tuple[str, str]:
    place = urlsplit(text)
    if place.scheme != "s3" or not place.netloc:
        raise UsageError(f"--capture: {text!r} is not s3://bucket/prefix")
    return place.netloc, place.path.strip("/")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until: {text!r} is not a time such as 2026-11-21T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _baseline(folder: Path, name: str) -> dict[str, Any]:
    try:
        told = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no {name}; train the model again to get a baseline") from None
    except ValueError as error:
        raise DataError(f"{name} of the baseline is not JSON: {error}") from None
    if not isinstance(told, dict) or not isinstance(told.get("features"), list):
        raise DataError(f"{name} of the baseline has no list of features")
    return told


def captured(s3: Any, arguments: Namespace, since: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield what was captured between `since` and `until`; it lies in one folder for each hour (UTC)."""
    bucket, prefix = arguments.capture
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < arguments.until:
        folder = f"{prefix}/{arguments.endpoint}/{VARIANT}/{hour:%Y/%m/%d/%H}/".lstrip("/")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        for item in (item for page in pages for item in page.get("Contents", ())):
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"]
            for line in filter(None, body.iter_lines()):
                record = _record(line, item["Key"])
                if since <= _moment(record["eventMetadata"]["inferenceTime"]) < arguments.until:
                    yield record
        hour += timedelta(hours=1)


def _record(line: bytes, key: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(line)
        _moment(record["eventMetadata"]["inferenceTime"])
    except (ValueError, TypeError, KeyError, UsageError) as error:
        raise DataError(f"{key}: a line is no record of data capture: {error}") from None
    return record


def _rows(records: Iterator[Mapping[str, Any]], most: int) -> tuple[Cells, int]:
    """Return the rows of the requests, and the count of requests that cannot be read.

    Of more than `most` rows every second one is kept, every fourth and so on: the beginning of a day alone
    would tell nothing of its end.
    """
    rows: Cells = []
    unread = seen = 0
    step = 1
    for record in records:
        found = _read(record)
        if found is None:
            unread += 1
            continue
        rows += (row for number, row in enumerate(found, start=seen) if number % step == 0)
        seen += len(found)
        while len(rows) > most:
            rows, step = rows[::2], 2 * step
    return rows, unread


def _read(record: Mapping[str, Any]) -> Cells | None:
    """Return the rows of a request as the model's own code reads them; None if it cannot."""
    side = record.get("captureData", {}).get("endpointInput")
    if not side:
        return None
    body = side["data"]
    if side.get("encoding") == "BASE64":
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            return None
    found = inference.input_fn(body, side.get("observedContentType") or inference.CSV)
    return None if isinstance(found, inference.Refusal) else found


def _columns(features: Sequence[Mapping[str, Any]], rows: Cells) -> list[Column]:
    return [
        _column(
            feature["name"],
            feature["inferred_type"] == drift.STRING,
            [row[n] for row in rows if n < len(row)],
        )
        for n, feature in enumerate(features)
    ]


def _column(name: str, categorical: bool, cells: Sequence[Any]) -> Column:
    there = [cell for cell in cells if not _is_missing(cell)]
    read = [cell.strip() if isinstance(cell, str) else cell for cell in there]
    values = [v for v in (read if categorical else map(_number, read)) if v is not None]
    if categorical:
        values = [value for value in values if isinstance(value, str)]
    return Column(name, values, len(cells) - len(there), len(there) - len(values), categorical)


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip() in inference.MISSING)


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def metrics(columns: Sequence[Column], found: drift.Comparison, rows: int) -> list[dict[str, Any]]:
    """Return what CloudWatch is told; without rows only that, so that the alarm stays as it is."""
    data: list[dict[str, Any]] = [{"MetricName": "rows", "Value": rows, "Unit": "Count"}]
    if not rows:
        return data
    data.append({"MetricName": "violations", "Value": len(found.violations), "Unit": "Count"})
    for column in columns:
        if column.name in found.distances:
            data.append(_metric("feature_baseline_drift", column, Value=found.distances[column.name]))
        data.append(_metric("feature_non_null", column, Value=column.completeness))
        if column.values and not column.categorical:
            told = {
                "SampleCount": len(column.values),
                "Sum": math.fsum(column.values),
                "Minimum": min(column.values),
                "Maximum": max(column.values),
            }
            data.append(_metric("feature_data", column, StatisticValues=told))
    return data


def _metric(kind: str, column: Column, **value: Any) -> dict[str, Any]:
    # CloudWatch takes ASCII alone in names of metrics.
    name = f"{kind}_{column.name}".encode("ascii", "replace").decode()[:255]
    return {"MetricName": name, **value}


def _publish(cloudwatch: Any, arguments: Namespace, data: Sequence[Mapping[str, Any]]) -> None:
    common = {
        "Timestamp": datetime.now(UTC),
        "Dimensions": [
            {"Name": "Endpoint", "Value": arguments.endpoint},
            {"Name": "MonitoringSchedule", "Value": arguments.schedule},
        ],
    }
    for start in range(0, len(data), METRICS_AT_ONCE):
        part = [{**one, **common} for one in data[start : start + METRICS_AT_ONCE]]
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=part)


def _tell(found: drift.Comparison, rows: int, unread: int, since: datetime, until: datetime) -> None:
    """Say how it ended, in the log and as the job's exit message, in Model Monitor's words."""
    count = len(found.violations)
    outcome = "CompletedWithViolations" if count else "Completed"
    what = f"{count} violations" if count else "no violations"
    times = f"from {since:%Y-%m-%dT%H:%MZ} to {until:%Y-%m-%dT%H:%MZ}"
    line = f"{outcome}: {what} in {rows} rows {times}" + (
        f"; {unread} requests cannot be read" if unread else ""
    )
    for violation in found.violations:
        print(f"{violation.feature_name}: {violation.constraint_check_type}: {violation.description}")
    print(line)
    path = failures.base() / failures.PROCESSING
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(failures.run(main, failures.PROCESSING))
