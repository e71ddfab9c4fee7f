"""Reads the stage files that people edit, and checks them against the endpoint template; calls no AWS."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.errors import Problem
from deploy.exports import Export
from deploy.parameters import Parameter
from deploy.rules import broken_rules

BUILD_OWNED = (
    "SageMakerProjectName",
    "SageMakerProjectId",
    "StageName",
    "ModelPackageName",
    "ModelExecutionRoleName",
)
"""Parameters that build.py fills in; a stage file must not deploy something else than what was approved."""

WATCH_OWNED = (
    "MonitorImageUri",
    "MonitorCodeS3Uri",
    "BaselineStatisticsS3Uri",
    "BaselineConstraintsS3Uri",
    "DriftEventBusArn",
)
"""Parameters that build.py fills in too, if the template has them: an endpoint can do without a monitor."""
SHADOW_OWNED = ("ShadowModelPackageName",)
"""The same for shadows, which not every kind has."""
_OWNED = BUILD_OWNED + WATCH_OWNED + SHADOW_OWNED

MONITOR, OFF = "MonitorSchedule", "off"
RESERVED_TAGS = ("sagemaker:project-name", "sagemaker:project-id", "sagemaker:deployment-stage")
_MAX_TAGS = 50
_MAX_TAG_KEY = 128
_MAX_TAG_VALUE = 256
_SECTIONS = ("Parameters", "Tags")


@dataclass(frozen=True)
class StageFile:
    """A stage file as people write it."""

    file: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)


class _Pairs(dict[str, Any]):
    """A JSON object that remembers which of its keys occurred more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.repeated = sorted({key for key in keys if keys.count(key) > 1})


def read_stage(text: str, file: str) -> tuple[StageFile, list[Problem]]:
    """Return the stage file and everything that is wrong with its form."""
    try:
        data = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except (json.JSONDecodeError, _ConstantError) as error:
        return StageFile(file), [Problem(file, "the file", f"must be JSON: {error}")]
    except RecursionError:
        return StageFile(file), [Problem(file, "the file", "must be JSON with Parameters and Tags alone")]
    if not isinstance(data, _Pairs):
        return StageFile(file), [Problem(file, "the file", 'must be {"Parameters": {...}, "Tags": {...}}')]
    problems = [
        Problem(file, key, "unknown section; there are only Parameters and Tags")
        for key in data
        if key not in _SECTIONS
    ]
    problems += [Problem(file, key, "occurs more than once") for key in data.repeated]
    sections: dict[str, dict[str, Any]] = {}
    for name in _SECTIONS:
        section = data.get(name, _Pairs([]))
        if name == "Parameters" and name not in data:
            problems.append(Problem(file, name, "is missing"))
        if not isinstance(section, _Pairs):
            problems.append(Problem(file, name, "must be a mapping of names to values", _shown(section)))
            section = _Pairs([])
        problems += [Problem(file, key, f"occurs more than once in {name}") for key in section.repeated]
        sections[name] = dict(section)
    return StageFile(file, sections["Parameters"], sections["Tags"]), problems


class _ConstantError(ValueError):
    """NaN or Infinity, which Python's JSON reader takes and JSON does not have."""


def _no_constant(name: str) -> Any:
    raise _ConstantError(f"{name} is not a JSON value")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def template_problems(declared: Mapping[str, Parameter], file: str) -> list[Problem]:
    """Return what build.py cannot do without and the template does not declare."""
    return [
        Problem(file, name, "must be declared in Parameters: build.py passes it")
        for name in BUILD_OWNED
        if name not in declared
    ]


def stage_problems(
    stage: StageFile,
    declared: Mapping[str, Parameter],
    instance_types: Mapping[str, Container[str]] | None = None,
) -> list[Problem]:
    """Return every rule of the template, and between parameters, that the stage file breaks.

    `instance_types` are the ones that the service knows, by the parameter; None leaves that check out.
    """
    found: list[Problem] = []
    for name, value in stage.parameters.items():
        found += [
            Problem(stage.file, name, rule, _shown(value))
            for rule in _rules_broken_by(name, value, declared, instance_types)
        ]
    for name, parameter in declared.items():
        if parameter.default is None and name not in _OWNED and name not in stage.parameters:
            found.append(Problem(stage.file, name, "is missing, and the template has no default for it"))
    bad = {problem.parameter for problem in found}
    values = {name: text for name, text in _texts(stage, declared).items() if name not in bad}
    for rule in broken_rules(values):
        shown = ", ".join(f"{name}={values[name]}" for name in rule.parameters)
        found.append(Problem(stage.file, rule.parameters[0], rule.text, shown))
    return found + _tag_problems(stage)


