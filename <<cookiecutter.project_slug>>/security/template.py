"""A template as the rules see it: conditions decided, statements gathered, lines known. Judges nothing."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Key = str | int
Place = tuple[Key, ...]
# So many ways in which a resource's conditions can fall out are looked at one by one. Of more, those in which
# one parameter differs from what all others are: every condition falls out both ways, not with every other.
MOST_CASES = 128
_ABSENT = object()
# What a parameter may be other than the values that conditions compare it with.
_OTHERS = ("(something)", "(something else)")


# Type of resource -> where its policy stands, and what kind of policy that is.
_POLICIES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("AWS::IAM::Role", ("AssumeRolePolicyDocument",), "Trust"),
    ("AWS::IAM::ManagedPolicy", ("PolicyDocument",), "Identity"),
    ("AWS::IAM::Policy", ("PolicyDocument",), "Identity"),
    ("AWS::IAM::RolePolicy", ("PolicyDocument",), "Identity"),
    ("AWS::S3::BucketPolicy", ("PolicyDocument",), "Shared"),
    ("AWS::KMS::Key", ("KeyPolicy",), "Shared"),
    ("AWS::SNS::TopicPolicy", ("PolicyDocument",), "Shared"),
    ("AWS::SQS::QueuePolicy", ("PolicyDocument",), "Shared"),
    ("AWS::SageMaker::ModelPackageGroup", ("ModelPackageGroupPolicy",), "Shared"),
    ("AWS::SecretsManager::ResourcePolicy", ("ResourcePolicy",), "Shared"),
)


class TemplateError(Exception):
    """The template cannot be read, or its conditions cannot be decided; the message is one line."""


@dataclass(frozen=True)
class Shape:
    """One way in which a resource can come out, and where each of its values stands in the template."""

    resource: Any
    origins: Mapping[Place, Place]


class Template:
    """A template with the lines that its values stand on.

    Args:
        body: the template as cfn-lint decodes it, whose nodes know their place.
        parameters: what it is deployed with, apart from defaults; of what has none, and of all parameters if
            this is None, every value counts that makes a difference.
    """

    def __init__(self, file: str, body: Any, parameters: Mapping[str, str] | None = None) -> None:
        self.file, self._body = file, body
        self._conditions: Mapping[str, Any] = body.get("Conditions") or {}
        self._parameters: Mapping[str, Any] = body.get("Parameters") or {}
        self._given = {} if parameters is None else {**self._defaults(), **parameters}
        self._domains = self._known_values()

    def section(self, name: str) -> Any:
        """Return a section that has no conditions in it, such as Parameters."""
        return self._body.get(name)

    def shapes(self) -> dict[str, list[Shape]]:
        """Return each resource in every shape that it can have; one that is never created has none."""
        return {str(name): self._shapes(str(name)) for name in self._body.get("Resources") or {}}

    def line(self, place: Place) -> int:
        """Return the line of a value, or of what is nearest around it."""
        node, line = self._body, 1
        for key in place:
            if isinstance(node, dict) and key in node:
                found = next(own for own in node if own == key)
                line, node = _line_of(found, line), node[key]
            elif isinstance(node, list) and isinstance(key, int) and key < len(node):
                node = node[key]
                line = _line_of(node, line)
            else:
                break
        return line

    def _defaults(self) -> dict[str, str]:
        return {
            str(name): str(parameter["Default"])
            for name, parameter in self._parameters.items()
            if isinstance(parameter, dict) and "Default" in parameter
        }

    def _shapes(self, name: str) -> list[Shape]:
        resource = self._body["Resources"][name]
        own = resource.get("Condition") if isinstance(resource, dict) else None
        used = sorted({*_conditions_in(resource), *([own] if isinstance(own, str) else [])})
        found: dict[str, Shape] = {}
        for truth in self._outcomes(used):
            if isinstance(own, str) and not truth[own]:
                continue
            origins: dict[Place, Place] = {}
            plain = self._plain(resource, ("Resources", name), ("Resources", name), truth, origins)
            found.setdefault(json.dumps(plain, sort_keys=True, default=str), Shape(plain, origins))
        return list(found.values())

    def _plain(
        self, node: Any, place: Place, where: Place, truth: Mapping[str, bool], origins: dict[Place, Place]
    ) -> Any:
        """Return a value without conditions; `where` is its place in what comes out."""
        if isinstance(node, dict) and len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Fn::If" and isinstance(argument, list) and len(argument) == 3:
                taken = 1 if truth[str(argument[0])] else 2
                return self._plain(argument[taken], (*place, "Fn::If", taken), where, truth, origins)
            if function == "Ref" or str(function).startswith("Fn::"):
                origins[where] = place
                return self._made(str(function), argument)
        origins[where] = place
        if isinstance(node, dict):
            pairs = (
                (str(key), self._plain(value, (*place, str(key)), (*where, str(key)), truth, origins))
                for key, value in node.items()
            )
            return {key: value for key, value in pairs if value is not _ABSENT}
        if isinstance(node, list):
            result: list[Any] = []
            for number, item in enumerate(node):
                value = self._plain(item, (*place, number), (*where, len(result)), truth, origins)
                if value is not _ABSENT:
                    result.append(value)
            return result
        return node

    def _made(self, function: str, argument: Any) -> Any:
        """Return what a function makes, with ${...} for what is not known before."""
        if function == "Ref" and argument == "AWS::NoValue":
            return _ABSENT
        if function == "Ref" and argument in self._given:
            return self._given[argument]
        if function == "Fn::Sub":
            return str(argument[0] if isinstance(argument, list) else argument)
        shown = argument if isinstance(argument, str) else json.dumps(argument, default=str)
        return "${" + f"{function} {shown}" + "}"

    # ------------------------------------------------------------------------------------------- conditions

    def _outcomes(self, names: list[str]) -> Iterator[dict[str, bool]]:
        """Yield how these conditions can fall out, each combination that can be once."""
        unknown = [name for name in names if name not in self._conditions]
        if unknown:
            raise TemplateError(f"condition {unknown[0]} is not declared in Conditions")
        free = sorted({key for name in names for key in self._unknowns(self._conditions[name])})
        seen = set()
        for chosen in _choices([self._domains[key] for key in free]):
            values = dict(zip(free, chosen, strict=True))
            outcome = tuple(self._holds(self._conditions[name], values) for name in names)
            if outcome not in seen:
                seen.add(outcome)
                yield dict(zip(names, outcome, strict=True))

    def _holds(self, condition: Any, values: Mapping[str, str]) -> bool:
        if isinstance(condition, dict) and len(condition) == 1:
            ((function, argument),) = condition.items()
            if function == "Condition" and argument in self._conditions:
                return self._holds(self._conditions[argument], values)
            if function == "Fn::Not":
                return not self._holds(argument[0], values)
            if function in {"Fn::And", "Fn::Or"}:
                decide = all if function == "Fn::And" else any
                return decide(self._holds(part, values) for part in argument)
            if function == "Fn::Equals":
                left, right = (self._text(operand, values) for operand in argument)
                return left == right
        raise TemplateError(f"a condition cannot be decided: {json.dumps(condition, default=str)[:80]}")

    def _text(self, operand: Any, values: Mapping[str, str]) -> str:
        known = self._literal(operand)
        return values[_key(operand)] if known is None else known

    def _literal(self, operand: Any) -> str | None:
        """Return an operand of Fn::Equals as CloudFormation compares it; None if it is not known here."""
        if not isinstance(operand, dict):
            return str(operand).lower() if isinstance(operand, bool) else str(operand)
        if "Ref" in operand:
            return self._given.get(operand["Ref"])
        if "Fn::Join" in operand:
            separator, parts = operand["Fn::Join"]
            if isinstance(parts, dict):
                given = self._literal(parts)
                return None if given is None else str(separator).join(given.split(","))
            texts = [self._literal(part) for part in parts]
            return None if None in texts else str(separator).join(str(text) for text in texts)
        return None

    def _unknowns(self, condition: Any) -> Iterator[str]:
        for pair in self._compared(condition):
            yield from (_key(operand) for operand in pair if self._literal(operand) is None)

    def _compared(self, condition: Any) -> Iterator[list[Any]]:
        """Yield the pairs that a condition compares."""
        if isinstance(condition, dict):
            for function, argument in condition.items():
                if function == "Fn::Equals" and isinstance(argument, list):
                    yield argument
                elif function == "Condition":
                    yield from self._compared(self._conditions.get(argument))
                else:
                    yield from self._compared(argument)
        elif isinstance(condition, list):
            for part in condition:
                yield from self._compared(part)

    def _known_values(self) -> dict[str, list[str]]:
        """Return what each unknown may be: as it is declared, else what it is compared with, and more.

        Unknowns that are compared with each other share their values, so that they may be equal.
        """
        groups: dict[str, set[str]] = {}
        literals: dict[str, set[str]] = {}
        for pair in (pair for condition in self._conditions.values() for pair in self._compared(condition)):
            unknown = [_key(operand) for operand in pair if self._literal(operand) is None]
            together = set().union(*(groups.get(key, {key}) for key in unknown))
            values = {text for operand in pair if (text := self._literal(operand)) is not None}
            for key in together:
                groups[key] = together
                literals.setdefault(key, set()).update(values)
        result = {}
        for key, together in groups.items():
            allowed = (self._parameters.get(key) or {}).get("AllowedValues")
            shared = sorted(set().union(*(literals.get(other, set()) for other in together)))
            # Two others only tell apart what is compared with each other.
            others = _OTHERS[: len(together)]
            result[key] = [str(value) for value in allowed] if allowed else [*shared, *others]
        return result


def _choices(domains: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """Yield what parameters may be together: every combination, or those that MOST_CASES speaks of."""
    if math.prod(map(len, domains)) <= MOST_CASES:
        yield from itertools.product(*domains)
        return
    for base in (tuple(domain[0] for domain in domains), tuple(domain[-1] for domain in domains)):
        yield base
        for position, domain in enumerate(domains):
            for value in domain:
                yield (*base[:position], value, *base[position + 1 :])


def decode(path: Path) -> tuple[Any, str]:
    """Return a template's nodes; or None, and why it cannot be read."""
    from cfnlint.decode import decode as decoded

    body, problems = decoded(str(path))
    if problems:
        return None, str(problems[0].message)
    return (body, "") if isinstance(body, dict) else (None, "the template is not an object")


