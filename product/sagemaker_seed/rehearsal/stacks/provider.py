"""What the engine of stacks and the makers of resources agree on; knows no type of resource and no template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Context:
    """In whose name, where, and for which resource of which stack a provider acts.

    Attributes:
        client: a boto3 client of a service by botocore's name, which acts as the stack's role (or its caller) in the
            stack's account and region.
        tags: the stack's own, those that CloudFormation adds (``aws:cloudformation:*``) included.
    """

    client: Callable[[str], Any]
    account: str
    region: str
    partition: str
    stack_name: str
    stack_id: str
    logical_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Made:
    """A resource that exists.

    Attributes:
        physical_id: what the stack lists it by, and what ``Ref`` gives where ``ref`` is None.
        attributes: what ``Fn::GetAtt`` gives, by its name (``Arn``, ``Endpoint.Address``).
    """

    physical_id: str
    attributes: Mapping[str, Any]
    ref: str | None = None


class ResourceFailed(Exception):
    """A resource could not be made, changed or deleted; the message is the reason that the event gives."""


@dataclass(frozen=True)
class Provider:
    """How one type of resource is made.

    What a service refuses leaves each function as botocore's ``ClientError``; the engine words the reason.

    Attributes:
        create: makes the resource with these properties. A create that fails leaves nothing behind.
        update: changes it in place; gets the old properties, then the new ones. Never asked to change what `replaces`.
        delete: removes it, whatever the properties were; what does not exist any more is a success.
        replaces: names of the properties whose change makes a new resource; None: those that the type's resource
            schema calls create-only.
        honours: names of the properties that the functions see to; others are refused by name.
    """

    create: Callable[[Context, Mapping[str, Any]], Made]
    update: Callable[[Context, Made, Mapping[str, Any], Mapping[str, Any]], Made]
    delete: Callable[[Context, Made, Mapping[str, Any]], None]
    replaces: frozenset[str] | None
    honours: frozenset[str] = frozenset()
