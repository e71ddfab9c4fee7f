"""CloudFormation's providers of repositories, build projects and pipelines, read back through the APIs."""

from __future__ import annotations

import io
import re
import zipfile
from importlib.util import find_spec
from typing import Any

import pytest
from resource_support import TAG, Stack, as_map, error_of, failure
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

TAGS = {"team": "ml", "purpose": "test"}
REPOSITORY, PROJECT, PIPELINE = "AWS::CodeCommit::Repository", "AWS::CodeBuild::Project", "AWS::CodePipeline::Pipeline"


def needs(service: str) -> pytest.MarkDecorator:
    module = f"sagemaker_seed.rehearsal.services.{service}"
    return pytest.mark.skipif(find_spec(module) is None, reason=f"there is no {module}")


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws, REGION)


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.mkdir("folder")
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


# --- repositories


@needs("codecommit")
def test_a_repository_with_code(stack: Stack) -> None:
    codecommit = stack.client("codecommit")
    stack.put("seed.zip", zipped({"README.md": b"read\n", "folder/data.bin": bytes(range(256))}))
    given: dict[str, Any] = {
        "RepositoryName": "repository",
        "RepositoryDescription": "one",
        "Code": {"BranchName": "main", "S3": {"Bucket": stack.bucket, "Key": "seed.zip"}},
        "Tags": TAG,
    }
    made = stack.create(REPOSITORY, **given)
    metadata = codecommit.get_repository(repositoryName="repository")["repositoryMetadata"]
    assert made.physical_id == metadata["repositoryId"]
    assert made.attributes["CloneUrlHttp"] == metadata["cloneUrlHttp"]
    assert (made.attributes["Arn"], made.attributes["Name"]) == (metadata["Arn"], "repository")
    assert (metadata["repositoryDescription"], metadata["defaultBranch"]) == ("one", "main")
    content = codecommit.get_file(repositoryName="repository", filePath="folder/data.bin")["fileContent"]
    assert content == bytes(range(256))
    assert codecommit.list_tags_for_resource(resourceArn=metadata["Arn"])["tags"] == TAGS

    head = codecommit.get_branch(repositoryName="repository", branchName="main")["branch"]["commitId"]
    stack.put("seed.zip", zipped({"README.md": b"other\n"}))
    new = {**given, "RepositoryDescription": "two", "Code": {"S3": {"Bucket": stack.bucket, "Key": "other.zip"}}}
    stack.update(REPOSITORY, made, given, {**new, "Tags": []})
    metadata = codecommit.get_repository(repositoryName="repository")["repositoryMetadata"]
    assert metadata["repositoryDescription"] == "two"
    assert codecommit.get_branch(repositoryName="repository", branchName="main")["branch"]["commitId"] == head
    assert codecommit.list_tags_for_resource(resourceArn=metadata["Arn"])["tags"] == {"team": "ml"}
    assert error_of(stack.create, REPOSITORY, **given) == "RepositoryNameExistsException"
    stack.delete(REPOSITORY, made)
    assert codecommit.list_repositories()["repositories"] == []


@needs("codecommit")
@pytest.mark.parametrize(("content", "reason"), [(b"no zip", "is not a zip file"), (None, "NoSuchKey")])
def test_a_repository_whose_code_cannot_be_read_is_not_left(stack: Stack, content: bytes | None, reason: str) -> None:
    stack.put("code.zip" if content else "other.zip", content or b"")
    code = {"S3": {"Bucket": stack.bucket, "Key": "code.zip"}}
    tell = failure if content else error_of
    assert reason in tell(stack.create, REPOSITORY, RepositoryName="r", Code=code)
    assert stack.client("codecommit").list_repositories()["repositories"] == []


@needs("codecommit")
def test_more_files_than_a_commit_takes(stack: Stack) -> None:
    stack.put("many.zip", zipped({f"{number}.txt": b"" for number in range(101)}))
    code = {"S3": {"Bucket": stack.bucket, "Key": "many.zip"}}
    refusal = error_of(stack.create, REPOSITORY, RepositoryName="r", Code=code)
    assert refusal == "MaximumFileEntriesExceededException"
    assert stack.client("codecommit").list_repositories()["repositories"] == []


