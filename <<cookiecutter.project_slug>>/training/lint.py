"""Checks a pipeline definition against SageMaker's API as botocore knows it; needs no SDK and no AWS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

# Type of a step: the call whose request its arguments are, without what the pipeline itself fills in.
CALLS = {
    "Processing": ("CreateProcessingJob", {"ProcessingJobName"}),
    "Training": ("CreateTrainingJob", {"TrainingJobName"}),
    "RegisterModel": ("CreateModelPackage", set()),
}
# Type of a step: the answer whose members `Get` may name.
_ANSWERS = {
    "Processing": "DescribeProcessingJobResponse",
    "Training": "DescribeTrainingJobResponse",
    "RegisterModel": "DescribeModelPackageOutput",
}
_OWN_ARGUMENTS: dict[str, dict[str, type]] = {
    "Condition": {"Conditions": list, "IfSteps": list, "ElseSteps": list},
    "Fail": {"ErrorMessage": object},
}
_PARAMETERS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}
_EXECUTION = {
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "StartDateTime",
    "CurrentDateTime",
}
_COMPARISONS = {
    "Equals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "LessThan",
    "LessThanOrEqualTo",
}
_RETRIES = {
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
}
_STEP_KEYS = {
    "Name",
    "Type",
    "Arguments",
    "Description",
    "DisplayName",
    "DependsOn",
    "RetryPolicies",
    "CacheConfig",
    "PropertyFiles",
}
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_PATH_PART = re.compile(r"\.?([A-Za-z0-9]+)|\['([^']+)'\]|\[(\d+)\]")
# Strings whose kind a parameter may have: AWS turns neither numbers nor truth into text by itself.
_SHAPE_KINDS = {
    "string": "String",
    "integer": "Integer",
    "long": "Integer",
    "float": "Float",
    "double": "Float",
    "boolean": "Boolean",
}
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}


@cache
def _model() -> Any:
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    return ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@dataclass
class _Definition:
    """What references may name."""

    parameters: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    behind: dict[str, set[str]] = field(default_factory=dict)
    """Step: the condition steps around it."""


def lint(definition: Any) -> list[str]:
    """Return what is wrong with a definition, each in one line that says where; an empty list if nothing is.

    It checks names, types of parameters, arguments of each step against the request of its call (members,
    types, enumerations, patterns, lengths), references to parameters, steps, their answers and their
    property files, circles, and that a model package says which program serves it.
    """
    if not isinstance(definition, dict):
        return ["the definition is not a JSON object"]
    problems = []
    if definition.get("Version") != "2020-12-01":
        problems.append(f"Version is {definition.get('Version')!r}: expected '2020-12-01'")
    known = _Definition()
    problems += list(_parameters(definition.get("Parameters") or [], known))
    steps = definition.get("Steps")
    if not isinstance(steps, list) or not steps:
        return [*problems, "Steps is missing or empty"]
    problems += list(_collect(steps, known, set()))
    for step in known.steps.values():
        problems += list(_step(step, known))
    problems += list(_circles(known))
    return problems


def _parameters(parameters: Any, known: _Definition) -> Iterator[str]:
    for parameter in parameters:
        name, kind = parameter.get("Name"), parameter.get("Type")
        where = f"parameter {name}"
        if name in known.parameters:
            yield f"{where}: there are two of that name"
        if kind not in _PARAMETERS:
            yield f"{where}: Type is {kind!r}: expected {', '.join(_PARAMETERS)}"
            continue
        known.parameters[name] = kind
        default, allowed = parameter.get("DefaultValue"), parameter.get("EnumValues")
        if default is not None and not _is_a(default, _PARAMETERS[kind]):
            yield f"{where}: the default {default!r} is no {kind}"
        if default is not None and allowed and default not in allowed:
            yield f"{where}: the default {default!r} is not one of {', '.join(map(str, allowed))}"


def _is_a(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (isinstance(value, bool) == (bool in kinds))


def _collect(steps: list[Any], known: _Definition, around: set[str]) -> Iterator[str]:
    """Note all steps by name, those inside conditions too."""
    for step in steps:
        name = step.get("Name") if isinstance(step, dict) else None
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            yield f"step {name!r}: a name has 1 to 64 letters, digits, hyphens and underscores"
            continue
        if name in known.steps:
            yield f"step {name}: there are two of that name"
            continue
        known.steps[name] = step
        known.behind[name] = around
        arguments = step.get("Arguments")
        if step.get("Type") == "Condition" and isinstance(arguments, dict):
            for branch in ("IfSteps", "ElseSteps"):
                yield from _collect(arguments.get(branch) or [], known, around | {name})


def _step(step: dict[str, Any], known: _Definition) -> Iterator[str]:
    where, kind, arguments = f"step {step['Name']}", step.get("Type"), step.get("Arguments")
    if not isinstance(arguments, dict):
        yield f"{where}: Arguments is missing"
        return
    for key in sorted(step.keys() - _STEP_KEYS):
        yield f"{where}: {key} is not known"
    for policy in step.get("RetryPolicies") or []:
        for reason in sorted(set(policy.get("ExceptionType", [])) - _RETRIES):
            yield f"{where}: RetryPolicies: {reason} is not known"
    if kind in CALLS:
        operation, filled = CALLS[kind]
        shape = _model().operation_model(operation).input_shape
        wrong = list(_structure(arguments, shape, f"{where}: ", known, filled))
        yield from wrong or _BY_TYPE.get(str(kind), _nothing)(step)
    elif kind in _OWN_ARGUMENTS:
        yield from _own_arguments(arguments, kind, where)
    else:
        yield f"{where}: a step of type {kind!r} is not known here: {', '.join([*CALLS, *_OWN_ARGUMENTS])}"
    for name in step.get("DependsOn") or []:
        if name not in known.steps:
            yield f"{where}: DependsOn: there is no step {name}"
    own = {"IfSteps": None, "ElseSteps": None} if kind == "Condition" else {}
    for reference in _references({**arguments, **own}):
        yield from _reference(reference, where, known)


def _own_arguments(arguments: dict[str, Any], kind: str, where: str) -> Iterator[str]:
    """Check the arguments of a step that calls nothing."""
    for name in sorted(arguments.keys() - _OWN_ARGUMENTS[kind].keys()):
        yield f"{where}: {name} is not an argument of a {kind} step"
    for name, expected in _OWN_ARGUMENTS[kind].items():
        if name not in arguments or not isinstance(arguments[name], expected):
            yield f"{where}: {name} is missing or not a {expected.__name__}"
    yield from _conditions(arguments.get("Conditions") or [], where)


def _nothing(_: dict[str, Any]) -> list[str]:
    return []


def _conditions(conditions: list[Any], where: str) -> Iterator[str]:
    for condition in conditions:
        kind = condition.get("Type")
        if kind in _COMPARISONS and not {"LeftValue", "RightValue"} <= condition.keys():
            yield f"{where}: {kind} compares LeftValue with RightValue: one of them is missing"
        elif kind not in _COMPARISONS | {"In", "Not", "Or"}:
            yield f"{where}: there is no condition {kind!r}"


# ----------------------------------------------------------------------------------- arguments against shapes


def _value(value: Any, shape: Any, where: str, known: _Definition) -> Iterator[str]:
    if isinstance(value, dict) and (len(value) == 1 and next(iter(value)) in _VARIABLES):
        yield from _variable(value, shape, where, known)
    elif shape.type_name == "structure":
        if isinstance(value, dict):
            yield from _structure(value, shape, where + ".", known)
        else:
            yield f"{where} is {value!r}: expected an object"
    elif shape.type_name == "list":
        yield from _list(value, shape, where, known)
    elif shape.type_name == "map":
        yield from _map(value, shape, where, known)
    else:
        yield from _scalar(value, shape, where)


def _structure(
    value: dict[str, Any], shape: Any, where: str, known: _Definition, filled: set[str] | None = None
) -> Iterator[str]:
    for name in sorted(set(shape.required_members) - value.keys() - (filled or set())):
        yield f"{where}{name} is missing"
    for name, member in value.items():
        if name in shape.members:
            yield from _value(member, shape.members[name], where + name, known)
        else:
            yield f"{where}{name} is not a member of {shape.name}"


def _list(value: Any, shape: Any, where: str, known: _Definition) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} is {value!r}: expected a list"
        return
    yield from _length(len(value), shape, where, "items")
    for number, item in enumerate(value):
        yield from _value(item, shape.member, f"{where}[{number}]", known)


def _map(value: Any, shape: Any, where: str, known: _Definition) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is {value!r}: expected an object"
        return
    yield from _length(len(value), shape, where, "entries")
    for name, item in value.items():
        yield from _scalar(name, shape.key, f"{where}, name {name!r}")
        yield from _value(item, shape.value, f"{where}.{name}", known)


def _scalar(value: Any, shape: Any, where: str) -> Iterator[str]:
    if not _is_a(value, _PYTHON.get(shape.type_name, (object,))):
        yield f"{where} is {value!r}: expected a {shape.type_name}"
        return
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        close = ", ".join(allowed[:4]) + (", ..." if len(allowed) > 4 else "")
        yield f"{where} is {value!r}: expected one of {close}"
    if isinstance(value, str):
        yield from _length(len(value), shape, where, "characters")
        pattern = _pattern(shape.metadata.get("pattern"))
        if pattern is not None and pattern.fullmatch(value) is None:
            yield f"{where} is {value!r}: does not match {pattern.pattern}"
    elif isinstance(value, int | float):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            yield f"{where} is {value!r}: expected {low} to {high}"


@cache
def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Return the pattern, or None where it says something that Python's patterns cannot (Unicode classes)."""
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error:
        return None


