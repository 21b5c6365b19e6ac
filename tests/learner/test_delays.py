"""Synapses with delays: what their rows of lag tell together, and that nothing of it is lost on any road."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.learner.context.delays import lag_range
from loco_stream.options import ModelConfig
from tests.helpers.models import arrays_of, assert_same, blobs
from tests.helpers.naive_learner import Learner
from tests.learner.test_memory import irregular, targets
from tests.learner.test_twin import same_state, stream

MEMORY = (0.3, 50.0)


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (16,), "seed": 1, "max_delay": 4} | options)


def learned(make=LOCOClassifier, n=60, **options):
    X, y = blobs(n)
    model = small(make, **options)
    model.learn_array(X, targets(X, make is LOCORegressor, y), t=irregular(n))
    return model


def xor(n, lag, seed):
    """Draw noisy bits among noise; the label is this row's XOR that of the row `lag` before."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3))
    X[:, 0] = 2.0 * bits - 1.0 + 0.2 * X[:, 0]
    return X, bits ^ np.roll(bits, lag)


# What the twin says


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("late", [0, 4])
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
def test_with_delays_and_late_labels_a_model_is_its_twin(make, late, options):
    regression = make is LOCORegressor
    X, y = stream(70)
    y = np.r_[y[:20], np.repeat(y[20:22], 25)]  # runs of one label, longer than whole steps reach
    y = targets(X, regression, y)
    t = irregular(70)
    options = {"hidden_sizes": (7,), "seed": 3, "max_delay": 3} | options
    model = make(**options)
    twin = Learner(ModelConfig(**options), 3, 1 if regression else 3, regression=regression)
    model.learn_array(X[:3], y[:3], t=t[:3])
    for i in range(3):
        twin.learn(X[i], y[i], t[i])
    waiting = []
    for i in range(3, len(X)):
        x = dict(enumerate(X[i]))
        expected = twin.predict(X[i], t[i])
        found = (
            model.predict_one(x, t[i])
            if regression
            else list(model.predict_proba_one(x, t[i]).values())
        )
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4, err_msg=f"row {i}")
        if not late:
            model.learn_one(x, y[i], t[i])
            twin.learn(X[i], y[i], t[i])
            continue
        waiting.append((model.observe_one(x, t[i]), twin.observe(X[i], t[i]), i))
        if len(waiting) > late:
            ticket, then, k = waiting.pop(0)
            model.learn_one(ticket, y[k])
            twin.learn(X[k], y[k], then=then)
    same_state(model, twin, 1e-3)
    np.testing.assert_allclose(model._state.memory.ring, twin.past, atol=1e-5)


# What delays are for


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_rows_tell_together_is_learned_and_frozen_layers_miss_it(seed):
    X, y = xor(10_000, 3, seed)
    half = len(y) // 2
    right = {}
    for rule in ("loco", "frozen"):
        answers = LOCOClassifier(max_delay=9, rule=rule, seed=seed).learn_predict_array(X, y)
        right[rule] = np.mean(answers[half:] == y[half:])
    assert right["loco"] >= 0.95
    assert right["frozen"] <= 0.60


def test_a_row_beyond_the_longest_delay_is_forgotten():
    model = learned(memory=None)
    X = blobs(12, seed=4)[0]
    far = X.copy()
    near = X.copy()
    # five rows and four rows before the last
    far[6] = 9.0
    near[7] = 9.0
    said = [model.predict_proba_array(rows)[-1].tolist() for rows in (X, far, near)]
    assert said[0] == said[1]
    assert said[0] != said[2]


def test_every_lag_has_its_share_of_the_synapses_of_each_line():
    targets = learned(hidden_sizes=(20,))._state.memory.targets
    assert (np.sort(targets, axis=1) == np.arange(20)).all()
    assert len({tuple(row) for row in targets.tolist()}) == len(targets)


@pytest.mark.parametrize("width", [1, 2, 6, 20])
def test_with_a_memory_every_fourth_neuron_has_no_delays(width):
    model = learned(memory=MEMORY, hidden_sizes=(width,), max_delay=4)
    at_once = lag_range(model._settings, width, 0)[1]
    assert lag_range(model._settings, width, 4)[1] == width
    prompt = set(range(1, width, 4))
    assert all(prompt <= set(row[:at_once]) for row in model._state.memory.targets.tolist())


