"""When the scales of the fixed layer settle."""

from __future__ import annotations

import numpy as np

from loco_stream import AdvancedOptions, LOCOClassifier, load, save
from tests.helpers.models import blobs

N_CLASSES = 6
N_EACH = 250


def accuracy_at_the_end(scale, n_scaled, seed):
    """Learn classes one by one, the first rows on another scale; return the accuracy on all."""
    rng = np.random.default_rng(seed)
    centres = 1.2 * rng.normal(size=(N_CLASSES, 4))
    y = np.repeat(np.arange(N_CLASSES), N_EACH)
    X = centres[y] + rng.normal(size=(len(y), 4))
    X[:n_scaled] = scale * (1.0 + X[:n_scaled])
    labels = rng.integers(0, N_CLASSES, 400)
    rows = centres[labels] + rng.normal(size=(400, 4))
    model = LOCOClassifier(seed=seed)
    model.learn_array(X, y)
    return np.mean(model.predict_array(rows) == labels)


def test_a_scale_that_is_too_wide_in_the_first_rows_opens_again():
    """The first 60 rows are a thousand times as large; a scale that stays theirs says nothing."""
    accuracies = [accuracy_at_the_end(1000.0, 60, seed) for seed in range(3)]
    assert np.mean(accuracies) > 0.35  # 1 / 6 by chance


def test_subnormal_values_have_no_scale(tmp_path):
    X, y = 5e-320 * blobs(100)[0], blobs(100)[1]
    model = LOCOClassifier(hidden_sizes=(8,), seed=0, advanced=AdvancedOptions(receptive_fields=1))
    model.learn_array(X, y)
    assert np.isfinite(model._core.state.fixed.factor).all()
    save(model, tmp_path / "model.loco")
    loaded = load(tmp_path / "model.loco")
    assert np.array_equal(loaded.predict_proba_array(X), model.predict_proba_array(X))
