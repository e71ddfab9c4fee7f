"""SageMaker's asynchronous invocations: queued, answered into S3 as the model's role, told to topics."""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..jobs import storage
from ..jobs.failure import StepFailure
from ..serving.model_server import Invocation, NoReply, Reply
from ..serving.rollout import Endpoint
from ..serving.traffic import Variant
from ..wire import AwsError, Request, Response, not_implemented
from .sagemaker_endpoints import Endpoints
from .service import Operation

REFUSED = ("Body", "Filename", "S3OutputPathExtension")
DEFAULT_TTL_SECONDS = 6 * 3600
LARGEST_INPUT = 1024 * 1024 * 1024
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
PASSED_ON = {"Content-Type": "ContentType", "Accept": "Accept", CUSTOM: "CustomAttributes"}


class _Failed(Exception):
    """An invocation that gets no answer; the message goes to the failure object and the topic."""


@dataclass(frozen=True)
class Ticket:
    """One invocation in the queue: what was asked for, where the answer or the failure goes, and when it came."""

    given: Mapping[str, Any]
    id: str
    output: str
    failure: str
    config: Mapping[str, Any]
    region: str
    received: datetime = field(default_factory=lambda: datetime.now(UTC))
    since: float = field(default_factory=time.monotonic)


class Queue:
    """``InvokeEndpointAsync``: answers at once with where the answer will be; a thread for each sees to it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.operations: dict[str, Operation] = {"InvokeEndpointAsync": self._invoke}

    def _invoke(self, request: Request) -> Response:
        given = request.parameters()
        for refused in REFUSED:
            if given.get(refused):
                raise not_implemented("sagemaker-runtime", "InvokeEndpointAsync", f"It does not implement {refused}.")
        name, account = given["EndpointName"], request.caller.account
        endpoint = self._endpoints.serving(request, name)
        if endpoint is None:
            raise _invalid(f"Endpoint {name} of account {account} not found.")
        config = endpoint.config.get("AsyncInferenceConfig")
        if config is None:
            raise _invalid(f"Endpoint {name} of account {account} is not asynchronous: it has no AsyncInferenceConfig.")
        location = str(given.get("InputLocation") or "")
        if not storage.URI.fullmatch(location):
            raise _invalid(f"InputLocation {location!r} is no S3 URI (s3://bucket/key).")
        ticket = _ticket(given, config["OutputConfig"], request.region)
        work = threading.Thread(target=_work, args=(endpoint, ticket), daemon=True, name=f"invocation of {name}")
        work.start()
        headers = [("Content-Type", "application/json"), ("X-Amzn-SageMaker-OutputLocation", ticket.output)]
        if ticket.failure:
            headers.append(("X-Amzn-SageMaker-FailureLocation", ticket.failure))
        return Response(202, headers, json.dumps({"InferenceId": ticket.id}).encode())


def _ticket(given: Mapping[str, Any], config: Mapping[str, Any], region: str) -> Ticket:
    name = str(uuid.uuid4())
    failures = str(config.get("S3FailurePath") or "").rstrip("/")
    return Ticket(
        given=given,
        id=str(given.get("InferenceId") or uuid.uuid4()),
        output=f"{config['S3OutputPath'].rstrip('/')}/{name}.out",
        failure=f"{failures}/{name}-error.out" if failures else "",
        config=config,
        region=region,
    )


def _work(endpoint: Endpoint, ticket: Ticket) -> None:
    """Answers one invocation, in its turn; whatever goes wrong ends up where failures go."""
    with endpoint.traffic.next() as variant:
        if variant is None or variant.room is None:
            print(f"{endpoint.name}: {ticket.id} lost, the endpoint was deleted", file=sys.stderr, flush=True)
            return
        try:
            with variant.room:
                reply = _answer(variant, ticket)
            _put(variant, ticket, ticket.output, reply.body)
        except _Failed as failure:
            _fail(variant, ticket, str(failure))
        else:
            kind = next((v for k, v in reply.headers.items() if k.lower() == "content-type"), "")
            answered = {"contentType": kind, "outputLocation": ticket.output}
            _tell(variant, ticket, "SuccessTopic", invocationStatus="Completed", responseParameters=answered)


def _answer(variant: Variant, ticket: Ticket) -> Reply:
    given = ticket.given
    if time.monotonic() - ticket.since > int(given.get("RequestTTLSeconds") or DEFAULT_TTL_SECONDS):
        raise _Failed("ClientError: the request was in the queue for longer than RequestTTLSeconds.")
    bucket, key = storage.split(str(given["InputLocation"]))
    try:
        body: bytes = variant.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise _Failed(f"ClientError: Unable to read {given['InputLocation']}: {error}") from None
    if len(body) > LARGEST_INPUT:
        raise _Failed(f"ClientError: {given['InputLocation']} has more than {LARGEST_INPUT} bytes.")
    headers = {header: str(given[name]) for header, name in PASSED_ON.items() if given.get(name)}
    try:
        reply = variant.server.invoke(Invocation(body, headers))
    except NoReply as error:
        raise _Failed(f"InternalServerError: no answer from the model container: {error}") from None
    if reply.status >= 400:
        whose = "client" if reply.status < 500 else "server"
        said = reply.body.decode(errors="replace")
        raise _Failed(f'ClientError: Received {whose} error ({reply.status}) from model with message "{said}".')
    return reply


def _put(variant: Variant, ticket: Ticket, uri: str, body: bytes) -> None:
    key_id = ticket.config.get("KmsKeyId")
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
    bucket, key = storage.split(uri)
    try:
        variant.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **sealed)
    except (ClientError, BotoCoreError) as error:
        raise _Failed(f"ClientError: Unable to write {uri}: {error}") from None


def _fail(variant: Variant, ticket: Ticket, reason: str) -> None:
    print(f"asynchronous invocation {ticket.id} failed: {reason}", file=sys.stderr, flush=True)
    if ticket.failure:
        try:
            _put(variant, ticket, ticket.failure, reason.encode())
        except _Failed as second:
            reason = f"{reason} ({second})"
    _tell(variant, ticket, "ErrorTopic", invocationStatus="Failed", failureReason=reason)


def _tell(variant: Variant, ticket: Ticket, topic: str, **outcome: Any) -> None:
    """Publishes how an invocation ended, if there is a topic for it."""
    notified = ticket.config.get("NotificationConfig") or {}
    if not notified.get(topic):
        return
    given = ticket.given
    asked = {
        "contentType": given.get("ContentType", ""),
        "endpointName": given["EndpointName"],
        "inputLocation": given["InputLocation"],
        **({"customAttributes": given["CustomAttributes"]} if given.get("CustomAttributes") else {}),
    }
    message = {
        "awsRegion": ticket.region,
        "eventTime": _time(datetime.now(UTC)),
        "receivedTime": _time(ticket.received),
        "requestParameters": asked,
        **outcome,
        "inferenceId": ticket.id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    try:
        variant.aws.client("sns").publish(TopicArn=notified[topic], Message=json.dumps(message))
    except (ClientError, BotoCoreError, StepFailure) as error:
        print(f"{notified[topic]} was not told of {ticket.id}: {error}", file=sys.stderr, flush=True)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)
