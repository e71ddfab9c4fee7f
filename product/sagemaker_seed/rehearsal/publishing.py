"""Publishes a seed repository to an embedded AWS of its own, proves the result, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

from ..answers import Seed
from ..console import Console
from ..publish.clients import Clients
from ..publish.flow import publish as publish_with
from . import catalog
from .embedded import ACCOUNT, EmbeddedAws
from .proof import prove


def clients_of(aws: EmbeddedAws, key: str = ACCOUNT) -> Clients:
    """The publisher's clients, answered by the embedded AWS.

    Args:
        key: the publisher's access key; an account's id stands for its root.
    """
    return Clients(aws.client("s3", key), aws.client("servicecatalog", key), aws.client("sts", key))


def bucket_of(seed: Seed) -> str:
    """The seed bucket that the answers name, or the one that stands in for it."""
    return seed.answers["seed_bucket"] or f"sagemaker-seed-{ACCOUNT}-{seed.answers['aws_region']}"


def publish(seed: Seed, region: str, console: Console, *, plan_only: bool = False) -> dict[str, Any]:
    """Publishes and proves; returns what ``publish.flow.publish`` returns, and the ``proof``.

    Raises:
        SeedError: the embedded AWS did not start, publishing failed, or the proof did.
    """
    with EmbeddedAws(region=region) as aws:
        catalog.set_up(aws, bucket_of(seed), ACCOUNT)
        clients = clients_of(aws)
        done = publish_with(clients, seed, console, bucket=bucket_of(seed), plan_only=plan_only)
        proof = [] if plan_only else prove(clients, done)
    for line in proof:
        console.say(f"  {console.style('proved', 'ok')}: {line}")
    return {**done, "proof": proof}
