"""Clients for several accounts: which one a call goes to, whose it really is, and what an error there says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput, SeedError
from ..publish.clients import readable_errors
from .settings import Account

_ASK = "the identity lacks a permission; deploying accounts takes an administrator's, see the README"
_AGAIN = "what was done stays done; mend it and run the same command again"


@dataclass(frozen=True)
class Place:
    """An account and one of its regions."""

    account: Account
    region: str

    def __str__(self) -> str:
        return f"{self.account} {self.region}"


# A client of a service, by botocore's name, in a place.
Clients = Callable[[str, Place], Any]


def by_profile() -> Clients:
    """Clients with the credentials of the profiles that the accounts name, or the current ones."""
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})
    sessions: dict[str | None, Any] = {}

    def client(service: str, place: Place) -> Any:
        profile = place.account.profile
        try:
            session = sessions.setdefault(profile, botocore.session.Session(profile=profile))
            return session.create_client(service, region_name=place.region, config=config)
        except ProfileNotFound as error:
            raise BadInput(
                f"{place.account}: profile: {error}; `aws configure list-profiles` shows those there are"
            ) from None

    return client


@contextmanager
def readable(place: Place) -> Iterator[None]:
    """Turns every failure of a boto3 call into a ``SeedError`` of one line that begins with the place."""
    try:
        with readable_errors(denied=_ASK, otherwise=_AGAIN):
            yield
    except BadInput:
        raise
    except SeedError as error:
        said = str(error)
        raise SeedError(said if said.startswith(str(place.account)) else f"{place}: {said}") from None


def check_identities(clients: Clients, places: Iterable[Place]) -> None:
    """Makes sure that the credentials for each account are that account's.

    Raises:
        BadInput: some are another's; each is named.
    """
    problems = []
    for place in places:
        with readable(place):
            found = clients("sts", place).get_caller_identity()["Account"]
        if found != place.account.id:
            whose = f"profile {place.account.profile}" if place.account.profile else "the current credentials"
            problems.append(f"{place.account}: {whose} belongs to account {found}; give the profile of this one")
    if problems:
        raise BadInput(*problems)
