"""Noisy samples to learn, and the arrays of a model compared to the byte."""

from __future__ import annotations

import numpy as np


def blobs(n, n_features=4, n_classes=3, seed=0):
    """Draw noisy samples around one centre a class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    return rng.normal(size=(n_classes, n_features))[y] + 0.7 * rng.normal(size=(n, n_features)), y


def arrays_of(model):
    return model.export_state()[1]


def assert_same(a, b, but=()):
    assert set(a) == set(b)
    changed = [name for name in a if a[name].tobytes() != b[name].tobytes()]
    assert [name for name in changed if name not in but] == []
