"""What a strict rehearsal shows of permissions: which statements were needed, and which was missing. Grants none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..access.attached import kind_of
from ..embedded import Refusal
from .accounts import PREFIX
from .journey import Journey

# Where something failed, in what the road says of it: a resource of a stack, or an action of a pipeline.
RESOURCE = re.compile(r"([A-Za-z0-9]+) \(AWS::[A-Za-z0-9:]+\)")
ACTION = re.compile(r"(\S+/\S+) failed")


@dataclass(frozen=True)
class Policy:
    """A policy of a template of ours, or of the seed.

    Attributes:
        template: what it is from.
        holder: the ARN of who or what has it.
        shown: the holder's name for a person, the same in every rehearsal.
        name: as ``embedded.Grant`` has it.
        document: the policy.
    """

    template: str
    holder: str
    shown: str
    name: str
    document: Mapping[str, Any]


def statements(journey: Journey) -> list[dict[str, Any]]:
    """Every statement of the policies of the templates and of the seed, with what it let somebody do on this road.

    Returns:
        For each: ``account`` (what for), ``template``, ``holder`` (a role, or what a resource is called in its
            template), ``policy``, ``statement`` (Sid, or its number from 1), ``effect``, ``used`` (action -> how
            often), and ``needed``: whether at least once nothing else would have done.
    """
    noted = {(g.holder, g.policy, g.statement): g for g in journey.aws.grants()}
    found = []
    for account in journey.accounts:
        for policy in _policies(journey, account):
            for number, statement in enumerate(_listed(policy.document["Statement"]), 1):
                sid = str(statement.get("Sid") or number)
                grant = noted.get((policy.holder, policy.name, sid))
                found.append(
                    {
                        "account": account,
                        "template": policy.template,
                        "holder": policy.shown,
                        "policy": policy.name.rpartition("/")[2],
                        "statement": sid,
                        "effect": statement["Effect"],
                        "used": {} if grant is None else grant.actions,
                        "needed": grant is not None and grant.alone > 0,
                    }
                )
    return found


def refusals(journey: Journey) -> list[dict[str, str]]:
    """What policies did not let a role do on this road."""
    return [asdict(refusal) for refusal in journey.aws.refusals()]


def _policies(journey: Journey, account: str) -> Iterator[Policy]:
    """The policies in an account: of the stacks that are made of templates of ours, and of the project's group."""
    cloudformation = journey.client("cloudformation", account)
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
    templates = {name: name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    project = getattr(journey, "project", None)
    ours = project if journey.options.product is None and account == "data-science" else None
    if ours is not None:
        templates[ours.stack] = "project"
    for stack, template in templates.items():
        for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
            if read := READERS.get(resource["ResourceType"]):
                yield from read(_Place(journey, account, template, resource))
    if ours is not None:
        yield from _of_groups(journey, ours.name)


@dataclass(frozen=True)
class _Place:
    """Where to read the policies of a resource: its account and template, and what its stack says of it."""

    journey: Journey
    account: str
    template: str
    resource: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The resource's physical id."""
        return str(self.resource.get("PhysicalResourceId", ""))

    def client(self, service: str) -> Any:
        """Of the account's root."""
        return self.journey.client(service, self.account)

    def attached(self, holder: str, document: Any) -> Policy:
        """The policy of the resource itself, as text or as data."""
        content = json.loads(document) if isinstance(document, str) else document
        return Policy(self.template, holder, self.resource["LogicalResourceId"], kind_of(holder), content)


def _of_role(place: _Place) -> Iterator[Policy]:
    iam = place.client("iam")
    role = iam.get_role(RoleName=place.name)["Role"]
    yield Policy(place.template, role["Arn"], place.name, kind_of(role["Arn"]), role["AssumeRolePolicyDocument"])
    for policy in iam.list_role_policies(RoleName=place.name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=place.name, PolicyName=policy)["PolicyDocument"]
        yield Policy(place.template, role["Arn"], place.name, policy, document)


def _of_holders(place: _Place) -> Iterator[Policy]:
    """A managed policy, once for each role that has it."""
    iam, name = place.client("iam"), place.name
    version = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=name, VersionId=version)["PolicyVersion"]["Document"]
    for holder in iam.list_entities_for_policy(PolicyArn=name)["PolicyRoles"]:
        role = iam.get_role(RoleName=holder["RoleName"])["Role"]["Arn"]
        yield Policy(place.template, role, holder["RoleName"], name, document)


def _of_bucket(place: _Place) -> Iterator[Policy]:
    document = place.client("s3").get_bucket_policy(Bucket=place.name)["Policy"]
    yield place.attached(f"arn:aws:s3:::{place.name}", document)


def _of_key(place: _Place) -> Iterator[Policy]:
    kms = place.client("kms")
    arn = kms.describe_key(KeyId=place.name)["KeyMetadata"]["Arn"]
    yield place.attached(arn, kms.get_key_policy(KeyId=place.name, PolicyName="default")["Policy"])


def _of_topic(place: _Place) -> Iterator[Policy]:
    attributes = place.client("sns").get_topic_attributes(TopicArn=place.name)["Attributes"]
    yield place.attached(place.name, attributes["Policy"])


def _of_bus(place: _Place) -> Iterator[Policy]:
    bus = place.client("events").describe_event_bus(Name=place.name)
    if bus.get("Policy"):
        yield place.attached(bus["Arn"], bus["Policy"])


def _of_groups(journey: Journey, project: str) -> Iterator[Policy]:
    """What a build of the seed lets the stages' accounts do with the project's model packages."""
    sagemaker = journey.client("sagemaker")
    for group in sagemaker.list_model_package_groups(NameContains=project)["ModelPackageGroupSummaryList"]:
        arn, name = group["ModelPackageGroupArn"], group["ModelPackageGroupName"]
        try:
            document = sagemaker.get_model_package_group_policy(ModelPackageGroupName=name)["ResourcePolicy"]
        except ClientError:
            continue  # it has none: every stage is in this account, or nothing was built yet
        yield Policy("build.py", arn, "ModelPackageGroup", kind_of(arn), json.loads(document))


# Type of a resource -> what reads the policies that it has, or is.
READERS: Mapping[str, Callable[[_Place], Iterator[Policy]]] = {
    "AWS::Events::EventBus": _of_bus,
    "AWS::IAM::ManagedPolicy": _of_holders,
    "AWS::IAM::Role": _of_role,
    "AWS::KMS::Key": _of_key,
    "AWS::S3::BucketPolicy": _of_bucket,
    "AWS::SNS::Topic": _of_topic,
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def lacking(problem: str, step: str, refusals: Sequence[Refusal], before: int = 0) -> str:
    """What failed for a missing permission, with the role, the action and what it was for in front; else unchanged.

    Args:
        problem: what the road says of the failure.
        step: of the road.
        refusals: what policies did not let anybody do on the way.
        before: how many of these there were when the step began.
    """
    if not refusals:
        return problem
    # Pipelines begin before the step that follows them, so that all count; those of the step come first. Who goes on
    # after a refusal may be refused again: what it needed first is what it lacks.
    ordered = [*refusals[before:], *refusals[:before]]
    refusal = next((refusal for refusal in ordered if refusal.action in problem), ordered[0])
    where = RESOURCE.search(problem) or ACTION.search(problem)
    role = refusal.principal.rpartition("/")[2]
    return f"{role} lacks {refusal.action} for {where[1] if where else step} on {refusal.resource}: {problem}"
