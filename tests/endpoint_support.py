"""What tests of endpoints share: an account that makes small models and serves them; tests nothing."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"
SCRIPT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
# Does what a request says: each word is a command.
CODE = """
import json, os, sys, time
from flask import Response

def model_fn(model_dir):
    with open(os.path.join(model_dir, "name")) as file:
        return file.read()

def input_fn(body, content_type):
    return body, content_type

def predict_fn(data, model):
    body, content_type = data
    word, _, rest = (body if isinstance(body, str) else body.decode()).partition(" ")
    if word == "raise":
        raise ValueError(rest)
    if word == "exit":
        os._exit(3)
    if word == "sleep":
        time.sleep(float(rest))
    if word == "print":
        print(rest, flush=True)
    said = {"pid": os.getpid, "environment": lambda: dict(os.environ)}.get(word, lambda: rest)()
    return {"model": model, "kind": type(body).__name__, "content_type": content_type, "said": said, "word": word}

def output_fn(prediction, accept):
    if prediction["word"] == "refuse":
        return Response("{}", status=int(prediction["said"]), mimetype="application/json")
    if prediction["word"] == "csv":
        return "1,2\\n", "text/csv"
    if prediction["word"] == "attribute":
        return Response("{}", headers={"X-Amzn-SageMaker-Custom-Attributes": prediction["said"]})
    return json.dumps({**prediction, "accept": accept}), "application/json"
"""
accounts = count(400_000_000_000)
names = count(1)


def error_of(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as refusal:
        call()
    return {**refusal.value.response, **refusal.value.response["Error"]}


def archive(files: Mapping[str, str], encoding: str = "utf-8") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text.encode(encoding))
            tar.addfile(member, io.BytesIO(text.encode(encoding)))
    return packed.getvalue()


class Stage:
    """An account with a bucket, a role for models, and short ways to make models and endpoints."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account = aws, str(next(accounts))
        once = Config(retries={"total_max_attempts": 1})
        self.sagemaker: Any = aws.client("sagemaker", self.account, config=once)
        self.runtime: Any = aws.client("sagemaker-runtime", self.account, config=once)
        self.s3: Any = aws.client("s3", self.account)
        self.bucket = f"models-{self.account}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        statement = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam = aws.client("iam", self.account)
        self.role = iam.create_role(RoleName="model", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName="model", PolicyName="all", PolicyDocument=json.dumps(allow))

    def data(self, name: str, code: str = CODE, **files: str) -> str:
        """Puts a model that says that it is called `name`; returns where."""
        body = archive({"name": name, "code/inference.py": code, **files})
        self.s3.put_object(Bucket=self.bucket, Key=f"{name}/model.tar.gz", Body=body)
        return f"s3://{self.bucket}/{name}/model.tar.gz"

    def model(self, name: str, code: str = CODE, **more: Any) -> str:
        """A model of this name; returns the name."""
        data = more.pop("data", None) or self.data(name, code)
        environment = more.pop("environment", SCRIPT)
        container = {"Image": IMAGE, "ModelDataUrl": data, "Environment": environment}
        given = {"ExecutionRoleArn": self.role, "PrimaryContainer": container, **more}
        self.sagemaker.create_model(ModelName=name, **given)
        return name

    def config(self, *models: str, weights: tuple[float, ...] = (), **more: Any) -> str:
        """An endpoint configuration with a variant for each model, named as it is; returns its name."""
        name = f"config-{next(names)}"
        variants = [
            {"VariantName": model, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
            for model in models
        ]
        for variant, weight in zip(variants, weights, strict=False):
            variant["InitialVariantWeight"] = weight
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)
        return name

    def serve(self, *models: str, endpoint: str = "endpoint", **more: Any) -> dict[str, Any]:
        """An endpoint with these models, when it is not on its way any more."""
        self.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=self.config(*models, **more))
        return self.settled(endpoint)

    def update(self, config: str, **more: Any) -> dict[str, Any]:
        self.sagemaker.update_endpoint(EndpointName="endpoint", EndpointConfigName=config, **more)
        return self.settled()

    def settled(self, endpoint: str = "endpoint") -> dict[str, Any]:
        for _ in range(1000):
            seen: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
            if seen["EndpointStatus"] in {"InService", "Failed"}:
                return seen
            time.sleep(0.02)
        raise TimeoutError(f"{endpoint} stays {seen['EndpointStatus']}")

    def ask(self, body: str = "hello", endpoint: str = "endpoint", **more: Any) -> dict[str, Any]:
        """What the model answers."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body.encode(), **more)
        said: dict[str, Any] = json.loads(answer["Body"].read())
        return said

    def gone(self, endpoint: str = "endpoint") -> str:
        """Deletes the endpoint, and waits until it cannot be found; returns what is said then."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        for _ in range(500):
            try:
                self.sagemaker.describe_endpoint(EndpointName=endpoint)
            except ClientError as error:
                return str(error)
            time.sleep(0.02)
        raise TimeoutError(f"{endpoint} is not deleted")

    def log(self, wanted: str, endpoint: str = "endpoint") -> list[str]:
        """The lines in the endpoint's log group, as soon as `wanted` is in one of them."""
        logs, group = self.aws.client("logs", self.account), f"/aws/sagemaker/Endpoints/{endpoint}"
        for _ in range(250):
            try:
                lines = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
            except logs.exceptions.ResourceNotFoundException:
                lines = []
            if any(wanted in line for line in lines):
                return lines
            time.sleep(0.02)
        raise TimeoutError(f"{wanted!r} is not in {lines}")
