"""Reads a pipeline definition (schema version 2020-12-01) and refuses what cannot be run. Resolves and runs nothing.

Functions and variables are resolved in ``resolving.py``; which arguments of a job can be honoured is said in
``contract.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeGuard

from . import contract
from .contract import is_expression
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
# The numbers of a retry policy: whether only whole ones, and the highest.
RETRY_LIMITS = {
    "IntervalSeconds": (False, 43200),
    "BackoffRate": (False, 1000),
    "MaxAttempts": (True, 20),
    "ExpireAfterMin": (True, 14400),
}
DEFAULT_ATTEMPTS = 5
TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
}


# The texts that are a value of each type, and what makes it of one. Python's own conversions take more, such as "1_0".
CONVERSIONS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "String": (re.compile(r".*", re.DOTALL), str),
    "Integer": (re.compile(r"[+-]?[0-9]{1,100}"), int),
    "Float": (re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"), float),
    "Boolean": (re.compile(r"true|false", re.IGNORECASE), lambda text: text.lower() == "true"),
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
    """How often a step is tried again after a failure of one of ``types``; times in seconds.

    Of ``attempts``, which the first one is not among, and ``expires`` one is None.
    """

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
    try:
        return timedelta(days=days) + timedelta(**parts)
    except OverflowError:
        raise DefinitionError(f"{text!r} is too long a duration") from None


def _parameter(content: Any) -> Parameter:
    _keys(content, {"Name", "Type", "DefaultValue", "EnumValues"}, {"Name", "Type"}, "Parameters")
    name, kind, default = content["Name"], content["Type"], content.get("DefaultValue")
    if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name):
        raise DefinitionError(f"Parameters: {name!r} is not a name (letters, digits, - and _)")
    if not _is_among(kind, TYPES):
        raise DefinitionError(f"Parameter {name} has type {kind!r}; expected one of {_listed(sorted(TYPES))}")
    parameter = Parameter(
        name, kind, default, tuple(_list(content.get("EnumValues") or [], f"Parameter {name}: EnumValues"))
    )
    for value in filter(lambda v: v is not None, (default, *parameter.allowed)):
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
            raise DefinitionError(f"Parameter {name} is of type {kind}, and {value!r} is not")
    if default is not None:
        _allowed(parameter, default)
    return parameter


def _converted(parameter: Parameter, text: str) -> Any:
    form, convert = CONVERSIONS[parameter.type]
    if not form.fullmatch(text):
        raise DefinitionError(f"Parameter {parameter.name} is of type {parameter.type}, and {text!r} is not")
    return convert(text)


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
    if not _is_among(kind, KEYS_OF_TYPE):
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
    needs |= {
        _text(o, f"Step {name}: DependsOn") for o in _list(content.get("DependsOn") or [], f"Step {name}: DependsOn")
    }
    cached, lifetime = _cache(name, content.get("CacheConfig"))
    return Step(
        name=name,
        type=kind,
        arguments=arguments,
        display_name=_optional_text(content, "DisplayName", name),
        description=_optional_text(content, "Description", name),
        needs=frozenset(needs),
        property_files=_property_files(name, arguments, content.get("PropertyFiles") or []),
        cached=cached,
        cache_lifetime=lifetime,
        retries=tuple(
            _retry(f"Step {name}: RetryPolicies", policy)
            for policy in _list(content.get("RetryPolicies") or [], f"Step {name}: RetryPolicies")
        ),
        parent=parent,
        branch=branch,
    )


def _cache(name: str, content: Any) -> tuple[bool, timedelta | None]:
    if content is None:
        return False, None
    _keys(content, {"Enabled", "ExpireAfter"}, {"Enabled"}, f"Step {name}: CacheConfig")
    enabled, lifetime = content["Enabled"], content.get("ExpireAfter")
    if not isinstance(enabled, bool):
        raise DefinitionError(f"Step {name}: CacheConfig: Enabled: expected true or false, found {enabled!r}")
    try:
        return enabled, None if lifetime is None else duration(str(lifetime))
    except DefinitionError as error:
        raise DefinitionError(f"Step {name}: CacheConfig: ExpireAfter: {error}") from None


def _retry(where: str, content: Any) -> RetryPolicy:
    _keys(content, {"ExceptionType", *RETRY_LIMITS}, {"ExceptionType"}, where)
    types = _list(content["ExceptionType"], f"{where}: ExceptionType")
    if unknown := [kind for kind in types if not _is_among(kind, RETRYABLE)]:
        raise DefinitionError(f"{where}: unknown ExceptionType {_listed(unknown)}; expected {_listed(RETRYABLE)}")
    for name, (whole, highest) in RETRY_LIMITS.items():
        value = content.get(name)
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= highest):
            kind = "whole number" if whole else "number"
            raise DefinitionError(f"{where}: {name}: expected a {kind} from 0 to {highest}, found {json.dumps(value)}")
    attempts, minutes = content.get("MaxAttempts"), content.get("ExpireAfterMin")
    if attempts is not None and minutes is not None:
        raise DefinitionError(f"{where}: expected either MaxAttempts or ExpireAfterMin, not both")
    given = {name: content[name] for name in ("IntervalSeconds", "BackoffRate") if content.get(name) is not None}
    return RetryPolicy(
        tuple(types),
        float(given.get("IntervalSeconds", 1)),
        float(given.get("BackoffRate", 2)),
        DEFAULT_ATTEMPTS if attempts is None and minutes is None else attempts,
        None if minutes is None else 60.0 * minutes,
    )


def _property_files(name: str, arguments: Mapping[str, Any], content: Any) -> dict[str, tuple[str, str]]:
    where, keys = f"Step {name}: PropertyFiles", ("PropertyFileName", "OutputName", "FilePath")
    outputs = contract.output_names(arguments)
    files: dict[str, tuple[str, str]] = {}
    for item in _list(content, where):
        _keys(item, set(keys), set(keys), where)
        file, output, path = (_text(item[key], f"{where}: {key}") for key in keys)
        if output not in outputs:
            raise DefinitionError(
                f"Step {name}: property file {file} is in output {output}, which the step does not have"
            )
        files[file] = (output, path)
    return files


def _check_condition(name: str, arguments: Mapping[str, Any]) -> None:
    _keys(arguments, {"Conditions", "IfSteps", "ElseSteps"}, {"Conditions"}, f"Step {name}: Arguments")
    if not _list(arguments["Conditions"], f"Step {name}: Conditions"):
        raise DefinitionError(f"Step {name}: Conditions: expected at least one")
    for condition in arguments["Conditions"]:
        _check_one_condition(name, condition)


def _check_one_condition(name: str, condition: Any) -> None:
    kind = condition.get("Type") if isinstance(condition, dict) else None
    if not _is_among(kind, CONDITIONS):
        raise DefinitionError(f"Step {name}: a condition has type {kind!r}; expected one of {_listed(CONDITIONS)}")
    needed = set(CONDITIONS[kind])
    _keys(condition, needed | {"Type"}, needed, f"Step {name}: condition {kind}")
    for listed in {"Values", "Conditions"} & needed:
        if not _list(condition[listed], f"Step {name}: condition {kind}: {listed}"):
            raise DefinitionError(f"Step {name}: condition {kind}: {listed}: expected at least one")
    for inner in {"Not": [condition.get("Expression")], "Or": condition.get("Conditions")}.get(kind, []):
        _check_one_condition(name, inner)


def _check_fail(name: str, arguments: Mapping[str, Any]) -> None:
    _keys(arguments, {"ErrorMessage"}, {"ErrorMessage"}, f"Step {name}: Arguments")


def _check_job(kind: str) -> Any:
    def check(name: str, arguments: Mapping[str, Any]) -> None:
        if wrong := contract.misshapen(kind, arguments):
            raise DefinitionError(f"Step {name}: {'; '.join(wrong)}")
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
    if name == "Std:Join" and not (isinstance(operands["On"], str) and isinstance(operands["Values"], list)):
        raise DefinitionError(f"Step {step.name}: {name}: expected On to be a text and Values a list")
    if "PropertyFile" in operands and not any(".PropertyFiles." in r for r in references(operands["PropertyFile"])):
        raise DefinitionError(
            f"Step {step.name}: {name}: PropertyFile: expected a Get of Steps.<step>.PropertyFiles.<name>"
        )


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


def _is_among(value: Any, known: Collection[str]) -> TypeGuard[str]:
    return isinstance(value, str) and value in known


def _text(content: Any, where: str) -> str:
    if not isinstance(content, str):
        raise DefinitionError(f"{where}: expected a text, found {json.dumps(content)[:80]}")
    return content


def _optional_text(content: Mapping[str, Any], key: str, step: str) -> str | None:
    return None if content.get(key) is None else _text(content[key], f"Step {step}: {key}")


def _listed(items: Any) -> str:
    return ", ".join(map(str, items))
