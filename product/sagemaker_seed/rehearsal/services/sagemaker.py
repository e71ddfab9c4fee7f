"""SageMaker: pipelines that run, a registry that keeps what it is told, models that serve, projects that launch.

Models serve at endpoints and in transform jobs. The rest is as moto has it.

What moto would only pretend (a training job that completes without training) is refused by name.
"""

from __future__ import annotations

from ..ground import Ground
from ..wire import Request, not_implemented
from . import sagemaker_runtime
from .sagemaker_endpoint_configs import Configs
from .sagemaker_endpoints import Endpoints
from .sagemaker_models import Models
from .sagemaker_pipelines import Pipelines
from .sagemaker_projects import Projects
from .sagemaker_registry import Registry
from .sagemaker_tags import Tags
from .sagemaker_transforms import Transforms
from .service import Service

# Jobs that train or process are run as steps of a pipeline alone; moto would have each of these succeed at once.
PRETENDED = (
    "CreateAutoMLJob",
    "CreateAutoMLJobV2",
    "CreateCompilationJob",
    "CreateHyperParameterTuningJob",
    "CreateProcessingJob",
    "CreateTrainingJob",
    "StopProcessingJob",
    "StopTrainingJob",
)


def services(ground: Ground) -> list[Service]:
    """SageMaker and its runtime, with state of their own for each server; what they run ends with the server."""
    pipelines, registry = Pipelines(ground), Registry(ground)
    models = Models(ground, registry)
    configs = Configs(models)
    endpoints, projects = Endpoints(ground, models, configs), Projects(ground)
    operations = {
        **dict.fromkeys(PRETENDED, _refuse),
        **registry.operations,
        **pipelines.operations,
        **models.operations,
        **configs.operations,
        **endpoints.operations,
        **projects.operations,
        **Transforms(ground, models).operations,
        **Tags(projects).operations,
    }
    sagemaker = Service(name="sagemaker", operations=operations, guard=registry.guard)
    return [sagemaker, sagemaker_runtime.service(endpoints)]


def _refuse(request: Request) -> object:
    raise not_implemented("sagemaker", request.operation, "It runs jobs as steps of a pipeline.")
