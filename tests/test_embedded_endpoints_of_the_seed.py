"""The seed's own test of an endpoint against one that really serves what the seed's training pipeline registered."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.rehearsal.embedded import ACCOUNT, EmbeddedAws
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION, bake, build_environment, run, run_build, scrubbed

pytestmark = pytest.mark.slow
ENDPOINT = f"{PROJECT}-{PROJECT_ID}-staging"
BUCKET = f"sagemaker-project-{PROJECT_ID}-{ACCOUNT}"
# The seed's own code behind a module that changes what it does.
WRAPPED = """
import itertools, time
from flask import Response
from inference_of_the_seed import *
import inference_of_the_seed as seed

requests = itertools.count(1)
"""
SLOW = """
def predict_fn(rows, model):
    time.sleep(0.35)
    return seed.predict_fn(rows, model)
"""
STUCK = """
def predict_fn(rows, model):
    time.sleep(5)
    return seed.predict_fn(rows, model)
"""
WRONG = """
def output_fn(predictions, accept):
    if isinstance(predictions, seed.Refusal):
        return seed.output_fn(predictions, accept)
    return seed.output_fn([predictions[0]] * len(predictions), accept)
"""
CSV = """
def output_fn(predictions, accept):
    return seed.output_fn(predictions, "text/csv")
"""
ONE_IN_TEN = """
def predict_fn(rows, model):
    if next(requests) % 10 == 0:
        raise RuntimeError("out of luck")
    return seed.predict_fn(rows, model)
"""
ALWAYS = """
def predict_fn(rows, model):
    raise RuntimeError("out of luck")
"""
CARELESS = """
def output_fn(predictions, accept):
    if isinstance(predictions, seed.Refusal):
        raise RuntimeError(predictions.message)
    return seed.output_fn(predictions, accept)
"""
BROKEN = """
def model_fn(model_dir):
    raise RuntimeError("the weights are gone")
"""


class Project:
    """A rendered repository whose pipeline has trained a model, and the account that it is deployed in."""

    def __init__(self, aws: EmbeddedAws, repository: Path) -> None:
        self.aws, self.repository = aws, repository
        self.sagemaker, self.s3 = aws.client("sagemaker"), aws.client("s3")
        where: Any = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        statement = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam = aws.client("iam")
        for name in ("model", "training"):
            iam.create_role(RoleName=name, Path="/seed/", AssumeRolePolicyDocument=trust)
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allow))
        self.trained = self.train()
        self.package = self.trained["ModelPackageArn"]

    def train(self) -> dict[str, Any]:
        """Runs the pipeline to its end; describes the model package that it registered."""
        environment = {
            **self.aws.environment(),
            "SAGEMAKER_PROJECT_NAME": PROJECT,
            "SAGEMAKER_PROJECT_ID": PROJECT_ID,
            "ARTIFACT_BUCKET": BUCKET,
            "SAGEMAKER_PIPELINE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/seed/training",
            "SOURCE_MODEL_PACKAGE_GROUP_NAME": GROUP,
        }
        for words in (("upsert",), ("start", "--wait", "--every", "0.2")):
            done = run(self.repository, "-m", "training.pipeline", *words, env=scrubbed(**environment))
            assert done.returncode == 0, done.stdout + done.stderr
        (found,) = self.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
        described: dict[str, Any] = self.sagemaker.describe_model_package(ModelPackageName=found["ModelPackageArn"])
        self.approve(found["ModelPackageArn"])
        return described

    def approve(self, package: str) -> None:
        self.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")

    def change(self, code: str) -> str:
        """Registers the trained model again, with `code` around the seed's own, and approves it."""
        container = dict(self.trained["InferenceSpecification"]["Containers"][0])
        bucket, _, key = str(container["ModelDataUrl"]).removeprefix("s3://").partition("/")
        content = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        packed = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=packed, mode="w:gz") as new:
            for member in old:
                if not member.isfile():
                    continue
                body = old.extractfile(member)
                member.name = member.name.replace("code/inference.py", "code/inference_of_the_seed.py")
                new.addfile(member, body)
            text = (WRAPPED + code).encode()
            own = tarfile.TarInfo("code/inference.py")
            own.size = len(text)
            new.addfile(own, io.BytesIO(text))
        changed = f"changed/{time.time_ns()}/model.tar.gz"
        self.s3.put_object(Bucket=bucket, Key=changed, Body=packed.getvalue())
        container = {name: container[name] for name in ("Image", "Environment")}
        specification = {
            **self.trained["InferenceSpecification"],
            "Containers": [{**container, "ModelDataUrl": f"s3://{bucket}/{changed}"}],
        }
        kept = {name: self.trained[name] for name in ("ModelMetrics", "CustomerMetadataProperties")}
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP, InferenceSpecification=specification, **kept
        )
        self.approve(made["ModelPackageArn"])
        return str(made["ModelPackageArn"])

    def deploy(self, package: str) -> dict[str, Any]:
        """Builds, and makes or updates the endpoint as the endpoint template does; describes it."""
        code, result, error = run_build(self.repository, env=build_environment(ACCOUNT, **self.aws.environment()))
        assert (code, result.get("model_package_arn")) == (0, package), error
        given = json.loads((self.repository / "staging-config-export.json").read_text())["Parameters"]
        name = f"made-{time.time_ns()}"
        self.sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"ModelPackageName": given["ModelPackageName"]},
            ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/{given['ModelExecutionRoleName']}",
            EnableNetworkIsolation=given["EnableNetworkIsolation"] == "true",
        )
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": given["EndpointInstanceType"],
            "InitialInstanceCount": int(given["EndpointInstanceCount"]),
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        there = self.sagemaker.list_endpoints()["Endpoints"]
        act = self.sagemaker.update_endpoint if there else self.sagemaker.create_endpoint
        act(EndpointName=ENDPOINT, EndpointConfigName=name)
        while (seen := self.sagemaker.describe_endpoint(EndpointName=ENDPOINT))["EndpointStatus"] not in {
            "InService",
            "Failed",
        }:
            time.sleep(0.02)
        described: dict[str, Any] = seen
        return described

    def test(self) -> tuple[int, dict[str, str]]:
        """Runs the seed's test; its exit code, and what each check that did not pass says."""
        settings = {**self.aws.environment(), "BUILD_CONFIG": "staging-config-export.json", "STAGE": "staging"}
        done = run(self.repository, "test/test.py", "--poll", "0.1", env=settings)
        assert "Traceback" not in done.stderr, done.stderr
        results = json.loads((self.repository / "test-results.json").read_text())
        return done.returncode, {
            c["name"]: c["message"] for c in results["checks"] if c["outcome"] in ("failed", "error")
        }

    def expect(self, **changes: Any) -> None:
        """Changes expectations.json: of a section, the values that are given."""
        file = self.repository / "test/expectations.json"
        told = json.loads(file.read_text())
        for name, value in changes.items():
            told[name] = {**told[name], **value} if isinstance(value, dict) else value
        file.write_text(json.dumps(told))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with EmbeddedAws(region=REGION) as aws:
        project = Project(aws, bake(tmp_path_factory.mktemp("seed")))
        load = {"requests": 10, "concurrency": 1, "p50_milliseconds": 300, "p95_milliseconds": 300}
        project.expect(latency=load, timeout_seconds=2)
        yield project


