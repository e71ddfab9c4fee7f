"""Bringing the pipeline to SageMaker: created once, updated when it differs, otherwise only looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from conftest import GROUP, GROUP_ARN, ROOT, Stub

from training.choices import read_choices
from training.describing import Description
from training.packing import Package, Packages
from training.project import Project, read_project
from training.publishing import upsert

PIPELINE = "iris-p-0123456789ab-training"
ARN = f"arn:aws:sagemaker:eu-west-1:111111111111:pipeline/{PIPELINE}"
DEFINITION = {"Version": "2020-12-01", "Steps": [{"Name": "A"}]}
TAGS = [
    {"Key": "sagemaker:project-name", "Value": "iris"},
    {"Key": "sagemaker:project-id", "Value": "p-0123456789ab"},
]


@pytest.fixture
def described(training_environment: dict[str, str]) -> Description:
    project = read_project({**training_environment, "ARTIFACT_KEY_ARN": ""})
    package = Package("iris/code/0a/", {"a.py": b"1"}, project.bucket)
    empty = Package("iris/data/0b/", {}, project.bucket)
    return Description(project, read_choices(ROOT), Packages(package, empty, empty), DEFINITION)


def uploads(stub: Stub, *there: str) -> Any:
    client, stubber = stub("s3")
    for number, keys in enumerate((there, (), ())):
        stubber.add_response(
            "list_objects_v2", {"Contents": [{"Key": key} for key in keys], "IsTruncated": False}
        )
        if not there and number == 0:
            stubber.add_response("put_object", {})
    return client


def group(stubber: Stubber) -> None:
    answer = {
        "ModelPackageGroupName": GROUP,
        "ModelPackageGroupArn": GROUP_ARN,
        "CreationTime": 0,
        "CreatedBy": {},
    }
    stubber.add_response("describe_model_package_group", {**answer, "ModelPackageGroupStatus": "Completed"})


def there(
    stubber: Stubber, project: Project, definition: Any, tags: list[dict[str, str]] | None = None
) -> None:
    answer = {
        "PipelineArn": ARN,
        "RoleArn": project.role_arn,
        "PipelineDescription": "Trains, evaluates and registers models of iris",
        "PipelineDefinition": json.dumps(definition, indent=1),
    }
    stubber.add_response("describe_pipeline", answer, {"PipelineName": PIPELINE})


def test_the_first_time_everything_is_made_and_tagged(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    stubber.add_client_error("describe_model_package_group", "ValidationException", "Group does not exist")
    expected_group = {"ModelPackageGroupName": GROUP, "ModelPackageGroupDescription": ANY, "Tags": TAGS}
    stubber.add_response("create_model_package_group", {"ModelPackageGroupArn": GROUP_ARN}, expected_group)
    stubber.add_client_error("describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    expected = {
        "PipelineName": PIPELINE,
        "PipelineDefinition": '{"Version":"2020-12-01","Steps":[{"Name":"A"}]}',
        "PipelineDescription": ANY,
        "RoleArn": described.project.role_arn,
        "Tags": TAGS,
    }
    stubber.add_response("create_pipeline", {"PipelineArn": ARN}, expected)
    done = upsert(client, uploads(stub), described)
    assert (done.outcome, done.group, done.uploaded) == ("created", "created", ["iris/code/0a/a.py"])


def test_the_same_again_writes_nothing(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    there(stubber, described.project, DEFINITION)
    stubber.add_response("list_tags", {"Tags": [*TAGS, {"Key": "own", "Value": "x"}]}, {"ResourceArn": ARN})
    done = upsert(client, uploads(stub, "iris/code/0a/a.py"), described)
    assert (done.outcome, done.group, done.uploaded) == ("unchanged", "found", [])


def test_a_difference_updates_it_and_puts_lost_tags_back(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    there(stubber, described.project, {**DEFINITION, "Steps": []})
    expected = {
        "PipelineName": PIPELINE,
        "PipelineDefinition": ANY,
        "PipelineDescription": ANY,
        "RoleArn": ANY,
    }
    stubber.add_response("update_pipeline", {"PipelineArn": ARN}, expected)
    stubber.add_response("list_tags", {"Tags": TAGS[:1]}, {"ResourceArn": ARN})
    stubber.add_response("add_tags", {}, {"ResourceArn": ARN, "Tags": TAGS})
    assert upsert(client, uploads(stub, "iris/code/0a/a.py"), described).outcome == "updated"


def test_two_at_once_end_with_one(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    stubber.add_client_error("describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    stubber.add_client_error(
        "create_pipeline", "ValidationException", "Pipeline names must be unique: already exists"
    )
    there(stubber, described.project, DEFINITION)
    stubber.add_response("list_tags", {"Tags": TAGS}, {"ResourceArn": ARN})
    assert upsert(client, uploads(stub, "iris/code/0a/a.py"), described).outcome == "unchanged"


def test_the_pipeline_is_not_touched_when_an_upload_fails(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    s3, s3_stubber = stub("s3")
    s3_stubber.add_client_error("list_objects_v2", "AccessDenied", "Access Denied")
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        upsert(client, s3, described)


def test_nothing_here_needs_the_sdk() -> None:
    for name in ("publishing", "runs", "packing", "lint", "describing", "reporting", "results", "pipeline"):
        text = Path(ROOT, "training", f"{name}.py").read_text(encoding="utf-8")
        assert "import sagemaker" not in text
        assert "from sagemaker" not in text
