"""What the notebook shows of an execution: read from the answers of AWS, drawn from what the steps wrote."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from moto import mock_aws
from seed_support.baking import REGION, bake

JOBS = f"arn:aws:sagemaker:{REGION}:111111111111"
FOUND: dict[str, Any] = {
    "metric": {"name": "accuracy", "value": 0.95, "threshold": 0.9, "met": True},
    "metrics": {"accuracy": 0.95},
    "confusion_matrix": {"classes": ["setosa", "virginica"], "rows": [[7, 1], [0, 8]]},
    "feature_importance": {"petal_width": 0.75, "petal_length": 0.25},
    "production": {"model": None, "value": None, "not_worse": True},
    "accepted": True,
    "summary": "accepted",
}
CURVE = {"train": {"mlogloss": [0.9, 0.5]}, "validation": {"mlogloss": [0.95, 0.6]}}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The modules of a rendered repository, taken away again afterwards."""
    mpl.use("agg")
    repository = bake(tmp_path_factory.mktemp("seed"))
    before = set(sys.modules)
    sys.path.insert(0, str(repository))
    try:
        import importlib

        yield {name: importlib.import_module(f"training.{name}") for name in ("results", "plots", "runs", "studio")}
    finally:
        sys.path.remove(str(repository))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("training", "deploy"):
                del sys.modules[name]


class Sagemaker:
    """What SageMaker answers about the two jobs."""

    approved: dict[str, str]

    def describe_processing_job(self, ProcessingJobName: str) -> Any:
        assert ProcessingJobName == "pipelines-abc-Evaluate-1"
        output = {"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://artifacts/run/evaluation"}}
        return {"ProcessingOutputConfig": {"Outputs": [output]}}

    def describe_training_job(self, TrainingJobName: str) -> Any:
        assert TrainingJobName == "pipelines-abc-Train-1"
        return {"ModelArtifacts": {"S3ModelArtifacts": "s3://artifacts/models/job/output/model.tar.gz"}}

    def update_model_package(self, **words: str) -> None:
        self.approved = words


@pytest.fixture
def s3() -> Iterator[Any]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        text = json.dumps(CURVE).encode()
        entry = tarfile.TarInfo("training-curve.json")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    with mock_aws():
        import boto3

        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_bucket(Bucket="artifacts")
        client.put_object(Bucket="artifacts", Key="run/evaluation/evaluation.json", Body=json.dumps(FOUND).encode())
        client.put_object(Bucket="artifacts", Key="models/job/output/output.tar.gz", Body=packed.getvalue())
        yield client


@pytest.fixture
def execution(training: dict[str, ModuleType]) -> Any:
    step = training["runs"].Step
    steps = (
        step("Train", "Succeeded", job_arn=f"{JOBS}:training-job/pipelines-abc-Train-1"),
        step("Evaluate", "Succeeded", job_arn=f"{JOBS}:processing-job/pipelines-abc-Evaluate-1"),
    )
    return training["runs"].Execution("arn", "Succeeded", steps=steps)


def test_the_evaluation_and_the_curve_are_those_of_the_jobs(
    training: dict[str, ModuleType], s3: Any, execution: Any
) -> None:
    results = training["results"]
    assert results.evaluation(Sagemaker(), s3, execution) == FOUND
    assert results.training_curve(Sagemaker(), s3, execution) == CURVE


def test_an_execution_that_did_not_come_so_far_says_why(training: dict[str, ModuleType], s3: Any) -> None:
    failed = training["runs"].Step("Preprocess", "Failed", reason="column petal_width: no values")
    execution = training["runs"].Execution("arn", "Failed", steps=(failed,))
    with pytest.raises(training["results"].NoResultError, match="Evaluate: Preprocess: column petal_width: no values"):
        training["results"].evaluation(Sagemaker(), s3, execution)


def test_approval_is_of_the_one_model_and_keeps_the_reason(training: dict[str, ModuleType]) -> None:
    client = Sagemaker()
    training["results"].approve(client, "arn:model/7", "x" * 2000)
    assert client.approved == {
        "ModelPackageArn": "arn:model/7",
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": "x" * 1024,
    }
    with pytest.raises(training["results"].NoResultError, match="registered none"):
        training["results"].approve(client, "", "why")


def test_the_comparison_is_in_words(training: dict[str, ModuleType]) -> None:
    rows = dict(training["results"].comparison(FOUND))
    assert rows == {
        "accuracy": "0.95",
        "threshold": "0.9 (met)",
        "in production": "none yet",
        "not worse": "yes",
        "accepted": "yes",
    }


def test_the_plots_show_what_they_are_given(training: dict[str, ModuleType], tmp_path: Path) -> None:
    plots = training["plots"]
    matrix = plots.outcome(FOUND)
    assert [text.get_text() for text in matrix.axes[0].texts] == ["7", "1", "0", "8"]
    bars = plots.importance(FOUND).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["petal_length", "petal_width"]
    lines = plots.curve(CURVE).axes[0].lines
    assert [(line.get_label(), list(line.get_ydata())) for line in lines] == [
        ("train: mlogloss", [0.9, 0.5]),
        ("validation: mlogloss", [0.95, 0.6]),
    ]
    points = plots.outcome({"residuals": {"actual": [1.0, 2.0], "predicted": [1.1, 1.9]}}).axes[0].collections[0]
    assert points.get_offsets().tolist() == [[1.0, 1.1], [2.0, 1.9]]
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3], "kind": ["x", "y", "x"]})
    columns = plots.columns(table, "kind")
    assert [axis.get_title() for axis in columns.axes] == ["a", "b"]
    matrix.savefig(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


class Studio:
    """Clients of an account in which there is one project."""

    class exceptions:
        class ClientError(Exception):
            pass

    class meta:
        region_name = REGION

    def __init__(self, key: str = "") -> None:
        self.key = key

    def __call__(self, _: str) -> Studio:
        return self

    def describe_project(self, ProjectName: str) -> Any:
        if ProjectName != "iris":
            raise self.exceptions.ClientError(f"Project {ProjectName} does not exist")
        return {"ProjectId": "p-0123456789ab"}

    def get_caller_identity(self) -> Any:
        return {"Account": "111111111111", "Arn": "arn:aws-cn:sts::111111111111:assumed-role/studio/me"}

    def get_bucket_encryption(self, Bucket: str) -> Any:
        assert Bucket == "sagemaker-project-p-0123456789ab-111111111111"
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key}
        return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}}


def test_a_notebook_in_studio_finds_its_project_by_name(training: dict[str, ModuleType]) -> None:
    key = f"arn:aws-cn:kms:{REGION}:111111111111:key/0a"
    project = training["studio"].find_project({}, "iris", Studio(key))
    assert project.pipeline == "iris-p-0123456789ab-training"
    assert project.group == "iris-p-0123456789ab"
    assert project.key_arn == key
    assert project.role_arn == "arn:aws-cn:iam::111111111111:role/sagemaker-seed/sagemaker-seed-training"


def test_a_name_that_there_is_not_is_said(training: dict[str, ModuleType]) -> None:
    with pytest.raises(Exception, match=r"no SageMaker project 'other' in eu-west-1: set PROJECT"):
        training["studio"].find_project({}, "other", Studio())
