"""SageMaker's model registry as moto has it, with its faults mended, and policies of groups.

Mended: a second group of the same name is refused, a model package starts as ``PendingManualApproval``, and an update
changes what it names and nothing else.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from ..access.attached import Attached
from ..ground import Event, Ground
from ..wire import AwsError, Request
from . import validation
from .service import Operation

PENDING = "PendingManualApproval"
POLICY_LENGTH = 20480
UPDATED = {
    "ModelApprovalStatus": "set_model_approval_status",
    "AdditionalInferenceSpecificationsToAdd": "add_additional_inference_specifications",
    "CustomerMetadataPropertiesToRemove": "remove_customer_metadata_property",
}
NOT_UPDATED = ("ModelPackageRegistrationType", "InferenceSpecification", "SourceUri", "ModelCard", "ModelLifeCycle")
# What moto does not know of; it is kept with the package as it was given.
KEPT = ("ModelCard", "ModelLifeCycle", "SecurityConfig", "SkipModelValidation", "SourceUri")
REFUSED = ("ModelPackageRegistrationType",)
# What an event says of a model package.
OF_EVENT = (
    "ModelPackageGroupName",
    "ModelPackageName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "InferenceSpecification",
    "ModelPackageStatus",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "ModelApprovalStatus",
    "ApprovalDescription",
    "MetadataProperties",
    "ModelMetrics",
    "CustomerMetadataProperties",
    "LastModifiedTime",
)
CREATED = {
    "ModelPackageName": "model_package_name",
    "ModelPackageGroupName": "model_package_group_name",
    "ModelPackageDescription": "model_package_description",
    "InferenceSpecification": "inference_specification",
    "ValidationSpecification": "validation_specification",
    "SourceAlgorithmSpecification": "source_algorithm_specification",
    "CertifyForMarketplace": "certify_for_marketplace",
    "Tags": "tags",
    "ModelApprovalStatus": "model_approval_status",
    "MetadataProperties": "metadata_properties",
    "ModelMetrics": "model_metrics",
    "ClientToken": "client_token",
    "CustomerMetadataProperties": "customer_metadata_properties",
    "DriftCheckBaselines": "drift_check_baselines",
    "Domain": "domain",
    "Task": "task",
    "SamplePayloadUrl": "sample_payload_url",
    "AdditionalInferenceSpecifications": "additional_inference_specifications",
}


def backend(request: Request) -> Any:
    """moto's state of SageMaker for the caller's account and region."""
    return sagemaker_backends[request.caller.account][request.region]


class Registry:
    """The operations on model packages and their groups that are not moto's."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._policies: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._answered: dict[tuple[str, str, str], str] = {}
        self._lock = threading.RLock()
        ground.gate.policies["sagemaker"] = self._attached
        self.operations: dict[str, Operation] = {
            "CreateModelPackage": self._create_package,
            "UpdateModelPackage": self._update_package,
            "DescribeModelPackage": self._describe_package,
            "PutModelPackageGroupPolicy": self._put_policy,
            "GetModelPackageGroupPolicy": self._get_policy,
            "DeleteModelPackageGroupPolicy": self._delete_policy,
            "DeleteModelPackageGroup": self._delete_group,
        }

    @contextmanager
    def guard(self, request: Request) -> Iterator[None]:
        """Around what moto answers."""
        if request.operation == "CreateModelPackageGroup":
            with self._lock:
                self._refuse_duplicate(request)
                yield
            return
        yield

    def _refuse_duplicate(self, request: Request) -> None:
        given = request.parameters()
        validation.check(given, request.operation_model.input_shape)
        name = given["ModelPackageGroupName"]
        if name in backend(request).model_package_groups:
            raise invalid(f"Model Package Group already exists: {_group_arn(request, name)}")

    def _create_package(self, request: Request) -> object:
        given = request.parameters()
        validation.check(given, request.operation_model.input_shape)
        for name in REFUSED:
            if given.get(name):
                raise invalid(f"The embedded AWS does not implement {name} of a model package.")
        if bool(given.get("ModelPackageName")) == bool(given.get("ModelPackageGroupName")):
            raise invalid("Either ModelPackageName or ModelPackageGroupName must be given, and not both.")
        _check_card(given.get("ModelCard"))
        arguments = {ours: given.get(theirs) for theirs, ours in CREATED.items()}
        group = _own_group(request, str(given.get("ModelPackageGroupName") or ""))
        if group:
            arguments["model_package_group_name"] = group
            arguments["model_approval_status"] = given.get("ModelApprovalStatus") or PENDING
        arguments["certify_for_marketplace"] = bool(given.get("CertifyForMarketplace"))
        asked = (request.caller.account, request.region, str(given.get("ClientToken")))
        with self._lock:
            if given.get("ClientToken") and asked in self._answered:
                return {"ModelPackageArn": self._answered[asked]}
            if group and group not in backend(request).model_package_groups:
                raise invalid(f"Model Package Group {_group_arn(request, group)} does not exist.")
            if given.get("ModelPackageName") in backend(request).model_package_name_mapping and not group:
                raise invalid(f"Model Package already exists: {given['ModelPackageName']}")
            arn = self._answered[asked] = backend(request).create_model_package(**arguments)
            package = backend(request).model_packages[arn]
            package.kept = {name: given[name] for name in KEPT if given.get(name)}
            self._changed(request, package)
        return {"ModelPackageArn": arn}

    def _update_package(self, request: Request) -> object:
        given = request.parameters()
        validation.check(given, request.operation_model.input_shape)
        for name in NOT_UPDATED:
            if given.get(name):
                raise invalid(f"The embedded AWS does not implement an update of a model package's {name}.")
        with self._lock:
            package = _package(request, str(given.get("ModelPackageArn")))
            if "CustomerMetadataProperties" in given:
                package.customer_metadata_properties = {
                    **(package.customer_metadata_properties or {}),
                    **given["CustomerMetadataProperties"],
                }
            if package.customer_metadata_properties is None:
                package.customer_metadata_properties = {}
            if "ApprovalDescription" in given:
                package.approval_description = given["ApprovalDescription"]
            for name, method in UPDATED.items():
                if given.get(name) is not None:
                    getattr(package, method)(given[name])
            package.modifications_done()
            if given.get("ModelApprovalStatus") is not None:
                self._changed(request, package)
        return {"ModelPackageArn": package.arn}

    def _changed(self, request: Request, package: Any) -> None:
        """Says what a model package is now: after it was made, and whenever its approval was set, even to the same."""
        described = package.gen_response_object()
        detail = {name: described[name] for name in OF_EVENT if described.get(name) is not None}
        self._ground.emit(
            Event(
                request.caller.account,
                request.region,
                "aws.sagemaker",
                "SageMaker Model Package State Change",
                json.loads(json.dumps(detail, default=_as_text)),
                (package.arn,),
            )
        )

    def _describe_package(self, request: Request) -> object:
        package = _package(request, str(request.parameters().get("ModelPackageName")))
        described = {"SkipModelValidation": "None", **package.gen_response_object(), **package.kept}
        if not described.get("CustomerMetadataProperties"):
            described.pop("CustomerMetadataProperties", None)
        return described

    def policy_of(self, account: str, region: str, group: str) -> str | None:
        """The policy of an account's model package group; None if it has none."""
        with self._lock:
            return self._policies[account, region].get(group)

    def _attached(self, arn: str) -> Attached | None:
        """The policy of a group, by the group's ARN or that of one of its packages."""
        _, _, _, region, account, resource = arn.split(":", 5)
        kind, _, name = resource.partition("/")
        if kind not in {"model-package", "model-package-group"}:
            return None
        group = name.partition("/")[0]
        holder = arn.removesuffix(resource) + f"model-package-group/{group}"
        return Attached(holder, self.policy_of(account, region, group) or "")

    def _policies_of(self, request: Request) -> dict[str, str]:
        return self._policies[request.caller.account, request.region]

    def _put_policy(self, request: Request) -> object:
        given = request.parameters()
        name, text = str(given.get("ModelPackageGroupName")), str(given.get("ResourcePolicy"))
        _existing_group(request, name)
        try:
            policy = json.loads(text)
        except ValueError:
            raise invalid("Invalid resource policy: it is not JSON.") from None
        if not isinstance(policy, dict) or not policy.get("Statement") or len(text) > POLICY_LENGTH:
            raise invalid("Invalid resource policy: it has no Statement, or is too long.")
        with self._lock:
            self._policies_of(request)[name] = text
        return {"ModelPackageGroupArn": _group_arn(request, name)}

    def _get_policy(self, request: Request) -> object:
        return {"ResourcePolicy": self._policies_of(request)[self._with_policy(request)]}

    def _delete_policy(self, request: Request) -> object:
        del self._policies_of(request)[self._with_policy(request)]
        return {}

    def _delete_group(self, request: Request) -> object:
        name = str(request.parameters().get("ModelPackageGroupName")).rpartition("/")[2]
        with self._lock:
            _existing_group(request, name)
            if any(p.model_package_group_name == name for p in backend(request).model_packages.values()):
                why = "it still contains model packages"
                raise AwsError("ConflictException", f"{_group_arn(request, name)} cannot be deleted: {why}.")
            del backend(request).model_package_groups[name]
            self._policies_of(request).pop(name, None)
        return {}

    def _with_policy(self, request: Request) -> str:
        name = str(request.parameters().get("ModelPackageGroupName"))
        _existing_group(request, name)
        if name not in self._policies_of(request):
            raise invalid(f"Cannot find resource policy for: {_group_arn(request, name)}")
        return name


