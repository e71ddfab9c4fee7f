"""Operations that moto answers without doing anything: refused by name until they are real. Implements nothing."""

from __future__ import annotations

from ..wire import Request, not_implemented
from .service import Operation, Service

# service -> operation -> what moto would have the caller believe
PRETENDED = {
    "codebuild": {"StartBuild": "No build would run.", "RetryBuild": "No build would run."},
    "codepipeline": {"StartPipelineExecution": "No action would run."},
    "events": {"TestEventPattern": "No pattern would be compared."},
    "sagemaker-runtime": {
        "InvokeEndpoint": "No model would answer.",
        "InvokeEndpointAsync": "No model would answer.",
    },
}


def services() -> list[Service]:
    """The services that have pretended operations; moto answers the rest of each."""
    return [
        Service(name=name, operations={operation: _refuse(why) for operation, why in pretended.items()})
        for name, pretended in PRETENDED.items()
    ]


def _refuse(why: str) -> Operation:
    def refuse(request: Request) -> object:
        raise not_implemented(request.service, request.operation, why)

    return refuse
