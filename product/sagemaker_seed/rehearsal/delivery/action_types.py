"""The table of action types: what each must and may have in its declaration, and what carries it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from . import approval, build, source, stacks, stacksets
from .job import Job, Outcome

HOUR, DAY = 60, 24 * 60

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class ActionType:
    """One type.

    Attributes:
        run: carries an action out.
        inputs: how many input artifacts, at least and at most.
        outputs: the same of output artifacts.
        required: keys that the configuration must have.
        optional: keys that it may have.
        values: what a key may say, where that is a choice.
        refused: what AWS knows and a rehearsal does not: keys, and the values of them, or None for any value.
        references: keys whose value begins with the name of an input artifact, if it has ``::``.
        timeout: minutes until the action fails by itself.
    """

    run: Callable[[Job], Outcome]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    values: dict[str, frozenset[str]] = field(default_factory=dict)
    refused: dict[str, str | None] = field(default_factory=dict)
    references: frozenset[str] = frozenset()
    timeout: int = 3 * DAY


BOOLEAN = frozenset({"true", "false"})
CODEBUILD = ActionType(
    run=build.codebuild,
    inputs=(1, 5),
    outputs=(0, 5),
    required=frozenset({"ProjectName"}),
    optional=frozenset({"PrimarySource", "EnvironmentVariables", "BatchEnabled", "CombineArtifacts"}),
    values={"BatchEnabled": BOOLEAN, "CombineArtifacts": BOOLEAN},
    refused={"BatchEnabled": "true", "CombineArtifacts": "true"},
    timeout=36 * HOUR,
)
DELEGATED: dict[str, str | None] = dict.fromkeys(("CallAs", "ConcurrencyMode", "RegionConcurrencyType"))
INSTANCES = frozenset({"DeploymentTargets", "Regions", "FailureTolerancePercentage", "MaxConcurrentPercentage"})

TYPES: dict[Key, ActionType] = {
    ("Source", "AWS", "CodeCommit", "1"): ActionType(
        run=source.codecommit,
        inputs=(0, 0),
        outputs=(1, 1),
        required=frozenset({"RepositoryName", "BranchName"}),
        optional=frozenset({"PollForSourceChanges", "OutputArtifactFormat"}),
        values={
            "PollForSourceChanges": BOOLEAN,
            "OutputArtifactFormat": frozenset({"CODE_ZIP", "CODEBUILD_CLONE_REF"}),
        },
        refused={"OutputArtifactFormat": "CODEBUILD_CLONE_REF"},
        timeout=20,
    ),
    ("Source", "AWS", "S3", "1"): ActionType(
        run=source.s3,
        inputs=(0, 0),
        outputs=(1, 1),
        required=frozenset({"S3Bucket", "S3ObjectKey"}),
        optional=frozenset({"PollForSourceChanges", "AllowOverrideForS3ObjectKey"}),
        values={"PollForSourceChanges": BOOLEAN, "AllowOverrideForS3ObjectKey": BOOLEAN},
        timeout=20,
    ),
    ("Build", "AWS", "CodeBuild", "1"): CODEBUILD,
    ("Test", "AWS", "CodeBuild", "1"): CODEBUILD,
    ("Approval", "AWS", "Manual", "1"): ActionType(
        run=approval.manual,
        inputs=(0, 0),
        outputs=(0, 0),
        required=frozenset(),
        optional=frozenset({"NotificationArn", "ExternalEntityLink", "CustomData"}),
        timeout=7 * DAY,
    ),
    ("Deploy", "AWS", "CloudFormation", "1"): ActionType(
        run=stacks.cloudformation,
        inputs=(0, 10),
        outputs=(0, 1),
        required=frozenset({"ActionMode", "StackName"}),
        optional=frozenset(
            {
                "Capabilities",
                "ChangeSetName",
                "OutputFileName",
                "ParameterOverrides",
                "RoleArn",
                "TemplateConfiguration",
                "TemplatePath",
            }
        ),
        values={"ActionMode": frozenset(stacks.MODES)},
        references=frozenset({"TemplatePath", "TemplateConfiguration"}),
    ),
    ("Deploy", "AWS", "CloudFormationStackSet", "1"): ActionType(
        run=stacksets.stack_set,
        inputs=(1, 3),
        outputs=(0, 0),
        required=frozenset({"StackSetName", "TemplatePath"}),
        optional=INSTANCES
        | {
            "AdministrationRoleArn",
            "Capabilities",
            "Description",
            "ExecutionRoleName",
            "OrganizationsAutoDeployment",
            "Parameters",
            "PermissionModel",
        },
        values={
            "OrganizationsAutoDeployment": frozenset(stacksets.AUTOMATIC),
            "PermissionModel": frozenset({"SELF_MANAGED", "SERVICE_MANAGED"}),
        },
        refused=DELEGATED,
        references=frozenset({"TemplatePath", "Parameters", "DeploymentTargets", "Regions"}),
    ),
    ("Deploy", "AWS", "CloudFormationStackInstances", "1"): ActionType(
        run=stacksets.stack_instances,
        inputs=(0, 10),
        outputs=(0, 0),
        required=frozenset({"StackSetName", "DeploymentTargets", "Regions"}),
        optional=INSTANCES - {"DeploymentTargets", "Regions"} | {"ParameterOverrides"},
        refused=DELEGATED,
        references=frozenset({"DeploymentTargets", "Regions", "ParameterOverrides"}),
    ),
}
# What AWS has and a rehearsal does not, by category; whatever is not named anywhere does not exist on AWS either.
ELSEWHERE: dict[tuple[str, str], frozenset[str]] = {
    ("Source", "AWS"): frozenset({"CodeStarSourceConnection", "ECR"}),
    ("Source", "ThirdParty"): frozenset({"GitHub"}),
    ("Build", "AWS"): frozenset({"ECRBuildAndPublish"}),
    ("Test", "AWS"): frozenset({"DeviceFarm"}),
    ("Deploy", "AWS"): frozenset(
        {
            "AppConfig",
            "CodeDeploy",
            "CodeDeployToECS",
            "ECS",
            "EC2",
            "EKS",
            "ElasticBeanstalk",
            "Lambda",
            "OpsWorks",
            "S3",
            "ServiceCatalog",
        }
    ),
    ("Deploy", "ThirdParty"): frozenset({"AlexaSkillsKit"}),
    ("Invoke", "AWS"): frozenset({"CodePipeline", "InspectorScan", "Lambda", "StepFunctions"}),
    ("Compute", "AWS"): frozenset({"Commands"}),
}


def key_of(type_id: dict[str, str]) -> Key:
    """The key in the table of an ``actionTypeId``."""
    return (type_id["category"], type_id["owner"], type_id["provider"], type_id["version"])
