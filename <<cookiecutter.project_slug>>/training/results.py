"""What an execution found out, read for people: evaluation, training curve, comparison; and an approval."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from deploy.errors import DeployError
from training.runs import Execution


class NoResultError(DeployError):
    """The execution has not come so far, or does not have what is asked for."""

    outcome = "no-result"


def evaluation(sagemaker: Any, s3: Any, execution: Execution) -> dict[str, Any]:
    """Return evaluation.json of the execution, whether it registered the model or rejected it."""
    job = sagemaker.describe_processing_job(ProcessingJobName=_job(execution, "Evaluate"))
    outputs = job["ProcessingOutputConfig"]["Outputs"]
    (folder,) = (one["S3Output"]["S3Uri"] for one in outputs if one["OutputName"] == "evaluation")
    loaded: dict[str, Any] = json.loads(_read(s3, folder.rstrip("/") + "/evaluation.json"))
    return loaded


def training_curve(sagemaker: Any, s3: Any, execution: Execution) -> dict[str, dict[str, list[float]]]:
    """Return the metric of each round, by part of the data and name of the metric."""
    name = _job(execution, "Train")
    job = sagemaker.describe_training_job(TrainingJobName=name)
    # The model lies beside what else the training wrote.
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    packed = _read(s3, model.rpartition("/")[0] + "/output.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar.getmembers():
            if member.name.rpartition("/")[2] == "training-curve.json" and (file := tar.extractfile(member)):
                loaded: dict[str, dict[str, list[float]]] = json.load(file)
                return loaded
    raise NoResultError(f"{name} wrote no training-curve.json")


def approve(sagemaker: Any, model_package_arn: str, why: str) -> None:
    """Approve a registered model, which starts its deployment; `why` is kept with it."""
    if not model_package_arn:
        raise NoResultError("There is no model to approve: the execution registered none")
    sagemaker.update_model_package(
        ModelPackageArn=model_package_arn, ModelApprovalStatus="Approved", ApprovalDescription=why[:1024]
    )


def comparison(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what decided on the model, in rows of a table: the threshold and the model in production."""
    metric, production = found["metric"], found["production"]
    shown: Callable[[Any], str] = lambda value: "none yet" if value is None else f"{value:.4g}"  # noqa: E731
    return [
        (metric["name"], shown(metric["value"])),
        ("threshold", f"{metric['threshold']:g} ({'met' if metric['met'] else 'missed'})"),
        ("in production", shown(production["value"])),
        ("not worse", "yes" if production["not_worse"] else "no"),
        ("accepted", "yes" if found["accepted"] else "no"),
    ]


def _job(execution: Execution, step: str) -> str:
    arn = next((one.job_arn for one in execution.steps if one.name == step), "")
    if not arn:
        raise NoResultError(f"The execution has no job of step {step}: {execution.failure()}")
    return arn.rpartition("/")[2]


def _read(s3: Any, uri: str) -> bytes:
    place = urlsplit(uri)
    body: bytes = s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
    return body
