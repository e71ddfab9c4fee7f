"""STS as moto has it, except that a role must exist and trust whoever assumes it, and that account keys are its root's.

The root of an account stands for its administrator here: AWS's own root can assume no role, and this one can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.iam.models import iam_backends

from ...policies import Asked, Verdict
from ..access import decision, trust
from ..access.grants import Grants
from ..access.identity import not_evaluated
from ..ground import Actor
from ..wire import AwsError, Request, not_implemented
from .service import Operation, Service

ROLE_ARN = re.compile(r"arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):role/.+")
# A region of each partition, because moto tells the partition of a session by its region.
REGIONS = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
# What moto takes in and forgets, so that a session would have other rights than it was asked for.
FORGOTTEN = ("PolicyArns", "ProvidedContexts", "SourceIdentity", "Tags", "TransitiveTagKeys")
# moto answers these with keys that nobody knows, or asks no identity provider.
REFUSED = ("AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetFederationToken", "GetSessionToken")


def service() -> Service:
    """STS; it keeps no state of its own."""
    operations: dict[str, Operation] = {"GetCallerIdentity": _caller_identity, **dict.fromkeys(REFUSED, _refuse)}
    return Service(name="sts", operations=operations, guard=_guard)


def role_exists(arn: str) -> bool:
    """Whether there is a role of this ARN, in whichever account the ARN names."""
    return _role(arn) is not None


def _role(arn: str) -> Any:
    named = ROLE_ARN.fullmatch(arn)
    if named is None:
        return None
    roles = iam_backends[named["account"]][named["partition"]].get_roles()
    return next((role for role in list(roles) if role.arn == arn), None)


def assumed_by_service(arn: str, service: str, session: str, source: str = "", grants: Grants | None = None) -> Actor:
    """The session of a role that the service of this principal assumes.

    Args:
        arn: the role's.
        service: such as ``codebuild.amazonaws.com``.
        session: name of the session.
        source: the ARN of the resource that the service acts for, which a trust policy may ask about.
        grants: where to note what let it, or that nothing did; None for nowhere.

    Raises:
        AwsError: ``AccessDenied``, there is no such role, or it does not trust the service.
    """
    from moto.sts.models import sts_backends

    role = _role(arn)
    if role is None:
        raise _denied(service, arn, "(there is no such role)")
    verdict = trust.of_service(role, service, source)
    if verdict.denied or not verdict.allowed:
        if grants is not None:
            grants.refuse(service, trust.ASSUME, arn, _untrusted(verdict))
        raise _denied(service, arn, _untrusted(verdict))
    if grants is not None:
        for statement in verdict.statements:
            grants.note_attached(arn, statement, trust.ASSUME, alone=len(verdict.statements) == 1)
    backend = sts_backends[role.account_id][role.partition]
    assumed = backend.assume_role(
        region_name=REGIONS.get(role.partition, "us-east-1"),
        role_session_name=session,
        role_arn=arn,
        policy="",
        duration=3600,
        external_id="",
    )
    return Actor(role.account_id, assumed.arn, assumed.access_key_id, assumed.session_token)


def _untrusted(verdict: Verdict) -> str:
    what = "denies it" if verdict.denied else "does not allow it"
    return f"(the role's trust policy {what}{not_evaluated(verdict.unknown)})"


def _denied(who: str, role: str, why: str) -> AwsError:
    return AwsError(
        "AccessDenied", f"{who} is not authorized to perform: sts:AssumeRole on resource: {role} {why}", 403
    )


def _refuse(request: Request) -> object:
    raise not_implemented("sts", request.operation)


def _caller_identity(request: Request) -> dict[str, str]:
    caller = request.caller
    if not caller.is_account:
        return _issued_identity(request)
    return {"Account": caller.account, "Arn": caller.arn, "UserId": caller.account}


def _issued_identity(request: Request) -> dict[str, str]:
    from moto.sts.models import sts_backends

    backend = sts_backends[request.caller.account][request.partition]
    user, arn, account = backend.get_caller_identity(request.access_key, request.region)
    return {"Account": account, "Arn": arn, "UserId": user}


@contextmanager
def _guard(request: Request) -> Iterator[None]:
    if request.operation == "AssumeRole":
        _check(request, request.parameters())
    yield


def _check(request: Request, given: dict[str, Any]) -> None:
    """Refuses to give the session of a role that is not there, or not for this caller.

    Raises:
        AwsError: ``AccessDenied``; or what the parameters lack.
    """
    for name in FORGOTTEN:
        if given.get(name):
            raise not_implemented("sts", f"AssumeRole with {name}")
    arn, caller = str(given.get("RoleArn", "")), request.caller
    who = f"User: {caller.session or caller.arn}"
    role = _role(arn)
    if role is None:
        raise _denied(who, arn, "(there is no such role)")
    if int(given.get("DurationSeconds") or 0) > int(role.max_session_duration or 3600):
        longest = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise AwsError("ValidationError", longest)
    asked = trust.asked_by_caller(role, caller, given)
    verdict = trust.of_caller(role, asked)
    if verdict.denied or not verdict.allowed:
        if caller.identity is not None:
            caller.identity.grants.refuse(caller.arn, trust.ASSUME, arn, _untrusted(verdict))
        raise _denied(who, arn, _untrusted(verdict))
    if caller.identity is not None:
        _check_identity(request, role, asked, verdict)


def _check_identity(request: Request, role: Any, asked: Asked, verdict: Verdict) -> None:
    caller = request.caller
    if caller.identity is None:
        return
    own = caller.account == role.account_id
    if reason := decision.refusal(caller.identity, asked, own=own, resource=decision.Said(role.arn, verdict)):
        raise decision.denied(request, decision.message(caller.identity.shown, asked.action, asked.resource, reason))
