"""The notebook, run from top to bottom in a kernel of its own against the embedded AWS, as a person would."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support import by_hand
from seed_support.baking import bake

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with by_hand.account() as running:
        yield running


def run(aws: EmbeddedAws, repository: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> list[Any]:
    """Runs the notebook where it lies and returns its cells of code with what they put out."""
    own = {
        "NOTEBOOK_POLL_SECONDS": "0.2",
        # A plot becomes an image in the output, also where there is no screen.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(repository.parent / "ipython"),
    }
    environment = by_hand.environment(aws, **{**own, **more})
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = repository / "notebooks" / "training-pipeline.ipynb"
    read: Any = nbformat.read
    notebook = read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(cells: list[Any]) -> str:
    """All that the cells printed."""
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


def images(cells: list[Any]) -> list[bytes]:
    """Every plot, as the PNG that a reader sees."""
    found = [output.get("data", {}).get("image/png") for cell in cells for output in cell.outputs]
    return [base64.b64decode(image) for image in found if image]


def test_it_runs_to_its_end_and_approves_nothing_unasked_then_what_is_asked(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = bake(tmp_path)
    before = (repository / "notebooks" / "training-pipeline.ipynb").read_bytes()
    cells = run(aws, repository, monkeypatch)
    said = text(cells)
    for step in ("Preprocess", "Train", "Evaluate", "CheckQuality", "Register"):
        assert f"{step:<12} Succeeded" in said
    assert "created, 1" in said
    assert "Not approved: arn:aws:sagemaker:" in said
    assert len(images(cells)) == 4
    assert all(image.startswith(b"\x89PNG") for image in images(cells))
    assert by_hand.approvals(aws) == ["PendingManualApproval"]

    again = run(aws, repository, monkeypatch, NOTEBOOK_APPROVE="yes")
    assert "unchanged, 0 files uploaded" in text(again)
    assert "from the cache" in text(again)
    assert "Approved arn:aws:sagemaker:" in text(again)
    assert by_hand.approvals(aws) == ["Approved", "PendingManualApproval"]
    assert (repository / "notebooks" / "training-pipeline.ipynb").read_bytes() == before


def test_a_regression_shows_what_was_predicted(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = run(aws, bake(tmp_path, prediction="regression"), monkeypatch, SOURCE_MODEL_PACKAGE_GROUP_NAME="regression")
    assert "rmse" in text(cells)
    assert len(images(cells)) == 4


def test_an_old_sdk_is_refused_in_the_first_cell(
    aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = bake(tmp_path)
    old = tmp_path / "old" / "sagemaker-2.257.7.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: sagemaker\nVersion: 2.257.7\n")
    with pytest.raises(CellExecutionError, match=r"SageMaker SDK 3, here is 2\.257\.7"):
        run(aws, repository, monkeypatch, PYTHONPATH=str(old.parent))
