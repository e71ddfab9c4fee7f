"""The accounts of the stages: their roles are there, can be assumed, and can read a model's artifact with its key."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..accounts.names import STACK_SET_ROLES
from ..policies import evaluate
from . import roles
from .findings import When
from .inference import model_acts, test_acts
from .preparing import deploy
from .roles import Answer, Role, trusts_role
from .stages import (
    actions,
    endpoint_acts,
    key_act,
    key_lets,
    key_verdicts,
    model_role,
    pipeline_acts,
    provider,
    variables,
)
from .statements import Act, covers, there, trusts
from .subject import LAYOUTS, Subject


def check(subject: Subject) -> None:
    """Both stages, each in its own account or in the data science account."""
    for stage, account in subject.stage_ids.items():
        elsewhere = account != subject.home.id
        if elsewhere and subject.account_of(f"arn:aws:iam::{account}:root") is None:
            subject.report.note(f"{stage} account {account}: not looked into; give --{stage}-profile")
            continue
        _stage(subject, stage, elsewhere=elsewhere)


def _stage(subject: Subject, stage: str, *, elsewhere: bool) -> None:
    deploy_role, cloudformation_role = _roles(subject, stage)
    fix = prepared(subject, stage)
    if elsewhere and deploy_role:
        role = there(subject, deploy_role, f"the {stage} deploy role", "deploy", fix)
        if role is not None:
            _assumable(subject, stage, role)
            covers(subject, role, _deploys(subject, stage, deploy_role), "deploy", f"the {stage} deploy role")
            if cloudformation_role:  # else it only tests
                reads(subject, role, f"the {stage} deploy role")
    if cloudformation_role:
        what = f"CloudFormation's {stage} role"
        role = there(subject, cloudformation_role, what, "deploy", fix)
        if role is not None:
            covers(subject, role, endpoint_acts(subject, stage), "deploy", what)
            if elsewhere:
                trusts(subject, role, "cloudformation.amazonaws.com", what, "deploy")
                reads(subject, role, what)
    if model := model_role(subject, stage):
        word = next(words[stage] for words in LAYOUTS.values() if stage in words)
        fix += f"; or launch with the role that is there: SageMakerExecutionRole{word}Name=<path and name>"
        role = there(subject, model, f"the {stage} model's role", "deploy", fix)
        if role is not None:
            trusts(subject, role, "sagemaker.amazonaws.com", f"the {stage} model's role", "deploy")
            reads(subject, role, f"the {stage} model's role")
            covers(subject, role, model_acts(subject, stage), "deploy", f"the {stage} model's role")


def prepared(subject: Subject, stage: str) -> str:
    """The command that makes the roles of a stage's account."""
    account, target = subject.stage_ids[stage], subject.desired.texts.get("DeployTarget") if subject.desired else ""
    if account == subject.home.id:
        return deploy(subject.home, "data-science-account.yaml")
    by = {"DeployTarget": target} if target in STACK_SET_ROLES else {}
    return deploy(subject.home, "target-account.yaml", account, DataScienceAccountId=subject.home.id, **by)


def _roles(subject: Subject, stage: str) -> tuple[str, str]:
    """The role that enters a stage's account (empty: none is needed), and the one that makes the endpoint there."""
    for pipeline in subject.of_type("AWS::CodePipeline::Pipeline").values():
        for action in actions(pipeline):
            name = str(action["Configuration"].get("StackName", ""))
            if provider(action) == "CloudFormation" and name.endswith(f"-{stage}"):
                return str(action.get("RoleArn", "")), str(action["Configuration"].get("RoleArn", ""))
    # By stack sets: only the test goes there.
    tests = [variables(project) for project in subject.of_type("AWS::CodeBuild::Project").values()]
    return next((v.get("DEPLOY_ROLE_ARN", "") for v in tests if v.get("STAGE") == stage), ""), ""


