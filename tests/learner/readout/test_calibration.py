from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream._learner.readout import calibration
from loco_stream._learner.readout.calibration import NOISES, POWERS
from tests.helpers import naive
from tests.helpers.jitted import jitted_module

calibration = jitted_module(calibration)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1.0, 0.25]))
def test_corrections_are_mixed_by_bayes_rule(seed, n_classes, share):
    rng = np.random.default_rng(seed)
    log_weights = naive.start_corrections().reshape(len(POWERS), len(NOISES))
    expected = log_weights.ravel().copy()
    sums = np.zeros(len(POWERS))
    factors = np.zeros(len(POWERS))
    for n_seen in range(5):
        mixed = rng.dirichlet(np.ones(n_classes))
        label = rng.integers(0, n_classes)
        row = (label, n_classes, n_seen)
        calibration.learn_correction(log_weights, mixed, row, share, sums)
        start = naive.start_corrections()
        corrected = naive.corrections(mixed)
        expected = naive.learn_mixture(expected, corrected, label, n_seen, share, start)
    assert np.allclose(log_weights.ravel(), expected)
    proba = np.append(rng.dirichlet(np.ones(n_classes)), -1.0)
    before = proba.copy()
    calibration.correct(log_weights, proba, n_classes, sums, factors)
    assert np.allclose(proba[:-1], naive.mix(expected, naive.corrections(before[:-1])))
    order = np.argsort(proba[:-1], kind="stable")
    assert np.array_equal(order, np.argsort(before[:-1], kind="stable"))
    assert proba[-1] == -1.0
    assert proba.max() <= 1.0


def _noisy_rows(noise):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(6000, 5))
    return X, ((X @ [1.0, -1.0, 0.5, 0.0, 0.0] > 0) ^ (draw.random(6000) < noise)).astype(int)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_probabilities_are_calibrated_where_labels_are_wrong(noise):
    X, y = _noisy_rows(noise)  # the error of uncorrected probabilities is .024 and .098
    model = LOCOClassifier(hidden_sizes=(32,), seed=0)
    correct = []
    largest = []
    for start in range(0, len(X), 50):
        rows = slice(start, start + 50)
        if start >= 2000:
            proba = model.predict_proba_array(X[rows])
            correct.extend(np.array(model.classes)[proba.argmax(axis=1)] == y[rows])
            largest.extend(proba.max(axis=1))
        model.learn_array(X[rows], y[rows])
    correct = np.array(correct)
    largest = np.array(largest)
    bins = np.floor(largest * 10.0)
    errors = [abs(np.sum(correct[bins == b] - largest[bins == b])) for b in np.unique(bins)]
    assert sum(errors) / len(correct) < (0.04 if noise else 0.015)