# --- projects


def project(stack: Stack, role: str) -> dict[str, Any]:
    return {
        "Name": "project",
        "Description": "one",
        "ServiceRole": role,
        "EncryptionKey": f"arn:aws:kms:{REGION}:{stack.account}:key/00000000-0000-0000-0000-000000000000",
        "TimeoutInMinutes": "15",
        "QueuedTimeoutInMinutes": 60,
        "Source": {"Type": "CODEPIPELINE", "BuildSpec": "test/buildspec.yml"},
        "Artifacts": {"Type": "CODEPIPELINE"},
        "Environment": {
            "Type": "LINUX_CONTAINER",
            "Image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "ComputeType": "BUILD_GENERAL1_SMALL",
            "ImagePullCredentialsType": "CODEBUILD",
            "PrivilegedMode": "false",
            "EnvironmentVariables": [{"Name": "A", "Value": "b"}, {"Name": "N", "Value": 3}],
        },
        "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": "/a/group"}},
        "Tags": TAG,
    }


@needs("codebuild")
def test_a_project(stack: Stack) -> None:
    codebuild, role = stack.client("codebuild"), stack.role("builds", "codebuild.amazonaws.com")
    given = project(stack, role)
    made = stack.create(PROJECT, **given)
    [there] = codebuild.batch_get_projects(names=["project"])["projects"]
    assert (made.physical_id, made.attributes["Arn"]) == ("project", there["arn"])
    assert (there["description"], there["serviceRole"]) == ("one", role)
    assert (there["timeoutInMinutes"], there["queuedTimeoutInMinutes"]) == (15, 60)
    assert there["encryptionKey"] == given["EncryptionKey"]
    assert (there["source"]["type"], there["source"]["buildspec"]) == ("CODEPIPELINE", "test/buildspec.yml")
    assert there["artifacts"]["type"] == "CODEPIPELINE"
    variables = {v["name"]: v["value"] for v in there["environment"]["environmentVariables"]}
    assert variables == {"A": "b", "N": "3"}
    assert there["environment"]["privilegedMode"] is False
    assert there["logsConfig"]["cloudWatchLogs"]["groupName"] == "/a/group"
    assert as_map(there["tags"]) == TAGS

    kept = {name: given[name] for name in ("Name", "ServiceRole", "Source", "Artifacts", "Environment")}
    stack.update(PROJECT, made, given, kept)
    [there] = codebuild.batch_get_projects(names=["project"])["projects"]
    assert (there.get("description", ""), there["timeoutInMinutes"]) == ("", 60)
    assert there.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName") is None
    assert as_map(there["tags"]) == {"team": "ml"}
    assert error_of(stack.create, PROJECT, **given) == "ResourceAlreadyExistsException"
    stack.delete(PROJECT, made)
    assert codebuild.list_projects()["projects"] == []


@needs("codebuild")
def test_a_project_without_a_name(stack: Stack) -> None:
    given = project(stack, stack.role("builds", "codebuild.amazonaws.com"))
    del given["Name"]
    assert re.fullmatch(r"MyProject-\w{12}", stack.create(PROJECT, **given).physical_id)
    refusal = failure(stack.create, PROJECT, **given, Triggers={"Webhook": True})
    assert refusal == "The embedded AWS does not honour this of AWS::CodeBuild::Project: Triggers"


# --- pipelines


def pipeline(stack: Stack, role: str) -> dict[str, Any]:
    source = {
        "Name": "Source",
        "Namespace": "Source",
        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "CodeCommit", "Version": "1"},
        "RunOrder": "1",
        "Configuration": {"RepositoryName": "r", "BranchName": "main", "PollForSourceChanges": False},
        "OutputArtifacts": [{"Name": "SourceArtifact"}],
    }
    approval = {
        "Name": "Approve",
        "ActionTypeId": {"Category": "Approval", "Owner": "AWS", "Provider": "Manual", "Version": "1"},
        "RunOrder": 1,
        "TimeoutInMinutes": 60,
        "Configuration": {"CustomData": "well?"},
    }
    return {
        "Name": "pipeline",
        "PipelineType": "V2",
        "ExecutionMode": "QUEUED",
        "Variables": [{"Name": "Package", "DefaultValue": "newest", "Description": "which"}],
        "RoleArn": role,
        "ArtifactStore": {
            "Type": "S3",
            "Location": stack.bucket,
            "EncryptionKey": {"Type": "KMS", "Id": f"arn:aws:kms:{REGION}:{stack.account}:key/k"},
        },
        "Stages": [{"Name": "Source", "Actions": [source]}, {"Name": "Approval", "Actions": [approval]}],
        "DisableInboundStageTransitions": [{"StageName": "Approval", "Reason": "not yet"}],
        "Tags": TAG,
    }


