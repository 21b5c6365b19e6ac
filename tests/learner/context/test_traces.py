"""Memory: traces of earlier rows, and rows whose label comes later."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import pickle
from collections import deque

import numpy as np
import pandas as pd
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import ConfigError, InputError
from tests.helpers import naive
from tests.helpers.models import arrays_of, assert_same, blobs
from tests.helpers.twins import (
    assert_same_state,
    irregular_times,
    make_twin,
    run_both_delayed,
    stream,
    targets_for,
)

MEMORY = (0.3, 50.0)
OPEN_RANGES = (".lowest", ".highest", ".low", ".high")  # which start from infinity


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (16,), "seed": 1, "memory": MEMORY} | options)


def learned(make=LOCOClassifier, n=60, **options):
    X, y = blobs(n)
    model = small(make, **options)
    model.learn_array(X, targets_for(make, X, y), t=irregular_times(n))
    return model


def context_of(model):
    return model._core.state.context


# The twin


@pytest.mark.parametrize("sizes", [(7,), (6, 5)], ids=["one layer", "two layers"])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize(("memory", "neighbors"), [(None, 0), (MEMORY, 0), (None, 30)])
def test_with_memory_and_late_labels_a_model_equals_its_twin(make, sizes, delay, memory, neighbors):
    X, y = stream(90)
    y = targets_for(make, X, y)
    t = irregular_times(90)
    options = {"hidden_sizes": sizes, "memory": memory, "neighbors": neighbors}
    model, twin = run_both_delayed(make, X, y, t, delay=delay, **options)
    assert_same_state(model, twin, 1e-4)
    if memory:
        np.testing.assert_allclose(context_of(model).traces, twin.kept, atol=1e-4)
        assert model.backward_times == np.sum(t[1:] < t[:-1])


@pytest.mark.slow
def test_a_regression_of_late_values_can_do_without_its_memory():
    """R2 was .875 with the memory, which only adds noise here, and .945 without."""
    delay = 24
    rng = np.random.default_rng(0)
    X = rng.random((4000, 6))
    y = 10.0 * np.sin(3.0 * X[:, 0] * X[:, 1]) + 20.0 * (X[:, 2] - 0.5) ** 2 + 5.0 * X[:, 3]
    scores = []
    for memory in (None, MEMORY):
        model = small(LOCORegressor, memory=memory, hidden_sizes=64)
        waiting = deque()
        predicted = []
        for x, value in zip(X.tolist(), y.tolist(), strict=True):
            if len(waiting) == delay:
                model.learn_one(*waiting.popleft())
            waiting.append((model.observe_one(dict(enumerate(x))), value))
            predicted.append(waiting[-1][0].prediction)
        residuals = (np.array(predicted) - y)[delay + 1 :]
        scores.append(1.0 - residuals.var() / y.var())
    assert scores[1] > scores[0] - 0.01


@pytest.mark.parametrize("can_do_without", [True, False])
def test_neurons_with_a_memory_learn_late_values_as_far_as_these_can_do_without(can_do_without):
    X, y = blobs(400)
    options = AdvancedOptions(memoryless_members=can_do_without)
    model = small(LOCORegressor, advanced=options)
    model.learn_array(X[:1], [1.0])
    tickets = model.observe_array(X[1:])
    weights = model._core.state.net.weights.copy()
    for ticket, value in zip(tickets[300:], y[301:].tolist(), strict=True):
        model.learn_one(ticket, float(value))
    model._core.state.counts.n_seen = 1000  # beyond the rows that teach the readout alone
    for ticket, value in zip(tickets[:300], y[1:301].tolist(), strict=True):
        model.learn_one(ticket, float(value))
    moved = (model._core.state.net.weights != weights).any(axis=0)
    without_memory = context_of(model).time_constants == 0.0
    assert moved.tolist() == (without_memory | can_do_without).tolist()


def test_snapshots_are_scored_by_their_outputs_when_the_row_was_predicted():
    X, y = stream(520, n_classes=2)
    y[300:] = 1 - y[300:]
    options = {"hidden_sizes": (5,), "seed": 3}
    model = LOCOClassifier(**options)
    twin = make_twin(3, 2, **options)
    model.learn_array(X[:2], y[:2])
    for i in range(2):
        twin.learn(X[i], y[i])
    waiting = []
    for i in range(2, len(X)):
        waiting.append((model.observe_one(dict(enumerate(X[i]))), twin.observe(X[i]), i))
        if len(waiting) > 10:
            ticket, then, k = waiting.pop(0)
            model.learn_one(ticket, int(y[k]))
            twin.learn(X[k], int(y[k]), then=then)
    assert model.recalled[0] >= 1
    posterior = model._core.state.snapshots.posterior
    np.testing.assert_allclose(posterior, twin.posterior, atol=0.05)


# Blocks, tickets, copies


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_a_ticket_learned_at_once_is_bit_identical_to_its_row(make, memory):
    X, y = blobs(300)
    y = targets_for(make, X, y)
    t = irregular_times(300)
    direct = small(make, memory=memory)
    ticketed = small(make, memory=memory)
    for model in (direct, ticketed):
        model.learn_array(X[:1], y[:1], t=t[:1])
    for i in range(1, 300):
        x = dict(enumerate(X[i]))
        expected = direct.predict_one(x, t[i])
        direct.learn_one(x, y[i], t[i])
        ticket = ticketed.observe_one(x, t[i])
        assert ticket.prediction == expected
        ticketed.learn_one(ticket, y[i])
    assert_same(arrays_of(direct), arrays_of(ticketed))


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_blocks_and_rows_by_name_are_bit_identical(make):
    X, y = blobs(120)
    y = targets_for(make, X, y)
    t = irregular_times(120)
    sequence = np.repeat([1, 2, 1, 3], [30, 40, 20, 30])
    whole, halves, single = (small(make) for _ in range(3))
    predicted = whole.learn_predict_array(X, y, t=t, sequence=sequence)
    for part in (slice(0, 37), slice(37, 120)):
        halves.learn_array(X[part], y[part], t=t[part], sequence=sequence[part])
    for i in range(120):
        if i == 0 or sequence[i] != sequence[i - 1]:
            single.reset_context()
        x = dict(enumerate(X[i]))
        assert single.predict_one(x, t[i]) == predicted[i] or i == 0
        single.learn_one(x, y[i], t[i])
    assert_same(arrays_of(whole), arrays_of(halves))
    assert_same(arrays_of(whole), arrays_of(single))


def test_predictions_change_nothing_and_rows_of_a_block_follow_one_another():
    model = learned()
    X, _ = blobs(20, seed=5)
    t = 200.0 + irregular_times(20, seed=5)
    before = pickle.dumps(model)
    block = model.predict_proba_array(X, t=t)
    model.predict_array(X, sequence=["a"] * 20)
    model.predict_proba_one(dict(enumerate(X[0])), t=1e6)
    assert pickle.dumps(model) == before
    follower = copy.deepcopy(model)
    for i, row in enumerate(X):
        ticket = follower.observe_one(dict(enumerate(row)), t[i])
        assert list(ticket.proba.values()) == block[i].tolist()


def test_predicting_before_learning_changes_no_bit():
    X, y = blobs(60)
    t = irregular_times(60)
    learning = small()
    predicting = small()
    for i in range(60):
        x = dict(enumerate(X[i]))
        predicting.predict_one(x, t[i])
        predicting.predict_one(x, 1e5)  # another time of the same row is not in the cache
        predicting.predict_array(X[:5])
        learning.learn_one(x, y[i], t[i])
        predicting.learn_one(x, y[i], t[i])
    assert_same(arrays_of(learning), arrays_of(predicting))


@pytest.mark.parametrize("way", ["pickle", "copy", "save"])
def test_a_restored_model_continues_with_its_context_and_its_tickets(way, tmp_path):
    model = learned()
    X, y = blobs(40, seed=7)
    t = 200.0 + irregular_times(40, seed=7)
    ticket = model.observe_one(dict(enumerate(X[0])), t[0])
    if way == "save":
        save(model, tmp_path / "model.loco")
        again = load(tmp_path / "model.loco")
    else:
        again = copy.deepcopy(model) if way == "copy" else pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.learn_one(ticket, int(y[0]))
        each.learn_array(X[1:], y[1:], t=t[1:], sequence=["same"] * 39)
    assert_same(arrays_of(model), arrays_of(again))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_small_fixed_layer_has_fading_means_too(n):
    model = learned(n=20, advanced=AdvancedOptions(fixed_neurons=n))
    restored = pickle.loads(pickle.dumps(model))
    context = context_of(model)
    assert len(context.fading_traces) == (n + 1) // 2
    assert (context.mean_weights > 0.0).all()
    X, y = blobs(30, seed=2)
    for one in (model, restored):
        one.learn_array(X, y)
    assert_same(arrays_of(model), arrays_of(restored))


def test_a_sequence_continues_beyond_a_block_and_a_file(tmp_path):
    model = learned()
    X, y = blobs(40, seed=7)
    model.learn_array(X[:20], y[:20], sequence=["one"] * 20)
    save(model, tmp_path / "model.loco")
    again = load(tmp_path / "model.loco")
    for each in (model, again):
        each.learn_array(X[20:30], y[20:30], sequence=["one"] * 10)
    assert_same(arrays_of(model), arrays_of(again))
    fresh = copy.deepcopy(model)
    model.learn_array(X[30:], y[30:], sequence=["one"] * 10)
    fresh.learn_array(X[30:], y[30:], sequence=["two"] * 10)
    assert not np.array_equal(context_of(model).traces, context_of(fresh).traces)


# Time


def test_traces_fade_by_the_time_that_passed():
    model = learned()
    model.learn_one({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, 0, t=1000.0)
    context = context_of(model)
    scratch = model._core.scratch
    traces = context.traces.copy()
    constants = context.time_constants
    for gaps in (0.0, 0.5, 40.0):
        model.predict_one({0: 1.0}, 1000.0 + gaps * context.clock.median_gap)
        carried = scratch.neurons.carried
        decays = np.exp(-gaps / np.where(constants > 0, constants, 1.0))
        expected = np.where(constants > 0, traces * decays, 0.0)
        np.testing.assert_allclose(carried, expected, rtol=1e-5)
        summed = carried + scratch.clean.fresh
        np.testing.assert_allclose(scratch.clean.traces[:16], summed, rtol=1e-6)
    assert (constants[::2] == 0).all()
    assert (constants[1::2] >= MEMORY[0]).all()
    assert (constants[1::2] <= MEMORY[1]).all()


def test_time_constants_count_in_median_gaps_so_the_unit_of_time_does_not_matter():
    X, y = blobs(400)
    t = np.cumsum(np.random.default_rng(0).lognormal(0, 1.2, 400))
    seconds = small()
    minutes = small()
    a = seconds.learn_predict_array(X, y, t=t)
    b = minutes.learn_predict_array(X, y, t=t / 64.0)  # a power of two: no rounding
    assert (a == b).all()
    median = np.median(np.diff(t[:300]))
    assert context_of(seconds).clock.median_gap == pytest.approx(median, rel=0.2)


@pytest.mark.parametrize("first", [0.0, 1.7e9 - 86_400.0])
def test_a_first_time_from_before_the_clock_was_set_does_not_stay_in_the_median_gap(first):
    """It was 44,000 and 2.4 s where rows came every 0.7 s."""
    X, y = blobs(400)
    gaps = np.random.default_rng(0).exponential(1.0, 400)
    t = 1.7e9 + np.cumsum(gaps)
    t[0] = first
    model = small()
    model.learn_array(X, y, t=t)
    median = context_of(model).clock.median_gap
    assert median == pytest.approx(np.median(gaps), rel=0.3)
    assert median == pytest.approx(naive.median_gap(np.diff(t)), rel=1e-9)


def test_without_times_a_row_is_one_gap_after_the_last():
    X, y = blobs(80)
    without = small()
    evenly = small()
    without.learn_array(X, y)
    evenly.learn_array(X, y, t=np.arange(80.0))
    assert_same(arrays_of(without), arrays_of(evenly), but={"context.clock"})


def test_after_a_reset_the_context_is_fresh():
    model = learned()
    other = copy.deepcopy(model)
    other.learn_array(*blobs(10, seed=3))
    model.reset_context()
    assert not context_of(model).traces.any()
    x = {0: 0.5, 1: 0.1, 2: 0.0, 3: 1.0}
    assert model.predict_proba_one(x, t=3.0) == model.predict_proba_one(x, t=900.0)


def test_a_long_gap_starts_the_fading_means_of_the_fixed_layer_anew():
    model = learned()
    work = model._core.scratch.fixed
    model.learn_one({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, 0, t=1000.0)
    x = {0: 0.5, 1: 0.1, 2: 0.0, 3: 1.0}
    model.predict_one(x, t=1e9)
    late = work.outputs.copy()
    model.reset_context()
    model.predict_one(x, t=1e9)
    np.testing.assert_allclose(late, work.outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(work.outputs[: len(work.traces)], work.traces, rtol=1e-6)


def test_without_memory_times_and_sequences_change_nothing():
    X, y = blobs(60)
    plain = small(memory=None)
    timed = small(memory=None)
    plain.learn_array(X, y)
    timed.learn_array(X, y, t=irregular_times(60), sequence=np.arange(60) // 7)
    assert_same(arrays_of(plain), arrays_of(timed))
    assert context_of(plain).traces.size == 0


# Tickets


def test_a_row_observed_before_anything_is_known_is_learned_like_the_row():
    first = small(memory=None)
    ticket = first.observe_one({0: 1.0, 1: 2.0})
    assert ticket.prediction is None
    assert ticket.proba == {}
    second = copy.deepcopy(first)
    first.learn_one(ticket, "a")
    second.learn_one({0: 1.0, 1: 2.0}, "a")
    assert_same(arrays_of(first), arrays_of(second))


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_model_that_knows_only_its_columns_returns_tickets(make):
    model = small(make)
    other = small(make)
    for each in (model, other):
        each.reserve(["a", "b"])
    ticket = model.observe_one({"a": 1.0, "b": 2.0})
    model.learn_one(ticket, 1.0)
    other.learn_one({"a": 1.0, "b": 2.0}, 1.0)
    assert_same(arrays_of(other), arrays_of(model), but={"context.traces"})


def test_a_ticket_stays_valid_when_classes_and_features_come():
    model = learned()
    ticket = model.observe_one({0: 0.1, 9: 2.0}, t=500.0)
    for label in range(3, 12):
        model.learn_one({0: float(label), 10 + label: 1.0}, label)
    model.learn_one(ticket, "new")
    assert model.skipped_updates == 0
    assert model.classes[-1] == "new"
    assert 9 in model.features
    arrays = arrays_of(model)
    assert all(np.isfinite(a).all() for n, a in arrays.items() if not n.endswith(OPEN_RANGES))


def test_tickets_of_rows_before_the_first_label_follow_one_another():
    """Their tickets hold no traces; learned in order, each row follows the one before."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    late, direct = (LOCOClassifier(hidden_sizes=(16,), memory=MEMORY, seed=1) for _ in range(2))
    for ticket in late.observe_array(X):
        late.learn_one(ticket, 1)
    direct.learn_array(X, [1] * 20)
    traces = context_of(late).traces
    assert traces.any()
    np.testing.assert_array_equal(traces, context_of(direct).traces)


