"""Takes an endpoint to service and from one fleet to the next, and back when that fails. Answers no request.

The waits of a guarded update are for traffic that a rehearsal does not have: they are shortened ``WAITS_SHORTENED``
times, so that five minutes are a tenth of a second. Alarms are asked for their state all through a wait.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .failure import ServingFailure
from .traffic import Fleet, Traffic

WAITS_SHORTENED = 3000
POLL_SECONDS = 0.02
STEP_MEMBERS = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}

Launch = Callable[[], Fleet]
Alarms = Callable[[], list[str]]


def now() -> datetime:
    """The time, as answers give it."""
    return datetime.now(UTC)


@dataclass
class Endpoint:
    """An endpoint: what it was told, what it runs, and what is becoming of it. ``tags`` is what moto looks at.

    Attributes:
        config: the endpoint configuration in force (while it is created: that it is to get).
        told: is called after each change of status.
    """

    name: str
    arn: str
    config: Mapping[str, Any]
    tags: list[dict[str, str]]
    told: Callable[[Endpoint], None]
    status: str = "Creating"
    reason: str | None = None
    fleet: Fleet | None = None
    pending: Mapping[str, Any] | None = None
    pending_since: datetime | None = None
    deployment: Mapping[str, Any] | None = None
    traffic: Traffic = field(default_factory=Traffic)
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)

    def become(self, status: str, reason: str | None = None) -> None:
        """Takes a status, and with it the reason for a failure or none."""
        self.reason, self.modified = reason, now()
        self.status = status
        self.told(self)


def create(endpoint: Endpoint, launch: Launch) -> None:
    """Brings a new endpoint into service, or to its failure; in a thread of its own."""

    def work() -> None:
        try:
            fleet = launch()
        except ServingFailure as failure:
            endpoint.become("Failed", str(failure))
            return
        endpoint.traffic.route((fleet, 1.0))
        endpoint.fleet = fleet
        endpoint.become("InService")

    _in_background(endpoint, work)


def update(endpoint: Endpoint, launch: Launch, alarms: Alarms) -> None:
    """Brings an endpoint to its pending configuration, or back to the one it has; in a thread of its own."""

    def work() -> None:
        try:
            green = launch()
        except ServingFailure as failure:
            _back(endpoint, str(failure))
            return
        blue = endpoint.fleet
        if blue is None:
            raise RuntimeError(f"{endpoint.name} was updated before it was in service")
        for share, seconds in steps(endpoint.deployment or {}, green):
            endpoint.traffic.route((blue, 1 - share), (green, share))
            if raised := _watched(seconds / WAITS_SHORTENED, alarms):
                endpoint.traffic.route((blue, 1.0))
                _back(endpoint, f"The update was rolled back: {raised}")
                green.stop()
                return
        endpoint.fleet, endpoint.config = green, green.config
        endpoint.pending = endpoint.pending_since = None
        endpoint.become("InService")
        blue.stop()

    _in_background(endpoint, work)


def steps(deployment: Mapping[str, Any], fleet: Fleet) -> Iterator[tuple[float, float]]:
    """The shares of traffic that the new fleet gets, one after the other, and the seconds to wait after each."""
    policy = deployment.get("BlueGreenUpdatePolicy")
    if not policy:
        yield 1.0, 0.0
        return
    routing = policy["TrafficRoutingConfiguration"]
    wait, last = routing.get("WaitIntervalInSeconds", 0), policy.get("TerminationWaitInSeconds", 0)
    member = STEP_MEMBERS.get(routing["Type"])
    if member is not None:
        step = _share(routing[member], fleet)
        share = step
        while share < 1.0 - 1e-9:
            yield share, wait
            share = 1.0 if routing["Type"] == "CANARY" else share + step
    yield 1.0, wait + last


def _share(size: Mapping[str, Any], fleet: Fleet) -> float:
    whole = 100 if size["Type"] == "CAPACITY_PERCENT" else sum(variant.instances for variant in fleet.variants)
    return float(min(1.0, size["Value"] / whole))


def _watched(seconds: float, alarms: Alarms) -> str:
    """Waits; what the alarms say that ends it, or nothing."""
    deadline = time.monotonic() + seconds
    while True:
        if raised := alarms():
            return f"alarms in the state ALARM: {', '.join(raised)}"
        if time.monotonic() >= deadline:
            return ""
        time.sleep(POLL_SECONDS)


def _back(endpoint: Endpoint, reason: str) -> None:
    endpoint.become("RollingBack", reason)
    time.sleep(POLL_SECONDS)
    endpoint.pending = endpoint.pending_since = None
    endpoint.become("InService", reason)


def _in_background(endpoint: Endpoint, work: Callable[[], None]) -> None:
    def safely() -> None:
        try:
            work()
        except Exception as error:  # the endpoint must not stay on its way for ever
            print(f"endpoint {endpoint.name}:", file=sys.stderr)
            traceback.print_exc()
            status = "Failed" if endpoint.fleet is None else "UpdateRollbackFailed"
            endpoint.become(status, f"The embedded AWS failed: {type(error).__name__}: {error}")

    threading.Thread(target=safely, daemon=True, name=f"endpoint {endpoint.name}").start()
