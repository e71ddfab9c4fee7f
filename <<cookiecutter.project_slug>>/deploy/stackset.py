"""Deploys a stage by a stack set of AWS Organizations: brings it up to date, waits, says what failed where.

CodePipeline's own StackSet action works from the organization's management account alone; this calls
CloudFormation itself, so that a delegated administrator can deploy too. The stage's unit says where, and of
its accounts only the stage's own gets the endpoint, because models, bucket and key are shared with that one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import AwsError, DeployError, UsageError, one_line
from deploy.exports import Export, read_export
from deploy.settings import Variable, read_variables

MAX_TEMPLATE_BYTES = 51_200
"""Of a template that is sent with the call."""

# An endpoint takes minutes, a guarded update up to an hour; the build's own timeout is longer than this.
TIMEOUT_SECONDS = 110 * 60.0
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.2, 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0

# What another operation on the same set, or too many calls at once, are answered with: it passes by itself.
_LATER = frozenset(
    {"OperationInProgressException", "StaleRequestException", "Throttling", "ThrottlingException"}
)
_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_MISSING = frozenset({"StackSetNotFoundException", "StackSetNotFound"})

_ARTIFACT = "CODEBUILD_SRC_DIR_BuildArtifact"
_CALLERS = ("SELF", "DELEGATED_ADMIN")
_VARIABLES: tuple[Variable, ...] = (
    ("STACK_SET_NAME", r"[A-Za-z][A-Za-z0-9-]{0,127}", None, "the name of the stack set"),
    ("ORGANIZATIONAL_UNIT_ID", r"(ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}|r-[a-z0-9]{4,32})", None, "a unit"),
    ("ACCOUNT_ID", r"[0-9]{12}", None, "an account id of 12 digits"),
    ("AWS_REGION", r"[a-z]{2,}(-[a-z0-9]+)+", None, "an AWS region"),
    ("CALL_AS", "|".join(_CALLERS), None, " or ".join(_CALLERS)),
    ("EXPORT_TEMPLATE_NAME", r".+", "template-export.yml", "a file name"),
    ("BUILD_CONFIG", r".+", None, "the stage's configuration as build.py wrote it"),
    (_ARTIFACT, r".+", ".", "a folder"),
)


@dataclass(frozen=True)
class Stage:
    """What is deployed, and where."""

    name: str
    unit: str
    account: str
    region: str
    caller: str
    template: str
    export: Export

    @property
    def targets(self) -> dict[str, Any]:
        """The stage's account, and nothing else of its unit."""
        return {
            "OrganizationalUnitIds": [self.unit],
            "Accounts": [self.account],
            "AccountFilterType": "INTERSECTION",
        }


