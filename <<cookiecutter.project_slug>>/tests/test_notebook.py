"""The notebook as a file: clean, so that a change of it can be read, and thin."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from conftest import ROOT

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
