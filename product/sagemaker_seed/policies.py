"""Decides what one policy document says of one request: allowed, denied, or nothing. Combines no two of them.

What cannot be evaluated never opens a door: an Allow with an unknown condition does not allow, a Deny with one denies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

ACCOUNT_PRINCIPAL = re.compile(r"(?:arn:[a-z-]+:iam::)?(?P<account>\d{12})(?::root)?")
VARIABLE = re.compile(r"\$\{(?P<key>[^},]+)(?:,\s*'(?P<default>[^']*)')?\}")
LITERALS = {"*": "*", "?": "?", "$": "$"}

Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """One request to a resource.

    Attributes:
        account: twelve digits of the caller's account; empty for an anonymous one.
        arn: the caller's ARN; a role's own ARN for its session.
        action: such as ``s3:GetObject``.
        resource: ARN of what is acted on; empty for that which the policy belongs to (a trust policy names none).
        context: condition key -> value or values, for every key whose value is known; keys in lower case.
        absent: condition keys (or prefixes, ending in ``/`` or ``:``) that are understood and have no value here.
        session: the ARN of the role's session, if the caller is one.
        service: the principal of the AWS service that calls in its own name.
    """

    account: str
    arn: str
    action: str
    resource: str
    context: Mapping[str, Value]
    absent: tuple[str, ...] = ()
    session: str = ""
    service: str = ""


@dataclass(frozen=True)
class Verdict:
    """Both ``allowed`` and ``denied`` can be true; denial wins.

    Attributes:
        unknown: condition keys that were not evaluated.
        direct: whether the caller is let in as such, rather than only as one of an account that is let in.
        statements: ``Sid`` of every statement that allows, or its number, counted from 1.
        directly: those of them that let the caller in as such.
    """

    allowed: bool
    denied: bool
    unknown: tuple[str, ...]
    direct: bool = False
    statements: tuple[str, ...] = field(default=())
    directly: tuple[str, ...] = field(default=())

    def without(self, statement: str) -> Verdict:
        """What the policy would say if this statement of it were not there to allow."""
        statements = tuple(s for s in self.statements if s != statement)
        directly = tuple(s for s in self.directly if s != statement)
        return replace(self, allowed=bool(statements), direct=bool(directly), statements=statements, directly=directly)


NOTHING = Verdict(allowed=False, denied=False, unknown=())


class Match(IntEnum):
    """How a statement's principal names a caller."""

    NOT = 0
    AS_ACCOUNT = 1
    DIRECTLY = 2


@lru_cache(maxsize=1024)
def parsed(text: str) -> Mapping[str, Any]:
    """A policy document; not to be changed, because the next who asks gets the same one."""
    document = json.loads(text)
    return document if isinstance(document, dict) else {}


def evaluate(policy: Mapping[str, Any], asked: Asked) -> Verdict:
    """What a resource's policy (a parsed policy document) says of the request."""
    return _verdict(policy, asked, _principal)


def evaluate_identity(policy: Mapping[str, Any], asked: Asked) -> Verdict:
    """What a policy of the caller's own says of the request: it names no principal."""
    return _verdict(policy, asked, lambda _statement, _asked: Match.DIRECTLY)


def _verdict(policy: Mapping[str, Any], asked: Asked, concerns: Callable[[Mapping[str, Any], Asked], Match]) -> Verdict:
    effects: set[str] = set()
    unknown: list[str] = []
    allowing: dict[str, Match] = {}
    for number, statement in enumerate(listed(policy.get("Statement", [])), 1):
        match = concerns(statement, asked)
        if match is Match.NOT or not _names(statement, asked):
            continue
        conditions = [(o, k, v) for o, keys in statement.get("Condition", {}).items() for k, v in keys.items()]
        held = [_holds(operator, key, wanted, asked) for operator, key, wanted in conditions]
        if False in held:
            continue
        effect = statement.get("Effect", "Deny")
        if None in held:
            unknown += [key for (_, key, _), result in zip(conditions, held, strict=True) if result is None]
            if effect == "Allow":
                continue
        if effect == "Allow":
            allowing[str(statement.get("Sid") or number)] = match
        effects.add(effect)
    directly = tuple(name for name, match in allowing.items() if match is Match.DIRECTLY)
    return Verdict(bool(allowing), "Deny" in effects, tuple(unknown), bool(directly), tuple(allowing), directly)


def listed(value: Any) -> list[Any]:
    """A policy's way to give one or several of something, as a list."""
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(character, re.escape(character)) for character in pattern), re.DOTALL)


def like(patterns: Any, value: str, *, fold: bool = False) -> bool:
    """IAM's wildcards: ``*`` and ``?``, and no character classes."""
    text = value.lower() if fold else value
    return any(_alike(pattern.lower() if fold else pattern, text) for pattern in map(str, listed(patterns)))


def _alike(pattern: str, value: str) -> bool:
    head, star, _ = pattern.partition("*")
    if "?" not in pattern and not (star and value.startswith(head)):  # most differ here, and need no expression
        return pattern == value
    return _compiled(pattern).fullmatch(value) is not None


