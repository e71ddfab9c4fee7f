"""The security gate: lints a template, holds it against rules.guard, names what breaks a rule and its line.

It changes nothing. What is accepted stands in accepted.json, each entry with its reason; one that accepts
nothing (any more), says no reason or is past is a finding itself. Nothing else lets a finding through: no
comment, no metadata of the template and no configuration of the linter.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from template import Place, Template, TemplateError, at, decode, documents

HERE = Path(__file__).resolve().parent
LINTER, GUARD, ACCEPTANCE = "cfn-lint", "guard", "accepted"
# cfn-guard-rs is built for these; what CodeBuild runs is among them.
_GUARDED = sys.version_info < (3, 12) or (sys.version_info < (3, 13) and sys.platform == "linux")
NO_GUARD = "cfn-guard-rs has no build for this Python; the pipeline's builds on AWS have one, and apply them"
# A rule, with what is said of what breaks it on the line above.
_RULE = re.compile(r"^# (.+)\nrule (\w+)", re.MULTILINE)
_ENTRY = {"rule", "resource", "reason", "file", "expires"}
_ENTRY_HAS = "an entry has rule, resource, reason, and if wanted file and expires"


@dataclass(frozen=True)
class Finding:
    """What breaks a rule.

    Attributes:
        resource: a resource's logical id, with the Sid of the statement after a slash; else the section.
        reason: why it is accepted; empty if it is not.
    """

    source: str
    rule: str
    file: str
    line: int
    resource: str
    message: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule} {self.resource}: {self.message}"


@dataclass
class Scan:
    """What was looked at, and what was found; `skipped`: with the linter alone, without the rules."""

    files: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    skipped: bool = False
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def open(self) -> list[Finding]:
        """Return what is not accepted."""
        return [finding for finding in self.findings if not finding.reason]


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line. Returns 0: nothing is open; 1: something is; 2: wrong use."""
    environment = os.environ if environment is None else environment
    options = _options(arguments)
    templates = [Path(name) for name in options.templates] or _of_the_build(environment)
    configs = [Path(name) for name in options.config] or _configs_of_the_build(environment)
    missing = [path for path in [*templates, *configs, options.accepted] if not path.is_file()]
    if missing:
        print(f"scan.py: {missing[0]} is not there: give one (see --help)", file=sys.stderr)
        return 2
    began = time.perf_counter()
    try:
        deployed = [_parameters(config) for config in configs]
    except ValueError as error:
        print(f"scan.py: {error}", file=sys.stderr)
        return 2
    result = scan(templates, deployed, options.accepted, environment.get("AWS_REGION") or "us-east-1")
    result.seconds = time.perf_counter() - began
    for path, text in ((options.json, _as_json(result)), (options.junit, _as_junit(result))):
        if path:
            path.write_text(text, encoding="utf-8")
    for finding in result.open:
        print(finding)
    if result.skipped:
        print(f"rules.guard: {len(result.rules)} rules are NOT applied: {NO_GUARD}")
    accepted = len(result.findings) - len(result.open)
    print(f"{len(result.open)} findings, {accepted} accepted, in {', '.join(result.files)}")
    return 1 if result.open else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Lint templates and hold them against the security rules.",
        epilog="Without arguments it takes what the build has made, out of $CODEBUILD_SRC_DIR_BuildArtifact.",
        allow_abbrev=False,
    )
    parser.add_argument("templates", nargs="*", metavar="TEMPLATE")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="deployed with the parameters in it"
    )
    parser.add_argument("--accepted", type=Path, default=HERE / "accepted.json", metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit")
    return parser.parse_args(arguments)


def _of_the_build(environment: Mapping[str, str]) -> list[Path]:
    name = environment.get("EXPORT_TEMPLATE_NAME", "template-export.yml")
    return [Path(environment.get("CODEBUILD_SRC_DIR_BuildArtifact", "."), name)]


def _configs_of_the_build(environment: Mapping[str, str]) -> list[Path]:
    return sorted(Path(environment.get("CODEBUILD_SRC_DIR_BuildArtifact", ".")).glob("*-config-export.json"))


def scan(
    templates: Sequence[Path],
    deployed: Sequence[Mapping[str, str]],
    accepted: Path,
    region: str,
    today: date | None = None,
) -> Scan:
    """Return what there is to say of the templates, as deployed with each of these parameters, if any."""
    text = (HERE / "rules.guard").read_text(encoding="utf-8")
    rules = [found[2] for found in _RULE.finditer(text)]
    result = Scan([str(path) for path in templates], rules, skipped=not _GUARDED)
    found: dict[Finding, None] = {}  # in order, each once
    for path in templates:
        found |= dict.fromkeys(_lint(path, region))
        body, _ = decode(path)
        if body is None or result.skipped:  # the linter has said so; or there is nothing to apply rules with
            continue
        as_deployed: Sequence[Mapping[str, str] | None] = deployed or [None]
        for parameters in as_deployed:
            try:
                found |= dict.fromkeys(_guard(Template(str(path), body, parameters), text))
            except TemplateError as error:
                found[Finding(GUARD, "TEMPLATE", str(path), 1, "Conditions", str(error))] = None
    unknown = rules if result.skipped else []
    result.findings = accept(list(found), accepted, today or date.today(), unknown)
    return result


def _parameters(config: Path) -> dict[str, str]:
    """Return what a stage is deployed with, out of a file for CloudFormation or for a stack set.

    Raises ValueError with one line that names the file.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        if isinstance(content, list):
            return {entry["ParameterKey"]: entry["ParameterValue"] for entry in content}
        return {name: _as_cloudformation(value) for name, value in content["Parameters"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{config}: is no configuration of a stage: {type(error).__name__}: {error}"
        ) from error


def _as_cloudformation(value: Any) -> str:
    """Return a value of a stage file as CloudFormation gets it."""
    if isinstance(value, list):
        return ",".join(map(_as_cloudformation, value))
    return value if isinstance(value, str) else json.dumps(value)


# ------------------------------------------------------------------------------------------------- tools


def _lint(path: Path, region: str) -> Iterator[Finding]:
    """Yield what cfn-lint has to say: errors and warnings, and nothing that anybody asks to leave out."""
    from cfnlint.api import lint_file
    from cfnlint.config import ManualArgs

    for match in lint_file(path, ManualArgs(regions=[region], mandatory_checks=["E", "W"])):
        where = [str(part) for part in getattr(match, "path", None) or ()]
        resource = (
            where[1] if where[:1] == ["Resources"] and len(where) > 1 else "/".join(where[:2]) or "Template"
        )
        yield Finding(
            LINTER, match.rule.id, str(path), match.linenumber, resource, " ".join(match.message.split())
        )


def _guard(template: Template, rules: str) -> Iterator[Finding]:
    """Yield what breaks a rule of Guard."""
    from cfn_guard_rs.cfn_guard_rs import run_checks_rs

    messages = {found[2]: found[1] for found in _RULE.finditer(rules)}
    for document, origins in documents(template):
        # In full: of a short report that is longer than a few kilobytes this Guard keeps only the end.
        report = json.loads(run_checks_rs(json.dumps(document), rules, True))
        for rule in report["children"]:
            name = str(rule["context"])
            for path in _failures(rule):
                where = tuple(int(part) if part.isdecimal() else part for part in path.strip("/").split("/"))
                place = _origin(where, origins)
                resource = _resource(place, document, where)
                yield Finding(GUARD, name, template.file, template.line(place), resource, messages[name])


def _failures(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of each value that made a rule fail, out of Guard's record of all that it did."""
    container = node["container"]
    ((kind, outcome),) = container.items() if isinstance(container, dict) else [(container, "")]
    if kind == "ClauseValueCheck":
        if isinstance(outcome, dict):  # else it is "Success"
            (check,) = outcome.values()
            yield _path(check if "from" in check else check["value"])
        return
    status = outcome.get("status") if isinstance(outcome, dict) else outcome
    if status != "FAIL" or kind == "Filter" or kind.endswith("Condition"):
        return
    below = [path for child in node["children"] for path in _failures(child)]
    if kind == "Disjunction" and below:  # any of them would have been enough: the one that is closest to it
        below = [max(below, key=lambda path: path.count("/"))]
    yield from below


def _path(check: Any) -> str:
    """Return the path of the value that was checked, or of where it should have been."""
    ((kind, value),) = check["from"].items()
    return str((value["traversed_to"] if kind == "UnResolved" else value)["path"])


def _origin(where: Place, origins: Mapping[Place, Place]) -> Place:
    for length in range(len(where), 0, -1):
        if where[:length] in origins:
            return origins[where[:length]]
    return where


def _resource(place: Place, document: Mapping[str, Any], where: Place) -> str:
    if place[:1] != ("Resources",) or len(place) < 2:
        return "/".join(str(part) for part in place[:2]) or "Template"
    statement = at(document, where[:2]) if where[:1] == ("Statements",) else {}
    sid = statement.get("Sid") if isinstance(statement, dict) else None
    return f"{place[1]}/{sid}" if sid else str(place[1])


# -------------------------------------------------------------------------------------------- acceptance


def accept(
    findings: Sequence[Finding], path: Path, today: date, unknown: Sequence[str] = ()
) -> list[Finding]:
    """Return the findings, those that are accepted with their reason, and what is wrong with the file.

    Of `unknown` rules nobody can say whether what is accepted is still there.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        entries = list(json.loads("\n".join(lines))["accepted"])
    except (ValueError, KeyError, TypeError) as error:
        wrong = f"is not the JSON it should be: {error}"
        return [*findings, Finding(ACCEPTANCE, "ACCEPTED", str(path), 1, "accepted", wrong)]
    result, places = list(findings), _places(lines)
    for number, entry in enumerate(entries):
        line = places[number] if number < len(places) else 1
        wrong = _wrong(entry, today)
        matches = [] if wrong else [index for index, finding in enumerate(result) if _matches(entry, finding)]
        if not wrong and not matches and entry["rule"] not in unknown:
            wrong = "accepts nothing: there is no such finding (any more); take it out"
        if wrong:
            what = (
                f"{entry.get('rule', '?')} {entry.get('resource', '?')}" if isinstance(entry, dict) else "?"
            )
            result.append(Finding(ACCEPTANCE, "ACCEPTED", str(path), line, what, wrong))
        for index in matches:
            result[index] = replace(result[index], reason=entry["reason"])
    return result


def _places(lines: Sequence[str]) -> list[int]:
    """Return the line of each entry's rule, which every entry has."""
    return [number for number, text in enumerate(lines, 1) if '"rule"' in text]


def _wrong(entry: Any, today: date) -> str:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        return f"must be an object of strings: {_ENTRY_HAS}"
    if unknown := sorted(set(entry) - _ENTRY):
        return f"{unknown[0]} is not known: {_ENTRY_HAS}"
    if lacking := [name for name in ("rule", "resource", "reason") if not entry.get(name, "").strip()]:
        return f"has no {lacking[0]}: say which rule is accepted for which resource, and why"
    if "expires" in entry:
        try:
            last = date.fromisoformat(entry["expires"])
        except ValueError:
            return f"expires {entry['expires']!r} is no date such as 2027-01-31"
        if last < today:
            return f"was accepted until {last}: mend it, or decide again"
    return ""


def _matches(entry: Mapping[str, str], finding: Finding) -> bool:
    same = (
        entry["rule"] == finding.rule
        and entry["resource"] == finding.resource
        and finding.source != ACCEPTANCE
    )
    return same and entry.get("file", Path(finding.file).name) == Path(finding.file).name


# ----------------------------------------------------------------------------------------------- results


def _as_json(result: Scan) -> str:
    names = ("cfn-lint",) if result.skipped else ("cfn-lint", "cfn-guard-rs")
    tools = {name: importlib.metadata.version(name) for name in names}
    shown = {
        "schema_version": 1,
        "outcome": "failed" if result.open else "passed",
        "files": result.files,
        "tools": tools,
        "rules": [] if result.skipped else result.rules,
        "skipped": result.rules if result.skipped else [],
        "findings": [_without_reason(finding) for finding in result.open],
        "accepted": [asdict(finding) for finding in result.findings if finding.reason],
        "seconds": round(result.seconds, 3),
    }
    return json.dumps(shown, indent=2) + "\n"


def _without_reason(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if name != "reason"}


def _as_junit(result: Scan) -> str:
    """Return a test case for each rule and file; of cfn-lint's rules only those that were broken."""
    cases = []
    for file in dict.fromkeys([*result.files, *(finding.file for finding in result.findings)]):
        own = [finding for finding in result.findings if finding.file == file]
        names = [*(result.rules if file in result.files else ()), *(finding.rule for finding in own)]
        for rule in dict.fromkeys(names):
            inside = _outcome([finding for finding in own if finding.rule == rule])
            if result.skipped and rule in result.rules:
                inside = f"<skipped message={quoteattr(NO_GUARD)}/>"
            cases.append(
                f"<testcase classname={quoteattr(Path(file).name)} name={quoteattr(rule)}>{inside}</testcase>"
            )
    failed = sum("<failure" in case for case in cases)
    head = f'<testsuite name="security" tests="{len(cases)}" failures="{failed}" time="{result.seconds:.3f}">'
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', head, *cases, "</testsuite>", ""])


def _outcome(findings: Sequence[Finding]) -> str:
    broken = [str(finding) for finding in findings if not finding.reason]
    if broken:
        return f"<failure message={quoteattr(_plain(' | '.join(broken)))}/>"
    if findings:
        return f"<skipped message={quoteattr(_plain('accepted: ' + findings[0].reason))}/>"
    return ""


def _plain(text: str) -> str:
    """Return a text without what XML does not take."""
    return "".join(character if character.isprintable() else " " for character in text)


if __name__ == "__main__":
    sys.exit(main())
