"""Late labels: what share of an observation, and of a step, each makes."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.learner import lateness
from loco_stream.learner.state import CLASS_COUNT, N_CLASSES, N_SEEN, allocate
from tests.helpers.doors import doors

lateness = doors(lateness)


def fresh(make, n_classes, **options):
    """Return settings and state of a model of one feature that has seen nothing."""
    model = make(hidden_sizes=(4,), **options)
    layout = model._config.layout_for(1)
    settings = model._config.settings(layout, regression=make is LOCORegressor, seed_key=1)
    state = allocate(layout, settings, 1, n_classes)
    state.counts[N_CLASSES] = n_classes
    return settings, state


def shares(labels, n_classes, event=50, step=1.0):
    """Return both shares of each late label, so many predicted by one model, and the state they leave."""
    (settings, state), found = fresh(LOCOClassifier, n_classes), []
    for n_seen, label in enumerate(labels):
        state.classes[CLASS_COUNT, label] += 1.0
        state.counts[N_SEEN] = n_seen
        found.append(lateness.shares(settings, state, label, n_seen - n_seen % event - 1, step))
    return np.array(found), state


def test_the_kth_row_of_an_event_is_so_much_of_an_observation():
    found, state = shares(np.repeat([0, 1, 0, 1], 50), 2)
    assert found[100:150, 0] == pytest.approx(np.minimum(1.0, np.arange(101, 151) / 50 / np.arange(1, 51)))
    assert state.late[lateness.BEYOND] == pytest.approx((1.0 - found[:, 0]).sum())
    state.counts[N_SEEN] = 200
    assert lateness.rows_a_draw(state) == pytest.approx(200 / found[:, 0].sum())


def test_labels_drawn_one_by_one_are_nearly_whole_observations_however_rare_one_is():
    rng = np.random.default_rng(0)
    assert shares(rng.integers(0, 4, 2000), 4)[0].mean() > 0.9
    assert shares((rng.random(5000) < 0.01).astype(int), 2)[0].mean() > 0.75


def test_labels_that_come_late_by_as_many_rows_each_are_whole_observations():
    found, state = shares(np.repeat([0, 1, 0, 1], 50), 2, event=1)
    assert (found.tolist(), lateness.rows_a_draw(state)) == ([[1.0, 1.0]] * 200, 1.0)


def test_hidden_layers_make_about_one_step_an_event():
    whole, asked = shares(np.repeat([0, 1], 50), 2)[0], shares(np.repeat([0, 1], 50), 2, step=0.02)[0]
    assert whole[51:, 0].tolist() == whole[51:, 1].tolist()
    assert asked[:, 1].max() == 0.02


@pytest.mark.parametrize(
    ("memory", "n_seen", "expected"), [(None, 499, 0.0), (None, 500, 1.0), ((0.3, 50.0), 5000, 0.0)]
)
def test_late_values_teach_the_readout_first_and_with_a_memory_alone(memory, n_seen, expected):
    settings, state = fresh(LOCORegressor, 1, memory=memory)
    state.counts[N_SEEN] = n_seen
    assert lateness.shares(settings, state, 0, n_seen - 20, 1.0) == (1.0, expected)
    assert lateness.shares(settings, state, 0, n_seen, 1.0) == (1.0, 1.0)


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
