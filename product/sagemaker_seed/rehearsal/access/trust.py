"""What a role's trust policy says of who wants to assume it: a service in its own name, or a caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...policies import Asked, Value, Verdict, evaluate, parsed
from ..wire import Caller
from .context import UNDERSTOOD

ASSUME = "sts:AssumeRole"
# These are documented to say for whom they act. Whether others do is not known, so that a trust must hold either way.
SAYS_FOR_WHOM = {"codebuild.amazonaws.com", "events.amazonaws.com"}


def of_service(role: Any, service: str, source: str) -> Verdict:
    """Whether the trust of moto's ``role`` lets the service of this principal assume it.

    Args:
        role: of moto.
        service: such as ``codebuild.amazonaws.com``.
        source: the ARN of the resource that the service acts for; empty if the service said nothing of it.
    """
    named = source.split(":")[4] if source.count(":") >= 5 else ""
    sent: dict[str, Value] = {"aws:sourceaccount": named or str(role.account_id)}
    if source:
        sent["aws:sourcearn"] = source
    contexts = [sent] if source or service in SAYS_FOR_WHOM else [sent, {}]
    document = parsed(role.assume_role_policy_document)
    verdicts = [
        evaluate(
            document, Asked("", "", ASSUME, "", {**c, "aws:principalisawsservice": "true"}, UNDERSTOOD, "", service)
        )
        for c in contexts
    ]
    return next((verdict for verdict in verdicts if verdict.denied or not verdict.allowed), verdicts[0])


def asked_by_caller(role: Any, caller: Caller, parameters: Mapping[str, Any]) -> Asked:
    """The question whether ``caller`` may assume ``role``, with these parameters of AssumeRole."""
    known: dict[str, Value] = {
        "aws:principalarn": caller.arn,
        "aws:principalaccount": caller.account,
        "aws:securetransport": "true",
        **(caller.identity.context if caller.identity is not None else {}),
        "sts:rolesessionname": str(parameters.get("RoleSessionName", "")),
        **{f"aws:resourcetag/{tag['Key']}".lower(): tag["Value"] for tag in role.tags or []},
    }
    if parameters.get("ExternalId"):
        known["sts:externalid"] = str(parameters["ExternalId"])
    return Asked(caller.account, caller.arn, ASSUME, role.arn, known, UNDERSTOOD, caller.session)


def of_caller(role: Any, asked: Asked) -> Verdict:
    """What the trust of moto's ``role`` says of the question of :func:`asked_by_caller`."""
    own = Asked(asked.account, asked.arn, asked.action, "", asked.context, asked.absent, asked.session)
    return evaluate(parsed(role.assume_role_policy_document), own)