def _key(operand: Any) -> str:
    """Return the name of an unknown: the parameter's, or what stands there."""
    return (
        str(operand["Ref"]) if set(operand) == {"Ref"} else json.dumps(operand, sort_keys=True, default=str)
    )


def _conditions_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Fn::If" and isinstance(value, list) and len(value) == 3:
                yield str(value[0])
            yield from _conditions_in(value)
    elif isinstance(node, list):
        for item in node:
            yield from _conditions_in(item)


def _line_of(node: Any, otherwise: int) -> int:
    mark = getattr(node, "start_mark", None)
    return otherwise if mark is None else int(mark.line) + 1


# ------------------------------------------------------------------------------------------------ documents


def documents(template: Template) -> Iterator[tuple[dict[str, Any], dict[Place, Place]]]:
    """Yield the template with each resource in the next of its shapes, and where the values come from."""
    shapes = {name: found for name, found in template.shapes().items() if found}
    for number in range(max((len(found) for found in shapes.values()), default=0)):
        document: dict[str, Any] = {
            name: section for name in ("Parameters", "Transform") if (section := template.section(name))
        }
        taken = {name: found[min(number, len(found) - 1)] for name, found in shapes.items()}
        origins = {where: place for shape in taken.values() for where, place in shape.origins.items()}
        document["Resources"] = {name: dict(shape.resource) for name, shape in taken.items()}
        document["Statements"] = _statements(taken, origins)
        for name, resource in document["Resources"].items():
            if resource.get("Type") == "AWS::S3::Bucket":
                resource["BucketPolicies"] = _about(name, document["Resources"])
        yield document, origins


