"""Checks a request's parameters against botocore's model of the operation. What they mean is not looked at."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from ..wire import AwsError

UNICODE_CLASS = re.compile(r"\\p\{([LMNPSZ])\}")
# A private-use character stands for each category that a pattern may ask about.
PLACEHOLDERS = {"L": "\ue000", "Z": "\ue001", "N": "\ue002", "M": "\ue003", "P": "\ue004", "S": "\ue005"}
# Some of AWS's patterns end so, which means nothing in any dialect.
MISWRITTEN = re.compile(r"\$\{\d+,\d+\}$")


def check(parameters: dict[str, Any], shape: Any) -> None:
    """Refuses parameters that the model of the operation's input does not allow.

    Raises:
        AwsError: ``ValidationException``, with every constraint that is broken.
    """
    broken = list(_problems(parameters, shape, ""))
    if broken:
        errors = "error" if len(broken) == 1 else "errors"
        raise AwsError("ValidationException", f"{len(broken)} validation {errors} detected: {'; '.join(broken)}")


def _problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    yield from CHECKS.get(shape.type_name, _scalar)(value, shape, path)


def _structure(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _broken(value, path, "Member must be a structure")
        return
    for name in shape.required_members:
        if value.get(name) is None:
            yield _broken(None, _join(path, name), "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _problems(value[name], member, _join(path, name))


def _list(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _broken(value, path, "Member must be a list")
        return
    yield from _size(value, shape, path, "length")
    for number, item in enumerate(value, 1):
        yield from _problems(item, shape.member, f"{path}.{number}.member")


def _map(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _broken(value, path, "Member must be a map")
        return
    yield from _size(value, shape, path, "length")
    for key, item in value.items():
        yield from _problems(key, shape.key, f"{path}.key")
        yield from _problems(item, shape.value, f"{path}.{key}.value")


def _string(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _broken(value, path, "Member must be a string")
        return
    yield from _size(value, shape, path, "length")
    if shape.enum and value not in shape.enum:
        yield _broken(value, path, f"Member must satisfy enum value set: {sorted(shape.enum)}")
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern)(value):
        yield _broken(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _integer(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield _broken(value, path, "Member must be an integer")
        return
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield _broken(value, path, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield _broken(value, path, f"Member must have value less than or equal to {high}")


def _boolean(value: Any, _: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _broken(value, path, "Member must be a boolean")


def _number(value: Any, _: Any, path: str) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield _broken(value, path, "Member must be a number")


def _moment(value: Any, _: Any, path: str) -> Iterator[str]:
    if not isinstance(value, datetime | int | float):
        yield _broken(value, path, "Member must be a timestamp")


def _scalar(value: Any, shape: Any, path: str) -> Iterator[str]:
    raise NotImplementedError(f"no check for a {shape.type_name} ({path})")


CHECKS: dict[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "boolean": _boolean,
    "double": _number,
    "float": _number,
    "integer": _integer,
    "list": _list,
    "long": _integer,
    "map": _map,
    "string": _string,
    "structure": _structure,
    "timestamp": _moment,
}


def _size(value: Any, shape: Any, path: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        yield _broken(value, path, f"Member must have {what} greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _broken(value, path, f"Member must have {what} less than or equal to {high}")


def _join(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _broken(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else repr(value) if len(repr(value)) < 80 else f"of length {len(value)}"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


@cache
def _compiled(pattern: str) -> Callable[[str], bool]:
    r"""A test of a whole string; ``\p{L}`` and the like, which Python's ``re`` lacks, go through placeholders."""
    pattern = MISWRITTEN.sub("", pattern)
    expression = re.compile(UNICODE_CLASS.sub(lambda m: PLACEHOLDERS[m[1]], pattern))
    classes = frozenset(UNICODE_CLASS.findall(pattern))
    if not classes:
        return lambda text: expression.fullmatch(text) is not None
    return lambda text: expression.fullmatch("".join(_placeheld(c, classes) for c in text)) is not None


def _placeheld(character: str, classes: frozenset[str]) -> str:
    category = unicodedata.category(character)[0]
    return PLACEHOLDERS[category] if category in classes else character
