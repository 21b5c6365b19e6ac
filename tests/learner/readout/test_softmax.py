from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.readout import softmax
from tests.helpers import naive
from tests.helpers.jitted import jitted_module

softmax = jitted_module(softmax)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0.1, 40), st.integers(0, 5))
def test_probabilities_are_a_softmax_and_the_loss_is_its_cross_entropy(scores, sharpness, label):
    n = len(scores)
    proba = np.full(n + 1, -1.0)
    target = np.eye(n)[label % n]
    softmax.softmax(np.array([9.0, *scores]), 1, n, sharpness, proba)
    assert np.allclose(proba[:-1], naive.softmax(sharpness * np.array(scores)))
    assert proba[-1] == -1.0
    assert proba[:-1].sum() == pytest.approx(1.0)
    loss = softmax.loss_of(False, np.array(scores), target, n)
    assert loss == pytest.approx(naive.loss(np.array(scores), target, False), abs=1e-9)
    of_value = softmax.loss_of(True, np.array([scores[0]]), np.array([2.0]), 1)
    assert of_value == pytest.approx(0.5 * (scores[0] - 2) ** 2)


def test_huge_scores_give_probabilities():
    proba = np.zeros(3)
    softmax.softmax(np.array([1e308, -1e308, 0.0]), 0, 3, 1.0, proba)
    assert proba.tolist() == [1.0, 0.0, 0.0]
