"""The targets that EventBridge's rules can have here, and how each is called. Knows neither patterns nor templates.

A target with a role is called as that role, over HTTP like any program. A topic or a queue without one is let in by
its own policy, which must allow ``events.amazonaws.com``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ... import policies as policy
from ..ground import Actor, Ground
from ..wire import AwsError, not_implemented
from . import events_input

PRINCIPAL = "events.amazonaws.com"
ARN = re.compile(r"arn:(?P<partition>[\w-]+):(?P<service>[\w-]+):(?P<region>[\w-]*):(?P<account>\d*):(?P<resource>.+)")
# What a target may have beside these is not honoured, so it is refused.
HONOURED = {"Id", "Arn", "RoleArn", *events_input.WAYS, "RetryPolicy"}
SESSION = "events"
# Condition keys that have no value when it is a service that calls.
NO_VALUE = ("aws:sourceowner", "aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principaltag/")


class NotDelivered(Exception):
    """A target did not get its event; the message says why."""


@dataclass(frozen=True)
class Delivery:
    """One event for one target.

    Attributes:
        ground: what makes clients.
        target: as ``PutTargets`` had it.
        event: the whole event.
        text: what the target is given.
        rule_arn: the rule's.
    """

    ground: Ground
    target: Mapping[str, Any]
    event: Mapping[str, Any]
    text: str
    rule_arn: str

    @property
    def is_bus(self) -> bool:
        """Whether the target is an event bus."""
        return self.arn["service"] == "events"

    @property
    def arn(self) -> re.Match[str]:
        """The parts of the target's ARN."""
        return _parts(self.target)

    def client(self, service: str, actor: Actor | None = None) -> Any:
        """A client of a service where the target is, as the target's role unless an actor is given."""
        role = self.target.get("RoleArn")
        acting = actor or self.ground.role(str(role), PRINCIPAL, SESSION, self.rule_arn)
        return self.ground.client(service, acting, self.arn["region"])

    def parameters(self) -> dict[str, Any]:
        """What the target was given to be called with; an event as such has no parameters for it.

        Raises:
            NotDelivered: it is not a JSON object.
        """
        if not any(self.target.get(way) is not None for way in events_input.WAYS):
            return {}
        try:
            given = json.loads(self.text)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise NotDelivered(f"The input is not a JSON object: {self.text}")
        return given


@dataclass(frozen=True)
class Kind:
    """How a kind of target is called: its resource in an ARN, whether it needs a role, the name of its parameters."""

    resource: re.Pattern[str]
    needs_role: bool
    call: Callable[[Delivery], None]
    own: str = ""


def check(target: Mapping[str, Any], ground: Ground, rule_arn: str) -> None:
    """Refuses a target of a rule that could not be called.

    Raises:
        AwsError: ``ValidationException``, or a kind of target that is not implemented, by name.
    """
    arn, name = _parts(target), target["Id"]
    kind = KINDS.get(arn["service"])
    if kind is None or not kind.resource.fullmatch(arn["resource"]):
        what = f"{arn['service']} ({arn['resource']})"
        raise not_implemented("events", "PutTargets", f"Nothing can be delivered to a target of {what}.")
    unknown = sorted(key for key, value in target.items() if value and key not in HONOURED and key != kind.own)
    if unknown:
        raise not_implemented("events", "PutTargets", f"{', '.join(unknown)} of target {name} would be ignored.")
    role = target.get("RoleArn")
    if kind.needs_role and not role:
        raise AwsError("ValidationException", f"RoleArn is required for target {target['Arn']}.")
    if role:
        check_role(role, ground, rule_arn)
    if arn["service"] == "sqs" and arn["resource"].endswith(".fifo") and not target.get("SqsParameters"):
        raise AwsError("ValidationException", f"Parameter(s) SqsParameters must be specified for target: {name}.")
    events_input.check(target)


def check_role(role: str, ground: Ground, rule_arn: str) -> None:
    """Refuses a role that EventBridge cannot assume for a rule.

    Raises:
        AwsError: ``ValidationException``.
    """
    try:
        ground.role(role, PRINCIPAL, SESSION, rule_arn)
    except AwsError as error:
        message = f"Provided role '{role}' cannot be assumed by principal '{PRINCIPAL}'. ({error.message})"
        raise AwsError("ValidationException", message) from None


