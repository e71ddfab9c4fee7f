"""Evaluates what a template's values say: references, mappings and functions. Decides nothing about resources.

What a resource does not tell before it is made is ``UNKNOWN``, and so is whatever is made of that.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .document import FUNCTIONS, PLACEHOLDER, sub_parts
from .failure import TemplateError


class _Unknown:
    """The one value that is not known before a resource is made."""

    def __repr__(self) -> str:
        return "{{changeSet:KNOWN_AFTER_APPLY}}"

    def __deepcopy__(self, _: Any) -> _Unknown:
        return self


UNKNOWN = _Unknown()
# What ``AWS::NoValue`` is: whatever holds it is without that member.
NO_VALUE = object()
MISPLACED = "{function} is not allowed here: it stands in the Conditions block, and in Fn::If by the condition's name"


@dataclass(frozen=True)
class Scope:
    """Where names lead.

    Attributes:
        given: parameters and pseudo parameters, by name; a list is a list of texts.
        mappings: the template's.
        condition: whether the condition of this name holds.
        reference: what ``Ref`` gives for a resource.
        attribute: what ``Fn::GetAtt`` gives for a resource and the name of an attribute.
        imported: the value of an export.
        zones: the availability zones of a region.
    """

    given: Mapping[str, Any]
    mappings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    condition: Callable[[str], bool]
    reference: Callable[[str], Any]
    attribute: Callable[[str, str], Any]
    imported: Callable[[str], Any]
    zones: Callable[[str], list[str]]


def resolve(value: Any, scope: Scope) -> Any:
    """``value`` with every function in it evaluated.

    Raises:
        TemplateError: a function that is used wrongly, or a name that leads nowhere.
    """
    if isinstance(value, list):
        return [item for item in (resolve(v, scope) for v in value) if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (name, argument), *_ = value.items()
        if name in EVALUATED:
            return EVALUATED[name](argument, scope)
    if strange := [key for key in value if key.startswith("Fn::")]:
        known = strange[0] in FUNCTIONS
        why = MISPLACED.format(function=strange[0]) if known else f"there is no function {strange[0]} here"
        raise TemplateError(f"Template error: {why}")
    return {key: item for key, v in value.items() if (item := resolve(v, scope)) is not NO_VALUE}


def is_known(value: Any) -> bool:
    """Whether nothing in ``value`` is ``UNKNOWN``."""
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    if isinstance(value, list):
        return all(map(is_known, value))
    return value is not UNKNOWN


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it into a text.

    Raises:
        TemplateError: it is an object or a list.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    kind = "a list" if isinstance(value, list) else "nothing" if value is NO_VALUE else "an object"
    raise TemplateError(
        f"Template error: a text is needed where {kind} stands: {value if value is not NO_VALUE else ''}"
    )


def reference(name: str, scope: Scope) -> Any:
    """What ``Ref`` gives for a name of any kind."""
    if name == "AWS::NoValue":
        return NO_VALUE
    return scope.given[name] if name in scope.given else scope.reference(name)


def _ref(argument: Any, scope: Scope) -> Any:
    return reference(argument, scope)


def _get_att(argument: Any, scope: Scope) -> Any:
    resource, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
    attribute = resolve(attribute, scope)
    return UNKNOWN if attribute is UNKNOWN else scope.attribute(resource, as_text(attribute))


def _sub(argument: Any, scope: Scope) -> Any:
    text, own = sub_parts(argument)
    variables = {name: resolve(value, scope) for name, value in own.items()}
    parts: list[str] = []
    end, known = 0, True
    for found in PLACEHOLDER.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found["literal"]:
            parts.append(f"${{{found['name']}}}")
            continue
        value = _substitute(found["name"].strip(), variables, scope)
        known = known and value is not UNKNOWN
        parts.append("" if value is UNKNOWN else as_text(value))
    return "".join([*parts, text[end:]]) if known else UNKNOWN


def _substitute(name: str, variables: Mapping[str, Any], scope: Scope) -> Any:
    if name in variables:
        return variables[name]
    resource, dot, attribute = name.partition(".")
    return scope.attribute(resource, attribute) if dot else reference(name, scope)


def _arguments(name: str, argument: Any, count: int) -> list[Any]:
    if not isinstance(argument, list) or len(argument) != count:
        raise TemplateError(f"Template error: every {name} object requires a list of {count} parameters: {argument}")
    return argument


def _join(argument: Any, scope: Scope) -> Any:
    delimiter, items = _arguments("Fn::Join", argument, 2)
    values = resolve(items, scope)
    if values is not UNKNOWN and not (isinstance(delimiter, str) and isinstance(values, list)):
        raise TemplateError(
            "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of "
            "strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
        )
    return delimiter.join(as_text(v) for v in values) if isinstance(values, list) and is_known(values) else UNKNOWN


def _select(argument: Any, scope: Scope) -> Any:
    index, items = (resolve(part, scope) for part in _arguments("Fn::Select", argument, 2))
    if index is UNKNOWN or items is UNKNOWN:
        return UNKNOWN
    if not isinstance(items, list) or not as_text(index).isdigit():
        raise TemplateError(
            "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
        )
    if int(index) >= len(items):
        raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return items[int(index)]


def _split(argument: Any, scope: Scope) -> Any:
    delimiter, text = (resolve(part, scope) for part in _arguments("Fn::Split", argument, 2))
    if text is UNKNOWN:
        return UNKNOWN
    if not isinstance(delimiter, str) or not delimiter:
        raise TemplateError("Template error: every Fn::Split object requires a delimiter that is a string.")
    return as_text(text).split(delimiter)


def _find_in_map(argument: Any, scope: Scope) -> Any:
    keys = [resolve(part, scope) for part in _arguments("Fn::FindInMap", argument, 3)]
    if UNKNOWN in keys:
        raise TemplateError("Template error: Fn::FindInMap cannot look up what a resource says.")
    name, first, second = map(as_text, keys)
    if name not in scope.mappings:
        raise TemplateError(
            f"Template error: Mapping named '{name}' is not present in the 'Mappings' section of template."
        )
    row = scope.mappings[name].get(first, {})
    if second not in row:
        raise TemplateError(f"Template error: Unable to get mapping for {name}::{first}::{second}")
    return row[second]


def _if(argument: Any, scope: Scope) -> Any:
    name, then, otherwise = _arguments("Fn::If", argument, 3)
    return resolve(then if scope.condition(as_text(name)) else otherwise, scope)


def _base64(argument: Any, scope: Scope) -> Any:
    value = resolve(argument, scope)
    return UNKNOWN if value is UNKNOWN else base64.b64encode(as_text(value).encode()).decode()


def _import(argument: Any, scope: Scope) -> Any:
    name = resolve(argument, scope)
    if name is UNKNOWN:
        raise TemplateError("Template error: the attribute in Fn::ImportValue must not depend on any resources.")
    return scope.imported(as_text(name))


def _zones(argument: Any, scope: Scope) -> Any:
    return scope.zones(as_text(resolve(argument, scope)) or str(scope.given["AWS::Region"]))


def _cidr(argument: Any, scope: Scope) -> Any:
    parts = [resolve(part, scope) for part in argument] if isinstance(argument, list) else []
    if not is_known(parts):
        return UNKNOWN
    try:
        block, count, bits = as_text(parts[0]), int(parts[1]), int(parts[2]) if len(parts) > 2 else 8
        network = ipaddress.ip_network(block)
        subnets = network.subnets(new_prefix=network.max_prefixlen - bits)
        return [str(next(subnets)) for _ in range(count)]
    except (ValueError, IndexError, StopIteration) as error:
        raise TemplateError(f"Template error: Fn::Cidr cannot divide {parts}: {error}") from None


EVALUATED: dict[str, Callable[[Any, Scope], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::FindInMap": _find_in_map,
    "Fn::If": _if,
    "Fn::Base64": _base64,
    "Fn::ImportValue": _import,
    "Fn::GetAZs": _zones,
    "Fn::Cidr": _cidr,
}
