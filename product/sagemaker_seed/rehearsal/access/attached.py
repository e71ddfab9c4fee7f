"""The policies that resources have: finds the one that is asked when something is done to a resource. Judges nothing.

A service whose state is its own tells the gate how to find its policies; those of moto's services are found here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Service in a resource's ARN -> what AWS calls the policy of such a resource.
KINDS = {
    "events": "event bus policy",
    "iam": "trust policy",
    "kms": "key policy",
    "s3": "bucket policy",
    "sagemaker": "model package group policy",
    "sns": "topic policy",
    "sqs": "queue policy",
}


@dataclass(frozen=True)
class Attached:
    """The policy of a resource.

    Attributes:
        holder: the ARN of the resource that has it, which need not be the one that is acted on.
        text: empty where the resource is not there or has no policy.
    """

    holder: str
    text: str


# The ARN of what is acted on -> the policy that is asked; None where resources of this kind can have none.
Finder = Callable[[str], Attached | None]


def kind_of(holder: str) -> str:
    """What AWS calls the policy of the resource of this ARN."""
    return KINDS[holder.split(":")[2]]


def _bus(arn: str) -> Attached | None:
    from moto.events.models import events_backends

    name = arn.split(":", 5)[5].removeprefix("event-bus/")
    if f":event-bus/{name}" not in arn:
        return None
    return _of(arn, events_backends, lambda state: state.event_buses.get(name))


def _topic(arn: str) -> Attached | None:
    from moto.sns.models import sns_backends

    return _of(arn, sns_backends, lambda state: state.topics.get(arn))


def _queue(arn: str) -> Attached | None:
    from moto.sqs.models import sqs_backends

    return _of(arn, sqs_backends, lambda state: state.queues.get(arn.rpartition(":")[2]))


def _of(arn: str, backends: Any, find: Callable[[Any], Any]) -> Attached:
    _, _, _, region, account, _ = arn.split(":", 5)
    regions = backends[account]
    found = find(regions[region]) if region in regions.regions else None
    text = "" if found is None else found.policy
    return Attached(arn, text if isinstance(text, str) else "")


FINDERS: dict[str, Finder] = {"events": _bus, "sns": _topic, "sqs": _queue}
