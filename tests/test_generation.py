"""Every combination of answers, baked: the exact files, all of them valid, the same bytes twice."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sagemaker_seed import answers as rules
from sagemaker_seed.publish.release import read_template
from support import ROOT, BakedProject, files_of, slow_after
from test_answers import AWKWARD

# The files of a rendered repository: this table is also the tree in the README.
FILES = {
    *(".gitignore", "Makefile", "README.md", "pyproject.toml", "seed.json"),
    *("requirements.txt", "requirements-dev.txt", "requirements-security.txt"),
    *("build.py", "buildspec.yml", "cfn-sm-endpoint-template.yml"),
    "prod-config-template.json",
    *(f"deploy/{name}.py" for name in ("__init__", "errors", "exports", "parameters", "plain_yaml", "registry")),
    *(f"deploy/{name}.py" for name in ("rules", "settings", "stages")),
    *(f"test/{name}.py" for name in ("test", "checks", "endpoint", "expectations", "labelled", "measures", "own")),
    *("test/page.py", "test/report.py", "test/expectations.json", "test/buildspec.yml"),
    *(f"security/{name}" for name in ("accepted.json", "buildspec.yml", "rules.guard", "scan.py", "template.py")),
    *(f"approval/{name}" for name in ("summary.py", "presenting.py", "prices.json")),
    *("data/iris.csv", "notebooks/training-pipeline.ipynb", "requirements-training.txt"),
    *("training/buildspec.yml", "training/settings.json"),
    # the steps, which run in SageMaker's containers
    *(f"training/{name}.py" for name in ("__init__", "preprocess", "train", "evaluate", "inference", "cluster")),
    *(f"training/{name}.py" for name in ("failures", "hyperparameters", "quality", "schema", "splitting", "spooling")),
    *(f"training/{name}.py" for name in ("drift", "monitor")),
    # the pipeline, which makes and starts them
    *(f"training/{name}.py" for name in ("tables", "pipeline", "choices", "definition", "describing", "lint")),
    *(f"training/{name}.py" for name in ("packing", "plots", "project", "publishing", "reporting", "results")),
    *(f"training/{name}.py" for name in ("runs", "studio")),
    *("tests/conftest.py", "tests/buildspec.yml", "tests/pipeline/definition.json", "tests/test_training_steps.py"),
    *(f"tests/test_pipeline_{name}.py" for name in ("command", "lint", "packing", "runs", "settings")),
    *(f"tests/test_{name}.py" for name in ("build", "endpoint_checks", "expectations")),
    *(f"tests/test_{name}.py" for name in ("monitor", "plain_yaml", "registry", "settings")),
}
PAYLOADS = ("flowers.csv", "flowers.json", "one-flower.csv")
KINDS = ("classification", "regression")
FILES_OF_AN_ANSWER = {
    **{("prediction", kind): {f"test/payloads/{kind}/{name}" for name in PAYLOADS} for kind in KINDS},
    ("deploy_target", "stackset-service-managed"): {"deploy/stackset.py"},
    ("stages", "two"): {"staging-config-template.json"},
    ("stages", "three"): {"dev-config-template.json", "preprod-config-template.json"},
    ("inference", "real-time"): {
        *("test/shadow.py", "tests/test_parameters.py", "tests/test_shadow.py", "tests/test_stages.py")
    },
    ("inference", "serverless"): {"tests/test_kind.py"},
    ("inference", "asynchronous"): {"tests/test_kind.py", "test/asynchronous.py"},
    ("inference", "batch"): {"tests/test_kind.py", "test/batch.py"},
}

CHOICES = [[(question.name, choice) for choice in question.choices] for question in rules.QUESTIONS if question.choices]


def _pairwise() -> Iterator[dict[str, str]]:
    """Combinations in which any two choices of different questions meet at least once; the defaults first."""

    def pairs(chosen: tuple[tuple[str, str], ...]) -> set[Any]:
        return set(itertools.combinations(chosen, 2))

    every = list(itertools.product(*CHOICES))
    left = {pair for chosen in every for pair in pairs(chosen)}
    while left:
        best = max(every, key=lambda chosen: len(pairs(chosen) & left))
        left -= pairs(best)
        yield dict(best)


COMBINATIONS = list(_pairwise())


def expected_files(answers: dict[str, str]) -> set[str]:
    """The files that a repository with these answers consists of."""
    return FILES.union(*(files for answer, files in FILES_OF_AN_ANSWER.items() if answer in answers.items()))


def _id(answers: dict[str, str]) -> str:
    return "-".join(answers.values())


@pytest.fixture(params=slow_after(1, COMBINATIONS), ids=_id)
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    """One combination of every choice that cookiecutter offers."""
    return {**request.param, "seed_bucket": "a-bucket" if request.param["publish_to"] == "aws" else ""}


def test_a_bake_has_exactly_its_files_and_every_one_is_valid(
    bake: Callable[..., BakedProject], answers: dict[str, str], tmp_path: Path
) -> None:
    project = bake(**answers)
    assert project.files() == expected_files(answers)
    assert len(project.files()) <= 100
    for path in map(project.path.joinpath, project.files()):
        _check(path)
    _check_readme(project.path, answers["stages"])
    again = bake(**answers)
    assert again.path != project.path
    assert files_of(again.path) == files_of(project.path)


def _check(path: Path) -> None:
    """The file is text, nothing of the template is left in it, and its language's parser takes it."""
    text = path.read_text(encoding="utf-8")
    assert not set(text) & {"\r", "\0"}, path
    for mark in ("<<", "cookiecutter.", "%>>", "#>>"):
        assert mark not in text, f"{path} holds {mark}"
    PARSERS.get(path.suffix, len)(text)


