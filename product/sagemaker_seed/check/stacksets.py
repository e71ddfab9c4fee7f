"""Stack sets: the two roles of self-managed ones; for service-managed ones the organization, its units, its trust."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from ..policies import Value
from .findings import Report
from .preparing import aws, deploy
from .roles import Answer, trusts_role
from .stages import STACK_SET, STACK_SETS, actions, endpoint_acts, provider, variables
from .statements import Act, covers, there, trusts
from .subject import LAYOUTS, NOBODY, Account, Subject
from .targets import prepared, reads

SELF_MANAGED, SERVICE_MANAGED = "stackset-self-managed", "stackset-service-managed"
TARGETS = {SELF_MANAGED, SERVICE_MANAGED}
PRINCIPAL = "member.org.stacksets.cloudformation.amazonaws.com"
UNIT = "OrganizationalUnit{}Id"
UNKNOWN_UNIT = "ou-none-unknown00"  # has the form of one, so that the rest of a template can be looked at


def units(
    home: Account, layout: Mapping[str, str], ids: Mapping[str, str], given: Mapping[str, str], report: Report
) -> dict[str, str]:
    """The launch parameters with the organizational units of the stages' accounts: as given, or as they are.

    Args:
        layout: the stages, each with the word for it in the names of parameters.
        ids: the stages' accounts.
        given: launch parameters.
    """
    found = {}
    for stage, word in layout.items():
        name = UNIT.format(word)
        if name not in given:
            found[name] = _unit_of(home, ids[stage])
            if found[name] == UNKNOWN_UNIT:
                report.note(
                    f"the organizational unit of the {stage} account is not known; give --parameter {name}=ou-..."
                )
    return found


def _unit_of(home: Account, account: str) -> str:
    if home.id in {account, NOBODY}:
        return UNKNOWN_UNIT
    try:
        return str(home.client("organizations").list_parents(ChildId=account)["Parents"][0]["Id"])
    except ClientError:
        return UNKNOWN_UNIT


def check(subject: Subject) -> None:
    """What the template's deploy target takes."""
    target = subject.desired.texts.get("DeployTarget") if subject.desired else None
    look = {SELF_MANAGED: _self_managed, SERVICE_MANAGED: _service_managed}.get(str(target))
    if look is not None:
        look(subject)


# ------------------------------------------------------------------------------------------------ self-managed


