"""Executions of the pipeline that a rendered repository makes: bad data ends them with one line that says what is bad.

The pipeline is the SageMaker SDK's own definition, brought to the embedded AWS as a build does it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pipeline_support import Lab, Ran
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, bake, scrubbed

pytestmark = pytest.mark.slow

# Seconds for an execution, on a machine that has much else to do.
PATIENCE = 180
PIPELINE = f"{GROUP}-training"


class Project:
    """A rendered repository in an account of its own, its pipeline made there, and the iris data of it."""

    def __init__(self, aws: EmbeddedAws, folder: Path, prediction: str, **columns: list[str]) -> None:
        """Uploads the code and makes the pipeline, with the repository's own command; ``columns`` are settings."""
        self.lab, self.repository = Lab(aws), bake(folder, prediction=prediction)
        settings = self.repository / "training" / "settings.json"
        changed = json.loads(settings.read_text())
        for name, value in columns.items():
            changed[name][prediction] = value
        settings.write_text(json.dumps(changed))
        self.environment = scrubbed(
            **aws.environment(self.lab.account),
            SAGEMAKER_PROJECT_NAME=PROJECT,
            SAGEMAKER_PROJECT_ID=PROJECT_ID,
            ARTIFACT_BUCKET=self.lab.bucket,
            SAGEMAKER_PIPELINE_ROLE_ARN=self.lab.role,
            SOURCE_MODEL_PACKAGE_GROUP_NAME=GROUP,
        )
        self.lines = (self.repository / "data" / "iris.csv").read_text(encoding="utf-8").splitlines()
        made = self.run("upsert", "--json")
        assert made.returncode == 0, made.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the command line of the training pipeline."""
        command = [sys.executable, "-m", "training.pipeline", *words]
        return subprocess.run(
            command, cwd=self.repository, env=self.environment, capture_output=True, text=True, check=False
        )

    def start(self, case: str, lines: list[str], **values: str) -> str:
        """Starts the pipeline with a file of these lines; returns the execution's ARN."""
        prefix = f"bad/{case.replace(' ', '-')}/"
        self.lab.put(f"{prefix}iris.csv", "".join(f"{line}\n" for line in lines))
        return self.lab.start(PIPELINE, {"InputData": f"{self.lab.root}/{prefix}", **values})

    def registered(self) -> list[dict[str, Any]]:
        """The model packages of the project."""
        found = self.lab.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)
        return list(found["ModelPackageSummaryList"])


def edited(lines: list[str], line: int, column: int, cell: str) -> list[str]:
    """The lines with one cell changed; lines count from 1, as in the messages."""
    cells = lines[line - 1].split(",")
    cells[column] = cell
    return [*lines[: line - 1], ",".join(cells), *lines[line:]]


def emptied(lines: list[str], column: int) -> list[str]:
    rows = [line.split(",") for line in lines[1:]]
    return [lines[0], *(",".join([*row[:column], "", *row[column + 1 :]]) for row in rows)]


def bad_files(lines: list[str]) -> dict[str, tuple[list[str], str]]:
    """What is wrong -> the file, and what its reason must say: the column and the rule, where a column is to blame."""
    return {
        "target missing": (
            [line.rpartition(",")[0] for line in lines],
            "iris.csv: target column 'species' is missing; the header has sepal_length, ",
        ),
        "all missing": (emptied(lines, 1), "column 'sepal_width': every value is missing"),
        "one class": (
            lines[:1] + lines[1:51] * 2,
            "target column 'species': there is only one class, 'setosa'; classification needs at least two",
        ),
        "ten rows": (lines[:1] + lines[1:150:15], "10 rows are too few to train, validate and test; at least 50"),
        "text in a number": (edited(lines, 8, 2, "wide"), "line 8: column 'petal_length': 'wide' is not a number"),
        "undeclared category": (edited(lines, 9, 0, "long"), "(a feature whose values are names must be listed under"),
        "label NaN": (
            edited(lines, 12, 4, "NaN"),
            "line 12: target column 'species': the label is missing ('NaN'); every row needs one",
        ),
        "header repeats": (
            [*lines[:60], lines[0], *lines[60:]],
            "line 61: the header is there again (column 'sepal_length')",
        ),
        "another delimiter": (
            [line.replace(",", ";") for line in lines],
            "line 1: the columns are separated by semicolons; expected commas",
        ),
        "empty": ([], "iris.csv: the file is empty; expected a header and rows"),
    }


