"""What people set: environment and settings, refused by name; the notebook, clean and thin."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from deploy.errors import UsageError
from training.choices import read_choices
from training.project import read_project


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("seed.json", "training/settings.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


def change(root: Path, act: Callable[[dict[str, Any]], Any], name: str = "training/settings.json") -> None:
    settings = json.loads((root / name).read_text(encoding="utf-8"))
    act(settings)
    (root / name).write_text(json.dumps(settings), encoding="utf-8")


def test_a_project_and_its_names(training_environment: dict[str, str]) -> None:
    project = read_project(training_environment)
    assert project.pipeline == "iris-p-0123456789ab-training"
    assert project.uri("models") == f"s3://{project.bucket}/iris/models"
    assert project.tags == {"sagemaker:project-name": "iris", "sagemaker:project-id": "p-0123456789ab"}
    assert project.commit == "unknown"


def test_the_key_may_be_missing(training_environment: dict[str, str]) -> None:
    assert read_project({**training_environment, "ARTIFACT_KEY_ARN": ""}).key_arn == ""


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read_project({})
    for name in ("SAGEMAKER_PROJECT_NAME", "ARTIFACT_BUCKET", "SAGEMAKER_PIPELINE_ROLE_ARN", "AWS_REGION"):
        assert f"{name} is not set" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_PROJECT_NAME", "a" * 33),
        ("ARTIFACT_BUCKET", "s3://bucket"),
        ("ARTIFACT_KEY_ARN", "alias/key"),
        ("SAGEMAKER_PIPELINE_ROLE_ARN", "sagemaker-seed-training"),
        ("COMMIT_ID", "two words"),
        ("TRAIN_REASON", "boredom"),
    ],
)
def test_a_wrong_variable_is_named(training_environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_project({**training_environment, name: value})


def test_the_settings_of_this_repository_are_valid() -> None:
    choices = read_choices(ROOT)
    answers = json.loads((ROOT / "seed.json").read_text(encoding="utf-8"))["answers"]
    assert choices.prediction == answers["prediction"]
    header = choices.data.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {choices.target, *choices.drop} <= set(header)


# What to do to valid settings, and what must then be said.
WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda s: s.pop("data"), "data is missing: expected the path"),
    "no version": (lambda s: s["image"].update(version=3.2), "image.version is 3.2"),
    "instance": (lambda s: s["instances"]["train"].update(type="m5"), "instances.train.type is 'm5'"),
    "count": (lambda s: s["instances"]["train"].update(count=0), "instances.train.count is 0"),
    "truth as count": (lambda s: s["instances"]["train"].update(count=True), "instances.train.count is True"),
    "share": (lambda s: s["split"].update(test=0), "split.test is 0"),
    "sum": (lambda s: s["split"].update(train=0.8), "do not add up to 1"),
    "shards": (lambda s: s["instances"]["train"].update(count=5), "split.shards is less than"),
    "machines": (lambda s: s["instances"]["evaluate"].update(volume_gb=5), "one parameter sets both"),
    "two to preprocess": (
        lambda s: [s["instances"][step].update(count=2) for step in ("preprocess", "evaluate")],
        "instances.preprocess.count must be 1",
    ),
    "hyperparameter": (lambda s: s["hyperparameters"].update(eta="fast"), "hyperparameters.eta is 'fast'"),
    "list as hyperparameter": (lambda s: s["hyperparameters"].update(a=[]), "hyperparameters is"),
    "no such data": (lambda s: s.update(data="data/none.csv"), "there is no data/none.csv"),
}


@pytest.mark.parametrize(("act", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named(copy: Path, act: Callable[[dict[str, Any]], Any], expected: str) -> None:
    change(copy, act)
    with pytest.raises(UsageError) as caught:
        read_choices(copy)
    assert "training/settings.json: " in str(caught.value)
    assert expected in str(caught.value)


def test_a_kind_of_prediction_that_there_is_not(copy: Path) -> None:
    change(copy, lambda seed: seed["answers"].update(prediction="clustering"), "seed.json")
    with pytest.raises(UsageError, match=r"seed\.json: answers\.prediction is 'clustering'"):
        read_choices(copy)


@pytest.mark.parametrize(("text", "expected"), [("{", "line 1: not JSON"), ("[]", "not a JSON object")])
def test_settings_that_cannot_be_read(copy: Path, text: str, expected: str) -> None:
    (copy / "training/settings.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=expected):
        read_choices(copy)


NOTEBOOK = ROOT / "notebooks" / "training-pipeline.ipynb"


@pytest.fixture
def notebook() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return loaded


def code(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_holds_no_results(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_its_cells_are_numbered(notebook: dict[str, Any]) -> None:
    count = len(notebook["cells"])
    assert count > 10
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{n:02d}" for n in range(1, count + 1)]


def test_its_kernel_is_that_of_studio(notebook: dict[str, Any]) -> None:
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)


def test_it_is_written_as_jupyter_writes_it(notebook: dict[str, Any]) -> None:
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    assert NOTEBOOK.read_text(encoding="utf-8") == text


def test_it_is_thin(notebook: dict[str, Any]) -> None:
    for cell in code(notebook):
        tree = ast.parse(cell)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert len(cell.splitlines()) <= 20


def test_the_first_cell_checks_the_sdk(notebook: dict[str, Any]) -> None:
    assert 'version("sagemaker")' in code(notebook)[0]
    assert "raise ImportError" in code(notebook)[0]


def test_it_approves_nothing_unless_asked(notebook: dict[str, Any]) -> None:
    (approval,) = (cell for cell in code(notebook) if "results.approve" in cell)
    tree = ast.parse(approval)
    (guard,) = (node for node in tree.body if isinstance(node, ast.If))
    assert isinstance(guard.test, ast.Name)
    assert guard.test.id == "APPROVE"
    assert any("approve" in ast.dump(node) for node in guard.body)
