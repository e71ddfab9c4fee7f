"""Deals an endpoint's invocations out to its models by weight: always the same sequence. Starts and stops nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..jobs.storage import Aws
from .capture import Capture
from .model_server import ModelServer


@dataclass
class Variant:
    """A variant in service: its settings from the endpoint configuration, and what they are now.

    Attributes:
        aws: the embedded AWS as its model's role sees it.
        room: how many invocations it still takes at once, where its configuration says so.
        shadows: variants that get copies of what this one is asked, each for its share of the weights.
    """

    settings: Mapping[str, Any]
    image: str
    aws: Aws
    server: ModelServer
    weight: float
    instances: int
    capture: Capture | None = None
    room: threading.Semaphore | None = None
    shadows: Sequence[Variant] = ()
    saved: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.settings["VariantName"])


@dataclass(frozen=True)
class Fleet:
    """What one endpoint configuration runs as."""

    config: Mapping[str, Any]
    variants: Sequence[Variant]

    def stop(self) -> None:
        """Ends every model."""
        for one in [one for variant in self.variants for one in (variant, *variant.shadows)]:
            one.server.stop()
            if one.capture is not None:
                one.capture.close()


class Traffic:
    """The fleets that share an endpoint's invocations.

    Each variant saves up its share with every invocation, and the one with most saved takes it: smooth weighted round
    robin, so that a test sees the same split in every run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fleets: list[tuple[Fleet, float]] = []
        self._saved: dict[int, float] = {}

    def route(self, *fleets: tuple[Fleet, float]) -> None:
        """From now on these fleets get these shares, which add up to 1."""
        with self._lock:
            self._fleets = [(fleet, share) for fleet, share in fleets if share > 0]
            self._saved = {}

    @contextmanager
    def next(self, wanted: str | None = None) -> Iterator[Variant | None]:
        """Who takes the next invocation, of all variants or of those of one name; None if there is no such.

        Its model is not stopped before the block is left.
        """
        with self._lock:
            variant = self._chosen(wanted)
            if variant is not None:
                variant.server.enter()
        try:
            yield variant
        finally:
            if variant is not None:
                variant.server.leave()

    def _chosen(self, wanted: str | None) -> Variant | None:
        shares = list(self._shares(wanted))
        if not shares:
            return None
        for variant, share in shares:
            self._saved[id(variant)] = self._saved.get(id(variant), 0.0) + share
        chosen, _ = max(shares, key=lambda one: self._saved[id(one[0])])
        self._saved[id(chosen)] -= sum(share for _, share in shares)
        return chosen

    def _shares(self, wanted: str | None) -> Iterator[tuple[Variant, float]]:
        """The variants that may be chosen, with the share of each; without any weight all are as good."""
        for fleet, share in self._fleets:
            variants = [variant for variant in fleet.variants if wanted in (None, variant.name)]
            total = sum(variant.weight for variant in variants)
            for variant in variants:
                part = variant.weight / total if total else 1 / len(variants)
                if part:
                    yield variant, share * part
