"""Schedules whose time comes when it is said, buses of other accounts, alarms that follow metrics, dashboards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws, EmbeddedAwsError

pytestmark = pytest.mark.slow

REGION, HERE, THERE = "eu-west-1", "111111111111", "222222222222"
METRIC = {"MetricName": "violations", "Dimensions": [{"Name": "Endpoint", "Value": "e"}]}
ALARM = {
    "AlarmName": "drift",
    "Namespace": "/aws/sagemaker/Endpoints/data-metrics",
    **METRIC,
    "Statistic": "Maximum",
    "Period": 3600,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 0.0,
}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(region=REGION) as running:
        yield running


def role(aws: EmbeddedAws, account: str) -> str:
    """A role that EventBridge may assume."""
    trusted = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam, name = aws.client("iam", account), f"watch-{account}"
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trusted]}))
    return f"arn:{'aws'}:iam::{account}:role/{name}"


def queue(aws: EmbeddedAws, account: str, name: str) -> tuple[str, str]:
    """A queue that EventBridge may write to: its URL and its ARN."""
    arn = f"arn:{'aws'}:sqs:{REGION}:{account}:{name}"
    let_in = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    policy = json.dumps({"Statement": [let_in]})
    made = aws.client("sqs", account).create_queue(QueueName=name, Attributes={"Policy": policy})
    return str(made["QueueUrl"]), arn


def rule(aws: EmbeddedAws, account: str, name: str, target: str, bus: str = "default", **how: Any) -> None:
    events = aws.client("events", account)
    events.put_rule(Name=name, EventBusName=bus, **how)
    target_of = {"Id": "t", "Arn": target}
    if ":event-bus/" in target:
        target_of["RoleArn"] = role(aws, account)
    events.put_targets(Rule=name, EventBusName=bus, Targets=[target_of])


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 5
    while not (what := found()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    return what


def received(aws: EmbeddedAws, account: str, url: str) -> dict[str, Any]:
    messages = until(lambda: aws.client("sqs", account).receive_message(QueueUrl=url).get("Messages"))
    event: dict[str, Any] = json.loads(messages[0]["Body"])
    return event


def test_a_schedule_starts_its_target_when_its_time_comes_and_not_before(aws: EmbeddedAws) -> None:
    url, arn = queue(aws, HERE, "scheduled")
    rule(aws, HERE, "daily", arn, ScheduleExpression="rate(1 day)")
    assert "Messages" not in aws.client("sqs", HERE).receive_message(QueueUrl=url)
    (delivery,) = aws.let_time_come("daily", HERE)
    assert (delivery.status, delivery.rule) == ("delivered", "daily")
    event = received(aws, HERE, url)
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert event["resources"] == [f"arn:{'aws'}:events:{REGION}:{HERE}:rule/daily"]


def test_a_schedule_that_is_not_there_or_disabled_is_named(aws: EmbeddedAws) -> None:
    _, arn = queue(aws, HERE, "never")
    rule(aws, HERE, "disabled", arn, ScheduleExpression="cron(0 12 * * ? *)", State="DISABLED")
    for name in ("missing", "disabled"):
        with pytest.raises(EmbeddedAwsError, match=f"there is no enabled rule {name} with a schedule in"):
            aws.let_time_come(name, HERE)


@pytest.mark.parametrize("expression", ["rate(1 days)", "rate(0 minutes)", "rate(5 hour)", "cron(0 12 * * ?)", "daily"])
def test_what_is_no_schedule_is_refused(aws: EmbeddedAws, expression: str) -> None:
    with pytest.raises(ClientError, match="Parameter ScheduleExpression is not valid"):
        aws.client("events", HERE).put_rule(Name="bad", ScheduleExpression=expression)


def bus_of(aws: EmbeddedAws, name: str, **condition: str) -> str:
    """A bus in the other account that lets this one send, under a condition."""
    events = aws.client("events", THERE)
    arn = str(events.create_event_bus(Name=name)["EventBusArn"])
    statement = {
        "Sid": "in",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{'aws'}:iam::{HERE}:root"},
        "Action": "events:PutEvents",
        "Resource": arn,
        **({"Condition": {"StringEquals": condition}} if condition else {}),
    }
    events.put_permission(EventBusName=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return arn


def test_an_alarm_crosses_accounts_as_what_it_is(aws: EmbeddedAws) -> None:
    bus = bus_of(aws, "project", **{"events:source": "aws.cloudwatch"})
    rule(aws, HERE, "tell", bus, EventPattern=json.dumps({"source": ["aws.cloudwatch"]}))
    url, arn = queue(aws, THERE, "told")
    raised = {"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}}
    rule(aws, THERE, "train", arn, bus="project", EventPattern=json.dumps(raised))
    cloudwatch = aws.client("cloudwatch", HERE)
    cloudwatch.put_metric_alarm(**ALARM)
    for value, state in ((0, "OK"), (3, "ALARM")):
        cloudwatch.put_metric_data(Namespace=ALARM["Namespace"], MetricData=[{**METRIC, "Value": value}])
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=["drift"])["MetricAlarms"]
        assert alarm["StateValue"] == state
    assert "Threshold Crossed: 1 datapoint [3] was GreaterThanThreshold (0)." in alarm["StateReason"]
    event = received(aws, THERE, url)
    assert (event["account"], event["detail-type"]) == (HERE, "CloudWatch Alarm State Change")
    assert event["resources"] == [alarm["AlarmArn"]]
    assert (event["detail"]["previousState"]["value"], event["detail"]["state"]["value"]) == ("OK", "ALARM")


def test_another_metric_moves_no_alarm(aws: EmbeddedAws) -> None:
    cloudwatch = aws.client("cloudwatch", HERE)
    cloudwatch.put_metric_alarm(**{**ALARM, "AlarmName": "other"})
    for other in ({"MetricName": "rows"}, {"Dimensions": [{"Name": "Endpoint", "Value": "f"}]}):
        cloudwatch.put_metric_data(Namespace=ALARM["Namespace"], MetricData=[{**METRIC, **other, "Value": 9}])
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["other"])["MetricAlarms"]
    assert alarm["StateValue"] == "OK"


@pytest.mark.parametrize(
    ("bus", "reason"),
    [("closed", "does not let account 111111111111 do events:PutEvents"), ("missing", "does not exist")],
)
def test_a_bus_that_does_not_let_an_event_in_is_said_in_the_deliveries(aws: EmbeddedAws, bus: str, reason: str) -> None:
    arn = f"arn:{'aws'}:events:{REGION}:{THERE}:event-bus/{bus}"
    if bus == "closed":
        assert bus_of(aws, bus, **{"events:source": "somebody"}) == arn
    rule(aws, HERE, f"to-{bus}", arn, EventPattern=json.dumps({"source": [bus]}))
    entry = {"Source": bus, "DetailType": "t", "Detail": "{}"}
    aws.client("events", HERE).put_events(Entries=[entry])
    delivery = until(lambda: next((d for d in aws.deliveries() if d.rule == f"to-{bus}"), None))
    assert delivery.status == "failed"
    assert reason in delivery.reason


def dashboard(aws: EmbeddedAws, *widgets: Any) -> None:
    body = json.dumps({"widgets": list(widgets)})
    aws.client("cloudwatch", HERE).put_dashboard(DashboardName="d", DashboardBody=body)


GOOD = {"type": "metric", "width": 12, "height": 6, "properties": {"region": REGION, "metrics": [["N", "M", "D", "v"]]}}


def test_a_dashboard_is_kept(aws: EmbeddedAws) -> None:
    dashboard(aws, GOOD, {"type": "alarm", "properties": {"alarms": ["arn"]}})
    kept = json.loads(aws.client("cloudwatch", HERE).get_dashboard(DashboardName="d")["DashboardBody"])
    assert kept["widgets"][0] == GOOD


@pytest.mark.parametrize(
    ("widget", "problem"),
    [
        ({**GOOD, "type": "chart"}, "/widgets/0/type: must be one of alarm"),
        ({**GOOD, "x": 13}, "/widgets/0/x: the widget ends beyond 24 columns"),
        ({**GOOD, "colour": "red"}, "/widgets/0/colour: is not known"),
        ({"type": "alarm", "properties": {"alarms": []}}, "/widgets/0/properties: must have alarms"),
        ({**GOOD, "properties": {"metrics": [["N", "M"]]}}, "/widgets/0/properties/region: is missing"),
        ({**GOOD, "properties": {"region": REGION, "metrics": [["N", "M", "D"]]}}, "must be an array of arrays"),
    ],
)
def test_a_dashboard_that_shows_nothing_is_refused_with_the_place(aws: EmbeddedAws, widget: Any, problem: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterInput") as error:
        dashboard(aws, widget)
    assert problem in str(error.value)
