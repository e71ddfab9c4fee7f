"""Runs the data scientist's own tests, plain pytest functions beside this file; without any, needs no pytest.

A test is a function in test/test_*.py. What it asks for by the name `endpoint` is the stage's endpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endpoint import Answer, Invoker
from expectations import predictions_in
from report import ERROR, FAILED, PASSED, SKIPPED, Check

PATTERN = "test_*.py"
NAME = "own tests"
_OUTCOMES = {"passed": PASSED, "failed": FAILED, "skipped": SKIPPED}
# With any other, pytest has stopped before its end, whatever the tests that it had run said.
_ENDED = {0, 1}


class Endpoint:
    """The endpoint under test, as a test function sees it."""

    def __init__(self, invoker: Invoker, name: str, stage: str, model_package: str) -> None:
        self._invoker = invoker
        self.name, self.stage, self.model_package = name, stage, model_package

    def invoke(self, body: bytes | str, content_type: str = "text/csv") -> Answer:
        """Send one request; return its answer: status, content_type, body, seconds."""
        return self._invoker.send(content_type, body.encode() if isinstance(body, str) else body)

    def predict(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the predictions for rows of features, in their order. Fails the test if there are none."""
        answer = self.invoke(json.dumps({"instances": [list(row) for row in rows]}), "application/json")
        assert answer.good, answer.message  # noqa: S101
        return predictions_in(answer.content_type, answer.body, len(rows))


def files(folder: Path) -> list[Path]:
    """Return the files with tests."""
    return sorted(folder.glob(PATTERN))


def run(folder: Path, endpoint: Endpoint) -> list[Check]:
    """Run the tests of a folder; return a check for each. What pytest prints stays with it."""
    try:
        import pytest
    except ImportError:
        names = ", ".join(path.name for path in files(folder))
        hint = "pip install --require-hashes -r requirements-dev.txt"
        return [Check(NAME, ERROR, f"{names}: pytest is needed to run them, and is not installed: {hint}")]

    class Plugin:
        def __init__(self) -> None:
            self.checks: dict[str, Check] = {}
            self.stopped = ""

        @pytest.fixture(name="endpoint", scope="session")
        def _endpoint(self) -> Endpoint:
            return endpoint

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            self._take(report.nodeid, report, report.when == "call")

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            self._take(report.nodeid, report, called=False)

        def _take(self, node: str, report: Any, called: bool) -> None:
            """Keep the call of a test, and its set-up or tear-down only where that went wrong."""
            outcome = _OUTCOMES[report.outcome]
            if not called and (outcome == PASSED or not node):
                return
            name = node.rpartition("/")[2]
            outcome = ERROR if outcome == FAILED and not called else outcome
            seconds = getattr(report, "duration", 0.0)
            self.checks[name] = Check(name, outcome, _said(report), seconds)

        def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
            self.stopped = excinfo.exconly()

    plugin, began = Plugin(), time.perf_counter()
    # None of the settings in pyproject.toml: they are for the unit tests in tests/.
    words = ["-c", "/dev/null", f"--rootdir={folder}", "-p", "no:cacheprovider", "-p", "no:terminal"]
    words.append("--continue-on-collection-errors")
    code = int(pytest.main([*words, *map(str, files(folder))], plugins=[plugin]))
    if plugin.checks and code in _ENDED:
        return list(plugin.checks.values())
    problem = f"pytest ended with {code} " + ("before its end" if plugin.checks else "and ran no test")
    problem += f": {' '.join(plugin.stopped.split())}" if plugin.stopped else ""
    return [*plugin.checks.values(), Check(NAME, ERROR, problem, time.perf_counter() - began)]


def _said(report: Any) -> str:
    """Return the first line of why a test failed or was skipped, and where."""
    long = report.longrepr
    if isinstance(long, tuple):
        return " ".join(str(long[2]).split())
    crash = getattr(long, "reprcrash", None)
    if crash is not None:
        return f"{Path(crash.path).name}:{crash.lineno}: {' '.join(crash.message.split())[:300]}"
    return " ".join(str(long).split())[-300:] if long else ""
