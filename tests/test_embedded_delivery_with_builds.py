"""Pipelines of the embedded AWS whose builds really run: artifacts, variables and failures between the two services."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from delivery_support import BUILD_SERVICE, Delivery, Pipeline, action, stage
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow
BUILD = """
version: 0.2
env: {exported-variables: [SAID]}
phases:
  build:
    commands:
      - export SAID="$(cat note.txt) $GIVEN"
      - echo "$SAID by $CODEBUILD_INITIATOR" > said.txt
artifacts: {files: [said.txt]}
"""
CHECK = """
version: 0.2
phases:
  build:
    commands:
      - test "$(cat note.txt)" = hello
      - grep -q "$WANTED" "$CODEBUILD_SRC_DIR_Built/said.txt"
      - echo "all is well"
"""


class Builds(Delivery):
    """An account with a project that builds and one that checks what was built."""

    def __init__(self, aws: EmbeddedAws) -> None:
        super().__init__(aws)
        role = self.make_role("build", BUILD_SERVICE)
        for name, buildspec in (("build", "build.yml"), ("check", "check.yml")):
            self.client("codebuild").create_project(
                name=name,
                source={"type": "CODEPIPELINE", "buildspec": buildspec},
                artifacts={"type": "CODEPIPELINE"},
                environment={
                    "type": "LINUX_CONTAINER",
                    "image": "aws/codebuild/amazonlinux2-x86_64-standard:3.0",
                    "computeType": "BUILD_GENERAL1_SMALL",
                },
                serviceRole=role,
            )
        self.put({"note.txt": "hello", "build.yml": BUILD, "check.yml": CHECK})

    def stages(self, wanted: str) -> list[dict[str, Any]]:
        given = json.dumps([{"name": "GIVEN", "value": "#{variables.Given}"}])
        built = {"ProjectName": "build", "EnvironmentVariables": given}
        checked = {
            "ProjectName": "check",
            "PrimarySource": "SourceArtifact",
            "EnvironmentVariables": json.dumps([{"name": "WANTED", "value": wanted}]),
        }
        return [
            stage(
                "Build", action("Build", "Build/CodeBuild", built, ("SourceArtifact",), ("Built",), namespace="Made")
            ),
            stage("Test", action("Check", "Test/CodeBuild", checked, ("Built", "SourceArtifact"))),
        ]

    def run(self, wanted: str) -> tuple[Pipeline, str]:
        pipeline = self.create(*self.stages(wanted), variables=[{"name": "Given", "defaultValue": "world"}])
        return pipeline, pipeline.ended(pipeline.first)


def test_what_one_build_makes_the_next_one_finds(aws: EmbeddedAws) -> None:
    delivery = Builds(aws)
    pipeline, status = delivery.run("#{Made.SAID}")
    assert status == "Succeeded", pipeline.state()
    [built] = [found for found in pipeline.attempts() if found["actionName"] == "Build"]
    assert built["output"]["outputVariables"] == {"SAID": "hello world"}
    [output] = built["output"]["outputArtifacts"]
    place = output["s3location"]
    content = delivery.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("said.txt").decode().strip() == "hello world by codepipeline/pipeline"
    [identifier] = delivery.client("codebuild").list_builds_for_project(projectName="build")["ids"]
    assert pipeline.action("Build", "Build")["externalExecutionId"] == identifier
    [build] = delivery.client("codebuild").batch_get_builds(ids=[identifier])["builds"]
    revision = pipeline.state()["Source"]["actions"]["Source"]["currentRevision"]["revisionId"]
    assert build["resolvedSourceVersion"] == revision


def test_a_failing_test_shows_its_phase_its_command_and_its_log_in_the_state(aws: EmbeddedAws) -> None:
    pipeline, status = Builds(aws).run("somebody else")
    assert status == "Failed"
    message = pipeline.error("Test", "Check")["message"]
    assert "Build terminated with state: FAILED" in message
    assert "Phase: BUILD, Code: COMMAND_EXECUTION_ERROR" in message
    assert "grep -q" in message.partition("The last lines of its log:")[0]
    assert "Running command grep" in message.partition("The last lines of its log:")[2]
    assert "all is well" not in message
    assert pipeline.state()["Build"]["latestExecution"]["status"] == "Succeeded"