def _principal(statement: Mapping[str, Any], asked: Asked) -> Match:
    if "NotPrincipal" in statement:
        excluded = _among(statement["NotPrincipal"], asked)
        return Match.DIRECTLY if excluded is Match.NOT else Match.NOT
    return _among(statement.get("Principal", {}), asked)


def _among(principal: Any, asked: Asked) -> Match:
    if principal == "*":
        return Match.DIRECTLY
    if not isinstance(principal, dict):
        return Match.NOT
    if asked.service:
        return Match.DIRECTLY if asked.service in listed(principal.get("Service", [])) else Match.NOT
    best = Match.NOT
    for name in listed(principal.get("AWS", [])):
        if name == "*" or (name and name in {asked.arn, asked.session}):
            return Match.DIRECTLY
        account = ACCOUNT_PRINCIPAL.fullmatch(str(name))
        if account and account["account"] == asked.account:
            best = Match.AS_ACCOUNT
    return best


def _names(statement: Mapping[str, Any], asked: Asked) -> bool:
    """Whether the statement is about this action on this resource."""
    action = (
        not like(statement["NotAction"], asked.action, fold=True)
        if "NotAction" in statement
        else like(statement.get("Action", []), asked.action, fold=True)
    )
    if not action or not asked.resource:
        return action
    negated = "NotResource" in statement
    patterns = [_filled(str(p), asked) for p in listed(statement.get("NotResource" if negated else "Resource", []))]
    return like([pattern for pattern in patterns if pattern is not None], asked.resource) != negated


def _filled(pattern: str, asked: Asked) -> str | None:
    """``pattern`` with its policy variables replaced; None where one of them has no value: then nothing matches."""
    if "${" not in pattern:
        return pattern
    missing = False

    def replace(found: re.Match[str]) -> str:
        nonlocal missing
        key = found["key"].strip()
        value = LITERALS.get(key) or asked.context.get(key.lower()) or found["default"]
        missing = missing or not isinstance(value, str)
        return value if isinstance(value, str) else ""

    filled = VARIABLE.sub(replace, pattern)
    return None if missing else filled


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


def _equal_folded(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


def _matches(value: str, wanted: str) -> bool:
    return like(wanted, value)


def _arn_matches(value: str, wanted: str) -> bool:
    """Wildcards within each of an ARN's six parts, of which only the last may hold colons."""
    parts, patterns = value.split(":", 5), wanted.split(":", 5)
    return len(parts) == len(patterns) and all(map(_matches, parts, patterns))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda value, wanted: compare(float(value), float(wanted))


Test = Callable[[str, str], bool]
# operator -> the comparison of one value with one that is wanted, and whether none of these may match
OPERATORS: dict[str, tuple[Test, bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_folded, False),
    "StringNotEqualsIgnoreCase": (_equal_folded, True),
    "StringLike": (_matches, False),
    "StringNotLike": (_matches, True),
    "ArnEquals": (_arn_matches, False),
    "ArnLike": (_arn_matches, False),
    "ArnNotEquals": (_arn_matches, True),
    "ArnNotLike": (_arn_matches, True),
    "Bool": (_equal_folded, False),
    "NumericEquals": (_number(lambda a, b: a == b), False),
    "NumericNotEquals": (_number(lambda a, b: a == b), True),
    "NumericLessThan": (_number(lambda a, b: a < b), False),
    "NumericLessThanEquals": (_number(lambda a, b: a <= b), False),
    "NumericGreaterThan": (_number(lambda a, b: a > b), False),
    "NumericGreaterThanEquals": (_number(lambda a, b: a >= b), False),
}


def _holds(operator: str, key: str, wanted: Any, asked: Asked) -> bool | None:
    """Whether one condition holds; None if it is not known here."""
    key = key.lower()
    value = asked.context.get(key)
    if value is None and not any(key == a or (a.endswith(("/", ":")) and key.startswith(a)) for a in asked.absent):
        return None
    texts = [str(w).lower() if isinstance(w, bool) else str(w) for w in listed(wanted)]
    if operator == "Null":
        return (value is None) == (texts == ["true"])
    quantifier, _, plain = operator.rpartition(":")
    if_exists = plain.endswith("IfExists")
    known = OPERATORS.get(plain.removesuffix("IfExists"))
    if known is None or quantifier not in {"", "ForAnyValue", "ForAllValues"}:
        return None
    test, negated = known
    if value is None:
        # IAM: a missing key fails a condition, except a negated one, one that says IfExists, and one for all values.
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)
    values = value if isinstance(value, tuple) else (value,)
    wanted_values = [filled for text in texts if (filled := _filled(text, asked)) is not None]
    return _compared(test, negated, quantifier, values, wanted_values)


def _compared(test: Test, negated: bool, quantifier: str, values: Iterable[str], wanted: Iterable[str]) -> bool | None:
    try:
        results = [any(test(value, w) for w in wanted) != negated for value in values]
    except ValueError:  # a number was wanted
        return False
    return all(results) if quantifier == "ForAllValues" or (negated and not quantifier) else any(results)
