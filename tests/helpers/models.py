"""Noisy samples to learn, and the arrays of a model compared to the byte."""

from __future__ import annotations

import copy
import pickle

import numpy as np

from loco_stream import load, save


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


def assert_copies_go_on_the_same(model, X, y, folder):
    """Learn more with a model and with what a file, a pickle and a deep copy make of it."""
    save(model, folder / "model")
    others = [load(folder / "model"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in (model, *others):
        other.learn_array(X, y)
    for other in others:
        assert_same(arrays_of(model), arrays_of(other))


def assert_one_by_one_is_the_same(block, single):
    """Learn the same rows in a block, and one by one with questions in between."""
    X, y = blobs(120)
    block.learn_array(X, y)
    for row, label in zip(X, y, strict=True):
        single.predict_proba_one(dict(enumerate(row)))
        single.learn_one(dict(enumerate(row)), label)
        single.predict_array(X[:3])
    assert_same(arrays_of(block), arrays_of(single))
