"""The detectors that `python -m benchmarks watch` compares with `LOCODetector`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODE", "RIVALS", "SEEDED", "rival_scores"]

Float64 = NDArray[np.float64]

CODE = ("benchmarks/watch_rivals.py", "benchmarks/nab.py")
_FIRST = 100  # rows that a rival of PySAD learns before it scores
_LOF_ROWS = 500  # rows that LOF is fitted on, every `_LOF_EVERY` rows
_LOF_EVERY = 100


def rival_scores(name: str, X: Float64, seed: int) -> Float64:
    """Return the scores of a rival, (n,), each before the row is learned.

    Parameters
    ----------
    name
        One of `RIVALS`.
    X
        (n, columns).
    seed
        Of the rivals in `SEEDED`.
    """
    return np.nan_to_num(RIVALS[name](X, seed), posinf=0.0, neginf=0.0)


def _half_space_trees(X: Float64, seed: int) -> Float64:
    from river import anomaly, preprocessing

    return _river(preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=seed), X)


def _one_class_svm(X: Float64, seed: int) -> Float64:
    from river import anomaly, preprocessing

    return _river(preprocessing.StandardScaler() | anomaly.OneClassSVM(), X)


def _river(model: Any, X: Float64) -> Float64:
    """Return the scores of a detector of river that takes rows."""
    scores = np.zeros(len(X))
    for i, row in enumerate(X.tolist()):
        x = dict(enumerate(row))
        scores[i] = model.score_one(x)
        model.learn_one(x)
    return scores


def _highest(columns: Float64) -> Float64:
    """Return the highest score of each row, (n,)."""
    highest: Float64 = columns.max(axis=1)
    return highest


def _standard_absolute_deviation(X: Float64, seed: int) -> Float64:
    """Return the scores of river's detector, the highest of one per column."""
    from river import anomaly

    columns = np.zeros(X.shape)
    for c in range(X.shape[1]):
        model = anomaly.StandardAbsoluteDeviation()
        for i, value in enumerate(X[:, c].tolist()):
            columns[i, c] = abs(model.score_one({}, value))
            model.learn_one({}, value)
    return _highest(columns)


def _lof(X: Float64, seed: int) -> Float64:
    """Return the scores of the local outlier factor, fitted anew on the last rows."""
    from sklearn.neighbors import LocalOutlierFactor

    scores = np.zeros(len(X))
    for begin in range(_LOF_EVERY, len(X), _LOF_EVERY):
        known = X[max(0, begin - _LOF_ROWS) : begin]
        model = LocalOutlierFactor(novelty=True).fit(known)
        end = begin + _LOF_EVERY
        scores[begin:end] = -model.score_samples(X[begin:end])
    return scores


def _pysad(name: str, **options: object) -> Callable[[Float64, int], Float64]:
    """Return what scores rows by a detector of PySAD with its defaults."""

    def score(X: Float64, seed: int) -> Float64:
        from pysad import models

        model: Any = getattr(models, name)(random_state=seed, **options)
        scores = np.zeros(len(X))
        for i, row in enumerate(X):
            scores[i] = model.score_partial(row) if i >= _FIRST else 0.0
            model.fit_partial(row)
        return scores

    return score


def _z_score(X: Float64, seed: int) -> Float64:
    columns = [np.fromiter(_z_scores(x), np.float64, len(x)) for x in X.T]
    return _highest(np.stack(columns, axis=1))


def _z_scores(x: Float64) -> Iterator[float]:
    """Yield the distance of each value from the mean so far, in standard deviations so far."""
    mean = 0.0
    squares = 0.0
    for n, value in enumerate(x.tolist()):
        deviation = (squares / n) ** 0.5 if n else 0.0
        yield abs(value - mean) / deviation if deviation else 0.0
        delta = value - mean
        mean += delta / (n + 1)
        squares += delta * (value - mean)


def _last_difference(X: Float64, seed: int) -> Float64:
    """Return the largest change of a column, of several columns each in its mean change."""
    changes = np.abs(np.diff(X, axis=0, prepend=X[:1]))
    if X.shape[1] > 1:
        mean = np.cumsum(changes, axis=0) / np.arange(1, len(X) + 1)[:, None]
        changes = np.divide(changes, mean, out=np.zeros(X.shape), where=mean > 0.0)
    return _highest(changes)


_KITNET = {"grace_feature_mapping": _FIRST // 2, "grace_anomaly_detector": _FIRST // 2}

RIVALS: dict[str, Callable[[Float64, int], Float64]] = {
    "HalfSpaceTrees": _half_space_trees,
    "OneClassSVM": _one_class_svm,
    "LOF": _lof,
    "StandardAbsoluteDeviation": _standard_absolute_deviation,
    "xStream": _pysad("xStream"),
    "LODA": _pysad("LODA"),
    "KitNet": _pysad("KitNet", **_KITNET),
    "z-score": _z_score,
    "last difference": _last_difference,
}
SEEDED = ("HalfSpaceTrees", "xStream", "LODA", "KitNet")
