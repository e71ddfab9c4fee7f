"""Decides what a resource policy says of one request: allowed, denied, or nothing. Not for identity policies.

What cannot be evaluated never opens a door: an Allow with an unknown condition does not allow, a Deny with one denies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ACCOUNT_PRINCIPAL = re.compile(r"(?:arn:[a-z-]+:iam::)?(?P<account>\d{12})(?::root)?")


@dataclass(frozen=True)
class Asked:
    """One request to a resource.

    Attributes:
        account: twelve digits of the caller's account; empty for an anonymous one.
        arn: the caller's ARN.
        action: such as ``s3:GetObject``.
        resource: ARN of what is acted on.
        context: condition key -> value, for every key whose value is known; keys in lower case.
        absent: condition keys (or prefixes of them, ending in ``/``) that are understood and have no value here.
    """

    account: str
    arn: str
    action: str
    resource: str
    context: Mapping[str, str]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Both ``allowed`` and ``denied`` can be true; denial wins. ``unknown``: condition keys that were not evaluated."""

    allowed: bool
    denied: bool
    unknown: tuple[str, ...]


def evaluate(policy: Mapping[str, Any], asked: Asked) -> Verdict:
    """What ``policy`` (a parsed policy document) says of the request."""
    effects, unknown = set(), []
    for statement in _listed(policy.get("Statement", [])):
        if not (_principal(statement, asked) and _names(statement, asked)):
            continue
        held = [_holds(o, k, v, asked) for o, keys in statement.get("Condition", {}).items() for k, v in keys.items()]
        if False in held:
            continue
        if None in held:
            unknown += [key for keys in statement["Condition"].values() for key in keys]
            if statement["Effect"] == "Allow":
                continue
        effects.add(statement["Effect"])
    return Verdict("Allow" in effects, "Deny" in effects, tuple(unknown))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(patterns: Any, value: str, *, fold: bool = False) -> bool:
    """IAM's wildcards: ``*`` and ``?``, and no character classes."""
    literal = [str(pattern).replace("[", "[[]") for pattern in _listed(patterns)]
    if fold:
        value, literal = value.lower(), [pattern.lower() for pattern in literal]
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in literal)


def _principal(statement: Mapping[str, Any], asked: Asked) -> bool:
    negated = "NotPrincipal" in statement
    named = statement.get("NotPrincipal" if negated else "Principal", {})
    return _is_among(named, asked) != negated


def _is_among(principal: Any, asked: Asked) -> bool:
    if principal == "*":
        return True
    for name in _listed(principal.get("AWS", [])):
        account = ACCOUNT_PRINCIPAL.fullmatch(name)
        if name in {"*", asked.arn} or (account and account["account"] == asked.account):
            return True
    return False


def _names(statement: Mapping[str, Any], asked: Asked) -> bool:
    """Whether the statement is about this action on this resource."""
    action = (
        not like(statement["NotAction"], asked.action, fold=True)
        if "NotAction" in statement
        else like(statement.get("Action", []), asked.action, fold=True)
    )
    resource = (
        not like(statement["NotResource"], asked.resource)
        if "NotResource" in statement
        else like(statement.get("Resource", []), asked.resource)
    )
    return action and resource


def _any(test: Callable[[str, str], bool]) -> Callable[[str, Iterable[str]], bool]:
    return lambda value, wanted: any(test(value, w) for w in wanted)


def _none(test: Callable[[str, str], bool]) -> Callable[[str, Iterable[str]], bool]:
    return lambda value, wanted: not any(test(value, w) for w in wanted)


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _equal_folded(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


def _matches(value: str, wanted: str) -> bool:
    return like(wanted, value)


OPERATORS: dict[str, Callable[[str, Iterable[str]], bool]] = {
    "StringEquals": _any(_equal),
    "StringNotEquals": _none(_equal),
    "StringEqualsIgnoreCase": _any(_equal_folded),
    "StringNotEqualsIgnoreCase": _none(_equal_folded),
    "StringLike": _any(_matches),
    "StringNotLike": _none(_matches),
    "ArnEquals": _any(_matches),
    "ArnLike": _any(_matches),
    "ArnNotEquals": _none(_matches),
    "ArnNotLike": _none(_matches),
    "Bool": _any(_equal_folded),
    "NumericEquals": _any(lambda value, wanted: float(value) == float(wanted)),
    "NumericLessThan": _any(lambda value, wanted: float(value) < float(wanted)),
    "NumericLessThanEquals": _any(lambda value, wanted: float(value) <= float(wanted)),
    "NumericGreaterThan": _any(lambda value, wanted: float(value) > float(wanted)),
    "NumericGreaterThanEquals": _any(lambda value, wanted: float(value) >= float(wanted)),
}


def _holds(operator: str, key: str, wanted: Any, asked: Asked) -> bool | None:
    """Whether one condition holds; None if it is not known here."""
    key = key.lower()
    value = asked.context.get(key)
    if value is None and not any(key == a or (a.endswith("/") and key.startswith(a)) for a in asked.absent):
        return None
    values = [str(w).lower() if isinstance(w, bool) else str(w) for w in _listed(wanted)]
    if operator == "Null":
        return (value is None) == (values == ["true"])
    if_exists = operator.endswith("IfExists")
    test = OPERATORS.get(operator.removesuffix("IfExists"))
    if test is None:
        return None
    if value is None:
        # IAM: a missing key fails a condition, except a negated one and one that says IfExists.
        return if_exists or "Not" in operator
    return test(value, values)
