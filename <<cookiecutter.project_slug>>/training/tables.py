"""Reads CSV files and refuses, by file, line and column, what breaks a rule; splits and trains nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from failures import DataError
from schema import CATEGORY, NUMBER, Schema

# Cells that hold no value, after spaces around them are taken off. The same in every column.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")
CHUNK_ROWS = 50_000

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# XGBoost computes with numbers of 32 bits.
_LARGEST = float(np.finfo(np.float32).max)
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SHOWN = 40

Chunk = tuple[np.ndarray, np.ndarray]
"""Features (rows x features) and targets (rows), both of 32-bit floats; a class is the index of its label."""


def csv_files(folder: Path) -> list[Path]:
    """Return the CSV files of a folder, sorted. Raises DataError when there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; expected one with CSV files")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() == ".csv")
    if not found:
        others = sorted(path.name for path in folder.rglob("*") if path.is_file())
        instead = f"; found {', '.join(others[:3])}" if others else "; it is empty"
        raise DataError(f"{folder}: there is no file that ends in .csv{instead}")
    return found


def read_header(path: Path) -> list[str]:
    """Return the names of the columns. Raises DataError when the first line is no header of a CSV file."""
    header = _stripped(next(iter(_Rows(path)), []))
    if not any(header):
        raise DataError(f"{path.name}: the file is empty; expected a header and rows")
    for mark, name in _OTHER_DELIMITERS.items():
        if sum(cell.count(mark) for cell in header) >= len(header):
            raise DataError(f"{path.name}: line 1: the columns are separated by {name}; expected commas")
    for position, name in enumerate(header, start=1):
        if not name:
            raise DataError(f"{path.name}: line 1: column {position} has no name")
        if _NUMBER.fullmatch(name):
            raise DataError(f"{path.name}: line 1: {name!r} is a number; expected a header with names")
        if header.index(name) != position - 1:
            raise DataError(f"{path.name}: line 1: column {name!r} is there twice; every name must be unique")
    return header


def check_rows(path: Path, header: list[str]) -> None:
    """Raise DataError for the first row with more or fewer cells than the header, or that repeats it."""
    rows, count = _Rows(path), 0
    for count, row in enumerate(rows):
        if len(row) != len(header):
            cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
            raise DataError(
                f"{path.name}: line {rows.line}: {cells}; expected {len(header)} as in the header"
            )
        if count and row[0].strip() == header[0] and _stripped(row) == header:
            raise DataError(
                f"{path.name}: line {rows.line}: the header is there again (column {header[0]!r})"
            )
    if not count:
        raise DataError(f"{path.name}: there are no rows under the header")


