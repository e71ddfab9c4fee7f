"""Makes, changes and deletes single resources through CloudFormation's providers, as an engine would."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.stacks.provider import Context, Made, ResourceFailed
from sagemaker_seed.rehearsal.stacks.providers import PROVIDERS
from sagemaker_seed.templates import schemas

# S3 operations whose IAM action is not simply their own name.
S3_ACTIONS = {
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketCors": "PutBucketCORS",
    "HeadBucket": "ListBucket",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
STACK_TAGS = {"team": "ml", "aws:cloudformation:stack-name": "a-stack"}
TAG = [{"Key": "purpose", "Value": "test"}]
# An inference script that answers every request with the model's own text.
SCRIPT = """
def model_fn(model_dir):
    return open(f"{model_dir}/model.txt").read()
def input_fn(body, content_type):
    return body
def predict_fn(given, model):
    return model
def output_fn(answer, accept):
    return answer
"""
_ACCOUNTS = count(300_000_000_000)


@dataclass
class Stack:
    """What a stack would do, in an account of its own."""

    aws: EmbeddedAws
    region: str
    tags: Mapping[str, str] = field(default_factory=lambda: STACK_TAGS)
    account: str = field(default_factory=lambda: str(next(_ACCOUNTS)))
    _clients: dict[str, Any] = field(default_factory=dict)
    _actions: set[str] = field(default_factory=set)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            client = self._clients[service] = self.aws.client(service, self.account, self.region)
            client.meta.events.register("before-call", lambda model, **_: self._called(service, model.name))
        return self._clients[service]

    def context(self, kind: str) -> Context:
        return Context(
            client=self.client,
            account=self.account,
            region=self.region,
            partition="aws",
            stack_name="a-stack",
            stack_id=f"arn:aws:cloudformation:{self.region}:{self.account}:stack/a-stack/0",
            logical_id=f"My{kind.rpartition('::')[2]}",
            tags=self.tags,
        )

    def _called(self, service: str, operation: str) -> None:
        action = S3_ACTIONS.get(operation, operation) if service == "s3" else operation
        self._actions.add(f"{service}:{action}")

    @contextmanager
    def _as_permitted(self, kind: str, *handlers: str) -> Iterator[None]:
        """Checks that a provider calls nothing that AWS's own handler of the type would need no permission for.

        Only then does a role that may do what the documentation asks for get as far here as on AWS, and no further.
        """
        self._actions.clear()
        yield
        permissions = schemas.resource_schema(kind, self.region).permissions
        needed = set().union(*(permissions.get(handler, ()) for handler in (*handlers, "read")))
        assert not permissions or self._actions <= needed, f"{kind}: {sorted(self._actions - needed)}"

    def create(self, kind: str, **properties: Any) -> Made:
        with self._as_permitted(kind, "create"):
            return PROVIDERS[kind].create(self.context(kind), properties)

    def update(self, kind: str, made: Made, old: Mapping[str, Any], new: Mapping[str, Any]) -> Made:
        moved = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        fixed = PROVIDERS[kind].replaces
        assert not moved & (schemas.replacing(kind, self.region) if fixed is None else fixed), "would be replaced"
        with self._as_permitted(kind, "update"):
            return PROVIDERS[kind].update(self.context(kind), made, old, new)

    def delete(self, kind: str, made: Made, **properties: Any) -> None:
        """Twice, because what is not there any more is no failure."""
        with self._as_permitted(kind, "delete"):
            for _ in range(2):
                PROVIDERS[kind].delete(self.context(kind), made, properties)

    @property
    def bucket(self) -> str:
        return f"files-{self.account}"

    def put(self, key: str, content: bytes) -> str:
        """An object in a bucket of the account; answers its S3 URI."""
        s3 = self.client("s3")
        if self.bucket not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            self.create("AWS::S3::Bucket", BucketName=self.bucket)
        s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def container(self, script: str = SCRIPT) -> dict[str, Any]:
        """What a model has that serves with this inference script."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, text in (("model.txt", "a model"), ("code/inference.py", script)):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return {
            "Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0",
            "ModelDataUrl": self.put(f"{len(script)}/model.tar.gz", packed.getvalue()),
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        }

    def endpoint_config(self, role: str, script: str = SCRIPT) -> str:
        """The name of an endpoint configuration with one model."""
        model = self.create("AWS::SageMaker::Model", PrimaryContainer=self.container(script), ExecutionRoleArn=role)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": model.attributes["ModelName"],
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        config = self.create("AWS::SageMaker::EndpointConfig", ProductionVariants=[variant])
        return str(config.attributes["EndpointConfigName"])

    def endpoint(self, name: str) -> str:
        """The ARN of an endpoint that serves, with the variant ``AllTraffic``."""
        config = self.endpoint_config(self.role(allowed="*"))
        return self.create("AWS::SageMaker::Endpoint", EndpointName=name, EndpointConfigName=config).physical_id

    def role(self, name: str = "a-role", service: str = "sagemaker.amazonaws.com", allowed: str = "") -> str:
        policies = [{"PolicyName": "allowed", "PolicyDocument": allowing(allowed)}] if allowed else []
        given = {"RoleName": name, "AssumeRolePolicyDocument": trust(service), "Policies": policies}
        return str(self.create("AWS::IAM::Role", **given).attributes["Arn"])


def trust(service: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def allowing(action: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


def as_map(tags: list[dict[str, str]]) -> dict[str, str]:
    """Tags in the form in which they compare, whichever way the API spells their parts."""
    return {tag[min(tag)]: tag[max(tag)] for tag in tags}


def failure(act: Callable[..., Any], *given: Any, **named: Any) -> str:
    """The reason for which a resource fails."""
    with pytest.raises(ResourceFailed) as failed:
        act(*given, **named)
    return str(failed.value)


def error_of(act: Callable[..., Any], *given: Any, **named: Any) -> str:
    """The code of the API's error that a resource fails with."""
    with pytest.raises(ClientError) as refusal:
        act(*given, **named)
    return str(refusal.value.response["Error"]["Code"])
