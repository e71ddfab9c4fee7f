"""An execution as JUnit XML, which CodeBuild shows as a report: each step is a test case."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from training.runs import Execution

# XML 1.0 has no way to write these characters.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(execution: Execution, pipeline: str) -> str:
    """Return the report: a failed or stopped step is a failure, one that has not ended is skipped."""
    suite = ET.Element("testsuite", name=pipeline)
    counts = {"tests": 0, "failures": 0, "skipped": 0}
    for step in execution.steps:
        case = ET.SubElement(
            suite, "testcase", name=step.name, classname=pipeline, time=str(step.seconds or 0)
        )
        counts["tests"] += 1
        if step.status in ("Failed", "Stopped"):
            counts["failures"] += 1
            ET.SubElement(case, "failure", message=_clean(step.note or step.status))
        elif step.status != "Succeeded":
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=_clean(step.status))
        elif step.note:
            ET.SubElement(case, "system-out").text = _clean(step.note)
    if not execution.running and not execution.succeeded and not counts["failures"]:
        # The execution itself ended badly, before or between its steps.
        case = ET.SubElement(suite, "testcase", name="execution", classname=pipeline, time="0")
        ET.SubElement(case, "failure", message=_clean(execution.failure()))
        counts["tests"] += 1
        counts["failures"] += 1
    for name, count in counts.items():
        suite.set(name, str(count))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