@pytest.mark.slow
def test_delays_do_not_cost_what_the_memory_tells():
    """With lags at every synapse .933 of the later labels were right."""
    right = []
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
        right.append(np.mean(model.learn_predict_array(X, y, t=np.cumsum(gaps))[5000:] == y[5000:]))
    assert np.mean(right) > 0.94


def test_what_delayed_synapses_add_is_explained_by_the_rows_before():
    model = learned(memory=None)
    row = {0: 0.5, 1: 0.1, 2: 0.0, 3: 1.0}
    assert abs(model.explain_one(row).before) > 1e-4
    model.reset_context()
    assert model.explain_one(row).before == pytest.approx(0.0, abs=1e-5)


# One road in


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_tickets_blocks_and_rows_by_name_give_the_same_bytes(make, memory):
    X, y = blobs(120)
    y = targets(X, make is LOCORegressor, y)
    t = irregular(120)
    sequence = np.repeat([1, 2, 1, 3], [30, 40, 20, 30])
    whole, halves, single, ticketed = (small(make, memory=memory) for _ in range(4))
    answers = whole.learn_predict_array(X, y, t=t, sequence=sequence)
    for part in (slice(0, 37), slice(37, 120)):
        halves.learn_array(X[part], y[part], t=t[part], sequence=sequence[part])
    for i in range(120):
        x = dict(enumerate(X[i]))
        for model in (single, ticketed):
            if i and sequence[i] != sequence[i - 1]:
                model.reset_context()
        assert single.predict_one(x, t[i]) == answers[i] or i == 0
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


@pytest.mark.parametrize("road", ["pickle", "copy", "save"])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_a_restored_model_goes_on_with_its_rows_and_its_tickets(road, memory, tmp_path):
    model = learned(memory=memory)
    X, y = blobs(40, seed=7)
    ticket = model.observe_one(dict(enumerate(X[0])))
    if road == "save":
        save(model, tmp_path / "model.loco")
        again = load(tmp_path / "model.loco")
    else:
        again = copy.deepcopy(model) if road == "copy" else pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.learn_one(ticket, int(y[0]))
        each.learn_array(X[1:], y[1:], sequence=["same"] * 39)
    assert_same(arrays_of(model), arrays_of(again))


def test_a_sequence_and_a_reset_begin_without_rows_before():
    model = learned()
    other = copy.deepcopy(model)
    other.learn_array(*blobs(10, seed=3))
    model.reset_context()
    assert not model._state.memory.ring.any()
    X = blobs(5, seed=8)[0]
    first = model.predict_proba_array(X, sequence=["new"] * 5)
    assert first.tolist() == model.predict_proba_array(X).tolist()
    other.learn_sequence(X, 1)
    assert not np.array_equal(
        other.predict_proba_array(X), other.predict_proba_array(X, sequence=["new"] * 5)
    )


def test_a_ticket_outlives_new_features_and_a_strange_one_is_refused():
    model = learned()
    ticket = model.observe_one({0: 0.1, 9: 2.0})
    for label in range(3, 8):
        model.learn_one({0: float(label), 10 + label: 1.0}, label)
    model.learn_one(ticket, "new")
    assert model.skipped_updates == 0
    assert np.isfinite(model._state.net.weights).all()
    strange = learned(hidden_sizes=(8,), memory=MEMORY).observe_one({0: 1.0})
    with pytest.raises(InputError, match="not one of this model"):
        model.learn_one(strange, 1)


# Errors


@pytest.mark.parametrize("max_delay", [-1, 257, 1.0, True, None])
def test_a_delay_that_is_none_is_refused(max_delay):
    with pytest.raises(
        ConfigError, match=r"max_delay is .*; allowed is a whole number from 0 to 256"
    ):
        LOCOClassifier(max_delay=max_delay)


def test_delays_do_not_go_with_prototypes_nor_into_a_network():
    with pytest.raises(ConfigError, match="max_delay is 2; with n_input_clusters, allowed is 0"):
        LOCOClassifier(max_delay=2, n_input_clusters=3)
    with pytest.raises(ConfigError, match="max_delay is 4"):
        learned().to_network()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory.ring", 2.0),
        ("memory.ring", np.nan),
        ("memory.steps", np.inf),
        ("memory.targets", 2**30),
    ],
)
def test_a_damaged_file_is_refused(name, value):
    config, arrays = learned().export_state()
    arrays[name].flat[0] = value
    with pytest.raises(CheckpointError, match=name):
        LOCOClassifier.from_state(config, arrays)
