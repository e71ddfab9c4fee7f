"""What the embedded CodePipeline says of declarations that are wrong, or that ask for what it does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from delivery_support import Delivery, action, ask, stage
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

ROLE = "arn:aws:iam::111111111111:role/x"
STRUCTURE, STAGE, ACTION = (
    f"Invalid{what}Exception" for what in ("Structure", "StageDeclaration", "ActionDeclaration")
)
REFUSED = "NotImplementedByEmbeddedAws"


@pytest.fixture(scope="module")
def delivery(aws: EmbeddedAws) -> Delivery:
    return Delivery(aws)


def build(inputs: tuple[str, ...] = ("SourceArtifact",), **configuration: str) -> dict[str, Any]:
    return action("Build", "Build/CodeBuild", {"ProjectName": "p", **configuration}, inputs, ("Built",))


def stack(**configuration: str) -> dict[str, Any]:
    given = {
        "ActionMode": "CREATE_UPDATE",
        "StackName": "s",
        "RoleArn": ROLE,
        "TemplatePath": "SourceArtifact::t.yaml",
        **configuration,
    }
    kept = {key: value for key, value in given.items() if value}
    return action("Deploy", "Deploy/CloudFormation", kept, ("SourceArtifact",))


def stack_set(**configuration: str) -> dict[str, Any]:
    given = {"StackSetName": "s", "TemplatePath": "SourceArtifact::t.yaml", **configuration}
    return action("Deploy", "Deploy/CloudFormationStackSet", given, ("SourceArtifact",))


Change = Callable[[dict[str, Any]], Any]


def with_actions(*actions: dict[str, Any]) -> Change:
    return lambda declared: declared["stages"][1].update(actions=list(actions))


def source(**configuration: str) -> Change:
    return lambda declared: declared["stages"][0]["actions"][0]["configuration"].update(configuration)


def to_commits(**more: str) -> Change:
    where = {"RepositoryName": "r", "BranchName": "b", "PollForSourceChanges": "false", **more}
    commits = action("Source", "Source/CodeCommit", where, (), ("SourceArtifact",))
    return lambda declared: declared["stages"][0].update(actions=[commits])


def other_type(provider: str, category: str = "Invoke", owner: str = "AWS") -> Change:
    changed = ask("Odd")
    changed["actionTypeId"] = {"category": category, "owner": owner, "provider": provider, "version": "1"}
    return with_actions(changed)


WRONG: dict[str, tuple[Change, str, str]] = {
    "one stage": (lambda d: d["stages"].pop(), STRUCTURE, "at least 2 stages"),
    "no actions": (with_actions(), STAGE, "Stage Deploy should have at least 1 action"),
    "two stages of one name": (lambda d: d["stages"][1].update(name="Source"), STAGE, "Duplicate: Source"),
    "two actions of one name": (with_actions(ask(), ask()), STAGE, "Duplicate: Ask"),
    "no source first": (lambda d: d["stages"].reverse(), STRUCTURE, "only contains source actions"),
    "a source later": (lambda d: d["stages"].append(d["stages"][0] | {"name": "X"}), STAGE, "only occur in the first"),
    "no artifact store": (lambda d: d.pop("artifactStore"), STRUCTURE, "either artifactStore or artifactStores"),
    "a role that is not there": (lambda d: d.update(roleArn=ROLE), STRUCTURE, f"AssumeRole on role {ROLE}"),
    "a name with a space": (lambda d: d.update(name="a b"), "ValidationException", "pipeline.name"),
    "queued in version 1": (lambda d: d.update(pipelineType="V1", executionMode="QUEUED"), STRUCTURE, "QUEUED"),
    "variables in version 1": (
        lambda d: d.update(pipelineType="V1", variables=[{"name": "V"}]),
        STRUCTURE,
        "variables",
    ),
    "an input nobody makes": (
        with_actions(build(("Nothing",))),
        ACTION,
        "Input Artifact Bundle Nothing in action Build",
    ),
    "no input": (
        with_actions(build(())),
        ACTION,
        "declares 0 input artifacts which is less than the minimum count (1)",
    ),
    "an output twice": (
        with_actions(build(), build() | {"name": "B2", "runOrder": 2}),
        ACTION,
        "Built has been used more than once",
    ),
    "an input of a neighbour": (
        with_actions(build(), action("B2", "Test/CodeBuild", {"ProjectName": "p"}, ("Built",))),
        ACTION,
        "Input Artifact Bundle Built in action B2",
    ),
    "an output of an approval": (
        with_actions(ask(outputArtifacts=[{"name": "A"}])),
        ACTION,
        "declares 1 output artifacts which is more than the maximum count (0)",
    ),
    "no project": (with_actions(action("B", "Build/CodeBuild", {}, ("SourceArtifact",))), ACTION, "'ProjectName'"),
    "a setting that is not one": (with_actions(build(Projekt="p")), ACTION, "unknown configuration 'Projekt'"),
    "a primary source from elsewhere": (with_actions(build(PrimarySource="X")), ACTION, "PrimarySource 'X'"),
    "two inputs and no primary": (
        with_actions(
            build(), action("T", "Test/CodeBuild", {"ProjectName": "p"}, ("SourceArtifact", "Built"), runOrder=2)
        ),
        ACTION,
        "'PrimarySource'",
    ),
    "a value of 1001 characters": (with_actions(build(EnvironmentVariables="x" * 1001)), "ValidationException", "1000"),
    "an unknown mode": (with_actions(stack(ActionMode="CREATE")), ACTION, "invalid value 'CREATE' for 'ActionMode'"),
    "a stack without a role": (with_actions(stack(RoleArn="")), ACTION, "'RoleArn'"),
    "a stack without a template": (with_actions(stack(TemplatePath="")), ACTION, "'TemplatePath'"),
    "a template of another artifact": (with_actions(stack(TemplatePath="X::t.yaml")), ACTION, "'X::t.yaml'"),
    "a template of no artifact": (with_actions(stack(TemplatePath="t.yaml")), ACTION, "<input artifact>::<file>"),
    "a change set without a name": (with_actions(stack(ActionMode="CHANGE_SET_REPLACE")), ACTION, "'ChangeSetName'"),
    "a file for no artifact": (with_actions(stack(OutputFileName="o.json")), ACTION, "OutputFileName"),
    "targets and automatic deployment": (
        with_actions(
            stack_set(
                PermissionModel="SERVICE_MANAGED", OrganizationsAutoDeployment="Enabled", DeploymentTargets="ou-1"
            )
        ),
        ACTION,
        "OrganizationsAutoDeployment Enabled",
    ),
    "roles of a set that the service manages": (
        with_actions(stack_set(PermissionModel="SERVICE_MANAGED", ExecutionRoleName="r")),
        ACTION,
        "ExecutionRoleName with PermissionModel SERVICE_MANAGED",
    ),
    "a limit to the time of a build": (with_actions(build() | {"timeoutInMinutes": 10}), ACTION, "timeoutInMinutes"),
    "a namespace nobody has": (
        with_actions(build(EnvironmentVariables="#{Sauce.CommitId}")),
        ACTION,
        "VariableReferenceText=[#{Sauce.CommitId}]",
    ),
    "a variable that is not declared": (
        with_actions(build(EnvironmentVariables="#{variables.Model}")),
        ACTION,
        "referencing a variable that does not exist",
    ),
    "a namespace twice": (with_actions(ask(namespace="Source")), ACTION, "Namespace 'Source' of action 'Ask' is taken"),
    "an action type that AWS has not": (other_type("Cobbler"), ACTION, "Provider: 'Cobbler'"),
    "a custom action": (other_type("Mine", "Build", "Custom"), ACTION, "Owner: 'Custom'"),
    "a function": (other_type("Lambda"), REFUSED, "Invoke by Lambda"),
    "a connection": (
        lambda d: d["stages"][0]["actions"][0]["actionTypeId"].update(provider="CodeStarSourceConnection"),
        REFUSED,
        "Source by CodeStarSourceConnection",
    ),
    "polling by default": (
        lambda d: d["stages"][0]["actions"][0]["configuration"].pop("PollForSourceChanges"),
        REFUSED,
        "PollForSourceChanges",
    ),
    "polling": (source(PollForSourceChanges="true"), REFUSED, "PollForSourceChanges"),
    "a batch of builds": (with_actions(build(BatchEnabled="true")), REFUSED, "CodeBuild with BatchEnabled"),
    "a clone as an artifact": (to_commits(OutputArtifactFormat="CODEBUILD_CLONE_REF"), REFUSED, "OutputArtifactFormat"),
    "an unknown form of artifact": (to_commits(OutputArtifactFormat="TAR"), ACTION, "'TAR' for 'OutputArtifactFormat'"),
    "a delegated administrator": (with_actions(stack_set(CallAs="DELEGATED_ADMIN")), REFUSED, "with CallAs"),
    "another region": (with_actions(ask(region="us-east-1")), REFUSED, "us-east-1"),
    "a condition": (
        lambda d: d["stages"][1].update(onFailure={"result": "ROLLBACK"}),
        REFUSED,
        "codepipeline:onFailure",
    ),
}


@pytest.mark.parametrize("change", WRONG)
def test_a_declaration_that_is_wrong_is_refused_and_makes_nothing(delivery: Delivery, change: str) -> None:
    act, code, message = WRONG[change]
    declared = delivery.declaration(stage("Deploy", ask()), name="wrong")
    act(declared)
    with pytest.raises(ClientError) as error:
        delivery.api.create_pipeline(pipeline=declared)
    said = error.value.response["Error"]
    assert said["Code"] == code
    assert message in said["Message"]
    assert "wrong" not in [found["name"] for found in delivery.api.list_pipelines()["pipelines"]]


def test_an_update_is_checked_like_a_creation_and_changes_nothing_when_refused(delivery: Delivery) -> None:
    delivery.create(stage("Deploy", ask()), name="checked")
    changed = delivery.declaration(stage("Deploy"), name="checked")
    with pytest.raises(ClientError) as error:
        delivery.api.update_pipeline(pipeline=changed)
    assert error.value.response["Error"]["Code"] == STAGE
    assert delivery.api.get_pipeline(name="checked")["pipeline"]["version"] == 1