NO_PARAMETERS = {"AccessDenied", "DriftCheckBaselines", "InvokeEndpointAsync", "RetrainOnDrift", "StackSetsCallAs"}
OTHER_STAGES = {"two": "development|pre-production|dev|preprod", "three": "staging"}


def _check_readme(folder: Path, stages: str) -> None:
    """It speaks of the parameters of this kind of endpoint, and of the stages that there are."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    template = (folder / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8")
    declared = set(re.findall(r"(?m)^  (\w+):$", template))
    assert set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text)) <= declared | NO_PARAMETERS
    assert re.findall(rf"(?<![\w-])(?:{OTHER_STAGES[stages]})\b", text) == []


def _yaml(text: str) -> None:
    if "AWSTemplateFormatVersion" in text:
        read_template(text, "template")
    else:
        assert yaml.safe_load(text)["version"] == 0.2


PARSERS: dict[str, Callable[[str], Any]] = {
    ".py": ast.parse,
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yml": _yaml,
    ".ipynb": json.loads,
    ".csv": lambda text: [line.split(",") for line in text.splitlines()],
}


@pytest.fixture(scope="module")
def baked_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Repositories of both predictions, without the hooks' bundle; each is baked once."""
    from cookiecutter.main import cookiecutter

    done: dict[str, Path] = {}

    def once(prediction: str) -> Path:
        if prediction not in done:
            out = str(tmp_path_factory.mktemp(prediction))
            answers = {"prediction": prediction}
            done[prediction] = Path(
                cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=out, default_config=True)
            )
        return done[prediction]

    yield once


PREDICTIONS = pytest.mark.parametrize("prediction", KINDS)


