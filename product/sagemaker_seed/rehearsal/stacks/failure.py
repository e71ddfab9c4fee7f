"""The reason of a failed resource, in the words in which CloudFormation passes on what a service said."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ...templates.failure import TemplateError
from .provider import ResourceFailed

# The part of an error's code -> what the resource handlers of CloudFormation call it; the first that is found.
HANDLER_CODES = (
    ("AccessDenied", "AccessDenied"),
    ("NotAuthorized", "AccessDenied"),
    ("UnauthorizedOperation", "AccessDenied"),
    ("AlreadyExists", "AlreadyExists"),
    ("NameExists", "AlreadyExists"),
    ("AlreadyOwnedByYou", "AlreadyExists"),
    ("InUse", "ResourceConflict"),
    ("Conflict", "ResourceConflict"),
    ("NotFound", "NotFound"),
    ("DoesNotExist", "NotFound"),
    ("NoSuch", "NotFound"),
    ("LimitExceeded", "ServiceLimitExceeded"),
    ("Throttl", "Throttling"),
    ("InternalFailure", "ServiceInternalError"),
)
HANDLER_WORDS = 'Resource handler returned message: "{}" (HandlerErrorCode: {})'


def reason_of(error: Exception, logical_id: str) -> str:
    """Why making, changing or deleting a resource failed, for its event."""
    if isinstance(error, ResourceFailed | TemplateError):
        return str(error)
    if isinstance(error, ClientError):
        return _of_client_error(error, logical_id)
    if isinstance(error, BotoCoreError):
        return HANDLER_WORDS.format(error, "InvalidRequest")
    traceback.print_exception(error)
    return HANDLER_WORDS.format(f"The embedded AWS failed: {type(error).__name__}: {error}", "InternalFailure")


def _of_client_error(error: ClientError, logical_id: str) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    service, prefix = _service_of(error.__traceback__)
    handler_code = next((meaning for part, meaning in HANDLER_CODES if part in code), "InvalidRequest")
    if handler_code == "AccessDenied":
        action = f"{prefix}:{error.operation_name}"
        message = f"{message} ({logical_id} needs {action})" if action not in message else f"{message} ({logical_id})"
    details = f"Service: {service}, Status Code: {status}, Error Code: {code}"
    return HANDLER_WORDS.format(f"{message} ({details})", handler_code)


def _service_of(trace: TracebackType | None) -> tuple[str, str]:
    """The service that an error came from, and the prefix of its actions: not the error, but its client knows."""
    found = ("?", "?")
    while trace is not None:
        client: Any = trace.tb_frame.f_locals.get("self")
        if trace.tb_frame.f_code.co_name == "_make_api_call" and client is not None:
            model = client.meta.service_model
            found = (str(model.service_id), str(model.signing_name))
        trace = trace.tb_next
    return found
