"""Faulty values cost rows, not the stream: 1,000 rows later they have no effect on the model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor

AFTER = 1000  # rows, after which the faults must have no effect
MARGIN = 0.01
FAULTS = {  # first row, last row, value, whether in one cell only
    "a filler in a cell": (20, 21, -9999.0, True),
    "another far value in a cell": (20, 21, 12345.0, True),
    "a filler of float32": (50, 51, 1e20, True),
    "a far value as the scale settles": (299, 300, 65535.0, True),
    "a far row": (50, 51, 1e12, False),
    "a hundred far rows": (2000, 2100, 1e30, False),
    "a hundred rows a little far": (2000, 2100, 1e4, False),
}


def poisoned(X, fault):
    first, end, value, in_one_cell = FAULTS[fault]
    X = X.copy()
    X[first:end, slice(0, 1) if in_one_cell else slice(None)] = value
    return X, end


@cache
def bananas():
    """Return a stream of real rows; the classes are far from linear."""
    datasets = pytest.importorskip("river.datasets")
    rows = list(datasets.Bananas())
    return np.array([list(x.values()) for x, _ in rows]), np.array([y for _, y in rows])


@cache
def waves():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(5000, 4))
    return X, np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=5000)


@cache
def unharmed(task):
    return losses(*(bananas() if task == "classification" else waves()), task)


def losses(X, y, task):
    """Return per row 0 or 1, or the absolute error in standard deviations of the targets."""
    if task == "classification":
        return LOCOClassifier(seed=0).learn_predict_array(X, y) != y
    return np.abs(LOCORegressor(seed=0).learn_predict_array(X, y) - y) / y.std()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_faults_are_forgotten(task, fault):
    X, y = bananas() if task == "classification" else waves()
    X, end = poisoned(X, fault)
    later = slice(end + AFTER, None)
    loss = losses(X, y, task)[later].mean()
    without = unharmed(task)[later].mean()
    print(f"{task}, {fault}: {loss:.4f}, without {without:.4f}")
    assert loss <= without + MARGIN
