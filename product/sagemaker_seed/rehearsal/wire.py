"""What an HTTP request to AWS says (service, operation, caller, parameters), and answers in the service's own protocol.

Knows AWS's protocols through botocore's service models and moto's parsers and serializers; no service's behaviour.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import BackendRequest
from moto.utilities.utils import get_partition
from werkzeug.exceptions import HTTPException

from .embedded import EXPIRED_KEY
from .repositories import address

if TYPE_CHECKING:
    from .access.identity import Identity

# Signing names that are not the service's own name in botocore, or that several services share: the first that knows
# the request.
SERVICES_OF_SIGNING_NAME = {
    "elasticloadbalancing": ("elbv2", "elb"),
    "monitoring": ("cloudwatch",),
    "s3": ("s3", "s3control"),
    "s3-object-lambda": ("s3",),
    "sagemaker": (
        "sagemaker",
        "sagemaker-runtime",
        "sagemaker-metrics",
        "sagemaker-featurestore-runtime",
    ),
    "servicecatalog": ("servicecatalog", "servicecatalog-appregistry"),
    "states": ("stepfunctions",),
}
# What STS is asked without credentials, because it gives them for something else. Any other unsigned request is S3's.
UNSIGNED = {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
READ_VERBS = re.compile(
    r"(AssumeRole|BatchGet|BatchDescribe|Check|Decode|Describe|Detect|Download|Estimate|Filter|Get|GitPull|Head|List|Lookup|"
    r"Preview|Query|Scan|Search|Select|Simulate|Test|UploadArchive|Validate|Verify)(?![a-z])"
)
READ_METHODS = {"GET", "HEAD", "OPTIONS"}
CREDENTIAL = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d+/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request")
SIGNATURE_V2 = re.compile(r"^AWS (?P<key>[^:]+):")
ACCOUNT_KEY = re.compile(r"\d{12}")

# How each protocol says that a caller is not let in: code and HTTP status.
REFUSALS = {
    "expired": {
        "json": ("ExpiredTokenException", 400),
        "rest-json": ("ExpiredTokenException", 403),
        "query": ("ExpiredToken", 403),
        "ec2": ("RequestExpired", 400),
        "rest-xml": ("ExpiredToken", 400),
    },
    "unknown": {
        "json": ("UnrecognizedClientException", 400),
        "rest-json": ("UnrecognizedClientException", 403),
        "query": ("InvalidClientTokenId", 403),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("InvalidAccessKeyId", 403),
    },
    "unsigned": {
        "json": ("MissingAuthenticationTokenException", 400),
        "rest-json": ("MissingAuthenticationTokenException", 403),
        "query": ("MissingAuthenticationToken", 403),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("AccessDenied", 403),
    },
}
REFUSAL_MESSAGES = {
    "expired": "The security token included in the request is expired.",
    "unknown": "The security token included in the request is invalid: the embedded AWS knows account ids of twelve "
    "digits, and the keys that it issued.",
    "unsigned": "The request carries no credentials.",
}


class AwsError(ServiceException):
    """An answer that is an error: AWS's code for it, a message for a person, and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status


def not_implemented(service: str, operation: str, why: str = "") -> AwsError:
    """The error for what is not there: a 4xx that no SDK retries, naming service and operation."""
    reason = f" {why}" if why else ""
    return AwsError(
        "NotImplementedByEmbeddedAws", f"The embedded AWS does not implement {service}:{operation}.{reason}", 400
    )


@dataclass(frozen=True)
class Caller:
    """Who calls: twelve digits, and the ARN of the role, user or account root. Both empty for an unsigned request.

    Attributes:
        session: the ARN of the role's session, where policies are judged.
        identity: what the caller's own policies say; None where they are not asked: of an account's root, and where
            the embedded AWS is not strict.
    """

    account: str
    arn: str
    session: str = ""
    identity: Identity | None = field(default=None, compare=False)

    @property
    def is_account(self) -> bool:
        """Whether the credentials are the account's own rather than a role's or a user's."""
        return self.arn.endswith(":root")


