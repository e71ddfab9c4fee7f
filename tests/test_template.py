"""The template folder itself, before anything is rendered: every file is valid in its own language."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from sagemaker_seed.publish.release import read_template
from support import ROOT, tracked

FOLDER = ROOT / "<<cookiecutter.project_slug>>"
FILES = sorted(FOLDER / name for name in tracked(FOLDER))
RENDERED = [path for path in FILES if path.suffix != ".ipynb"]

# A variable, a block or a comment of the template; anything else that begins with << breaks the rendering.
TAG = re.compile(r"<<(?:% .*? %|# .*? #| .*? )>>", re.DOTALL)


def _yaml(text: str) -> object:
    return read_template(f"Resources: {{}}\nUnder:\n{re.sub('(?m)^', '  ', text)}", "file")


PARSERS: dict[str, Callable[[str], object]] = {
    ".py": ast.parse,
    ".json": json.loads,
    ".ipynb": json.loads,
    ".toml": tomllib.loads,
    ".yml": _yaml,
    ".yaml": _yaml,
}


def _suffix(path: Path) -> str:
    """The suffix that a file has when it is rendered: a name may depend on an answer, and be none with another."""
    found = re.fullmatch(r"<< '[^']+(\.\w+)' if .+ else '' >>", path.name)
    return found[1] if found else path.suffix


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def test_there_are_files() -> None:
    assert len(FILES) > 20
    assert sum(_suffix(path) != path.suffix for path in FILES) == 2
    assert {path.suffix for path in FILES} >= {".py", ".json", ".yml", ".toml", ".md"}


@pytest.mark.parametrize("path", RENDERED, ids=_name)
def test_nothing_else_looks_like_a_tag_of_the_template(path: Path) -> None:
    assert "<<" not in TAG.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<< cookiecutter.x >>", False),
        ("<<% if a %>>b<<% endif %>>", False),
        ("<<# why #>>", False),
        ("cat <<EOF", True),
        ("1 << 4", True),
        ("<<<word", True),
        ("<<: *a", True),
    ],
)
def test_the_rule_itself(text: str, left: bool) -> None:
    assert ("<<" in TAG.sub("", text)) is left


@pytest.mark.parametrize("path", [path for path in FILES if _suffix(path) in PARSERS], ids=_name)
def test_a_file_parses_before_rendering(path: Path) -> None:
    assert PARSERS[_suffix(path)](path.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_holds_nothing_that_belongs_to_one_account_or_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not path.is_symlink()
    assert "arn:aws:" not in text or "/tests/" in f"/{_name(path)}"
    assert "\r" not in text
    accounts = set(re.findall(r"(?<![0-9a-f.])[0-9]{12}(?![0-9a-f.])", text))
    assert {number for number in accounts if len(set(number)) > 1} == set(), "an account id that is not plainly made up"


def test_values_are_rendered_in_few_places() -> None:
    rendering = {_name(path) for path in RENDERED if "<<" in path.read_text(encoding="utf-8")}
    assert rendering == {"seed.json", "README.md"}
