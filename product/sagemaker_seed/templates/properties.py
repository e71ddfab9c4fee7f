"""Checks, converts and compares the properties of resources, also while some of the values are unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schemas import UnknownType, resource_schema
from .values import UNKNOWN, is_known

Properties = Mapping[str, Any]
MISSING = "#: required key"


def check(kind: str, region: str, properties: Properties) -> list[str]:
    """What of ``properties`` the type does not allow, in CloudFormation's words; what is unknown is not judged."""
    schema = resource_schema(kind, region)
    known = {name: value for name, value in properties.items() if is_known(value)}
    _, problems = schema.fitted(known)
    if len(known) < len(properties):
        problems = [problem for problem in problems if not problem.startswith(MISSING)]
        problems += schema.misnamed(dict(properties))
    return list(dict.fromkeys(problems))


def typed(kind: str, region: str, properties: Properties) -> dict[str, Any]:
    """``properties`` with texts that stand for numbers and booleans turned into those, as the schema asks, and back.

    CloudFormation does the same: what a parameter gives is text, whatever it is for.
    """
    return resource_schema(kind, region).fitted(properties)[0]


def changed(old: Properties, new: Properties) -> list[str]:
    """Names of the top-level properties that differ; what is unknown counts as different."""
    names = [*old, *(name for name in new if name not in old)]
    return [name for name in names if name not in old or name not in new or not _same(old[name], new[name])]


def _same(old: Any, new: Any) -> bool:
    return is_known(new) and bool(old == new)


def create_only(kind: str, region: str, old: Properties, new: Properties) -> list[str]:
    """Names of the top-level properties in which something differs that only a new resource can have."""
    pointers = resource_schema(kind, region).raw.get("createOnlyProperties", ())
    paths = [pointer.removeprefix("/properties/").split("/") for pointer in pointers]
    return list(dict.fromkeys(path[0] for path in paths if not _same(_at(old, path), _at(new, path))))


def _at(value: Any, path: list[str]) -> Any:
    for number, part in enumerate(path):
        if part == "*" and isinstance(value, list):
            return [_at(item, path[number + 1 :]) for item in value]
        if not isinstance(value, Mapping):
            return value if value is UNKNOWN else None
        value = value.get(part)
    return value


def identity(kind: str, region: str) -> list[str]:
    """Names of the properties that say which resource it is, where a template can say so; else empty."""
    raw = resource_schema(kind, region).raw
    pointers = raw.get("primaryIdentifier", ())
    if set(pointers) & set(raw.get("readOnlyProperties", ())):
        return []
    return [pointer.rpartition("/")[2] for pointer in pointers]


def has_attribute(kind: str, region: str, attribute: str) -> bool:
    """Whether the schema knows what ``Fn::GetAtt`` asks for; whether it is told is the provider's to say."""
    value: Any = resource_schema(kind, region).raw
    for part in attribute.split("."):
        while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            value = resource_schema(kind, region).raw["definitions"][value["$ref"].rpartition("/")[2]]
        if part not in value.get("properties", {}):
            return False
        value = value["properties"][part]
    return True


def is_supported(kind: str, region: str) -> bool:
    """Whether AWS has the type in this region."""
    try:
        resource_schema(kind, region)
    except UnknownType:
        return False
    return True
