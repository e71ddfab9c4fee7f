"""A pipeline for the tests of the embedded CodePipeline: an account, a bucket, roles, declarations, ways to wait."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from itertools import count
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
POLL = 0.02
PATIENCE = 20.0
TEMPLATE = """
Parameters:
  Topic: {Type: String}
  Label: {Type: String, Default: none}
Resources:
  Made: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !Ref Topic, DisplayName: !Ref Label}}
Outputs:
  Arn: {Value: !Ref Made}
"""
ENDED = {"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled"}
ACCOUNTS = count(200_000_000_000)
PIPELINE_SERVICE, STACK_SERVICE, BUILD_SERVICE = (
    f"{name}.amazonaws.com" for name in ("codepipeline", "cloudformation", "codebuild")
)


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def until(answer: Callable[[], Any], what: str) -> Any:
    """What ``answer`` gives as soon as it gives anything."""
    deadline = time.monotonic() + PATIENCE
    while not (found := answer()):
        assert time.monotonic() < deadline, f"nothing came of {what} within {PATIENCE:.0f} s"
        time.sleep(POLL)
    return found


def topics(sns: Any) -> list[str]:
    """The names of the topics of an account."""
    return [topic["TopicArn"].rpartition(":")[2] for topic in sns.list_topics()["Topics"]]


def action(
    name: str,
    kind: str,
    configuration: dict[str, str] | None = None,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """An action; ``kind`` is such as ``Deploy/CloudFormation``."""
    category, provider = kind.split("/")
    return {
        "name": name,
        "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
        "configuration": configuration or {},
        "inputArtifacts": [{"name": artifact} for artifact in inputs],
        "outputArtifacts": [{"name": artifact} for artifact in outputs],
        **more,
    }


def stage(name: str, *actions: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "actions": list(actions)}


def ask(name: str = "Ask", **more: Any) -> dict[str, Any]:
    return action(name, "Approval/Manual", **more)


class Delivery:
    """An account of its own, in which pipelines with an object of a bucket as their source can be made."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account = aws, str(next(ACCOUNTS))
        self.bucket = f"delivery-{self.account}"
        self.s3, self.iam = self.client("s3"), self.client("iam")
        self.api = self.client("codepipeline")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.role = self.make_role("pipeline", PIPELINE_SERVICE)
        self.put({"note.txt": "hello"})

    def client(self, service: str, account: str | None = None) -> Any:
        once = Config(retries={"total_max_attempts": 1})
        return self.aws.client(service, account or self.account, config=once)

    def make_role(self, name: str, service: str) -> str:
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return str(self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"])

    def put(self, files: dict[str, str], key: str = "source.zip") -> str:
        return str(self.s3.put_object(Bucket=self.bucket, Key=key, Body=zipped(files))["VersionId"])

    def source(self, name: str = "Source", key: str = "source.zip", **more: Any) -> dict[str, Any]:
        where = {"S3Bucket": self.bucket, "S3ObjectKey": key, "PollForSourceChanges": "false"}
        return action(name, "Source/S3", where | more.pop("configuration", {}), (), (f"{name}Artifact",), **more)

    def declaration(self, *stages: dict[str, Any], name: str = "pipeline", **more: Any) -> dict[str, Any]:
        """A pipeline of version 2 that begins with the source."""
        return {
            "name": name,
            "roleArn": self.role,
            "pipelineType": "V2",
            "artifactStore": {"type": "S3", "location": self.bucket},
            "stages": [stage("Source", self.source(namespace="Source")), *stages],
            **more,
        }

    def create(self, *stages: dict[str, Any], **more: Any) -> Pipeline:
        declared = self.declaration(*stages, **more)
        self.api.create_pipeline(pipeline=declared)
        return Pipeline(self, declared["name"])


class Pipeline:
    """A pipeline that there is; its first execution began when it was created."""

    def __init__(self, delivery: Delivery, name: str) -> None:
        self.api, self.name = delivery.api, name
        self.first = self.executions()[-1]["pipelineExecutionId"]

    def start(self, **more: Any) -> str:
        return str(self.api.start_pipeline_execution(name=self.name, **more)["pipelineExecutionId"])

    def executions(self, **more: Any) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.api.list_pipeline_executions(pipelineName=self.name, **more)[
            "pipelineExecutionSummaries"
        ]
        return listed

    def execution(self, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=identifier)[
            "pipelineExecution"
        ]
        return found

    def status(self, identifier: str) -> str:
        return str(self.execution(identifier)["status"])

    def ended(self, identifier: str) -> str:
        """The status of an execution, when it has ended."""
        until(lambda: self.status(identifier) in ENDED, f"execution {identifier} ({self.state()})")
        return self.status(identifier)

    def state(self) -> dict[str, dict[str, Any]]:
        """The stages' states by name, with those of their actions by name."""
        stages = self.api.get_pipeline_state(name=self.name)["stageStates"]
        return {
            found["stageName"]: found | {"actions": {a["actionName"]: a for a in found["actionStates"]}}
            for found in stages
        }

    def action(self, stage: str, name: str) -> dict[str, Any]:
        """The latest execution of an action; empty if there is none."""
        found: dict[str, Any] = self.state()[stage]["actions"][name].get("latestExecution", {})
        return found

    def error(self, stage: str, name: str) -> dict[str, str]:
        found: dict[str, str] = self.action(stage, name)["errorDetails"]
        return found

    def inside(self, stage: str) -> str | None:
        """The execution that is in a stage."""
        latest = self.state()[stage].get("latestExecution", {})
        return latest.get("pipelineExecutionId") if latest.get("status") in {"InProgress", "Stopping"} else None

    def waiting(self, stage: str) -> list[str]:
        """The executions in front of a stage."""
        return [found["pipelineExecutionId"] for found in self.state()[stage].get("inboundExecutions", [])]

    def token(self, stage: str = "Deploy", name: str = "Ask") -> str:
        """The token of the question that an approval asks."""
        return str(until(lambda: self.action(stage, name).get("token"), f"the question of {stage}/{name}"))

    def answer(self, stage: str = "Deploy", name: str = "Ask", status: str = "Approved", summary: str = "fine") -> None:
        self.api.put_approval_result(
            pipelineName=self.name,
            stageName=stage,
            actionName=name,
            token=self.token(stage, name),
            result={"status": status, "summary": summary},
        )

    def attempts(self, identifier: str | None = None) -> list[dict[str, Any]]:
        """Every attempt of every action, the oldest first."""
        chosen = {"filter": {"pipelineExecutionId": identifier}} if identifier else {}
        listed = self.api.list_action_executions(pipelineName=self.name, **chosen)["actionExecutionDetails"]
        return list(reversed(listed))


class Stacks(Delivery):
    """An account whose pipelines deploy stacks with a role of CloudFormation's."""

    def __init__(self, aws: EmbeddedAws) -> None:
        super().__init__(aws)
        self.cloudformation = self.client("cloudformation")
        self.stack_role = self.make_role("stacks", STACK_SERVICE)

    def put_template(self, topic: str = "first", template: str = TEMPLATE, **more: Any) -> None:
        settings = {"Parameters": {"Topic": topic}, "Tags": {"team": "x"}, **more}
        self.put({"t.yaml": template, "c.json": json.dumps(settings), "p.json": json.dumps({"label": "from a file"})})

    def deploy(self, mode: str = "CREATE_UPDATE", name: str = "Deploy", **more: str) -> dict[str, Any]:
        given = {
            "ActionMode": mode,
            "StackName": "made",
            "RoleArn": self.stack_role,
            "TemplatePath": "SourceArtifact::t.yaml",
            "TemplateConfiguration": "SourceArtifact::c.json",
            **more,
        }
        return action(name, "Deploy/CloudFormation", given, ("SourceArtifact",))

    def stack(self) -> dict[str, Any] | None:
        try:
            [found] = self.cloudformation.describe_stacks(StackName="made")["Stacks"]
        except ClientError:
            return None
        return dict(found)

    def topics(self) -> list[str]:
        return topics(self.client("sns"))

    def run(self, *actions: dict[str, Any]) -> tuple[Pipeline, str]:
        """A pipeline with these actions, and how its first execution ended."""
        pipeline = self.create(stage("Deploy", *actions))
        return pipeline, pipeline.ended(pipeline.first)


class Organization(Stacks):
    """A management account with an account in a unit, and one outside it."""

    def __init__(self, aws: EmbeddedAws) -> None:
        super().__init__(aws)
        organizations = self.client("organizations")
        organizations.create_organization(FeatureSet="ALL")
        organizations.enable_aws_service_access(ServicePrincipal="member.org.stacksets.cloudformation.amazonaws.com")
        root = organizations.list_roots()["Roots"][0]["Id"]
        self.unit = str(
            organizations.create_organizational_unit(ParentId=root, Name="staging")["OrganizationalUnit"]["Id"]
        )
        made = organizations.create_account(Email="a@example.com", AccountName="a")["CreateAccountStatus"]
        self.member = str(made["AccountId"])
        organizations.move_account(AccountId=self.member, SourceParentId=root, DestinationParentId=self.unit)

    def put_set(self, topic: str) -> None:
        parameters = [{"ParameterKey": "Topic", "ParameterValue": topic}]
        self.put({"t.yaml": TEMPLATE, "p.json": json.dumps(parameters), "c.json": "{}"})

    def deploy_set(self, **more: str) -> dict[str, Any]:
        given = {
            "StackSetName": "fleet",
            "TemplatePath": "SourceArtifact::t.yaml",
            "Parameters": "SourceArtifact::p.json",
            "PermissionModel": "SERVICE_MANAGED",
            "OrganizationsAutoDeployment": "Disabled",
            "DeploymentTargets": self.unit,
            "Regions": REGION,
            **more,
        }
        return action("Deploy", "Deploy/CloudFormationStackSet", given, ("SourceArtifact",), namespace="Set")

    def instances(self) -> list[tuple[str, str]]:
        found = self.cloudformation.list_stack_instances(StackSetName="fleet")["Summaries"]
        return [(instance["Account"], instance["Region"]) for instance in found]