def test_a_ticket_with_numbers_of_another_model_is_refused():
    model = learned()
    other = learned(hidden_sizes=(8,))
    before = arrays_of(model)
    of_other = other.observe_one({0: 1.0}).predicted
    for predicted in (of_other, np.full(3, np.nan), np.zeros(5, np.float32)):
        ticket = dataclasses.replace(model.observe_one({0: 1.0}), predicted=predicted)
        with pytest.raises(InputError, match="`x` must be a ticket of this model"):
            model.learn_one(ticket, 1)
    # by the rows observed
    changed = {"delayed", "context.traces", "context.means", "context.clock"}
    changed |= {"context.fading_traces", "context.mean_weights"}
    assert_same(before, arrays_of(model), but=changed)


@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_a_ticket_of_the_same_length_from_another_model_is_refused(kind):
    model = kind(hidden_sizes=(8,), seed=1)
    other = kind(hidden_sizes=(8,), seed=1)
    early = other.observe_one({0: 1.0})
    for one in (model, other):
        one.learn_one({0: 1.0}, 1)
    before = arrays_of(model)
    for ticket in (early, other.observe_one({0: 1.0}), other.observe_array([[1.0]])[0]):
        with pytest.raises(InputError, match="must be a ticket of this model, got one of another"):
            model.learn_one(ticket, 1)
    assert_same(before, arrays_of(model))
    other.learn_one(early, 1)