def test_role(subject: Subject, stage: str) -> str:
    """The role that looks at what is deployed in a stage: in another account the one to enter it by."""
    tests = [(p["ServiceRole"], variables(p)) for p in subject.of_type("AWS::CodeBuild::Project").values()]
    own = next((role for role, v in tests if v.get("STAGE") == stage and "BUILD_CONFIG" in v), "")
    return _roles(subject, stage)[0] or own


def stage_roles(subject: Subject, stage: str) -> Iterator[tuple[str, str]]:
    """The roles that read a stage's model, and what each is: that of CloudFormation, and that of the model."""
    if arn := _roles(subject, stage)[1]:
        yield arn, f"CloudFormation's {stage} role"
    if arn := model_role(subject, stage):
        yield arn, f"the {stage} model's role"


def _callers(subject: Subject, stage: str) -> Iterator[tuple[str, str]]:
    """The roles of the data science account that assume a stage's deploy role, and the external id that each says."""
    deploy_role = _roles(subject, stage)[0]
    for pipeline in subject.of_type("AWS::CodePipeline::Pipeline").values():
        if any(deploy_role == action.get("RoleArn") for action in actions(pipeline)):
            yield pipeline["RoleArn"], ""
    for project in subject.of_type("AWS::CodeBuild::Project").values():
        if variables(project).get("DEPLOY_ROLE_ARN") == deploy_role:
            yield project["ServiceRole"], variables(project).get("DEPLOY_ROLE_EXTERNAL_ID", "")


def _assumable(subject: Subject, stage: str, role: Role) -> None:
    for caller, external_id in dict.fromkeys(_callers(subject, stage)):
        if trusts_role(role, caller, external_id) is Answer.NO:
            wanted = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "sts:AssumeRole"}
            says = f" with the external id {external_id}" if external_id else ""
            subject.report.add(
                f"the {stage} deploy role cannot be assumed",
                role.arn,
                f"its trust policy does not let {caller} in{says}, which deploys or tests with it",
                "deploy",
                f"add to the trust policy of {role.name}: {json.dumps(wanted)}",
            )


def _deploys(subject: Subject, stage: str, role: str) -> Iterator[Act]:
    for name, pipeline in subject.of_type("AWS::CodePipeline::Pipeline").items():
        yield from (act for arn, act in pipeline_acts(subject, name, pipeline) if arn == role)
    yield from test_acts(subject, stage)


def reads(subject: Subject, role: Role, what: str, when: When = "deploy") -> None:
    """A project's artifacts: a role's own policies, and across accounts also those of the bucket and the key."""
    policies = subject.of_type("AWS::S3::BucketPolicy").values()
    for properties in policies:
        bucket = f"arn:{subject.home.partition}:s3:::{properties['Bucket']}"
        read = Act("s3:GetObject", f"{bucket}/x", "model artifacts")
        decrypt = key_act(subject, "kms:Decrypt", bucket, "model artifacts")
        elsewhere = role.account != subject.home.id
        lets = key_lets(subject, role, decrypt)
        covers(subject, role, [read] if lets and not elsewhere else [read, decrypt], when, what)
        if not elsewhere:
            continue
        verdict = evaluate(properties["PolicyDocument"], roles.asked(role, read.action, read.resource, {}))
        holders = (
            ("bucket", read.action, verdict.allowed),
            ("key", decrypt.action, _key_allows(subject, role, decrypt)),
        )
        for holder, name, allowed in holders:
            if not allowed:
                subject.report.add(
                    f"the {holder} of the artifacts does not let {what} in",
                    f"{subject.template_name}: the policy of the artifact {holder}",
                    f"{role.arn} has to {name} across accounts, and its own policies are not enough",
                    when,
                    f"name {role.arn} in the policy of the {holder}, or launch with the role that is named there",
                )


def _key_allows(subject: Subject, role: Role, act: Act) -> bool:
    """Whether the key's policy lets in a role of another account; as one of its account is enough."""
    return any(verdict.allowed and not verdict.denied for verdict in key_verdicts(subject, role, act))
