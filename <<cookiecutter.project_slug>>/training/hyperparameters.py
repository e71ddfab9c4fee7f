"""The hyperparameters of train.py: their names and what they may be; trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from failures import Parser, UsageError


@dataclass(frozen=True)
class Hyperparameter:
    """A number that steers the training, with the bounds that XGBoost's documentation gives it."""

    type: Callable[[str], Any]
    default: float
    lowest: float
    highest: float = float("inf")
    open: bool = False
    """Whether `lowest` itself is out of bounds."""


# https://xgboost.readthedocs.io/en/release_3.2.0/parameter.html
TABLE: dict[str, Hyperparameter] = {
    "num_round": Hyperparameter(int, 200, 1),
    "early_stopping_rounds": Hyperparameter(int, 20, 0),
    "max_depth": Hyperparameter(int, 4, 1, 30),
    "eta": Hyperparameter(float, 0.1, 0, 1, open=True),
    "subsample": Hyperparameter(float, 1.0, 0, 1, open=True),
    "colsample_bytree": Hyperparameter(float, 1.0, 0, 1, open=True),
    "min_child_weight": Hyperparameter(float, 1, 0),
    "gamma": Hyperparameter(float, 0, 0),
    "alpha": Hyperparameter(float, 0, 0),
    "lambda": Hyperparameter(float, 1, 0),
    "max_bin": Hyperparameter(int, 256, 2, 65536),
    "seed": Hyperparameter(int, 42, 0, 2**31 - 1),
}
# What train.py itself reads; XGBoost does not know these names.
OWN = ("num_round", "early_stopping_rounds")

# What the container itself is told among the hyperparameters; it passes on the rest.
_OF_THE_CONTAINER = "--sagemaker_"


def read(words: list[str]) -> dict[str, Any]:
    """Return the hyperparameters by name. Raises UsageError for one that is unknown or out of bounds."""
    parser = Parser(__doc__)
    for name, one in TABLE.items():
        parser.add_argument(f"--{name}", type=one.type, default=one.type(str(one.default)))
    found, rest = parser.parse_known_args(words)
    _refuse_unknown(rest)
    for name, one in TABLE.items():
        value = vars(found)[name]
        above = value > one.lowest if one.open else value >= one.lowest
        if not (above and value <= one.highest):
            upper = "" if one.highest == float("inf") else f" and at most {one.highest:g}"
            raise UsageError(
                f"hyperparameter {name}: {value:g} must be {'more than' if one.open else 'at least'}"
                f" {one.lowest:g}{upper}"
            )
    return vars(found)


def _refuse_unknown(rest: list[str]) -> None:
    names = [word.split("=")[0] for word in rest if word.startswith("--")]
    unknown = [name for name in names if not name.startswith(_OF_THE_CONTAINER)]
    if unknown:
        raise UsageError(f"hyperparameter {unknown[0].lstrip('-')} is unknown; there are {', '.join(TABLE)}")