CASES = tuple(bad_files(["a,b,c,d,e"] * 151))


@pytest.fixture(scope="module")
def project(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(aws, tmp_path_factory.mktemp("seed"), "classification")


@pytest.fixture(scope="module")
def started(project: Project) -> dict[str, str]:
    """An execution for each bad file, started side by side: most of their time is that of Python's imports."""
    return {case: project.start(case, lines) for case, (lines, _) in bad_files(project.lines).items()}


@pytest.mark.parametrize("case", CASES)
def test_bad_data_fails_the_execution_with_one_line_and_registers_nothing(
    project: Project, started: dict[str, str], case: str
) -> None:
    ran = project.lab.wait(started[case], PATIENCE)
    reason = bad_files(project.lines)[case][1]
    assert (ran.status, ran.statuses) == ("Failed", {"Preprocess": "Failed"})
    said = ran.steps["Preprocess"]["FailureReason"]
    assert said.startswith("AlgorithmError: ")
    assert said.endswith(", exit code: 1")
    assert reason in said
    assert "\n" not in said
    assert ran.reason == f"Step failure: One or multiple steps failed. Preprocess: {said}"
    assert project.registered() == []


@pytest.fixture(scope="module")
def good(project: Project, started: dict[str, str]) -> Ran:
    """An execution on good data that nothing can satisfy, when those on bad data are over."""
    for arn in started.values():
        project.lab.wait(arn, PATIENCE)
    return project.lab.wait(project.start("good", project.lines, Threshold="1.5"), PATIENCE)


def test_a_threshold_that_cannot_be_met_is_refused_with_the_figures(project: Project, good: Ran) -> None:
    done = dict.fromkeys(("Preprocess", "Train", "Evaluate", "CheckQuality"), "Succeeded")
    assert (good.status, good.statuses) == ("Failed", {**done, "Reject": "Failed"})
    assert good.steps["CheckQuality"]["Metadata"]["Condition"]["Outcome"] == "False"
    said = good.steps["Reject"]["FailureReason"]
    assert "misses the threshold of at least 1.5, which no model can meet, as accuracy is never above 1" in said
    assert "\n" not in said
    assert good.reason.endswith(f"Reject: {said}")
    assert project.registered() == []


def against_production(project: Project, trained: Ran) -> str:
    """Why data with another kind of flower fails where the model in production is the one that was trained."""
    job = project.lab.sagemaker.describe_training_job(TrainingJobName=trained.job("Train"))
    lines = [line.replace("virginica", "rose") for line in project.lines]
    arn = project.start("rose", lines, ProductionModel=job["ModelArtifacts"]["S3ModelArtifacts"])
    ran = project.lab.wait(arn, PATIENCE)
    assert (ran.status, ran.statuses["Evaluate"]) == ("Failed", "Failed")
    assert "\n" not in ran.reason
    assert project.registered() == []
    return str(ran.steps["Evaluate"]["FailureReason"])


def test_an_unknown_class_is_named_when_the_model_in_production_does_not_know_it(project: Project, good: Ran) -> None:
    assert (
        "has another set of classes in column 'species' (setosa, versicolor, virginica, not rose, setosa, versicolor)"
    ) in against_production(project, good)


def test_an_unknown_category_is_named_too(aws: EmbeddedAws, tmp_path: Path) -> None:
    project = Project(aws, tmp_path, "regression", drop=[], categorical=["species"])
    trained = project.lab.wait(project.start("good", project.lines, Threshold="-1"), PATIENCE)
    assert "which no model can meet, as rmse is never below 0" in trained.steps["Reject"]["FailureReason"]
    reason = against_production(project, trained)
    assert "cannot read the test data: test.csv: line " in reason
    assert "column 'species': unknown category 'rose'; known are setosa, versicolor, virginica" in reason


def test_the_command_line_waits_says_why_and_fails(project: Project, good: Ran) -> None:
    arguments = ["--wait", "--every", "0.1", "--json", "--parameter", "Threshold=1.5"]
    prefix = f"{project.lab.root}/bad/good/"
    done = project.run("start", *arguments, "--parameter", f"InputData={prefix}")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "Failed"
    assert [step["cached"] for step in result["steps"] if step["name"] in {"Preprocess", "Train"}] == [True, True]
    assert "misses the threshold of at least 1.5" in done.stderr + done.stdout
    assert project.registered() == []
