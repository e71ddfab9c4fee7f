"""Compares a shadow with the model in service, by what was captured of both: shadow-report.json and .html.

What is compared are pairs: a request whose answers of both models were captured. They are matched by the
inference id that the caller gave, or else by being the same request. A request that the shadow did not get
(its share may be less than all) or did not answer makes no pair. Latency is not in what is captured: it is
CloudWatch's ModelLatency of each variant, and missing where that has none.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent))

from deploy.errors import AwsError, DeployError, UsageError, one_line  # noqa: E402
from deploy.exports import read_export, write_all  # noqa: E402

SERVING, SHADOW = "AllTraffic", "Shadow"
_EXAMPLES = 10
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shadow of {endpoint}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }}
td, th {{ overflow-wrap: anywhere; text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }}
</style></head>
<body><h1>Shadow of {endpoint}</h1><table>{rows}</table>
<h2>Answered differently</h2><table><tr><th>Request<th>In service<th>Shadow</tr>{examples}</table>
<p>{note}</p></body></html>
"""
_NOTE = (
    "Pairs are requests whose answers of both models were captured. What the shadow did not get, or did not"
    " answer, makes no pair. Latency is CloudWatch's, of all requests that each of them had."
)


@dataclass(frozen=True)
class Captured:
    """A request and the answer to it, as data capture wrote them."""

    inference: str
    request: str
    answer: str


@dataclass(frozen=True)
class Comparison:
    """What the two models made of the same requests."""

    endpoint: str
    serving: str
    shadow: str
    captured: dict[str, int]
    pairs: int
    rows: int
    agreeing: int
    unread: int
    """Pairs with an answer that is not JSON of this repository's form."""
    largest_difference: float | None
    """Between the values of a regression; None for classes."""
    latency_milliseconds: dict[str, dict[str, float]]
    examples: list[dict[str, str]]


def read_captured(lines: Iterable[str]) -> Iterator[Captured]:
    """Read lines of JSON as data capture writes them; one that lacks a side is left out."""
    for line in lines:
        record = json.loads(line)
        sides = record["captureData"]
        if "endpointInput" in sides and "endpointOutput" in sides:
            yield Captured(
                str(record.get("eventMetadata", {}).get("inferenceId", "")),
                sides["endpointInput"]["data"],
                sides["endpointOutput"]["data"],
            )


def pairs_of(serving: Sequence[Captured], shadow: Sequence[Captured]) -> list[tuple[Captured, Captured]]:
    """Match each of the shadow's with one of the model's in service, by inference id or else by request."""
    waiting: dict[tuple[str, str], list[Captured]] = {}
    for one in serving:
        waiting.setdefault(_key(one), []).append(one)
    return [(found.pop(0), two) for two in shadow if (found := waiting.get(_key(two)))]


def _key(one: Captured) -> tuple[str, str]:
    return ("id", one.inference) if one.inference else ("request", one.request)


