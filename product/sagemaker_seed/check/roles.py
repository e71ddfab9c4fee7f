"""A role with its policies, as IAM tells them, and what they say of an act. Reads one role; finds nothing by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote

from ..policies import Asked, Value, Verdict, evaluate, evaluate_identity

# Condition keys that a request either carries, and then the context says so, or does not.
UNDERSTOOD = (
    "aws:calledvia",
    "aws:principaltag/",
    "aws:requesttag/",
    "aws:resourcetag/",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:tagkeys",
    "application-autoscaling:service-namespace",
    "iam:awsservicename",
    "iam:passedtoservice",
    "kms:encryptioncontext:",
    "kms:grantisforawsresource",
    "kms:requestalias",
    "kms:resourcealiases",
    "kms:viaservice",
    "s3:existingobjecttag/",
    "sagemaker:modelapprovalstatus",
    "sts:externalid",
)


class Answer(Enum):
    """Whether a role may do something; ``UNSURE`` where a condition is beyond what can be known from here."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Role:
    """A role.

    Attributes:
        trust: its trust policy.
        policies: inline and managed ones.
        boundary: its permissions boundary, if it has one.
    """

    arn: str
    trust: Mapping[str, Any]
    policies: tuple[Mapping[str, Any], ...]
    boundary: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its name without its path."""
        return self.arn.rpartition("/")[2]

    @property
    def account(self) -> str:
        """Of twelve digits."""
        return self.arn.split(":")[4]


class Managed:
    """The managed policies that roles share, each read once, whoever asks first."""

    def __init__(self) -> None:
        self._lock, self._read = threading.Lock(), dict[str, Mapping[str, Any]]()

    def __call__(self, iam: Any, arn: str) -> Mapping[str, Any]:
        """The default version of a policy.

        Raises:
            ClientError: IAM refuses to tell.
        """
        with self._lock:
            if arn not in self._read:
                version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
                self._read[arn] = _document(found)
            return self._read[arn]


def read(iam: Any, arn: str, managed: Managed) -> Role | None:
    """The role of this ARN; None if there is none, or one of another path.

    Args:
        managed: what was read for other roles.

    Raises:
        ClientError: IAM refuses to tell.
    """
    name = arn.rpartition("/")[2]
    try:
        found = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    if found["Arn"] != arn:
        return None
    documents = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
        for policy in page["PolicyNames"]
    ]
    documents += [
        managed(iam, policy["PolicyArn"])
        for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        for policy in page["AttachedPolicies"]
    ]
    boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return Role(
        arn,
        _document(found["AssumeRolePolicyDocument"]),
        tuple(map(_document, documents)),
        managed(iam, boundary) if boundary else None,
    )


def _document(value: Any) -> Mapping[str, Any]:
    content = json.loads(unquote(value)) if isinstance(value, str) else value
    return content if isinstance(content, dict) else {}


def asked(role: Role, action: str, resource: str, context: Mapping[str, Value], region: str = "") -> Asked:
    """The question whether ``role`` may do ``action``; with an empty ``resource``, on anything at all."""
    known: dict[str, Value] = {
        "aws:principalarn": role.arn,
        "aws:principalaccount": role.account,
        "aws:principaltype": "AssumedRole",
        "aws:securetransport": "true",
        "aws:requestedregion": region,
        **{key.lower(): value for key, value in context.items()},
    }
    return Asked(role.account, role.arn, action, resource, known, UNDERSTOOD)


def may(role: Role, action: str, resource: str, context: Mapping[str, Value], region: str = "") -> Answer:
    """Whether the role's own policies allow an act, within its boundary."""
    question = asked(role, action, resource, context, region)
    own = [evaluate_identity(document, question) for document in role.policies]
    answers = [_together(own)]
    if role.boundary is not None:
        answers.append(_together([evaluate_identity(role.boundary, question)]))
    return next((a for a in (Answer.NO, Answer.UNSURE) if a in answers), Answer.YES)


def _together(verdicts: list[Verdict]) -> Answer:
    if any(verdict.denied and not verdict.unknown for verdict in verdicts):
        return Answer.NO
    if any(verdict.denied for verdict in verdicts):
        return Answer.UNSURE
    if any(verdict.allowed for verdict in verdicts):
        return Answer.YES
    return Answer.UNSURE if any(verdict.unknown for verdict in verdicts) else Answer.NO


def trusts_service(role: Role, service: str) -> Answer:
    """Whether a service may assume the role for its own account."""
    context: dict[str, Value] = {"aws:sourceaccount": role.account, "aws:principalisawsservice": "true"}
    question = Asked("", "", "sts:AssumeRole", "", context, ("sts:externalid",), "", service)
    return _together([evaluate(role.trust, question)])


def trusts_role(role: Role, caller: str, external_id: str = "") -> Answer:
    """Whether another role may assume this one, saying this external id."""
    account = caller.split(":")[4]
    context: dict[str, Value] = {"aws:principalarn": caller, "aws:principalaccount": account}
    if external_id:
        context["sts:externalid"] = external_id
    question = Asked(account, caller, "sts:AssumeRole", "", context, ("sts:externalid",))
    return _together([evaluate(role.trust, question)])
