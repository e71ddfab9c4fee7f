"""What providers share: checked properties, names and tags as CloudFormation makes them, undoing. Knows no service."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from ....templates import schemas
from ..provider import Context, Made, Provider, ResourceFailed

Properties = Mapping[str, Any]
Create = Callable[[Context, Properties], Made]
Update = Callable[[Context, Made, Properties, Properties], Made]
Delete = Callable[[Context, Made, Properties], None]

RANDOM_LENGTH = 12
SYSTEM_TAG = "aws:"


def resource(
    kind: str,
    create: Create,
    update: Update,
    delete: Delete,
    *,
    honours: str,
    replaces: frozenset[str] | None = None,
) -> tuple[str, Provider]:
    """An entry of a table of providers, whose functions get properties that fit the type's schema.

    Args:
        kind: such as ``AWS::S3::Bucket``.
        honours: names of the properties that ``create`` and ``update`` see to; others are refused by name.
    """
    known = frozenset(honours.split())

    def checked(context: Context, properties: Properties) -> Properties:
        fitted, problems = schemas.resource_schema(kind, context.region).fitted(properties)
        if problems:
            raise ResourceFailed(
                f"Properties validation failed for resource {context.logical_id} with message:\n" + "\n".join(problems)
            )
        if ignored := sorted(set(fitted) - known):
            raise refused(kind, ", ".join(ignored))
        return fitted

    def checked_create(context: Context, properties: Properties) -> Made:
        with _bad_requests_told():
            return create(context, checked(context, properties))

    def checked_update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
        before, _ = schemas.resource_schema(kind, context.region).fitted(old)
        with _bad_requests_told():
            return update(context, made, before, checked(context, new))

    return kind, Provider(checked_create, checked_update, delete, replaces, known)


def refused(kind: str, what: str) -> ResourceFailed:
    """The failure for something valid that is not honoured here."""
    return ResourceFailed(f"The embedded AWS does not honour this of {kind}: {what}")


@contextmanager
def _bad_requests_told() -> Iterator[None]:
    """What boto3 does not even send is no ``ClientError``."""
    try:
        yield
    except ParamValidationError as error:
        raise ResourceFailed(f"Invalid request provided: {error}") from error


def nothing_to_change(_: Context, made: Made, __: Properties, ___: Properties) -> Made:
    """The update of a type all of whose properties replace: it is asked for when the stack's tags change."""
    return made


def not_changed(kind: str, old: Properties, new: Properties, *names: str) -> None:
    """Refuses, as the type's own handler does, the change of properties that neither update nor replace."""
    for name in names:
        if old.get(name) != new.get(name):
            raise ResourceFailed(f"Invalid request provided: {kind} does not support the modification of {name}.")


def picked(properties: Properties, names: str) -> dict[str, Any]:
    """Those of the named properties that are there."""
    return {name: properties[name] for name in names.split() if name in properties}


def changed(old: Properties, new: Properties) -> list[str]:
    """Names of properties that came, went or changed; in the new order first."""
    return [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]


def generated(context: Context, longest: int, *, lower: bool = False) -> str:
    """A name as CloudFormation makes one up: stack, logical id and twelve random characters, cut to fit."""
    room = longest - RANDOM_LENGTH - 2
    stack, logical = context.stack_name, context.logical_id
    logical_room = max(room // 2, room - len(stack))
    logical = logical[:logical_room]
    name = f"{stack[: room - len(logical)]}-{logical}-{_random(string.ascii_uppercase + string.digits)}"
    return name.lower() if lower else name


def generated_short(context: Context, longest: int) -> str:
    """A name as the types make one up that leave the stack out: logical id and twelve random characters."""
    return f"{context.logical_id[: longest - RANDOM_LENGTH - 1]}-{_random(string.ascii_letters + string.digits)}"


def _random(alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(RANDOM_LENGTH))


def document(value: Any) -> str:
    """A policy document as the APIs take it; a template gives it as an object or as text."""
    return value if isinstance(value, str) else json.dumps(value)


def camel(value: Any, opaque: Iterable[str] = ()) -> Any:
    """Properties with the first letter of each name in lower case, as the Code services' APIs spell them.

    Args:
        opaque: names whose values are somebody else's maps and stay as they are.
    """
    if isinstance(value, list):
        return [camel(item, opaque) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {n[:1].lower() + n[1:]: item if n in opaque else camel(item, opaque) for n, item in value.items()}


def tags_of(context: Context, properties: Properties) -> dict[str, str]:
    """The stack's tags and, over them, the resource's own. The ``aws:`` ones that CloudFormation adds are left out.

    They need no permission on AWS and no caller can set them, so there is no API call that could bring them here.
    """
    own = properties.get("Tags", {})
    own = own if isinstance(own, Mapping) else {tag["Key"]: tag.get("Value", "") for tag in own}
    return {k: v for k, v in context.tags.items() if not k.startswith(SYSTEM_TAG)} | dict(own)


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most APIs list them."""
    return [{key: name, value: content} for name, content in tags.items()]


def retag(
    there: Any,
    wanted: Mapping[str, str],
    tag: Callable[[dict[str, str]], object],
    untag: Callable[[list[str]], object],
) -> None:
    """Brings a resource's tags to ``wanted``.

    Args:
        there: what the API lists, in any of its forms: a map, or a list of keys and values.
    """
    present = there if isinstance(there, Mapping) else dict(_pair(entry) for entry in there)
    new = {key: value for key, value in wanted.items() if present.get(key) != value}
    stale = [key for key in present if key not in wanted and not key.startswith(SYSTEM_TAG)]
    if stale:
        untag(stale)
    if new:
        tag(new)


def _pair(entry: Mapping[str, str]) -> tuple[str, str]:
    by_name = {name.lower().removeprefix("tag"): content for name, content in entry.items()}
    return by_name["key"], by_name.get("value", "")


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """Calls ``undo`` when the rest of a creation fails.

    Raises:
        ResourceFailed: that failed too; the message gives both reasons, because something is left behind.
    """
    try:
        yield
    except Exception as error:
        try:
            undo()
        except ClientError as second:
            raise ResourceFailed(f"{error} (What was made already is left behind: {second})") from error
        raise


@contextmanager
def gone_is_fine(*codes: str, saying: str = "") -> Iterator[None]:
    """Takes an error of these codes, with this in its message, for what has happened already."""
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        if told["Code"] not in codes or saying not in told.get("Message", ""):
            raise
