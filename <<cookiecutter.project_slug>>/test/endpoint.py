"""Looks at a deployed endpoint and invokes it; judges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

IN_SERVICE = "InService"
ROLLING_BACK = "RollingBack"
# States from which an endpoint comes into service by itself. All others are final, and waiting for them is in
# vain.
_UNDERWAY = frozenset({"Creating", "Updating", "SystemUpdating", ROLLING_BACK})


@dataclass(frozen=True)
class Clients:
    """The two clients of boto3 that a test needs."""

    sagemaker: Any
    runtime: Any


@dataclass(frozen=True)
class Ready:
    """An endpoint in service, and the states that it was seen in on the way."""

    description: dict[str, Any]
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Served:
    """What an endpoint runs: its configuration, and the models of its variants."""

    config: dict[str, Any]
    models: list[dict[str, Any]] = field(default_factory=list)

    @property
    def model_packages(self) -> list[str]:
        """Return the model package of every container; `(no model package)` for one that was made without."""
        return [
            str(container.get("ModelPackageName", "(no model package)"))
            for model in self.models
            for container in model.get("Containers") or [model.get("PrimaryContainer", {})]
        ]


class NotInServiceError(Exception):
    """The endpoint is not there, has failed, or takes too long."""


class InvocationError(Exception):
    """An invocation that got no answer of the model; `timed_out` if it got none at all in time."""

    def __init__(self, message: str, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


@dataclass(frozen=True)
class Answer:
    """The model's answer, and how long the client waited for it."""

    content_type: str
    body: bytes
    seconds: float


def connect(region: str | None, role_arn: str, timeout_seconds: float) -> Clients:
    """Return clients; with `role_arn`, those of that role, which may be in another account.

    The runtime client never tries twice: a second try would hide a failure from the test, and its time from
    the latency.
    """
    import boto3
    from botocore.config import Config

    keys: dict[str, Any] = {}
    patient = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=30
    )
    once = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=timeout_seconds,
        read_timeout=timeout_seconds,
    )
    if role_arn:
        sts = boto3.client("sts", region_name=region, config=patient)
        answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="endpoint-test")["Credentials"]
        keys = {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }
    return Clients(
        boto3.client("sagemaker", region_name=region, config=patient, **keys),
        boto3.client("sagemaker-runtime", region_name=region, config=once, **keys),
    )


def wait_until_in_service(
    client: Any,
    name: str,
    timeout_seconds: float,
    poll_seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Ready:
    """Return the ready endpoint. Raises NotInServiceError if it failed, is missing or takes too long."""
    deadline = clock() + timeout_seconds
    seen: list[str] = []
    while True:
        description = _describe(client, name)
        status = str(description["EndpointStatus"])
        if not seen or seen[-1] != status:
            seen.append(status)
        if status == IN_SERVICE:
            return Ready(description, tuple(seen))
        if status not in _UNDERWAY:
            reason = description.get("FailureReason", "no reason given")
            raise NotInServiceError(f"{name} is {status}: {reason}")
        if clock() >= deadline:
            raise NotInServiceError(f"{name} is still {status} after {timeout_seconds:g} seconds")
        sleep(max(0.0, min(poll_seconds, deadline - clock())))


def _describe(client: Any, name: str) -> dict[str, Any]:
    try:
        description: dict[str, Any] = client.describe_endpoint(EndpointName=name)
    except client.exceptions.ClientError as error:
        # SageMaker has no error of its own for a missing endpoint.
        if error.response["Error"].get("Code") == "ValidationException" and "not find" in str(error):
            raise NotInServiceError(f"there is no endpoint {name}") from error
        raise
    return description


def served(client: Any, description: dict[str, Any]) -> Served:
    """Return what the endpoint runs now: endpoint -> endpoint configuration -> model of each variant."""
    config = client.describe_endpoint_config(EndpointConfigName=description["EndpointConfigName"])
    names = [variant["ModelName"] for variant in config["ProductionVariants"]]
    return Served(config, [client.describe_model(ModelName=name) for name in names])


def invoke(runtime: Any, name: str, content_type: str, body: bytes) -> Answer:
    """Invoke the endpoint once. Raises InvocationError."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ReadTimeoutError

    from deploy.errors import one_line

    began = time.perf_counter()
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=name, ContentType=content_type, Accept="application/json", Body=body
        )
        content = answer["Body"].read()
    except ReadTimeoutError as error:
        waited = time.perf_counter() - began
        raise InvocationError(f"no answer within {waited:.1f} seconds", timed_out=True) from error
    except ClientError as error:
        original = error.response.get("OriginalStatusCode")
        raise InvocationError(
            one_line(error) + (f" (the model answered {original})" if original else "")
        ) from error
    except (HTTPClientError, BotoCoreError) as error:
        raise InvocationError(one_line(error)) from error
    return Answer(str(answer.get("ContentType", "")), content, time.perf_counter() - began)
