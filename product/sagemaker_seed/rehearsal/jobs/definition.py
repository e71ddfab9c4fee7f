"""Reads a pipeline definition (schema version 2020-12-01) and refuses what cannot be run. Resolves and runs nothing.

Functions and variables are resolved in ``resolving.py``; which arguments of a job can be honoured is said in
``contract.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import contract
from .failure import RETRYABLE

VERSION = "2020-12-01"
NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
PARAMETER_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
STEP_REFERENCE = re.compile(r"Steps\.(?P<step>[A-Za-z0-9\-_]+)\.(?P<rest>.+)")
DURATION = re.compile(
    r"P?(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.IGNORECASE,
)
DAYS_IN = {"years": 365, "months": 30}
EXECUTION_VARIABLES = {
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "ProcessingJobName",
    "StartDateTime",
    "TrainingJobName",
}
TOP_KEYS = {"Version", "Metadata", "MlflowConfig", "Parameters", "PipelineExperimentConfig", "Steps"}
STEP_KEYS = {"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"}
JOB_KEYS = STEP_KEYS | {"CacheConfig", "RetryPolicies"}
KEYS_OF_TYPE = {
    "Processing": JOB_KEYS | {"PropertyFiles"},
    "Training": JOB_KEYS,
    "Condition": STEP_KEYS,
    "RegisterModel": STEP_KEYS | {"RetryPolicies"},
    "Fail": STEP_KEYS,
}
# The operands of each type of condition; those of the last two are conditions themselves.
CONDITIONS: dict[str, tuple[str, ...]] = {
    "Equals": ("LeftValue", "RightValue"),
    "GreaterThan": ("LeftValue", "RightValue"),
    "GreaterThanOrEqualTo": ("LeftValue", "RightValue"),
    "LessThan": ("LeftValue", "RightValue"),
    "LessThanOrEqualTo": ("LeftValue", "RightValue"),
    "In": ("QueryValue", "Values"),
    "Not": ("Expression",),
    "Or": ("Conditions",),
}
FUNCTIONS = {
    "Std:Join": ({"On", "Values"},),
    "Std:JsonGet": ({"PropertyFile", "Path"}, {"S3Uri", "Path"}),
}
TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
}


class DefinitionError(Exception):
    """The definition, or a value for one of its parameters, is wrong or asks for what cannot be run."""


@dataclass(frozen=True)
class Parameter:
    """A pipeline parameter; ``default`` is None where a value must be given."""

    name: str
    type: str
    default: Any
    allowed: tuple[Any, ...]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a step is tried again after a failure of one of ``types``; times in seconds."""

    types: tuple[str, ...]
    interval: float
    backoff: float
    attempts: int | None
    expires: float | None


@dataclass(frozen=True)
class Step:
    """One step. ``parent`` and ``branch`` (``IfSteps`` or ``ElseSteps``) say under which condition it is, if any."""

    name: str
    type: str
    arguments: Mapping[str, Any]
    display_name: str | None
    description: str | None
    needs: frozenset[str]
    property_files: Mapping[str, tuple[str, str]]
    cached: bool
    cache_lifetime: timedelta | None
    retries: tuple[RetryPolicy, ...]
    parent: str | None = None
    branch: str | None = None


