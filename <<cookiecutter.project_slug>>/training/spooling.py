"""Keeps rows on disk between reading and binning, so that memory never holds them all; reads no CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from schema import Schema
from tables import Chunk


class Spool:
    """Chunks in a folder, as arrays of 32-bit floats; XGBoost goes through them several times."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, chunks: Iterable[Chunk]) -> None:
        """Write chunks down, one by one."""
        for features, labels in chunks:
            np.savez(self._path(self._count), features=features, labels=labels)
            self._count += 1

    def chunk(self, number: int) -> Chunk:
        """Read a chunk back."""
        with np.load(self._path(number), allow_pickle=False) as stored:
            return stored["features"], stored["labels"]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.npz"


class Batches(xgboost.DataIter):
    """Hands the chunks of a spool to XGBoost, one after the other."""

    def __init__(self, spool: Spool, table: Schema) -> None:
        super().__init__()
        self._spool, self._table = spool, table
        self._position = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Pass on the next chunk; False at the end."""
        if self._position == len(self._spool):
            return False
        features, labels = self._spool.chunk(self._position)
        self._position += 1
        input_data(
            data=features,
            label=labels,
            feature_names=self._table.names,
            feature_types=self._table.xgboost_types,
        )
        return True

    def reset(self) -> None:
        """Begin again."""
        self._position = 0
