"""Real data sets that come with scikit-learn, written as CSV files with names for the classes; downloads nothing."""

from __future__ import annotations

import csv
import importlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dataset:
    """A data set and what a model of it must reach."""

    name: str
    prediction: str
    target: str
    metric: str
    threshold: float


DATASETS = (
    Dataset("breast_cancer", "classification", "diagnosis", "auc", 0.97),
    Dataset("wine", "classification", "cultivar", "accuracy", 0.85),
    Dataset("diabetes", "regression", "progression", "rmse", 70),
)


def write(dataset: Dataset, path: Path) -> Path:
    """Writes it with a header; the label of a class is its name."""
    loaded = getattr(importlib.import_module("sklearn.datasets"), f"load_{dataset.name}")()
    labels = loaded.target
    if dataset.prediction == "classification":
        labels = [loaded.target_names[index] for index in labels]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*loaded.feature_names, dataset.target])
        for row, label in zip(loaded.data.tolist(), labels, strict=True):
            writer.writerow([*row, label])
    return path
