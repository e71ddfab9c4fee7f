"""The parameters that a CloudFormation template declares, and which values they take; knows no stages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.errors import Problem
from deploy.plain_yaml import Node, PlainYamlError, read_section

MAX_VALUE_BYTES = 4096
"""CloudFormation's limit for the value of a parameter."""

_TYPES = ("String", "Number", "CommaDelimitedList")
_ATTRIBUTES: dict[str, tuple[type, ...]] = {
    "Type": (str,),
    "Description": (str,),
    "Default": (str, int, float, bool),
    "AllowedValues": (list,),
    "AllowedPattern": (str,),
    "ConstraintDescription": (str,),
    "MinLength": (int,),
    "MaxLength": (int,),
    "MinValue": (int, float),
    "MaxValue": (int, float),
    "NoEcho": (bool,),
}
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; `None` where the template sets no bound."""

    name: str
    type: str
    default: str | None = None
    allowed_values: tuple[str, ...] | None = None
    allowed_pattern: str | None = None
    constraint: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_value: float | None = None
    max_value: float | None = None
    whole: bool = False
    """A Number whose default and bounds are all written without a decimal point takes whole numbers only."""

    def problems(self, value: Any) -> list[str]:
        """Return the rules that `value`, as it stands in a stage file, breaks; empty if it is good."""
        text = self.text(value)
        if text is None:
            return [f"must be {_expected(self)}"]
        if len(text.encode()) > MAX_VALUE_BYTES:
            return [f"must be at most {MAX_VALUE_BYTES} bytes long"]
        return [rule for check in _CHECKS for rule in check(self, text)]

    def text(self, value: Any) -> str | None:
        """Return `value` as CloudFormation takes it, a string, or None if it is of the wrong type.

        Booleans become `true` and `false`, and lists of strings are joined by commas where the type is a
        list.
        """
        return _TEXT[self.type](self, value)


def read_parameters(text: str, file: str) -> tuple[dict[str, Parameter], list[Problem]]:
    """Return what the template `text` declares, by name, and every problem of the declarations themselves."""
    try:
        section = read_section(text, "Parameters")
    except PlainYamlError as error:
        return {}, [Problem(file, "Parameters", str(error))]
    declared: dict[str, Parameter] = {}
    problems: list[Problem] = []
    for name, body in section.items():
        found = _declaration_problems(body)
        if not found and isinstance(body, dict):
            parameter = _parameter(name, body)
            declared[name] = parameter
            if parameter.default is not None:
                found = [f"its own Default {rule}" for rule in parameter.problems(parameter.default)]
        problems += [Problem(file, name, rule) for rule in found]
    return declared, problems


def _declaration_problems(body: Node) -> list[str]:
    if not isinstance(body, dict):
        return ["must be a mapping with a Type"]
    found = [f"unknown attribute {key}" for key in body if key not in _ATTRIBUTES]
    for key, value in body.items():
        wanted = _ATTRIBUTES.get(key)
        if wanted and type(value) not in wanted:
            found.append(f"{key} must be {' or '.join(kind.__name__ for kind in wanted)}")
    if body.get("Type") not in _TYPES:
        found.append(f"Type must be one of {', '.join(_TYPES)}; it is {body.get('Type', 'missing')}")
    if any(isinstance(item, list | dict) for item in _list(body)):
        found.append("AllowedValues must be plain values")
    pattern = body.get("AllowedPattern")
    if isinstance(pattern, str):
        try:
            re.compile(pattern)
        except re.error as error:
            found.append(f"AllowedPattern is not a regular expression: {error}")
    return found


def _list(body: dict[str, Node]) -> list[Node]:
    values = body.get("AllowedValues")
    return values if isinstance(values, list) else []


def _parameter(name: str, body: dict[str, Any]) -> Parameter:
    numbers = [body[key] for key in ("Default", "MinValue", "MaxValue") if key in body]
    return Parameter(
        name=name,
        type=body["Type"],
        default=_as_text(body["Default"]) if "Default" in body else None,
        allowed_values=tuple(map(_as_text, body["AllowedValues"])) if "AllowedValues" in body else None,
        allowed_pattern=body.get("AllowedPattern"),
        constraint=body.get("ConstraintDescription"),
        min_length=body.get("MinLength"),
        max_length=body.get("MaxLength"),
        min_value=body.get("MinValue"),
        max_value=body.get("MaxValue"),
        whole=body["Type"] == "Number"
        and bool(numbers)
        and all(_WHOLE_NUMBER.fullmatch(str(n)) for n in numbers),
    )


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _string(_: Parameter, value: Any) -> str | None:
    return _as_text(value) if isinstance(value, str | bool) else None


def _number(parameter: Parameter, value: Any) -> str | None:
    form = _WHOLE_NUMBER if parameter.whole else _NUMBER
    return str(value) if isinstance(value, str | int | float) and form.fullmatch(str(value)) else None


def _comma_delimited(_: Parameter, value: Any) -> str | None:
    if isinstance(value, list):
        plain = all(isinstance(item, str) and "," not in item for item in value)
        return ",".join(value) if plain else None
    return value if isinstance(value, str) else None


_TEXT: dict[str, Callable[[Parameter, Any], str | None]] = {
    "String": _string,
    "Number": _number,
    "CommaDelimitedList": _comma_delimited,
}


def _expected(parameter: Parameter) -> str:
    if parameter.type == "Number":
        return "a whole number" if parameter.whole else "a number"
    return "a string" if parameter.type == "String" else "a list of strings, or one string with commas"


def _parts(parameter: Parameter, text: str) -> list[str]:
    """Return what a pattern or allowed values apply to: each item of a list, or the whole text."""
    return [part.strip() for part in text.split(",")] if parameter.type == "CommaDelimitedList" else [text]


def _check_allowed(parameter: Parameter, text: str) -> list[str]:
    allowed = parameter.allowed_values
    if allowed is None or all(part in allowed for part in _parts(parameter, text)):
        return []
    return [f"must be one of {', '.join(allowed)}"]


def _check_pattern(parameter: Parameter, text: str) -> list[str]:
    pattern = parameter.allowed_pattern
    if pattern is None or all(re.fullmatch(pattern, part) for part in _parts(parameter, text)):
        return []
    return [f"must match {pattern}" + (f" ({parameter.constraint})" if parameter.constraint else "")]


def _check_length(parameter: Parameter, text: str) -> list[str]:
    low, high = parameter.min_length, parameter.max_length
    found = [f"must have at least {low} characters"] if low is not None and len(text) < low else []
    return found + ([f"must have at most {high} characters"] if high is not None and len(text) > high else [])


def _check_range(parameter: Parameter, text: str) -> list[str]:
    if parameter.type != "Number":
        return []
    low, high = parameter.min_value, parameter.max_value
    found = [f"must be at least {low}"] if low is not None and float(text) < low else []
    return found + ([f"must be at most {high}"] if high is not None and float(text) > high else [])


_CHECKS: tuple[Callable[[Parameter, str], list[str]], ...] = (
    _check_allowed,
    _check_pattern,
    _check_length,
    _check_range,
)
