"""What a build said: its phases and its log. Starts none."""

from __future__ import annotations

import re
from typing import Any

TAIL = 25
# What the build's agent writes into the log, between what the commands print.
AGENT = "[Container] "
COMMAND = "Running command "
FAILED = re.compile(r"Error while executing command: (.*?)\. Reason: ", re.DOTALL)


def describe(codebuild: Any, logs: Any, build: str) -> dict[str, Any]:
    """A build for the record: project, status, seconds, phases, and its whole log.

    Args:
        build: its id, ``project:uuid``.
    """
    found = codebuild.batch_get_builds(ids=[build])["builds"]
    if not found:
        return {"id": build, "status": "unknown", "phases": [], "log": []}
    made = found[0]
    return {
        "id": build,
        "project": made["projectName"],
        "status": made["buildStatus"],
        "seconds": round(sum(phase.get("durationInSeconds", 0) for phase in made.get("phases", ())), 1),
        "phases": [
            {
                "name": phase["phaseType"],
                "status": phase.get("phaseStatus", ""),
                "said": " ".join(c["message"] for c in phase.get("contexts", ()) if c.get("message")),
            }
            for phase in made.get("phases", ())
        ],
        "log": _log(logs, made.get("logs", {})),
    }


def _log(logs: Any, where: dict[str, Any]) -> list[str]:
    if not where.get("groupName") or not where.get("streamName"):
        return []
    lines: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(
            logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True, **token
        )
        lines += [event["message"].rstrip("\n") for event in page["events"]]
        if not page["events"] or token.get("nextToken") == page["nextForwardToken"]:
            return lines
        token = {"nextToken": page["nextForwardToken"]}


def failure(described: dict[str, Any]) -> list[str]:
    """What the command that failed had printed last, and which command it was."""
    log = described["log"]
    said = [phase["said"] for phase in described["phases"] if phase["status"] == "FAILED" and phase["said"]]
    begun = [number for number, line in enumerate(log) if COMMAND in line]
    # A later phase may have run more commands: post_build comes after a build that failed, too.
    named = [found[1] for text in said if (found := FAILED.search(text))]
    failed = [number for number in begun if any(log[number].endswith(COMMAND + command) for command in named)]
    first = (failed or begun or [-1])[-1]
    last = next((number for number in begun if number > first), len(log))
    printed = [line for line in log[first + 1 : last] if not line.startswith(AGENT)]
    return [*printed[-TAIL:], *said]
