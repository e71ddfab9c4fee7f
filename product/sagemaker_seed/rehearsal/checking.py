"""An embedded AWS with the accounts, templates and publication of a seed in it, for a check to look into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..answers import Seed
from ..bundle import Bundle
from ..check import flow
from ..console import Console
from ..publish.flow import publish
from .embedded import EmbeddedAws
from .publishing import bucket_of, clients_of
from .road import accounts
from .road.journey import Journey, Options


@dataclass(frozen=True)
class Ground:
    """What a check is given: the seed bucket, and account ids.

    Attributes:
        accounts: ``home``, and by the stages' places among the launch parameters, such as ``staging`` and ``prod``.
    """

    aws: EmbeddedAws
    accounts: dict[str, str]
    bucket: str
    made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def clients(self, account: str) -> Callable[[str], Any]:
        """Clients by the service's name, each made once."""

        def client(service: str) -> Any:
            key = (account, service)
            if key not in self.made:
                self.made[key] = self.aws.client(service, self.accounts[account])
            return self.made[key]

        return client


@contextmanager
def ground(seed: Seed, console: Console) -> Iterator[Ground]:
    """The data science account and those of the stages, with our templates deployed and the seed published."""
    with EmbeddedAws(region=seed.answers["aws_region"]) as aws:
        journey = Journey(Options(None, (), Path()), console)
        journey.aws, journey.seed = aws, seed
        with journey.step("accounts"):
            accounts.make(journey)
            accounts.deploy_templates(journey)
        publish(clients_of(aws), seed, console, bucket=bucket_of(seed))
        named = {"home": "data-science", **{stage.slot.lower(): stage.name for stage in journey.stages}}
        yield Ground(aws, {name: journey.account(account) for name, account in named.items()}, bucket_of(seed))


def check(seed: Seed, console: Console, text: str | None = None, packed: Bundle | None = None) -> dict[str, Any]:
    """Checks a seed, and a template if it is not ours, against accounts set up as our templates do it.

    Args:
        packed: the bundle of the seed, if that is what there is; else the folder's own.
    """
    with ground(seed, console) as made:
        return check_in(made, seed, console, text=text, packed=packed)


def check_in(made: Ground, seed: Seed | None, console: Console, **more: Any) -> dict[str, Any]:
    """Checks against accounts that are there."""
    stages = [name for name in made.accounts if name != "home"]
    given = {
        "region": made.aws.region,
        "bucket": made.bucket,
        "stage_clients": {stage: made.clients(stage) for stage in stages},
        "stage_ids": {stage: made.accounts[stage] for stage in stages},
    }
    return flow.check(made.clients("home"), console=console, seed=seed, **{**given, **more})
