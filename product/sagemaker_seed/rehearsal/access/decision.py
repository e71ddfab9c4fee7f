"""Puts what a caller's policies say together with what the resource's policy says, as IAM does. Asks for neither.

Within an account either is enough; across accounts it takes both; of a KMS key the key's own policy has to let the
account in before anybody's policies count. Whatever lets something happen is noted, statement by statement, with
whether it would have happened without that statement. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from dataclasses import dataclass

from ...policies import NOTHING, Asked, Verdict
from ..wire import AwsError, Request
from .identity import Identity, Opinion, not_evaluated

# How each protocol says that a caller may not: code and HTTP status.
CODES = {
    "json": ("AccessDeniedException", 400),
    "rest-json": ("AccessDeniedException", 403),
    "query": ("AccessDenied", 403),
    "rest-xml": ("AccessDenied", 403),
    "ec2": ("UnauthorizedOperation", 403),
}
CODES_OF_SERVICE = {"sns": ("AuthorizationError", 403)}


@dataclass(frozen=True)
class Said:
    """What the policy of a resource says of a request; ``holder`` is the ARN of the resource that has it."""

    holder: str
    verdict: Verdict


UNASKED = Said("", NOTHING)


def refusal(
    identity: Identity, asked: Asked, *, own: bool, resource: Said = UNASKED, through_resource: bool = False
) -> str:
    """Why the request is refused, in AWS's words; empty if it is allowed. Notes what allowed it, or that nothing did.

    Args:
        identity: the caller's policies.
        asked: the request.
        own: whether the resource belongs to the caller's account.
        resource: what the resource's policy says.
        through_resource: whether the resource's policy must let the account in even within it, as a KMS key's does.
    """
    opinion, verdict, grants = identity.says(asked), resource.verdict, identity.grants
    reason = _reason(opinion, asked, own, verdict, through_resource)
    if reason:
        grants.refuse(asked.arn, asked.action, asked.resource, reason)
        return reason
    if not own or not verdict.direct:
        grants.note(asked.arn, opinion.granted_by, asked.action)
    for statement in verdict.statements if through_resource or not own else verdict.directly:
        left = _reason(opinion, asked, own, verdict.without(statement), through_resource)
        grants.note_attached(resource.holder, statement, asked.action, alone=bool(left))
    return ""


def _reason(opinion: Opinion, asked: Asked, own: bool, resource: Verdict, through_resource: bool) -> str:
    if opinion.denied:
        return opinion.reason
    if resource.denied:
        return f"with an explicit deny in a resource-based policy{not_evaluated(resource.unknown)}"
    if own and resource.direct and not opinion.bounded:
        return ""
    if not resource.allowed and (through_resource or not own):
        return f"because no resource-based policy allows the {asked.action} action{not_evaluated(resource.unknown)}"
    return opinion.reason


def denied(request: Request, what: str) -> AwsError:
    """The service's own error for a caller who may not, with this message."""
    code, status = CODES_OF_SERVICE.get(request.service, CODES[request.protocol])
    return AwsError(code, what, status)


def message(shown: str, action: str, resource: str, reason: str) -> str:
    """AWS's sentence for a refusal."""
    return f"User: {shown} is not authorized to perform: {action} on resource: {resource} {reason}".rstrip()
