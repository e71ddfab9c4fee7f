"""What resource types are called in ARNs, and which IAM actions making, changing and deleting one needs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from ..policies import Value
from ..templates.schemas import UnknownType, data_folder, resource_schema
from ..templates.values import is_known

if TYPE_CHECKING:
    from .subject import Account

# The property that names a resource, which is also what Ref gives.
NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::KMS::Alias": "AliasName",
    "AWS::CodeCommit::Repository": "RepositoryName",
    "AWS::CodeBuild::Project": "Name",
    "AWS::CodePipeline::Pipeline": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SageMaker::ModelPackageGroup": "ModelPackageGroupName",
    "AWS::SageMaker::Endpoint": "EndpointName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SSM::Parameter": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::SageMaker::Pipeline": "PipelineName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::Events::EventBus": "Name",
    "AWS::CloudWatch::Dashboard": "DashboardName",
}
MADE_UP = "made-up"  # in place of a name that CloudFormation thinks of

_HERE = "{region}:{account}"
_ARNS = {
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::S3::BucketPolicy": "s3:::{name}",
    "AWS::KMS::Key": f"kms:{_HERE}:key/00000000-0000-0000-0000-000000000000",
    "AWS::KMS::Alias": f"kms:{_HERE}:{{name}}",
    "AWS::CodeCommit::Repository": f"codecommit:{_HERE}:{{name}}",
    "AWS::CodeBuild::Project": f"codebuild:{_HERE}:project/{{name}}",
    "AWS::CodePipeline::Pipeline": f"codepipeline:{_HERE}:{{name}}",
    "AWS::Events::Rule": f"events:{_HERE}:rule/{{name}}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::Logs::LogGroup": f"logs:{_HERE}:log-group:{{name}}",
    "AWS::SageMaker::ModelPackageGroup": f"sagemaker:{_HERE}:model-package-group/{{name}}",
    "AWS::SageMaker::Endpoint": f"sagemaker:{_HERE}:endpoint/{{name}}",
    "AWS::SageMaker::EndpointConfig": f"sagemaker:{_HERE}:endpoint-config/{MADE_UP}",
    "AWS::SageMaker::Model": f"sagemaker:{_HERE}:model/{MADE_UP}",
    "AWS::SNS::Topic": f"sns:{_HERE}:{{name}}",
    "AWS::Lambda::Function": f"lambda:{_HERE}:function:{{name}}",
    "AWS::SageMaker::Pipeline": f"sagemaker:{_HERE}:pipeline/{{name}}",
    "AWS::Scheduler::Schedule": f"scheduler:{_HERE}:schedule/default/{{name}}",
    "AWS::Events::EventBus": f"events:{_HERE}:event-bus/{{name}}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::{account}:dashboard/{name}",
}
# The service that a type hands a role on to, and where the role is.
_PASSED_TO = {
    "AWS::CodeBuild::Project": ("ServiceRole", "codebuild.amazonaws.com"),
    "AWS::CodePipeline::Pipeline": ("RoleArn", "codepipeline.amazonaws.com"),
    "AWS::Events::Rule": ("Targets", "events.amazonaws.com"),
    "AWS::SageMaker::Model": ("ExecutionRoleArn", "sagemaker.amazonaws.com"),
    "AWS::SageMaker::Pipeline": ("RoleArn", "sagemaker.amazonaws.com"),
    "AWS::Scheduler::Schedule": ("Target", "scheduler.amazonaws.com"),
}
# What a request carries that only its type tells: type -> condition keys.
_CONTEXT: dict[str, dict[str, Value]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "iam:awsservicename": "sagemaker.application-autoscaling.amazonaws.com",
        "application-autoscaling:service-namespace": "sagemaker",
    },
}
# CodeBuild has no handlers in its schema: CloudFormation makes these calls itself.
WITHOUT_HANDLERS = {
    "AWS::CodeBuild::Project": frozenset(
        {
            "codebuild:BatchGetProjects",
            "codebuild:CreateProject",
            "codebuild:DeleteProject",
            "codebuild:UpdateProject",
            "iam:PassRole",
        }
    )
}
HANDLERS = ("create", "update", "delete")
# What the schemas list, but IAM does not know: CloudFormation means the action on the right, or none.
NO_SUCH_ACTION = {
    "s3:DeleteBucketAnalyticsConfiguration": None,
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
}
# What a handler may call for a property that a template need not use: type, action, and the property.
ONLY_FOR: dict[str, dict[str, str]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {
        "application-autoscaling:DeleteScheduledAction": "ScheduledActions",
        "application-autoscaling:PutScheduledAction": "ScheduledActions",
        "lambda:DeleteProvisionedConcurrencyConfig": "lambda",
        "lambda:GetProvisionedConcurrencyConfig": "lambda",
        "lambda:PutProvisionedConcurrencyConfig": "lambda",
    },
    "AWS::CodeCommit::Repository": {"codecommit:UpdateRepositoryEncryptionKey": "KmsKeyId"},
    "AWS::Events::EventBus": {
        f"kms:{action}": "KmsKeyIdentifier"
        for action in (
            *("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
            *("ReEncrypt", "ReEncryptFrom", "ReEncryptTo"),
        )
    },
    "AWS::CodePipeline::Pipeline": {
        "codepipeline:DisableStageTransition": "DisableInboundStageTransitions",
        "codepipeline:EnableStageTransition": "DisableInboundStageTransitions",
        "codepipeline:StartPipelineExecution": "RestartExecutionOnUpdate",
        "codestar-connections:PassConnection": "Triggers",
    },
    "AWS::Logs::LogGroup": {
        "firehose:TagDeliveryStream": "DataProtectionPolicy",
        "logs:AssociateKmsKey": "KmsKeyId",
        "logs:CreateLogDelivery": "DataProtectionPolicy",
        "logs:DeleteDataProtectionPolicy": "DataProtectionPolicy",
        "logs:DeleteIndexPolicy": "FieldIndexPolicies",
        "logs:DeleteResourcePolicy": "ResourcePolicyDocument",
        "logs:DisassociateKmsKey": "KmsKeyId",
        "logs:PutBearerTokenAuthentication": "BearerTokenAuthenticationEnabled",
        "logs:PutDataProtectionPolicy": "DataProtectionPolicy",
        "logs:PutIndexPolicy": "FieldIndexPolicies",
        "logs:PutLogGroupDeletionProtection": "DeletionProtectionEnabled",
        "logs:PutResourcePolicy": "ResourcePolicyDocument",
        "s3:REST.PUT.OBJECT": "DataProtectionPolicy",
    },
    "AWS::SageMaker::Pipeline": {"s3:GetObject": "PipelineDefinitionS3Location"},  # a definition that is not inline
    "AWS::S3::Bucket": {
        "iam:PassRole": "ReplicationConfiguration",
        "s3:CreateBucketMetadataTableConfiguration": "MetadataTableConfiguration",
        "s3:DeleteBucketAnalyticsConfiguration": "AnalyticsConfigurations",
        "s3:DeleteBucketCors": "CorsConfiguration",
        "s3:DeleteBucketMetadataTableConfiguration": "MetadataTableConfiguration",
        "s3:DeleteBucketMetricsConfiguration": "MetricsConfigurations",
        "s3:DeleteBucketReplication": "ReplicationConfiguration",
        "s3:DeleteBucketWebsite": "WebsiteConfiguration",
        "s3:DeleteObject": "MetadataConfiguration",
        "s3:PutAccelerateConfiguration": "AccelerateConfiguration",
        "s3:PutAnalyticsConfiguration": "AnalyticsConfigurations",
        "s3:PutBucketAbac": "AbacStatus",
        "s3:PutBucketAcl": "AccessControl",
        "s3:PutBucketCORS": "CorsConfiguration",
        "s3:PutBucketLogging": "LoggingConfiguration",
        "s3:PutBucketNotification": "NotificationConfiguration",
        "s3:PutBucketObjectLockConfiguration": "ObjectLockConfiguration",
        "s3:PutBucketReplication": "ReplicationConfiguration",
        "s3:PutBucketWebsite": "WebsiteConfiguration",
        "s3:PutIntelligentTieringConfiguration": "IntelligentTieringConfigurations",
        "s3:PutInventoryConfiguration": "InventoryConfigurations",
        "s3:PutMetricsConfiguration": "MetricsConfigurations",
        "s3:PutObjectAcl": "AccessControl",
        "s3:PutObjectLockConfiguration": "ObjectLockConfiguration",
        "s3:PutReplicationConfiguration": "ReplicationConfiguration",
        "s3:UpdateBucketMetadataAnnotationTableConfiguration": "MetadataConfiguration",
        "s3:UpdateBucketMetadataInventoryTableConfiguration": "MetadataConfiguration",
        "s3:UpdateBucketMetadataJournalTableConfiguration": "MetadataConfiguration",
        "s3tables:CreateNamespace": "MetadataTableConfiguration",
        "s3tables:CreateTable": "MetadataTableConfiguration",
        "s3tables:CreateTableBucket": "MetadataTableConfiguration",
        "s3tables:GetTable": "MetadataTableConfiguration",
        "s3tables:GetTableMetadataLocation": "MetadataTableConfiguration",
        "s3tables:PutTableBucketPolicy": "MetadataTableConfiguration",
        "s3tables:PutTableEncryption": "MetadataTableConfiguration",
        "s3tables:PutTablePolicy": "MetadataTableConfiguration",
        "s3tables:UpdateTableMetadataLocation": "MetadataTableConfiguration",
    },
}


@dataclass(frozen=True)
class Need:
    """One permission that a resource needs of whoever makes it; an empty ``resource`` stands for any."""

    logical_id: str
    action: str
    resource: str
    context: Mapping[str, Value] = field(default_factory=dict)


def arn_of(kind: str, properties: Mapping[str, Any], account: Account) -> str:
    """The ARN that a resource will have; empty where it does not follow from the template."""
    form = _ARNS.get(kind)
    name = properties.get(NAMES.get(kind, ""))
    if form is None or ("{name}" in form and not isinstance(name, str)):
        return ""
    if kind == "AWS::IAM::Role":
        name = f"{properties.get('Path', '/')}{name}".lstrip("/")
    return f"arn:{account.partition}:" + form.format(region=account.region, account=account.id, name=name)


def permissions(kind: str, region: str, properties: Mapping[str, Any]) -> list[str]:
    """The actions of a type's create, update and delete handlers, as far as these properties can call for them."""
    try:
        handlers = resource_schema(kind, region).permissions
    except UnknownType:
        return []
    listed = WITHOUT_HANDLERS.get(kind) or {a for name in HANDLERS for a in handlers.get(name, ())}
    unused = {action for action, name in ONLY_FOR.get(kind, {}).items() if name not in properties}
    found = {NO_SUCH_ACTION.get(action, action) for action in listed - unused}
    return sorted(action for action in found if action is not None)


