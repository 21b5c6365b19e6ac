"""What a ticket says of the probabilities that were predicted."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.delayed_labels.pending import places_of
from tests.helpers.twins import run_both_delayed, stream

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
    places = places_of(model._core.settings, K, ROWS.shape[1])
    change(ticket.predicted[places.answers : places.codes])
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


def test_rows_from_before_the_first_label_are_learned_as_in_the_twin():
    X, y = stream(90)
    _, twin = run_both_delayed(LOCOClassifier, X, y, np.arange(90.0), delay=40, n_first=0)
    assert twin.n_seen == 50


def test_what_the_ensemble_answered_with_snapshots_is_learned_as_in_the_twin():
    X, y = stream(420, n_classes=2)
    y[300:] = 1 - y[300:]  # the concept ends, and its copy gets weight
    t = np.arange(420.0)
    model, twin = run_both_delayed(LOCOClassifier, X, y, t, delay=20, hidden_sizes=(5,), atol=0.02)
    assert model.recalled[0] >= 1
    np.testing.assert_allclose(model._core.state.next_row.weights, twin.next_row.weights, atol=1e-5)


def test_experts_are_told_apart_by_rows_from_before_the_first_label():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(460, 4))
    y = (X[:, 0] * X[:, 1] > 0.0).astype(int)
    model = LOCOClassifier(seed=1)
    tickets = [model.observe_one(dict(enumerate(row))) for row in X[:400]]
    for ticket, label in zip(tickets, y, strict=False):
        model.learn_one(ticket, label)
    at_once = LOCOClassifier(seed=1)
    at_once.learn_array(X[:400], y[:400])
    right, expected = (
        np.mean(each.predict_array(X[400:], in_stream=True) == y[400:]) for each in (model, at_once)
    )
    assert right > expected - 0.07
    weights = model.explain_one(dict(enumerate(X[400]))).experts
    assert weights["naive Bayes"] < 0.1
