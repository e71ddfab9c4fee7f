"""The road of a rehearsal: render, bundle, publish, prove, and publish again to see that nothing changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import bundle as bundles
from ..answers import Seed, read_seed
from ..console import Console
from ..errors import SeedError
from ..publish.flow import publish
from . import catalog
from .embedded import ACCOUNT, EmbeddedAws
from .proof import prove
from .publishing import bucket_of, clients_of
from .rendering import render


def walk(seed_folder: Path | None, answers: Sequence[str], output: Path, console: Console) -> dict[str, Any]:
    """Walks the road with a rendered seed repository, or renders one first.

    Args:
        seed_folder: the seed repository; None to render the template into ``output``.
        answers: ``key=value`` answers to render with.

    Returns:
        What ``--json`` prints: where everything is, and the calls that each publication made.

    Raises:
        SeedError: a step of the road failed; the message says which and why.
    """
    stages = _Stages(console)
    if seed_folder is None:
        with stages.stage("render"):
            seed_folder = render(answers, output)
            console.say(f"  {seed_folder}")
    with stages.stage("bundle"):
        seed = read_seed(seed_folder)
        packed = bundles.pack(seed_folder)
        path = bundles.write(packed, seed_folder / "dist" / bundles.file_name(seed.slug, packed))
        console.say(f"  {path}: {len(packed.files)} files, {packed.size:,} bytes")
    with stages.stage("start the embedded AWS"), EmbeddedAws(region=seed.answers["aws_region"]) as aws:
        catalog.set_up(aws, bucket_of(seed), ACCOUNT)
        console.say(f"  {aws.url}")
        result = _publish_twice(aws, seed, stages, console)
    console.say(
        f"{console.style('done', 'ok')} in {stages.seconds:.1f} s; the embedded AWS is gone, what was rendered stays:"
    )
    console.say(f"  seed repository  {seed_folder}")
    console.say(f"  bundle           {path}")
    return {"seed": str(seed_folder), "bundle": str(path), "digest": packed.digest, **result}


def _publish_twice(aws: EmbeddedAws, seed: Seed, stages: _Stages, console: Console) -> dict[str, Any]:
    clients = clients_of(aws)
    before = len(aws.calls())
    with stages.stage("publish"):
        first = publish(clients, seed, console, bucket=bucket_of(seed))
    between = len(aws.calls())
    with stages.stage("prove"):
        proof = prove(clients, first)
        for line in proof:
            console.say(f"  {line}")
    again = len(aws.calls())
    with stages.stage("publish again"):
        second = publish(clients, seed, console, bucket=bucket_of(seed))
        calls = aws.calls()
        writes = [call.operation for call in calls[again:] if call.writes]
        if writes or second["version_id"] != first["version_id"]:
            raise SeedError(
                f"publishing the same content again is no no-op: it wrote {', '.join(writes) or 'a version'}"
            )
        console.say(f"  {len(calls) - again} reads, no write")
    return {
        "publication": first,
        "proof": proof,
        "calls": [f"{call.service}:{call.operation}" for call in calls[before:between]],
        "calls_again": [f"{call.service}:{call.operation}" for call in calls[again:]],
    }


class _Stages:
    """Says which stage runs, and how long each took."""

    def __init__(self, console: Console) -> None:
        self._console, self._start = console, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._console.say(
            f"{self._console.style(f'[{self.seconds:.1f} s]', 'dim')} {self._console.style(name, 'bold')}"
        )
        yield
