"""Decides conditions and rules, which are yes or no before any resource is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .failure import TemplateError
from .values import UNKNOWN, Scope, as_text, resolve

MAX_OPERANDS = 10
Ask = Callable[[str], bool]
Test = Callable[[Any, Scope], bool]


class Conditions:
    """The conditions of a template under the parameters of ``scope_of``; each is decided once."""

    def __init__(self, expressions: Mapping[str, Any], scope_of: Callable[[Ask], Scope]) -> None:
        self._expressions = expressions
        self._decided: dict[str, bool] = {}
        self._asked: list[str] = []
        self._scope = scope_of(self.holds)

    def holds(self, name: str) -> bool:
        """Whether the condition of this name holds.

        Raises:
            TemplateError: there is no such condition, or it asks itself.
        """
        if name not in self._decided:
            if name not in self._expressions:
                raise TemplateError(f"Template format error: Unresolved condition dependency {name}")
            if name in self._asked:
                raise TemplateError(
                    f"Template error: Circular dependency between conditions: [{', '.join(sorted(self._asked))}]"
                )
            self._asked.append(name)
            self._decided[name] = decide(self._expressions[name], self._scope, CONDITION_TESTS)
            self._asked.pop()
        return self._decided[name]

    def decide_all(self) -> None:
        """Decides each, so that a faulty one is found although nothing asks it."""
        for name in self._expressions:
            self.holds(name)


def decide(expression: Any, scope: Scope, tests: Mapping[str, Test]) -> bool:
    """Whether an expression made of ``tests`` holds.

    Raises:
        TemplateError: it is made of something else.
    """
    if isinstance(expression, dict) and len(expression) == 1:
        (name, argument), *_ = expression.items()
        if name in tests:
            return tests[name](argument, scope)
    raise TemplateError(
        f"Template error: a condition must be one of [{', '.join(sorted(tests))}], and this is none: {expression}"
    )


def check_rules(rules: Mapping[str, Mapping[str, Any]], scope: Scope) -> None:
    """Refuses parameters that break a rule.

    Raises:
        TemplateError: with the description of each assertion that does not hold.
    """
    broken = []
    for name, rule in rules.items():
        if strange := sorted(set(rule) - {"RuleCondition", "Assertions"}):
            raise TemplateError(f"Template format error: Invalid property {strange[0]} in rule {name}")
        if "RuleCondition" in rule and not decide(rule["RuleCondition"], scope, RULE_TESTS):
            continue
        for assertion in _assertions(name, rule):
            if not decide(assertion.get("Assert"), scope, RULE_TESTS):
                broken.append(f"{name}: {assertion.get('AssertDescription', 'an assertion does not hold')}")
    if broken:
        raise TemplateError(f"Template validation error: Rules are not satisfied. {'; '.join(broken)}")


def _assertions(name: str, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    assertions = rule.get("Assertions")
    if not isinstance(assertions, list) or not all(isinstance(assertion, dict) for assertion in assertions):
        raise TemplateError(f"Template format error: the Assertions of rule {name} must be a list of objects.")
    return assertions


def _operands(name: str, argument: Any, least: int, most: int) -> list[Any]:
    if not isinstance(argument, list) or not least <= len(argument) <= most:
        raise TemplateError(
            f"Template error: every {name} object requires a list of {least} to {most} parameters: {argument}"
            if least != most
            else f"Template error: every {name} object requires a list of {least} parameters: {argument}"
        )
    return argument


def _plain(value: Any) -> Any:
    """For a comparison: texts, in lists too."""
    if value is UNKNOWN:
        raise TemplateError("Template error: Cannot reference resources in the Conditions block of the template")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return as_text(value)


def _value(expression: Any, scope: Scope) -> Any:
    return _plain(resolve(expression, scope))


def _equals(argument: Any, scope: Scope) -> bool:
    left, right = _operands("Fn::Equals", argument, 2, 2)
    return bool(_value(left, scope) == _value(right, scope))


def _condition(argument: Any, scope: Scope) -> bool:
    return scope.condition(as_text(argument))


def _contains(argument: Any, scope: Scope) -> bool:
    members, one = _operands("Fn::Contains", argument, 2, 2)
    return _value(one, scope) in _value(members, scope)


def _each_equals(argument: Any, scope: Scope) -> bool:
    members, one = _operands("Fn::EachMemberEquals", argument, 2, 2)
    return all(member == _value(one, scope) for member in _value(members, scope))


def _each_in(argument: Any, scope: Scope) -> bool:
    members, those = _operands("Fn::EachMemberIn", argument, 2, 2)
    return set(_value(members, scope)) <= set(_value(those, scope))


def _logic(tests: dict[str, Test]) -> dict[str, Test]:
    """And, Or and Not over ``tests``, and over each other."""

    def each(name: str, argument: Any, scope: Scope) -> list[bool]:
        return [decide(operand, scope, tests) for operand in _operands(name, argument, 2, MAX_OPERANDS)]

    tests["Fn::And"] = lambda argument, scope: all(each("Fn::And", argument, scope))
    tests["Fn::Or"] = lambda argument, scope: any(each("Fn::Or", argument, scope))
    tests["Fn::Not"] = lambda argument, scope: not decide(_operands("Fn::Not", argument, 1, 1)[0], scope, tests)
    return tests


CONDITION_TESTS = _logic({"Fn::Equals": _equals, "Condition": _condition})
RULE_TESTS = _logic(
    {
        "Fn::Equals": _equals,
        "Fn::Contains": _contains,
        "Fn::EachMemberEquals": _each_equals,
        "Fn::EachMemberIn": _each_in,
    }
)
