"""SageMaker's runtime: takes an invocation to the model behind an endpoint, and its answer back. Starts nothing."""

from __future__ import annotations

from ..serving import mirror
from ..serving.capture import Exchange
from ..serving.model_server import Invocation, NoReply, Reply
from ..wire import AwsError, Request, Response, not_implemented
from .sagemaker_asynchronous import Queue
from .sagemaker_endpoints import Endpoints
from .service import Operation, Service

LARGEST_BODY = 6 * 1024 * 1024
# Parameters that mean something which is not done.
REFUSED = (
    "EnableExplanations",
    "InferenceComponentName",
    "PrefixAwareId",
    "SessionId",
    "TargetContainerHostname",
    "TargetModel",
)
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
VARIANT = "x-Amzn-Invoked-Production-Variant"
PASSED_ON = {"Content-Type": "ContentType", "Accept": "Accept", CUSTOM: "CustomAttributes"}
TOO_LATE = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


class ModelError(AwsError):
    """The model answered with an error, or not at all."""

    def __init__(self, message: str, status: int, original: str, stream: str) -> None:
        super().__init__("ModelError", message, 424)
        self.OriginalStatusCode, self.OriginalMessage, self.LogStreamArn = status, original, stream


def service(endpoints: Endpoints) -> Service:
    """The runtime of these endpoints."""

    def invoke(request: Request) -> object:
        return _invoke(endpoints, request)

    operations: dict[str, Operation] = {"InvokeEndpoint": invoke, **Queue(endpoints).operations}
    return Service(name="sagemaker-runtime", operations=operations, complete=True)


def _invoke(endpoints: Endpoints, request: Request) -> Response:
    given = request.parameters()
    for refused in REFUSED:
        if given.get(refused):
            raise not_implemented("sagemaker-runtime", "InvokeEndpoint", f"It does not implement {refused}.")
    if len(request.body) > LARGEST_BODY:
        raise _invalid(
            f"1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less "
            f"than or equal to {LARGEST_BODY}"
        )
    name, account = given["EndpointName"], request.caller.account
    endpoint = endpoints.serving(request, name)
    if endpoint is None:
        raise _invalid(f"Endpoint {name} of account {account} not found.")
    if endpoint.config.get("AsyncInferenceConfig"):
        raise _invalid(f"Endpoint {name} of account {account} is asynchronous: invoke it with InvokeEndpointAsync.")
    wanted = given.get("TargetVariant")
    headers = {header: str(given[name]) for header, name in PASSED_ON.items() if given.get(name)}
    with endpoint.traffic.next(wanted) as variant:
        if variant is None:
            raise _invalid(f"Endpoint {name} of account {account} has no variant {wanted} in service.")
        if variant.room is not None and not variant.room.acquire(blocking=False):
            raise AwsError("ThrottlingException", f"Endpoint {name} serves MaxConcurrency invocations already.", 429)
        invocation = Invocation(request.body, headers)
        try:
            reply = variant.server.invoke(invocation)
        except NoReply as error:
            original = TOO_LATE if error.late else "The container closed the connection without an answer."
            raise _model_error(request, name, 0, original) from None
        finally:
            if variant.room is not None:
                variant.room.release()
    if reply.status >= 400:
        raise _model_error(request, name, reply.status, reply.body.decode(errors="replace"))
    content_type = _header(reply, "Content-Type")
    sent = (str(given.get("ContentType") or ""), request.body)
    attributes, inference = str(given.get("CustomAttributes") or ""), str(given.get("InferenceId") or "")
    exchange = Exchange(sent, (content_type, reply.body), attributes, inference)
    if variant.capture is not None:
        variant.capture.take(exchange)
    mirror.copy(variant, invocation, exchange)
    given_back = {"Content-Type": content_type, VARIANT: variant.name, CUSTOM: _header(reply, CUSTOM)}
    return Response(200, [(key, value) for key, value in given_back.items() if value], reply.body)


def _header(reply: Reply, name: str) -> str:
    return next((value for key, value in reply.headers.items() if key.lower() == name.lower()), "")


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _model_error(request: Request, name: str, status: int, original: str) -> ModelError:
    whose = "client" if 400 <= status < 500 else "server"
    region, account, group = request.region, request.caller.account, f"/aws/sagemaker/Endpoints/{name}"
    message = (
        f'Received {whose} error ({status}) from primary with message "{original}". See '
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} in "
        f"account {account} for more information."
    )
    stream = f"arn:{request.partition}:logs:{region}:{account}:log-group:{group}"
    return ModelError(message, status, original, stream)
