"""Fading shares of recent labels."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout.experts import recency
from loco_stream._learner.readout.experts._definition import scores_as_log_odds
from tests.helpers.jitted import on_model
from tests.helpers.models import untrained
from tests.helpers.naive_fixed import Followers

N_CLASSES = 4


@kernel
def _log_odds(settings, state, scratch, scores, odds):
    scores_as_log_odds(settings, state, scores, odds)


predict = on_model(recency.predict)
learn = on_model(recency.learn)
log_odds = on_model(_log_odds)


def scores_of(args):
    scores = np.zeros(N_CLASSES, np.float32)
    predict(args, np.zeros(0, np.float32), scores)
    return scores


def learn_label(args, label):
    learn(args, np.zeros(0, np.float32), np.zeros((0, N_CLASSES)), label, 0.0)
    args.model.state.classes.n_rows[label] += 1.0


def test_shares_of_recent_labels_equal_the_twin():
    args = untrained(2, N_CLASSES, hidden_sizes=4)
    twin = Followers(N_CLASSES)
    rng = np.random.default_rng(0)
    for label in rng.integers(0, 3, 200).tolist():
        learn_label(args, label)
        twin.learn(None, label)
        expected = twin.scores(None, N_CLASSES)[0]
        scores = scores_of(args)
        assert np.allclose(scores, expected, atol=1e-5)
    odds = np.full((1, N_CLASSES), 9.0)
    args.model.state.counts.n_classes = 3
    log_odds(args, scores, odds)
    assert odds[0].tolist() == [*scores[:3].astype(float), 9.0]


def test_a_class_fades_by_the_labels_after_it():
    args = untrained(2, N_CLASSES, hidden_sizes=4)
    learn_label(args, 1)
    for _ in range(50):
        learn_label(args, 0)
    shares = args.model.state.experts.recency.shares
    kept = 1.0 - recency.RATE
    assert shares[:2] == pytest.approx([1.0 - kept**50, recency.RATE * kept**50])
    assert shares.sum() == pytest.approx(1.0 - kept**51)


def test_a_rare_class_is_not_likelier_by_one_row_of_it():
    args = untrained(2, N_CLASSES, hidden_sizes=4)
    args.model.state.counts.n_classes = 3
    args.model.state.classes.n_rows[:3] = [5000.0, 5000.0, 10.0]
    for label in [0, 1] * 100:
        learn_label(args, label)
    before = scores_of(args)
    assert before[:2] == pytest.approx(0.0, abs=0.05)
    assert before[2] == pytest.approx(0.0, abs=0.1)
    learn_label(args, 2)
    assert scores_of(args)[2] < np.log(2.0)


def test_a_class_that_did_not_come_lately_is_less_likely_than_an_unknown_one():
    args = untrained(2, N_CLASSES, hidden_sizes=4)
    args.model.state.counts.n_classes = 2
    for label in [1] * 300 + [0] * 300:
        learn_label(args, label)
    scores = scores_of(args)
    assert scores[1] < -2.0
    assert scores[2:].tolist() == [0.0, 0.0]


def test_without_a_fixed_layer_nothing_is_counted():
    args = untrained(2, N_CLASSES, hidden_sizes=4, fixed_neurons=0)
    learn_label(args, 1)
    assert not args.model.state.experts.recency.shares.any()