@dataclass(frozen=True)
class Definition:
    """A whole definition: its parameters and all its steps, those inside conditions included, by name."""

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step] = field(default_factory=dict)

    def values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The value of every parameter in its type, from the texts that were ``given`` and the defaults.

        Raises:
            DefinitionError: one is unknown, missing, of another type, or not among those allowed.
        """
        if unknown := sorted(set(given) - set(self.parameters)):
            raise DefinitionError(
                f"The pipeline has no parameter {_listed(unknown)}; it has {_listed(sorted(self.parameters))}"
            )
        missing = sorted(n for n, p in self.parameters.items() if p.default is None and n not in given)
        if missing:
            raise DefinitionError(f"No value was given for parameter {_listed(missing)}, which has no default")
        return {
            name: _allowed(parameter, _converted(parameter, given[name]) if name in given else parameter.default)
            for name, parameter in self.parameters.items()
        }


def parse(text: str) -> Definition:
    """The definition in ``text``.

    Raises:
        DefinitionError: says where, what was found and what was expected.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"The pipeline definition is not JSON: {error}") from None
    _keys(content, TOP_KEYS, {"Version", "Steps"}, "The pipeline definition")
    if content["Version"] != VERSION:
        raise DefinitionError(f"The pipeline definition has Version {content['Version']!r}; expected {VERSION!r}")
    if content.get("MlflowConfig"):
        raise DefinitionError("The embedded AWS does not implement MlflowConfig in a pipeline definition")
    parameters = {p.name: p for p in map(_parameter, _list(content.get("Parameters") or [], "Parameters"))}
    if len(parameters) != len(content.get("Parameters") or []):
        raise DefinitionError("Parameters: a name is there more than once")
    steps: dict[str, Step] = {}
    for step in _steps(content["Steps"], None, None):
        if step.name in steps:
            raise DefinitionError(f"Step {step.name}: there is another step of this name")
        steps[step.name] = step
    if not steps:
        raise DefinitionError("Steps: expected at least one step")
    whole = Definition(parameters, steps)
    for step in steps.values():
        _check_references(step, whole)
    _check_order(steps)
    return whole