def test_what_the_pipeline_registered_passes_and_stays_when_an_update_fails(project: Project) -> None:
    assert project.deploy(project.package)["EndpointStatus"] == "InService"
    assert project.test() == (0, {})
    seen = project.deploy(project.change(BROKEN))
    assert (seen["EndpointStatus"], "the weights are gone" in seen["FailureReason"]) == ("InService", True)
    code, said = project.test()
    assert (code, set(said)) == (1, {"update-not-rolled-back", "serves-the-model-package-of-the-build"})
    assert said["serves-the-model-package-of-the-build"].startswith(f"serves {project.package} instead of")


PAYLOADS = {f"payload {name}" for name in ("flowers.csv", "flowers.json", "one-flower.csv")}
BAD_INPUT = {
    f"bad input: {name}" for name in ("text for a number", "a column too few", "broken JSON", "another content type")
}


@pytest.mark.parametrize(
    ("code", "checks", "message"),
    [
        (SLOW, {"latency"}, "at most 300 ms for p50 and 300 ms for p95 are allowed"),
        (STUCK, {"payload flowers.csv"}, "no answer within"),
        (WRONG, {name for name in PAYLOADS if "one-flower" not in name} | {"quality"}, "row 3: expected"),
        (CSV, {*PAYLOADS, "quality"}, "answered text/csv instead"),
        (ONE_IN_TEN, {"latency"}, "1 of 10 invocations failed"),
        (ALWAYS, {*PAYLOADS, "latency", "quality", *BAD_INPUT}, "ModelError: Received server error (500)"),
        (CARELESS, BAD_INPUT, "is the client's mistake, but was answered with 500"),
    ],
    ids=["slow", "stuck", "wrong", "csv", "500 to one in ten", "500", "500 to bad input"],
)
def test_a_misbehaving_model_fails_as_it_should(project: Project, code: str, checks: set[str], message: str) -> None:
    assert project.deploy(project.change(code))["EndpointStatus"] == "InService"
    exit_code, said = project.test()
    assert (exit_code, set(said)) == (1, checks)
    assert any(message in text for text in said.values()), said
