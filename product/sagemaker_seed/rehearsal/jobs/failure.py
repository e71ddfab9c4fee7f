"""The ways in which a step of a pipeline can fail, in the words that AWS has for them. Decides nothing."""

from __future__ import annotations

# The exception types that a retry policy can name.
SERVICE_FAULT = "Step.SERVICE_FAULT"
THROTTLING = "Step.THROTTLING"
INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
RETRYABLE = (SERVICE_FAULT, THROTTLING, INTERNAL_ERROR, "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT")


class StepFailure(Exception):
    """A step failed; the message is its failure reason, ``retry_type`` what a retry policy may name or None."""

    def __init__(self, reason: str, retry_type: str | None = None) -> None:
        super().__init__(reason)
        self.retry_type = retry_type


class StepStopped(Exception):
    """A step ended because its execution was stopped."""


def client_error(problem: str) -> StepFailure:
    """What AWS says of an input that it cannot use."""
    return StepFailure(f"ClientError: {problem}")
