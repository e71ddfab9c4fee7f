"""Lets an operation happen, or not: asks the tables what it needs, and policies whether the caller has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...policies import Asked, Value, evaluate, parsed
from ..wire import AwsError, Caller, Request
from . import attached, context, keys
from .decision import UNASKED, Said, denied, message, refusal
from .grants import Grants
from .identity import identified
from .resources import LOOKUPS
from .rules import Need, arns, values
from .tables import BEYOND_SDK, TABLES

# Judged where they are answered, because the policies of resources have a say. None: every operation.
JUDGED_ELSEWHERE = {
    "codecommit": {"GitPull", "GitPush", "UploadArchive"},
    "s3": None,
    "sts": {"AssumeRole"},
}


class Gate:
    """One per embedded AWS.

    Args:
        strict: whether a role's session or a user needs to be allowed by policies; the root of an account never does.
        client: of a service, an account and a region, a client that acts as the account's root.
    """

    def __init__(self, *, strict: bool, client: Callable[[str, str, str], Any]) -> None:
        self.strict = strict
        self.grants = Grants()
        # By service; one whose resources have policies that it keeps itself puts in how these are found.
        self.policies: dict[str, attached.Finder] = dict(attached.FINDERS)
        self._client = client

    def check(self, request: Request) -> None:
        """Refuses an operation that its caller's policies do not allow; where the embedded AWS is not strict, none.

        Raises:
            AwsError: the service's own error for it, which names the action and the resource; or one that says that
                the embedded AWS cannot judge this operation.
        """
        if not self._judges(request):
            return
        elsewhere = JUDGED_ELSEWHERE.get(request.service, set())
        if elsewhere is None or request.operation in elsewhere:
            return
        table = TABLES.get(request.service)
        needs = table.needed(request.operation) if table is not None else None
        if table is None or needs is None:
            raise AwsError(
                "NotJudgedByEmbeddedAws",
                f"The embedded AWS is strict, and does not know what {request.service}:{request.operation} needs: "
                f"it cannot judge whether {_shown(request.caller)} may call it.",
            )
        parameters, where = _parameters(request), _where(request)
        given = context.of_request(table, parameters, request.region)
        for need in needs:
            if not need.when or values(parameters, need.when):
                via = {"kms:viaservice": f"{need.via}.{request.region}.amazonaws.com"} if need.via else {}
                for resource in _resources(need, parameters, where):
                    self._judge(request, need.action, resource, {**given, **via}, parameters)
        for passing in table.passes.get(request.operation, ()):
            for role in _found(passing.parameter, parameters, where):
                self._judge_passing(request, role, {**given, "iam:passedtoservice": passing.service})

    def require(self, request: Request, action: str, resource: str, **given: Value) -> None:
        """Refuses what is no operation of the API, such as a push to a repository, if policies do not allow it.

        Args:
            request: who asks.
            action: such as ``codecommit:GitPush``.
            resource: the ARN of what is acted on.
            given: values of condition keys, in lower case.

        Raises:
            AwsError: as in :meth:`check`.
        """
        if self._judges(request):
            self._judge(request, action, resource, {"aws:requestedregion": request.region, **given}, {})

    def _judges(self, request: Request) -> bool:
        """Whether the caller is one whose policies count; from here on the request's caller has them with it."""
        if self.strict and request.caller.identity is None:
            request.caller = identified(request, self.grants)
        return request.caller.identity is not None

    def _judge_passing(self, request: Request, role: str, given: Mapping[str, Value]) -> None:
        if _owner(role) not in {"", request.caller.account}:
            what = message(_shown(request.caller), "iam:PassRole", role, "(cross-account pass role is not allowed)")
            raise denied(request, what)
        self._judge(request, "iam:PassRole", role, given, {})

    def _judge(
        self, request: Request, action: str, resource: str, given: Mapping[str, Value], parameters: Mapping[str, Any]
    ) -> None:
        caller, owner = request.caller, _owner(resource) or request.caller.account
        if caller.identity is None:
            return
        known = {**caller.identity.context, **given, "aws:resourceaccount": owner}
        key = keys.found(resource) if action.startswith("kms:") and ":key/" in resource else None
        if key is not None:
            known |= keys.context(key, caller.account, parameters.get("EncryptionContext") or {})
        asked = Asked(
            caller.account,
            caller.arn,
            action,
            resource,
            context.Context(known, lambda: context.resource_tags(resource, self._reader(resource, request))),
            context.UNDERSTOOD,
            caller.session,
        )
        said = self._attached(resource, asked) if key is None else Said(key.arn, keys.verdict(key, asked))
        # What has no policy of its own is never another account's to open, so that its service does not find it.
        own = said is UNASKED or owner == caller.account
        reason = refusal(caller.identity, asked, own=own, resource=said, through_resource=key is not None)
        if reason:
            raise denied(request, message(_shown(caller), action, resource, reason))

    def _attached(self, resource: str, asked: Asked) -> Said:
        """What the policy of the resource says, or of that which the resource belongs to."""
        finder = self.policies.get(resource.split(":")[2]) if _owner(resource) and "*" not in resource else None
        found = finder(resource) if finder is not None else None
        return UNASKED if found is None else Said(found.holder, evaluate(parsed(found.text or "{}"), asked))

    def _reader(self, resource: str, request: Request) -> Callable[[str], Any]:
        account = _owner(resource) or request.caller.account
        region = resource.split(":")[3] or request.region
        return lambda service: self._client(service, account, region)


def _shown(caller: Caller) -> str:
    return caller.identity.shown if caller.identity is not None else caller.arn


def _owner(resource: str) -> str:
    """The account in an ARN; empty for none in particular."""
    account = resource.split(":")[4] if resource.count(":") >= 5 else ""
    return account if account.isdigit() else ""


def _parameters(request: Request) -> Mapping[str, Any]:
    """The operation's parameters; of one that no SDK has, the JSON object that it comes with."""
    parsed = request.parameters()
    if parsed or request.operation not in BEYOND_SDK.get(request.service, ()):
        return parsed
    content = json.loads(request.body or b"{}")
    return content if isinstance(content, dict) else {}


def _where(request: Request) -> dict[str, str]:
    return {"partition": request.partition, "region": request.region, "account": request.caller.account}


def _resources(need: Need, parameters: Mapping[str, Any], where: Mapping[str, str]) -> Iterator[str]:
    """What the permission is needed on; each once."""
    seen: set[str] = set()
    for form in need.resources:
        for resource in _found(form, parameters, where):
            if resource not in seen:
                seen.add(resource)
                yield resource


def _found(form: str, parameters: Mapping[str, Any], where: Mapping[str, str]) -> list[str]:
    """The ARNs of one form of the tables: by a lookup, of a role at a path, or of a resource."""
    if form.startswith("@"):
        lookup, _, path = form[1:].partition(":")
        return LOOKUPS[lookup](path, parameters, where)
    if ":" not in form and "{" not in form and form != "*":
        return values(parameters, form)
    return list(arns(form, parameters, where))
