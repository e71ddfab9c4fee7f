"""Deploy actions of the embedded CodePipeline: stacks and stack sets from files of artifacts, over the real API."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from delivery_support import REGION, TEMPLATE, Organization, Pipeline, Stacks, action, stage
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

pytestmark = pytest.mark.slow
BROKEN = "Resources: {Made: {Type: 'AWS::SNS::Topik'}}"


@pytest.fixture
def stacks(aws: EmbeddedAws) -> Stacks:
    return Stacks(aws)


def test_a_stack_is_created_updated_and_left_alone_when_nothing_changes(stacks: Stacks) -> None:
    stacks.put_template("first")
    pipeline, status = stacks.run(stacks.deploy() | {"namespace": "Deployed"})
    assert status == "Succeeded", pipeline.state()
    stack = stacks.stack()
    assert stack is not None
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {"Key": "team", "Value": "x"} in stack["Tags"]
    assert stacks.topics() == ["first"]
    last = pipeline.attempts()[-1]["output"]
    assert last["outputVariables"] == {"Arn": f"arn:aws:sns:{REGION}:{stacks.account}:first"}
    assert last["executionResult"]["externalExecutionId"] == stack["StackId"]

    same = pipeline.start()
    assert pipeline.ended(same) == "Succeeded"
    stacks.put_template("second")
    changed = pipeline.start()
    assert pipeline.ended(changed) == "Succeeded", pipeline.state()
    assert stacks.topics() == ["second"]
    updated = stacks.stack()
    assert updated is not None
    assert (updated["StackId"], updated["StackStatus"]) == (stack["StackId"], "UPDATE_COMPLETE")


def test_overrides_win_over_the_file_and_may_come_from_artifacts(stacks: Stacks) -> None:
    stacks.put_template("file")
    overrides = {
        "Topic": "override",
        "Label": {"Fn::GetParam": ["SourceArtifact", "p.json", "label"]},
    }
    deploy = stacks.deploy(ParameterOverrides=json.dumps(overrides), OutputFileName="out.json")
    deploy["outputArtifacts"] = [{"name": "Outputs"}]
    pipeline, status = stacks.run(deploy)
    assert status == "Succeeded", pipeline.state()
    assert stacks.topics() == ["override"]
    arn = f"arn:aws:sns:{REGION}:{stacks.account}:override"
    label = stacks.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"]
    assert label == "from a file"
    [output] = pipeline.attempts()[-1]["output"]["outputArtifacts"]
    place = output["s3location"]
    content = stacks.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert json.loads(archive.read("out.json")) == {"Arn": arn}


def test_where_an_artifact_lies_can_be_a_parameter(stacks: Stacks) -> None:
    stacks.put_template("file")
    overrides = {"Label": {"Fn::GetArtifactAtt": ["SourceArtifact", "BucketName"]}}
    _, status = stacks.run(stacks.deploy(ParameterOverrides=json.dumps(overrides)))
    assert status == "Succeeded"
    arn = f"arn:aws:sns:{REGION}:{stacks.account}:file"
    assert stacks.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == stacks.bucket


def test_the_template_and_its_settings_may_come_from_two_artifacts(stacks: Stacks) -> None:
    stacks.put({"t.yaml": TEMPLATE})
    stacks.put({"c.json": json.dumps({"Parameters": {"Topic": "two"}})}, "settings.zip")
    deploy = stacks.deploy(TemplateConfiguration="SettingsArtifact::c.json")
    deploy["inputArtifacts"].append({"name": "SettingsArtifact"})
    declared = stacks.declaration(stage("Deploy", deploy))
    declared["stages"][0]["actions"].append(stacks.source("Settings", "settings.zip"))
    stacks.api.create_pipeline(pipeline=declared)
    pipeline = Pipeline(stacks, "pipeline")
    assert pipeline.ended(pipeline.first) == "Succeeded", pipeline.state()
    assert stacks.topics() == ["two"]


def test_a_template_that_is_too_long_for_a_request_is_handed_over_in_the_bucket(stacks: Stacks) -> None:
    stacks.put_template("long", TEMPLATE + "# padding\n" * 6000)
    pipeline, status = stacks.run(stacks.deploy())
    assert status == "Succeeded", pipeline.state()
    assert stacks.topics() == ["long"]


def test_a_stack_can_be_deleted_and_deleting_none_is_fine(stacks: Stacks) -> None:
    stacks.put_template("gone")
    given = {"ActionMode": "DELETE_ONLY", "StackName": "made", "RoleArn": stacks.stack_role}
    delete = action("Delete", "Deploy/CloudFormation", given, runOrder=2)
    pipeline, status = stacks.run(stacks.deploy(), delete, {**delete, "name": "Again", "runOrder": 3})
    assert status == "Succeeded", pipeline.state()
    assert (stacks.stack(), stacks.topics()) == (None, [])


def test_a_change_set_is_made_then_carried_out(stacks: Stacks) -> None:
    stacks.put_template("planned")
    plan = stacks.deploy("CHANGE_SET_REPLACE", "Plan", ChangeSetName="plan")
    executed = {"ActionMode": "CHANGE_SET_EXECUTE", "StackName": "made", "ChangeSetName": "plan"}
    carry_out = action("Execute", "Deploy/CloudFormation", executed, runOrder=2)
    pipeline, status = stacks.run(plan, carry_out)
    assert status == "Succeeded", pipeline.state()
    assert stacks.topics() == ["planned"]
    stacks.put_template("changed")
    assert pipeline.ended(pipeline.start()) == "Succeeded", pipeline.state()
    assert stacks.topics() == ["changed"]


FILES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "no such template": ({"TemplatePath": "SourceArtifact::x.yaml"}, {}, "File [x.yaml] does not exist in artifact"),
    "no such settings": ({"TemplateConfiguration": "SourceArtifact::x.json"}, {}, "File [x.json] does not exist"),
    "settings that are no JSON": ({"TemplateConfiguration": "SourceArtifact::t.yaml"}, {}, "is not valid JSON"),
    "unknown settings": ({}, {"Parameter": {}}, "unknown keys: Parameter"),
    "parameters that are no strings": ({}, {"Parameters": {"Topic": 1}}, "not strings: Topic"),
    "overrides that are no JSON": ({"ParameterOverrides": "Topic=x"}, {}, "ParameterOverrides is not valid JSON"),
    "a function that is none": ({"ParameterOverrides": '{"Topic": {"Ref": "x"}}'}, {}, "Topic, which is neither"),
    "a key that is not in the file": (
        {"ParameterOverrides": '{"Topic": {"Fn::GetParam": ["SourceArtifact", "p.json", "x"]}}'},
        {},
        "p.json has no key x",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_what_is_wrong_with_a_file_is_in_the_state_of_the_action(stacks: Stacks, case: str) -> None:
    configuration, settings, message = FILES[case]
    stacks.put_template(**settings)
    pipeline, status = stacks.run(stacks.deploy(**configuration))
    assert status == "Failed"
    error = pipeline.error("Deploy", "Deploy")
    assert (error["code"], message in error["message"]) == ("ConfigurationError", True), error
    assert stacks.stack() is None


def test_a_refused_call_is_in_the_state_of_the_action(stacks: Stacks) -> None:
    stacks.put_template(template=BROKEN)
    pipeline, status = stacks.run(stacks.deploy())
    assert status == "Failed"
    message = pipeline.error("Deploy", "Deploy")["message"]
    assert message.startswith("Error calling createStack: ")
    assert "AWS::SNS::Topik" in message
    assert "ValidationError" in message


def test_a_role_that_is_gone_is_in_the_state_of_the_action(stacks: Stacks) -> None:
    stacks.put_template()
    pipeline, status = stacks.run(stacks.deploy())
    assert status == "Succeeded"
    stacks.iam.delete_role(RoleName="pipeline")
    assert pipeline.ended(pipeline.start()) == "Failed"
    error = pipeline.error("Source", "Source")
    assert error["code"] == "PermissionError"
    assert stacks.role in error["message"]


# ------------------------------------------------------------------------------------------------- another account


def test_an_action_with_a_role_acts_in_that_roles_account(stacks: Stacks, aws: EmbeddedAws) -> None:
    target = Stacks(aws)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{stacks.account}:root"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = target.iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    reads = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{target.account}:root"},
        "Action": "s3:Get*",
        "Resource": f"arn:aws:s3:::{stacks.bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
    stacks.s3.put_bucket_policy(Bucket=stacks.bucket, Policy=policy)
    stacks.put_template("elsewhere")
    pipeline, status = stacks.run(stacks.deploy(RoleArn=target.stack_role) | {"roleArn": role})
    assert status == "Succeeded", pipeline.state()
    assert (stacks.topics(), target.topics()) == ([], ["elsewhere"])
    assert pipeline.attempts()[-1]["input"]["roleArn"] == role


def test_an_action_role_that_is_not_there_fails_the_action_by_its_name(stacks: Stacks) -> None:
    stacks.put_template()
    missing = f"arn:aws:iam::{stacks.account}:role/missing"
    pipeline, status = stacks.run(stacks.deploy() | {"roleArn": missing})
    assert status == "Failed"
    error = pipeline.error("Deploy", "Deploy")
    assert error["code"] == "PermissionError"
    assert missing in error["message"]


# ------------------------------------------------------------------------------------------------------- stack sets


def test_a_stack_set_reaches_the_accounts_of_a_unit(aws: EmbeddedAws) -> None:
    organization = Organization(aws)
    organization.put_set("fleet-topic")
    approval = action("Ask", "Approval/Manual", {"CustomData": "#{Set.StackSetId}"}, runOrder=2)
    declared = organization.declaration(stage("Deploy", organization.deploy_set(), approval), pipelineType="V1")
    organization.api.create_pipeline(pipeline=declared)
    pipeline = Pipeline(organization, declared["name"])
    pipeline.answer()
    assert pipeline.ended(pipeline.first) == "Succeeded", pipeline.state()
    assert organization.instances() == [(organization.member, REGION)]
    topics = organization.client("sns", organization.member).list_topics()["Topics"]
    assert [topic["TopicArn"].rpartition(":")[2] for topic in topics] == ["fleet-topic"]
    found = organization.cloudformation.describe_stack_set(StackSetName="fleet")["StackSet"]
    assert found["Parameters"][0]["ParameterValue"] == "fleet-topic"
    attempt = [found for found in pipeline.attempts() if found["actionName"] == "Deploy"][-1]
    assert attempt["output"]["outputVariables"]["StackSetId"] == found["StackSetId"]

    organization.put_set("changed")
    again = pipeline.start()
    pipeline.answer()
    assert pipeline.ended(again) == "Succeeded", pipeline.state()
    found = organization.cloudformation.describe_stack_set(StackSetName="fleet")["StackSet"]
    assert found["Parameters"][0]["ParameterValue"] == "changed"
    assert organization.instances() == [(organization.member, REGION)]


SETS = {
    "settings in the form of a stack's": ({"Parameters": "SourceArtifact::c.json"}, "is not a list of objects"),
    "a parameter in no form": ({"Parameters": "Topic=x"}, "Parameters is not valid JSON"),
    "no regions": ({"Regions": ","}, "Regions is needed beside DeploymentTargets"),
    "a share that is no number": ({"FailureTolerancePercentage": "all"}, "are whole numbers"),
}


@pytest.mark.parametrize("case", SETS)
def test_what_is_wrong_with_a_stack_set_is_in_the_state_of_the_action(stacks: Stacks, case: str) -> None:
    configuration, message = SETS[case]
    given = {
        "StackSetName": "fleet",
        "TemplatePath": "SourceArtifact::t.yaml",
        "DeploymentTargets": stacks.account,
        "Regions": REGION,
        **configuration,
    }
    stacks.put_template()
    pipeline, status = stacks.run(action("Deploy", "Deploy/CloudFormationStackSet", given, ("SourceArtifact",)))
    assert status == "Failed"
    error = pipeline.error("Deploy", "Deploy")
    assert (error["code"], message in error["message"]) == ("ConfigurationError", True), error
    assert stacks.cloudformation.list_stack_sets()["Summaries"] == []
