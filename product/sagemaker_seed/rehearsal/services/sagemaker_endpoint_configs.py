"""SageMaker's endpoint configurations: checked, kept and described. What cannot be served is refused by name."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..wire import Request, not_implemented
from .sagemaker_models import Model, Models, arn, checked, listed
from .sagemaker_registry import backend, invalid
from .service import Operation

Answer = dict[str, Any]

REFUSED = ("CrossRegionTrafficConfig", "ExplainerConfig")
# Of a production variant: what is noted is in the description and changes nothing here.
REFUSED_OF_VARIANT = (
    "AcceleratorType",
    "AcceleratorPartitionLayouts",
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "InstancePools",
    "ManagedInstanceScaling",
)
# Of a serverless variant: what SageMaker has for instances alone.
OF_INSTANCES = (
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "InitialInstanceCount",
    "InstanceType",
    "ModelDataDownloadTimeoutInSeconds",
    "VolumeSizeInGB",
)
# Of a configuration with a serverless variant: what serverless inference does not have.
NOT_SERVERLESS = ("AsyncInferenceConfig", "DataCaptureConfig", "KmsKeyId", "ShadowProductionVariants", "VpcConfig")
MEMORY_STEP = 1024


@dataclass
class Config:
    """An endpoint configuration as it was created. ``tags`` is what moto's operations on tags look at."""

    name: str
    arn: str
    given: Mapping[str, Any]
    models: Mapping[str, Model]
    tags: list[dict[str, str]]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


class Configs:
    """The operations on endpoint configurations."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._configs: dict[tuple[str, str], dict[str, Config]] = {}
        self._lock = threading.RLock()
        self.operations: dict[str, Operation] = {
            "CreateEndpointConfig": self._create,
            "DescribeEndpointConfig": self._describe,
            "ListEndpointConfigs": self._list,
            "DeleteEndpointConfig": self._delete,
        }

    def find(self, request: Request, name: str) -> Config:
        """The caller's endpoint configuration of this name.

        Raises:
            AwsError: there is none.
        """
        with self._lock:
            found = self._of(request).get(name)
        if found is None:
            raise invalid(f'Could not find endpoint configuration "{arn(request, "endpoint-config", name)}".')
        return found

    def _of(self, request: Request) -> dict[str, Config]:
        return self._configs.setdefault((request.caller.account, request.region), {})

    def _create(self, request: Request) -> Answer:
        given = checked(request)
        name = given["EndpointConfigName"]
        for refused in REFUSED:
            if given.get(refused):
                raise not_implemented("sagemaker", "CreateEndpointConfig", f"It does not implement {refused}.")
        variants = given["ProductionVariants"]
        shadows = given.get("ShadowProductionVariants") or []
        names = [variant["VariantName"] for variant in (*variants, *shadows)]
        if len(set(names)) < len(names):
            raise invalid(f"Variant names must be unique: {', '.join(names)}.")
        for variant in (*variants, *shadows):
            _check_variant(variant)
        models = {v["VariantName"]: self._models.find(request, v["ModelName"]) for v in (*variants, *shadows)}
        if any(variant.get("ServerlessConfig") for variant in (*variants, *shadows)):
            _check_serverless(given, variants, models)
        if given.get("AsyncInferenceConfig"):
            _check_asynchronous(given, variants)
        if shadows:
            _check_shadows(variants, shadows)
        config = Config(name, arn(request, "endpoint-config", name), given, models, list(given.get("Tags") or ()))
        with self._lock:
            if name in self._of(request):
                raise invalid(f'Cannot create already existing endpoint configuration "{config.arn}".')
            self._of(request)[name] = config
            backend(request).endpoint_configs[name] = config  # where moto's operations on tags look
        return {"EndpointConfigArn": config.arn}

    def _describe(self, request: Request) -> Answer:
        config = self.find(request, checked(request)["EndpointConfigName"])
        given = {key: value for key, value in config.given.items() if key != "Tags"}
        variants: Answer = {
            kind: [{"InitialVariantWeight": 1.0, **variant} for variant in given[kind]]
            for kind in ("ProductionVariants", "ShadowProductionVariants")
            if kind in given
        }
        return {
            "EnableNetworkIsolation": False,
            **given,
            **variants,
            "EndpointConfigArn": config.arn,
            "CreationTime": config.created,
        }

    def _list(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            configs = [
                {"EndpointConfigName": c.name, "EndpointConfigArn": c.arn, "CreationTime": c.created}
                for c in self._of(request).values()
            ]
        keys = {"Name": "EndpointConfigName", "CreationTime": "CreationTime"}
        return listed(configs, given, "EndpointConfigs", keys, "EndpointConfigName")

    def _delete(self, request: Request) -> Answer:
        with self._lock:
            config = self.find(request, checked(request)["EndpointConfigName"])
            del self._of(request)[config.name]
            backend(request).endpoint_configs.pop(config.name, None)
        return {}


def _check_variant(variant: Mapping[str, Any]) -> None:
    for refused in REFUSED_OF_VARIANT:
        if variant.get(refused):
            raise not_implemented("sagemaker", "CreateEndpointConfig", f"It does not implement {refused} of a variant.")
    if not variant.get("ModelName"):
        raise not_implemented("sagemaker", "CreateEndpointConfig", "It has no inference components.")
    if variant.get("ServerlessConfig"):
        return
    for needed in ("InstanceType", "InitialInstanceCount"):
        if not variant.get(needed):
            raise invalid(f"{needed} is required for production variant {variant['VariantName']}.")


def _check_serverless(
    given: Mapping[str, Any], variants: Sequence[Mapping[str, Any]], models: Mapping[str, Model]
) -> None:
    """Refuses what serverless inference does not have: instances, a network, several variants, data capture."""
    if len(variants) > 1:
        raise invalid("A serverless endpoint has one production variant.")
    if named := [name for name in NOT_SERVERLESS if given.get(name)]:
        raise invalid(f"{', '.join(named)} is not supported for serverless endpoints.")
    (variant,) = variants
    config, name = variant["ServerlessConfig"], variant["VariantName"]
    if named := [key for key in OF_INSTANCES if variant.get(key)]:
        raise invalid(f"{', '.join(named)} cannot be given together with ServerlessConfig for variant {name}.")
    if config["MemorySizeInMB"] % MEMORY_STEP:
        raise invalid(f"MemorySizeInMB must be a multiple of {MEMORY_STEP}, and is {config['MemorySizeInMB']}.")
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
    model = models[name]
    if model.given.get("VpcConfig") or model.contents.isolated:
        raise invalid(f"Model {model.name} has a VPC or network isolation, which serverless endpoints do not support.")


def _check_asynchronous(given: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> None:
    if len(variants) > 1 or given.get("ShadowProductionVariants"):
        raise invalid("An asynchronous endpoint has one production variant, and no shadow variant.")
    if not given["AsyncInferenceConfig"]["OutputConfig"].get("S3OutputPath"):
        raise not_implemented("sagemaker", "CreateEndpointConfig", "An asynchronous endpoint needs S3OutputPath here.")


def _check_shadows(variants: Sequence[Mapping[str, Any]], shadows: Sequence[Mapping[str, Any]]) -> None:
    if len(variants) > 1 or len(shadows) > 1:
        raise invalid("With a shadow variant there is one production variant and one shadow variant.")
    served, shadow = (one.get("InitialVariantWeight", 1.0) for one in (variants[0], shadows[0]))
    if shadow > served:
        raise invalid(f"The weight of a shadow variant ({shadow:g}) is at most that of its production variant.")
