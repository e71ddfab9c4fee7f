"""Deploys CloudFormation templates and says what became of them, over the API like anybody. Knows no template."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...accounts.stacks import outputs_of, reason
from ...errors import SeedError

POLL_SECONDS = 0.05
TIMEOUT_SECONDS = 300.0
SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}


def deploy(
    cloudformation: Any,
    name: str,
    template: Path,
    parameters: Mapping[str, str],
    doing: Callable[[str], None],
) -> dict[str, str]:
    """Creates a stack of the template; returns its outputs.

    Raises:
        SeedError: it failed; the message names the resource and the reason.
    """
    text = template.read_text()
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=text,
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    stack = wait(cloudformation, name, doing)
    if stack["StackStatus"] not in SUCCEEDED:
        raise SeedError(f"{template.name}: {stack['StackStatus']}: {reason(cloudformation, stack['StackId'])}")
    return outputs_of(stack)


def wait(cloudformation: Any, name: str, doing: Callable[[str], None]) -> dict[str, Any]:
    """The stack, once nothing happens to it any more."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        if time.monotonic() > deadline:
            raise SeedError(f"the stack {name} is still {stack['StackStatus']} after {TIMEOUT_SECONDS:.0f} s")
        doing(f"stack {name}: {stack['StackStatus']}")
        time.sleep(POLL_SECONDS)


def resources(cloudformation: Any, stack: str) -> list[dict[str, Any]]:
    """Every resource of a stack: logical and physical id, type and status."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]
