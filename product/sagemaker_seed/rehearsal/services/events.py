"""EventBridge: moto keeps the rules and targets; here events are compared with the patterns, and targets called.

Events are those that the embedded AWS's own services emit, and those of ``PutEvents``. Every delivery, and every
failure of one, can be read at ``/_embedded/deliveries``; nothing is tried again. Schedules are kept, and their time
comes when somebody says so at ``/_embedded/schedules``. What would be stored and never act (archives, replays, API
destinations) is refused by name.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from moto.events.models import events_backends

from ..embedded import DELIVERIES_PATH, SCHEDULES_PATH, Delivery
from ..ground import Event, Ground
from ..wire import AwsError, Request, not_implemented
from . import events_input, events_pattern, events_s3, events_schedules, events_targets, validation
from .service import Operation, Service

DEFAULT_BUS = "default"
MOST_TARGETS = 5
MOST_ENTRIES = 10
ENTRIES_SIZE = 256 * 1024
REQUIRED_OF_AN_EVENT = ("id", "account", "source", "time", "region", "resources", "detail-type")
REQUIRED_OF_AN_ENTRY = ("Source", "DetailType", "Detail")
# What moto would keep and nobody would act on.
REFUSED = {
    "CancelReplay": "Nothing is replayed.",
    "CreateApiDestination": "Nothing would be sent to it.",
    "CreateArchive": "Nothing would be archived.",
    "CreateConnection": "Nothing would connect.",
    "CreatePartnerEventSource": "Partners send nothing here.",
    "PutPartnerEvents": "Partners send nothing here.",
    "StartReplay": "Nothing is archived.",
}


@dataclass(frozen=True)
class Sent(Event):
    """An event that somebody sent with ``PutEvents`` or a rule handed on, and to which bus.

    Attributes:
        owner: whose bus it is, if it is not of the account in which it happened.
        where: its region, if it is not the one in which it happened.
    """

    id: str = ""
    bus: str = DEFAULT_BUS
    time: datetime | None = None
    owner: str = ""
    where: str = ""


def service(ground: Ground) -> Service:
    """EventBridge, with a record of deliveries of its own for each server."""
    events = _Events(ground)
    events_s3.tell(ground)
    refused = {name: _refuse(why) for name, why in REFUSED.items()}
    ours: dict[str, Operation] = {"PutEvents": events.put, "TestEventPattern": _test_pattern}
    return Service(name="events", operations={**refused, **ours}, guard=events.guard)


def _refuse(why: str) -> Operation:
    def refuse(request: Request) -> object:
        raise not_implemented("events", request.operation, why)

    return refuse


class _Events:
    """The way of an event from what happened to the targets of the rules that match it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._deliveries: list[Delivery] = []
        self._lock = threading.Lock()
        ground.pages[DELIVERIES_PATH] = self._page
        ground.pages[SCHEDULES_PATH] = events_schedules.listed
        ground.forms[SCHEDULES_PATH] = self._time_comes
        ground.subscribe(self._happened)

    def _page(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(delivery) for delivery in self._deliveries]

    def put(self, request: Request) -> object:
        entries = request.parameters().get("Entries") or []
        if not 1 <= len(entries) <= MOST_ENTRIES:
            bound = "greater than or equal to 1" if not entries else f"less than or equal to {MOST_ENTRIES}"
            raise _invalid(
                "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to satisfy "
                f"constraint: Member must have length {bound}"
            )
        if sum(len(str(value).encode()) for entry in entries for value in entry.values()) > ENTRIES_SIZE:
            raise _invalid("Total size of the entries in the request is over the limit.")
        answers = [self._put_entry(request, entry) for entry in entries]
        return {"Entries": answers, "FailedEntryCount": sum("ErrorCode" in answer for answer in answers)}

    def _put_entry(self, request: Request, entry: Mapping[str, Any]) -> dict[str, str]:
        for name in REQUIRED_OF_AN_ENTRY:
            if not entry.get(name):
                reason = f"Parameter {name} is not valid. Reason: {name} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": reason}
        if entry["Source"].startswith("aws."):
            return {
                "ErrorCode": "NotAuthorizedForSourceException",
                "ErrorMessage": "Not authorized for the source.",
            }
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        sent = Sent(
            request.caller.account,
            request.region,
            entry["Source"],
            entry["DetailType"],
            detail,
            tuple(entry.get("Resources") or ()),
            str(uuid.uuid4()),
            _bus_name(request, entry.get("EventBusName")),
            entry.get("Time"),
        )
        self._ground.emit(sent)
        return {"EventId": sent.id}

    @contextmanager
    def guard(self, request: Request) -> Iterator[None]:
        """Around what moto answers: refuses rules and targets that would not act as they say."""
        if request.operation in {"PutRule", "PutTargets"}:
            given = request.parameters()
            validation.check(given, request.operation_model.input_shape)
            if request.operation == "PutRule":
                self._check_rule(request, given)
            else:
                self._check_targets(request, given)
        yield

    def _check_rule(self, request: Request, given: Mapping[str, Any]) -> None:
        if given.get("EventPattern"):
            events_pattern.parse(given["EventPattern"])
        if given.get("ScheduleExpression"):
            events_schedules.check(given["ScheduleExpression"], _bus_name(request, given.get("EventBusName")))
        if given.get("RoleArn"):
            arn = _rule_arn(request, given["Name"], given.get("EventBusName"))
            events_targets.check_role(given["RoleArn"], self._ground, arn)

    def _check_targets(self, request: Request, given: Mapping[str, Any]) -> None:
        bus = _buses(request.caller.account, request.region).get(_bus_name(request, given.get("EventBusName")))
        rule = bus.rules.get(given["Rule"]) if bus is not None else None
        arn = _rule_arn(request, given["Rule"], given.get("EventBusName"))
        for target in given["Targets"]:
            events_targets.check(target, self._ground, arn)
        if rule is not None and len({t["Id"] for t in (*rule.targets, *given["Targets"])}) > MOST_TARGETS:
            raise AwsError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")

    def _happened(self, event: Event) -> None:
        """Delivers one event to every target of every rule that matches it."""
        sent = event if isinstance(event, Sent) else Sent(**vars(event))
        bus = _buses(sent.owner or sent.account, sent.where or sent.region).get(sent.bus)
        if bus is None:
            return
        seen = _seen(sent)
        for rule in list(bus.rules.values()):
            pattern = rule.event_pattern.dump()
            if not rule.state.startswith("ENABLED") or not pattern:
                continue
            if events_pattern.matches(events_pattern.parse(pattern), seen):
                for target in list(rule.targets):
                    self._deliver(rule, target, seen)

    def _time_comes(self, body: bytes) -> object:
        """Starts what a schedule starts, once, as if its time had come; says what was delivered, or what is wrong."""
        try:
            rule = events_schedules.named(body)
        except ValueError as error:
            return {"error": str(error)}
        before = len(self._deliveries)
        seen = _seen(Sent(rule.account_id, rule.region_name, "aws.events", "Scheduled Event", {}, (rule.arn,)))
        for target in list(rule.targets):
            self._deliver(rule, target, seen)
        return self._page()[before:]

    def _deliver(self, rule: Any, target: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
        about_rule = {
            "aws.events.rule-arn": rule.arn,
            "aws.events.rule-name": rule.name,
            "aws.events.event.ingestion-time": _time(datetime.now(UTC)),
        }
        text = reason = ""
        try:
            text = events_input.made(target, seen, about_rule)
            delivery = events_targets.Delivery(self._ground, target, seen, text, rule.arn)
            events_targets.deliver(delivery)
            if delivery.is_bus:
                self._hand_on(delivery)
        except (events_input.NoInput, events_targets.NotDelivered) as error:
            reason = str(error)
            print(f"{rule.arn} -> {target['Arn']} not delivered: {reason}", file=sys.stderr, flush=True)
        noted = Delivery(
            account=rule.account_id,
            region=rule.region_name,
            rule=rule.name,
            target=target["Arn"],
            event=str(seen["id"]),
            detail_type=str(seen["detail-type"]),
            input=text,
            status="failed" if reason else "delivered",
            reason=reason,
        )
        with self._lock:
            self._deliveries.append(noted)

    def _hand_on(self, delivery: events_targets.Delivery) -> None:
        """Brings an event to another bus as what it is: where it happened, and whose it is, stay."""
        arn, event = delivery.arn, delivery.event
        self._ground.emit(
            Sent(
                event["account"],
                event["region"],
                event["source"],
                event["detail-type"],
                event["detail"],
                tuple(event["resources"]),
                event["id"],
                arn["resource"].removeprefix("event-bus/"),
                datetime.fromisoformat(event["time"]),
                arn["account"],
                arn["region"],
            )
        )


def _buses(account: str, region: str) -> Mapping[str, Any]:
    """moto's buses of an account and region, by name."""
    buses: Mapping[str, Any] = events_backends[account][region].event_buses
    return buses


def _bus_name(request: Request, given: str | None) -> str:
    """The name of a bus that a request gives by name or ARN.

    Raises:
        AwsError: it is another account's, or there is none.
    """
    name = given or DEFAULT_BUS
    if name.startswith("arn:"):
        _, _, _, region, account, resource = name.split(":", 5)
        if (region, account) != (request.region, request.caller.account):
            raise not_implemented("events", request.operation, f"Nothing is sent to buses elsewhere: {name}.")
        name = resource.removeprefix("event-bus/")
    if name not in _buses(request.caller.account, request.region):
        raise AwsError("ResourceNotFoundException", f"Event bus {name} does not exist.")
    return name


def _rule_arn(request: Request, name: str, bus: str | None) -> str:
    """The ARN of a rule of the caller's, which need not exist."""
    bus_name = _bus_name(request, bus)
    path = name if bus_name == DEFAULT_BUS else f"{bus_name}/{name}"
    return f"arn:{request.partition}:events:{request.region}:{request.caller.account}:rule/{path}"


def _seen(sent: Sent) -> dict[str, Any]:
    """An event as patterns and targets see it."""
    return {
        "version": "0",
        "id": sent.id or str(uuid.uuid4()),
        "detail-type": sent.detail_type,
        "source": sent.source,
        "account": sent.account,
        "time": _time(sent.time or datetime.now(UTC)),
        "region": sent.region,
        "resources": list(sent.resources),
        "detail": json.loads(json.dumps(sent.detail)),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _test_pattern(request: Request) -> object:
    given = request.parameters()
    validation.check(given, request.operation_model.input_shape)
    pattern = events_pattern.parse(given["EventPattern"])
    try:
        event = json.loads(given["Event"])
    except ValueError as error:
        raise _invalid(f"Parameter Event is not valid. Reason: Invalid JSON: {error}") from None
    missing = [name for name in REQUIRED_OF_AN_EVENT if not isinstance(event, dict) or name not in event]
    if missing:
        raise _invalid(f"Parameter Event is not valid. Reason: it lacks {', '.join(missing)}.")
    return {"Result": events_pattern.matches(pattern, event)}


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
