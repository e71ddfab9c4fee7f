"""Collects what a rehearsal leaves to look at, before the embedded AWS is gone: one JSON document. Judges nothing."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from . import builds, models, permissions, runs, training
from .journey import Journey

RESULTS = "test-results.json"
EVALUATION = "evaluation.json"
CURVE = "training-curve.json"
# What may be wrong with what somebody's builds and models have left.
UNREADABLE = (ClientError, BotoCoreError, ValueError, tarfile.TarError, zipfile.BadZipFile)
# What the page shows of test results, and of each check in them.
FORM = {"stage", "outcome", "endpoint", "seconds", "checks"}
CHECK = {"name", "outcome", "message", "seconds"}


def result(journey: Journey) -> dict[str, Any]:
    """What ``--json`` prints."""
    steps = [
        {"name": s.name, "seconds": round((s.ended or journey.seconds) - s.began, 3), "lines": s.lines}
        for s in journey.steps
    ]
    mine: dict[str, Any] = {}
    if journey.bundle is not None:
        mine = {"seed": str(journey.folder), "bundle": str(journey.bundle), "digest": journey.packed.digest}
    return {**mine, "seconds": round(journey.seconds, 3), "steps": steps, **journey.result}


def model_lines(journey: Journey, package: str) -> list[str]:
    """What is known of how good a model is, a line or none."""
    found = _model(journey, package)
    metrics = found.get("metrics", {})
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))
    return [shown] if shown else []


def collect(journey: Journey) -> None:
    """Puts into the journey's result all that a person may want to see; what is not there is left out.

    What cannot be read is named under ``missing`` rather than kept from view: the rehearsal may have failed half-way.
    """
    parts = {
        "project": _project,
        "resources": _resources,
        "runs": _runs,
        "training": _training,
        "builds": _builds,
        "tests": _tests,
        "approvals": _approvals,
        "models": _models,
        **({"grants": permissions.statements, "refusals": permissions.refusals} if journey.options.strict else {}),
    }
    journey.result |= {
        "accounts": journey.accounts,
        "region": journey.region,
        "endpoints": journey.endpoints,
        "missing": {},
    }
    for name, part in parts.items():
        try:
            journey.result[name] = part(journey)
        except UNREADABLE as error:
            journey.result["missing"][name] = str(error)


def _project(journey: Journey) -> dict[str, Any]:
    project = getattr(journey, "project", None)
    return {} if project is None else {"name": project.name, "id": project.id, "stack": project.stack}


def _resources(journey: Journey) -> dict[str, list[dict[str, Any]]]:
    """Every resource of every stack, by account."""
    found: dict[str, list[dict[str, Any]]] = {}
    for account in journey.accounts:
        client = journey.client("cloudformation", account)
        found[account] = []
        for page in client.get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                pages = client.get_paginator("list_stack_resources").paginate(StackName=stack["StackName"])
                found[account] += [
                    {
                        "stack": stack["StackName"],
                        "stack_status": stack["StackStatus"],
                        "id": resource["LogicalResourceId"],
                        "type": resource["ResourceType"],
                        "physical_id": resource.get("PhysicalResourceId", ""),
                        "status": resource["ResourceStatus"],
                    }
                    for resources in pages
                    for resource in resources["StackResourceSummaries"]
                ]
    return found


def _runs(journey: Journey) -> list[dict[str, Any]]:
    """Every execution, with when its actions began and ended, in seconds from the start of the rehearsal."""
    follower = getattr(journey, "follower", None)
    if follower is None:
        return []
    return [
        {
            "pipeline": runs.short(run.pipeline),
            "id": run.id,
            "status": run.status,
            "trigger": run.trigger,
            "actions": [
                {
                    "stage": action.stage,
                    "name": action.name,
                    "provider": action.provider,
                    "status": action.status,
                    "began": round(action.began.timestamp() - journey.clock, 3),
                    "ended": round(action.ended.timestamp() - journey.clock, 3),
                    "external": action.external,
                    "said": action.said,
                }
                for action in run.actions
            ],
        }
        for run in follower.everything()
    ]


def _training(journey: Journey) -> list[dict[str, Any]]:
    """The executions of SageMaker's pipelines, with times as those of the runs."""
    found = training.executions(journey.client("sagemaker"))
    for step in (step for execution in found for step in execution["steps"]):
        step["began"], step["ended"] = (round(step[end] - journey.clock, 3) for end in ("began", "ended"))
    return found


def _builds(journey: Journey) -> list[dict[str, Any]]:
    codebuild, logs = journey.client("codebuild"), journey.client("logs")
    ids = [
        action["external"]
        for run in journey.result.get("runs", ())
        for action in run["actions"]
        if action["provider"] == "CodeBuild" and action["external"]
    ]
    return [builds.describe(codebuild, logs, build) for build in ids]


