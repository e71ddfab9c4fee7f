"""From the files of this repository to a checked definition and the packages it points at; calls no AWS."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from training.choices import Choices, read_choices
from training.lint import lint
from training.packing import Packages, pack
from training.project import Project

ROOT = Path(__file__).resolve().parent.parent
# An opt-in, because the SDK has only an opt-out: see `build_definition`.
TELEMETRY = "SAGEMAKER_SDK_TELEMETRY"


class NoSdkError(DeployError):
    """The SageMaker SDK is missing or of another major version."""

    outcome = "no-sdk"


class InvalidDefinitionError(DeployError):
    """The definition breaks rules of SageMaker's API; nothing was written."""

    outcome = "invalid-definition"


@dataclass(frozen=True)
class Description:
    """What is about to be brought to AWS."""

    project: Project
    choices: Choices
    packages: Packages
    definition: dict[str, Any]

    @property
    def text(self) -> str:
        """Return the definition as SageMaker gets it: the same text for the same files, on every machine."""
        return json.dumps(self.definition, separators=(",", ":"), ensure_ascii=True)


def describe(project: Project, root: Path = ROOT) -> Description:
    """Return the definition, checked, and its packages. Raises DeployError; never calls AWS."""
    choices = read_choices(root)
    packages = pack(project, choices, root / "training")
    asked = os.environ.get(TELEMETRY, "") == "on"
    with _apart(project.region):
        try:
            from training.definition import build_definition
        except ImportError as error:
            raise NoSdkError(
                f"The SageMaker SDK 3 is needed for the definition ({' '.join(str(error).split())}): "
                "install it with `pip install --require-hashes -r requirements-training.txt`"
            ) from error
        definition = build_definition(project, choices, packages, telemetry=asked)
    if problems := lint(definition):
        raise InvalidDefinitionError(
            "The definition is not valid, nothing was written: " + "; ".join(problems)
        )
    return Description(project, choices, packages, definition)


@contextmanager
def _apart(region: str) -> Iterator[None]:
    """Keep the SDK to itself while it is imported and used: nothing of this machine reaches it, or stays.

    On its way it makes clients that nobody uses. They want a region at once, and look for credentials in
    files, containers and the network. Afterwards everything is as it was, boto3's own session too.
    """
    import boto3

    before, session = dict(os.environ), boto3.DEFAULT_SESSION
    # The SDK brings a million objects that stay: looking through them for garbage takes most of a second.
    collected = gc.isenabled()
    gc.disable()
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ |= {
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # The SDK would ask IAM whether the role may do what the jobs need.
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }
    boto3.DEFAULT_SESSION = None
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        boto3.DEFAULT_SESSION = session
        if collected:
            gc.enable()
