"""STS as moto has it, except that an account's credentials are its root's, and that a role must exist to be assumed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from moto.iam.models import iam_backends

from ..ground import Actor
from ..wire import AwsError, Request
from .service import Service

ROLE_ARN = re.compile(r"arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):role/.+")


def service() -> Service:
    """STS; it keeps no state of its own."""
    return Service(name="sts", operations={"GetCallerIdentity": _caller_identity}, guard=_guard)


def role_exists(arn: str) -> bool:
    """Whether there is a role of this ARN, in whichever account the ARN names."""
    named = ROLE_ARN.fullmatch(arn)
    return named is not None and any(
        r.arn == arn for r in iam_backends[named["account"]][named["partition"]].get_roles()
    )


def assumed_by_service(arn: str, service: str, session: str) -> Actor:
    """The session of a role that the service of this principal assumes.

    Raises:
        AwsError: ``AccessDenied``, there is no such role.
    """
    from moto.sts.models import sts_backends

    named = ROLE_ARN.fullmatch(arn)
    if named is None or not role_exists(arn):
        act = f"sts:AssumeRole on resource: {arn} (there is no such role)"
        raise AwsError("AccessDenied", f"{service} is not authorized to perform: {act}", 403)
    backend = sts_backends[named["account"]][named["partition"]]
    assumed = backend.assume_role(
        region_name="us-east-1", role_session_name=session, role_arn=arn, policy="", duration=3600, external_id=""
    )
    return Actor(named["account"], assumed.arn, assumed.access_key_id, assumed.session_token)


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
        role = str(request.parameters().get("RoleArn", ""))
        if not role_exists(role):
            act = f"sts:AssumeRole on resource: {role} (there is no such role)"
            raise AwsError("AccessDenied", f"{request.caller.arn} is not authorized to perform: {act}", 403)
    yield
