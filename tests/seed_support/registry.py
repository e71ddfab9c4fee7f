"""A model registry with endpoints beside it, in an account of an embedded AWS; and a record of the calls to it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import tarfile
import time
from typing import Any

from sagemaker_seed.rehearsal.embedded import EmbeddedAws

from seed_support.baking import GROUP, PROJECT, PROJECT_ID, TEMPLATE
from seed_support.model_server import MODELS

# A model that can be served: what the tests ask of an endpoint's model is answered in model_server.py.
INFERENCE = """
def model_fn(folder):
    return None

def predict_fn(rows, model):
    return rows
"""
_NUMBERS = itertools.count(1)


class Registry:
    """An account of its own: its environment, its registry and endpoints, and what was called there."""

    def __init__(self, aws: EmbeddedAws) -> None:
        """Every registry has an account that no other has, so that tests can share one embedded AWS."""
        self.aws, self.account = aws, f"6{next(_NUMBERS):011d}"
        self.bucket = f"models-{self.account}"
        self._clients: dict[str, Any] = {}
        where: Any = {"LocationConstraint": aws.region}
        self.client("s3").create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)
        self.client("s3").put_object(Bucket=self.bucket, Key="model.tar.gz", Body=_model())
        self._seen = 0
        self.forget_calls()

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs to reach it."""
        return self.aws.environment(self.account)

    def client(self, service: str = "sagemaker") -> Any:
        """A client of boto3 for it."""
        if service not in self._clients:
            self._clients[service] = self.aws.client(service, self.account)
        return self._clients[service]

    @property
    def calls(self) -> list[str]:
        """The operations that were called in the account, in order, since they were last forgotten."""
        return self._all_calls()[self._seen :]

    def forget_calls(self) -> None:
        """Begins the record of calls anew."""
        self._seen = len(self._all_calls())

    def _all_calls(self) -> list[str]:
        return [call.operation for call in self.aws.calls() if call.account == self.account]

    @property
    def policy(self) -> str | None:
        """The resource policy of the project's group, if it has one."""
        client = self.client()
        try:
            return str(client.get_model_package_group_policy(ModelPackageGroupName=GROUP)["ResourcePolicy"])
        except client.exceptions.ClientError as error:
            if "Cannot find resource policy" not in str(error):
                raise
            return None

    def register(self, status: str = "Approved", group: str = GROUP, measured: str = "") -> str:
        """Registers a model package in a group that exists; returns its ARN.

        With a kind of prediction as `measured`, as the seed's training pipeline does, with test data and metrics.
        """
        container = {
            "Image": "sagemaker-xgboost:3.2-0",
            "ModelDataUrl": f"s3://{self.bucket}/model.tar.gz",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        }
        answer = self.client().create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            **(self._measured(measured) if measured else {}),
        )
        return str(answer["ModelPackageArn"])

    def _measured(self, prediction: str) -> dict[str, Any]:
        """Puts every fifth row of the seed's data into the bucket, and how good the model of the tests is on them."""
        with (TEMPLATE / "data/iris.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))[::5]
        target = {"classification": "species", "regression": "petal_width"}[prediction]
        names = [name for name in rows[0] if prediction == "classification" or name != "species"]
        features = [[float(row[name]) for name in names if name != target] for row in rows]
        answers = [MODELS[prediction](row) for row in features]
        if prediction == "classification":
            hits = sum(answer["label"] == row[target] for answer, row in zip(answers, rows, strict=True))
            metric, value = "accuracy", hits / len(rows)
            metrics = {"multiclass_classification_metrics": {"accuracy": {"value": value, "standard_deviation": "NaN"}}}
        else:
            squares = [(one["value"] - float(row[target])) ** 2 for one, row in zip(answers, rows, strict=True)]
            metric, value = "rmse", math.sqrt(sum(squares) / len(rows))
            metrics = {"regression_metrics": {"rmse": {"value": value, "standard_deviation": "NaN"}}}
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        s3 = self.client("s3")
        s3.put_object(Bucket=self.bucket, Key="test/test.csv", Body=text.getvalue().encode())
        s3.put_object(Bucket=self.bucket, Key="model-metrics.json", Body=json.dumps(metrics).encode())
        statistics = {"ContentType": "application/json", "S3Uri": f"s3://{self.bucket}/model-metrics.json"}
        return {
            "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
            "CustomerMetadataProperties": {
                "metric": metric,
                "target": target,
                "test_data": f"s3://{self.bucket}/test/test.csv",
            },
        }

    def register_many(self, count: int) -> None:
        """Registers packages, the newest one approved as one in three of the others is."""
        for number in reversed(range(count)):
            self.register("Approved" if number % 3 == 0 else "PendingManualApproval")

    def deploy(self, parameters: dict[str, str], model_package: str | None = None) -> str:
        """Makes the endpoint of a stage as the endpoint template does; returns its name when it is in service."""
        client, stage = self.client(), parameters["StageName"]
        client.create_model(
            ModelName=f"model-{stage}",
            PrimaryContainer={"ModelPackageName": model_package or parameters["ModelPackageName"]},
            ExecutionRoleArn=self.role(parameters["ModelExecutionRoleName"]),
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
        client.get_waiter("endpoint_in_service").wait(
            EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
        )
        return name

    def undeploy(self) -> None:
        """Takes away all endpoints, their configurations and models."""
        client = self.client()
        for endpoint in client.list_endpoints()["Endpoints"]:
            client.delete_endpoint(EndpointName=endpoint["EndpointName"])
        deadline = time.monotonic() + 20
        while client.list_endpoints()["Endpoints"]:
            assert time.monotonic() < deadline, "endpoints are still being deleted"
            time.sleep(0.05)
        for config in client.list_endpoint_configs()["EndpointConfigs"]:
            client.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
        for model in client.list_models()["Models"]:
            client.delete_model(ModelName=model["ModelName"])

    def role(self, name: str) -> str:
        """A role that the account and SageMaker may assume, and that may do everything; its ARN."""
        client, (path, _, last) = self.client("iam"), f"/{name}".rpartition("/")
        try:
            return str(client.get_role(RoleName=last)["Role"]["Arn"])
        except client.exceptions.NoSuchEntityException:
            principal = {"AWS": f"arn:aws:iam::{self.account}:root", "Service": "sagemaker.amazonaws.com"}
            trust = _policy(Principal=principal, Action="sts:AssumeRole")
            made = client.create_role(RoleName=last, Path=f"{path}/", AssumeRolePolicyDocument=trust)
            document = _policy(Action="*", Resource="*")
            client.put_role_policy(RoleName=last, PolicyName="everything", PolicyDocument=document)
            return str(made["Role"]["Arn"])


def _policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def _model() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(INFERENCE.encode())
        tar.addfile(member, io.BytesIO(INFERENCE.encode()))
    return archive.getvalue()
