"""Decodes a template and checks its structure: sections, attributes, and names that lead nowhere. Evaluates nothing.

The short forms of functions (``!Ref``) come out as the long ones, so that nobody after this knows YAML from JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from .failure import TemplateError

SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Rules",
    "Resources",
    "Outputs",
}
REFUSED_SECTIONS = {
    "Transform": "macros and transforms (SAM, Include, LanguageExtensions)",
    "Hooks": "CodeDeploy hooks",
}
RESOURCE_ATTRIBUTES = {
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Metadata",
    "Description",
}
REFUSED_ATTRIBUTES = {"CreationPolicy", "UpdatePolicy"}
POLICIES = {
    "DeletionPolicy": {"Delete", "Retain", "RetainExceptOnCreate"},
    "UpdateReplacePolicy": {"Delete", "Retain"},
}
OUTPUT_ATTRIBUTES = {"Description", "Value", "Export", "Condition"}
FUNCTIONS = {
    f"Fn::{name}"
    for name in ("Base64 Cidr FindInMap GetAtt GetAZs If ImportValue Join Select Split Sub And Or Not Equals").split()
}
RULE_FUNCTIONS = {"Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn"}
SHORT_FORMS = {name.removeprefix("Fn::"): name for name in FUNCTIONS | RULE_FUNCTIONS} | {
    "Ref": "Ref",
    "Condition": "Condition",
}
PSEUDO_PARAMETERS = {
    f"AWS::{name}"
    for name in ("AccountId NoValue NotificationARNs Partition Region StackId StackName URLSuffix").split()
}
LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")
# ${Name}, ${Name.Attribute}; ${!Literal} stays as it is, less the exclamation mark.
PLACEHOLDER = re.compile(r"\$\{(?P<literal>!)?(?P<name>[^}]*)\}")
ALIAS = re.compile(r"(?:^|[\s,\[{])\*[^\s,\]}]", re.MULTILINE)  # what may be one; looking for sure takes a second pass
MAX_DESCRIPTION = 1024
TEMPLATES = 16
"""So many are kept decoded: YAML takes ten times as long as a copy, and every stage and every step asks again."""


@dataclass(frozen=True)
class Document:
    """A template whose structure is sound. Each section is a dict, empty where the template has none."""

    text: str
    description: str | None
    metadata: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    mappings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    conditions: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]

    @property
    def types(self) -> list[str]:
        """The types of its resources, each once, in their order in the template."""
        return list(dict.fromkeys(resource["Type"] for resource in self.resources.values()))


def parse(text: str, known_types: Collection[str] | None = None) -> Document:
    """Decodes a template.

    Args:
        text: YAML or JSON.
        known_types: the types of resources that can be made here; None for any.

    Raises:
        TemplateError: what is wrong with it, in CloudFormation's words where it has some.
    """
    content = _decoded(text)
    for section, what in REFUSED_SECTIONS.items():
        if section in content:
            raise TemplateError(f"Template format error: {section} is not supported here: {what}.")
    if strange := [key for key in content if key not in SECTIONS]:
        raise TemplateError(f"Invalid template property or properties [{', '.join(strange)}]")
    _check_head(content)
    sections = {name: _section(content, name) for name in SECTIONS - {"AWSTemplateFormatVersion", "Description"}}
    if not sections["Resources"]:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    document = Document(
        text=text, description=content.get("Description"), **{name.lower(): value for name, value in sections.items()}
    )
    for check in (
        _check_parameters,
        _check_mappings,
        _check_resources,
        _check_outputs,
        _check_names,
        _check_conditions,
    ):
        check(document)
    if "{{resolve:" in text:
        raise TemplateError(
            "Template format error: dynamic references ({{resolve:...}}) to Parameter Store and Secrets Manager are "
            "not supported here."
        )
    if known_types is not None and (unknown := sorted(set(document.types) - set(known_types))):
        raise TemplateError(
            "Template format error: Unrecognized resource types (the embedded AWS does not have them): "
            f"[{', '.join(unknown)}]"
        )
    return document


def _decoded(text: str) -> dict[str, Any]:
    content = _from_json(text) if text.lstrip().startswith("{") else deepcopy(_from_yaml(text))
    if not isinstance(content, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return content


def _from_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        raise TemplateError(f"Template format error: JSON not well-formed. ({error})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands twice in one object")
    return content


@lru_cache(maxsize=TEMPLATES)
def _from_yaml(text: str) -> Any:
    import yaml

    try:
        events = yaml.parse(text, Loader=_loader()) if ALIAS.search(text) else ()
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise TemplateError("Template format error: YAML aliases are not allowed in CloudFormation templates")
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise TemplateError(f"Template format error: YAML not well-formed. ({' '.join(str(error).split())})") from None


@cache
def _loader() -> Any:
    """A safe loader of YAML as CloudFormation reads it: short functions, keys and dates as text, no key twice."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_scalar(key_node))
            if key in content:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            content[key] = loader.construct_object(value_node, deep=True)
        return content

    def plain(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return mapping(loader, node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)

    def tagged(loader: Any, name: str, node: Any) -> Any:
        if name not in SHORT_FORMS:
            raise yaml.constructor.ConstructorError(None, None, f"there is no function !{name} here", node.start_mark)
        value = plain(loader, node)
        if name == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {SHORT_FORMS[name]: value}

    Loader.add_multi_constructor("!", tagged)
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    return Loader


def _check_head(content: Mapping[str, Any]) -> None:
    if content.get("AWSTemplateFormatVersion", "2010-09-09") != "2010-09-09":
        raise TemplateError("Template format error: unsupported value for AWSTemplateFormatVersion.")
    description = content.get("Description", "")
    if not isinstance(description, str):
        raise TemplateError("Template format error: Description must be a string.")
    if len(description.encode()) > MAX_DESCRIPTION:
        raise TemplateError("Template format error: 'Description' length is greater than 1024.")


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise TemplateError(f"Template format error: {name} must be an object.")
    if name in {"Parameters", "Resources", "Outputs", "Rules"}:
        for key, member in section.items():
            if not isinstance(member, dict):
                raise TemplateError(f"Template format error: Every {name} object must contain an object: {key}.")
            if not LOGICAL_ID.fullmatch(key):
                raise TemplateError(f"Template format error: {name.removesuffix('s')} name {key} is non alphanumeric.")
    return section


def _check_parameters(document: Document) -> None:
    untyped = [name for name, parameter in document.parameters.items() if not isinstance(parameter.get("Type"), str)]
    if untyped:
        raise TemplateError(
            f"Template format error: Every Parameters object must contain a Type member: {', '.join(untyped)}"
        )
    if both := sorted(set(document.parameters) & set(document.resources)):
        raise TemplateError(f"Template format error: Duplicate names in parameters and resources: {both}")


def _check_mappings(document: Document) -> None:
    for name, mapping in document.mappings.items():
        if not isinstance(mapping, dict) or not all(isinstance(row, dict) for row in mapping.values()):
            raise TemplateError(f"Template format error: Every Mappings attribute must be a map of maps: {name}")


def _check_resources(document: Document) -> None:
    for name, resource in document.resources.items():
        if not isinstance(resource.get("Type"), str):
            raise TemplateError(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type"
            )
        if refused := sorted(REFUSED_ATTRIBUTES & set(resource)):
            raise TemplateError(f"Template format error: not supported here: {', '.join(refused)} (resource {name}).")
        if strange := sorted(set(resource) - RESOURCE_ATTRIBUTES):
            raise TemplateError(f"Invalid template resource property '{strange[0]}' (resource {name})")
        properties = resource.get("Properties", {})
        if not isinstance(properties, dict) or any(key == "Ref" or key.startswith("Fn::") for key in properties):
            raise TemplateError(f"Template format error: [/Resources/{name}/Properties] must be an object.")
        for attribute, allowed in POLICIES.items():
            value = resource.get(attribute, "Delete")
            if not isinstance(value, str) or value not in allowed:
                what = (
                    "no Snapshot, which is not supported here" if value == "Snapshot" else f"one of {sorted(allowed)}"
                )
                raise TemplateError(
                    f"Template format error: Unrecognized {attribute} {value} for resource {name}: {what}."
                )


def _check_outputs(document: Document) -> None:
    for name, output in document.outputs.items():
        if output.get("Value") is None:
            raise TemplateError(f"Template format error: Every Outputs member must contain a Value object: {name}")
        if strange := sorted(set(output) - OUTPUT_ATTRIBUTES):
            raise TemplateError(f"Invalid template output property '{strange[0]}' (output {name})")
        export = output.get("Export", {"Name": ""})
        if not isinstance(export, dict) or set(export) != {"Name"}:
            raise TemplateError(f"Template format error: the Export of output {name} must have a Name, and only that.")


def dependencies(resource: Mapping[str, Any]) -> list[str]:
    """What a resource's ``DependsOn`` names."""
    named = resource.get("DependsOn", [])
    return named if isinstance(named, list) else [named]


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Every name that ``value`` refers to, with the attribute's name where it is ``Fn::GetAtt``'s or one in a text.

    Raises:
        TemplateError: a reference that is none.
    """
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if len(value) == 1:
            (function, argument), *_ = value.items()
            if function in DIRECT:
                yield from DIRECT[function](argument)
                return
        for item in value.values():
            yield from references(item)


def _ref(argument: Any) -> Iterator[tuple[str, str | None]]:
    if not isinstance(argument, str):
        raise TemplateError("Template format error: every Ref object must have a single String value.")
    yield argument, None


def _get_att(argument: Any) -> Iterator[tuple[str, str | None]]:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):
        raise TemplateError(
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the "
            f"resource attribute: {argument}"
        )
    yield parts[0], parts[1] if isinstance(parts[1], str) else None
    yield from references(parts[1])


def _sub(argument: Any) -> Iterator[tuple[str, str | None]]:
    text, own = sub_parts(argument)
    for found in PLACEHOLDER.finditer(text):
        name = found["name"].strip()
        if not found["literal"] and name not in own:
            resource, _, attribute = name.partition(".")
            yield resource, attribute or None
    yield from references(list(own.values()))


DIRECT = {"Ref": _ref, "Fn::GetAtt": _get_att, "Fn::Sub": _sub}


def sub_parts(argument: Any) -> tuple[str, Mapping[str, Any]]:
    """The text of an ``Fn::Sub`` and its own variables.

    Raises:
        TemplateError: it is not of one of the two forms.
    """
    text, own = (argument, {}) if isinstance(argument, str) else argument if _is_pair(argument) else (None, None)
    if not isinstance(text, str) or not isinstance(own, dict):
        raise TemplateError(
            "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
            "string as first argument, and an optional second argument to specify a mapping of values to replace in "
            "the string"
        )
    return text, own


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _check_names(document: Document) -> None:
    """Whether each reference leads somewhere: from conditions and rules to parameters alone."""
    given = set(document.parameters) | PSEUDO_PARAMETERS
    everything = given | set(document.resources)
    for block, content, known in (
        ("Resources", [r.get("Properties", {}) for r in document.resources.values()], everything),
        ("Outputs", list(document.outputs.values()), everything),
        ("Conditions", list(document.conditions.values()), given),
        ("Rules", list(document.rules.values()), given),
    ):
        unknown = {name for name, _ in references(content) if name not in known}
        if block == "Resources":
            on = [name for resource in document.resources.values() for name in dependencies(resource)]
            unknown |= {str(name) for name in on if name not in document.resources}
        if unknown:
            raise TemplateError(
                f"Template format error: Unresolved resource dependencies [{', '.join(sorted(unknown))}] in the "
                f"{block} block of the template"
            )


def _check_conditions(document: Document) -> None:
    for block, named in (
        ("Conditions", _named_conditions(document.conditions, nested=True)),
        ("Resources", _used_conditions(document.resources, "Properties")),
        ("Outputs", _used_conditions(document.outputs, "Value")),
    ):
        if unknown := sorted(set(named) - set(document.conditions)):
            raise TemplateError(
                f"Template format error: Unresolved condition dependency {', '.join(unknown)} in the {block} block of "
                "the template"
            )


def _used_conditions(members: Mapping[str, Mapping[str, Any]], inside: str) -> Iterator[str]:
    for member in members.values():
        if "Condition" in member:
            yield str(member["Condition"])
        yield from _named_conditions(member.get(inside, {}), nested=False)


def _named_conditions(value: Any, *, nested: bool) -> Iterator[str]:
    """The conditions that ``Fn::If`` asks, and (``nested``) those that a condition asks by ``{"Condition": name}``."""
    if isinstance(value, list):
        for item in value:
            yield from _named_conditions(item, nested=nested)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Fn::If" and isinstance(item, list) and item and isinstance(item[0], str):
                yield item[0]
            if nested and key == "Condition" and isinstance(item, str) and len(value) == 1:
                yield item
            yield from _named_conditions(item, nested=nested)