@dataclass(frozen=True)
class Response:
    """An HTTP answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Request:
    """One request, as AWS would understand it. Everything but the raw request is worked out when first asked for."""

    def __init__(self, environ: dict[str, Any], body: bytes) -> None:
        self.http = BackendRequest(environ)
        self.body = body
        self.git = address.parse(self.http.method, self.http.path, self.http.args)
        self._credential = self._find_credential()
        if self.signing_name != "codecommit":
            self.git = None

    def _find_credential(self) -> dict[str, str]:
        """Access key id, region and signing name; an empty dict for an unsigned request."""
        authorization = self.http.headers.get("Authorization", "")
        query = self.http.args
        if self.git is not None and self.git.git_service:
            given = self.http.authorization
            name = (given.username or "") if given is not None and given.type == "basic" else ""
            return {"key": name.partition("%")[0], "region": self.git.region, "service": "codecommit"}
        if found := CREDENTIAL.search(authorization) or CREDENTIAL.search(
            f"Credential={query.get('X-Amz-Credential', '')}"
        ):
            return found.groupdict()
        # Signature version 2 lives on in S3 URLs that boto3 presigns by default.
        if (found := SIGNATURE_V2.match(authorization)) or "AWSAccessKeyId" in query:
            key = found["key"] if found else query["AWSAccessKeyId"]
            return {"key": key, "region": "us-east-1", "service": "s3"}
        return {}

    @property
    def signing_name(self) -> str:
        """The service in the credential scope; an unsigned request is STS's or S3's, which alone answer any."""
        return self._credential.get("service", "sts" if self.http.form.get("Action") in UNSIGNED else "s3")

    @property
    def access_key(self) -> str:
        """The access key id; empty for an unsigned request."""
        return self._credential.get("key", "")

    @property
    def region(self) -> str:
        """The region that the request was signed for."""
        return self._credential.get("region") or "us-east-1"

    @property
    def partition(self) -> str:
        """The AWS partition of the region, as in an ARN."""
        return str(get_partition(self.region))

    @cached_property
    def _matched(self) -> tuple[str, str, dict[str, Any]]:
        """Service, operation and the parameters in the path."""
        if self.git is not None:
            return "codecommit", self.git.action, {"repositoryName": self.git.repository}
        services = SERVICES_OF_SIGNING_NAME.get(self.signing_name, (self.signing_name,))
        if target := self.http.headers.get("X-Amz-Target"):
            return services[0], target.rpartition(".")[2], {}
        if services[0] != "s3" and (action := self.http.form.get("Action") or self.http.args.get("Action")):
            return services[0], action, {}
        for service in services:
            try:
                operation, parameters = get_service_router(service).match(self.http)
            except (HTTPException, UnknownServiceError, NotImplementedError):
                continue
            return service, operation.name, parameters
        return services[0], f"{self.http.method} {self.http.path}", {}

    @property
    def service(self) -> str:
        """botocore's name of the service."""
        return self._matched[0]

    @property
    def operation(self) -> str:
        """The API's name of the operation; method and path where no operation of the service matches."""
        return self._matched[1]

    @property
    def path_parameters(self) -> dict[str, Any]:
        """Parameters that the URL's path carries, by their names in the API (``Bucket``, ``Key``), decoded."""
        return self._matched[2]

    @property
    def writes(self) -> bool:
        """Whether the operation changes something, going by its verb (for S3, by its HTTP method)."""
        if self.service == "s3" or " " in self.operation:
            return self.http.method not in READ_METHODS
        return READ_VERBS.match(self.operation) is None

    @cached_property
    def protocol(self) -> str:
        """The AWS protocol that the request speaks: ``json``, ``rest-json``, ``query``, ``ec2`` or ``rest-xml``."""
        try:
            protocol = str(determine_request_protocol(self._model, self.http.content_type))
        except (UnknownServiceError, NotImplementedError):
            protocol = ""
        if protocol in PROTOCOL_PARSERS:
            return protocol
        return "query" if "Action" in self.http.form else "json"

    @property
    def _model(self) -> Any:
        return get_service_model(self.service)

    @cached_property
    def operation_model(self) -> Any:
        """moto's model of the operation; of no operation in particular where the service has none of this name."""
        try:
            return self._model.operation_model(self.operation)
        except OperationNotFoundError:
            return OperationModel({}, self._model)

    @cached_property
    def caller(self) -> Caller:
        """Whom the credentials stand for.

        Raises:
            AwsError: they are expired or unknown. An unsigned request is S3's to judge, and refused elsewhere.
        """
        key = self.access_key
        if ACCOUNT_KEY.fullmatch(key):
            return Caller(key, f"arn:{self.partition}:iam::{key}:root")
        if key == EXPIRED_KEY:
            raise self._refusal("expired")
        if not key:
            if self.service == "s3" or self.operation in UNSIGNED:
                return Caller("", "")
            raise self._refusal("unsigned")
        for account, partitions in list(iam_backends.items()):
            issued = partitions[self.partition].access_keys.get(unquote(key))
            if issued is not None:
                user = f"arn:{self.partition}:iam::{account}:user/{issued.user_name}"
                return Caller(str(account), str(issued.role_arn or user))
        raise self._refusal("unknown")

    def _refusal(self, kind: str) -> AwsError:
        code, status = REFUSALS[kind][self.protocol]
        return AwsError(code, REFUSAL_MESSAGES[kind], status)

    def parameters(self) -> dict[str, Any]:
        """The operation's parameters by their names in the API, of the types in botocore's model.

        Raises:
            AwsError: the body is not what the protocol says it is.
        """
        if self.git is not None:
            return dict(self.path_parameters)
        if self.protocol == "json":
            _check_json_object(self.body)
        parser = PROTOCOL_PARSERS[self.protocol](self.operation_model, map_type=dict)
        try:
            parsed = parser.parse(
                {
                    "method": self.http.method,
                    "values": self.http.values,
                    "headers": self.http.headers,
                    "body": self.body,
                    "url_path": self.http.path,
                    "url_params": self.path_parameters,
                }
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise _unreadable(str(error)) from None
        return {} if parsed is None else dict(parsed)

    def answer(self, result: object) -> Response:
        """``result``, a dict in the shape of the operation's output or an :class:`AwsError`, as the service writes.

        A :class:`Response` is passed on as it is.
        """
        if isinstance(result, Response):
            return result
        if isinstance(result, AwsError) and self.git is not None and self.git.git_service:
            return _for_git(result)
        try:
            serializer = get_serializer_class(self.service, self.protocol)
            writer: Any = serializer(self.operation_model, value_picker=Picker())
            written = writer.serialize(result)
        except UnknownServiceError:
            written = _plain_json(result)
        status = result.status if isinstance(result, AwsError) else written["status_code"]
        body = written["body"].encode() if isinstance(written["body"], str) else written["body"]
        headers = dict(written["headers"])
        if self.protocol == "json":  # moto writes "text" for services that prefer CBOR
            headers["Content-Type"] = "application/x-amz-json-1.1"
        return Response(int(status), list(headers.items()), b"" if self.http.method == "HEAD" else body)


class Picker(XFormedAttributePicker):
    """Finds the members of an answer: of a dict by their names alone, of moto's objects by other spellings too."""

    def __call__(self, context: AttributePickerContext) -> Any:
        """The value of a member; None if it has none."""
        if isinstance(context.obj, dict):
            return context.obj.get(context.key)
        return super().__call__(context)


def _for_git(error: AwsError) -> Response:
    """An error as git shows it to whoever runs it: plain text."""
    status = 404 if error.code == "RepositoryDoesNotExistException" else error.status if error.status >= 500 else 403
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], f"{error.message}\n".encode())


def _check_json_object(body: bytes) -> None:
    """moto's parser takes a body that is not JSON for one without parameters."""
    try:
        content = json.loads(body or b"{}")
    except ValueError as error:
        raise _unreadable(str(error)) from None
    if not isinstance(content, dict):
        raise _unreadable("the body is not a JSON object")


def _unreadable(why: str) -> AwsError:
    return AwsError("SerializationException", f"The request cannot be read: {why}")


def _plain_json(result: object) -> dict[str, Any]:
    """For a service that botocore does not know either: enough for any SDK to show the error."""
    if not isinstance(result, AwsError):
        raise TypeError("only an error can be answered for a service without a model")
    return {
        "body": json.dumps({"__type": result.code, "message": result.message}),
        "headers": {"X-Amzn-Errortype": result.code},
        "status_code": result.status,
    }
