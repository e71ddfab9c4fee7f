"""What CloudFormation's resource schemas say of a type: its properties, which replace, and whether given ones fit.

The schemas are those that cfn-lint carries, read from its files when a type is first met; cfn-lint itself, which takes
half a second to import, is not. Types are AWS's own: whether anybody here can make one is not known here.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FALLBACK_REGION = "us-east-1"
INTRINSIC = re.compile(r"Ref|Fn::\w+|Condition")
# By the schema's name of a type: what AWS calls it in a message.
WORDS = {
    "array": "JSONArray",
    "boolean": "Boolean",
    "integer": "Integer",
    "null": "Null",
    "number": "Number",
    "object": "JSONObject",
    "string": "String",
}
INTEGER = re.compile(r"[+-]?\d+")


class UnknownType(Exception):
    """CloudFormation has no such resource type in this region; the message names it."""


@dataclass(frozen=True)
class ResourceSchema:
    """One resource type; ``raw`` is its schema as the registry has it."""

    kind: str
    raw: Mapping[str, Any]

    @cached_property
    def properties(self) -> frozenset[str]:
        """Names of the properties, at the top level, that a template may give."""
        return frozenset(self.raw["properties"]) - self._top_level("readOnlyProperties")

    @cached_property
    def create_only(self) -> frozenset[str]:
        """Names of the properties whose change makes a new resource."""
        return self._top_level("createOnlyProperties")

    @cached_property
    def permissions(self) -> Mapping[str, frozenset[str]]:
        """By handler (``create``, ``read``, ``update``, ``delete``): the IAM actions that AWS's own needs."""
        handlers = self.raw.get("handlers", {})
        return {name: frozenset(handler.get("permissions", ())) for name, handler in handlers.items()}

    def _top_level(self, key: str) -> frozenset[str]:
        paths = (pointer.split("/")[2:] for pointer in self.raw.get(key, ()))
        return frozenset(path[0] for path in paths if len(path) == 1)

    def misnamed(self, properties: Any) -> list[str]:
        """What is wrong with the names in properties whose intrinsic functions are not evaluated yet."""
        return list(self._misnamed(properties, self.raw, "#"))

    def fitted(self, properties: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Evaluated properties with their scalars in the schema's types, and everything that does not fit.

        CloudFormation takes ``"30"`` for a number, ``"true"`` for a boolean and ``30`` for a string.
        """
        problems: list[str] = []
        fitted = self._fit(properties, self.raw, "#", problems)
        given = self._top_level("readOnlyProperties") & set(properties)
        problems += [f"#/{name}: read-only properties are not permitted" for name in sorted(given)]
        return fitted, problems

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while isinstance(schema.get("$ref"), str) and schema["$ref"].startswith("#/"):
            found: Any = self.raw
            for part in schema["$ref"].split("/")[1:]:
                found = found[part]
            schema = found
        return schema

    def _misnamed(self, value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
        schema = self._resolved(schema)
        if isinstance(value, list) and isinstance(schema.get("items"), dict):
            for number, item in enumerate(value):
                yield from self._misnamed(item, schema["items"], f"{path}/{number}")
        if not isinstance(value, Mapping) or _is_intrinsic(value):
            return
        known = schema.get("properties", {})
        yield from _extraneous(value, schema, path)
        if not any(key.startswith("Fn::") for key in value):
            yield from (f"{path}: required key [{n}] not found" for n in schema.get("required", ()) if n not in value)
        for name, item in value.items():
            if name in known:
                yield from self._misnamed(item, known[name], f"{path}/{name}")

    def _fit(self, value: Any, schema: Mapping[str, Any], path: str, problems: list[str]) -> Any:
        schema = self._resolved(schema)
        types = _listed(schema.get("type", ()))
        value = _coerced(value, types)
        if types and not any(_is_of(value, t) for t in types):
            wanted = ", ".join(WORDS[t] for t in types)
            problems.append(f"{path}: expected type: {wanted}, found: {_word(value)}")
            return value
        problems += [f"{path}: {problem}" for name, check in CHECKS.items() for problem in check(value, schema, name)]
        if isinstance(value, Mapping):
            value = self._fit_object(value, schema, path, problems)
        elif isinstance(value, list) and isinstance(schema.get("items"), dict):
            value = [self._fit(item, schema["items"], f"{path}/{n}", problems) for n, item in enumerate(value)]
        for branch in schema.get("allOf", ()):
            value = self._fit(value, branch, path, problems)
        for name in ("anyOf", "oneOf"):
            if name in schema:
                value = self._fit_one(value, schema[name], path, problems)
        return value

    def _fit_object(
        self, value: Mapping[str, Any], schema: Mapping[str, Any], path: str, problems: list[str]
    ) -> dict[str, Any]:
        known = schema.get("properties", {})
        problems += _extraneous(value, schema, path)
        problems += [f"{path}: required key [{n}] not found" for n in schema.get("required", ()) if n not in value]
        fitted = {}
        for name, item in value.items():
            of_pattern = (s for pattern, s in schema.get("patternProperties", {}).items() if _search(pattern, name))
            member = known[name] if name in known else next(of_pattern, {})
            fitted[name] = self._fit(item, member, f"{path}/{name}", problems)
        return fitted

    def _fit_one(self, value: Any, branches: Iterable[Mapping[str, Any]], path: str, problems: list[str]) -> Any:
        """The value as the first branch has it that it fits; that none of two ``oneOf`` also fits is for the API."""
        found: list[str] = []
        for branch in branches:
            tried: list[str] = []
            fitted = self._fit(value, branch, path, tried)
            if not tried:
                return fitted
            found = found or tried
        problems += found
        return value


def resource_schema(kind: str, region: str) -> ResourceSchema:
    """The schema of a resource type in a region.

    Raises:
        UnknownType: CloudFormation has no such type there.
    """
    digest = _types(region).get(kind)
    if digest is None:
        raise UnknownType(f"Unrecognized resource type: {kind}")
    return _read(kind, digest)


def replacing(kind: str, region: str) -> frozenset[str]:
    """Names of the properties of a type whose change makes a new resource."""
    return resource_schema(kind, region).create_only


@cache
def data_folder() -> Path:
    """The folder of the schemas that cfn-lint carries.

    Raises:
        RuntimeError: cfn-lint is not installed.
    """
    found = importlib.util.find_spec("cfnlint")
    folder = Path(found.origin).parent / "data" / "schemas" if found is not None and found.origin else None
    if folder is None or not (folder / "providers" / f"{FALLBACK_REGION}.json").is_file():
        raise RuntimeError("No resource schemas of CloudFormation are installed: pip install 'sagemaker-seed[check]'")
    return folder


@cache
def _types(region: str) -> dict[str, str]:
    """Resource type -> digest that names the file of its schema; a region without a list of its own has us-east-1's."""
    folder = data_folder() / "providers"
    own = folder / f"{region}.json"
    content: dict[str, str] = json.loads((own if own.is_file() else folder / f"{FALLBACK_REGION}.json").read_text())
    return content


@cache
def _read(kind: str, digest: str) -> ResourceSchema:
    return ResourceSchema(kind, json.loads((data_folder() / "resources" / f"{digest}.json").read_text()))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and INTRINSIC.fullmatch(next(iter(value))) is not None


def _extraneous(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if schema.get("additionalProperties", True) is not False:
        return
    patterns = schema.get("patternProperties", ())
    for name in value:
        if name not in schema.get("properties", {}) and not any(_search(pattern, name) for pattern in patterns):
            yield f"{path}: extraneous key [{name}] is not permitted"


def _to_integer(value: Any) -> Any:
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _to_number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return int(value) if INTEGER.fullmatch(value) else float(value)
    except ValueError:
        return value


def _to_boolean(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _to_string(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


COERCIONS: dict[str, Callable[[Any], Any]] = {
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "string": _to_string,
}
NATURAL: dict[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "string": lambda value: isinstance(value, str),
}


def _is_of(value: Any, kind: str) -> bool:
    return NATURAL[kind](value)


def _coerced(value: Any, types: list[str]) -> Any:
    if any(_is_of(value, t) for t in types):
        return value
    candidates = (COERCIONS[t](value) for t in types if t in COERCIONS)
    return next((c for c in candidates if any(_is_of(c, t) for t in types)), value)


def _word(value: Any) -> str:
    return next((WORDS[kind] for kind, test in NATURAL.items() if test(value)), type(value).__name__)


@cache
def _pattern(pattern: str) -> re.Pattern[str] | None:
    """None for what Python's ``re`` cannot read, such as a class of Unicode: that is for the service's API to judge."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _search(pattern: str, text: str) -> bool:
    compiled = _pattern(pattern)
    return compiled is None or compiled.search(text) is not None


def _failed(name: str) -> str:
    return f"failed validation constraint for keyword [{name}]"


def _enum(value: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
    if name in schema and value not in schema[name]:
        yield f"{value} is not a valid enum value"


def _const(value: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
    if name in schema and value != schema[name]:
        yield _failed(name)


def _matched(value: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
    if name in schema and isinstance(value, str) and not _search(schema[name], value):
        yield f"{_failed(name)}: {value!r} does not match {schema[name]}"


def _unique(value: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
    if schema.get(name) and isinstance(value, list):
        written = [json.dumps(item, sort_keys=True, default=str) for item in value]
        if len(set(written)) < len(written):
            yield "array items are not unique"


def _bound(
    measures: Callable[[Any], bool], measure: Callable[[Any], Any], fits: Callable[[Any, Any], bool]
) -> Callable[[Any, Mapping[str, Any], str], Iterator[str]]:
    def check(value: Any, schema: Mapping[str, Any], name: str) -> Iterator[str]:
        if name in schema and measures(value) and not fits(measure(value), schema[name]):
            yield f"{_failed(name)}: {schema[name]}"

    return check


def _at_least(value: Any, bound: Any) -> bool:
    return bool(value >= bound)


def _at_most(value: Any, bound: Any) -> bool:
    return bool(value <= bound)


def _itself(value: Any) -> Any:
    return value


CHECKS: dict[str, Callable[[Any, Mapping[str, Any], str], Iterator[str]]] = {
    "enum": _enum,
    "const": _const,
    "pattern": _matched,
    "uniqueItems": _unique,
    "minLength": _bound(NATURAL["string"], len, _at_least),
    "maxLength": _bound(NATURAL["string"], len, _at_most),
    "minItems": _bound(NATURAL["array"], len, _at_least),
    "maxItems": _bound(NATURAL["array"], len, _at_most),
    "minimum": _bound(NATURAL["number"], _itself, _at_least),
    "maximum": _bound(NATURAL["number"], _itself, _at_most),
}
