"""Resolves what stands for a value in a definition: parameters, variables, properties of steps, functions. No job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .contract import is_expression
from .failure import client_error

PART = re.compile(r"\.?(?P<name>[A-Za-z0-9_\-]+)|\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]|\[(?P<index>\d+)\]")
NAMES = ("OutputName", "InputName", "ChannelName", "MetricName")


@dataclass(frozen=True)
class Scope:
    """What the expressions of one step can see.

    Attributes:
        parameters: values in their types.
        execution: the variables of the execution, by their names after ``Execution.``.
        properties: what describes each finished step, by its name.
        property_file: the text of a step's property file, by the step's and the file's name.
        read: the text of an object in S3, by its URI.
    """

    parameters: Mapping[str, Any]
    execution: Mapping[str, str]
    properties: Mapping[str, Any]
    property_file: Callable[[str, str], str]
    read: Callable[[str], str]


def resolve(value: Any, scope: Scope) -> Any:
    """``value`` with every expression in it replaced.

    Raises:
        StepFailure: a property or a path into a file does not lead to anything.
    """
    if is_expression(value):
        ((function, operand),) = value.items()
        return FUNCTIONS[function](operand, scope)
    if isinstance(value, dict):
        return {name: resolve(item, scope) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    return value


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a condition is true.

    Raises:
        StepFailure: as :func:`resolve`, and for values that cannot be compared.
    """
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Expression"], scope)
    if kind == "Or":
        return any(holds(inner, scope) for inner in condition["Conditions"])
    if kind == "In":
        query = resolve(condition["QueryValue"], scope)
        return any(_equal(query, resolve(value, scope)) for value in condition["Values"])
    left, right = resolve(condition["LeftValue"], scope), resolve(condition["RightValue"], scope)
    try:
        return COMPARISONS[kind](left, right)
    except TypeError:
        raise client_error(f"{kind} cannot compare {left!r} with {right!r}") from None


def _equal(left: Any, right: Any) -> bool:
    """Equal and of one type; whole and broken numbers count as one, true and 1 do not."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _numbers(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if isinstance(left, bool) or isinstance(right, bool):
            raise TypeError
        return compare(left, right)

    return compared


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": _equal,
    "GreaterThan": _numbers(lambda left, right: bool(left > right)),
    "GreaterThanOrEqualTo": _numbers(lambda left, right: bool(left >= right)),
    "LessThan": _numbers(lambda left, right: bool(left < right)),
    "LessThanOrEqualTo": _numbers(lambda left, right: bool(left <= right)),
}


def _get(name: str, scope: Scope) -> Any:
    kind, _, rest = name.partition(".")
    if kind == "Parameters":
        return scope.parameters[rest]
    if kind == "Execution":
        if rest not in scope.execution:
            raise client_error(f"{name} is not known in this step")
        return scope.execution[rest]
    step, _, path = rest.partition(".")
    return follow(scope.properties[step], path, name)


def _join(operand: Mapping[str, Any], scope: Scope) -> str:
    values = resolve(operand["Values"], scope)
    return str(operand["On"]).join(map(as_text, values))


def as_text(value: Any) -> str:
    """A value as it stands in a text: strings as they are, the rest as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _json_get(operand: Mapping[str, Any], scope: Scope) -> Any:
    if "S3Uri" in operand:
        where = as_text(resolve(operand["S3Uri"], scope))
        text = scope.read(where)
    else:
        file = operand["PropertyFile"]
        where = str(file["Get"] if isinstance(file, dict) else file)
        _, step, _, name = where.split(".", 3)
        text = scope.property_file(step, name)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise client_error(f"{where} is not JSON: {error}") from None
    return follow(content, as_text(resolve(operand["Path"], scope)), where)


def follow(value: Any, path: str, where: str) -> Any:
    """What a path such as ``metrics.rmse.value`` or ``Outputs['train'].S3Output`` leads to in ``value``.

    A key in brackets picks from a list the item of that name.

    Raises:
        StepFailure: it leads nowhere, or is no path.
    """
    position, here = 0, value
    while position < len(path):
        part = PART.match(path, position)
        if part is None:
            raise client_error(f"{path!r} of {where} is not a path")
        position = part.end()
        try:
            here = _child(here, part)
        except (KeyError, IndexError, TypeError, StopIteration):
            raise client_error(f"{where} has no {path} (there is nothing at {path[:position]})") from None
    return here


def _child(value: Any, part: re.Match[str]) -> Any:
    if part["index"] is not None:
        return value[int(part["index"])]
    key = part["name"] if part["name"] is not None else part["key"]
    if isinstance(value, list) and part["key"] is not None:
        return next(item for item in value if any(item.get(name) == key for name in NAMES))
    if not isinstance(value, dict):
        raise TypeError
    return value[key]


FUNCTIONS: dict[str, Callable[[Any, Scope], Any]] = {"Get": _get, "Std:Join": _join, "Std:JsonGet": _json_get}