def _about(bucket: str, resources: Mapping[str, Any]) -> list[str]:
    names = {"${Ref " + bucket + "}", str(resources[bucket].get("Properties", {}).get("BucketName"))}
    return [
        name
        for name, resource in resources.items()
        if resource.get("Type") == "AWS::S3::BucketPolicy"
        and resource.get("Properties", {}).get("Bucket") in names
    ]


def _statements(shapes: Mapping[str, Shape], origins: dict[Place, Place]) -> list[Any]:
    """Return the statements of all policies with their kind, and add where they come from."""
    result: list[Any] = []
    for name, shape in shapes.items():
        for where, kind in _policies(name, shape.resource):
            document = at(shape.resource, where[2:])
            statements = document.get("Statement", []) if isinstance(document, dict) else []
            single = not isinstance(statements, list)
            for number, statement in enumerate([statements] if single else statements):
                old = (*where, "Statement", *(() if single else (number,)))
                new: Place = ("Statements", len(result))
                for place in [place for place in shape.origins if place[: len(old)] == old]:
                    origins[new + place[len(old) :]] = shape.origins[place]
                result.append({"Kind": kind, **_with_lists(statement)})
    return result


def _policies(name: str, resource: Any) -> Iterator[tuple[Place, str]]:
    properties = resource.get("Properties") or {}
    inline = properties.get("Policies") if str(resource.get("Type")).startswith("AWS::IAM::") else ()
    for number in range(len(inline or ())):
        yield ("Resources", name, "Properties", "Policies", number, "PolicyDocument"), "Identity"
    for type_, place, kind in _POLICIES:
        if resource.get("Type") == type_ and place[0] in properties:
            yield ("Resources", name, "Properties", *place), kind


def _with_lists(statement: Any) -> dict[str, Any]:
    """Return a statement in its longer form: {"AWS": [...]} as principal, lists of actions and resources."""
    if not isinstance(statement, dict):  # the linter says so
        return {}
    result = dict(statement)
    principal = result.get("Principal")
    if isinstance(principal, str):
        result["Principal"] = {"AWS": [principal]}
    elif isinstance(principal, dict):
        result["Principal"] = {
            kind: who if isinstance(who, list) else [who] for kind, who in principal.items()
        }
    for name in ("Action", "Resource"):
        value = result.get(name, [])
        result[name] = value if isinstance(value, list) else [value]
    return result


def at(node: Any, place: Place) -> Any:
    """Return what is at a place of a document."""
    for key in place:
        node = node[key]
    return node