def _as_text(moment: datetime) -> str:
    """A time as events have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def invalid(message: str) -> AwsError:
    """The error that SageMaker has for nearly everything."""
    return AwsError("ValidationException", message)


def _check_card(card: dict[str, Any] | None) -> None:
    """The content of a model card is JSON in a string."""
    if not card:
        return
    try:
        content = json.loads(card["ModelCardContent"])
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise invalid("ModelCard.ModelCardContent is not a JSON object.")


def _group_arn(request: Request, name: str) -> str:
    return f"arn:{request.partition}:sagemaker:{request.region}:{request.caller.account}:model-package-group/{name}"


def _own_group(request: Request, name: str) -> str:
    """The name of a group that is given by its name or its ARN; empty if none is given."""
    group = name.rpartition("/")[2]
    if name.startswith("arn:") and name != _group_arn(request, group):
        raise invalid(f"The embedded AWS does not implement model packages in a group of another account: {name}")
    return group


def _existing_group(request: Request, name: str) -> None:
    if name not in backend(request).model_package_groups:
        raise invalid(f"ModelPackageGroup {_group_arn(request, name)} does not exist.")


def _package(request: Request, name: str) -> Any:
    state = backend(request)
    package = state.model_packages.get(state.model_package_name_mapping.get(name, name))
    if package is None:
        raise invalid(f"ModelPackage {name} does not exist.")
    return package
