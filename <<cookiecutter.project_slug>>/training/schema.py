"""What preprocessing learned about the table (columns, target, classes), as a value and as schema.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from failures import DataError

FILE_NAME = "schema.json"
VERSION = 1
PREDICTIONS = ("classification", "regression")
NUMBER, CATEGORY = "number", "category"
# How XGBoost calls the kinds of columns: quantitative and categorical.
_XGBOOST_TYPES = {NUMBER: "q", CATEGORY: "c"}


@dataclass(frozen=True)
class Feature:
    """A column that the model reads."""

    name: str
    type: str
    """`number` or `category`."""
    categories: tuple[str, ...] = ()
    """Every category of the data, sorted; a model knows no others. Empty for numbers."""
    statistics: dict[str, float] = field(default_factory=dict)
    """Of the training rows: the count of `missing`; of numbers also range, mean and deviation."""


@dataclass(frozen=True)
class Schema:
    """The table as the model knows it; the order of the features is the order in requests."""

    prediction: str
    target: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()
    """Sorted; with two, the second is the positive one. Empty for regression."""
    rows: dict[str, int] = field(default_factory=dict)
    """How many rows there are in train, validation and test."""

    @property
    def names(self) -> list[str]:
        """Return the names of the features in order."""
        return [feature.name for feature in self.features]

    @property
    def xgboost_types(self) -> list[str]:
        """Return the types of the features as XGBoost calls them."""
        return [_XGBOOST_TYPES[feature.type] for feature in self.features]

    def of_type(self, kind: str) -> list[str]:
        """Return the names of the features of one type, in order."""
        return [feature.name for feature in self.features if feature.type == kind]

    def save(self, folder: Path) -> None:
        """Write schema.json; the same schema gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def load(folder: Path, owner: str = "the schema") -> Schema:
    """Read schema.json of a folder. Raises DataError, naming `owner`, when this code did not write it."""
    path = folder / FILE_NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{owner}: there is no {FILE_NAME}, so it does not come from this pipeline") from None
    except ValueError as error:
        raise DataError(f"{owner}: {FILE_NAME} is not JSON: {error}") from None
    if not isinstance(told, dict) or told.get("version") != VERSION:
        found = told.get("version") if isinstance(told, dict) else None
        raise DataError(f"{owner}: {FILE_NAME} has version {found!r}, and this code reads version {VERSION}")
    try:
        return _from(told)
    except (KeyError, TypeError) as error:
        raise DataError(f"{owner}: {FILE_NAME} is incomplete: {error}") from None


def _from(told: dict[str, Any]) -> Schema:
    features = tuple(
        Feature(one["name"], one["type"], tuple(one["categories"]), dict(one["statistics"]))
        for one in told["features"]
    )
    return Schema(told["prediction"], told["target"], features, tuple(told["classes"]), dict(told["rows"]))