def _tests(journey: Journey) -> list[dict[str, Any]]:
    """The results that builds left as artifacts, wherever they are; the newest last."""
    if getattr(journey, "project", None) is None:
        return []
    s3, found = journey.client("s3"), []
    for bucket in journey.project.of_type("AWS::S3::Bucket"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        objects = [thing for page in pages for thing in page.get("Contents", ())]
        for thing in sorted(objects, key=lambda thing: thing["LastModified"]):
            content = (
                s3.get_object(Bucket=bucket, Key=thing["Key"])["Body"].read() if thing["Size"] < 5_000_000 else b""
            )
            if content.startswith(b"PK"):
                found += _results_in(content)
    return found


def _approvals(journey: Journey) -> list[dict[str, Any]]:
    """What people were asked, and the page behind the link that they were given, if it is one in a bucket."""
    follower = getattr(journey, "follower", None)
    return [
        {
            "pipeline": runs.short(run.pipeline),
            "stage": action.stage,
            "status": action.status,
            "asked": action.asks[0],
            "link": action.asks[1],
            "page": _behind(journey, action.asks[1]),
        }
        for run in (follower.everything() if follower is not None else ())
        for action in run.actions
        if action.provider == "Manual"
    ]


def _behind(journey: Journey, link: str) -> str:
    """The object that a link to the S3 console leads to, if it is a page."""
    place = urlsplit(link)
    bucket, key = place.path.rpartition("/")[2], parse_qs(place.query).get("prefix", [""])[0]
    if not place.path.startswith("/s3/object/") or not key.endswith(".html"):
        return ""
    return str(journey.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def _results_in(archive: bytes) -> list[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = [name for name in opened.namelist() if name.rpartition("/")[2] == RESULTS]
        return [_shown(json.loads(opened.read(name))) for name in names]


def _shown(results: Any) -> dict[str, Any]:
    """Results in the form of the page; of those in a form of somebody else's, all that they hold, as one check."""
    known = results if isinstance(results, dict) else {}
    checks = known.get("checks")
    if (
        known.keys() >= FORM
        and isinstance(checks, list)
        and all(isinstance(c, dict) and c.keys() >= CHECK for c in checks)
    ):
        return {**known, "measurements": _measured(known.get("measurements"))}
    outcome = str(known.get("outcome", ""))
    check = {"name": RESULTS, "outcome": outcome, "message": json.dumps(results), "seconds": 0.0}
    shown = {"stage": "", "outcome": outcome, "endpoint": RESULTS, "seconds": 0.0, "checks": [check]}
    return {**shown, "measurements": {}}


def _measured(measurements: Any) -> dict[str, dict[str, Any]]:
    """By what was measured, the figures of it; of what has another form, nothing."""
    if not isinstance(measurements, dict):
        return {}
    return {str(name): figures for name, figures in measurements.items() if isinstance(figures, dict)}


def _models(journey: Journey) -> list[dict[str, Any]]:
    sagemaker = journey.client("sagemaker")
    return [_model(journey, package["ModelPackageArn"]) for package in models.packages(sagemaker)]


def _model(journey: Journey, package: str) -> dict[str, Any]:
    """A model package with what its metrics and the files beside them say."""
    described = journey.client("sagemaker").describe_model_package(ModelPackageName=package)
    statistics = described.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    containers = described.get("InferenceSpecification", {}).get("Containers") or [{}]
    data = containers[0].get("ModelDataUrl", "")
    beside = f"{statistics.rpartition('/')[0]}/{EVALUATION}" if statistics else ""
    evaluation = _json(journey, beside)
    metrics = evaluation.get("metrics")
    return {
        "package": models.short(package),
        "approval": described["ModelApprovalStatus"],
        "metrics": metrics if isinstance(metrics, dict) and metrics else _values(_json(journey, statistics)),
        "evaluation": evaluation,
        "curve": _curve(journey, f"{data.rpartition('/')[0]}/output.tar.gz" if data else ""),
    }


def _values(quality: dict[str, Any]) -> dict[str, Any]:
    """The figures of SageMaker's own form of model quality."""
    return {
        name: said["value"]
        for group in quality.values()
        if isinstance(group, dict)
        for name, said in group.items()
        if isinstance(said, dict) and isinstance(said.get("value"), int | float)
    }


def _read(journey: Journey, uri: str) -> bytes | None:
    if not uri:
        return None
    parts = urlsplit(uri)
    try:
        answer = journey.client("s3").get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchBucket"}:
            return None
        raise
    return bytes(answer["Body"].read())


def _json(journey: Journey, uri: str) -> dict[str, Any]:
    content = _read(journey, uri)
    try:
        loaded = json.loads(content) if content else {}
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _curve(journey: Journey, uri: str) -> dict[str, Any]:
    content = _read(journey, uri)
    if content is None:
        return {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar.getmembers():
            if member.name.rpartition("/")[2] == CURVE and (file := tar.extractfile(member)):
                return dict(json.load(file))
    return {}
