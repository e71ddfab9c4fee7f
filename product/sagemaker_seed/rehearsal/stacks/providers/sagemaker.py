"""Models, endpoint configurations, endpoints, model package groups and pipelines."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ..provider import Context, Made, ResourceFailed
from .common import (
    Properties,
    document,
    generated_short,
    gone_is_fine,
    picked,
    refused,
    resource,
    retag,
    tag_list,
    tags_of,
    undone,
)

POLL_SECONDS = 0.05
LONGEST_NAME = 63
UNDER_WAY = {"Creating", "Updating", "RollingBack", "SystemUpdating"}
MISSING = "Could not find"
MODEL = "Containers EnableNetworkIsolation ExecutionRoleArn InferenceExecutionConfig PrimaryContainer VpcConfig"
CONFIG = (
    "AsyncInferenceConfig DataCaptureConfig EnableNetworkIsolation ExecutionRoleArn ExplainerConfig KmsKeyId "
    "ProductionVariants ShadowProductionVariants VpcConfig"
)
ROLLOUT = "DeploymentConfig ExcludeRetainedVariantProperties RetainAllVariantProperties RetainDeploymentConfig"


def _tags(context: Context, properties: Properties) -> dict[str, Any]:
    tags = tag_list(tags_of(context, properties))
    return {"Tags": tags} if tags else {}


def _retag(context: Context, arn: str, properties: Properties) -> None:
    sagemaker = context.client("sagemaker")
    retag(
        sagemaker.list_tags(ResourceArn=arn)["Tags"],
        tags_of(context, properties),
        lambda tags: sagemaker.add_tags(ResourceArn=arn, Tags=tag_list(tags)),
        lambda keys: sagemaker.delete_tags(ResourceArn=arn, TagKeys=keys),
    )


def _only_tags(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    _retag(context, made.physical_id, new)
    return made


# --- models and configurations, which nothing but their tags changes


def _create_model(context: Context, properties: Properties) -> Made:
    name = properties.get("ModelName") or generated_short(context, LONGEST_NAME)
    arn = context.client("sagemaker").create_model(
        ModelName=name, **picked(properties, MODEL), **_tags(context, properties)
    )["ModelArn"]
    return Made(arn, {"ModelArn": arn, "ModelName": name})


def _delete_model(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ValidationException", saying=MISSING):
        context.client("sagemaker").delete_model(ModelName=made.attributes["ModelName"])


def _create_config(context: Context, properties: Properties) -> Made:
    name = properties.get("EndpointConfigName") or generated_short(context, LONGEST_NAME)
    if "KmsKeyId" in properties:
        context.client("kms").describe_key(KeyId=properties["KmsKeyId"])  # as CloudFormation's own handler does
    arn = context.client("sagemaker").create_endpoint_config(
        EndpointConfigName=name, **picked(properties, CONFIG), **_tags(context, properties)
    )["EndpointConfigArn"]
    return Made(arn, {"EndpointConfigArn": arn, "EndpointConfigName": name})


def _delete_config(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ValidationException", saying=MISSING):
        context.client("sagemaker").delete_endpoint_config(EndpointConfigName=made.attributes["EndpointConfigName"])


# --- endpoints


def _create_endpoint(context: Context, properties: Properties) -> Made:
    sagemaker = context.client("sagemaker")
    name = properties.get("EndpointName") or generated_short(context, LONGEST_NAME)
    arn = sagemaker.create_endpoint(
        EndpointName=name,
        **picked(properties, "EndpointConfigName DeploymentConfig"),
        **_tags(context, properties),
    )["EndpointArn"]
    made = Made(arn, {"EndpointArn": arn, "EndpointName": name})
    with undone(lambda: _delete_endpoint(context, made, properties)):
        _settled(sagemaker, name)
    return made


def _settled(sagemaker: Any, name: str) -> Properties:
    """The description of an endpoint that has come to rest.

    Raises:
        ResourceFailed: it did not come to serve.
    """
    while True:
        endpoint: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        if endpoint["EndpointStatus"] not in UNDER_WAY:
            break
        time.sleep(POLL_SECONDS)
    if endpoint["EndpointStatus"] != "InService":
        why = endpoint.get("FailureReason", "no reason given")
        raise ResourceFailed(f"Endpoint {name} is {endpoint['EndpointStatus']}: {why}")
    return endpoint


def _update_endpoint(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    sagemaker, name = context.client("sagemaker"), made.attributes["EndpointName"]
    if picked(old, f"EndpointConfigName {ROLLOUT}") != picked(new, f"EndpointConfigName {ROLLOUT}"):
        serving = _settled(sagemaker, name)
        # How to roll out says nothing to an endpoint that has the configuration already.
        if serving["EndpointConfigName"] != new["EndpointConfigName"]:
            sagemaker.update_endpoint(EndpointName=name, **picked(new, f"EndpointConfigName {ROLLOUT}"))
            serving = _settled(sagemaker, name)
        if serving["EndpointConfigName"] != new["EndpointConfigName"]:
            why = serving.get("FailureReason", "no reason given")
            raise ResourceFailed(f"The update of endpoint {name} was rolled back: {why}")
    _retag(context, made.physical_id, new)
    return made


def _delete_endpoint(context: Context, made: Made, _: Properties) -> None:
    sagemaker, name = context.client("sagemaker"), made.attributes["EndpointName"]
    with gone_is_fine("ValidationException", saying=MISSING):
        sagemaker.delete_endpoint(EndpointName=name)
        while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Deleting":
            time.sleep(POLL_SECONDS)


# --- model package groups


def _create_group(context: Context, properties: Properties) -> Made:
    sagemaker, name = context.client("sagemaker"), properties["ModelPackageGroupName"]
    sagemaker.create_model_package_group(
        **picked(properties, "ModelPackageGroupName ModelPackageGroupDescription"), **_tags(context, properties)
    )
    with undone(lambda: sagemaker.delete_model_package_group(ModelPackageGroupName=name)):
        _share(sagemaker, name, None, properties.get("ModelPackageGroupPolicy"))
        group = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    attributes = {
        "CreationTime": group["CreationTime"].isoformat(),
        "ModelPackageGroupArn": group["ModelPackageGroupArn"],
        "ModelPackageGroupName": name,
        "ModelPackageGroupStatus": group["ModelPackageGroupStatus"],
    }
    return Made(group["ModelPackageGroupArn"], attributes)


def _share(sagemaker: Any, name: str, old: Any, new: Any) -> None:
    if new is not None and new != old:
        sagemaker.put_model_package_group_policy(ModelPackageGroupName=name, ResourcePolicy=document(new))
    elif new is None and old is not None:
        sagemaker.delete_model_package_group_policy(ModelPackageGroupName=name)


def _update_group(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    name = new["ModelPackageGroupName"]
    _share(context.client("sagemaker"), name, old.get("ModelPackageGroupPolicy"), new.get("ModelPackageGroupPolicy"))
    _retag(context, made.physical_id, new)
    return made


def _delete_group(context: Context, made: Made, _: Properties) -> None:
    name = made.attributes["ModelPackageGroupName"]
    with gone_is_fine("ValidationException", saying="does not exist"):
        context.client("sagemaker").delete_model_package_group(ModelPackageGroupName=name)


# --- pipelines

PIPELINE = "ParallelismConfiguration PipelineDescription PipelineDisplayName RoleArn"
S3_LOCATION = {"Key": "ObjectKey", "Version": "VersionId"}


def _definition(properties: Properties) -> dict[str, Any]:
    given = properties["PipelineDefinition"]
    if "PipelineDefinitionBody" in given:
        return {"PipelineDefinition": given["PipelineDefinitionBody"]}
    where = given["PipelineDefinitionS3Location"]
    if "ETag" in where:
        raise refused("AWS::SageMaker::Pipeline", "PipelineDefinitionS3Location ETag")
    location = {S3_LOCATION.get(name, name): value for name, value in where.items()}
    return {"PipelineDefinitionS3Location": location}


def _create_pipeline(context: Context, properties: Properties) -> Made:
    name = properties["PipelineName"]
    context.client("sagemaker").create_pipeline(
        PipelineName=name,
        ClientRequestToken=str(uuid.uuid4()),
        **_definition(properties),
        **picked(properties, PIPELINE),
        **_tags(context, properties),
    )
    return Made(name, {})


def _update_pipeline(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    sagemaker = context.client("sagemaker")
    given = dict.fromkeys(picked(old, "PipelineDescription"), "") | picked(new, PIPELINE)
    arn = sagemaker.update_pipeline(PipelineName=made.physical_id, **_definition(new), **given)["PipelineArn"]
    _retag(context, arn, new)
    return made


def _delete_pipeline(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("ResourceNotFound"):
        context.client("sagemaker").delete_pipeline(PipelineName=made.physical_id, ClientRequestToken=str(uuid.uuid4()))


PROVIDERS = dict(
    (
        resource("AWS::SageMaker::Model", _create_model, _only_tags, _delete_model, honours=f"ModelName Tags {MODEL}"),
        resource(
            "AWS::SageMaker::EndpointConfig",
            _create_config,
            _only_tags,
            _delete_config,
            honours=f"EndpointConfigName Tags {CONFIG}",
        ),
        resource(
            "AWS::SageMaker::Endpoint",
            _create_endpoint,
            _update_endpoint,
            _delete_endpoint,
            honours=f"EndpointConfigName EndpointName Tags {ROLLOUT}",
        ),
        resource(
            "AWS::SageMaker::ModelPackageGroup",
            _create_group,
            _update_group,
            _delete_group,
            honours="ModelPackageGroupDescription ModelPackageGroupName ModelPackageGroupPolicy Tags",
        ),
        resource(
            "AWS::SageMaker::Pipeline",
            _create_pipeline,
            _update_pipeline,
            _delete_pipeline,
            honours=f"PipelineDefinition PipelineName Tags {PIPELINE}",
        ),
    )
)