@needs("codepipeline")
def test_a_pipeline(stack: Stack) -> None:
    pipelines, role = stack.client("codepipeline"), stack.role("pipes", "codepipeline.amazonaws.com", allowed="*")
    stack.put("a", b"")
    given = pipeline(stack, role)
    made = stack.create(PIPELINE, **given)
    assert (made.physical_id, made.attributes["Version"]) == ("pipeline", "1")
    found = pipelines.get_pipeline(name="pipeline")
    declared = found["pipeline"]
    arn = found["metadata"]["pipelineArn"]
    assert (declared["pipelineType"], declared["executionMode"], declared["roleArn"]) == ("V2", "QUEUED", role)
    assert declared["artifactStore"] == {
        "type": "S3",
        "location": stack.bucket,
        "encryptionKey": {"type": "KMS", "id": given["ArtifactStore"]["EncryptionKey"]["Id"]},
    }
    assert declared["variables"] == [{"name": "Package", "defaultValue": "newest", "description": "which"}]
    [source], [approval] = (stage["actions"] for stage in declared["stages"])
    assert source["configuration"]["PollForSourceChanges"] == "false"
    assert (source["namespace"], source["runOrder"]) == ("Source", 1)
    assert source["outputArtifacts"] == [{"name": "SourceArtifact"}]
    assert (approval["timeoutInMinutes"], approval["configuration"]) == (60, {"CustomData": "well?"})
    assert as_map(pipelines.list_tags_for_resource(resourceArn=arn)["tags"]) == TAGS

    def transitions() -> list[bool]:
        stages = pipelines.get_pipeline_state(name="pipeline")["stageStates"]
        return [stage["inboundTransitionState"]["enabled"] for stage in stages[1:]]

    assert transitions() == [False]
    assert stack.update(PIPELINE, made, given, {**given, "RestartExecutionOnUpdate": True}).attributes["Version"] == "1"
    new = {**given, "ExecutionMode": "SUPERSEDED", "Variables": [], "Tags": []}
    del new["DisableInboundStageTransitions"]
    made = stack.update(PIPELINE, made, given, new)
    declared = pipelines.get_pipeline(name="pipeline")["pipeline"]
    assert (declared["executionMode"], declared.get("variables", []), declared["version"]) == ("SUPERSEDED", [], 2)
    assert made.attributes["Version"] == "2"
    assert transitions() == [True]
    assert as_map(pipelines.list_tags_for_resource(resourceArn=arn)["tags"]) == {"team": "ml"}
    assert error_of(stack.create, PIPELINE, **given) == "PipelineNameInUseException"
    stack.delete(PIPELINE, made)
    assert pipelines.list_pipelines()["pipelines"] == []


@needs("codepipeline")
def test_a_pipeline_that_is_not_valid(stack: Stack) -> None:
    role = stack.role("pipes", "codepipeline.amazonaws.com", allowed="*")
    stack.put("a", b"")
    given = pipeline(stack, role)
    twice = {**given, "Stages": [given["Stages"][0], {**given["Stages"][1], "Name": "Source"}]}
    assert error_of(stack.create, PIPELINE, **twice) == "InvalidStageDeclarationException"
    reason = failure(stack.create, PIPELINE, **{**given, "Stages": given["Stages"][:1]})
    assert "#/Stages: failed validation constraint for keyword [minItems]: 2" in reason
    assert stack.client("codepipeline").list_pipelines()["pipelines"] == []
