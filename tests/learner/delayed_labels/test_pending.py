"""What a ticket says of the probabilities that were predicted."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.delayed_labels.pending import n_answers

K = 3
ROWS = np.random.default_rng(0).normal(size=(90, 4))
LABELS = (np.arange(90) % K).astype(int)


@pytest.fixture(scope="module")
def late():
    """Return a model with a row whose label is late, and the row's ticket."""
    model = LOCOClassifier(hidden_sizes=(4,), seed=0)
    model.learn_array(ROWS[:80], LABELS[:80])
    ticket = model.observe_one(dict(enumerate(ROWS[80])))
    model.learn_array(ROWS[81:85], LABELS[81:85])
    return pickle.dumps((model, ticket))


def learned(late, change):
    """Return the probabilities of a model after a late label, its ticket changed before."""
    model, ticket = pickle.loads(late)
    size = n_answers(model._core.settings) * K
    change(ticket.predicted[len(ticket.predicted) - size :])
    model.learn_one(ticket, 0)
    return model.predict_proba_array(ROWS[85:], in_stream=True)


def test_experts_are_weighed_by_what_was_predicted(late):
    def reverse(answers):
        answers[:] = answers.reshape(-1, K)[:, ::-1].ravel()

    assert not np.array_equal(learned(late, reverse), learned(late, lambda answers: None))


@pytest.mark.parametrize("value", [7.0, -1e-9, 0.0, 0.5, 1.0])
def test_what_are_no_probabilities_counts_as_unknown(late, value):
    unknown = learned(late, lambda answers: answers.fill(-1.0))
    assert np.isfinite(unknown).all()
    np.testing.assert_array_equal(learned(late, lambda answers: answers.fill(value)), unknown)
