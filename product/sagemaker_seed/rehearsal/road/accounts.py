"""The accounts of a rehearsal: an organization with a unit and an account for each stage, and the templates in them.

With every stage in one account there is no organization. With service-managed stack sets the data science account is
not the organization's management account but its delegated administrator, as AWS recommends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...accounts.names import role_names
from ...errors import BadInput, SeedError
from ...publish.release import read_template
from . import stacks
from .journey import Journey
from .stages import ACCOUNT_PARAMETER, UNIT_PARAMETER

STACK_SETS = "member.org.stacksets.cloudformation.amazonaws.com"
MANAGEMENT_ACCOUNT = "999999999999"
STACK_SET_TARGETS = ("stackset-self-managed", "stackset-service-managed")
# The kinds of inference whose requests and answers are objects in S3.
STORED = ("asynchronous", "batch")
# Of the names of the stacks that are made of the templates.
PREFIX = "sagemaker-seed-"
PUBLISHER_ROLE = "rehearsal/publisher"
STUDIO_ROLE = "service-role/studio-execution-role"
# What Studio makes when projects are enabled in a domain: one role that all services of older project templates share.
SHARED_ROLE = "service-role/AmazonSageMakerServiceCatalogProductsUseRole"
SHARED_BY = ("cloudformation", "codebuild", "codepipeline", "events", "lambda", "sagemaker")
# What somebody in Studio does in the rehearsal. The launch itself is the launch role's.
STUDIO_ACTIONS = {
    "Launch": (
        "sagemaker:CreateProject",
        "sagemaker:DescribeProject",
        "servicecatalog:DescribeProduct",
        "servicecatalog:DescribeRecord",
        "servicecatalog:ListLaunchPaths",
        "servicecatalog:ProvisionProduct",
    ),
    "Code": ("codecommit:GetRepository", "codecommit:ListRepositories", "codecommit:GitPull", "codecommit:GitPush"),
    "Models": (
        "sagemaker:DescribeModelPackage",
        "sagemaker:ListModelPackageGroups",
        "sagemaker:ListModelPackages",
        "sagemaker:UpdateModelPackage",
    ),
    "Pipelines": (
        "codepipeline:GetPipelineState",
        "codepipeline:ListActionExecutions",
        "codepipeline:ListPipelineExecutions",
        "codepipeline:PutApprovalResult",
        "codebuild:BatchGetBuilds",
        "logs:GetLogEvents",
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStacks",
        "cloudformation:ListStackResources",
    ),
}


def make(journey: Journey) -> None:
    """Makes the organization, its units and accounts, if the stages have accounts of their own; and Studio's role."""
    here = "in which every stage is" if journey.target == "same-account" else _organization(journey)
    journey.studio_role = _studio(journey)
    if "management" in journey.accounts:
        journey.say(f"{'management':<13} {journey.accounts['management']}  of the organization")
    journey.say(f"{'data science':<13} {journey.accounts['data-science']}  {here}")
    for stage in journey.stages if journey.units else ():
        journey.say(f"{stage.name:<13} {journey.accounts[stage.name]}  in {journey.units[stage.name]}")


def _organization(journey: Journey) -> str:
    """Makes an organization with a unit and an account for each stage; what the data science account is in it."""
    delegated = journey.target == "stackset-service-managed"
    if delegated:
        journey.accounts["management"] = MANAGEMENT_ACCOUNT
    organizations = journey.client("organizations", "management")
    organizations.create_organization(FeatureSet="ALL")
    organizations.enable_aws_service_access(ServicePrincipal=STACK_SETS)
    root = organizations.list_roots()["Roots"][0]["Id"]
    for stage in journey.stages:
        unit = organizations.create_organizational_unit(ParentId=root, Name=stage.title)["OrganizationalUnit"]["Id"]
        account = _new_account(organizations, stage.title)
        organizations.move_account(AccountId=account, SourceParentId=root, DestinationParentId=unit)
        journey.units[stage.name], journey.accounts[stage.name] = unit, account
    if not delegated:
        return "the organization's management account"
    here = journey.accounts["data-science"]
    asked = organizations.invite_account_to_organization(Target={"Id": here, "Type": "ACCOUNT"})["Handshake"]
    journey.client("organizations").accept_handshake(HandshakeId=asked["Id"])
    organizations.register_delegated_administrator(AccountId=here, ServicePrincipal=STACK_SETS)
    return "delegated administrator of stack sets"


def _new_account(organizations: Any, title: str) -> str:
    asked = organizations.create_account(Email=f"{title.lower()}@example.com", AccountName=title)["CreateAccountStatus"]
    while asked["State"] == "IN_PROGRESS":
        time.sleep(stacks.POLL_SECONDS)
        asked = organizations.describe_create_account_status(CreateAccountRequestId=asked["Id"])["CreateAccountStatus"]
    if asked["State"] != "SUCCEEDED":
        raise SeedError(f"the account {title} could not be made: {asked.get('FailureReason')}")
    return str(asked["AccountId"])


