"""Looks at a deployed endpoint and invokes it, whatever its kind of inference; judges nothing.

An `Invoker` is all that a kind of inference must be able to do for its test; INVOKERS has one for each.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

IN_SERVICE = "InService"
ROLLING_BACK = "RollingBack"
# States from which an endpoint comes into service by itself. All others are final, and waiting for them is in
# vain.
_UNDERWAY = frozenset({"Creating", "Updating", "SystemUpdating", ROLLING_BACK})
# What SageMaker itself says to a request that it does not take to the model: too large, or not of its form.
_REFUSALS = frozenset({"ValidationError", "ValidationException"})
OK = 200


class Connection:
    """The clients of boto3 of one role, in one region; each is made when it is first asked for.

    With `role_arn` they are those of that role, which may be in another account; `external_id` is what its
    trust policy asks for, if it asks for one. The clients in `once` never try twice: a second try would hide
    a failure from the test, and its time from the latency.
    """

    once = frozenset({"sagemaker-runtime"})

    def __init__(
        self, region: str | None, role_arn: str = "", timeout_seconds: float = 30.0, external_id: str = ""
    ) -> None:
        self.region, self.role_arn, self.timeout_seconds = region, role_arn, timeout_seconds
        self.external_id = external_id
        self._keys: dict[str, str] | None = None
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service. Raises what boto3 raises, also when the role cannot be assumed."""
        if service not in self._clients:
            self._clients[service] = self._made(service, self._credentials())
        return self._clients[service]

    def _made(self, service: str, keys: Mapping[str, str]) -> Any:
        import boto3
        from botocore.config import Config

        attempts, seconds = (1, self.timeout_seconds) if service in self.once else (5, 30.0)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=min(seconds, 10.0),
            read_timeout=seconds,
        )
        return boto3.client(service, region_name=self.region, config=config, **keys)  # type: ignore[call-overload]

    def _credentials(self) -> dict[str, str]:
        if self._keys is None:
            self._keys = {}
            if self.role_arn:
                sts = self._made("sts", {})
                asked_for = {"ExternalId": self.external_id} if self.external_id else {}
                answer = sts.assume_role(RoleArn=self.role_arn, RoleSessionName="endpoint-test", **asked_for)[
                    "Credentials"
                ]
                self._keys = {
                    "aws_access_key_id": answer["AccessKeyId"],
                    "aws_secret_access_key": answer["SecretAccessKey"],
                    "aws_session_token": answer["SessionToken"],
                }
        return self._keys


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
    shadows: list[dict[str, Any]] = field(default_factory=list)
    """The models of its shadow variants, which answer nobody."""

    @property
    def model_packages(self) -> list[str]:
        """Return the model package of every container that answers."""
        return packages_of(self.models)