def references(value: Any) -> Iterator[str]:
    """What every ``Get`` in ``value`` names, such as ``Parameters.Epochs``."""
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield str(value["Get"])
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def is_expression(value: Any) -> bool:
    """Whether ``value`` stands for another: a ``Get`` or a function."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(("Get", "Std:"))


def duration(text: str) -> timedelta:
    """An ISO 8601 duration, with or without its ``P``; a year is 365 days and a month 30.

    Raises:
        DefinitionError: it is none, or one of no length.
    """
    found = DURATION.fullmatch(text)
    parts = {} if found is None else {k: int(v) for k, v in found.groupdict().items() if v}
    if not parts:
        raise DefinitionError(f"{text!r} is not a duration such as P30D or PT1H")
    days = sum(parts.pop(name, 0) * count for name, count in DAYS_IN.items())
    return timedelta(days=days) + timedelta(**parts)


def _parameter(content: Any) -> Parameter:
    _keys(content, {"Name", "Type", "DefaultValue", "EnumValues"}, {"Name", "Type"}, "Parameters")
    name, kind, default = content["Name"], content["Type"], content.get("DefaultValue")
    if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name):
        raise DefinitionError(f"Parameters: {name!r} is not a name (letters, digits, - and _)")
    if kind not in TYPES:
        raise DefinitionError(f"Parameter {name} has type {kind!r}; expected one of {_listed(sorted(TYPES))}")
    parameter = Parameter(name, kind, default, tuple(content.get("EnumValues") or ()))
    for value in filter(lambda v: v is not None, (default, *parameter.allowed)):
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
            raise DefinitionError(f"Parameter {name} is of type {kind}, and {value!r} is not")
    if default is not None:
        _allowed(parameter, default)
    return parameter


def _converted(parameter: Parameter, text: str) -> Any:
    conversions: dict[str, Callable[[str], Any]] = {"String": str, "Integer": int, "Float": float, "Boolean": _boolean}
    try:
        return conversions[parameter.type](text)
    except ValueError:
        raise DefinitionError(f"Parameter {parameter.name} is of type {parameter.type}, and {text!r} is not") from None


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _allowed(parameter: Parameter, value: Any) -> Any:
    if parameter.allowed and value not in parameter.allowed:
        raise DefinitionError(
            f"Parameter {parameter.name} is {value!r}; expected one of {_listed(map(repr, parameter.allowed))}"
        )
    return value


def _steps(content: Any, parent: str | None, branch: str | None) -> Iterator[Step]:
    for item in _list(content, branch or "Steps"):
        step = _step(item, parent, branch)
        yield step
        if step.type == "Condition":
            for side in ("IfSteps", "ElseSteps"):
                yield from _steps(step.arguments.get(side) or [], step.name, side)


def _step(content: Any, parent: str | None, branch: str | None) -> Step:
    if not isinstance(content, dict) or not isinstance(content.get("Name"), str) or not NAME.fullmatch(content["Name"]):
        raise DefinitionError(
            "Steps: expected an object with a Name of up to 64 letters, digits, - and _; "
            f"found {json.dumps(content)[:80]}"
        )
    name, kind = content["Name"], content.get("Type")
    if kind not in KEYS_OF_TYPE:
        raise DefinitionError(
            f"Step {name}: the embedded AWS does not implement steps of type {kind}; it runs {_listed(KEYS_OF_TYPE)}"
        )
    _keys(content, KEYS_OF_TYPE[kind], {"Name", "Type", "Arguments"}, f"Step {name}")
    arguments = content["Arguments"]
    if not isinstance(arguments, dict):
        raise DefinitionError(f"Step {name}: Arguments must be an object")
    CHECKS[kind](name, arguments)
    own = arguments.get("Conditions") if kind == "Condition" else arguments
    needs = {m["step"] for r in references(own) if (m := STEP_REFERENCE.fullmatch(r))}
    needs |= {str(other) for other in _list(content.get("DependsOn") or [], f"Step {name}: DependsOn")}
    cached, lifetime = _cache(name, content.get("CacheConfig"))
    return Step(
        name=name,
        type=kind,
        arguments=arguments,
        display_name=content.get("DisplayName"),
        description=content.get("Description"),
        needs=frozenset(needs),
        property_files=_property_files(name, arguments, content.get("PropertyFiles") or []),
        cached=cached,
        cache_lifetime=lifetime,
        retries=tuple(_retry(name, policy) for policy in content.get("RetryPolicies") or []),
        parent=parent,
        branch=branch,
    )


def _cache(name: str, content: Any) -> tuple[bool, timedelta | None]:
    if content is None:
        return False, None
    _keys(content, {"Enabled", "ExpireAfter"}, {"Enabled"}, f"Step {name}: CacheConfig")
    lifetime = content.get("ExpireAfter")
    try:
        return bool(content["Enabled"]), None if lifetime is None else duration(str(lifetime))
    except DefinitionError as error:
        raise DefinitionError(f"Step {name}: CacheConfig: ExpireAfter: {error}") from None


def _retry(name: str, content: Any) -> RetryPolicy:
    keys = {"ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin"}
    _keys(content, keys, {"ExceptionType"}, f"Step {name}: RetryPolicies")
    types = tuple(content["ExceptionType"])
    if unknown := set(types) - set(RETRYABLE):
        raise DefinitionError(
            f"Step {name}: RetryPolicies: unknown ExceptionType {_listed(sorted(unknown))}; "
            f"expected {_listed(RETRYABLE)}"
        )
    if ("MaxAttempts" in content) == ("ExpireAfterMin" in content):
        raise DefinitionError(f"Step {name}: RetryPolicies: expected either MaxAttempts or ExpireAfterMin")
    minutes = content.get("ExpireAfterMin")
    return RetryPolicy(
        types,
        float(content.get("IntervalSeconds", 1)),
        float(content.get("BackoffRate", 2)),
        content.get("MaxAttempts"),
        None if minutes is None else 60.0 * minutes,
    )


def _property_files(name: str, arguments: Mapping[str, Any], content: Any) -> dict[str, tuple[str, str]]:
    outputs = {o.get("OutputName") for o in (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or ()}
    files: dict[str, tuple[str, str]] = {}
    for item in _list(content, f"Step {name}: PropertyFiles"):
        keys = {"PropertyFileName", "OutputName", "FilePath"}
        _keys(item, keys, keys, f"Step {name}: PropertyFiles")
        if item["OutputName"] not in outputs:
            raise DefinitionError(
                f"Step {name}: property file {item['PropertyFileName']} is in output {item['OutputName']}, "
                "which the step does not have"
            )
        files[item["PropertyFileName"]] = (item["OutputName"], item["FilePath"])
    return files


def _check_condition(name: str, arguments: Mapping[str, Any]) -> None:
    _keys(arguments, {"Conditions", "IfSteps", "ElseSteps"}, {"Conditions"}, f"Step {name}: Arguments")
    if not _list(arguments["Conditions"], f"Step {name}: Conditions"):
        raise DefinitionError(f"Step {name}: Conditions: expected at least one")
    for condition in arguments["Conditions"]:
        _check_one_condition(name, condition)


def _check_one_condition(name: str, condition: Any) -> None:
    kind = condition.get("Type") if isinstance(condition, dict) else None
    if kind not in CONDITIONS:
        raise DefinitionError(f"Step {name}: a condition has type {kind!r}; expected one of {_listed(CONDITIONS)}")
    needed = set(CONDITIONS[kind])
    _keys(condition, needed | {"Type"}, needed, f"Step {name}: condition {kind}")
    inner_conditions = {"Not": [condition.get("Expression")], "Or": condition.get("Conditions")}.get(kind) or []
    for inner in inner_conditions:
        _check_one_condition(name, inner)


def _check_fail(name: str, arguments: Mapping[str, Any]) -> None:
    _keys(arguments, {"ErrorMessage"}, {"ErrorMessage"}, f"Step {name}: Arguments")


def _check_job(kind: str) -> Any:
    def check(name: str, arguments: Mapping[str, Any]) -> None:
        if refused := contract.refusals(kind, arguments):
            raise DefinitionError(f"Step {name}: the embedded AWS does not implement {'; '.join(refused)}")

    return check


CHECKS: dict[str, Any] = {
    "Processing": _check_job("Processing"),
    "Training": _check_job("Training"),
    "RegisterModel": _check_job("RegisterModel"),
    "Condition": _check_condition,
    "Fail": _check_fail,
}


def _check_references(step: Step, whole: Definition) -> None:
    for other in step.needs:
        if other not in whole.steps:
            raise DefinitionError(f"Step {step.name} depends on step {other}, which is not there")
    content = {k: v for k, v in step.arguments.items() if k not in {"IfSteps", "ElseSteps"}}
    for reference in references(content):
        scope, _, rest = reference.partition(".")
        problem = {
            "Parameters": rest not in whole.parameters,
            "Execution": rest not in EXECUTION_VARIABLES,
            "Steps": not STEP_REFERENCE.fullmatch(reference),
        }.get(scope, True)
        if problem:
            raise DefinitionError(f"Step {step.name}: {reference} does not name anything")
        _check_property_file(step, whole, reference)
    for function in _functions(content):
        _check_function(step, function)


def _check_property_file(step: Step, whole: Definition, reference: str) -> None:
    found = STEP_REFERENCE.fullmatch(reference)
    if not found or not found["rest"].startswith("PropertyFiles."):
        return
    name = found["rest"].removeprefix("PropertyFiles.")
    if name not in whole.steps[found["step"]].property_files:
        raise DefinitionError(f"Step {step.name}: step {found['step']} has no property file {name}")


def _functions(value: Any) -> Iterator[dict[str, Any]]:
    if is_expression(value) and "Get" not in value:
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _functions(item)


def _check_function(step: Step, function: dict[str, Any]) -> None:
    ((name, operands),) = function.items()
    if name not in FUNCTIONS:
        raise DefinitionError(f"Step {step.name}: the embedded AWS does not implement {name}")
    if not isinstance(operands, dict) or set(operands) not in FUNCTIONS[name]:
        expected = " or ".join(_listed(sorted(form)) for form in FUNCTIONS[name])
        raise DefinitionError(f"Step {step.name}: {name} takes {expected}")


def _check_order(steps: Mapping[str, Step]) -> None:
    """Refuses steps that wait for one another in a circle."""
    settled: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise DefinitionError(f"The steps wait for one another in a circle: {circle}")
        if name not in settled:
            step = steps[name]
            for other in sorted(step.needs | ({step.parent} if step.parent else set())):
                visit(other, (*path, name))
            settled.add(name)

    for name in steps:
        visit(name, ())


def _keys(content: Any, known: set[str], needed: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise DefinitionError(f"{where}: expected an object, found {json.dumps(content)[:80]}")
    if missing := sorted(needed - set(content)):
        raise DefinitionError(f"{where}: {_listed(missing)} is missing")
    if unknown := sorted(set(content) - known):
        raise DefinitionError(f"{where}: the embedded AWS does not implement {_listed(unknown)}")


def _list(content: Any, where: str) -> list[Any]:
    if not isinstance(content, list):
        raise DefinitionError(f"{where}: expected a list, found {json.dumps(content)[:80]}")
    return content


def _listed(items: Any) -> str:
    return ", ".join(map(str, items))
