"""SageMaker's models: made from model packages (another account's too) or from data, and checked. Serves nothing."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.sagemaker.models import sagemaker_backends

from ... import policies as policy
from ..ground import Ground
from ..jobs import storage
from ..jobs.failure import StepFailure
from ..serving.model_server import Contents
from ..wire import AwsError, Request, not_implemented
from . import validation
from .sagemaker_registry import Registry, backend, invalid
from .service import Operation

Answer = dict[str, Any]
Parameters = dict[str, Any]

PRINCIPAL = "sagemaker.amazonaws.com"
PACKAGE_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):sagemaker:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):model-package/(?P<name>.+)"
)
PACKAGE_IN_USE = "Approved"
# Of a container: what is not done; a model with it is refused by name.
REFUSED = (
    "AdditionalModelDataSources",
    "ImageConfig",
    "InferenceSpecificationName",
    "MultiModelConfig",
)
PAGE_SIZE = 10


@dataclass
class Model:
    """A model as it was created, and what it consists of. ``tags`` is what moto's operations on tags look at."""

    name: str
    arn: str
    given: Mapping[str, Any]
    contents: Contents
    tags: list[dict[str, str]]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def role(self) -> str:
        """The ARN of the role that it runs as."""
        return str(self.given["ExecutionRoleArn"])


