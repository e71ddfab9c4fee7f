"""Splits rows into train, validation and test: a function of the rows and the seed alone; reads no files."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)
PARTS = ("train", "validation", "test")


def shares(count: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return how many of `count` rows each part gets: by largest remainder, at least one of three rows."""
    exact = [count * fraction for fraction in fractions]
    parts = [math.floor(share + 1e-9) for share in exact]
    for index in sorted(range(3), key=lambda index: (parts[index] - exact[index], index))[
        : count - sum(parts)
    ]:
        parts[index] += 1
    for index in range(3):
        if not parts[index] and count >= 3:
            parts[parts.index(max(parts))] -= 1
            parts[index] = 1
    return parts[0], parts[1], parts[2]


def order(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the positions of the rows in an order that depends on their values and the seed.

    The order of the rows in the file has no say: only rows that are equal may change places.
    """
    keys = pd.util.hash_pandas_object(frame, index=False).to_numpy(dtype=np.uint64)
    with np.errstate(over="ignore"):
        # The finisher of SplitMix64 (Steele, Lea, Flood 2014); pandas' hash of numbers knows no seed.
        keys = keys + np.uint64(seed + 1) * _STEP
        keys = (keys ^ (keys >> np.uint64(30))) * _MIX[0]
        keys = (keys ^ (keys >> np.uint64(27))) * _MIX[1]
        keys ^= keys >> np.uint64(31)
    return np.argsort(keys, kind="stable")


def split(
    frame: pd.DataFrame, strata: pd.Series | None, fractions: tuple[float, float, float], seed: int
) -> dict[str, np.ndarray]:
    """Return the positions of the rows of each part, shuffled.

    With `strata` (a label for every row) each part gets its fraction of every label.
    """
    shuffled = order(frame, seed)
    groups = [shuffled]
    if strata is not None:
        codes, labels = pd.factorize(strata.to_numpy()[shuffled])
        groups = [shuffled[codes == code] for code in range(len(labels))]
    taken = {part: np.zeros(len(frame), dtype=bool) for part in PARTS}
    for group in groups:
        start = 0
        for part, share in zip(PARTS, shares(len(group), fractions), strict=True):
            taken[part][group[start : start + share]] = True
            start += share
    return {part: shuffled[chosen[shuffled]] for part, chosen in taken.items()}
