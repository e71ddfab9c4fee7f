"""Pipelines of the embedded AWS over stacks that fail, and one of the shape that others have, from commit to endpoint.

What is deployed are topics: what a stack consists of is nothing to a pipeline.
"""

from __future__ import annotations

from typing import Any

import pytest
from delivery_support import (
    BUILD_SERVICE,
    REGION,
    TEMPLATE,
    Organization,
    Pipeline,
    Stacks,
    action,
    stage,
    topics,
)
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow
NO_NAME = "not a name"


@pytest.fixture
def stacks(aws: EmbeddedAws) -> Stacks:
    return Stacks(aws)


def test_a_stack_that_cannot_be_made_names_its_resource_and_must_be_replaced(stacks: Stacks) -> None:
    stacks.put_template(NO_NAME)
    pipeline, status = stacks.run(stacks.deploy())
    assert status == "Failed"
    message = pipeline.error("Deploy", "Deploy")["message"]
    assert message.startswith("Stack made ended as ROLLBACK_COMPLETE. Made (AWS::SNS::Topic) CREATE_FAILED: ")
    assert "Topic names must be made up of" in message
    failed = stacks.stack()
    assert failed is not None

    stacks.put_template("name")
    assert pipeline.ended(pipeline.start()) == "Failed"
    message = pipeline.error("Deploy", "Deploy")["message"]
    assert "Error calling updateStack" in message
    assert "is in ROLLBACK_COMPLETE state and can not be updated" in message

    replacing = stacks.declaration(stage("Deploy", stacks.deploy("REPLACE_ON_FAILURE")))
    stacks.api.update_pipeline(pipeline=replacing)
    assert pipeline.ended(pipeline.start()) == "Succeeded", pipeline.state()
    replaced = stacks.stack()
    assert replaced is not None
    assert (replaced["StackStatus"], replaced["StackId"] == failed["StackId"]) == ("CREATE_COMPLETE", False)


def test_an_update_that_fails_is_rolled_back_and_a_retry_after_a_mend_goes_on(stacks: Stacks) -> None:
    stacks.put_template("first")
    pipeline, status = stacks.run(stacks.deploy())
    assert status == "Succeeded"
    stacks.put_template(NO_NAME)
    second = pipeline.start()
    assert pipeline.ended(second) == "Failed"
    message = pipeline.error("Deploy", "Deploy")["message"]
    assert message.startswith("Stack made ended as UPDATE_ROLLBACK_COMPLETE. Made (AWS::SNS::Topic) ")
    assert "Topic names must be made up of" in message
    assert stacks.topics() == ["first"]
    stacks.put_template("second")
    assert pipeline.ended(pipeline.start()) == "Succeeded", pipeline.state()
    assert stacks.topics() == ["second"]


def test_a_stack_set_that_fails_in_an_account_says_where_and_why(aws: EmbeddedAws) -> None:
    organization = Organization(aws)
    organization.put_set(NO_NAME)
    organization.api.create_pipeline(pipeline=organization.declaration(stage("Deploy", organization.deploy_set())))
    pipeline = Pipeline(organization, "pipeline")
    assert pipeline.ended(pipeline.first) == "Failed"
    message = pipeline.error("Deploy", "Deploy")["message"]
    assert f"{organization.member}/{REGION}: FAILED" in message
    assert "Topic names must be made up of" in message


# ---------------------------------------------------------------------------------------------------- another's shape

BUILD = """
version: 0.2
phases:
  build:
    commands:
      - cp template.yml $EXPORT_TEMPLATE_NAME
      - python make.py staging > $EXPORT_TEMPLATE_STAGING_CONFIG
      - python make.py prod > $EXPORT_TEMPLATE_PROD_CONFIG
artifacts:
  files: [$EXPORT_TEMPLATE_NAME, $EXPORT_TEMPLATE_STAGING_CONFIG, $EXPORT_TEMPLATE_PROD_CONFIG]
"""
MAKE = """
import json, sys
print(json.dumps([{"ParameterKey": "Topic", "ParameterValue": "endpoint-" + sys.argv[1]}]))
"""
TEST = """
version: 0.2
phases:
  build:
    commands:
      - grep -q "endpoint-$STAGE" "$CODEBUILD_SRC_DIR_BuildArtifact/$BUILD_CONFIG"
      - echo "{}" > $EXPORT_TEST_RESULTS
artifacts: {files: [$EXPORT_TEST_RESULTS]}
"""