def read_frame(path: Path, numbers: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    """Return the named columns in the order of the file, numbers as 64-bit floats, texts stripped.

    What is missing is NaN. Raises DataError for a cell that is no number of 32 bits.
    """
    header = read_header(path)
    frame = pd.concat(
        _frames(path, header, numbers, texts, dtype="float64", chunk_rows=CHUNK_ROWS), ignore_index=True
    )
    return frame[[name for name in header if name in {*numbers, *texts}]]


def read_chunks(path: Path, schema: Schema, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """Yield the rows of a file as the model reads them.

    Raises DataError for a missing column, a cell that is no number, and for a category or class that the
    schema does not know.
    """
    header = read_header(path)
    for name in [*schema.names, schema.target]:
        if name not in header:
            raise DataError(f"{path.name}: column {name!r} is missing; the header has {', '.join(header)}")
    texts, numbers = schema.of_type(CATEGORY), schema.of_type(NUMBER)
    (texts if schema.classes else numbers).append(schema.target)
    for frame in _frames(path, header, numbers, texts, dtype="float32", chunk_rows=chunk_rows):
        labels = _labels(path, frame[schema.target], schema)
        for feature in schema.features:
            if feature.type == CATEGORY:
                frame[feature.name] = _codes(path, frame[feature.name], feature.categories, "category")
        yield frame[schema.names].to_numpy(dtype=np.float32), labels


def locate(path: Path, column: str, is_bad: Callable[[str], bool]) -> tuple[int, str]:
    """Return the line and the content, stripped, of the first cell of a column that `is_bad`."""
    rows, index = _Rows(path), read_header(path).index(column)
    for count, row in enumerate(rows):
        if count and index < len(row) and is_bad(row[index].strip()):
            return rows.line, row[index].strip()
    raise LookupError(f"{path}: no cell of column {column!r} is as described")


def shown(cell: str) -> str:
    """Return a cell quoted, and cut when it is long."""
    return repr(cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "...")


def is_missing(cell: str) -> bool:
    """Tell whether a cell without spaces around it holds no value."""
    return cell in MISSING


def _is_no_number(cell: str) -> bool:
    return not is_missing(cell) and not (_NUMBER.fullmatch(cell) and abs(float(cell)) <= _LARGEST)


def _frames(
    path: Path,
    header: list[str],
    numbers: Sequence[str],
    texts: Sequence[str],
    *,
    dtype: str,
    chunk_rows: int,
) -> Iterator[pd.DataFrame]:
    try:
        with pd.read_csv(
            path,
            names=header,
            header=0,
            index_col=False,
            usecols=[*numbers, *texts],
            dtype={**dict.fromkeys(numbers, dtype), **dict.fromkeys(texts, str)},
            na_values=list(MISSING),
            keep_default_na=False,
            # Numbers of 64 bits come back as they were written.
            float_precision="round_trip" if dtype == "float64" else None,
            encoding="utf-8-sig",
            chunksize=chunk_rows,
        ) as reader:
            for frame in reader:
                for name in texts:
                    stripped = frame[name].str.strip()
                    frame[name] = stripped.mask(stripped.isin(MISSING))
                for name in numbers:
                    if np.isinf(frame[name].to_numpy()).any() or (frame[name].abs() > _LARGEST).any():
                        raise ValueError(f"column {name!r} holds a number that is not finite")
                yield frame
    except (ValueError, OverflowError) as error:
        raise _not_numbers(path, numbers, error) from None


def _not_numbers(path: Path, numbers: Sequence[str], error: Exception) -> DataError:
    """Say which cell made pandas refuse the file, in the order of the columns."""
    for name in numbers:
        try:
            line, cell = locate(path, name, _is_no_number)
        except LookupError:
            continue
        if _NUMBER.fullmatch(cell) or cell.lower().lstrip("+-") in {"inf", "infinity"}:
            return DataError(
                f"{path.name}: line {line}: column {name!r}: {shown(cell)} is not a finite number of 32 bits"
            )
        return DataError(
            f"{path.name}: line {line}: column {name!r}: {shown(cell)} is not a number"
            ' (a feature whose values are names must be listed under "categorical" in training/settings.json)'
        )
    return DataError(f"{path.name}: cannot be read as CSV: {error}")


def _labels(path: Path, target: pd.Series, schema: Schema) -> np.ndarray:
    if target.isna().any():
        line, cell = locate(path, schema.target, is_missing)
        raise DataError(
            f"{path.name}: line {line}: target column {schema.target!r}: the label is missing ({cell!r})"
        )
    if not schema.classes:
        return np.asarray(target, dtype=np.float32)
    return _codes(path, target, schema.classes, "class")


def _codes(path: Path, column: pd.Series, known: tuple[str, ...], what: str) -> np.ndarray:
    """Return the position of every value among the known ones; NaN where it is missing."""
    codes = np.asarray(pd.Categorical(column, categories=list(known)).codes, dtype=np.float32)
    unknown = (codes < 0) & column.notna().to_numpy()
    if unknown.any():
        line, cell = locate(path, str(column.name), lambda cell: not is_missing(cell) and cell not in known)
        raise DataError(
            f"{path.name}: line {line}: column {column.name!r}: unknown {what} {shown(cell)}; known are"
            f" {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
        )
    codes[codes < 0] = np.nan
    return codes


class _Rows:
    """The rows of a CSV file, without blank lines; `line` is the number of the line read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0

    def __iter__(self) -> Iterator[list[str]]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                for row in reader:
                    self.line = reader.line_num
                    if row:
                        yield row
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path.name}: not UTF-8 text: {error.reason} at byte {error.start}"
            ) from None
        except csv.Error as error:
            raise DataError(f"{self.path.name}: line {self.line + 1}: not CSV: {error}") from None


def _stripped(row: list[str]) -> list[str]:
    return [cell.strip() for cell in row]
