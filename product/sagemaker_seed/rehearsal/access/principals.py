"""Whether those whom a resource's policy names can be there: AWS refuses a policy that names a role that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends

from ...policies import ACCOUNT_PRINCIPAL, listed

NAMED = re.compile(
    r"arn:(?P<partition>[a-z-]+):(?:iam|sts)::(?P<account>\d{12}):(?P<kind>role|user|assumed-role)/(?P<name>[\w+=,.@/-]+)"
)
SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com)")
CANONICAL = re.compile(r"[0-9a-f]{64}|A(ROA|IDA)[A-Z0-9]{16,}")  # ids that AWS puts in place of names


def invalid(policy: Mapping[str, Any]) -> str:
    """The first principal of a policy that cannot be, as ``"AWS":"arn:..."``; empty if there is none."""
    for kind, name in _principals(policy):
        if not _can_be(kind, name):
            return f'"{kind.upper()}":"{name}"'
    return ""


def _principals(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for statement in listed(policy.get("Statement", [])):
        named = statement.get("Principal", statement.get("NotPrincipal", {})) if isinstance(statement, dict) else {}
        if isinstance(named, dict):
            yield from ((kind, str(name)) for kind, names in named.items() for name in listed(names))


def _can_be(kind: str, name: str) -> bool:
    if kind == "Service":
        return SERVICE.fullmatch(name) is not None
    if kind != "AWS" or name == "*" or ACCOUNT_PRINCIPAL.fullmatch(name) or CANONICAL.fullmatch(name):
        return True
    named = NAMED.fullmatch(name)
    if named is None:
        return False
    backend = iam_backends[named["account"]][named["partition"]]
    if named["kind"] == "assumed-role":
        role = named["name"].partition("/")[0]
        return any(found.name == role for found in list(backend.roles.values()))
    holders: list[Any] = list((backend.roles if named["kind"] == "role" else backend.users).values())
    return any(holder.arn == name for holder in holders)
