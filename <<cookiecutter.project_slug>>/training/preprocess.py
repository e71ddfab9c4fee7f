"""The step Preprocess: checks the data, splits it and writes shards and the schema; trains nothing."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import drift
import failures
import numpy as np
import pandas as pd
import splitting
import tables
from failures import DataError, UsageError
from schema import CATEGORY, NUMBER, PREDICTIONS, Feature, Schema

MINIMUM_ROWS = 50
# XGBoost refuses them, because they have a meaning where it writes trees as text.
_NOT_IN_NAMES = frozenset("[]<")


def main(words: list[str]) -> None:
    """Read `--input`, write train/, validation/, test/, schema/ and baseline/ below `--output`."""
    arguments = _arguments(words)
    frame = _read(arguments)
    schema = _checked(frame, arguments)
    strata = frame[schema.target] if schema.classes else None
    fractions = (arguments.train, arguments.validation, arguments.test)
    parts = {
        part: frame.iloc[positions]
        for part, positions in splitting.split(frame, strata, fractions, arguments.seed).items()
    }
    if arguments.shards > len(parts["train"]):
        raise DataError(
            f"--shards: {arguments.shards} shards are more than the {len(parts['train'])} training rows"
        )
    output: Path = arguments.output
    for number, positions in enumerate(np.array_split(np.arange(len(parts["train"])), arguments.shards)):
        _write(parts["train"].iloc[positions], output / "train" / f"part-{number:05d}.csv")
    for part in ("validation", "test"):
        _write(parts[part], output / part / f"{part}.csv")
    schema = _described(schema, parts)
    schema.save(output / "schema")
    _write_baseline(schema, parts["train"], output / "baseline")
    counts = ", ".join(f"{count} {part}" for part, count in schema.rows.items())
    print(f"{len(frame)} rows: {counts}; {len(schema.features)} features; target {schema.target!r}")


def _arguments(words: list[str]) -> Namespace:
    parser = failures.Parser(__doc__)
    parser.add_argument(
        "--input", type=Path, required=True, help="folder with one or more CSV files, same header"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for what is written")
    parser.add_argument("--target", required=True, help="the column to predict")
    parser.add_argument("--drop", type=_names, default=[], help="columns to leave out, with commas between")
    parser.add_argument("--categorical", type=_names, default=[], help="features whose values are names")
    parser.add_argument("--prediction", choices=PREDICTIONS, required=True)
    for part, fraction in zip(splitting.PARTS, (0.7, 0.15, 0.15), strict=True):
        parser.add_argument(f"--{part}", type=float, default=fraction, help="the fraction of the rows for it")
    parser.add_argument("--seed", type=int, default=42, help="another seed gives another split")
    parser.add_argument(
        "--shards", type=int, default=1, help="files of training rows: at least one for a host"
    )
    arguments = parser.parse_args(words)
    fractions = [arguments.train, arguments.validation, arguments.test]
    if not (all(0 < fraction < 1 for fraction in fractions) and abs(sum(fractions) - 1) < 1e-6):
        raise UsageError(f"--train, --validation, --test: {fractions} must be positive and add up to 1")
    if arguments.shards < 1:
        raise UsageError(f"--shards: {arguments.shards} must be at least 1")
    if arguments.seed < 0:
        raise UsageError(f"--seed: {arguments.seed} must not be negative")
    return arguments


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _read(arguments: Namespace) -> pd.DataFrame:
    """Return the columns that are used; every file has been checked, and errors name it."""
    paths = tables.csv_files(arguments.input)
    header = tables.read_header(paths[0])
    for path in paths[1:]:
        if tables.read_header(path) != header:
            raise DataError(f"{path.name}: line 1: the columns differ from those of {paths[0].name}")
    _check_columns(paths[0].name, header, arguments)
    texts = list(arguments.categorical)
    if arguments.prediction == "classification":
        texts.append(arguments.target)
    numbers = [name for name in header if name not in {*texts, *arguments.drop}]
    frames = []
    for path in paths:
        tables.check_rows(path, header)
        frame = tables.read_frame(path, numbers, texts)
        if frame[arguments.target].isna().any():
            line, cell = tables.locate(path, arguments.target, tables.is_missing)
            raise DataError(
                f"{path.name}: line {line}: target column {arguments.target!r}: the label is missing"
                f" ({tables.shown(cell)}); every row needs one"
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _check_columns(file: str, header: list[str], arguments: Namespace) -> None:
    has = f"the header has {', '.join(header)}"
    target = arguments.target
    if target not in header:
        raise DataError(f"{file}: target column {target!r} is missing; {has}")
    for option, names in (("drop", arguments.drop), ("categorical", arguments.categorical)):
        for name in names:
            if name not in header:
                raise DataError(f"{file}: column {name!r} of --{option} is missing; {has}")
            if name == target:
                raise DataError(f"{file}: column {name!r} of --{option} is the target; it cannot be both")
    for name in header:
        if name not in {target, *arguments.drop} and set(name) & _NOT_IN_NAMES:
            raise DataError(
                f"{file}: column {name!r}: the names of features must not contain [, ] or <; rename it"
            )
    both = set(arguments.drop) & set(arguments.categorical)
    if both:
        raise DataError(f"{file}: column {min(both)!r} is in --drop and in --categorical; it cannot be both")
    if not set(header) - {target, *arguments.drop}:
        raise DataError(f"{file}: no column is left besides the target {target!r}; a model needs a feature")


def _checked(frame: pd.DataFrame, arguments: Namespace) -> Schema:
    """Return the schema, without statistics. Raises DataError for rules that concern all rows together."""
    target = frame[arguments.target]
    features = []
    for name in frame.columns:
        if name == arguments.target:
            continue
        if frame[name].isna().all():
            raise DataError(f'column {name!r}: every value is missing; list it under "drop", or fill it')
        texts = name in arguments.categorical
        categories = tuple(sorted(frame[name].dropna().unique())) if texts else ()
        features.append(Feature(name, CATEGORY if texts else NUMBER, categories))
    if len(frame) < MINIMUM_ROWS:
        raise DataError(
            f"{len(frame)} rows are too few to train, validate and test; at least {MINIMUM_ROWS} are needed"
        )
    classes: tuple[str, ...] = ()
    if arguments.prediction == "classification":
        classes = _classes(target)
    elif target.nunique() == 1:
        raise DataError(
            f"target column {target.name!r}: every value is {target.iloc[0]:g}; there is nothing to predict"
        )
    return Schema(arguments.prediction, arguments.target, tuple(features), classes)


def _classes(target: pd.Series) -> tuple[str, ...]:
    counts = target.value_counts()
    classes = tuple(sorted(counts.index))
    if len(classes) == 1:
        raise DataError(
            f"target column {target.name!r}: there is only one class, {tables.shown(classes[0])};"
            " classification needs at least two"
        )
    for label in classes:
        if counts[label] < len(splitting.PARTS):
            raise DataError(
                f"target column {target.name!r}: class {tables.shown(label)} has {counts[label]} rows;"
                f" every class needs at least {len(splitting.PARTS)}: for training, validation and test"
            )
    return classes


def _described(schema: Schema, parts: dict[str, pd.DataFrame]) -> Schema:
    """Return the schema with the statistics of the training rows and the sizes of the parts."""
    train = parts["train"]
    features = tuple(
        Feature(one.name, one.type, one.categories, _statistics(train[one.name], one.type))
        for one in schema.features
    )
    rows = {part: len(frame) for part, frame in parts.items()}
    return Schema(schema.prediction, schema.target, features, schema.classes, rows)


def _statistics(column: pd.Series, kind: str) -> dict[str, float]:
    found: dict[str, float] = {"missing": int(column.isna().sum())}
    if kind == NUMBER and column.notna().any():
        found |= {
            "minimum": float(column.min()),
            "maximum": float(column.max()),
            "mean": float(column.mean()),
            "standard_deviation": float(column.std(ddof=0)),
        }
    return found


def _write_baseline(schema: Schema, train: pd.DataFrame, folder: Path) -> None:
    """Write what the training rows look like, for whoever watches what the endpoint is sent."""
    positions = np.unique(np.linspace(0, len(train) - 1, min(len(train), drift.SAMPLE_ROWS)).astype(int))
    sample = train.iloc[positions]
    columns = []
    for feature in schema.features:
        values = sample[feature.name].dropna().tolist()
        columns.append(
            drift.Column(
                feature.name, values, len(sample) - len(values), categorical=feature.type == CATEGORY
            )
        )
    drift.save(folder, drift.STATISTICS, drift.statistics(columns, len(sample)))
    drift.save(folder, drift.CONSTRAINTS, drift.constraints(columns))


def _write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    sys.exit(failures.run(main, failures.PROCESSING))
