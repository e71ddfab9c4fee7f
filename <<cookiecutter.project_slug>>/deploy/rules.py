"""Rules between the parameters of a stage, which no single declaration can state; one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Values = Mapping[str, str]
"""The values of a stage as CloudFormation gets them, defaults filled in."""

MAX_PAYLOADS_MB = 100
"""What a transform job may have under way: its payloads together. SageMaker's limit."""

MAX_UPDATE_WAIT_SECONDS = 21600
"""All waits of a linear update together. SageMaker ends an update after at most 28,800 s (the endpoint
template asks for that much), and starting and stopping the instances needs its part of it."""


@dataclass(frozen=True)
class Rule:
    """A rule over several parameters; looked at only when each of them is declared and valid."""

    parameters: tuple[str, ...]
    text: str
    holds: Callable[[Values], bool]


def _guarded(values: Values) -> bool:
    return values["UpdatePolicy"] in ("CANARY", "LINEAR")


def _scales(values: Values) -> bool:
    return int(values["AutoscalingMaxCapacity"]) > 0


def _linear_wait(values: Values) -> int:
    """Return the seconds that the waits of a linear update take: one after each of its steps."""
    return math.ceil(100 / int(values["UpdateStepPercent"])) * int(values["UpdateWaitSeconds"])


RULES = (
    Rule(
        ("UpdatePolicy", "EndpointInstanceCount"),
        "a CANARY or LINEAR update shifts part of the instances: EndpointInstanceCount must be at least 2",
        lambda v: not _guarded(v) or int(v["EndpointInstanceCount"]) >= 2,
    ),
    Rule(
        ("UpdatePolicy", "UpdateStepPercent", "UpdateWaitSeconds"),
        f"the waits of a LINEAR update together must be at most {MAX_UPDATE_WAIT_SECONDS} seconds: "
        "lower UpdateWaitSeconds or raise UpdateStepPercent",
        lambda v: v["UpdatePolicy"] != "LINEAR" or _linear_wait(v) <= MAX_UPDATE_WAIT_SECONDS,
    ),
    Rule(
        ("AutoscalingMinCapacity", "AutoscalingMaxCapacity"),
        "AutoscalingMinCapacity must be at most AutoscalingMaxCapacity",
        lambda v: not _scales(v) or int(v["AutoscalingMinCapacity"]) <= int(v["AutoscalingMaxCapacity"]),
    ),
    Rule(
        ("EndpointInstanceCount", "AutoscalingMinCapacity", "AutoscalingMaxCapacity"),
        "with autoscaling, EndpointInstanceCount must lie between AutoscalingMinCapacity and "
        "AutoscalingMaxCapacity",
        lambda v: (
            not _scales(v)
            or int(v["AutoscalingMinCapacity"]) > int(v["AutoscalingMaxCapacity"])
            or int(v["AutoscalingMinCapacity"])
            <= int(v["EndpointInstanceCount"])
            <= int(v["AutoscalingMaxCapacity"])
        ),
    ),
    Rule(
        ("UpdatePolicy", "AutoscalingMinCapacity", "AutoscalingMaxCapacity"),
        "a CANARY or LINEAR update with autoscaling needs AutoscalingMinCapacity of at least 2",
        lambda v: not _guarded(v) or not _scales(v) or int(v["AutoscalingMinCapacity"]) >= 2,
    ),
    Rule(
        ("MonitorSchedule", "DataCapturePercentage"),
        "the monitor reads captured requests: raise DataCapturePercentage above 0 or set MonitorSchedule off",
        lambda v: v["MonitorSchedule"] == "off" or int(v["DataCapturePercentage"]) > 0,
    ),
    Rule(
        ("SubnetIds", "SecurityGroupIds"),
        "give both SubnetIds and SecurityGroupIds (the endpoint runs in your VPC) or neither",
        lambda v: bool(v["SubnetIds"]) == bool(v["SecurityGroupIds"]),
    ),
    Rule(
        ("ShadowOfVersion", "DataCapturePercentage"),
        "a shadow is compared by what is captured: ShadowOfVersion needs DataCapturePercentage above 0",
        lambda v: int(v["ShadowOfVersion"]) == 0 or int(v["DataCapturePercentage"]) > 0,
    ),
    Rule(
        ("ServerlessProvisionedConcurrency", "ServerlessMaxConcurrency"),
        "ServerlessProvisionedConcurrency must be at most ServerlessMaxConcurrency",
        lambda v: int(v["ServerlessProvisionedConcurrency"]) <= int(v["ServerlessMaxConcurrency"]),
    ),
    Rule(
        ("TransformMaxConcurrent", "TransformMaxPayloadMB"),
        f"TransformMaxConcurrent times TransformMaxPayloadMB must be at most {MAX_PAYLOADS_MB}",
        lambda v: int(v["TransformMaxConcurrent"]) * int(v["TransformMaxPayloadMB"]) <= MAX_PAYLOADS_MB,
    ),
)


def broken_rules(values: Values, rules: tuple[Rule, ...] = RULES) -> list[Rule]:
    """Return the rules that `values` break; one with a parameter that is not in `values` does not apply."""
    return [
        rule for rule in rules if all(name in values for name in rule.parameters) and not rule.holds(values)
    ]
