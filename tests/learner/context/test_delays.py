"""Delays: relations between rows, and blocks, tickets, copies and files."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream._learner.context.delays import lag_range
from loco_stream.errors import CheckpointError, ConfigError, InputError
from tests.helpers.models import arrays_of, assert_same, blobs, parameters
from tests.helpers.twins import (
    assert_same_state,
    irregular_times,
    run_both_delayed,
    stream,
    targets_for,
)

MEMORY = (0.3, 50.0)


def small(make=LOCOClassifier, **options):
    return make(**parameters(**{"hidden_sizes": (16,), "seed": 1, "max_delay": 4} | options))


def learned(make=LOCOClassifier, n=60, **options):
    X, y = blobs(n)
    model = small(make, **options)
    model.learn_array(X, targets_for(make, X, y), t=irregular_times(n))
    return model


def context_of(model):
    return model._core.state.context


def xor(n, lag, seed):
    """Draw noisy bits among noise; the label is a row's bit XOR the bit `lag` rows before."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3))
    X[:, 0] = 2.0 * bits - 1.0 + 0.2 * X[:, 0]
    return X, bits ^ np.roll(bits, lag)


# The twin


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"memory": MEMORY},
        {"hidden_sizes": (6, 5), "plastic": 0.5},
        {"rule": "np", "credit": "learned"},
        {"receptive_fields": 1, "cluster_size": 2},
        {"max_delay": 9, "credit": "perturbation"},
    ],
    ids=str,
)
def test_with_delays_and_late_labels_a_model_equals_its_twin(make, delay, options):
    X, y = stream(70)
    y = np.r_[y[:20], np.repeat(y[20:22], 25)]  # runs of one label beyond the rows of whole steps
    y = targets_for(make, X, y)
    options = {"hidden_sizes": (7,), "max_delay": 3} | options
    t = irregular_times(70)
    model, twin = run_both_delayed(make, X, y, t, delay=delay, rtol=1e-4, **options)
    assert_same_state(model, twin, 1e-3)
    np.testing.assert_allclose(context_of(model).ring, twin.past, atol=1e-5)


# Learning


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_relations_between_rows_are_learned_and_frozen_layers_miss_them(seed):
    X, y = xor(10_000, 3, seed)
    half = len(y) // 2
    accuracy = {}
    for rule in ("loco", "frozen"):
        predicted = LOCOClassifier(max_delay=9, rule=rule, seed=seed).learn_predict_array(X, y)
        accuracy[rule] = np.mean(predicted[half:] == y[half:])
    assert accuracy["loco"] >= 0.95
    assert accuracy["frozen"] <= 0.60


def test_a_row_beyond_the_longest_delay_is_forgotten():
    model = learned(memory=None)
    X = blobs(12, seed=4)[0]
    five_before = X.copy()
    four_before = X.copy()
    five_before[6] = 9.0
    four_before[7] = 9.0
    unchanged, forgotten, changed = (
        model.predict_proba_array(rows)[-1].tolist() for rows in (X, five_before, four_before)
    )
    assert forgotten == unchanged
    assert changed != unchanged


def test_the_neurons_of_each_line_are_in_a_random_order():
    targets = context_of(learned(hidden_sizes=(20,))).delay_targets
    assert (np.sort(targets, axis=1) == np.arange(20)).all()
    assert len({tuple(row) for row in targets.tolist()}) == len(targets)


@pytest.mark.parametrize("width", [1, 2, 6, 20])
def test_with_a_memory_every_fourth_neuron_has_no_delays(width):
    model = learned(memory=MEMORY, hidden_sizes=(width,), max_delay=4)
    settings = model._core.settings
    end_of_undelayed = lag_range(settings, width, 0)[1]
    assert lag_range(settings, width, 4)[1] == width
    undelayed = set(range(1, width, 4))
    targets = context_of(model).delay_targets.tolist()
    assert all(undelayed <= set(row[:end_of_undelayed]) for row in targets)


@pytest.mark.slow
def test_delays_do_not_harm_the_memory():
    """Accuracy on later rows was .933 with lags at every synapse."""
    accuracy = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        gaps = rng.lognormal(-0.5, 1.2, 10_000)
        X = rng.normal(size=(10_000, 3))
        total = 0.0
        y = []
        for gap, (value, *_) in zip(gaps, X, strict=True):
            total = total * np.exp(-gap / 10.0) + value
            y.append(total > 0.0)
        model = LOCOClassifier(memory=MEMORY, max_delay=9, hidden_sizes=256, seed=seed)
        predicted = model.learn_predict_array(X, y, t=np.cumsum(gaps))
        accuracy.append(np.mean(predicted[5000:] == y[5000:]))
    assert np.mean(accuracy) > 0.94


