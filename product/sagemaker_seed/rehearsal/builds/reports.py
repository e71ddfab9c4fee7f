"""Reads the test reports that a build writes (JUnit's XML). Keeps none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .failure import CLIENT_ERROR, BuildFailure

MESSAGE_LENGTH = 5120
STATUSES = {"error": "ERROR", "failure": "FAILED", "skipped": "SKIPPED"}


def read(path: Path, name: str) -> list[dict[str, Any]]:
    """The test cases in a file, as ``DescribeTestCases`` shows them.

    Raises:
        BuildFailure: it is not JUnit's XML.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())  # noqa: S314 - the build's own file, and expat bounds entities
    except ElementTree.ParseError as error:
        raise BuildFailure(CLIENT_ERROR, f"Error parsing report file {name}: {error}") from None
    if root.tag not in {"testsuites", "testsuite"}:
        raise BuildFailure(CLIENT_ERROR, f"Error parsing report file {name}: {root.tag} is not a test suite")
    return [_case(suite, case, name) for suite in _suites(root) for case in suite.iter("testcase")]


def _suites(root: Any) -> Iterator[Any]:
    if root.tag == "testsuite":
        yield root
    else:
        yield from root.findall("testsuite")


def _case(suite: Any, case: Any, name: str) -> dict[str, Any]:
    outcome = next((child for child in case if child.tag in STATUSES), None)
    said = "" if outcome is None else (outcome.get("message") or outcome.text or "")
    return {
        "testRawDataPath": name,
        "prefix": case.get("classname") or "",
        "name": case.get("name") or "",
        "status": "SUCCEEDED" if outcome is None else STATUSES[outcome.tag],
        "durationInNanoSeconds": int(_number(case.get("time")) * 1_000_000_000),
        "message": said[:MESSAGE_LENGTH],
        "testSuiteName": suite.get("name") or "",
    }


def _number(text: str | None) -> float:
    try:
        return float((text or "0").replace(",", ""))
    except ValueError:
        return 0.0
