"""The words in which the tables say what an operation needs: actions, resources, condition keys, roles handed on.

A resource is an ARN with names of the request's parameters in braces: ``{repositoryName}``, ``{pipeline.name}``,
``{Targets.Arn}`` (of each target). Beside these there are the caller's ``{partition}``, ``{region}`` and ``{account}``.
Where a parameter holds a whole ARN, that is the resource; where it is not given, AWS makes up the name, and ``*``
stands for it, or with a ``?`` in front for the whole. ``@name:parameter`` asks a lookup of ``resources.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

PLACE = re.compile(r"\{([^}]+)\}")
NONE = "*"  # the resource of an operation that is checked against none


@dataclass(frozen=True)
class Need:
    """One permission: an action, on every one of these resources.

    Attributes:
        action: such as ``sagemaker:CreateEndpoint``.
        resources: in the form above; the operation needs the action on each of them.
        when: parameter without which the permission is not needed.
        via: service that asks KMS in the caller's name, as in the condition key ``kms:ViaService``.
    """

    action: str
    resources: tuple[str, ...] = (NONE,)
    when: str = ""
    via: str = ""


@dataclass(frozen=True)
class Passing:
    """A role that an operation hands on to a service, which needs ``iam:PassRole``.

    Attributes:
        parameter: where its ARN is.
        service: principal of the service that gets it.
    """

    parameter: str
    service: str


@dataclass(frozen=True)
class Table:
    """What the operations of one service need.

    Attributes:
        prefix: of its actions.
        resources: resource -> the operations, separated by spaces, that are checked against it alone, under an action
            of their own name.
        needs: operations that need something else, or more.
        passes: operation -> the roles that it hands on.
        keys: condition key -> parameter that has its value.
    """

    prefix: str
    resources: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    passes: Mapping[str, tuple[Passing, ...]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)

    def needed(self, operation: str) -> tuple[Need, ...] | None:
        """What an operation needs; None if that is not known here."""
        return self._by_operation.get(operation)

    def operations(self) -> set[str]:
        """Every operation that can be judged."""
        return set(self._by_operation)

    @cached_property
    def _by_operation(self) -> dict[str, tuple[Need, ...]]:
        plain = {
            operation: (Need(f"{self.prefix}:{operation}", (resource,)),)
            for resource, operations in self.resources.items()
            for operation in operations.split()
        }
        return {**plain, **self.needs}


def values(parameters: Any, path: str) -> list[str]:
    """Every value at ``path`` in a request's parameters; a list on the way stands for each of its elements."""
    found = [parameters]
    for name in path.split("."):
        found = [item[name] for item in found if isinstance(item, dict) and name in item]
        found = [element for item in found for element in (item if isinstance(item, list | tuple) else [item])]
    return [str(item) for item in found if item is not None and item != ""]


def arns(form: str, parameters: Mapping[str, Any], where: Mapping[str, str]) -> Iterator[str]:
    """The ARNs that a resource's form stands for in one request.

    Args:
        form: as the module says, without ``@``.
        parameters: the request's.
        where: ``partition``, ``region`` and ``account``.
    """
    if form.startswith("?") and not all(name in where or values(parameters, name) for name in PLACE.findall(form)):
        yield NONE
        return
    form = form.removeprefix("?")
    names = PLACE.findall(form)
    choices = [[where[name]] if name in where else values(parameters, name) or ["*"] for name in names]
    for chosen in product(*choices):
        whole = next((value for value in chosen if value.startswith("arn:")), None)
        if whole is not None:
            yield whole
            continue
        given = iter(chosen)
        yield PLACE.sub(lambda _, given=given: next(given), form)  # type: ignore[misc]