def packages_of(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the model package of every container; `(no model package)` for one that was made without."""
    return [
        str(container.get("ModelPackageName", "(no model package)"))
        for model in models
        for container in model.get("Containers") or [model.get("PrimaryContainer", {})]
    ]


@dataclass(frozen=True)
class Answer:
    """What came back for one payload, and how long it took; `message` says in one line why it was refused."""

    status: int
    """The model's HTTP status: 200, or one from 400 for a request that it or SageMaker refused."""
    content_type: str
    body: bytes
    seconds: float
    message: str = ""

    @property
    def good(self) -> bool:
        """Return whether the model answered the request, rightly or wrongly."""
        return self.status == OK


def is_all(package: str, packages: Sequence[str]) -> bool:
    """Return whether all packages, at least one, are that one; SageMaker changes the case of names."""
    return bool(packages) and all(one.lower() == package.lower() for one in packages)


class NotInServiceError(Exception):
    """The endpoint is not there, has failed, or takes too long."""


class NoAnswerError(Exception):
    """An invocation that did not reach the model; `timed_out` if nothing came back in time."""

    def __init__(self, message: str, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Invoker(Protocol):
    """What the test of an endpoint needs, for one kind of inference."""

    def wait(self, timeout_seconds: float, poll_seconds: float) -> Ready:
        """Return when it can be invoked. Raises NotInServiceError."""

    def served(self, ready: Ready) -> Served:
        """Return what it runs now. Raises BotoCoreError or ClientError."""

    def declines(self, content_type: str) -> str:
        """Return why requests of a content type are not sent, as nobody sends them; empty if they are."""

    def prepare(self, bodies: Sequence[bytes]) -> None:
        """Make requests ready that are about to be sent, where it is cheaper to answer them together."""

    def send(self, content_type: str, body: bytes) -> Answer:
        """Send one payload once, and wait for its answer. Raises NoAnswerError.

        Called from several threads at once when the latency is measured.
        """


class RealTime:
    """An endpoint that answers while the caller waits."""

    def __init__(self, connection: Connection, name: str, parameters: Mapping[str, str]) -> None:  # noqa: ARG002
        self.connection, self.name = connection, name

    def wait(self, timeout_seconds: float, poll_seconds: float) -> Ready:
        """Wait until the endpoint is in service."""
        return wait_until_in_service(
            self.connection.client("sagemaker"), self.name, timeout_seconds, poll_seconds
        )

    def served(self, ready: Ready) -> Served:
        """Return what the endpoint runs: endpoint -> endpoint configuration -> model of each variant."""
        client = self.connection.client("sagemaker")
        config = client.describe_endpoint_config(EndpointConfigName=ready.description["EndpointConfigName"])
        models, shadows = (
            [client.describe_model(ModelName=variant["ModelName"]) for variant in config.get(kind) or []]
            for kind in ("ProductionVariants", "ShadowProductionVariants")
        )
        return Served(config, models, shadows)

    def declines(self, content_type: str) -> str:  # noqa: ARG002
        """Return nothing: an endpoint is asked whatever is to be asked."""
        return ""

    def prepare(self, bodies: Sequence[bytes]) -> None:
        """Do nothing: every request is answered by itself."""

    def send(self, content_type: str, body: bytes) -> Answer:
        """Invoke the endpoint once."""
        return invoke(self.connection.client("sagemaker-runtime"), self.name, content_type, body)


# Kind of inference -> the module beside this one, and the class in it, that is its Invoker: made with the
# connection to the stage, the endpoint's name and the parameters that the build deployed.
INVOKERS: dict[str, tuple[str, str]] = {
    "real-time": ("endpoint", "RealTime"),
    "serverless": ("endpoint", "RealTime"),
    "asynchronous": ("asynchronous", "Asynchronous"),
    "batch": ("batch", "Batch"),
}


def invoker(kind: str, connection: Connection, name: str, parameters: Mapping[str, str]) -> Invoker:
    """Return the invoker of a kind of inference, one of INVOKERS."""
    module, made = INVOKERS[kind]
    found: Invoker = getattr(importlib.import_module(module), made)(connection, name, parameters)
    return found


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
        description = describe(client, name)
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


def describe(client: Any, name: str) -> dict[str, Any]:
    """Return SageMaker's description of an endpoint. Raises NotInServiceError if there is none."""
    try:
        description: dict[str, Any] = client.describe_endpoint(EndpointName=name)
    except client.exceptions.ClientError as error:
        # SageMaker has no error of its own for a missing endpoint.
        if error.response["Error"].get("Code") == "ValidationException" and "not find" in str(error):
            raise NotInServiceError(f"there is no endpoint {name}") from error
        raise
    return description


def invoke(runtime: Any, name: str, content_type: str, body: bytes) -> Answer:
    """Invoke an endpoint once; return what the model, or SageMaker for it, said. Raises NoAnswerError."""
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
        raise NoAnswerError(f"no answer within {waited:.1f} seconds", timed_out=True) from error
    except ClientError as error:
        # SageMaker says 0 when the model closed the connection, or did not answer it in time.
        status = int(str(error.response.get("OriginalStatusCode") or 0))
        if not status and error.response["Error"].get("Code") in _REFUSALS:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        message = one_line(error)
        if not status:
            raise NoAnswerError(message) from error
        return Answer(status, "", b"", time.perf_counter() - began, message)
    except (HTTPClientError, BotoCoreError) as error:
        raise NoAnswerError(one_line(error)) from error
    return Answer(OK, str(answer.get("ContentType", "")), content, time.perf_counter() - began)


@dataclass
class Sample:
    """What a load found: the seconds of every answer, and the failures in the order in which they came."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    silent: bool = False
    """Whether it ended because nothing came back in time."""

    @property
    def requests(self) -> int:
        """Return how many requests have ended."""
        return len(self.seconds) + len(self.failures)


def load(
    send: Callable[[str], Answer],
    payloads: Sequence[str],
    *,
    requests: int,
    concurrency: int,
    seconds: float,
    most_failures: int,
) -> Sample:
    """Send the payloads in turn, so many at once, until the first of the bounds is met."""
    sample, lock, numbers = Sample(), threading.Lock(), iter(range(requests))
    broken: list[Exception] = []
    deadline = time.perf_counter() + seconds

    def work() -> None:
        while True:
            with lock:
                stopped = sample.silent or broken or len(sample.failures) >= most_failures
                number = None if stopped or time.perf_counter() >= deadline else next(numbers, None)
            if number is None:
                return
            payload = payloads[number % len(payloads)]
            try:
                answer = send(payload)
            except NoAnswerError as error:
                with lock:
                    sample.failures.append(f"{payload}: {error}")
                    sample.silent = sample.silent or error.timed_out
            except (
                Exception
            ) as error:  # raised where the load was asked for, not in a thread that nobody watches
                broken.append(error)
            else:
                with lock:
                    if answer.good:
                        sample.seconds.append(answer.seconds)
                    else:
                        sample.failures.append(f"{payload}: {answer.message}")

    # As daemons, so that an interrupted run does not wait for the answers that it will not use.
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(concurrency - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if broken:
        raise broken[0]
    return sample
