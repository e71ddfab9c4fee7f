"""Where a rehearsal can be made to fail, to see what a failure looks like and what it leaves. Fails nothing itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A call that is refused once the road has come to a step.

    Attributes:
        step: the step of the road before which it is put in place.
        service: botocore's name.
        operation: the API's.
        account: what the account is for, see ``Journey.accounts``.
    """

    step: str
    service: str
    operation: str
    account: str


# Any one of these is met by every project that comes by there, whoever wrote it, if it tests what it has deployed.
FAULTS = {
    "launch": Fault("launch", "codepipeline", "CreatePipeline", "data-science"),
    "train": Fault("launch", "sagemaker", "CreateModelPackage", "data-science"),
    "build": Fault("approve", "codebuild", "StartBuild", "data-science"),
    "staging": Fault("approve", "sagemaker", "CreateEndpoint", "staging"),
    "staging-test": Fault("approve", "sagemaker-runtime", "InvokeEndpoint", "staging"),
    "production": Fault("approve", "sagemaker", "CreateEndpoint", "production"),
    "production-test": Fault("approve", "sagemaker-runtime", "InvokeEndpoint", "production"),
    "staging-update": Fault("better", "sagemaker", "UpdateEndpoint", "staging"),
    "production-update": Fault("better", "sagemaker", "UpdateEndpoint", "production"),
}