def _length(length: int, shape: Any, where: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")
    if length < low or (high is not None and length > high):
        bounds = f"{low} to {high}" if high is not None else f"at least {low}"
        yield f"{where} has {length} {what}: expected {bounds}"


# ----------------------------------------------------------------------------------- what is known only later

_VARIABLES = {"Get", "Std:Join", "Std:JsonGet"}


def _variable(value: dict[str, Any], shape: Any, where: str, known: _Definition) -> Iterator[str]:
    """Check that what stands for a value later can be of the kind that is expected here."""
    kind = _SHAPE_KINDS.get(shape.type_name)
    if kind is None:
        yield f"{where}: only texts, numbers and truth can be filled in later, not a {shape.type_name}"
    elif "Std:Join" in value and kind != "String":
        yield f"{where}: Std:Join gives a text: expected a {shape.type_name}"
    elif "Get" in value and str(value["Get"]).startswith("Parameters."):
        given = known.parameters.get(value["Get"].partition(".")[2], kind)
        if given != kind and (given, kind) != ("Integer", "Float"):
            yield f"{where}: {value['Get']} is of type {given}: expected {kind}"


def _references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Find every `Get` and `Std:JsonGet`; a `Get` inside a `Std:JsonGet` names a property file."""
    if isinstance(value, dict):
        if "Std:JsonGet" in value:
            inner = value["Std:JsonGet"]
            yield str(inner.get("PropertyFile", {}).get("Get")), str(inner.get("Path", ""))
        elif "Get" in value and len(value) == 1:
            yield str(value["Get"]), None
        else:
            for item in value.values():
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _reference(reference: tuple[str, str | None], where: str, known: _Definition) -> Iterator[str]:
    target, path = reference
    space, _, rest = target.partition(".")
    if path is not None:
        yield from _property_file(target, path, where, known)
    elif space == "Parameters":
        if rest not in known.parameters:
            yield f"{where}: there is no parameter {rest}"
    elif space == "Execution":
        if rest not in _EXECUTION:
            yield f"{where}: an execution has no {rest}"
    elif space == "Steps":
        yield from _answer(rest, where, known)
    else:
        yield f"{where}: {target!r} is neither a parameter, nor of a step, nor of the execution"


def _property_file(target: str, path: str, where: str, known: _Definition) -> Iterator[str]:
    match = re.fullmatch(r"Steps\.([^.]+)\.PropertyFiles\.(.+)", target)
    if match is None or match[1] not in known.steps:
        yield f"{where}: {target!r} is not the property file of a step here"
        return
    step = known.steps[match[1]]
    files = {item.get("PropertyFileName"): item for item in step.get("PropertyFiles") or []}
    if match[2] not in files:
        yield f"{where}: step {match[1]} has no property file {match[2]}"
        return
    if not path:
        yield f"{where}: Std:JsonGet of {match[2]} has no Path"
    if files[match[2]].get("OutputName") not in _outputs(step):
        yield f"step {match[1]}: property file {match[2]} is in an output that the step does not have"


def _answer(rest: str, where: str, known: _Definition) -> Iterator[str]:
    """Check `<step>.<path>` against what describing the step's job answers."""
    name, _, path = rest.partition(".")
    if name not in known.steps:
        yield f"{where}: there is no step {name}"
        return
    step = known.steps[name]
    if step.get("Type") not in _ANSWERS:
        yield f"{where}: step {name} has nothing that another step could use"
        return
    shape = _model().shape_for(_ANSWERS[step["Type"]])
    for part in _PATH_PART.finditer(path):
        member, key = part[1], part[2]
        if member is not None:
            if shape.type_name != "structure" or member not in shape.members:
                yield f"{where}: step {name} has no {path}"
                return
            shape = shape.members[member]
        elif shape.type_name in ("list", "map"):
            if key is not None and shape.name == "ProcessingOutputs" and key not in _outputs(step):
                yield f"{where}: step {name} has no output {key}"
            shape = shape.member if shape.type_name == "list" else shape.value
        else:
            yield f"{where}: step {name} has no {path}"
            return


def _outputs(step: dict[str, Any]) -> set[Any]:
    config = (step.get("Arguments") or {}).get("ProcessingOutputConfig")
    outputs = config.get("Outputs") if isinstance(config, dict) else None
    return {output.get("OutputName") for output in outputs or [] if isinstance(output, dict)}


def _circles(known: _Definition) -> Iterator[str]:
    """Find steps that wait for each other."""
    waits = {
        name: (
            set(step.get("DependsOn") or [])
            | known.behind[name]
            | {
                target.split(".")[1]
                for target, _ in _references(
                    {
                        k: v
                        for k, v in (step.get("Arguments") or {}).items()
                        if k not in ("IfSteps", "ElseSteps")
                    }
                )
                if target.startswith("Steps.")
            }
        )
        & known.steps.keys()
        for name, step in known.steps.items()
    }
    done: set[str] = set()
    while ready := {name for name, names in waits.items() if name not in done and names <= done}:
        done |= ready
    if left := sorted(waits.keys() - done):
        yield f"steps that wait for each other: {', '.join(left)}"


# ---------------------------------------------------------------------------------- rules of one type of step


def _program(step: dict[str, Any]) -> Iterator[str]:
    """Check what the container reads: with an empty program an endpoint never comes into service."""
    containers = step["Arguments"].get("InferenceSpecification", {}).get("Containers", [])
    for number, container in enumerate(containers):
        for name in ("SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"):
            if not container.get("Environment", {}).get(name):
                yield f"step {step['Name']}: container {number}: {name} is missing or empty"


def _script(step: dict[str, Any]) -> Iterator[str]:
    """Check that a training in script mode says both halves of what to run."""
    hyperparameters = step["Arguments"].get("HyperParameters", {})
    for name in ("sagemaker_program", "sagemaker_submit_directory"):
        if not hyperparameters.get(name):
            yield f"step {step['Name']}: hyperparameter {name} is missing or empty"


_BY_TYPE: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "RegisterModel": _program,
    "Training": _script,
}
