"""EventBridge's schedules: which there are, and that they are ones. No clock is here: somebody says when it is time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from moto.events.models import events_backends

from ..wire import AwsError

RATE = re.compile(r"rate\((?:1 (?:minute|hour|day)|(?:[2-9]|[1-9]\d+) (?:minutes|hours|days))\)")
CRON_FIELD = r"[\dA-Z*?,/#LW-]+"
CRON = re.compile(rf"cron\({CRON_FIELD}(?: {CRON_FIELD}){{5}}\)")


def check(expression: str, bus: str) -> None:
    """Refuses a schedule that EventBridge would not take.

    Raises:
        AwsError: ``ValidationException``.
    """
    if bus != "default":
        message = "ScheduleExpression is supported only on the default event bus."
        raise AwsError("ValidationException", message)
    if not (RATE.fullmatch(expression) or CRON.fullmatch(expression)):
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.")


def listed() -> list[dict[str, str]]:
    """Every rule with a schedule, of every account and region."""
    return [
        {
            "account": rule.account_id,
            "region": rule.region_name,
            "rule": rule.name,
            "schedule": rule.scheduled_expression,
            "state": rule.state,
        }
        for rule in _all()
    ]


def named(body: bytes) -> Any:
    """The rule that a form names, ``{"rule": ..., "account": ...}``.

    Raises:
        ValueError: it names none that is there and enabled.
    """
    wanted = json.loads(body)
    for rule in _all():
        if (rule.name, rule.account_id) == (wanted["rule"], wanted["account"]) and rule.state == "ENABLED":
            return rule
    raise ValueError(f"there is no enabled rule {wanted['rule']} with a schedule in account {wanted['account']}")


def _all() -> Iterator[Any]:
    for regions in list(events_backends.values()):
        for backend in list(regions.values()):
            for rule in list(backend.event_buses["default"].rules.values()):
                if rule.scheduled_expression:
                    yield rule
