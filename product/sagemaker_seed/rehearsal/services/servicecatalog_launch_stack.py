"""Makes, updates and deletes the stack of a provisioned product, as its launch role. Keeps nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ...templates.failure import TemplateError
from ..ground import Ground
from . import template
from .servicecatalog_launch_store import Provisioned
from .servicecatalog_paths import tag_list
from .servicecatalog_store import Version

POLL_SECONDS = 0.05
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
CREATED, UPDATED, DELETED = {"CREATE_COMPLETE"}, {"UPDATE_COMPLETE"}, {"DELETE_COMPLETE"}
NOTHING_TO_DO = "No updates are to be performed"
CANCELLED = "cancelled"


class StackFailure(Exception):
    """The stack did not become what it was to be; the message is for the record."""


class Stack:
    """The stack of one provisioned product."""

    def __init__(self, ground: Ground, provisioned: Provisioned) -> None:
        self._ground, self._provisioned = ground, provisioned
        self._cloudformation = ground.client("cloudformation", provisioned.actor, provisioned.region)

    def create(self, version: Version) -> list[dict[str, str]]:
        """Makes it and waits; returns its outputs.

        Raises:
            StackFailure: it could not be made.
        """
        p = self._provisioned
        parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in p.parameters.items()]
        try:
            made = self._cloudformation.create_stack(
                StackName=p.stack,
                **self._template(version),
                Parameters=parameters,
                Capabilities=CAPABILITIES,
                Tags=tag_list(p.tags),
                NotificationARNs=list(p.notified),
            )
        except (ClientError, BotoCoreError) as error:
            raise StackFailure(_said(error)) from None
        p.stack_id = str(made["StackId"])
        return self._settled(CREATED)

    def update(self, version: Version, parameters: Mapping[str, str | None]) -> list[dict[str, str]]:
        """Updates it and waits; None as a value keeps the one that it has. Returns its outputs.

        Raises:
            StackFailure: it could not be updated.
        """
        given = [
            {"ParameterKey": key, **({"UsePreviousValue": True} if value is None else {"ParameterValue": value})}
            for key, value in parameters.items()
        ]
        try:
            self._cloudformation.update_stack(
                StackName=self._provisioned.stack_id,
                **self._template(version),
                Parameters=given,
                Capabilities=CAPABILITIES,
            )
        except (ClientError, BotoCoreError) as error:
            if NOTHING_TO_DO in str(error):
                return self._settled(CREATED | UPDATED)
            raise StackFailure(_said(error)) from None
        return self._settled(UPDATED)

    def delete(self) -> None:
        """Deletes it and waits.

        Raises:
            StackFailure: it could not be deleted.
        """
        if not self._provisioned.stack_id:
            return
        try:
            self._cloudformation.delete_stack(StackName=self._provisioned.stack_id)
        except (ClientError, BotoCoreError) as error:
            raise StackFailure(_said(error)) from None
        self._settled(DELETED)

    def _template(self, version: Version) -> dict[str, str]:
        """Where the template is, which the launch role must be able to read; its text, if it is another one by now.

        Raises:
            StackFailure: it cannot be read.
        """
        try:
            where = template.locate(version.url)
            s3 = self._ground.client("s3", self._provisioned.actor, where.region or self._provisioned.region)
            named = {"VersionId": where.version} if where.version else {}
            text = s3.get_object(Bucket=where.bucket, Key=where.key, **named)["Body"].read()
        except (ClientError, BotoCoreError, TemplateError) as error:
            raise StackFailure(f"S3 error: the template at {version.url} cannot be read: {_said(error)}") from None
        same = text == version.template.encode()
        return {"TemplateURL": version.url} if same else {"TemplateBody": version.template}

    def _settled(self, wanted: set[str]) -> list[dict[str, str]]:
        """Waits for the end of what is done to the stack; its outputs.

        Raises:
            StackFailure: the end is not a wanted one.
        """
        stack_id = self._provisioned.stack_id
        while True:
            try:
                (stack,) = self._cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
            except (ClientError, BotoCoreError) as error:
                if wanted == DELETED and "does not exist" in str(error):
                    return []
                raise StackFailure(_said(error)) from None
            status = str(stack["StackStatus"])
            if status in wanted:
                outputs = [_output(output) for output in stack.get("Outputs", ())]
                arn = {"OutputKey": "CloudformationStackARN", "OutputValue": stack_id}
                return [*outputs, {**arn, "Description": "The ARN of the launched Cloudformation Stack"}]
            if not status.endswith("_IN_PROGRESS"):
                raise StackFailure(self._why(status, str(stack.get("StackStatusReason") or "")))
            time.sleep(POLL_SECONDS)

    def _why(self, status: str, reason: str) -> str:
        """The stack's reason, and those of the resources that failed first of all."""
        try:
            events = self._cloudformation.describe_stack_events(StackName=self._provisioned.stack_id)["StackEvents"]
        except (ClientError, BotoCoreError) as error:
            return f"{status}: {reason} (its events cannot be read: {_said(error)})"
        failed = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in reversed(events)
            if str(event.get("ResourceStatus", "")).endswith("_FAILED")
            and event.get("ResourceStatusReason")
            and event.get("PhysicalResourceId") != self._provisioned.stack_id
            and CANCELLED not in event["ResourceStatusReason"]
        ]
        return f"{status}: {'; '.join([reason, *failed] if reason else failed)}"


def _output(output: Mapping[str, Any]) -> dict[str, str]:
    named = {"OutputKey": str(output["OutputKey"]), "OutputValue": str(output.get("OutputValue", ""))}
    return {**named, "Description": str(output.get("Description") or "")}


def _said(error: Exception) -> str:
    """What an error of an AWS call says, with its code."""
    told = getattr(error, "response", {}).get("Error", {})
    return f"{told['Code']}: {told['Message']}" if told.get("Code") else str(error)
