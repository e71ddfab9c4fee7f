"""A moto server with the model registry in it, what moto lacks of it, and a record of the calls that it got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import boto3
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.sagemaker.models import sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION

ACCOUNT = "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class Registry:
    """A running server: its address, its calls in order, and the policies of its model package groups."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[str] = []
        self.policies: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs to reach it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    @property
    def backend(self) -> Any:
        """moto's own state, to bring about what no call of SageMaker can."""
        return sagemaker_backends[ACCOUNT][REGION]

    def client(self, service: str = "sagemaker") -> Any:
        """A client of boto3 for it."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def reset(self) -> None:
        """Forgets everything, so that tests can share one server."""
        sagemaker_backends[ACCOUNT].reset()
        self.calls.clear()
        self.policies.clear()

    def register(self, status: str = "Approved", group: str = GROUP) -> str:
        """Registers a model package in a group that exists; returns its ARN."""
        answer = self.client().create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [{"Image": "image"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )
        return str(answer["ModelPackageArn"])

    def register_many(self, count: int) -> None:
        """Registers packages without HTTP, the newest one approved as one in three of the others is."""
        for number in range(count):
            status = "Approved" if (count - 1 - number) % 3 == 0 else "PendingManualApproval"
            self.backend.create_model_package(
                **dict.fromkeys(_PACKAGE_ARGUMENTS),
                model_package_group_name=GROUP,
                certify_for_marketplace=False,
                model_approval_status=status,
            )

    def deploy(self, parameters: dict[str, str], model_package: str | None = None) -> str:
        """Makes the endpoint of a stage as the endpoint template does; returns its name."""
        client, stage = self.client(), parameters["StageName"]
        client.create_model(
            ModelName=f"model-{stage}",
            PrimaryContainer={"ModelPackageName": model_package or parameters["ModelPackageName"]},
            ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/{parameters['ModelExecutionRoleName']}",
            EnableNetworkIsolation=parameters["EnableNetworkIsolation"] == "true",
        )
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": f"model-{stage}",
            "InstanceType": parameters["EndpointInstanceType"],
            "InitialInstanceCount": int(parameters["EndpointInstanceCount"]),
        }
        client.create_endpoint_config(EndpointConfigName=f"config-{stage}", ProductionVariants=[variant])
        name = f"{PROJECT}-{PROJECT_ID}-{stage}"
        client.create_endpoint(EndpointName=name, EndpointConfigName=f"config-{stage}")
        return name


_PACKAGE_ARGUMENTS = (
    "model_package_name model_package_description inference_specification validation_specification "
    "source_algorithm_specification tags metadata_properties model_metrics client_token customer_metadata_properties "
    "drift_check_baselines domain task sample_payload_url additional_inference_specifications"
).split()


@contextmanager
def serving() -> Iterator[Registry]:
    """Starts the server on a free port of the loopback, and stops it at the end."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    registry = Registry(f"http://{host}:{port}")
    try:
        with _additions(registry), _recording(registry):
            yield registry
    finally:
        server.stop()


@contextmanager
def _recording(registry: Registry) -> Iterator[None]:
    call_action = BaseResponse.call_action

    def recorded(self: BaseResponse) -> Any:
        registry.calls.append(self._get_action())
        return call_action(self)

    with mock.patch.object(BaseResponse, "call_action", recorded):
        yield


@contextmanager
def _additions(registry: Registry) -> Iterator[None]:
    """What moto 5.2.5 lacks: the calls for the policy of a model package group, and a model's network isolation."""
    create_model = SageMakerResponse.create_model

    def create(self: SageMakerResponse) -> Any:
        answer = create_model(self)
        model = self.sagemaker_backend._models[self._get_param("ModelName")]
        model.enable_network_isolation = self._get_param("EnableNetworkIsolation", False)
        return answer

    def put(self: SageMakerResponse) -> ActionResult:
        name = self._get_param("ModelPackageGroupName")
        registry.policies[name] = self._get_param("ResourcePolicy")
        group = self.sagemaker_backend.describe_model_package_group(name)
        return ActionResult({"ModelPackageGroupArn": group.arn})

    def get(self: SageMakerResponse) -> ActionResult:
        return ActionResult({"ResourcePolicy": registry.policies[_known(self, registry)]})

    def delete(self: SageMakerResponse) -> EmptyResult:
        del registry.policies[_known(self, registry)]
        return EmptyResult()

    named: dict[str, Any] = {
        f"{verb}_model_package_group_policy": act for verb, act in (("put", put), ("get", get), ("delete", delete))
    }
    with mock.patch.multiple(SageMakerResponse, create=True, create_model=create, **named):
        yield


def _known(response: SageMakerResponse, registry: Registry) -> str:
    name = str(response._get_param("ModelPackageGroupName"))
    if name not in registry.policies:
        raise JsonRESTError("ValidationException", f"Cannot find resource policy for: {name}")
    return name