def _rules_broken_by(
    name: str,
    value: Any,
    declared: Mapping[str, Parameter],
    instance_types: Mapping[str, Container[str]] | None,
) -> list[str]:
    if name in _OWNED:
        return ["is filled in by build.py; take it out of this file"]
    if name not in declared:
        near = _nearest(name, [known for known in declared if known not in _OWNED])
        return ["is not a parameter of the endpoint template" + (f"; did you mean {near}?" if near else "")]
    broken = declared[name].problems(value)
    if not broken and name in (instance_types or {}) and value not in (instance_types or {})[name]:
        what = "endpoints" if name == "EndpointInstanceType" else "transform jobs"
        return [f"is not an instance type for {what} (newer than the boto3 in requirements.txt? raise that)"]
    return broken


def _nearest(name: str, known: list[str]) -> str | None:
    import difflib

    lowered = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.8)
    return lowered[matches[0]] if matches else None


def _texts(stage: StageFile, declared: Mapping[str, Parameter]) -> dict[str, str]:
    """Return what CloudFormation will see: the stage's values as strings, and the defaults of the others."""
    result: dict[str, str] = {}
    for name, parameter in declared.items():
        text = parameter.text(stage.parameters[name]) if name in stage.parameters else parameter.default
        if text is not None:
            result[name] = text
    return result


def monitored(stage: StageFile, declared: Mapping[str, Parameter]) -> bool:
    """Return whether the stage watches what its endpoint is sent, and so needs the model's baseline."""
    return _texts(stage, declared).get(MONITOR, OFF) != OFF


def shadow_of(stage: StageFile, declared: Mapping[str, Parameter]) -> int:
    """Return the version that goes on serving with the new one as its shadow; 0 if the new one serves."""
    return int(_texts(stage, declared).get("ShadowOfVersion", "0"))


def _tag_problems(stage: StageFile) -> list[Problem]:
    def problem(key: str, rule: str) -> Problem:
        return Problem(stage.file, f"tag {key}", rule, _shown(stage.tags.get(key)))

    found = []
    for key, value in stage.tags.items():
        if not 1 <= len(key) <= _MAX_TAG_KEY or key.lower().startswith("aws:"):
            found.append(
                problem(key, f"a key has 1 to {_MAX_TAG_KEY} characters and does not begin with aws:")
            )
        if key in RESERVED_TAGS:
            found.append(problem(key, "is set by build.py; take it out of this file"))
        if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TAG_VALUE:
            found.append(problem(key, f"must be a string of 1 to {_MAX_TAG_VALUE} characters"))
    if len(stage.tags) > _MAX_TAGS - len(RESERVED_TAGS):
        found.append(
            Problem(
                stage.file, "Tags", f"at most {_MAX_TAGS - len(RESERVED_TAGS)} tags", str(len(stage.tags))
            )
        )
    return found


def owned_problems(owned: Mapping[str, str], declared: Mapping[str, Parameter], file: str) -> list[Problem]:
    """Return the rules of the template that values of the build itself break."""
    return [
        Problem(file, name, f"(from the build) {rule}", _shown(value))
        for name, value in owned.items()
        if name in declared
        for rule in declared[name].problems(value)
    ]


def compose(stage: StageFile, declared: Mapping[str, Parameter], owned: Mapping[str, str]) -> Export:
    """Return what is deployed to the stage: the build's values and the stage file's, in the template's order.

    Defaults are written out too: the file then says all that was deployed, whatever the template's defaults
    become.
    """
    values = {**_texts(stage, declared), **owned}
    tags = {
        **{str(key): str(value) for key, value in stage.tags.items()},
        "sagemaker:project-name": owned["SageMakerProjectName"],
        "sagemaker:project-id": owned["SageMakerProjectId"],
        "sagemaker:deployment-stage": owned["StageName"],
    }
    return Export({name: values[name] for name in declared if name in values}, tags)