def needs(
    resources: Mapping[str, tuple[str, Mapping[str, Any]]], account: Account, object_tags: Mapping[str, str]
) -> Iterator[Need]:
    """Everything that CloudFormation needs of the role that it makes ``resources`` with.

    Args:
        object_tags: of the seed code.
    """
    for logical_id, (kind, properties) in resources.items():
        own = arn_of(kind, properties, account)
        tags = _tags(properties)
        context: dict[str, Value] = {
            **{f"aws:requesttag/{key}": value for key, value in tags.items()},
            **{f"aws:resourcetag/{key}": value for key, value in tags.items()},
            **({"aws:tagkeys": tuple(tags)} if tags else {}),
            **_CONTEXT.get(kind, {}),
        }
        for action in permissions(kind, account.region, properties):
            for resource, more in _targets(kind, properties, action, own, account, object_tags):
                yield Need(logical_id, action, resource, {**context, **more})


def _targets(  # noqa: PLR0917 - one call, beside it
    kind: str,
    properties: Mapping[str, Any],
    action: str,
    own: str,
    account: Account,
    object_tags: Mapping[str, str],
) -> Iterator[tuple[str, dict[str, Value]]]:
    if action in {"iam:PassRole", "iam:GetRole"}:
        for arn, service in passed(kind, properties):
            yield arn, {"iam:passedtoservice": service} if action == "iam:PassRole" else {}
    elif kind == "AWS::CodeCommit::Repository" and action in {"s3:GetObject", "s3:GetObjectVersion"}:
        where = properties.get("Code", {}).get("S3", {})
        if is_known(where) and where:
            arn = f"arn:{account.partition}:s3:::{where['Bucket']}/{where['Key']}"
            yield arn, {f"s3:existingobjecttag/{key}": value for key, value in object_tags.items()}
    elif not has_resources(action):
        yield "*", {}
    elif own and own.split(":")[2] == action.partition(":")[0]:
        yield own, {}
        if kind == "AWS::KMS::Alias" and isinstance(key := properties.get("TargetKeyId"), str):
            base = f"arn:{account.partition}:kms:{account.region}:{account.id}:key/"
            yield key if key.startswith("arn:") else base + key, {}
    else:
        yield "", {}


def passed(kind: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ARN of each role that a resource hands on, and the service that then acts with it."""
    name, service = _PASSED_TO.get(kind, ("RoleArn", ""))
    for arn in _role_arns(properties.get(name)):
        yield arn, service


def _role_arns(value: Any) -> Iterator[str]:
    if isinstance(value, str) and ":role/" in value:
        yield value
    for target in value if isinstance(value, list) else [value]:
        if isinstance(target, dict):
            yield from _role_arns(target.get("RoleArn"))


def _tags(properties: Mapping[str, Any]) -> dict[str, str]:
    tags = properties.get("Tags", [])
    if isinstance(tags, dict):
        return {str(key): str(value) for key, value in tags.items()}
    return {tag["Key"]: tag["Value"] for tag in tags if is_known(tag)} if isinstance(tags, list) else {}


def has_resources(action: str) -> bool:
    """Whether IAM can scope an action to a resource; one that is not known is taken to be so."""
    service, _, name = action.lower().partition(":")
    found = _actions().get(service, {}).get("Actions", {}).get(name)
    return found is None or bool(found.get("Resources"))


@cache
def _actions() -> dict[str, Any]:
    path = data_folder().parent / "AdditionalSpecs" / "Policies.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