class Models:
    """The operations on models."""

    def __init__(self, ground: Ground, registry: Registry) -> None:
        self._ground, self._registry = ground, registry
        self._models: dict[tuple[str, str], dict[str, Model]] = {}
        self._lock = threading.RLock()
        self.operations: dict[str, Operation] = {
            "CreateModel": self._create,
            "DescribeModel": self._describe,
            "ListModels": self._list,
            "DeleteModel": self._delete,
        }

    def find(self, request: Request, name: str) -> Model:
        """The caller's model of this name.

        Raises:
            AwsError: there is none.
        """
        with self._lock:
            found = self._of(request).get(name)
        if found is None:
            raise invalid(f'Could not find model "{arn(request, "model", name)}".')
        return found

    def _of(self, request: Request) -> dict[str, Model]:
        return self._models.setdefault((request.caller.account, request.region), {})

    def _create(self, request: Request) -> Answer:
        given = checked(request)
        if given.get("InferenceExecutionConfig"):
            raise not_implemented("sagemaker", "CreateModel", "InferenceExecutionConfig belongs to several containers.")
        container = _container(given)
        if not given.get("ExecutionRoleArn"):
            raise invalid("1 validation error detected: Value null at 'executionRoleArn' failed to satisfy constraint.")
        contents = self._contents(request, container, isolated=bool(given.get("EnableNetworkIsolation")))
        self._check_data(request, contents, given["ExecutionRoleArn"])
        model = Model(
            name=given["ModelName"],
            arn=arn(request, "model", given["ModelName"]),
            given=given,
            contents=contents,
            tags=list(given.get("Tags") or ()),
        )
        with self._lock:
            if model.name in self._of(request):
                raise invalid(f'Cannot create already existing model "{model.arn}".')
            self._of(request)[model.name] = model
            backend(request)._models[model.name] = model  # where moto's operations on tags look
        return {"ModelArn": model.arn}

    def _contents(self, request: Request, container: Mapping[str, Any], *, isolated: bool) -> Contents:
        own = container.get("Environment") or {}
        if not container.get("ModelPackageName"):
            return _of_container(container, own, isolated)
        if container.get("Image") or container.get("ModelDataUrl") or container.get("ModelDataSource"):
            raise invalid("Image and ModelDataUrl cannot be given together with ModelPackageName.")
        package = self._package(request, str(container["ModelPackageName"]))
        containers = (package.inference_specification or {}).get("Containers") or []
        if len(containers) != 1:
            raise not_implemented("sagemaker", "CreateModel", "Of a model package it serves exactly one container.")
        return _of_container(containers[0], {**(containers[0].get("Environment") or {}), **own}, isolated)

    def _package(self, request: Request, name: str) -> Any:
        """The model package, if the caller may make a model of it.

        Raises:
            AwsError: there is none, it is not approved, or its group's policy does not let the caller's account in.
        """
        named = PACKAGE_ARN.fullmatch(name)
        owner = named["account"] if named else request.caller.account
        region = named["region"] if named else request.region
        if region != request.region:
            raise invalid(f"Model package {name} is in {region}; a model in {request.region} cannot use it.")
        state = sagemaker_backends[owner][region]
        package = state.model_packages.get(state.model_package_name_mapping.get(name, name))
        if owner != request.caller.account:
            self._check_policy(request, name, owner, package)
        if package is None:
            raise invalid(f"Could not find model package {name}.")
        status = package.model_approval_status
        if package.model_package_group_name and status != PACKAGE_IN_USE:
            raise invalid(f"Model package {package.arn} cannot be deployed: its approval status is {status}.")
        return package

    def _check_policy(self, request: Request, name: str, owner: str, package: Any) -> None:
        if request.caller.identity is not None:
            return  # judged before it came here, with the caller's own policies
        text = package and self._registry.policy_of(owner, request.region, str(package.model_package_group_name))
        context = {"aws:principalaccount": request.caller.account, "aws:principalarn": request.caller.arn}
        asked = policy.Asked(request.caller.account, request.caller.arn, "sagemaker:CreateModel", name, context)
        verdict = policy.evaluate(json.loads(text), asked) if text else policy.Verdict(False, False, ())
        if verdict.denied or not verdict.allowed:
            raise AwsError(
                "AccessDeniedException",
                f"User: {request.caller.arn} is not authorized to perform: sagemaker:CreateModel on resource: {name} "
                "because no resource-based policy allows the sagemaker:CreateModel action",
            )

    def _check_data(self, request: Request, contents: Contents, role: str) -> None:
        """Refuses data that the model's role cannot have."""
        try:
            actor = self._ground.role(role, PRINCIPAL, "SageMaker")
        except AwsError as error:
            raise invalid(
                f"Could not assume role {role}. Please ensure that the role exists and allows principal "
                f"'{PRINCIPAL}' to assume the role. ({error.message})"
            ) from None
        if not contents.data:
            return
        try:
            storage.require(storage.Aws(self._ground, actor, request.region), contents.data)
        except (StepFailure, ClientError, BotoCoreError) as error:
            raise invalid(
                f'Could not access model data at {contents.data}. Please ensure that the role "{role}" exists and that '
                'its trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                f'"{PRINCIPAL}". Also ensure that the role has "s3:GetObject" permissions and that the object is '
                f"located in {request.region}. ({error})"
            ) from None

    def _describe(self, request: Request) -> Answer:
        model = self.find(request, checked(request)["ModelName"])
        containers = {
            key: [_described(one) for one in value] if key == "Containers" else _described(value)
            for key, value in model.given.items()
            if key in {"Containers", "PrimaryContainer"}
        }
        rest = {key: model.given[key] for key in ("ExecutionRoleArn", "VpcConfig") if model.given.get(key)}
        return {
            "ModelName": model.name,
            "ModelArn": model.arn,
            "CreationTime": model.created,
            "EnableNetworkIsolation": model.contents.isolated,
            **containers,
            **rest,
        }

    def _list(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            models = [
                {"ModelName": m.name, "ModelArn": m.arn, "CreationTime": m.created} for m in self._of(request).values()
            ]
        keys = {"Name": "ModelName", "CreationTime": "CreationTime"}
        return listed(models, given, "Models", keys, "ModelName")

    def _delete(self, request: Request) -> Answer:
        with self._lock:
            model = self.find(request, checked(request)["ModelName"])
            del self._of(request)[model.name]
            backend(request)._models.pop(model.name, None)
        return {}


def _container(given: Parameters) -> Mapping[str, Any]:
    """The one container of a model.

    Raises:
        AwsError: there is none, or there are several, or something about it is not implemented.
    """
    containers = list(given.get("Containers") or ())
    if given.get("PrimaryContainer") and containers:
        raise invalid("Both PrimaryContainer and Containers cannot be given.")
    if given.get("PrimaryContainer"):
        containers = [given["PrimaryContainer"]]
    if not containers:
        raise invalid("A model needs PrimaryContainer or Containers.")
    if len(containers) > 1:
        raise not_implemented("sagemaker", "CreateModel", "It has no inference pipelines of several containers.")
    (container,) = containers
    for name in REFUSED:
        if container.get(name):
            raise not_implemented("sagemaker", "CreateModel", f"It does not implement {name} of a container.")
    if container.get("Mode") == "MultiModel":
        raise not_implemented("sagemaker", "CreateModel", "It has no containers with several models.")
    return dict(container)


def _of_container(container: Mapping[str, Any], environment: Mapping[str, str], isolated: bool) -> Contents:
    image = str(container.get("Image") or "")
    if not image:
        raise invalid("A container needs Image or ModelPackageName.")
    data = str(container.get("ModelDataUrl") or "")
    if source := container.get("ModelDataSource"):
        where = source["S3DataSource"]
        if where.get("S3DataType") != "S3Object" or where.get("CompressionType") != "Gzip":
            raise not_implemented("sagemaker", "CreateModel", "Of ModelDataSource it takes a Gzip S3Object alone.")
        data = str(where["S3Uri"])
    if "SAGEMAKER_PROGRAM" not in environment and "xgboost" not in image:
        raise not_implemented(
            "sagemaker",
            "CreateModel",
            f"It cannot run the image {image}: it stands in for SageMaker's XGBoost image, and runs the script that "
            "SAGEMAKER_PROGRAM names for any other.",
        )
    return Contents(image, data, dict(environment), isolated)


def _described(container: Mapping[str, Any]) -> Answer:
    return {"Mode": "SingleModel", "Environment": {}, **container}


def arn(request: Request, kind: str, name: str) -> str:
    """The ARN of something of SageMaker's of the caller."""
    return f"arn:{request.partition}:sagemaker:{request.region}:{request.caller.account}:{kind}/{name}"


def checked(request: Request) -> Parameters:
    """A request's parameters, if the model of the operation allows them.

    Raises:
        AwsError: it does not.
    """
    given = {key: value for key, value in request.parameters().items() if value is not None}
    validation.check(given, request.operation_model.input_shape)
    return given


def listed(items: Sequence[Answer], given: Parameters, key: str, sorts: Mapping[str, str], name: str) -> Answer:
    """The page of a listing that a request asks for: filtered by name and times, sorted, newest first by default.

    Args:
        sorts: what ``SortBy`` can say -> the key of an item that it means.
        name: the key of an item that ``NameContains`` is about.
    """
    found = [item for item in items if str(given.get("NameContains") or "").lower() in item[name].lower()]
    for field_ in ("CreationTime", "LastModifiedTime"):
        before, after = given.get(f"{field_}Before"), given.get(f"{field_}After")
        # moto's parser gives times without a zone, which are UTC's.
        found = [i for i in found if before is None or i[field_].replace(tzinfo=None) < before]
        found = [i for i in found if after is None or i[field_].replace(tzinfo=None) > after]
    by = sorts[given.get("SortBy") or "CreationTime"]
    descending = (given.get("SortOrder") or "Descending").startswith("Desc")
    found.sort(key=lambda item: item[by], reverse=descending)
    token = str(given.get("NextToken") or "0")
    if not token.isdigit():
        raise invalid(f"NextToken {token!r} is not one that was given out.")
    start = int(token)
    end = start + int(given.get("MaxResults") or PAGE_SIZE)
    more = {"NextToken": str(end)} if end < len(found) else {}
    return {key: found[start:end], **more}
