"""Late labels: the share of an observation that each is, and of a step."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from river import datasets

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._compiler.jit import kernel
from loco_stream._learner.delayed_labels import weights
from loco_stream._learner.delayed_labels.weights import LARGEST_LENGTH, READOUT_FIRST, RISE
from loco_stream._learner.readout import delayed_values
from tests.helpers.jitted import jitted, on_model
from tests.helpers.models import untrained
from tests.helpers.naive_delayed import Sequences

SEQUENCE_ROWS = 50


@kernel
def _shares(settings, state, scratch, label, written, share):
    return weights.delayed_label_weights(settings, state, label, written, share)


run_shares = on_model(_shares)
independent_share = jitted(delayed_values.independent_share)


def late_shares(labels, n_classes, delay=0, most=1.0):
    """Return both shares of each late label, and the model's arrays.

    One state of the model predicts `SEQUENCE_ROWS` rows, whose labels come together. With a `delay`
    the label of each row comes so many rows later. The shares are compared with the twin's.
    """
    args = untrained(1, n_classes, hidden_sizes=4)
    state = args.model.state
    found = []
    expected = []
    twin = Sequences()
    for n_seen, label in enumerate(labels):
        state.classes.n_rows[label] += 1.0
        state.counts.n_seen = n_seen
        start = n_seen - n_seen % SEQUENCE_ROWS
        n_learned = float(max(n_seen - delay, 0) if delay else start)
        n_tickets = n_seen + 1 + delay if delay else start + SEQUENCE_ROWS
        state.delayed.n_tickets = n_tickets
        found.append(run_shares(args, label, (n_learned, n_seen + 1.0), most))
        state.counts.last_label = label
        waiting = n_tickets - n_seen
        so_far = labels[: n_seen + 1].tolist()
        expected.append(twin.share(so_far, n_seen, n_learned, waiting, most))
    np.testing.assert_allclose(np.array(found)[:, 0], expected)
    return np.array(found), args


def test_rows_of_a_sequence_are_one_observation_together():
    found, args = late_shares(np.repeat([0, 1, 2, 0, 1, 2, 0, 1, 2], SEQUENCE_ROWS), 3)
    sums = found[:, 0].reshape(9, SEQUENCE_ROWS).sum(axis=1)
    assert sums[1] == pytest.approx(1.0)  # so many rows wait, and no sequence is over yet
    assert sums[3:] == pytest.approx(np.ones(6), abs=1.0)
    assert found[:, 0].tolist() == found[:, 1].tolist()
    state = args.model.state
    assert state.delayed.surplus == pytest.approx((1.0 - found[:, 0]).sum())


def test_a_share_is_never_more_than_requested():
    found, _ = late_shares(np.repeat([0, 1], SEQUENCE_ROWS), 2, most=0.01)
    assert found.max() == 0.01


def test_labels_drawn_one_by_one_are_nearly_whole_observations_even_rare_ones():
    rng = np.random.default_rng(0)
    assert late_shares(rng.integers(0, 4, 2000), 4)[0].mean() > 0.9
    assert late_shares((rng.random(5000) < 0.01).astype(int), 2)[0].mean() > 0.75


def test_rows_whose_labels_come_one_by_one_are_few_observations_while_the_label_stays():
    found, args = late_shares(np.repeat([0, 1, 2, 0, 1, 2, 0, 1, 2], 80), 3, delay=100)
    sums = found[:, 0].reshape(9, 80).sum(axis=1)
    assert sums[3:] == pytest.approx(np.full(6, 80 / LARGEST_LENGTH), rel=0.05)
    assert weights.count_observations.py_func(args.model.state) < 60


def test_late_labels_of_one_class_are_whole_observations_if_others_are_learned_between():
    """The mean weight was .09 where only the label of a late row ended a sequence."""
    args = untrained(1, 2, hidden_sizes=4)
    state = args.model.state
    found = []
    for n_seen in range(100, 2100):
        state.counts.n_seen = n_seen
        label = int(n_seen % 50 == 0)
        state.classes.n_rows[label] += 1.0
        if label:
            state.delayed.n_tickets += 1.0
            written = (n_seen - 30.0, state.delayed.n_tickets - 1.0)
            found.append(run_shares(args, label, written, 1.0)[0])
        state.counts.last_label = label
    assert np.mean(found[1:]) > 0.9


@pytest.mark.parametrize("label", [0, 1])
def test_the_first_late_rows_that_came_together_are_one_observation(label):
    args = untrained(1, 2, hidden_sizes=4)
    state = args.model.state
    state.delayed.n_tickets = 200.0
    state.counts.last_label = label
    found = []
    for i in range(200):
        state.counts.n_seen = 101 + i
        state.classes.n_rows[label] += 1.0
        found.append(run_shares(args, label, (100.0, i + 1.0), 1.0)[0])
    assert sum(found) == pytest.approx(1.0)


def test_a_second_block_of_the_same_label_counts_as_about_one_observation():
    args = untrained(1, 50, hidden_sizes=4)
    state = args.model.state
    sums = []
    for block in range(40):
        label = block // 2 % 50
        weight = 0.0
        for i in range(100):
            state.counts.n_seen = 100 * block + i + 100
            state.delayed.n_tickets = 100.0 * (block + 2)
            state.classes.n_rows[label] += 1.0
            written = (100.0 * block, 100.0 * block + i)
            weight += run_shares(args, label, written, 1.0)[0]
            state.counts.last_label = label
        sums.append(weight)
    assert max(sums[4:]) < 1.5


def test_labels_drawn_one_by_one_that_come_late_are_nearly_whole_observations():
    labels = np.random.default_rng(0).integers(0, 4, 2000)
    assert late_shares(labels, 4, delay=100)[0].mean() > 0.9


@pytest.mark.parametrize(
    ("memory", "n_seen", "expected"),
    [(None, 299, 0.0), (None, 450, 0.5), (None, 600, 1.0), ((0.3, 50.0), 450, 0.5)],
)
def test_late_values_teach_the_readout_first(memory, n_seen, expected):
    args = untrained(1, 1, regression=True, hidden_sizes=4, memory=memory)
    state = args.model.state
    state.counts.n_seen = n_seen
    state.delayed.n_tickets = 7.0
    assert run_shares(args, 0, (n_seen - 20.0, 7.0), 1.0) == (1.0, expected)
    assert state.delayed.is_delayed == 1.0


def test_the_last_row_observed_is_not_late_if_no_row_was_learned_since():
    args = untrained(1, 1, regression=True, hidden_sizes=4, memory=(0.3, 50.0))
    state = args.model.state
    state.counts.n_seen = 500
    state.delayed.n_tickets = 7.0
    risen = (500 - READOUT_FIRST) / RISE
    assert run_shares(args, 0, (500.0, 6.0), 1.0) == (1.0, risen)  # the first of a batch is late
    assert run_shares(args, 0, (500.0, 7.0), 1.0) == (1.0, 1.0)
    assert state.delayed.n_tickets == 6.0  # as if it had been learned without a ticket


def test_members_that_did_well_when_rows_were_predicted_get_the_weight_of_late_values():
    """R2 was .45 with the stack of the earlier outputs alone, .677 where every row counts whole."""
    rows = list(datasets.TrumpApproval())
    model = LOCORegressor(seed=0)
    waiting = deque()
    predicted = []
    for row, value in rows:
        if len(waiting) == 20:
            model.learn_one(*waiting.popleft())
        waiting.append((model.observe_one(row), value))
        predicted.append(waiting[-1][0].prediction)
    y = np.array([value for _, value in rows[21:]])
    total = np.square(y - y.mean()).sum()
    assert 1.0 - np.square(predicted[21:] - y).sum() / total > 0.69


@pytest.mark.parametrize(("signs", "share"), [((1.0, -1.0), 1.0), ((1.0, 1.0), 0.1 / 1.9)])
def test_errors_that_are_alike_count_as_few_observations(signs, share):
    errors = untrained(1, 1, regression=True, hidden_sizes=4).model.state.delayed_values.errors
    shares = [independent_share(errors, signs[i % 2]) for i in range(1000)]
    assert shares[-1] == pytest.approx(share, rel=0.02)


def sequences(n, seed):
    """Draw sequences of 100 rows whose label is the size of their noise."""
    rng = np.random.default_rng(seed)
    for label in rng.integers(0, 4, n).tolist():
        size = np.array([0.3, 0.8, 1.5, 3.0])[label] * rng.lognormal(0.0, 0.3, (1, 6))
        yield size * rng.normal(size=(100, 6)) + 0.5 * rng.normal(size=(1, 6)), label


@pytest.mark.slow
def test_rows_of_one_sequence_do_not_dominate_the_weights():
    """Accuracy on later sequences was .667 where each row is a whole observation."""
    correct = []
    for seed in range(4):
        model = LOCOClassifier(memory=(0.3, 50.0), seed=seed)
        for X, label in sequences(80, seed):
            correct.append(model.predict_sequence(X) == label)
            model.learn_sequence(X, label)
    assert np.mean(np.reshape(correct, (4, 80))[:, 20:]) > 0.69