class Walkthrough(Organization):
    """Units for two stages, a repository, projects to build and to test, and a pipeline of the first version."""

    def __init__(self, aws: EmbeddedAws) -> None:
        super().__init__(aws)
        organizations = self.client("organizations")
        root = organizations.list_roots()["Roots"][0]["Id"]
        made = organizations.create_organizational_unit(ParentId=root, Name="prod")["OrganizationalUnit"]
        account = organizations.create_account(Email="b@example.com", AccountName="b")["CreateAccountStatus"]
        self.prod_unit, self.prod = str(made["Id"]), str(account["AccountId"])
        organizations.move_account(AccountId=self.prod, SourceParentId=root, DestinationParentId=self.prod_unit)
        code = self.client("codecommit")
        code.create_repository(repositoryName="code")
        files = {"template.yml": TEMPLATE, "make.py": MAKE, "buildspec.yml": BUILD, "test/buildspec.yml": TEST}
        put = [{"filePath": path, "fileContent": text.encode()} for path, text in files.items()]
        code.create_commit(repositoryName="code", branchName="main", putFiles=put)
        self.build_role = self.make_role("build", BUILD_SERVICE)
        self.project("build", "buildspec.yml")
        for name in ("staging", "prod"):
            self.project(f"test-{name}", "test/buildspec.yml", STAGE=name, BUILD_CONFIG=f"{name}-config-export.json")

    def project(self, name: str, buildspec: str, **more: str) -> None:
        variables = {
            "EXPORT_TEMPLATE_NAME": "template-export.yml",
            "EXPORT_TEMPLATE_STAGING_CONFIG": "staging-config-export.json",
            "EXPORT_TEMPLATE_PROD_CONFIG": "prod-config-export.json",
            "EXPORT_TEST_RESULTS": "test-results.json",
            **more,
        }
        self.client("codebuild").create_project(
            name=name,
            source={"type": "CODEPIPELINE", "buildspec": buildspec},
            artifacts={"type": "CODEPIPELINE"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/amazonlinux2-x86_64-standard:3.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": [{"name": key, "value": value} for key, value in variables.items()],
            },
            serviceRole=self.build_role,
        )

    def stage_of(self, name: str, unit: str, *more: dict[str, Any]) -> dict[str, Any]:
        deployed = {
            "StackSetName": f"deploy-{name}",
            "TemplatePath": "BuildArtifact::template-export.yml",
            "Parameters": f"BuildArtifact::{name}-config-export.json",
            "Capabilities": "CAPABILITY_NAMED_IAM",
            "PermissionModel": "SERVICE_MANAGED",
            "OrganizationsAutoDeployment": "Disabled",
            "DeploymentTargets": unit,
            "Regions": REGION,
        }
        tested = {"ProjectName": f"test-{name}", "PrimarySource": "SourceArtifact"}
        inputs, results = ("SourceArtifact", "BuildArtifact"), (f"Test{name.title()}Artifact",)
        return stage(
            f"Deploy{name.title()}",
            action("Deploy", "Deploy/CloudFormationStackSet", deployed, ("BuildArtifact",), runOrder=1),
            action("Test", "Build/CodeBuild", tested, inputs, results, runOrder=2),
            *more,
        )

    def declared(self) -> dict[str, Any]:
        where = {"RepositoryName": "code", "BranchName": "main", "PollForSourceChanges": "false"}
        built = action("Build", "Build/CodeBuild", {"ProjectName": "build"}, ("SourceArtifact",), ("BuildArtifact",))
        approve = action("Approve", "Approval/Manual", {"CustomData": "Take it to production?"}, runOrder=3)
        return {
            "name": "walkthrough",
            "roleArn": self.role,
            "artifactStore": {"type": "S3", "location": self.bucket},
            "stages": [
                stage("Source", action("Source", "Source/CodeCommit", where, (), ("SourceArtifact",))),
                stage("Build", built),
                self.stage_of("staging", self.unit, approve),
                self.stage_of("prod", self.prod_unit),
            ],
        }

    def deployed(self) -> tuple[list[str], list[str]]:
        """What there is in staging and in production."""
        return topics(self.client("sns", self.member)), topics(self.client("sns", self.prod))


def test_a_pipeline_of_units_goes_through_staging_and_an_approval_to_production(aws: EmbeddedAws) -> None:
    walkthrough = Walkthrough(aws)
    walkthrough.api.create_pipeline(pipeline=walkthrough.declared())
    pipeline = Pipeline(walkthrough, "walkthrough")
    pipeline.token("DeployStaging", "Approve")
    assert walkthrough.deployed() == (["endpoint-staging"], [])
    pipeline.answer("DeployStaging", "Approve")
    assert pipeline.ended(pipeline.first) == "Succeeded", pipeline.state()
    assert walkthrough.deployed() == (["endpoint-staging"], ["endpoint-prod"])
    assert walkthrough.api.get_pipeline(name="walkthrough")["pipeline"]["pipelineType"] == "V1"
    results = [found["output"]["outputArtifacts"][0]["name"] for found in pipeline.attempts()[-1:]]
    assert results == ["TestProdArtifact"]
