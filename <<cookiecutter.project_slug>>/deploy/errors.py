"""The ways in which a build or a test can end badly, each with its exit code, and AWS errors in one line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ACT_FAILED = 1
WRONG_USE = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file: where, which rule it breaks, and what stood there."""

    file: str
    parameter: str
    rule: str
    value: str = ""

    def __str__(self) -> str:
        found = f" (found {self.value})" if self.value else ""
        return f"{self.file}: {self.parameter}: {self.rule}{found}"


class DeployError(Exception):
    """An outcome that ends the command; `outcome` is a stable word for machines, the message for people."""

    outcome = "failed"
    exit_code = ACT_FAILED

    def details(self) -> dict[str, Any]:
        """Return what --json says beyond outcome and message."""
        return {}


class UsageError(DeployError):
    """The command line or the environment is wrong: nothing was tried."""

    outcome = "wrong-use"
    exit_code = WRONG_USE


class InvalidFilesError(DeployError):
    """The stage files or the template break rules; carries every one of them."""

    outcome = "invalid-configuration"

    def __init__(self, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join([f"{count} in the configuration; nothing was written", *map(str, problems)])
        )
        self.problems = problems

    def details(self) -> dict[str, Any]:
        """Return the problems as plain dictionaries."""
        return {"problems": [asdict(problem) for problem in self.problems]}


class NoApprovedModelError(DeployError):
    """There is nothing to deploy yet: the group has no approved model package."""

    outcome = "no-approved-model-package"


class NotDeployableError(DeployError):
    """The model package that was asked for must not be deployed (foreign, rejected, gone, unfinished)."""

    outcome = "model-package-not-deployable"


class AwsError(DeployError):
    """AWS refused or could not be reached."""

    outcome = "aws-error"


# Error codes for which the message of AWS alone does not say what to do next.
_ADVICE = {
    "AccessDenied": "give the role of this build that permission",
    "AccessDeniedException": "give the role of this build that permission",
    "ExpiredToken": "renew the credentials",
    "ExpiredTokenException": "renew the credentials",
    "InvalidClientTokenId": "check the credentials",
    "UnrecognizedClientException": "check the credentials",
    "ThrottlingException": "AWS is throttling this account; run it again in a minute",
    "Throttling": "AWS is throttling this account; run it again in a minute",
}
_LOCAL_ADVICE = {
    "NoCredentialsError": "no AWS credentials found; sign in, or run it in the build",
    "PartialCredentialsError": "the AWS credentials are incomplete",
    "NoRegionError": "no AWS region; set AWS_REGION",
    "EndpointConnectionError": "AWS cannot be reached",
    "ConnectTimeoutError": "AWS cannot be reached in time",
    "ReadTimeoutError": "AWS did not answer in time",
}


def one_line(error: BaseException) -> str:
    """Return an exception of botocore (or any other) as one line that says what failed and what to do."""
    text = " ".join(str(error).split())
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        code = str(response["Error"].get("Code", ""))
        message = " ".join(str(response["Error"].get("Message", "")).split())[:600]
        operation = getattr(error, "operation_name", "a call")
        advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
        return f"{operation}: {code}: {message}{advice}"
    name = type(error).__name__
    if name in _LOCAL_ADVICE:
        return f"{_LOCAL_ADVICE[name]} ({text})"
    return f"{name}: {text}"