def predictions(answer: str) -> list[Any]:
    """Return the label or the value of each row. Raises ValueError for an answer of another form."""
    try:
        rows = json.loads(answer)["predictions"]
        return [row["label"] if "label" in row else float(row["value"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not an answer of this repository's models: {answer[:80]!r}") from error


def compare(pairs: Sequence[tuple[Captured, Captured]]) -> dict[str, Any]:
    """Count the rows that are answered alike: with the same label, or the same value to six digits.

    A caller may ask for another form of answer than the one that is read here; `unread` counts such pairs.
    """
    rows = agreeing = unread = 0
    differences: list[float] = []
    examples: list[dict[str, str]] = []
    for one, two in pairs:
        try:
            ours, theirs = predictions(one.answer), predictions(two.answer)
        except ValueError:
            unread += 1
            continue
        both = list(zip(ours, theirs, strict=False))  # a row without an answer is not answered alike
        same = [_same(left, right) for left, right in both]
        count = max(len(ours), len(theirs))
        rows, agreeing = rows + count, agreeing + sum(same)
        differences += [abs(left - right) for left, right in both if _are_values(left, right)]
        if sum(same) < count and len(examples) < _EXAMPLES:
            examples.append({"request": one.request, "serving": str(ours), "shadow": str(theirs)})
    largest = max(differences) if differences else None
    found = {"rows": rows, "agreeing": agreeing, "unread": unread, "examples": examples}
    return {**found, "largest_difference": largest}


def _are_values(*answers: Any) -> bool:
    return all(isinstance(answer, float) for answer in answers)


def _same(left: Any, right: Any) -> bool:
    close = _are_values(left, right) and abs(left - right) <= 1e-6 * max(1.0, abs(left))
    return bool(left == right or close)


def report(endpoint: str, clients: Mapping[str, Any], now: datetime) -> Comparison:
    """Look at what the endpoint runs, read what was captured since it does, and compare."""
    sagemaker = clients["sagemaker"]
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    if not config.get("ShadowProductionVariants"):
        raise UsageError(f"{endpoint} has no shadow: set ShadowOfVersion in the stage file")
    names = {
        SERVING: config["ProductionVariants"][0]["ModelName"],
        SHADOW: config["ShadowProductionVariants"][0]["ModelName"],
    }
    packages = {
        variant: str(sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["ModelPackageName"])
        for variant, name in names.items()
    }
    place = f"{config['DataCaptureConfig']['DestinationS3Uri'].rstrip('/')}/{endpoint}"
    since = config["CreationTime"]
    found = {variant: list(_read(clients["s3"], f"{place}/{variant}/", since)) for variant in names}
    pairs = pairs_of(found[SERVING], found[SHADOW])
    latency = {variant: _latency(clients["cloudwatch"], endpoint, variant, since, now) for variant in names}
    return Comparison(
        endpoint=endpoint,
        serving=packages[SERVING],
        shadow=packages[SHADOW],
        captured={"serving": len(found[SERVING]), "shadow": len(found[SHADOW])},
        pairs=len(pairs),
        latency_milliseconds={variant: measured for variant, measured in latency.items() if measured},
        **compare(pairs),
    )


def _read(s3: Any, uri: str, since: datetime) -> Iterator[Captured]:
    """Read what was captured since the endpoint runs what it runs: before, its variants had other models."""
    place = urlsplit(uri)
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=place.netloc, Prefix=place.path.lstrip("/")
    ):
        for listed in page.get("Contents", ()):
            if listed["LastModified"] >= since.replace(microsecond=0):
                body = s3.get_object(Bucket=place.netloc, Key=listed["Key"])["Body"].read()
                yield from read_captured(body.decode("utf-8").splitlines())


def _latency(
    cloudwatch: Any, endpoint: str, variant: str, since: datetime, now: datetime
) -> dict[str, float]:
    """Return the average of the model's latency; nothing where there are no figures."""
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        # At most 1,440 points are given at once.
        StartTime=max(since, now - timedelta(days=59)),
        EndTime=now,
        # Of anything older CloudWatch has figures by the hour alone.
        Period=3600,
        Statistics=["SampleCount", "Sum"],
    )
    count = sum(point["SampleCount"] for point in answer["Datapoints"])
    # In microseconds.
    return (
        {"average": round(sum(point["Sum"] for point in answer["Datapoints"]) / count / 1000, 3)}
        if count
        else {}
    )


def page(found: Comparison) -> str:
    """Return the comparison as a page that stands alone."""
    share = (
        f"{found.agreeing} of {found.rows} rows ({found.agreeing / found.rows:.1%})"
        if found.rows
        else "no row"
    )
    rows = {
        "In service": found.serving,
        "Shadow": found.shadow,
        "Captured": f"{found.captured['serving']} in service, {found.captured['shadow']} of the shadow",
        "Pairs": str(found.pairs)
        + (f", of which {found.unread} are not JSON of this repository's form" if found.unread else ""),
        "Answered alike": share,
        **(
            {}
            if found.largest_difference is None
            else {"Largest difference": f"{found.largest_difference:g}"}
        ),
        "Model latency": "; ".join(
            f"{variant} {measured['average']:g} ms on average"
            for variant, measured in found.latency_milliseconds.items()
        )
        or "not measured: CloudWatch has no figures",
    }
    cells = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(v)}</tr>" for k, v in rows.items())
    sides = ("request", "serving", "shadow")
    examples = "".join(
        "<tr>" + "".join(f"<td>{html.escape(one[side][:200])}" for side in sides) + "</tr>"
        for one in found.examples
    )
    texts = {"endpoint": html.escape(found.endpoint), "note": html.escape(_NOTE)}
    return _PAGE.format(rows=cells, examples=examples, **texts)


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line; return its exit code."""
    environment = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="the stage's configuration of a build"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("shadow-report"), metavar="PATH", help="without a suffix"
    )
    options = parser.parse_args(arguments)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        values = read_export(options.config.read_text(encoding="utf-8")).parameters
        parts = ("SageMakerProjectName", "SageMakerProjectId", "StageName")
        endpoint = "-".join(values[name] for name in parts)
        make: Any = boto3.client
        region = environment.get("AWS_REGION") or None
        clients = {name: make(name, region_name=region) for name in ("sagemaker", "s3", "cloudwatch")}
        found = report(endpoint, clients, datetime.now(UTC))
        texts = {".json": json.dumps(asdict(found), indent=2) + "\n", ".html": page(found)}
        write_all({options.report.with_suffix(suffix): text for suffix, text in texts.items()})
    except (BotoCoreError, ClientError) as error:
        print(f"shadow.py: {AwsError(one_line(error))}", file=sys.stderr)
        return 1
    except DeployError as error:
        print(f"shadow.py: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, ValueError, KeyError) as error:
        print(f"shadow.py: {one_line(error)}", file=sys.stderr)
        return 2
    print(
        f"{found.agreeing} of {found.rows} rows answered alike, in {found.pairs} pairs: {options.report}.html"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
