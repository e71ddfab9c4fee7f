"""What a test run found, as test-results.json and as JUnit XML; page.py has it for people."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 2
"""Of test-results.json; README.md says what it holds."""

PASSED = "passed"
FAILED = "failed"
"""The endpoint did not keep to a rule."""
ERROR = "error"
"""The check itself could not be made."""
SKIPPED = "skipped"

# XML 1.0 has no way to write these characters.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


MOST_CHARACTERS = 1000
"""Of a message: an endpoint may answer with anything, and SageMaker's reasons may be of any length."""


@dataclass(frozen=True)
class Check:
    """One check: its name is stable over runs, its message is one line, whatever it was made of."""

    name: str
    outcome: str
    message: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", cut(" ".join(self.message.split()), MOST_CHARACTERS))


@dataclass
class Report:
    """Everything that a run found; filled in as it goes, so that it is complete at any point of failure."""

    started: str
    stage: str = ""
    endpoint: str = ""
    model_package: str = ""
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name, what was measured: latency, quality, comparison."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What is drawn, and too long for the results."""

    @property
    def outcome(self) -> str:
        """Return `error` or `failed` if any check ended so, else `passed`; with no check passed, `error`."""
        outcomes = {check.outcome for check in self.checks}
        for bad in (ERROR, FAILED):
            if bad in outcomes:
                return bad
        return PASSED if PASSED in outcomes else ERROR

    def to_json(self) -> str:
        """Return the results file's text; README.md names the fields."""
        body = {
            "schema_version": SCHEMA_VERSION,
            "outcome": self.outcome,
            "stage": self.stage,
            "endpoint": self.endpoint,
            "model_package": self.model_package,
            "checks": [
                {
                    "name": check.name,
                    "outcome": check.outcome,
                    "message": check.message,
                    "seconds": round(check.seconds, 3),
                }
                for check in self.checks
            ],
            "measurements": self.measurements,
            "started": self.started,
            "seconds": round(self.seconds, 3),
        }
        return json.dumps(body, indent=2) + "\n"

    def to_junit(self) -> str:
        """Return the same as JUnit XML, which CodeBuild shows as a report."""
        counts = {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in _ELEMENTS}
        suite = ET.Element(
            "testsuite",
            name=printable(self.endpoint or "endpoint"),
            tests=str(len(self.checks)),
            failures=str(counts[FAILED]),
            errors=str(counts[ERROR]),
            skipped=str(counts[SKIPPED]),
            time=f"{self.seconds:.3f}",
            timestamp=self.started[:19],
        )
        for check in self.checks:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=printable(f"endpoint.{self.stage or 'unknown'}"),
                name=printable(check.name),
                time=f"{check.seconds:.3f}",
            )
            if check.outcome in _ELEMENTS:
                ET.SubElement(
                    case, _ELEMENTS[check.outcome], message=printable(check.message)
                ).text = printable(check.message)
            elif check.message:
                ET.SubElement(case, "system-out").text = printable(check.message)
        suites = ET.Element("testsuites")
        suites.append(suite)
        ET.indent(suites)
        return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


_TITLES = {"dev": "development", "preprod": "pre-production", "prod": "production"}


def title(stage: str) -> str:
    """Return how people call a stage."""
    return _TITLES.get(stage, stage)


_ELEMENTS = {FAILED: "failure", ERROR: "error", SKIPPED: "skipped"}


def cut(text: str, length: int) -> str:
    """Return a text that is no longer than that; an ellipsis ends one that was."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def printable(text: str) -> str:
    """Return a text without the characters that neither XML nor a page can hold."""
    return _NOT_XML.sub("?", text)