def read_stage(environment: Mapping[str, str]) -> Stage:
    """Return what the environment and the build's files say. Raises UsageError."""
    values, problems = read_variables(_VARIABLES, environment)
    if problems:
        raise UsageError("\n".join(["The environment of the deployment is incomplete or wrong", *problems]))
    folder = Path(values[_ARTIFACT])
    template, path = folder / values["EXPORT_TEMPLATE_NAME"], folder / values["BUILD_CONFIG"]
    try:
        text, export = template.read_text(encoding="utf-8"), read_export(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read: {error.strerror}; run build.py first") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    if (size := len(text.encode())) > MAX_TEMPLATE_BYTES:
        raise UsageError(
            f"{template}: has {size:,} bytes, and a stack set takes {MAX_TEMPLATE_BYTES:,}; shorten it"
        )
    return Stage(
        values["STACK_SET_NAME"],
        values["ORGANIZATIONAL_UNIT_ID"],
        values["ACCOUNT_ID"],
        values["AWS_REGION"],
        values["CALL_AS"],
        text,
        export,
    )


class StackSet:
    """The stack set of a stage; every call is tried again while somebody else's operation goes on."""

    def __init__(
        self,
        client: Any,
        stage: Stage,
        say: Callable[[str], None] = print,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._stage, self._say = client, stage, say
        self._clock, self._sleep = clock, sleep
        self._deadline = clock() + TIMEOUT_SECONDS

    def deploy(self) -> str:
        """Bring the stage to what the build made; return the id of its stack. Raises DeployError."""
        stage = self._stage
        parameters, tags = stage.export.parameters.items(), stage.export.tags.items()
        settings = {
            "TemplateBody": stage.template,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters],
            "Tags": [{"Key": key, "Value": value} for key, value in tags],
            "PermissionModel": "SERVICE_MANAGED",
            "AutoDeployment": {"Enabled": False},
        }
        found = self._described()
        if found is None:
            self._say(f"creating the stack set {stage.name}")
            self._call("create_stack_set", **settings)
        elif found["PermissionModel"] != "SERVICE_MANAGED":
            raise DeployError(f"The stack set {stage.name} is {found['PermissionModel']}; delete it first")
        if self._instance() is None:
            if found is not None:
                self._operate("update_stack_set", **settings)
            self._operate("create_stack_instances", DeploymentTargets=stage.targets, Regions=[stage.region])
        else:
            self._operate("update_stack_set", **settings)
        instance = self._instance()
        if instance is None:
            raise DeployError(f"Nothing was deployed: account {stage.account} is not in unit {stage.unit}")
        if instance["Status"] != "CURRENT":
            reason = instance.get("StatusReason") or "no reason given"
            raise DeployError(f"{stage.account} {stage.region} is {instance['Status']}: {reason}")
        return str(instance["StackId"])

    def _described(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._call("describe_stack_set")["StackSet"]
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return None if found["Status"] == "DELETED" else found

    def _instance(self) -> dict[str, Any] | None:
        where = {"StackInstanceAccount": self._stage.account, "StackInstanceRegion": self._stage.region}
        found: list[dict[str, Any]] = self._call("list_stack_instances", **where)["Summaries"]
        return found[0] if found else None

    def _operate(self, operation: str, **arguments: Any) -> None:
        """Start an operation and wait for its end. Raises DeployError with the reason of each account."""
        started = self._call(operation, **arguments)["OperationId"]
        self._say(f"{operation}: operation {started}")
        status = ""
        for _ in self._polls(f"operation {started}", FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS):
            found = self._call("describe_stack_set_operation", OperationId=started)
            status = found["StackSetOperation"]["Status"]
            if status in _ENDED:
                break
        self._say(f"{operation}: {status}")
        if status != "SUCCEEDED":
            failed = "\n".join(self._reasons(started)) or "no reason given"
            raise DeployError(f"The stack set {self._stage.name}: {operation} {status}\n{failed}")

    def _reasons(self, operation: str) -> Iterator[str]:
        """Return a line for each account and region that failed."""
        token: dict[str, str] = {}
        while True:
            page = self._call("list_stack_set_operation_results", OperationId=operation, **token)
            for result in page["Summaries"]:
                if result["Status"] != "SUCCEEDED":
                    reason = " ".join(str(result.get("StatusReason") or "no reason given").split())
                    yield f"{result['Account']} {result['Region']}: {result['Status']}: {reason}"
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make a call on the set; again, ever less often, while another operation is in progress."""
        stage = self._stage
        for _ in self._polls(f"the stack set {stage.name}", FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS):
            try:
                answer: dict[str, Any] = getattr(self._client, operation)(
                    StackSetName=stage.name, CallAs=stage.caller, **arguments
                )
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in _LATER:
                    raise
                self._say(f"{operation}: {error.response['Error']['Code']}, tried again")
                continue
            return answer
        raise AssertionError("polling ends by an error")

    def _polls(self, what: str, pause: float, longest: float) -> Iterator[None]:
        while self._clock() < self._deadline:
            yield
            self._sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - two must not meet again and again
            pause = min(2 * pause, longest)
        minutes = TIMEOUT_SECONDS / 60
        raise DeployError(f"{what} takes more than {minutes:.0f} minutes; it may still be going on")


def main(environment: Mapping[str, str] | None = None) -> int:
    """Deploy what the environment says; return the exit code."""
    try:
        stage = read_stage(os.environ if environment is None else environment)
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        patient = Config(
            retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60
        )
        try:
            client = boto3.client("cloudformation", region_name=stage.region, config=patient)
            stack = StackSet(client, stage).deploy()
        except (BotoCoreError, ClientError) as error:
            raise AwsError(one_line(error)) from error
    except DeployError as error:
        print(f"stackset.py: {error}", file=sys.stderr)
        return error.exit_code
    print(f"deployed to {stage.account} {stage.region}: {stack}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
