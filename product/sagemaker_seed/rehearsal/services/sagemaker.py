"""SageMaker: pipelines that run and a model registry that keeps what it is told; the rest as moto has it.

What moto would only pretend (a training job that completes without training) is refused by name.
"""

from __future__ import annotations

from ..ground import Ground
from ..wire import Request, not_implemented
from .sagemaker_pipelines import Pipelines
from .sagemaker_registry import Registry
from .service import Service

# Jobs are run as steps of a pipeline alone; moto would have each of these succeed at once.
PRETENDED = (
    "CreateAutoMLJob",
    "CreateAutoMLJobV2",
    "CreateCompilationJob",
    "CreateHyperParameterTuningJob",
    "CreateProcessingJob",
    "CreateTrainingJob",
    "CreateTransformJob",
    "StopProcessingJob",
    "StopTrainingJob",
)


def service(ground: Ground) -> Service:
    """SageMaker, with state of its own for each server; its jobs end with the server."""
    pipelines, registry = Pipelines(ground), Registry()
    refused = dict.fromkeys(PRETENDED, _refuse)
    operations = {**refused, **registry.operations, **pipelines.operations}
    return Service(name="sagemaker", operations=operations, guard=registry.guard)


def _refuse(request: Request) -> object:
    raise not_implemented("sagemaker", request.operation, "It runs jobs as steps of a pipeline.")
