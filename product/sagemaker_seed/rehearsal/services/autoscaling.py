"""Application Auto Scaling as moto has it, with tags, and with the checks of what must exist. Nothing is ever scaled.

Mended: an endpoint that is not there cannot be a target, a policy needs a registered target, ending a target ends its
policies, and what is not there is ``ObjectNotFoundException``.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError
from moto.backends import get_backend

from ..ground import Ground
from ..wire import AwsError, Request
from .service import Service

NAME = "application-autoscaling"
IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
OF_A_TARGET = {"DeregisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"}
ENDPOINT_VARIANT = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")


class AutoScaling:
    """Tags by the ARN of a target; everything else is moto's state."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._tags: dict[str, dict[str, str]] = defaultdict(dict)
        self._lock = threading.RLock()

    @contextmanager
    def guard(self, request: Request) -> Iterator[None]:
        """Around what moto answers: what must exist first, and what goes with it after."""
        given = request.parameters()
        with self._lock:
            if request.operation == "RegisterScalableTarget" and given.get("ServiceNamespace") == "sagemaker":
                self._check_endpoint(request, given)
            elif request.operation in OF_A_TARGET:
                self._check_target(request, given)
            elif request.operation == "DeleteScalingPolicy":
                _check_policy(request, given)
            yield
            if request.operation == "RegisterScalableTarget" and given.get("Tags"):
                self._tags[_target(request, given).arn] |= given["Tags"]
            elif request.operation == "DeregisterScalableTarget":
                _end_policies(request, given)

    def _check_endpoint(self, request: Request, given: dict[str, Any]) -> None:
        named = ENDPOINT_VARIANT.fullmatch(given.get("ResourceId", ""))
        if named is None:  # an inference component, which moto's own checks are for
            return
        account = request.caller.account
        sagemaker = self._ground.client("sagemaker", self._ground.root(account, request.partition), request.region)
        try:
            endpoint = sagemaker.describe_endpoint(EndpointName=named["endpoint"])
        except ClientError:
            raise invalid(f"SageMaker endpoint doesn't exist: {given['ResourceId']}") from None
        variants = {variant["VariantName"] for variant in endpoint.get("ProductionVariants", ())}
        if named["variant"] not in variants:
            raise invalid(f"SageMaker endpoint variant doesn't exist: {given['ResourceId']}")

    def _check_target(self, request: Request, given: dict[str, Any]) -> None:
        if _target(request, given) is None:
            parts = [str(given.get(name)) for name in IDENTITY]
            raise missing(
                f"No scalable target registered for service namespace: {parts[0]}, resource ID: {parts[1]}, "
                f"scalable dimension: {parts[2]}"
            )

    def tag(self, request: Request) -> object:
        """``TagResource``."""
        given = request.parameters()
        with self._lock:
            self._tags[_known(request, given["ResourceARN"])] |= given["Tags"]
        return {}

    def untag(self, request: Request) -> object:
        """``UntagResource``."""
        given = request.parameters()
        with self._lock:
            tags = self._tags[_known(request, given["ResourceARN"])]
            for key in given["TagKeys"]:
                tags.pop(key, None)
        return {}

    def tags(self, request: Request) -> object:
        """``ListTagsForResource``."""
        with self._lock:
            return {"Tags": dict(self._tags[_known(request, request.parameters()["ResourceARN"])])}


def service(ground: Ground) -> Service:
    """Application Auto Scaling, with tags of its own for each server."""
    scaling = AutoScaling(ground)
    operations = {
        "ListTagsForResource": scaling.tags,
        "TagResource": scaling.tag,
        "UntagResource": scaling.untag,
    }
    return Service(name=NAME, operations=operations, guard=scaling.guard)


def invalid(message: str) -> AwsError:
    """The error for a request that cannot be."""
    return AwsError("ValidationException", message)


def missing(message: str) -> AwsError:
    """The error for what is not there."""
    return AwsError("ObjectNotFoundException", message)


def _backend(request: Request) -> Any:
    # Asked for when needed: with it comes moto's EC2, which takes a second to import.
    backends: Any = get_backend("applicationautoscaling")
    return backends[request.caller.account][request.region]


def _target(request: Request, given: dict[str, Any]) -> Any:
    return _backend(request).targets.get(given.get("ScalableDimension"), {}).get(given.get("ResourceId"))


def _known(request: Request, arn: str) -> str:
    targets = (target for targets in _backend(request).targets.values() for target in targets.values())
    if not any(target.arn == arn for target in targets):
        raise AwsError("ResourceNotFoundException", f"No scalable target has the ARN {arn}")
    return arn


def _policies(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """moto's policies of the target that a request names, by moto's key for them."""
    identity = [given.get(name) for name in IDENTITY]
    return {
        key: policy
        for key, policy in _backend(request).policies.items()
        if [policy.service_namespace, policy.resource_id, policy.scalable_dimension] == identity
    }


def _check_policy(request: Request, given: dict[str, Any]) -> None:
    if all(policy.policy_name != given.get("PolicyName") for policy in _policies(request, given).values()):
        raise missing(f"No scaling policy found for policy name: {given.get('PolicyName')}")


def _end_policies(request: Request, given: dict[str, Any]) -> None:
    for key in _policies(request, given):
        del _backend(request).policies[key]
