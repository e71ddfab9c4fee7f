"""What a template's parameters become: given, previous or default values, each within its bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .failure import TemplateError
from .values import as_text

LISTS = {"CommaDelimitedList", "List<Number>", "List<String>"}
NUMBERS = {"Number", "List<Number>"}
# Types that stand for something that must exist, for which CloudFormation asks EC2 and others: what they look like.
IDENTIFIERS = {
    "AWS::EC2::VPC::Id": re.compile(r"vpc-[0-9a-f]+"),
    "AWS::EC2::Subnet::Id": re.compile(r"subnet-[0-9a-f]+"),
    "AWS::EC2::SecurityGroup::Id": re.compile(r"sg-[0-9a-f]+"),
}
IDENTIFIER_LISTS = {f"List<{name}>": form for name, form in IDENTIFIERS.items()}
TYPES = {"String", "Number"} | LISTS | set(IDENTIFIERS) | set(IDENTIFIER_LISTS)
ATTRIBUTES = {
    "Type",
    "Default",
    "NoEcho",
    "AllowedValues",
    "AllowedPattern",
    "MinLength",
    "MaxLength",
    "MinValue",
    "MaxValue",
    "Description",
    "ConstraintDescription",
}
BOUNDS = {"MinLength", "MaxLength", "MinValue", "MaxValue"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
Declared = Mapping[str, Mapping[str, Any]]


def chosen(declared: Declared, given: Sequence[Mapping[str, Any]], previous: Mapping[str, str]) -> dict[str, str]:
    """The text of each declared parameter: as given, as it was, or its default.

    Args:
        declared: the template's ``Parameters``.
        given: as in the API: ``ParameterKey`` with ``ParameterValue`` or ``UsePreviousValue``.
        previous: the texts before an update.

    Raises:
        TemplateError: parameters that the template does not have, that have no value, or that break a constraint.
    """
    keys = [str(entry["ParameterKey"]) for entry in given]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise TemplateError(f"Parameters: [{', '.join(twice)}] are given more than once")
    if unknown := sorted(set(keys) - set(declared)):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    texts: dict[str, str] = {}
    for entry in given:
        key = str(entry["ParameterKey"])
        if not entry.get("UsePreviousValue"):
            if entry.get("ParameterValue") is not None:
                texts[key] = str(entry["ParameterValue"])
        elif "ParameterValue" in entry:
            raise TemplateError(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue and a value")
        elif key not in previous:
            raise TemplateError(
                f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a parameter key "
                "not in the previous template"
            )
        else:
            texts[key] = previous[key]
    for name, parameter in declared.items():
        _check_declaration(name, parameter)
        if name not in texts and "Default" in parameter:
            texts[name] = _default(parameter["Default"])
    if missing := [name for name in declared if name not in texts]:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, parameter in declared.items():
        _check_value(name, parameter, texts[name])
    return {name: texts[name] for name in declared}


def value_of(parameter: Mapping[str, Any], text: str) -> Any:
    """What ``Ref`` gives: the text, or the list of texts that it stands for."""
    return _items(text) if parameter["Type"].startswith("List<") or parameter["Type"] in LISTS else text


def shown(parameter: Mapping[str, Any], text: str) -> str:
    """The text as it may be read by anybody."""
    return "****" if as_text(parameter.get("NoEcho", False)).lower() == "true" else text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _default(value: Any) -> str:
    return ",".join(map(as_text, value)) if isinstance(value, list) else as_text(value)


def _check_declaration(name: str, parameter: Mapping[str, Any]) -> None:
    kind = parameter["Type"]
    if kind not in TYPES:
        raise TemplateError(
            f"Template format error: Unrecognized parameter type: {kind} (parameter {name}; supported here: "
            f"{', '.join(sorted(TYPES))})"
        )
    if strange := sorted(set(parameter) - ATTRIBUTES):
        raise TemplateError(f"Invalid template parameter property '{strange[0]}' (parameter {name})")
    for bound in BOUNDS & set(parameter):
        if not NUMBER.fullmatch(as_text(parameter[bound])):
            raise TemplateError(f"Template format error: {bound} of parameter {name} must be a number.")
    if not isinstance(parameter.get("AllowedValues", []), list):
        raise TemplateError(f"Template format error: AllowedValues of parameter {name} must be a list.")


def _check_value(name: str, parameter: Mapping[str, Any], text: str) -> None:
    kind = parameter["Type"]
    items = _items(text) if kind.startswith("List<") or kind in LISTS else [text]
    form = IDENTIFIERS.get(kind) or IDENTIFIER_LISTS.get(kind)
    for item in items:
        if kind in NUMBERS and not NUMBER.fullmatch(item.strip()):
            raise TemplateError(f"Parameter '{name}' must be a number")
        if form is not None and not form.fullmatch(item):
            raise TemplateError(
                f"Parameter validation failed: parameter value {item} for parameter name {name} is no {kind}"
            )
        for constraint, test in CONSTRAINTS.items():
            if constraint in parameter and not test(item, parameter[constraint]):
                said = parameter.get("ConstraintDescription")
                raise TemplateError(
                    f"Parameter {name} failed to satisfy constraint: {said}"
                    if said is not None
                    else f"Parameter '{name}' {BROKEN[constraint].format(parameter[constraint])}"
                )


def _is_allowed(text: str, allowed: Any) -> bool:
    return text in [as_text(value) for value in allowed]


def _fits(text: str, pattern: Any) -> bool:
    try:
        return re.fullmatch(str(pattern), text) is not None
    except re.error as error:
        raise TemplateError(f"Template format error: invalid AllowedPattern {pattern}: {error}") from None


CONSTRAINTS: dict[str, Callable[[str, Any], bool]] = {
    "AllowedValues": _is_allowed,
    "AllowedPattern": _fits,
    "MinLength": lambda text, bound: len(text) >= float(bound),
    "MaxLength": lambda text, bound: len(text) <= float(bound),
    "MinValue": lambda text, bound: float(text) >= float(bound),
    "MaxValue": lambda text, bound: float(text) <= float(bound),
}
BROKEN = {
    "AllowedValues": "must be one of AllowedValues",
    "AllowedPattern": "must match pattern {}",
    "MinLength": "must contain at least {} characters",
    "MaxLength": "must contain at most {} characters",
    "MinValue": "must be a number not less than {}",
    "MaxValue": "must be a number not greater than {}",
}