def test_a_ticket_is_learned_once():
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    model.learn_one({0: 1.0}, 1)
    early, late = model.observe_array([[2.0], [3.0]], features=[0])
    model.learn_one(early, 0)
    before = arrays_of(model)
    with pytest.raises(InputError, match="must be a ticket that was not learned"):
        model.learn_one(early, 1)
    assert_same(before, arrays_of(model))
    model.learn_one(late, 0)
    assert model.n_seen == 3
    assert len(model._core.learned_tickets) == 2
    del early, late
    gc.collect()
    assert len(model._core.learned_tickets) == 0


def test_a_ticket_is_learned_by_copies_of_its_model():
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    model.learn_one({0: 1.0}, 1)
    first = pickle.dumps(model)
    ticket = model.observe_one({0: 2.0})
    copies = [
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        LOCOClassifier.from_state(*model.export_state()),
    ]
    for each in copies:
        each.learn_one(ticket, 0)
        each.learn_one(pickle.loads(pickle.dumps(ticket)), 0)
    model.learn_one(pickle.loads(pickle.dumps(ticket)), 0)
    again = LOCOClassifier(hidden_sizes=(8,), seed=1)
    again.learn_one({0: 1.0}, 1)
    assert pickle.dumps(again) == first  # the bytes hold nothing of the process


