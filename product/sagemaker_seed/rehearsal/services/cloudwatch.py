"""CloudWatch: moto keeps metrics, alarms and dashboards; here metrics move alarms, and alarms tell of it.

An alarm on one metric is looked at whenever something is said of that metric, and at no other time: no clock is here.
Alarms on metric math and composite alarms keep the state that ``SetAlarmState`` gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from ..ground import Event, Ground
from ..wire import Request
from . import cloudwatch_dashboards
from .service import Service

COMPARES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}
ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
OF_A_METRIC = ("Namespace", "MetricName", "Dimensions", "Statistic", "Period", "Unit")


def service(ground: Ground) -> Service:
    """CloudWatch, with alarms that follow their metrics."""
    return Service(name="cloudwatch", operations={}, guard=_Alarms(ground).guard)


class _Alarms:
    """What becomes of alarms; their states are moto's."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @contextmanager
    def guard(self, request: Request) -> Iterator[None]:
        """Around what moto answers."""
        given = request.parameters() if request.operation in WATCHED else {}
        if request.operation == "PutDashboard":
            cloudwatch_dashboards.check(given["DashboardBody"])
        before = self._states(request, [given["AlarmName"]]) if request.operation == "SetAlarmState" else {}
        yield
        for name, alarm in before.items():
            self._tell(request, alarm, self._states(request, [name])[name])
        if request.operation == "PutMetricData":
            self._look(request, given)

    def _client(self, request: Request) -> Any:
        return self._ground.client("cloudwatch", self._ground.root(request.caller.account), request.region)

    def _states(self, request: Request, names: Sequence[str]) -> dict[str, Any]:
        found = self._client(request).describe_alarms(AlarmNames=list(names))["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}

    def _look(self, request: Request, given: Mapping[str, Any]) -> None:
        """Moves the alarms of the metrics of which something was said."""
        client = self._client(request)
        said = {_metric({**datum, "Namespace": given["Namespace"]}) for datum in given["MetricData"]}
        for page in client.get_paginator("describe_alarms").paginate():
            for alarm in page["MetricAlarms"]:
                if alarm.get("MetricName") and alarm.get("Statistic") and _metric(alarm) in said:
                    self._move(client, alarm)

    def _move(self, client: Any, alarm: Mapping[str, Any]) -> None:
        value, wanted = _newest(client, alarm), float(alarm["Threshold"])
        if value is None or alarm["ComparisonOperator"] not in COMPARES:
            return
        raised = COMPARES[alarm["ComparisonOperator"]](value, wanted)
        state = "ALARM" if raised else "OK"
        if state != alarm["StateValue"]:
            crossed = "was" if raised else "was not"
            reason = f"Threshold Crossed: 1 datapoint [{value:g}] {crossed} {alarm['ComparisonOperator']} ({wanted:g})."
            client.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason=reason)

    def _tell(self, request: Request, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Says that an alarm has another state: to EventBridge, and to the topics that its actions name."""
        if before["StateValue"] == now["StateValue"]:
            return
        detail = {
            "alarmName": now["AlarmName"],
            "configuration": {"description": now.get("AlarmDescription", "")},
            "previousState": _state(before),
            "state": _state(now),
        }
        account, arn = request.caller.account, now["AlarmArn"]
        self._ground.emit(
            Event(account, request.region, "aws.cloudwatch", "CloudWatch Alarm State Change", detail, (arn,))
        )
        if not now.get("ActionsEnabled", True):
            return
        message = {
            "AlarmName": now["AlarmName"],
            "AlarmArn": arn,
            "AWSAccountId": account,
            "NewStateValue": now["StateValue"],
            "NewStateReason": now.get("StateReason", ""),
            "OldStateValue": before["StateValue"],
        }
        topics = [action for action in now.get(ACTIONS[now["StateValue"]], ()) if ":sns:" in action]
        for topic in topics:
            sns = self._ground.client("sns", self._ground.root(account), topic.split(":")[3])
            try:
                subject = f'{now["StateValue"]}: "{now["AlarmName"]}"'[:100]
                sns.publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))
            except ClientError as error:
                print(f"{arn} -> {topic} not told: {error}", flush=True)


WATCHED = {"PutDashboard", "PutMetricData", "SetAlarmState"}


def _metric(of: Mapping[str, Any]) -> tuple[str, str, frozenset[tuple[str, str]]]:
    dimensions = frozenset((d["Name"], d["Value"]) for d in of.get("Dimensions") or ())
    return of["Namespace"], of["MetricName"], dimensions


def _newest(client: Any, alarm: Mapping[str, Any]) -> float | None:
    """The statistic of the newest period of an alarm's metric; None if nothing was said in as long as it looks back."""
    now, period = datetime.now(UTC), timedelta(seconds=alarm["Period"])
    asked = {name: alarm[name] for name in OF_A_METRIC if name in alarm and name != "Statistic"}
    points = client.get_metric_statistics(
        **asked,
        Statistics=[alarm["Statistic"]],
        StartTime=now - period,
        EndTime=now + timedelta(seconds=1),
    )["Datapoints"]
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    return None if newest is None else float(newest[alarm["Statistic"]])


def _state(alarm: Mapping[str, Any]) -> dict[str, str]:
    changed = alarm.get("StateUpdatedTimestamp") or datetime.now(UTC)
    return {
        "value": alarm["StateValue"],
        "reason": alarm.get("StateReason", ""),
        "timestamp": changed.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
    }