def _sets(subject: Subject) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Stage, the role of the pipeline, and the configuration of each action that deploys by a stack set."""
    for pipeline in subject.of_type("AWS::CodePipeline::Pipeline").values():
        for action in actions(pipeline):
            if provider(action) == "CloudFormationStackSet":
                settings = action["Configuration"]
                stage = next((s for s in subject.stage_ids if str(settings["StackSetName"]).endswith(f"-{s}")), "")
                yield stage, str(action.get("RoleArn", pipeline["RoleArn"])), settings


def _self_managed(subject: Subject) -> None:
    home, passing = subject.home, {"iam:passedtoservice": "cloudformation.amazonaws.com"}
    for stage, runs_with, settings in _sets(subject):
        administration = str(settings.get("AdministrationRoleArn", ""))
        if settings.get("PermissionModel", "SELF_MANAGED") != "SELF_MANAGED" or not administration or not stage:
            subject.report.add(
                "a stack set has another permission model than its target",
                f"{subject.template_name}: {settings['StackSetName']}",
                "a self-managed stack set works by an administration role and an execution role, which it must name",
                "deploy",
                "let the action say PermissionModel: SELF_MANAGED, AdministrationRoleArn and ExecutionRoleName",
            )
            continue
        name = str(settings["StackSetName"])
        arn = f"arn:{home.partition}:cloudformation:{home.region}:{home.id}:stackset/{name}:x"
        execution = f"arn:{home.partition}:iam::{subject.stage_ids[stage]}:role/{settings['ExecutionRoleName']}"
        pipeline = subject.role(runs_with)
        if pipeline is not None:
            acts = [Act(f"cloudformation:{verb}", arn, f"the stack set of {stage}") for verb in STACK_SET]
            acts.append(Act("cloudformation:CreateStackSet", "", f"the stack set of {stage}"))
            acts.append(Act("iam:PassRole", administration, f"the stack set of {stage}", dict[str, Value](passing)))
            covers(subject, pipeline, acts, "deploy", "the pipeline's role")
        fix = deploy(home, "stacksets.yaml", DeployTarget=SELF_MANAGED)
        role = there(subject, administration, "the administration role of stack sets", "deploy", fix)
        if role is not None:
            trusts(subject, role, "cloudformation.amazonaws.com", "the administration role of stack sets", "deploy")
            entering = [Act("sts:AssumeRole", execution, f"the stack set of {stage}")]
            covers(subject, role, entering, "deploy", "the administration role of stack sets")
        _execution(subject, stage, execution, administration)


def _execution(subject: Subject, stage: str, arn: str, administration: str) -> None:
    what = f"the execution role of stack sets in {stage}"
    role = there(subject, arn, what, "deploy", prepared(subject, stage))
    if role is None:
        return
    if trusts_role(role, administration) is Answer.NO:
        wanted = {"Effect": "Allow", "Principal": {"AWS": administration}, "Action": "sts:AssumeRole"}
        subject.report.add(
            f"{what} cannot be assumed",
            role.arn,
            f"its trust policy does not let {administration} in, which stack sets work by",
            "deploy",
            f"add to the trust policy of {role.name}: {json.dumps(wanted)}",
        )
    covers(subject, role, endpoint_acts(subject, stage), "deploy", what)
    reads(subject, role, what)


# --------------------------------------------------------------------------------------------- service-managed


def _service_managed(subject: Subject) -> None:
    organizations = subject.home.client("organizations")
    with subject.report.looking_at("the organization"):
        try:
            described = organizations.describe_organization()["Organization"]
        except organizations.exceptions.AWSOrganizationsNotInUseException:
            _organization(
                subject,
                "the account is in no organization",
                subject.home.id,
                "service-managed stack sets deploy to the accounts of an organization",
                "aws organizations create-organization --feature-set ALL, or choose another deploy_target",
            )
            return
        if described.get("FeatureSet") != "ALL":
            _organization(
                subject,
                "the organization has not all features",
                described["Id"],
                "service-managed stack sets take an organization with all features",
                "aws organizations enable-all-features",
            )
        _caller(subject, organizations, described)
        _trusted(subject, organizations)
    for stage, account in subject.stage_ids.items():
        with subject.report.looking_at(f"organizational unit of {stage}"):
            _unit(subject, organizations, stage, account)


def _caller(subject: Subject, organizations: Any, described: Mapping[str, Any]) -> None:
    """Whether this account may do what the template says it does: as the management account, or in its place."""
    says = [variables(p).get(STACK_SETS) for p in subject.of_type("AWS::CodeBuild::Project").values()]
    manages = described["MasterAccountId"] == subject.home.id
    if "SELF" in says and not manages:
        _organization(
            subject,
            "the account is not the organization's management account",
            f"{subject.home.id} (StackSetsCallAs=SELF)",
            f"{described['MasterAccountId']} is; only it makes stack sets in its own name",
            "launch with StackSetsCallAs=DELEGATED_ADMIN",
        )
    if "DELEGATED_ADMIN" in says and (why := _not_delegated(subject, organizations)):
        fix = (
            "launch with StackSetsCallAs=SELF"
            if manages
            else "with the management account's credentials: aws organizations register-delegated-administrator "
            f"--account-id {subject.home.id} --service-principal {PRINCIPAL}"
        )
        _organization(
            subject,
            "the account is no delegated administrator of stack sets",
            f"{subject.home.id} (StackSetsCallAs=DELEGATED_ADMIN)",
            f"the build that deploys acts as one; {why}",
            fix,
        )


def _not_delegated(subject: Subject, organizations: Any) -> str:
    """Why the account is taken not to be a delegated administrator of stack sets; empty if it is one."""
    try:
        pages = organizations.get_paginator("list_delegated_administrators").paginate(ServicePrincipal=PRINCIPAL)
        found = {administrator["Id"] for page in pages for administrator in page["DelegatedAdministrators"]}
    except organizations.exceptions.AccessDeniedException:
        return "Organizations refuses to tell it who is, as it does with accounts that are none"
    return "" if subject.home.id in found else f"those are {', '.join(sorted(found)) or 'none'}"


def _trusted(subject: Subject, organizations: Any) -> None:
    pages = organizations.get_paginator("list_aws_service_access_for_organization").paginate()
    if PRINCIPAL not in {s["ServicePrincipal"] for page in pages for s in page["EnabledServicePrincipals"]}:
        _organization(
            subject,
            "the organization does not trust stack sets",
            PRINCIPAL,
            "without trusted access CloudFormation has no role in the accounts of the organization",
            "with the management account's credentials: "
            + aws(subject.home, "cloudformation activate-organizations-access"),
        )


def _unit(subject: Subject, organizations: Any, stage: str, account: str) -> None:
    word = next(words[stage] for words in LAYOUTS.values() if stage in words)
    name = UNIT.format(word)
    unit = subject.desired.texts.get(name, "") if subject.desired else ""
    if unit in {"", UNKNOWN_UNIT}:
        return
    above, parents = account, []
    while not above.startswith("r-"):
        found = organizations.list_parents(ChildId=above)["Parents"]
        if not found:
            break
        above = found[0]["Id"]
        parents.append(above)
    if unit not in parents:
        _organization(
            subject,
            f"the {stage} account is not in its organizational unit",
            f"{account}, {name}={unit}",
            f"a stack set of that unit does not reach it; it is in {parents[0] if parents else 'no organization'}",
            f"give --parameter {name}={parents[0]}, and launch with it" if parents else "move the account there",
        )


def _organization(subject: Subject, what: str, where: str, why: str, fix: str) -> None:
    subject.report.add(what, where, why, "deploy", fix)