# Errors


@pytest.mark.parametrize("memory", [(1.0,), (5.0, 1.0), (0.0, 1.0), "long", 3.0, (1, "2")])
def test_an_impossible_memory_is_refused(memory):
    message = r"`memory` must be None or a pair \(shortest, longest\) of numbers .*, got "
    with pytest.raises(ConfigError, match=message):
        LOCOClassifier(memory=memory)


@pytest.mark.parametrize("t", [math.nan, pd.NA, pd.NaT], ids=repr)
def test_a_missing_time_is_that_of_no_clock(t):
    model = small()
    without = small()
    for row in range(3):
        model.learn_one({0: float(row)}, row % 2, t)
        without.learn_one({0: float(row)}, row % 2)
    assert pickle.dumps(model) == pickle.dumps(without)


@pytest.mark.parametrize("t", ["now", float("inf"), 1e31, pd.Series([1, 2]), pd.Timedelta(1)])
def test_a_time_that_is_no_number_is_refused(t):
    model = small()
    for call in (model.predict_one, model.observe_one):
        with pytest.raises(InputError, match="`t` must be a number or a datetime"):
            call({0: 1.0}, t)
    with pytest.raises(InputError, match="`t` must be a number or a datetime"):
        model.learn_one({0: 1.0}, 1, t)
    with pytest.raises(InputError, match=r"`t\[1\]` must be"):
        model.learn_array([[0.0], [1.0]], [0, 1], t=[0.0, t])
    assert model.n_seen == 0


def test_times_and_sequences_have_one_value_per_row():
    model = small()
    with pytest.raises(InputError, match="`t` must have 2 values, one per row of `X`, got 1"):
        model.learn_array([[0.0], [1.0]], [0, 1], t=[0.0])
    with pytest.raises(InputError, match=r"`sequence` must have 2 values, .* got 3"):
        model.predict_array([[0.0], [1.0]], sequence=[1, 1, 1])
    with pytest.raises(InputError, match=r"`sequence\[1\]` must be a hashable value .* got \[\]"):
        model.observe_array([[0.0], [1.0]], sequence=[1, []])
    assert model.n_seen == 0
