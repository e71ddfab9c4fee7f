"""EventBridge Scheduler: moto keeps the schedules; here each calls its target, as its role. Counts no time.

A schedule that is enabled calls its target once when it is created or changed, whatever its expression says, and never
again: a rehearsal does not wait for tomorrow. Every call, and every failure of one, can be read at
``/_embedded/scheduled``; nothing is tried again. Targets are operations of AWS's APIs ("universal targets") alone.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from ..embedded import SCHEDULED_PATH, Scheduled
from ..ground import Ground
from ..wire import AwsError, Request, not_implemented
from . import validation
from .service import Service

PRINCIPAL = "scheduler.amazonaws.com"
DEFAULT_GROUP = "default"
ACTS = {"CreateSchedule", "UpdateSchedule"}
UNIVERSAL = re.compile(r"arn:[\w-]+:scheduler:::aws-sdk:(?P<service>[a-z0-9-]+):(?P<action>[a-zA-Z0-9]+)")
# Operations that only read cannot be targets.
READING = re.compile(
    r"(get|describe|list|poll|receive|search|scan|query|select|read|lookup|discover|validate|batchGet|batchDescribe"
    r"|batchRead|transactGet|adminGet|adminList|testMigration|retrieve|testConnection|isAuthorized|invokeModel)"
    r"(?![a-z])"
)
EXPRESSION = re.compile(
    r"rate\([1-9]\d* (minutes?|hours?|days?)\)|cron\(\S+( \S+){5}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)"
)
HONOURED = {"Arn", "Input", "RetryPolicy", "RoleArn"}
ATTRIBUTE = re.compile(r"<aws\.scheduler\.([a-z-]+)>")


def service(ground: Ground) -> Service:
    """EventBridge Scheduler, with a record of calls of its own for each server."""
    return Service(name="scheduler", operations={}, guard=_Schedules(ground).guard)


class _Schedules:
    """What moto does not do: looking at a target, and calling it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._calls: list[Scheduled] = []
        self._lock = threading.Lock()
        ground.pages[SCHEDULED_PATH] = self._page

    def _page(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(call) for call in self._calls]

    @contextmanager
    def guard(self, request: Request) -> Iterator[None]:
        """Around what moto answers."""
        if request.operation not in ACTS:
            yield
            return
        given = {key: value for key, value in request.parameters().items() if value is not None}
        validation.check(given, request.operation_model.input_shape)
        arn = _arn(request, given)
        self._check(given, arn)
        there = _state(request, given)
        if (there is None) != (request.operation == "CreateSchedule"):
            yield  # moto refuses it
            return
        yield
        if given.get("State", "ENABLED") == "ENABLED" and _state(request, given) is not None:
            work = threading.Thread(target=self._call, args=(request, given["Target"], arn), daemon=True, name=arn)
            work.start()

    def _check(self, given: Mapping[str, Any], arn: str) -> None:
        """Refuses a schedule that could not call its target.

        Raises:
            AwsError: ``ValidationException``, or a kind of target that is not implemented, by name.
        """
        if not EXPRESSION.fullmatch(given["ScheduleExpression"]):
            raise _invalid(f"Invalid Schedule Expression {given['ScheduleExpression']}.")
        target = given["Target"]
        named = UNIVERSAL.fullmatch(target["Arn"])
        if named is None:
            raise not_implemented("scheduler", "CreateSchedule", f"It calls operations alone, and not {target['Arn']}.")
        if unknown := sorted(name for name, value in target.items() if value and name not in HONOURED):
            raise not_implemented("scheduler", "CreateSchedule", f"{', '.join(unknown)} of a target would be ignored.")
        if READING.match(named["action"]) or _operation(named) is None:
            raise _invalid(f"Invalid Target Arn {target['Arn']}: there is no such operation that changes something.")
        try:
            json.loads(target.get("Input") or "{}")
        except ValueError as error:
            raise _invalid(f"Invalid Target Input: it is no JSON: {error}") from None
        try:
            self._ground.role(target["RoleArn"], PRINCIPAL, "schedule", arn)
        except AwsError as error:
            raise _invalid(
                f"The execution role you provide must allow AWS EventBridge Scheduler to assume the role. "
                f"({error.message})"
            ) from None

    def _call(self, request: Request, target: Mapping[str, Any], arn: str) -> None:
        """Calls the target of a schedule once."""
        named = UNIVERSAL.fullmatch(target["Arn"])
        text, reason = _filled_in(target.get("Input") or "{}", arn), ""
        try:
            if named is None:
                raise _invalid(f"Invalid Target Arn {target['Arn']}")
            actor = self._ground.role(target["RoleArn"], PRINCIPAL, "schedule", arn)
            client = self._ground.client(named["service"], actor, request.region)
            getattr(client, xform_name(str(_operation(named))))(**json.loads(text))
        except AwsError as error:
            reason = f"{error.code}: {error.message}"
        except (BotoCoreError, ClientError, TypeError) as error:
            reason = str(error)
        if reason:
            print(f"{arn} -> {target['Arn']} failed: {reason}", file=sys.stderr, flush=True)
        with self._lock:
            self._calls.append(Scheduled(request.caller.account, arn, target["Arn"], text, reason))


def _operation(named: re.Match[str]) -> str | None:
    """The API's name of the operation that a target names, if the SDK knows it."""
    session = get_session()
    if named["service"] not in session.get_available_services():
        return None
    wanted = named["action"].lower()
    names = session.get_service_model(named["service"]).operation_names
    return next((name for name in names if name.lower() == wanted), None)


def _filled_in(text: str, arn: str) -> str:
    """The input with what a schedule knows of the call in the place of the words for it."""
    known = {
        "schedule-arn": arn,
        "scheduled-time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": secrets.token_hex(8),
        "attempt-number": "1",
    }
    return ATTRIBUTE.sub(lambda found: known.get(found[1], found[0]), text)


def _arn(request: Request, given: Mapping[str, Any]) -> str:
    place = f"arn:{request.partition}:scheduler:{request.region}:{request.caller.account}"
    return f"{place}:schedule/{given.get('GroupName') or DEFAULT_GROUP}/{given['Name']}"


def _state(request: Request, given: Mapping[str, Any]) -> Any:
    """moto's schedule of this name, or None."""
    from moto.scheduler.models import scheduler_backends as backends

    groups: Any = backends[request.caller.account][request.region].schedule_groups
    group = groups.get(given.get("GroupName") or DEFAULT_GROUP)
    return group.schedules.get(given["Name"]) if group is not None else None


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
