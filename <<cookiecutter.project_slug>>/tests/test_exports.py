"""The files of a build: both formats, there and back, and written all or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.exports import FORMATS, Export, read_export, render, write_all

EXPORT = Export({"A": "1", "B": ""}, {"team": "dätä"})


def test_cloudformation_format() -> None:
    assert json.loads(render(EXPORT, "cloudformation")) == {
        "Parameters": {"A": "1", "B": ""},
        "Tags": {"team": "dätä"},
    }


def test_stackset_format() -> None:
    assert json.loads(render(EXPORT, "stackset")) == [
        {"ParameterKey": "A", "ParameterValue": "1"},
        {"ParameterKey": "B", "ParameterValue": ""},
    ]


@pytest.mark.parametrize("target", FORMATS)
def test_reads_back_what_it_writes(target: str) -> None:
    assert read_export(render(EXPORT, target)).parameters == EXPORT.parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "expected"),
        ("3", "expected"),
        ('{"Parameters": {"A": 1}}', "expected"),
        ('{"Parameters": {}, "Tags": []}', "expected"),
        ('[{"ParameterKey": "A"}]', "expected"),
        ('[{"ParameterKey": "A", "ParameterValue": 1}]', "expected"),
        (
            '[{"ParameterKey": "A", "ParameterValue": "1"}, {"ParameterKey": "A", "ParameterValue": "2"}]',
            "twice",
        ),
    ],
)
def test_refuses_other_forms(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_export(text)


def test_writes_all_files_and_replaces_older_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    write_all({tmp_path / "a": "new", tmp_path / "deep" / "b": "b"})
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "deep" / "b").read_text() == "b"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "deep"]


def test_writes_nothing_if_one_place_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError):
        write_all({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