def deliver(delivery: Delivery) -> None:
    """Calls the target.

    Raises:
        NotDelivered: it refused, or may not be called.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        KINDS[delivery.arn["service"]].call(delivery)
    except (BotoCoreError, ClientError) as error:
        raise NotDelivered(str(error)) from None
    except AwsError as error:
        raise NotDelivered(f"{error.code}: {error.message}") from None
    except events_input.NoInput as error:
        raise NotDelivered(str(error)) from None


def _parts(target: Mapping[str, Any]) -> re.Match[str]:
    found = ARN.fullmatch(target["Arn"])
    if found is None:
        raise AwsError(
            "ValidationException",
            f"Parameter {target['Arn']} is not valid. Reason: Provided Arn is not in correct format.",
        )
    return found


def _pipeline(delivery: Delivery) -> None:
    delivery.client("codepipeline").start_pipeline_execution(
        **{**delivery.parameters(), "name": delivery.arn["resource"]}
    )


def _build(delivery: Delivery) -> None:
    project = delivery.arn["resource"].partition("/")[2]
    delivery.client("codebuild").start_build(**{**delivery.parameters(), "projectName": project})


def _model_pipeline(delivery: Delivery) -> None:
    listed = (delivery.target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList") or []
    parameters = [{"Name": p["Name"], "Value": _value(p["Value"], delivery.event)} for p in listed]
    name = delivery.arn["resource"].partition("/")[2]
    delivery.client("sagemaker").start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)


def _value(value: str, event: Mapping[str, Any]) -> str:
    if not value.startswith("$."):
        return value
    found = events_input.value_at(value, event)
    return found if isinstance(found, str) else json.dumps(found)


def _topic(delivery: Delivery) -> None:
    arn = delivery.target["Arn"]
    client = _let_in(
        delivery,
        "sns",
        "sns:Publish",
        lambda owner: owner.get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy"),
    )
    client.publish(TopicArn=arn, Message=delivery.text)


def _queue(delivery: Delivery) -> None:
    name, account = delivery.arn["resource"], delivery.arn["account"]

    def address(client: Any) -> str:
        return str(client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])

    def policy_of(owner: Any) -> Any:
        answer = owner.get_queue_attributes(QueueUrl=address(owner), AttributeNames=["Policy"])
        return answer.get("Attributes", {}).get("Policy")

    client = _let_in(delivery, "sqs", "sqs:SendMessage", policy_of)
    client.send_message(
        QueueUrl=address(client), MessageBody=delivery.text, **(delivery.target.get("SqsParameters") or {})
    )


def _let_in(delivery: Delivery, service: str, action: str, policy_of: Callable[[Any], str | None]) -> Any:
    """A client that may do ``action``: the target's role's, or its owner's, if its policy lets EventBridge in."""
    if delivery.target.get("RoleArn"):
        return delivery.client(service)
    owner = delivery.client(service, delivery.ground.root(delivery.arn["account"], delivery.arn["partition"]))
    document = json.loads(policy_of(owner) or "{}")
    if not _allows(document, action, delivery):
        raise NotDelivered(f"The policy of {delivery.target['Arn']} does not let {PRINCIPAL} do {action}.")
    return owner


def _bus(delivery: Delivery) -> None:
    """Whether the role of the rule may send the event to the bus, and a bus of another account lets that account in.

    The event itself is handed on by who knows the buses: for ``PutEvents``, no event may be of AWS's own.
    """
    role, bus, event = str(delivery.target["RoleArn"]), delivery.target["Arn"], delivery.event
    owner = delivery.ground.root(delivery.arn["account"], delivery.arn["partition"])
    there = delivery.client("events", owner).describe_event_bus(Name=delivery.arn["resource"].partition("/")[2])
    entry = {"Source": event["source"], "DetailType": event["detail-type"], "EventBusName": bus, "Detail": "{}"}
    actor = delivery.ground.role(role, PRINCIPAL, SESSION, delivery.rule_arn)
    delivery.ground.permit(actor, delivery.arn["region"], "events", "PutEvents", {"Entries": [entry]})
    if actor.account == delivery.arn["account"] or delivery.ground.strict:  # which has judged the bus's policy already
        return
    context = {"events:source": event["source"], "events:detail-type": event["detail-type"]}
    asked = policy.Asked(actor.account, role, "events:PutEvents", bus, context)
    verdict = policy.evaluate(json.loads(there.get("Policy") or "{}"), asked)
    if not verdict.allowed or verdict.denied:
        raise NotDelivered(f"The policy of {bus} does not let account {actor.account} do events:PutEvents.")


def _allows(document: Mapping[str, Any], action: str, delivery: Delivery) -> bool:
    statements = document.get("Statement", [])
    listed = statements if isinstance(statements, list) else [statements]
    # Evaluated as for an anonymous caller, once it is clear which statements are about EventBridge.
    about = [{**statement, "Principal": "*"} for statement in listed if _names_events(statement.get("Principal"))]
    context = {
        "aws:securetransport": "true",
        "aws:sourceaccount": delivery.rule_arn.split(":")[4],
        "aws:sourcearn": delivery.rule_arn,
    }
    asked = policy.Asked("", "", action, delivery.target["Arn"], context, NO_VALUE)
    verdict = policy.evaluate({"Statement": about}, asked)
    return verdict.allowed and not verdict.denied


def _names_events(principal: Any) -> bool:
    if not isinstance(principal, dict):
        return bool(principal == "*")
    named = [name for value in principal.values() for name in (value if isinstance(value, list) else [value])]
    return PRINCIPAL in named or "*" in named


KINDS = {
    "codebuild": Kind(re.compile(r"project/.+"), True, _build),
    "events": Kind(re.compile(r"event-bus/[\w.-]+"), True, _bus),
    "codepipeline": Kind(re.compile(r"[\w.@-]+"), True, _pipeline),
    "sagemaker": Kind(re.compile(r"pipeline/.+"), True, _model_pipeline, "SageMakerPipelineParameters"),
    "sns": Kind(re.compile(r"[\w.-]+"), False, _topic),
    "sqs": Kind(re.compile(r"[\w.-]+"), False, _queue, "SqsParameters"),
}
