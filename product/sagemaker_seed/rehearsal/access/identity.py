"""What a caller's own policies say: those of a role's session or of a user, as moto keeps them. Knows no resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moto.iam.models import iam_backends

from ...policies import Asked, Value, evaluate_identity, parsed
from ..wire import Caller, Request
from .grants import Grants
from .managed import document_of


@dataclass(frozen=True)
class Document:
    """One policy of somebody: its name and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Opinion:
    """What somebody's own policies say of a request.

    Attributes:
        allowed: they allow it, and none of them denies it.
        denied: one of them denies it.
        bounded: a permissions boundary or a session policy does not allow it, which no resource's policy makes good.
        reason: in AWS's words, why it is not allowed.
        granted_by: policy and statement that allow it.
    """

    allowed: bool
    denied: bool
    bounded: bool
    reason: str
    granted_by: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Identity:
    """A role's session or a user, with every policy that bounds what they may do.

    Attributes:
        shown: the ARN that error messages name: a session's own.
        policies: any of them may allow.
        limits: each of them must allow as well; by the word that AWS has for its kind.
        context: condition keys that are about the caller.
        grants: where to note what lets them do something.
    """

    shown: str
    policies: tuple[Document, ...]
    limits: tuple[tuple[str, Document], ...]
    context: Mapping[str, Value]
    grants: Grants

    def says(self, asked: Asked) -> Opinion:
        """What these policies say of a request."""
        unknown: list[str] = []
        granted: list[tuple[str, str]] = []
        for document in self.policies:
            verdict = evaluate_identity(parsed(document.text), asked)
            unknown += verdict.unknown
            if verdict.denied:
                return self._denial("an identity-based policy", verdict.unknown)
            granted += [(document.name, statement) for statement in verdict.statements]
        for kind, document in self.limits:
            verdict = evaluate_identity(parsed(document.text), asked)
            if verdict.denied:
                return self._denial(f"a {kind}", verdict.unknown)
            if not verdict.allowed:
                reason = _lacking(kind, asked.action, [*unknown, *verdict.unknown])
                return Opinion(False, False, True, reason, ())
        reason = "" if granted else _lacking("identity-based policy", asked.action, unknown)
        return Opinion(bool(granted), False, False, reason, tuple(granted))

    @staticmethod
    def _denial(where: str, unknown: tuple[str, ...]) -> Opinion:
        return Opinion(False, True, True, f"with an explicit deny in {where}{not_evaluated(unknown)}", ())


def _lacking(kind: str, action: str, unknown: list[str]) -> str:
    return f"because no {kind} allows the {action} action{not_evaluated(unknown)}"


def not_evaluated(keys: tuple[str, ...] | list[str]) -> str:
    """What to add to a message when conditions had to be left out of a judgement."""
    return f" (conditions not evaluated here: {', '.join(sorted(set(keys)))})" if keys else ""


def identified(request: Request, grants: Grants) -> Caller:
    """The caller of ``request``, with what their own policies say; as it is for an account's root or nobody."""
    caller = request.caller
    if caller.is_account or not caller.account:
        return caller
    backend = iam_backends[caller.account][request.partition]
    kind, _, name = caller.arn.rpartition(":")[2].partition("/")
    name = name.rpartition("/")[2]
    found = _role(backend, caller.arn) if kind == "role" else backend.users.get(name)
    session = _session(request) if kind == "role" else None
    documents = tuple(_documents(backend, found)) if found is not None else ()
    limits = []
    if boundary := getattr(found, "permissions_boundary_arn", None):
        limits.append(("permissions boundary", _managed(backend, boundary)))
    if session is not None and session.policy:
        limits.append(("session policy", Document("session policy", session.policy)))
    shown = session.arn if session is not None else caller.arn
    context: dict[str, Value] = {
        "aws:principalarn": caller.arn,
        "aws:principalaccount": caller.account,
        "aws:principaltype": "AssumedRole" if kind == "role" else "User",
        "aws:principalisawsservice": "false",
        "aws:securetransport": "true",  # that it is reached over plain HTTP is no property of what is rehearsed
        **{f"aws:principaltag/{tag['Key']}".lower(): tag["Value"] for tag in getattr(found, "tags", None) or []},
        **({"aws:userid": session.user_id} if session is not None else {}),
        **({"aws:username": name} if kind == "user" else {}),
        **_organization(caller.account),
    }
    identity = Identity(shown, documents, tuple(limits), context, grants)
    return replace(caller, session=shown if session is not None else "", identity=identity)


def _role(backend: Any, arn: str) -> Any:
    return next((role for role in list(backend.roles.values()) if role.arn == arn), None)


def _session(request: Request) -> Any:
    from moto.sts.models import sts_backends

    backend = sts_backends[request.caller.account][request.partition]
    return backend.get_assumed_role_from_access_key(request.access_key)


def _documents(backend: Any, holder: Any) -> Iterator[Document]:
    """Inline and managed policies of a role or a user, and of a user's groups."""
    inline = holder.policies
    for name, text in dict(inline).items():
        yield Document(name, text)
    for policy in list(holder.managed_policies.values()):
        yield _managed(backend, policy.arn)
    if hasattr(holder, "password"):  # a user, as moto has it
        for group in backend.get_groups_for_user(holder.name):
            yield from _documents(backend, group)


def _managed(backend: Any, arn: str) -> Document:
    """A managed policy's version in force; one that is not there allows nothing."""
    policy = backend.managed_policies.get(arn)
    if policy is None:
        return Document(arn, document_of(arn) or "{}")
    version = next(version for version in policy.versions if version.version_id == policy.default_version_id)
    return Document(arn, version.document)


def _organization(account: str) -> dict[str, Value]:
    from moto.organizations.models import organizations_backends

    management, partition = organizations_backends.master_accounts.get(account, (account, "aws"))
    organization = organizations_backends[management][partition].org
    return {} if organization is None else {"aws:principalorgid": organization.id}
