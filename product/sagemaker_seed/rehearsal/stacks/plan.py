"""Works out what an update would do, as far as that can be known before it is done. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...templates import properties as props
from ...templates.desired import Desired, Output
from ...templates.failure import TemplateError
from ...templates.values import UNKNOWN, is_known
from .provider import Provider
from .stack import Resource

Providers = Mapping[str, Provider]


@dataclass(frozen=True)
class Change:
    """What would happen to one resource. ``replacement``: ``True``, ``False``, ``Conditional``, or None where moot."""

    action: str
    logical_id: str
    type: str
    physical_id: str | None
    replacement: str | None
    properties: tuple[str, ...]
    replacing: frozenset[str]
    scope: tuple[str, ...]


def validate(desired: Desired) -> None:
    """Refuses properties that a type does not have or allow, as far as their values are known already.

    Raises:
        TemplateError: with the resource's name, and every problem of each.
    """
    region, said = desired.place.region, []
    unsupported = sorted({w.type for w in desired.resources.values() if not props.is_supported(w.type, region)})
    if unsupported:
        raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unsupported)}]")
    desired.check_attributes()
    for name in desired.dependencies:
        wanted = desired.resources[name]
        if problems := props.check(wanted.type, region, props.typed(wanted.type, region, _resolved(desired, name))):
            said.append(f"Properties validation failed for resource {name} with message:\n" + "\n".join(problems))
    if said:
        raise TemplateError("\n".join(said))


def _resolved(desired: Desired, name: str) -> Any:
    properties = desired.resolve(desired.resources[name].properties)
    return {} if properties is UNKNOWN else properties


def replaced_by(
    kind: str, provider: Provider, region: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
    """Names of the changed properties for which there must be a new resource."""
    if provider.replaces is None:
        return props.create_only(kind, region, old, new)
    return [name for name in props.changed(old, new) if name in provider.replaces]


def changes(
    resources: Mapping[str, Resource], desired: Desired, providers: Providers, *, retagged: bool
) -> tuple[list[Change], list[Output]]:
    """What would happen to resources, in the order of the template, and the outputs, both as far as known.

    Args:
        resources: those that there are.
        desired: what is asked for.
        providers: how each type is made.
        retagged: whether the stack's tags change, which its resources carry.

    Raises:
        TemplateError: a resource would change its type.
    """
    new: set[str] = set()
    found: dict[str, Change] = {}

    def ref(name: str) -> Any:
        made = resources[name].made if name in resources and name not in new else None
        return UNKNOWN if made is None else made.physical_id if made.ref is None else made.ref

    def att(name: str, attribute: str) -> Any:
        made = resources[name].made if name in resources and name not in new else None
        return UNKNOWN if made is None else made.attributes.get(attribute, UNKNOWN)

    if retyped := [n for n, w in desired.resources.items() if n in resources and resources[n].wanted.type != w.type]:
        raise TemplateError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(retyped)}]"
        )
    for name in desired.dependencies:
        change = _change(name, resources.get(name), desired, providers, tell=(ref, att), retagged=retagged)
        if change is not None:
            found[name] = change
            if change.action == "Add" or change.replacement == "True":
                new.add(name)
    for name, resource in resources.items():
        if name not in desired.resources:
            found[name] = Change("Remove", name, resource.wanted.type, resource.physical_id, None, (), frozenset(), ())
    ordered = [found[name] for name in [*desired.document.resources, *resources] if name in found]
    return list(dict.fromkeys(ordered)), desired.outputs(ref, att)


def _change(
    name: str,
    existing: Resource | None,
    desired: Desired,
    providers: Providers,
    *,
    tell: tuple[Any, Any],
    retagged: bool,
) -> Change | None:
    wanted, region = desired.resources[name], desired.place.region
    if existing is None or existing.made is None:
        return Change("Add", name, wanted.type, None, None, (), frozenset(), ())
    properties = props.typed(wanted.type, region, desired.resolve(wanted.properties, *tell))
    names = props.changed(existing.properties, properties)
    replacing = replaced_by(wanted.type, providers[wanted.type], region, existing.properties, properties)
    scope = ["Properties"] if names else []
    if retagged:
        scope.append("Tags")
    if _as_json(wanted.metadata) != _as_json(existing.wanted.metadata):
        scope.append("Metadata")
    for attribute, before, after in (
        ("DeletionPolicy", existing.wanted.deletion_policy, wanted.deletion_policy),
        ("UpdateReplacePolicy", existing.wanted.update_replace_policy, wanted.update_replace_policy),
    ):
        if before != after:
            scope.append(attribute)
    if not scope:
        return None
    certain = any(is_known(properties.get(n)) for n in replacing)
    replacement = "True" if certain else "Conditional" if replacing else "False"
    return Change(
        "Modify",
        name,
        wanted.type,
        existing.physical_id,
        replacement,
        tuple(names),
        frozenset(replacing),
        tuple(scope),
    )


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
