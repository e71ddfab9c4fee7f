"""What a strict rehearsal shows of permissions: which statements were needed, and which was missing. Grants none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..embedded import Refusal
from .accounts import PREFIX
from .journey import Journey

# Where something failed, in what the road says of it: a resource of a stack, or an action of a pipeline.
RESOURCE = re.compile(r"([A-Za-z0-9]+) \(AWS::[A-Za-z0-9:]+\)")
ACTION = re.compile(r"(\S+/\S+) failed")


def statements(journey: Journey) -> list[dict[str, Any]]:
    """Every statement of the policies of the accounts' templates, with what it let somebody do on this road.

    Returns:
        For each: ``account`` (what for), ``template``, ``role``, ``policy``, ``statement`` (Sid, or its number from 1),
        ``used`` (action -> how often), and ``needed``: whether at least once no other statement would have done.
    """
    noted = {(g.principal, g.policy, g.statement): g for g in journey.aws.grants()}
    found = []
    for account in journey.accounts:
        for template, role, policy, document in _policies(journey, account):
            for number, statement in enumerate(_listed(document["Statement"]), 1):
                sid = str(statement.get("Sid") or number)
                grant = noted.get((role, policy, sid))
                found.append(
                    {
                        "account": account,
                        "template": template,
                        "role": role.rpartition("/")[2],
                        "policy": policy.rpartition("/")[2],
                        "statement": sid,
                        "used": {} if grant is None else grant.actions,
                        "needed": grant is not None and grant.alone > 0,
                    }
                )
    return found


def refusals(journey: Journey) -> list[dict[str, str]]:
    """What policies did not let a role do on this road."""
    return [asdict(refusal) for refusal in journey.aws.refusals()]


def _policies(journey: Journey, account: str) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Template, ARN of a role that has a policy of it, name or ARN of the policy, and the policy."""
    cloudformation, iam = journey.client("cloudformation", account), journey.client("iam", account)
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    names = [stack["StackName"] for page in pages for stack in page["Stacks"]]
    for stack in (name for name in names if name.startswith(PREFIX)):
        for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
            name, template = resource.get("PhysicalResourceId", ""), stack.removeprefix(PREFIX)
            if resource["ResourceType"] == "AWS::IAM::Role":
                role = iam.get_role(RoleName=name)["Role"]["Arn"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                    yield (
                        template,
                        role,
                        policy,
                        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"],
                    )
            if resource["ResourceType"] == "AWS::IAM::ManagedPolicy":
                version = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
                document = iam.get_policy_version(PolicyArn=name, VersionId=version)["PolicyVersion"]["Document"]
                for holder in iam.list_entities_for_policy(PolicyArn=name)["PolicyRoles"]:
                    role = iam.get_role(RoleName=holder["RoleName"])["Role"]["Arn"]
                    yield template, role, name, document


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
