"""What a target is given for an event: the event, a part of it, a constant, or a template filled from it.

Quotation marks are as EventBridge has them: a placeholder inside a string of a template becomes part of that string,
and one outside becomes a JSON value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..wire import AwsError

WAYS = ("Input", "InputPath", "InputTransformer")
PATH = re.compile(r"\$(?:\.[^.\[\]\s]+|\[\d+\])*")
STEP = re.compile(r"\.([^.\[\]\s]+)|\[(\d+)\]")
PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")
RESERVED = (
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event",
    "aws.events.event.json",
    "aws.events.event.ingestion-time",
)
MISSING = object()


class NoInput(Exception):
    """Nothing can be made of an event for this target; the message says why."""


def check(target: Mapping[str, Any]) -> None:
    """Refuses a target whose input EventBridge would not take.

    Raises:
        AwsError: ``ValidationException``.
    """
    name = target["Id"]
    given = [way for way in WAYS if target.get(way) is not None]
    if len(given) > 1:
        raise _invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}.")
    transformer = target.get("InputTransformer") or {}
    paths = dict(transformer.get("InputPathsMap") or {})
    if target.get("InputPath") is not None:
        paths["InputPath"] = target["InputPath"]
    for path in paths.values():
        if not PATH.fullmatch(path):
            raise _invalid(f"Invalid JSONPath {path} for target {name}.")
    if target.get("Input") is not None:
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise _invalid(f"JSON syntax error in input for target {name} : {error}") from None
    if transformer:
        _check_template(name, transformer["InputTemplate"], paths)


def _check_template(name: str, template: str, paths: Mapping[str, str]) -> None:
    unknown = [p for p in PLACEHOLDER.findall(template) if p not in paths and p not in RESERVED]
    if unknown:
        raise _invalid(
            f"Invalid InputTemplate for target {name} : InputTemplate contains invalid placeholder {unknown[0]}."
        )
    try:
        _parsed("".join(_filled(template, lambda _: "x")))
    except NoInput as error:
        raise _invalid(f"Invalid InputTemplate for target {name} : {error}") from None


def made(target: Mapping[str, Any], event: Mapping[str, Any], rule: Mapping[str, str]) -> str:
    """The text that a target is given.

    Args:
        target: the target, as ``PutTargets`` had it.
        event: the whole event.
        rule: values of the placeholders about the rule and the time, by their names.

    Raises:
        NoInput: a path leads nowhere, or what comes out of the template is not JSON.
    """
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath") is not None:
        value = _found(target["InputPath"], event)
        if value is MISSING:
            raise NoInput(f"The event has nothing at the InputPath {target['InputPath']}")
        return json.dumps(value)
    transformer = target.get("InputTransformer")
    if not transformer:
        return json.dumps(event)
    values: dict[str, Any] = {
        **{key: _found(path, event) for key, path in (transformer.get("InputPathsMap") or {}).items()},
        **rule,
        "aws.events.event": {key: value for key, value in event.items() if key != "detail"},
        "aws.events.event.json": event,
    }
    return _parsed("".join(_filled(transformer["InputTemplate"], values.__getitem__)))


def value_at(path: str, event: Mapping[str, Any]) -> Any:
    """What is at a JSON path of the event.

    Raises:
        NoInput: nothing is.
    """
    value = _found(path, event) if PATH.fullmatch(path) else MISSING
    if value is MISSING:
        raise NoInput(f"The event has nothing at {path}")
    return value


def _found(path: str, event: Mapping[str, Any]) -> Any:
    value: Any = event
    for key, index in STEP.findall(path):
        if index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        elif key and isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return MISSING
    return value


def _filled(template: str, value_of: Any) -> Iterator[str]:
    """The parts of a template with the placeholders' values in their places; a value that is missing leaves nothing."""
    inside, position = False, 0
    for placeholder in PLACEHOLDER.finditer(template):
        before = template[position : placeholder.start()]
        inside ^= len(re.findall(r'(?<!\\)(?:\\\\)*"', before)) % 2 == 1
        position = placeholder.end()
        yield before
        value = value_of(placeholder[1])
        if value is not MISSING:
            text = json.dumps(value)
            yield text if not inside else text[1:-1] if isinstance(value, str) else json.dumps(text)[1:-1]
    yield template[position:]


def _parsed(text: str) -> str:
    """What a filled template stands for: JSON as it is, and a string, or lines of one string each, without quotes."""
    try:
        value = json.loads(text)
    except ValueError as error:
        try:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            lines = []
        if not lines or not all(isinstance(line, str) for line in lines):
            raise NoInput(f"The input template gives no JSON ({error}): {text}") from None
        return "\n".join(lines)
    return value if isinstance(value, str) else text


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
