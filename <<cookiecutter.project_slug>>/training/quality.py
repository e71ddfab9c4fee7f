"""Measures predictions against the truth, with scikit-learn; decides nothing and reads no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

# Every metric that a threshold may be set on, and whether more of it is better.
MORE_IS_BETTER = {
    "accuracy": True,
    "balanced_accuracy": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "auc": True,
    "log_loss": False,
    "rmse": False,
    "mae": False,
    "r2": True,
}
# Beyond these no model gets: a threshold there can never be met.
BEST = {name: 1.0 if more else 0.0 for name, more in MORE_IS_BETTER.items()}
_RESIDUALS_SHOWN = 1000


def probabilities(answers: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return rows x classes of what XGBoost predicts; for two classes it gives that of the second alone."""
    return np.column_stack([1 - answers, answers]) if len(classes) == 2 else answers


def classification(truth: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Return the metrics of a classification.

    Precision, recall and F1 are means over the classes; the AUC of more than two is one against the rest.
    `truth` holds the index of the class of every row, all classes occurring; `shares` is rows x classes.
    """
    # 32-bit probabilities add up to 1 but for rounding; scikit-learn wants it more exactly.
    shares = shares.astype(np.float64)
    shares = shares / shares.sum(axis=1, keepdims=True)
    guess = shares.argmax(axis=1)
    labels = np.arange(shares.shape[1])
    means = {"labels": labels, "average": "macro", "zero_division": 0.0}
    area = (
        metrics.roc_auc_score(truth, shares[:, 1])
        if len(labels) == 2
        else metrics.roc_auc_score(truth, shares, multi_class="ovr", average="macro", labels=labels)
    )
    found = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "precision": metrics.precision_score(truth, guess, **means),
        "recall": metrics.recall_score(truth, guess, **means),
        "f1": metrics.f1_score(truth, guess, **means),
        "auc": area,
        "log_loss": metrics.log_loss(truth, shares, labels=labels),
    }
    return {name: float(value) for name, value in found.items()}


def regression(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Return the metrics of a regression, in units of the target (R² has none)."""
    truth, guess = truth.astype(np.float64), guess.astype(np.float64)
    return {
        "rmse": float(metrics.root_mean_squared_error(truth, guess)),
        "mae": float(metrics.mean_absolute_error(truth, guess)),
        "r2": float(metrics.r2_score(truth, guess)),
    }


def confusion(truth: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return the confusion matrix: rows are the true classes, columns the predicted ones."""
    matrix = metrics.confusion_matrix(truth, shares.argmax(axis=1), labels=np.arange(len(classes)))
    return {"classes": list(classes), "rows": matrix.tolist()}


def residuals(truth: np.ndarray, guess: np.ndarray) -> dict[str, Any]:
    """Return true and predicted values side by side: of the first thousand rows, enough for a plot."""
    return {"actual": truth[:_RESIDUALS_SHOWN].tolist(), "predicted": guess[:_RESIDUALS_SHOWN].tolist()}


def _figure(value: float) -> dict[str, Any]:
    return {"value": float(value), "standard_deviation": "NaN"}


def _weighted(truth: np.ndarray, guess: np.ndarray, **average: Any) -> dict[str, float]:
    """Return recall, precision and F-scores under the names that SageMaker gives them."""
    common = {**average, "zero_division": 0.0}
    return {
        "recall": metrics.recall_score(truth, guess, **common),
        "precision": metrics.precision_score(truth, guess, **common),
        "f0_5": metrics.fbeta_score(truth, guess, beta=0.5, **common),
        "f1": metrics.fbeta_score(truth, guess, beta=1.0, **common),
        "f2": metrics.fbeta_score(truth, guess, beta=2.0, **common),
    }


def model_metrics(truth: np.ndarray, answers: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return the metrics as the model registry shows them: in the format of SageMaker's model quality.

    `answers` are rows x classes of probabilities, or values when there are no classes.
    """
    if not classes:
        figures = regression(truth, answers)
        named = {
            "mae": figures["mae"],
            "mse": figures["rmse"] ** 2,
            "rmse": figures["rmse"],
            "r2": figures["r2"],
        }
        return {"regression_metrics": {name: _figure(value) for name, value in named.items()}}
    guess = answers.argmax(axis=1)
    counts = metrics.confusion_matrix(truth, guess, labels=np.arange(len(classes)))
    matrix = {
        actual: {predicted: int(count) for predicted, count in zip(classes, row, strict=True)}
        for actual, row in zip(classes, counts, strict=True)
    }
    accuracy = _figure(metrics.accuracy_score(truth, guess))
    if len(classes) > 2:
        weighted = _weighted(truth, guess, average="weighted")
        means = {f"weighted_{key}": _figure(mean) for key, mean in weighted.items()}
        return {
            "multiclass_classification_metrics": {"confusion_matrix": matrix, "accuracy": accuracy, **means}
        }
    return {"binary_classification_metrics": _binary(truth, answers[:, 1], matrix, counts)}


def _binary(
    truth: np.ndarray, share: np.ndarray, matrix: dict[str, Any], counts: np.ndarray
) -> dict[str, Any]:
    guess = (share > 0.5).astype(np.int64)
    (true_negative, false_positive), (false_negative, true_positive) = counts.tolist()
    negative, positive = true_negative + false_positive, true_positive + false_negative
    false_rates, true_rates, _ = metrics.roc_curve(truth, share)
    rates: dict[str, float] = {
        "accuracy": float(metrics.accuracy_score(truth, guess)),
        "true_positive_rate": true_positive / positive,
        "true_negative_rate": true_negative / negative,
        "false_positive_rate": false_positive / negative,
        "false_negative_rate": false_negative / positive,
        "auc": float(metrics.roc_auc_score(truth, share)),
        **_weighted(truth, guess, pos_label=1),
    }
    return {
        "confusion_matrix": matrix,
        **{name: _figure(value) for name, value in rates.items()},
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": false_rates.tolist(),
            "true_positive_rates": true_rates.tolist(),
        },
    }
