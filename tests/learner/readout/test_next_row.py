"""The mixture of the stream's next row: how fast it changes its mind."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.readout import next_row

N_CLASSES = 6


def _drawn(rng, centres, y):
    return centres[y] + rng.normal(size=(len(y), centres.shape[1]))


def test_classes_that_came_one_by_one_and_return_together_are_known_at_once():
    """After hundreds of rows in which the last label said all, the features have to say it."""
    hits = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        centres = 2.0 * rng.normal(size=(N_CLASSES, 5))
        one_by_one = np.repeat(np.arange(N_CLASSES), 300)
        together = rng.integers(0, N_CLASSES, 60)
        model = LOCOClassifier(seed=seed)
        model.learn_array(_drawn(rng, centres, one_by_one), one_by_one)
        predicted = model.learn_predict_array(_drawn(rng, centres, together), together)
        hits.append(np.mean(predicted == together))
    assert np.mean(hits) > 0.83  # .76 without a bound


def test_no_expert_falls_further_behind_than_the_largest_lead():
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(N_CLASSES), 100)
    X = rng.normal(size=(len(y), 3))  # says nothing of the class
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    stack = model._core.state.next_row
    weights = stack.log_weights[stack.contexts == 0.0]
    assert np.ptp(weights) == pytest.approx(next_row.LARGEST_LEAD)


def test_labels_that_change_places_move_no_weight_far():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1600)
    X = 3.0 * rng.normal(size=(4, 20))[labels] + rng.normal(size=(1600, 20))
    model = LOCOClassifier(hidden_sizes=(16,), seed=0)
    model.learn_array(X[:1500], labels[:1500])
    for x, label in zip(X[1500:], (labels[1500:] + 1) % 4, strict=True):
        model.learn_array(x[None], [label])
        stack = model._core.state.next_row
        assert (
            stack.weights[stack.contexts == 0.0].min() > -0.3
        )  # -2.5 without the squared gradient
