"""The real ways of using cookiecutter: every kind of template address, and the options that change how it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import ROOT, as_git_repository, cookiecutter, files_of, git, slow_after


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This template as a git repository with a tag, whose main branch has moved on since."""
    target = as_git_repository(tmp_path_factory.mktemp("git") / "template")
    git(target, "tag", "v1")
    (target / "<<cookiecutter.project_slug>>" / "later.txt").write_text("after the tag\n")
    git(target, "add", "--all")
    git(target, "commit", "--message", "second")
    return target


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the template renders with its default answers."""
    out = tmp_path_factory.mktemp("expected")
    ran = cookiecutter(str(ROOT), "--no-input", "-o", str(out))
    assert ran.returncode == 0, ran.stderr
    return files_of(out)


@pytest.mark.slow
def test_an_absolute_path(tmp_path: Path, expected: dict[str, bytes]) -> None:
    assert len(expected) > 10
    assert any(name.startswith("iris-classifier/dist/") for name in expected)
    ran = cookiecutter(f"{ROOT}/", "--no-input", "-o", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path) == expected


@pytest.mark.parametrize("folder", slow_after(1, [".", "hooks"]))
def test_a_relative_path(tmp_path: Path, expected: dict[str, bytes], folder: str) -> None:
    way = "." if folder == "." else ".."
    ran = cookiecutter(way, "--no-input", "-o", str(tmp_path), cwd=ROOT / folder, env={"PWD": str(ROOT / folder)})
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path) == expected


@pytest.mark.slow
def test_a_relative_path_from_a_program_that_changed_its_folder(tmp_path: Path, expected: dict[str, bytes]) -> None:
    ran = cookiecutter(".", "--no-input", "-o", str(tmp_path), cwd=ROOT, env={"PWD": "/"})
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path) == expected


@pytest.mark.slow
def test_a_git_address_with_a_tag(tmp_path: Path, repository: Path, expected: dict[str, bytes]) -> None:
    url = f"git+file://{repository}"
    out = str(tmp_path / "out")
    ran = cookiecutter(url, "--checkout", "v1", "--no-input", "-o", out)
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_zip(tmp_path: Path, repository: Path, expected: dict[str, bytes]) -> None:
    archive = tmp_path / "template.zip"
    git(repository, "archive", "--prefix=template/", "--output", str(archive), "v1")
    out = str(tmp_path / "out")
    ran = cookiecutter(str(archive), "--no-input", "-o", out)
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_replay_file(tmp_path: Path) -> None:
    answers = {"project_name": "Replayed", "prediction": "regression"}
    first = cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path / "a"), *(f"{k}={v}" for k, v in answers.items()))
    assert first.returncode == 0, first.stderr
    replay = Path(os.environ["HOME"], ".cookiecutter_replay", f"{ROOT.name}.json")
    second = cookiecutter(str(ROOT), "--replay-file", str(replay), "-o", str(tmp_path / "b"))
    assert second.returncode == 0, second.stderr
    assert files_of(tmp_path / "b") == files_of(tmp_path / "a")
    assert json.loads((tmp_path / "b/replayed/seed.json").read_text())["answers"]["prediction"] == "regression"


@pytest.mark.slow
def test_without_hooks_the_repository_is_valid_and_merely_larger(tmp_path: Path, expected: dict[str, bytes]) -> None:
    ran = cookiecutter(str(ROOT), "--no-input", "--accept-hooks=no", "-o", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    found = files_of(tmp_path)
    kept = {name: content for name, content in expected.items() if "/dist/" not in name}
    assert kept.items() <= found.items()
    extra = set(found) - set(kept)
    assert extra
    others = ("test/payloads/regression/", "inference/", "deploy/stackset.py")
    assert all(name.removeprefix("iris-classifier/").startswith(others) for name in extra)


@pytest.mark.slow
def test_an_existing_repository_is_not_overwritten_unasked(tmp_path: Path) -> None:
    mine = tmp_path / "iris-classifier/build.py"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert cookiecutter(str(ROOT), "--no-input", "-o", str(tmp_path)).returncode == 1
    assert files_of(tmp_path) == {"iris-classifier/build.py": b"mine"}