def test_an_explanation_has_the_part_of_delayed_synapses_as_earlier_rows():
    model = learned(memory=None)
    row = {0: 0.5, 1: 0.1, 2: 0.0, 3: 1.0}
    assert abs(model.explain_one(row).before) > 1e-4
    model.reset_context()
    assert model.explain_one(row).before == pytest.approx(0.0, abs=1e-5)


# Blocks, tickets, copies


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_blocks_rows_by_name_and_tickets_are_bit_identical(make, memory):
    X, y = blobs(120)
    y = targets_for(make, X, y)
    t = irregular_times(120)
    sequence = np.repeat([1, 2, 1, 3], [30, 40, 20, 30])
    whole, halves, single, ticketed = (small(make, memory=memory) for _ in range(4))
    predicted = whole.learn_predict_array(X, y, t=t, sequence=sequence)
    for part in (slice(0, 37), slice(37, 120)):
        halves.learn_array(X[part], y[part], t=t[part], sequence=sequence[part])
    for i in range(120):
        x = dict(enumerate(X[i]))
        for model in (single, ticketed):
            if i and sequence[i] != sequence[i - 1]:
                model.reset_context()
        assert single.predict_one(x, t[i]) == predicted[i] or i == 0
        single.learn_one(x, y[i], t[i])
        if i:
            ticketed.learn_one(ticketed.observe_one(x, t[i]), y[i])
        else:
            ticketed.learn_one(x, y[i], t[i])
    for other in (halves, single, ticketed):
        assert_same(arrays_of(whole), arrays_of(other))


def test_predictions_change_nothing_and_rows_of_a_block_follow_one_another():
    model = learned()
    X = blobs(20, seed=5)[0]
    before = pickle.dumps(model)
    block = model.predict_proba_array(X)
    model.predict_array(X, sequence=["a"] * 20)
    model.predict_array(X[:1], sequence=["b"])
    assert pickle.dumps(model) == before
    for i, row in enumerate(X):
        ticket = model.observe_one(dict(enumerate(row)))
        assert list(ticket.proba.values()) == block[i].tolist()


@pytest.mark.parametrize("way", ["pickle", "copy", "save"])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_a_restored_model_continues_with_its_context_and_its_tickets(way, memory, tmp_path):
    model = learned(memory=memory)
    X, y = blobs(40, seed=7)
    ticket = model.observe_one(dict(enumerate(X[0])))
    if way == "save":
        save(model, tmp_path / "model.loco")
        again = load(tmp_path / "model.loco")
    else:
        again = copy.deepcopy(model) if way == "copy" else pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.learn_one(ticket, int(y[0]))
        each.learn_array(X[1:], y[1:], sequence=["same"] * 39)
    assert_same(arrays_of(model), arrays_of(again))


def test_a_sequence_and_a_reset_start_without_earlier_rows():
    model = learned()
    other = copy.deepcopy(model)
    other.learn_array(*blobs(10, seed=3))
    model.reset_context()
    assert not context_of(model).ring.any()
    X = blobs(5, seed=8)[0]
    first = model.predict_proba_array(X, sequence=["new"] * 5)
    assert first.tolist() == model.predict_proba_array(X).tolist()
    other.learn_sequence(X, 1)
    continued = other.predict_proba_array(X)
    assert not np.array_equal(continued, other.predict_proba_array(X, sequence=["new"] * 5))


def test_a_ticket_stays_valid_when_features_come_and_one_of_another_model_is_refused():
    model = learned()
    ticket = model.observe_one({0: 0.1, 9: 2.0})
    for label in range(3, 8):
        model.learn_one({0: float(label), 10 + label: 1.0}, label)
    model.learn_one(ticket, "new")
    assert model.skipped_updates == 0
    assert np.isfinite(model._core.state.net.weights).all()
    other = learned(hidden_sizes=(8,), memory=MEMORY).observe_one({0: 1.0})
    with pytest.raises(InputError, match="`x` must be a ticket of this model"):
        model.learn_one(other, 1)


# Errors


@pytest.mark.parametrize("max_delay", [-1, 257, 1.0, True, None])
def test_an_impossible_delay_is_refused(max_delay):
    with pytest.raises(ConfigError, match=r"`max_delay` must be an integer from 0 to 256, got "):
        LOCOClassifier(max_delay=max_delay)


def test_delays_are_refused_with_clusters_and_by_a_network():
    with pytest.raises(
        ConfigError, match="`max_delay` must be 0 with `projection` 'clusters', got 2"
    ):
        small(max_delay=2, projection="clusters")
    with pytest.raises(ConfigError, match=r"`max_delay` must be 0 for a Network, .* got 4"):
        learned().to_network()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context.ring", 2.0),
        ("context.ring", np.nan),
        ("context.run", np.inf),
        ("context.clock", np.inf),
        ("context.delay_targets", 2**30),
    ],
)
def test_a_damaged_file_is_refused(name, value):
    config, arrays = learned().export_state()
    arrays[name].flat[0] = value
    with pytest.raises(CheckpointError, match=name):
        LOCOClassifier.from_state(config, arrays)
