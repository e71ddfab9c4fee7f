"""EventBridge's event patterns: whether one is valid, and whether an event matches. Delivers nothing.

moto compares single values; what is here is the way through the pattern, so that an array of objects matches when one
of them matches the whole pattern below it, and the refusal of patterns that EventBridge refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from moto.events.models import UNDEFINED, EventPattern

from ..wire import AwsError

Pattern = Mapping[str, Any]
SCALARS = (str, bool, int, float)
COMPARISONS = {"<", "<=", "=", ">=", ">"}


def parse(text: str) -> Pattern:
    """The pattern that a text is.

    Raises:
        AwsError: ``InvalidEventPatternException``, with the reason.
    """
    try:
        pattern = json.loads(text)
    except ValueError as error:
        raise _invalid(f"Invalid JSON: {error}") from None
    if not isinstance(pattern, dict):
        raise _invalid("Filter is not an object")
    _check(pattern)
    return pattern


def matches(pattern: Pattern, event: Mapping[str, Any]) -> bool:
    """Whether an event (as its targets see it) matches a parsed pattern."""
    return all(_key_matches(key, wanted, event) for key, wanted in pattern.items())


def _key_matches(key: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if key == "$or":
        return any(matches(branch, event) for branch in wanted)
    found = event.get(key, UNDEFINED)
    if isinstance(wanted, list):
        return any(_value_matches(rule, found) for rule in wanted)
    candidates = found if isinstance(found, list) else [found]
    inner = [candidate for candidate in candidates if isinstance(candidate, dict)]
    # Without anything there, the pattern below may still ask for things that do not exist.
    return any(matches(wanted, candidate) for candidate in inner or [{}])


def _value_matches(rule: Any, found: Any) -> bool:
    values = _leaves(found)
    if isinstance(rule, dict):
        return bool(EventPattern._does_item_match_named_filter(values if values else UNDEFINED, rule))
    return any((type(value) is type(rule) and value == rule) or _equal_numbers(value, rule) for value in values)


def _leaves(found: Any) -> list[Any]:
    """The single values of an array or of a value; an object has none, as far as a pattern can ask."""
    if isinstance(found, list):
        return [leaf for item in found for leaf in _leaves(item)]
    return [] if found is UNDEFINED or isinstance(found, dict) else [found]


def _equal_numbers(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return numbers and one == other


def _check(pattern: Pattern) -> None:
    if not pattern:
        raise _invalid("Empty objects are not allowed")
    for key, wanted in pattern.items():
        if isinstance(wanted, dict):
            _check(wanted)
        elif not isinstance(wanted, list):
            raise _invalid(f'"{key}" must be an object or an array')
        elif not wanted:
            raise _invalid("Empty arrays are not allowed")
        elif key == "$or":
            for branch in wanted:
                if not isinstance(branch, dict):
                    raise _invalid('"$or" must be an array of objects')
                _check(branch)
        else:
            for rule in wanted:
                _check_rule(rule)


def _check_rule(rule: Any) -> None:
    if rule is None or isinstance(rule, SCALARS):
        return
    if not isinstance(rule, dict):
        raise _invalid("Match value must be String, number, true, false, or null")
    if len(rule) != 1:
        raise _invalid("Only one key allowed in match expression")
    ((name, value),) = rule.items()
    if name not in RULES:
        raise _invalid(f"Unrecognized match type {name}")
    if not RULES[name](value):
        raise _invalid(f"Value of {name} is not one that it can have: {json.dumps(value)}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _is_affix(value: Any) -> bool:
    if isinstance(value, dict):
        return list(value) == ["equals-ignore-case"] and _is_text(value["equals-ignore-case"])
    return _is_texts(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) not in {2, 4}:
        return False
    return all(sign in COMPARISONS for sign in value[::2]) and all(map(_is_number, value[1::2]))


def _is_exception(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) == 1 and all(name in EXCEPTIONS and EXCEPTIONS[name](v) for name, v in value.items())
    if isinstance(value, list):
        return bool(value) and (all(map(_is_text, value)) or all(map(_is_number, value)))
    return _is_text(value) or _is_number(value)


EXCEPTIONS: dict[str, Callable[[Any], bool]] = {
    "equals-ignore-case": _is_texts,
    "prefix": _is_texts,
    "suffix": _is_texts,
    "wildcard": _is_texts,
}
RULES: dict[str, Callable[[Any], bool]] = {
    "anything-but": _is_exception,
    "cidr": _is_text,
    "equals-ignore-case": _is_text,
    "exists": lambda value: isinstance(value, bool),
    "numeric": _is_range,
    "prefix": _is_affix,
    "suffix": _is_affix,
    "wildcard": _is_text,
}


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")
