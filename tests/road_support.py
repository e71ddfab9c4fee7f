"""Seeds for roads whose gate is not what is tested; walks none."""

from __future__ import annotations

from pathlib import Path

from sagemaker_seed.rehearsal.rendering import render

UNIT_TESTS = "tests/test_parameters.py"


def lean(folder: Path) -> Path:
    """A seed with one module of unit tests: all of them take longer than the rest of a deployment, each time."""
    seed = render([], folder)
    for tests in seed.glob("tests/test_*.py"):
        if tests != seed / UNIT_TESTS:
            tests.unlink()
    return seed