@pytest.mark.slow
@PREDICTIONS
def test_ruff_finds_nothing(baked_once: Callable[[str], Path], prediction: str) -> None:
    for act in (["check"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *act, "--no-cache", "."],
            cwd=baked_once(prediction),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", rules.OVERLAYS["inference"])
def test_ruff_finds_nothing_in_what_a_kind_brings(bake: Callable[..., BakedProject], kind: str) -> None:
    project = bake(inference=kind, publish_to="nowhere")
    for act in (["check"], ["format", "--check"]):
        ran = project.run(sys.executable, "-m", "ruff", *act, "--no-cache", ".")
        assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
@PREDICTIONS
def test_cfn_lint_finds_nothing(baked_once: Callable[[str], Path], prediction: str) -> None:
    from cfnlint.api import lint_file

    assert lint_file(baked_once(prediction) / "cfn-sm-endpoint-template.yml") == []


@pytest.mark.parametrize(("name", "value"), slow_after(2, AWKWARD), ids=lambda v: v[:16] if isinstance(v, str) else v)
def test_awkward_answers_come_back_as_they_were_given(bake: Callable[..., BakedProject], name: str, value: str) -> None:
    if "<<" in value:
        # Cookiecutter evaluates expressions in answers before this template sees them; what is left is data.
        value = value.replace("<< 7*7 >>", "49")
    asked = "__description" if name == "description" else name  # which nobody is asked for
    project = bake(**{"project_slug": "awkward", asked: value})
    told = json.loads((project.path / "seed.json").read_text(encoding="utf-8"))
    assert told["answers"][name] == value
    for path in map(project.path.joinpath, project.files()):
        if path.suffix in PARSERS:
            PARSERS[path.suffix](path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_seed_remembers_all_answers_and_the_version_of_the_template(bake: Callable[..., BakedProject]) -> None:
    project = bake()
    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    told = json.loads((project.path / "seed.json").read_text())
    assert set(told) == {"answers", "template_version"}
    assert set(told["answers"]) == {*rules.NAMES, "description"}
    assert told["template_version"] == asked["_template_version"]


# Kind of inference -> what its template makes, beside the model, and a parameter that its stage files set.
MADE = {
    "real-time": ("AWS::SageMaker::Endpoint", "EndpointInstanceType"),
    "serverless": ("AWS::SageMaker::Endpoint", "ServerlessMemoryMB"),
    "asynchronous": ("AWS::CloudWatch::Alarm", "EndpointInstanceType"),
    "batch": ("AWS::Scheduler::Schedule", "TransformInstanceType"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_a_kind_of_inference_has_its_template_and_stage_files_that_fit(
    bake: Callable[..., BakedProject], kind: str
) -> None:
    from cfnlint.api import lint_file

    project = bake(inference=kind)
    made, parameter = MADE[kind]
    text = (project.path / "cfn-sm-endpoint-template.yml").read_text()
    assert f"Type: {made}\n" in text
    assert lint_file(project.path / "cfn-sm-endpoint-template.yml") == []
    for stage in ("staging", "prod"):
        assert parameter in json.loads((project.path / f"{stage}-config-template.json").read_text())["Parameters"]
    assert project.run(sys.executable, "build.py", "--check").returncode == 0


def test_nothing_in_the_seed_imports_the_generator(bake: Callable[..., BakedProject]) -> None:
    project = bake()
    for name in project.files():
        assert "sagemaker_seed" not in (project.path / name).read_text(encoding="utf-8"), name


# Repositories whose own tests are run in an environment of their own, as a data scientist runs them.
OWN_TESTS = {
    "defaults": {},
    "regression": {"prediction": "regression", "publish_to": "nowhere"},
    "awkward": {
        "project_name": "3D-Modell f\u00fcr Bl\u00fcten",
        "__description": 'says "hello" \\ {{x}}',
        "team": "\u9cf6",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("chosen", OWN_TESTS.values(), ids=OWN_TESTS)
def test_the_repository_passes_its_own_tests(bake: Callable[..., BakedProject], chosen: dict[str, str]) -> None:
    project = bake(**chosen)
    for target in ("test", "lint", "check"):
        ran = project.run("make", target)
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        if target == "test":
            assert " passed" in ran.stdout


@pytest.mark.slow
def test_both_kinds_of_payloads_together_pass_too(tmp_path: Path) -> None:
    from support import cookiecutter

    ran = cookiecutter(str(ROOT), "--no-input", "--accept-hooks=no", "-o", str(tmp_path))
    assert ran.returncode == 0
    project = BakedProject(tmp_path / "iris-classifier")
    brought = {"tests/test_kind.py", "test/asynchronous.py", "test/batch.py"}
    made = {"dev-config-template.json", "preprod-config-template.json"}
    there = {name for name in project.files() if not name.startswith("inference/")}
    assert there == FILES.union(*FILES_OF_AN_ANSWER.values()) - brought - made
    ran = project.run("make", "test")
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


def test_a_full_disk_or_an_unwritable_folder_leaves_nothing(tmp_path: Path) -> None:
    from support import cookiecutter

    target = tmp_path / "out"
    target.mkdir()
    target.chmod(0o500)
    if os.access(target, os.W_OK):  # as the superuser, to whom no folder is unwritable
        shutil.rmtree(target)
        target.write_text("in the way")
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(target))
    assert ran.returncode != 0
    assert not list(tmp_path.rglob("seed.json"))
