"""A shadow as the seed makes one: deployed, asked beside the model in service, compared by test/shadow.py."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from endpoint_support import IMAGE, SCRIPT, Stage
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, bake, build_environment, run, run_build

pytestmark = pytest.mark.slow
ENDPOINT = f"{PROJECT}-{PROJECT_ID}-prod"
# Answers a row with its first cell, but for what the model says of large ones.
CODE = """
import json

def model_fn(model_dir):
    return open(f"{model_dir}/name").read()

def input_fn(body, content_type):
    return [float(row.split(",")[0]) for row in (body if isinstance(body, str) else body.decode()).splitlines()]

def predict_fn(rows, model):
    return [{"label": model if row > 5 else "small"} for row in rows]

def output_fn(rows, accept):
    return json.dumps({"predictions": rows}), "application/json"
"""


def package(stage: Stage, name: str) -> str:
    """Registers an approved model that is called `name`."""
    container = {"Image": IMAGE, "ModelDataUrl": stage.data(name, CODE), "Environment": SCRIPT}
    made = stage.sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    return str(made["ModelPackageArn"])


@pytest.fixture(scope="module")
def shadowed(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Path, tuple[str, str]]:
    """A repository whose production keeps version 1, with version 2 as its shadow; built, and deployed."""
    stage = Stage(aws)
    stage.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    packages = package(stage, "old"), package(stage, "new")
    repository = bake(tmp_path_factory.mktemp("seed"))
    file = repository / "prod-config-template.json"
    told: dict[str, Any] = json.loads(file.read_text())
    captured = {"DataCapturePercentage": 100, "DataCaptureS3Uri": f"s3://{stage.bucket}/captured"}
    told["Parameters"] |= {"ShadowOfVersion": 1, "UpdatePolicy": "ALL_AT_ONCE", **captured}
    file.write_text(json.dumps(told))
    env = build_environment(stage.account, **aws.environment(stage.account))
    env |= {"SAGEMAKER_EXECUTION_ROLE_PROD_NAME": stage.role.rpartition("role/")[2]}
    code, result, error = run_build(repository, env=env)
    assert (code, result.get("shadow_of")) == (0, {"prod": packages[0]}), error
    export = json.loads((repository / "prod-config-export.json").read_text())["Parameters"]
    cloudformation = aws.client("cloudformation", stage.account)
    cloudformation.create_stack(
        StackName="shadow",
        TemplateBody=(repository / "template-export.yml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in export.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="shadow", WaiterConfig={"Delay": 0.2})
    return stage, repository, packages


def test_the_report_says_how_the_shadow_answers(shadowed: tuple[Stage, Path, tuple[str, str]]) -> None:
    stage, repository, packages = shadowed
    for number in range(10):  # from 6 on the models differ
        answer = stage.runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=f"{number},1\n1,1\n")
        labels = [row["label"] for row in json.loads(answer["Body"].read())["predictions"]]
        assert labels == ["old" if number > 5 else "small", "small"]
    found: dict[str, Any] = {}
    for _ in range(50):  # captures are written after a moment
        done = run(
            repository,
            "test/shadow.py",
            *("--config", "prod-config-export.json"),
            env={**stage.aws.environment(stage.account)},
        )
        assert done.returncode == 0, done.stderr
        found = json.loads((repository / "shadow-report.json").read_text())
        if found["pairs"] == 10:
            break
        time.sleep(0.1)
    assert (found["serving"], found["shadow"]) == packages
    assert (found["captured"], found["pairs"]) == ({"serving": 10, "shadow": 10}, 10)
    assert (found["rows"], found["agreeing"]) == (20, 16)
    assert {one["serving"] for one in found["examples"]} == {"['old', 'small']"}
    assert found["latency_milliseconds"] == {}
    page = (repository / "shadow-report.html").read_text()
    assert "16 of 20 rows (80.0%)" in page
    assert "not measured: CloudWatch has no figures" in page


def test_an_endpoint_without_a_shadow_has_no_report(shadowed: tuple[Stage, Path, tuple[str, str]]) -> None:
    stage, repository, _ = shadowed
    told = json.loads((repository / "prod-config-export.json").read_text())
    told["Parameters"]["StageName"] = "other"
    (repository / "other.json").write_text(json.dumps(told))
    name = ENDPOINT.replace("prod", "other")
    stage.model("plain")
    config = stage.config("plain")
    stage.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert stage.settled(name)["EndpointStatus"] == "InService"
    env = stage.aws.environment(stage.account)
    done = run(repository, "test/shadow.py", "--config", "other.json", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no shadow: set ShadowOfVersion" in done.stderr
