"""The ways in which an endpoint can fail to serve, in AWS's words. Decides nothing."""

from __future__ import annotations


class ServingFailure(Exception):
    """A model cannot be brought to serve; the message is the endpoint's failure reason."""


def unhealthy(variant: str, log: str) -> ServingFailure:
    """A container that does not answer; ``log`` is the last line that it wrote, empty if it wrote none."""
    said = f" (The last line there: {log})" if log else ""
    return ServingFailure(
        f"The primary container for production variant {variant} did not pass the ping health check. Please check "
        f"CloudWatch logs for this endpoint.{said}"
    )


def no_data(uri: str, why: str) -> ServingFailure:
    """Model data that the model's role cannot fetch."""
    return ServingFailure(
        f'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there is an '
        f"object located at the URL and that the role passed to CreateModel has permissions to download the model. "
        f"({why})"
    )


def bad_data(uri: str, why: str) -> ServingFailure:
    """Model data that is no archive."""
    return ServingFailure(
        f'Failed to extract model data archive from URL "{uri}" for container "container_1". Please ensure that the '
        f"object located at the URL is a valid tar.gz archive. ({why})"
    )
