"""IAM as moto has it, with what it takes in unread: trust policies, quotas of policies, AWS's own managed policies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import iam_backends
from moto.iam.policy_validation import IAMTrustPolicyDocumentValidator

from ..access import managed, principals
from ..wire import AwsError, Request
from .service import Service

Given = Mapping[str, Any]
BLANK = re.compile(r"\s")
# Default quotas, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html; blanks do not count.
TRUST_SIZE, INLINE_SIZE, MANAGED_SIZE, MANAGED_COUNT = 2048, 10240, 6144, 10


def service() -> Service:
    """IAM; it keeps no state of its own."""
    return Service(name="iam", operations={}, guard=_guard)


@contextmanager
def _guard(request: Request) -> Iterator[None]:
    checks = CHECKS.get(request.operation, ())
    given = request.parameters() if checks else {}
    for check in checks:
        check(request, given)
    yield


def _size(text: str) -> int:
    return len(BLANK.sub("", text))


def _exceeded(message: str) -> AwsError:
    return AwsError("LimitExceeded", message, 409)


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", message)


def _trust(_request: Request, given: Given) -> None:
    """A role's trust policy: of the form of one, naming nobody who is not there."""
    text = str(given.get("AssumeRolePolicyDocument", given.get("PolicyDocument", "")))
    try:
        IAMTrustPolicyDocumentValidator(_with_version(text)).validate()
    except MalformedPolicyDocument as error:
        raise _malformed(error.message) from None
    statements = json.loads(text).get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    if not statements:
        raise _malformed("Syntax errors in policy.")
    if any("Principal" not in s and "NotPrincipal" not in s for s in statements):
        raise _malformed("AssumeRole policy must contain principals")
    if wrong := principals.invalid(json.loads(text)):
        raise _malformed(f"Invalid principal in policy: {wrong}")
    if _size(text) > TRUST_SIZE:
        raise _exceeded(f"Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE}")


def _with_version(text: str) -> str:
    """A trust policy may be of the first version of the language, which is also what it is when it says none."""
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if isinstance(document, dict) and document.get("Version", "2008-10-17") == "2008-10-17":
        return json.dumps({**document, "Version": "2012-10-17"})
    return text


def _boundary(request: Request, given: Given) -> None:
    """A permissions boundary is a managed policy that is there."""
    arn = str(given.get("PermissionsBoundary") or "")
    if not arn:
        return
    managed.bring(arn, request.caller.account, request.partition)
    if arn not in iam_backends[request.caller.account][request.partition].managed_policies:
        raise AwsError("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.", 404)


def _inline(request: Request, given: Given) -> None:
    role, name = _role(request, given), str(given.get("PolicyName"))
    if role is None:
        return
    others = sum(_size(text) for other, text in role.policies.items() if other != name)
    if others + _size(str(given.get("PolicyDocument", ""))) > INLINE_SIZE:
        raise _exceeded(f"Maximum policy size of {INLINE_SIZE} bytes exceeded for role {role.name}")


def _managed_size(_request: Request, given: Given) -> None:
    if _size(str(given.get("PolicyDocument", ""))) > MANAGED_SIZE:
        raise _exceeded(f"Cannot exceed quota for PolicySize: {MANAGED_SIZE}")


def _attached(request: Request, given: Given) -> None:
    role, arn = _role(request, given), given.get("PolicyArn")
    if role is not None and arn not in role.managed_policies and len(role.managed_policies) >= MANAGED_COUNT:
        raise _exceeded(f"Cannot exceed quota for PoliciesPerRole: {MANAGED_COUNT}")


def _aws_policy(request: Request, given: Given) -> None:
    """AWS's own managed policies are in every account; moto has one from when it is first named."""
    managed.bring(str(given.get("PolicyArn", "")), request.caller.account, request.partition)


def _role(request: Request, given: Given) -> Any:
    """moto's role; None if there is none, which is moto's to say."""
    roles = iam_backends[request.caller.account][request.partition].get_roles()
    return next((role for role in list(roles) if role.name == given.get("RoleName")), None)


CHECKS: Mapping[str, tuple[Callable[[Request, Given], None], ...]] = {
    "AttachGroupPolicy": (_aws_policy,),
    "AttachRolePolicy": (_aws_policy, _attached),
    "AttachUserPolicy": (_aws_policy,),
    "CreatePolicy": (_managed_size,),
    "CreatePolicyVersion": (_managed_size,),
    "CreateRole": (_trust, _boundary),
    "GetPolicy": (_aws_policy,),
    "GetPolicyVersion": (_aws_policy,),
    "ListPolicyVersions": (_aws_policy,),
    "PutRolePermissionsBoundary": (_boundary,),
    "PutRolePolicy": (_inline,),
    "PutUserPermissionsBoundary": (_boundary,),
    "UpdateAssumeRolePolicy": (_trust,),
}
