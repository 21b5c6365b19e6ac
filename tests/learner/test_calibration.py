from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream.learner.readout import calibration
from loco_stream.options import NOISES, POWERS
from tests.helpers import naive
from tests.helpers.doors import doors

calibration = doors(calibration)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1.0, 0.25]))
def test_corrections_are_mixed_by_bayes_rule(seed, n_classes, share):
    rng = np.random.default_rng(seed)
    evidence = naive.no_correction().reshape(len(POWERS), len(NOISES))
    expected = evidence.ravel().copy()
    room = np.zeros((2, len(POWERS)))
    for n_seen in range(5):
        said = rng.dirichlet(np.ones(n_classes))
        label = rng.integers(0, n_classes)
        calibration.judge(evidence, said, label, n_classes, n_seen, share, room)
        expected = naive.judge(
            expected, naive.corrections(said), label, n_seen, share, naive.no_correction()
        )
    assert np.allclose(evidence.ravel(), expected)
    proba = np.append(rng.dirichlet(np.ones(n_classes)), -1.0)
    before = proba.copy()
    calibration.correct(evidence, proba, n_classes, room)
    assert np.allclose(proba[:-1], naive.mix(expected, naive.corrections(before[:-1])))
    assert np.array_equal(
        np.argsort(proba[:-1], kind="stable"), np.argsort(before[:-1], kind="stable")
    )
    assert proba[-1] == -1.0
    assert proba.max() <= 1.0


def _noisy_rows(noise):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(6000, 5))
    return X, ((X @ [1.0, -1.0, 0.5, 0.0, 0.0] > 0) ^ (draw.random(6000) < noise)).astype(int)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_probabilities_come_true_where_labels_are_wrong(noise):
    X, y = _noisy_rows(noise)  # uncorrected probabilities are off by .024 and .098
    model = LOCOClassifier(hidden_sizes=(32,), seed=0)
    right = []
    sure = []
    for start in range(0, len(X), 50):
        rows = slice(start, start + 50)
        if start >= 2000:
            proba = model.predict_proba_array(X[rows])
            right.extend(np.array(model.classes)[proba.argmax(axis=1)] == y[rows])
            sure.extend(proba.max(axis=1))
        model.learn_array(X[rows], y[rows])
    right = np.array(right)
    place = np.floor(np.array(sure) * 10.0)
    off = [abs(np.sum(right[place == b] - np.array(sure)[place == b])) for b in np.unique(place)]
    assert sum(off) / len(right) < (0.04 if noise else 0.015)
