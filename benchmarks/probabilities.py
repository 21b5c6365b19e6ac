"""Prequential probabilities of contenders, and their log-loss and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bins", "calibration_error", "log_loss", "prequential"]

# lower probabilities count as this, or a single wrong certainty would hide all else
_SMALLEST = 1e-6
_BINS = 10


def prequential(
    model: Any, X: NDArray[np.float64], y: NDArray[np.int64], n_classes: int, **options: Any
) -> NDArray[np.float64]:
    """Return the probabilities of each row before it is learned, (n, n_classes).

    They are NaN before the first class. `options` are passed to `predict_proba_one`.
    """
    found = np.full((len(y), n_classes), np.nan)
    for i, (row, label) in enumerate(zip(X.tolist(), y.tolist(), strict=True)):
        x = dict(enumerate(row))
        given = model.predict_proba_one(x, **options)
        if given:
            found[i] = 0.0
            for known, probability in given.items():
                found[i, int(known)] = probability
        model.learn_one(x, label)
    return found


def log_loss(given: NDArray[np.float64]) -> float:
    """Return the mean log-loss in nats of the predicted probabilities of the true classes.

    Examples
    --------
    >>> round(log_loss(np.array([0.5, 0.5, 0.0])), 2)
    5.07
    """
    return float(-np.log(np.clip(given, _SMALLEST, 1.0)).mean())


def bins(confidence: NDArray[np.float64], hit: NDArray[np.bool_]) -> list[list[float]]:
    """Return [rows, mean confidence, accuracy] of each tenth of the confidence that has rows.

    Examples
    --------
    >>> bins(np.array([0.95, 0.93, 0.5]), np.array([True, False, True]))
    [[1, 0.5, 1.0], [2, 0.94, 0.5]]
    """
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    chosen = [place == b for b in range(_BINS) if (place == b).any()]
    return [
        [int(rows.sum()), float(confidence[rows].mean()), float(hit[rows].mean())]
        for rows in chosen
    ]


def calibration_error(table: list[list[float]]) -> float:
    """Return the expected calibration error of the bins from `bins`.

    Examples
    --------
    >>> calibration_error([[1, 0.5, 1.0], [3, 0.9, 0.9]])
    0.125
    """
    return sum(n * abs(sure - right) for n, sure, right in table) / sum(n for n, _, _ in table)
