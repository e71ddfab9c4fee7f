"""The table at the end of a rehearsal: each step, and how long it took. Takes no step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .journey import Step

BAR = 24


def table(steps: Sequence[Step]) -> Iterator[str]:
    """A line for each step: its name, its seconds, and a bar as long as its share of the longest."""
    took = [(step.name, (step.ended or step.began) - step.began) for step in steps]
    longest = max((seconds for _, seconds in took), default=0.0) or 1.0
    for name, seconds in took:
        yield f"  {name:<16} {seconds:6.1f} s  {'=' * round(BAR * seconds / longest)}".rstrip()
