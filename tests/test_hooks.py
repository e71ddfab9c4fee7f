"""The hooks as cookiecutter renders and runs them: small, harmless to the render, and clear when they refuse."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import hooks
from sagemaker_seed.answers import QUESTIONS
from support import ROOT, BakedProject, as_git_repository, cookiecutter, slow_after
from test_answers import AWKWARD, GOOD

HOOKS = sorted((ROOT / "hooks").glob("*"))
DERIVED = {question.name: question.key for question in QUESTIONS}
ANSWERS = {DERIVED[name]: value for name, value in GOOD.items()}
CONTEXT: dict[str, Any] = {**ANSWERS, "_template": ".", "_repo_dir": str(ROOT), "_output_dir": "/tmp/x"}


@pytest.mark.parametrize("path", HOOKS, ids=lambda p: p.name)
def test_a_hook_is_small_and_valid_python_before_rendering(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 40
    tree = ast.parse(source)
    # Importing it does nothing: one function, and the line that calls it as a script.
    assert all(
        isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.Expr | ast.If) for node in tree.body
    )


def _as_rendered(path: Path, context: dict[str, Any]) -> dict[str, Any]:
    """The answers that the hook sees, when it is rendered and loaded exactly as cookiecutter does."""
    from cookiecutter.utils import create_env_with_context

    asked = json.loads((ROOT / "cookiecutter.json").read_text())
    whole = {"cookiecutter": {**context, "_jinja2_env_vars": asked["_jinja2_env_vars"]}}
    source = create_env_with_context(whole).from_string(path.read_text()).render(**whole)
    loads = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.loads"
    ]
    (literal,) = loads[0].args
    seen: dict[str, Any] = json.loads(ast.literal_eval(literal))
    return seen


HOSTILE = [
    *(value for _, value in AWKWARD),
    '"; raise SystemExit("INJECTED"); "',
    '"""); raise SystemExit("INJECTED") #',
    "'''",
    "ends with a backslash\\",
    '\\"\\"\\"',
    "two\nlines\r\n\ttab\0nul",
    "<< 7*7 >> <<% raw %>> {{ x }} ${y} \u2028",
    "\N{TULIP}",
]


@pytest.mark.parametrize("path", HOOKS, ids=lambda p: p.name)
@pytest.mark.parametrize("value", HOSTILE)
def test_answers_reach_a_hook_as_data(path: Path, value: str) -> None:
    seen = _as_rendered(path, {**CONTEXT, "__description": value})
    assert seen["__description"] == value
    assert seen["project_slug"] == CONTEXT["project_slug"]


def test_good_answers_are_let_through(capfd: pytest.CaptureFixture[str]) -> None:
    assert hooks.refuse(CONTEXT, []) == 0
    assert capfd.readouterr() == ("", "")


def test_every_problem_is_printed_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["python", "cookiecutter", ".", "colour=red"]
    assert hooks.refuse({**CONTEXT, "project_name": "", "aws_region": "mars-1"}, words) == 1
    printed = capfd.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in printed] == ["colour", "project_name", "aws_region"]
    assert all(line.startswith("ERROR: ") for line in printed)


BAD_LINES = {
    'project_name=a"b': "ERROR: project_name: must start with",
    "project_name=two\nlines": "ERROR: project_name: must start with",
    "project_name={x}": "ERROR: project_name: must start with",
    "project_name=../../x": "ERROR: project_name: must start with",
    "project_name=\N{TULIP}": "ERROR: project_name: must start with",
    "project_name=" + "x" * 200: "ERROR: project_name: must be at most 100 characters",
    "project_slug=../escape": "ERROR: project_slug: must hold only",
    "aws_region=mars-1": "ERROR: aws_region: must be a region",
    "publish_to=aws": "ERROR: seed_bucket: must be given",
    "project_nmae=x": "ERROR: project_nmae: is no question",
}


@pytest.mark.parametrize(
    ("word", "said"), slow_after(2, BAD_LINES.items()), ids=[w[:24].replace("\n", " ") for w in BAD_LINES]
)
def test_cookiecutter_stops_before_anything_is_written(tmp_path: Path, word: str, said: str) -> None:
    (tmp_path / "out").mkdir()
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path / "out"), word)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def _without(tmp_path: Path, *modules: str) -> dict[str, str]:
    """An environment in which modules cannot be imported, as in a cookiecutter that was installed alone."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    return {"PYTHONPATH": str(tmp_path)}


def test_rendering_without_publishing_imports_neither_boto3_nor_moto(tmp_path: Path) -> None:
    absent = _without(tmp_path, "boto3", "botocore", "moto")
    ran = cookiecutter(
        str(ROOT), "--no-input", "-o", str(tmp_path / "out"), "publish_to=nowhere", publishes=True, env=absent
    )
    assert ran.returncode == 0, ran.stderr
    assert "not published" not in ran.stdout
    assert len(list((tmp_path / "out/iris-classifier/dist").glob("iris-classifier-*.zip"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("where", ["embedded", "aws"])
def test_without_boto3_the_repository_is_rendered_and_the_way_on_is_printed(tmp_path: Path, where: str) -> None:
    absent = _without(tmp_path, "boto3", "botocore", "moto")
    answers = (f"publish_to={where}", "seed_bucket=a-bucket")
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path / "out"), *answers, publishes=True, env=absent)
    project = tmp_path / "out/iris-classifier"
    assert ran.returncode == 0, ran.stderr
    assert "bundled" in ran.stdout
    assert "not published: boto" in ran.stdout
    extra = "[rehearsal]" if where == "embedded" else ""
    assert f"pip install 'sagemaker-seed{extra} @ {ROOT.as_uri()}'" in ran.stdout
    assert f"sagemaker-seed publish {project} --to {where}" in ran.stdout
    assert (project / "build.py").exists()


@pytest.mark.slow
def test_a_failing_publication_keeps_the_repository(tmp_path: Path) -> None:
    dead_end = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    answers = ("publish_to=aws", "seed_bucket=a-bucket")
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path / "out"), *answers, publishes=True, env=dead_end)
    assert ran.returncode == 0, ran.stderr
    assert "not published: http://127.0.0.1:9/ cannot be reached" in ran.stdout
    assert f"sagemaker-seed publish {tmp_path}/out/iris-classifier --to aws" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    assert (tmp_path / "out/iris-classifier/build.py").exists()


def test_the_environment_overrides_the_answer_and_a_wrong_value_is_named(
    tmp_path: Path,
    bake: Callable[..., BakedProject],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(hooks.OVERRIDE, "mars")
    assert bake().path.exists()
    printed = capfd.readouterr().out
    assert f"not published: {hooks.OVERRIDE}: must be one of" in printed


@pytest.mark.slow
def test_caches_in_the_template_folder_do_not_reach_the_repository(tmp_path: Path) -> None:
    template = as_git_repository(tmp_path / "template")
    caches = [template / "<<cookiecutter.project_slug>>" / name for name in ("deploy/__pycache__", ".ruff_cache")]
    for cache in caches:
        cache.mkdir()
        (cache / "x").write_bytes(b"\0")
    ran = cookiecutter(str(template), "--no-input", "-o", str(tmp_path / "out"))
    assert ran.returncode == 0, ran.stderr
    assert not {path.name for path in (tmp_path / "out").rglob("*")} & {cache.name for cache in caches}


@pytest.mark.slow
def test_the_default_answer_publishes_to_the_embedded_aws(tmp_path: Path) -> None:
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path), publishes=True)
    assert ran.returncode == 0, ran.stderr
    assert "published: 0.1.0-" in ran.stdout
    assert ran.stdout.count("proved: ") == 4
