"""What a test run found, as test-results.json and as JUnit XML; decides nothing."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "endpoint-test-results"
SCHEMA_VERSION = 1

PASSED = "passed"
FAILED = "failed"
"""The endpoint did not keep to a rule."""
ERROR = "error"
"""The check itself could not be made."""
SKIPPED = "skipped"

# XML 1.0 has no way to write these characters.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Check:
    """One check: its name is stable over runs, its message is one line."""

    name: str
    outcome: str
    message: str
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Report:
    """Everything that a run found; filled in as it goes, so that it is complete at any point of failure."""

    started: str
    stage: str = ""
    endpoint: str = ""
    model_package_arn: str = ""
    prediction: str = ""
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)

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
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "outcome": self.outcome,
            "stage": self.stage,
            "endpoint": self.endpoint,
            "model_package_arn": self.model_package_arn,
            "prediction": self.prediction,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "checks": [
                {
                    "name": check.name,
                    "outcome": check.outcome,
                    "message": check.message,
                    "seconds": round(check.seconds, 3),
                    "details": check.details,
                }
                for check in self.checks
            ],
        }
        return json.dumps(body, indent=2) + "\n"

    def to_junit(self) -> str:
        """Return the same as JUnit XML, which CodeBuild shows as a report."""
        counts = {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in _ELEMENTS}
        suite = ET.Element(
            "testsuite",
            name=_xml(self.endpoint or "endpoint"),
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
                classname=_xml(f"endpoint.{self.stage or 'unknown'}"),
                name=_xml(check.name),
                time=f"{check.seconds:.3f}",
            )
            if check.outcome in _ELEMENTS:
                ET.SubElement(case, _ELEMENTS[check.outcome], message=_xml(check.message)).text = _xml(
                    check.message
                )
            elif check.message:
                ET.SubElement(case, "system-out").text = _xml(check.message)
        suites = ET.Element("testsuites")
        suites.append(suite)
        ET.indent(suites)
        return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


_ELEMENTS = {FAILED: "failure", ERROR: "error", SKIPPED: "skipped"}


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)
