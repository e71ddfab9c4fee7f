"""How an action fails: a code of CodePipeline's and a message that names the cause. Nothing is acted on here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

JOB_FAILED = "JobFailed"
CONFIGURATION = "ConfigurationError"
PERMISSION = "PermissionError"
TIMED_OUT = "ActionTimeout"
INTERNAL = "InternalError"
# As long as a message of an action's error may be.
MESSAGE_LENGTH = 5000
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403"}


class ActionFailed(Exception):
    """An action came to nothing; ``message`` is what a person reads in the pipeline's state."""

    def __init__(self, message: str, code: str = JOB_FAILED) -> None:
        super().__init__(message)
        self.message, self.code = shortened(message), code


class ActionAbandoned(Exception):
    """Nobody waits for this action any more: its execution was stopped for good."""


def of_call(error: ClientError) -> ActionFailed:
    """The failure of an action whose AWS call was refused."""
    said = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    code, message = said.get("Code", "Unknown"), said.get("Message", "")
    call = error.operation_name[:1].lower() + error.operation_name[1:]
    return ActionFailed(
        f"Error calling {call}: {message} (Status Code: {status}; Error Code: {code})",
        PERMISSION if code in DENIED else JOB_FAILED,
    )


def shortened(message: str) -> str:
    """A message that fits: its beginning, which names what failed, and its end, which holds the cause."""
    if len(message) <= MESSAGE_LENGTH:
        return message
    half = (MESSAGE_LENGTH - 5) // 2
    return f"{message[:half]}\n...\n{message[-half:]}"
