"""Organizations as moto has it, with who may ask what, invitations of accounts, and the role to reach a new account by.

moto makes up the id of a new account, as AWS does. An account whose id is chosen joins by invitation.
"""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.iam.models import iam_backends
from moto.organizations.models import FakeAccount, organizations_backends
from moto.organizations.utils import DEFAULT_RCP_POLICY_ID, DEFAULT_SCP_POLICY_ID

from ..access import managed
from ..wire import AwsError, Request, not_implemented
from .service import Operation, Service

ACCESS_ROLE = "OrganizationAccountAccessRole"
ALPHABET = string.ascii_lowercase + string.digits
# What an account that is not the management account may ask for as well.
FOR_MEMBERS = {"DescribeOrganization", "LeaveOrganization"}
WITHOUT_ORGANIZATION = {"CreateOrganization"}
READS = ("Describe", "List")  # which a delegated administrator may, of whichever service
OPEN_DAYS = 15


@dataclass
class Handshake:
    """An invitation of an account into an organization."""

    id: str
    management: str
    account: str
    organization: str
    partition: str
    requested: datetime
    state: str = "OPEN"

    def described(self) -> dict[str, Any]:
        """As the API answers."""
        start = f"arn:{self.partition}:organizations::{self.management}:handshake"
        return {
            "Id": self.id,
            "Arn": f"{start}/{self.organization}/invite/{self.id}",
            "Parties": [
                {"Id": self.organization.removeprefix("o-"), "Type": "ORGANIZATION"},
                {"Id": self.account, "Type": "ACCOUNT"},
            ],
            "State": self.state,
            "RequestedTimestamp": self.requested,
            "ExpirationTimestamp": self.requested + timedelta(days=OPEN_DAYS),
            "Action": "INVITE",
        }


def service() -> Service:
    """Organizations, with invitations of its own for each server."""
    one_at_a_time = threading.Lock()  # that the newest account is the one just made

    @contextmanager
    def guard(request: Request) -> Iterator[None]:
        if request.operation not in FOR_MEMBERS | WITHOUT_ORGANIZATION:
            _management_backend(request)
            if (
                request.caller.account in organizations_backends.master_accounts
            ):  # its delegated administrator, who reads
                management, _ = organizations_backends.master_accounts[request.caller.account]
                request.caller = replace(request.caller, account=management)
        if request.operation != "CreateAccount":
            yield
            return
        with one_at_a_time:
            yield
            _add_access_role(request)

    return Service(name="organizations", operations=Invitations().operations, guard=guard)


class Invitations:
    """The operations on handshakes, which moto lacks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handshakes: dict[str, Handshake] = {}
        self.operations: dict[str, Operation] = {
            "AcceptHandshake": self._accept,
            "DeclineHandshake": self._decline,
            "DescribeHandshake": self._describe,
            "InviteAccountToOrganization": self._invite,
            "ListHandshakesForAccount": self._list,
        }

    def _invite(self, request: Request) -> object:
        backend = _management_backend(request)
        target = request.parameters()["Target"]
        if target["Type"] != "ACCOUNT":
            raise not_implemented("organizations", "InviteAccountToOrganization", "It invites by account id alone.")
        account = str(target["Id"])
        if account == request.caller.account or account in organizations_backends.master_accounts:
            raise AwsError("DuplicateAccountException", "That account is already present in your organization.")
        with self._lock:
            identifier = "h-" + "".join(secrets.choice(ALPHABET) for _ in range(10))
            made = Handshake(
                identifier,
                request.caller.account,
                account,
                backend.org.id,
                request.partition,
                datetime.now(UTC).replace(microsecond=0),
            )
            self._handshakes[identifier] = made
        return {"Handshake": made.described()}

    def _describe(self, request: Request) -> object:
        return {"Handshake": self._named(request).described()}

    def _list(self, request: Request) -> object:
        mine = [h.described() for h in list(self._handshakes.values()) if h.account == request.caller.account]
        return {"Handshakes": mine}

    def _decline(self, request: Request) -> object:
        with self._lock:
            handshake = self._open(request)
            handshake.state = "DECLINED"
        return {"Handshake": handshake.described()}

    def _accept(self, request: Request) -> object:
        with self._lock:
            handshake = self._open(request)
            if _organization_of(handshake.account, request.partition) is not None:
                raise AwsError("HandshakeConstraintViolationException", "The account is already in an organization.")
            _join(handshake)
            handshake.state = "ACCEPTED"
        return {"Handshake": handshake.described()}

    def _named(self, request: Request) -> Handshake:
        found = self._handshakes.get(str(request.parameters()["HandshakeId"]))
        if found is None or request.caller.account not in {found.account, found.management}:
            raise AwsError(
                "HandshakeNotFoundException", "We can't find a handshake with the HandshakeId you specified."
            )
        return found

    def _open(self, request: Request) -> Handshake:
        """The handshake, if it is the caller's to answer and has not been answered."""
        found = self._named(request)
        if request.caller.account != found.account:
            raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")
        if found.state != "OPEN":
            raise AwsError("InvalidHandshakeTransitionException", f"The handshake is {found.state}.")
        return found


def _join(handshake: Handshake) -> None:
    """Makes an account that exists a member; it gets no role of the organization, as on AWS."""
    backend: Any = organizations_backends[handshake.management][handshake.partition]
    account = FakeAccount(backend.org, AccountName=handshake.account, Email=f"{handshake.account}@example.com")
    account.id, account.joined_method = handshake.account, "INVITED"
    backend.accounts.append(account)
    for policy in (DEFAULT_SCP_POLICY_ID, DEFAULT_RCP_POLICY_ID):
        backend.attach_policy(PolicyId=policy, TargetId=account.id)
    organizations_backends.master_accounts[account.id] = (handshake.management, handshake.partition)


def _organization_of(account: str, partition: str) -> Any:
    management, where = organizations_backends.master_accounts.get(account, (account, partition))
    return organizations_backends[management][where].org


def _management_backend(request: Request) -> Any:
    """moto's state of the organization, for its management account; to read it, for a delegated administrator too.

    Raises:
        AwsError: ``AWSOrganizationsNotInUseException`` or ``AccessDeniedException``.
    """
    account = request.caller.account
    if _organization_of(account, request.partition) is None:
        raise AwsError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    if account in organizations_backends.master_accounts:
        management, partition = organizations_backends.master_accounts[account]
        administrators = organizations_backends[management][partition].admins
        if any(administrator.account.id == account for administrator in administrators):
            if request.operation.startswith(READS):
                return organizations_backends[management][partition]
            why = "A delegated administrator reads here, and changes nothing."
            raise not_implemented("organizations", request.operation, why)
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")
    return organizations_backends[account][request.partition]


def _add_access_role(request: Request) -> None:
    """Gives the newest account the role by which the management account reaches it; moto's has no permissions."""
    given = request.parameters()
    name = given.get("RoleName") or ACCESS_ROLE
    account = organizations_backends[request.caller.account][request.partition].accounts[-1].id
    backend = iam_backends[account][request.partition]
    if not any(role.name == name for role in list(backend.get_roles())):
        principal = {"AWS": f"arn:{request.partition}:iam::{request.caller.account}:root"}
        statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        backend.create_role(name, trust, "/", None, "", [], "3600")
    administrator = f"arn:{request.partition}:iam::aws:policy/AdministratorAccess"
    managed.bring(administrator, account, request.partition)
    backend.attach_role_policy(administrator, name)
