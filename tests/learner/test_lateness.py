"""Late labels: what share of an observation, and of a step, each makes."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from river import datasets

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.learner.arrays.allocate import allocate
from loco_stream.learner.arrays.state import (
    CLASS_COUNT,
    EVER_LATE,
    N_CLASSES,
    N_SEEN,
    SURPLUS,
    TICKETS,
)
from loco_stream.learner.delayed_labels import weights as lateness
from loco_stream.learner.readout import delayed_values as late_values
from tests.helpers.doors import doors
from tests.helpers.naive_late import Events

lateness = doors(lateness)
late_values = doors(late_values)


def fresh(make, n_classes, **options):
    """Return settings and state of a model of one feature that has seen nothing."""
    model = make(hidden_sizes=(4,), **options)
    layout = model._config.layout_for(1)
    settings = model._config.settings(layout, regression=make is LOCORegressor, seed_key=1)
    state = allocate(layout, settings, 1, n_classes)
    state.counts[N_CLASSES] = n_classes
    return settings, state


def shares(labels, n_classes, event=50, step=1.0):
    """Return both shares of each late label, so many predicted by one model, the twin's, and the state they leave."""
    (settings, state), found, twin, expected = fresh(LOCOClassifier, n_classes), [], Events(), []
    for n_seen, label in enumerate(labels):
        state.classes[CLASS_COUNT, label] += 1.0
        state.counts[N_SEEN] = n_seen
        n_learned = n_seen - n_seen % event - 1
        if n_seen % event == 0:
            state.late[TICKETS] += event
        serial = state.late[TICKETS] - event + 1 + n_seen % event
        found.append(lateness.shares(settings, state, label, n_learned, serial, step))
        waiting = state.late[TICKETS] - serial + 1
        expected.append(twin.share(labels[: n_seen + 1].tolist(), n_learned, waiting, step))
    np.testing.assert_allclose(np.array(found)[:, 0], expected)
    return np.array(found), state


def test_rows_of_an_event_are_one_observation_together():
    found, state = shares(np.repeat([0, 1, 2, 0, 1, 2, 0, 1, 2], 50), 3)
    sums = found[:, 0].reshape(9, 50).sum(axis=1)
    assert sums[1] == pytest.approx(1.0)  # so many rows wait, and no event is over yet
    assert sums[3:] == pytest.approx(np.ones(6), abs=1.0)
    assert found[:, 0].tolist() == found[:, 1].tolist()
    state.counts[N_SEEN] = 450
    assert state.late[SURPLUS] == pytest.approx((1.0 - found[:, 0]).sum())
    assert lateness.rows_a_draw(state) == pytest.approx(450 / sums.sum())


def test_a_step_is_never_more_than_was_asked_for():
    found, _ = shares(np.repeat([0, 1], 50), 2, step=0.01)
    assert found.max() == 0.01


def test_labels_drawn_one_by_one_are_nearly_whole_observations_however_rare_one_is():
    rng = np.random.default_rng(0)
    assert shares(rng.integers(0, 4, 2000), 4)[0].mean() > 0.9
    assert shares((rng.random(5000) < 0.01).astype(int), 2)[0].mean() > 0.75


def test_labels_that_come_late_by_as_many_rows_each_are_whole_observations():
    found, state = shares(np.repeat([0, 1, 0, 1], 50), 2, event=1)
    assert (found.tolist(), lateness.rows_a_draw(state)) == ([[1.0, 1.0]] * 200, 1.0)


@pytest.mark.parametrize(
    ("memory", "n_seen", "expected"),
    [(None, 299, 0.0), (None, 450, 0.5), (None, 600, 1.0), ((0.3, 50.0), 5000, 0.0)],
)
def test_late_values_teach_the_readout_first_and_with_a_memory_alone(memory, n_seen, expected):
    settings, state = fresh(LOCORegressor, 1, memory=memory)
    state.counts[N_SEEN] = n_seen
    state.late[TICKETS] = 7.0
    assert lateness.shares(settings, state, 0, n_seen - 20, 7.0, 1.0) == (1.0, expected)
    assert state.late[EVER_LATE] == 1.0


def test_the_last_row_observed_is_not_late_if_none_was_learned_since():
    settings, state = fresh(LOCORegressor, 1, memory=(0.3, 50.0))
    state.counts[N_SEEN] = 500
    state.late[TICKETS] = 7.0
    assert lateness.shares(settings, state, 0, 500, 6.0, 1.0) == (
        1.0,
        0.0,
    )  # the first of a batch is late
    assert lateness.shares(settings, state, 0, 500, 7.0, 1.0) == (1.0, 1.0)
    assert state.late[TICKETS] == 6.0  # as if it had been learned without a ticket


def test_late_values_are_left_to_who_did_well_when_rows_were_predicted():
    """The stack of what was said then, alone, left an R2 of .45, and rows that count whole each .677."""
    rows = [(row, value) for row, value in datasets.TrumpApproval()]
    model = LOCORegressor(seed=0)
    waiting = deque()
    said = []
    for row, value in rows:
        if len(waiting) == 20:
            model.learn_one(*waiting.popleft())
        waiting.append((model.observe_one(row), value))
        said.append(waiting[-1][0].prediction)
    y = np.array([value for _, value in rows[21:]])
    assert 1.0 - np.square(said[21:] - y).sum() / np.square(y - y.mean()).sum() > 0.69


@pytest.mark.parametrize(("signs", "share"), [((1.0, -1.0), 1.0), ((1.0, 1.0), 0.1 / 1.9)])
def test_errors_that_are_alike_count_as_few_observations(signs, share):
    _, state = fresh(LOCORegressor, 1)
    shares = [late_values.own_share(state.late_values.alike, signs[i % 2]) for i in range(1000)]
    assert shares[-1] == pytest.approx(share, rel=0.02)


def events(n, seed):
    """Draw events of 100 rows whose label is the size of their noise."""
    rng = np.random.default_rng(seed)
    for label in rng.integers(0, 4, n).tolist():
        size = np.array([0.3, 0.8, 1.5, 3.0])[label] * rng.lognormal(0.0, 0.3, (1, 6))
        yield size * rng.normal(size=(100, 6)) + 0.5 * rng.normal(size=(1, 6)), label


@pytest.mark.slow
def test_rows_of_one_event_do_not_drown_out_whom_to_trust():
    """As whole observations they left .667 of the later events right."""
    right = []
    for seed in range(4):
        model = LOCOClassifier(memory=(0.3, 50.0), seed=seed)
        for X, label in events(80, seed):
            right.append(model.predict_sequence(X) == label)
            model.learn_sequence(X, label)
    assert np.mean(np.reshape(right, (4, 80))[:, 20:]) > 0.69
