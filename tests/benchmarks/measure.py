"""Times two commands in turns, so that a noisy machine disturbs both alike, and compares their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Act = Callable[[int], object]


def in_turns(first: Act, second: Act, rounds: int) -> tuple[float, float]:
    """The median seconds of each act. Both are told the round, and run once unmeasured before."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for act, times in zip((first, second), taken, strict=True):
            start = time.perf_counter()
            act(turn)
            times.append(time.perf_counter() - start)
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])


def verdict(what: str, ratio: float, bound: float, *, at_most: bool) -> bool:
    """Prints how the ratio stands against its bound, and whether it holds."""
    holds = ratio <= bound if at_most else ratio >= bound
    print(f"  {what}: {ratio:.2f} ({'at most' if at_most else 'at least'} {bound:g}) {'holds' if holds else 'MISSED'}")
    return holds