def _studio(journey: Journey) -> str:
    """The execution role of a Studio domain, which its users act as; in it, what the rehearsal does as a person."""
    account = journey.accounts["data-science"]
    people = {"Service": "sagemaker.amazonaws.com", "AWS": account}
    statements = [
        {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": "*"}
        for sid, actions in STUDIO_ACTIONS.items()
    ]
    # Its policy is AWS's to know, and wide: that of a template which relies on it is not what is rehearsed.
    everything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    services = {"Service": [f"{name}.amazonaws.com" for name in SHARED_BY]}
    _role(journey.client("iam"), SHARED_ROLE, services, everything)
    return _role(journey.client("iam"), STUDIO_ROLE, people, statements)


def _role(iam: Any, name: str, trusted: dict[str, Any], statements: list[dict[str, Any]]) -> str:
    path, _, last = name.rpartition("/")
    trust = _policy([{"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}])
    role = iam.create_role(Path=f"/{path}/", RoleName=last, AssumeRolePolicyDocument=trust)
    if statements:
        iam.put_role_policy(RoleName=last, PolicyName="rehearsal", PolicyDocument=_policy(statements))
    return str(role["Role"]["Arn"])


def _policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def deploy_templates(journey: Journey) -> None:
    """Deploys what the accounts need before the first launch: our templates, or in the stages somebody else's."""
    given = journey.options.account_templates
    everywhere = ["data-science-account.yaml", "catalog.yaml"]
    everywhere += ["stacksets.yaml"] if journey.target in STACK_SET_TARGETS else []
    outputs: dict[str, str] = {}
    for name in everywhere:
        outputs |= _deploy(journey, "data-science", journey.template(name))
    journey.publisher_role = _publisher(journey, outputs["PublisherPolicyArn"])
    for stage in journey.stages if journey.units else ():
        for template in given or [journey.template("target-account.yaml")]:
            _deploy(journey, stage.name, template)
    # Where every stage is in one account its roles are there already, and take what is on top of them.
    for account in [stage.name for stage in journey.stages] if journey.units else ["data-science"]:
        for name in _besides(journey):
            _deploy(journey, account, journey.template(name))


def _besides(journey: Journey) -> list[str]:
    """What an account with a stage gets on top of its roles: by the kind of inference of the seed, and to watch it."""
    ours = journey.options.product is None and not journey.options.account_templates
    stored = ours and journey.seed.answers["inference"] in STORED
    return [*(["stored-inference.yaml"] if stored else []), *(["watching.yaml"] if journey.options.drift else [])]


def _publisher(journey: Journey, policy: str) -> str:
    """A role for whoever publishes, who may do no more than the catalog's policy for them allows."""
    iam = journey.client("iam")
    role = _role(iam, PUBLISHER_ROLE, {"AWS": journey.accounts["data-science"]}, [])
    iam.attach_role_policy(RoleName=role.rpartition("/")[2], PolicyArn=policy)
    return role


def _deploy(journey: Journey, account: str, template: Path) -> dict[str, str]:
    known = {**known_parameters(journey), "PrincipalArn1": journey.studio_role}
    if journey.options.product is None:
        known |= {"DeployTarget": journey.target, **role_names(journey.target, here=account == "data-science")}
    declared = read_template(template.read_text(), template.name).get("Parameters", {})
    parameters = {name: known[name] for name in declared if name in known}
    name = f"{PREFIX}{template.stem}"
    outputs = stacks.deploy(journey.client("cloudformation", account), name, template, parameters, journey.doing)
    made = stacks.resources(journey.client("cloudformation", account), name)
    journey.say(f"{_shown(account):<13} {template.name}: {len(made)} resources")
    return outputs


def _shown(account: str) -> str:
    return account.replace("data-science", "data science")


def known_parameters(journey: Journey) -> dict[str, str]:
    """What the rehearsal can fill in: what it knows itself, and what was given."""
    known = {"DataScienceAccountId": journey.accounts["data-science"]}
    for stage in journey.stages:
        known[ACCOUNT_PARAMETER.format(stage.slot)] = journey.account(stage.name)
        if stage.name in journey.units:
            known[UNIT_PARAMETER.format(stage.slot)] = journey.units[stage.name]
    drift = {"RetrainOnDrift": "yes"} if journey.options.drift else {}
    return known | drift | given(journey.options.parameters)


def given(words: Sequence[str]) -> dict[str, str]:
    """The launch parameters of ``key=value`` words.

    Raises:
        BadInput: a word is none; all such words are named.
    """
    bad = [f"--parameter {word!r}: must be KEY=VALUE" for word in words if "=" not in word]
    if bad:
        raise BadInput(*bad)
    return dict(word.split("=", 1) for word in words)
