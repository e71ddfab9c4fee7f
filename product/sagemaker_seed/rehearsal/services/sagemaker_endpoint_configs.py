"""SageMaker's endpoint configurations: checked, kept and described. What cannot be served is refused by name."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..wire import Request, not_implemented
from .sagemaker_models import Model, Models, arn, checked, listed
from .sagemaker_registry import backend, invalid
from .service import Operation

Answer = dict[str, Any]

REFUSED = ("AsyncInferenceConfig", "CrossRegionTrafficConfig", "ExplainerConfig", "ShadowProductionVariants")
# Of a production variant: what is noted is in the description and changes nothing here.
REFUSED_OF_VARIANT = (
    "AcceleratorType",
    "AcceleratorPartitionLayouts",
    "CapacityReservationConfig",
    "CoreDumpConfig",
    "InstancePools",
    "ManagedInstanceScaling",
    "ServerlessConfig",
)


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
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) < len(names):
            raise invalid(f"Variant names must be unique: {', '.join(names)}.")
        for variant in variants:
            _check_variant(variant)
        models = {variant["VariantName"]: self._models.find(request, variant["ModelName"]) for variant in variants}
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
        variants = [{"InitialVariantWeight": 1.0, **variant} for variant in given["ProductionVariants"]]
        return {
            "EnableNetworkIsolation": False,
            **given,
            "ProductionVariants": variants,
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
    for needed in ("InstanceType", "InitialInstanceCount"):
        if not variant.get(needed):
            raise invalid(f"{needed} is required for production variant {variant['VariantName']}.")
