"""Rows in time: what the rows before leave, and rows whose label comes later."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import ConfigError, InputError
from loco_stream.options import ModelConfig
from tests.helpers.models import arrays_of, assert_same, blobs
from tests.helpers.naive_learner import Learner
from tests.learner.test_twin import same_state, stream

MEMORY = (0.3, 50.0)


def irregular(n, seed=0):
    """Draw times with gaps of every kind: wide, none, missing, backwards."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.lognormal(0.0, 1.0, n))
    t[5::9] = t[4::9][: len(t[5::9])]
    t[7::13] = np.nan
    t[11::17] -= 3.0
    return t


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (16,), "seed": 1, "memory": MEMORY} | options)


def targets(X, regression, y):
    return np.nan_to_num(X[:, 0]) + 0.1 * np.roll(np.nan_to_num(X[:, 1]), 1) if regression else y


def learned(make=LOCOClassifier, n=60, **options):
    X, y = blobs(n)
    model = small(make, **options)
    model.learn_array(X, targets(X, make is LOCORegressor, y), t=irregular(n))
    return model


# What the twin says


@pytest.mark.parametrize("sizes", [(7,), (6, 5)], ids=["one layer", "two layers"])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("late", [0, 4])
@pytest.mark.parametrize(("memory", "neighbors"), [(None, 0), (MEMORY, 0), (None, 30)])
def test_with_memory_and_late_labels_a_model_is_its_twin(make, sizes, late, memory, neighbors):
    regression = make is LOCORegressor
    X, y = stream(90)
    y = targets(X, regression, y)
    t = irregular(90)
    options = {"hidden_sizes": sizes, "seed": 3, "memory": memory, "neighbors": neighbors}
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
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0, err_msg=f"row {i}")
        if not late:
            model.learn_one(x, y[i], t[i])
            twin.learn(X[i], y[i], t[i])
            continue
        waiting.append((model.observe_one(x, t[i]), twin.observe(X[i], t[i]), i))
        if len(waiting) > late:
            ticket, then, k = waiting.pop(0)
            model.learn_one(ticket, y[k])
            twin.learn(X[k], y[k], then=then)
    same_state(model, twin, 1e-4)
    if memory:
        np.testing.assert_allclose(model._state.memory.kept, twin.kept, atol=1e-4)
        assert model.backward_times == np.sum(t[1:] < t[:-1])


@pytest.mark.slow
def test_snapshots_are_judged_by_what_they_said_then():
    X, y = stream(520, n_classes=2)
    y[300:] = 1 - y[300:]
    options = {"hidden_sizes": (5,), "seed": 3}
    model = LOCOClassifier(**options)
    twin = Learner(ModelConfig(**options), 3, 2, regression=False)
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
    np.testing.assert_allclose(model._state.recall.speakers, twin.say, atol=0.05)


# One road in


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("memory", [None, MEMORY])
def test_a_ticket_learned_at_once_gives_the_same_bytes(make, memory):
    X, y = blobs(300)
    y = targets(X, make is LOCORegressor, y)
    t = irregular(300)
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
def test_blocks_and_rows_by_name_give_the_same_bytes(make):
    X, y = blobs(120)
    y = targets(X, make is LOCORegressor, y)
    t = irregular(120)
    sequence = np.repeat([1, 2, 1, 3], [30, 40, 20, 30])
    whole, halves, single = (small(make) for _ in range(3))
    answers = whole.learn_predict_array(X, y, t=t, sequence=sequence)
    for part in (slice(0, 37), slice(37, 120)):
        halves.learn_array(X[part], y[part], t=t[part], sequence=sequence[part])
    for i in range(120):
        if i == 0 or sequence[i] != sequence[i - 1]:
            single.reset_context()
        x = dict(enumerate(X[i]))
        assert single.predict_one(x, t[i]) == answers[i] or i == 0
        single.learn_one(x, y[i], t[i])
    assert_same(arrays_of(whole), arrays_of(halves))
    assert_same(arrays_of(whole), arrays_of(single))


def test_predictions_change_nothing_and_rows_of_a_block_follow_one_another():
    model = learned()
    X, _ = blobs(20, seed=5)
    t = 200.0 + irregular(20, seed=5)
    before = pickle.dumps(model)
    block = model.predict_proba_array(X, t=t)
    model.predict_array(X, sequence=["a"] * 20)
    model.predict_proba_one(dict(enumerate(X[0])), t=1e6)
    assert pickle.dumps(model) == before
    follower = copy.deepcopy(model)
    for i, row in enumerate(X):
        ticket = follower.observe_one(dict(enumerate(row)), t[i])
        assert list(ticket.proba.values()) == block[i].tolist()


def test_asking_before_learning_changes_no_bit():
    X, y = blobs(60)
    t = irregular(60)
    alone = small()
    asked = small()
    for i in range(60):
        x = dict(enumerate(X[i]))
        asked.predict_one(x, t[i])
        asked.predict_one(x, 1e5)  # another time of the same row is not in the cache
        asked.predict_array(X[:5])
        alone.learn_one(x, y[i], t[i])
        asked.learn_one(x, y[i], t[i])
    assert_same(arrays_of(alone), arrays_of(asked))


@pytest.mark.parametrize("road", ["pickle", "copy", "save"])
def test_a_restored_model_goes_on_with_its_context_and_its_tickets(road, tmp_path):
    model = learned()
    X, y = blobs(40, seed=7)
    t = 200.0 + irregular(40, seed=7)
    ticket = model.observe_one(dict(enumerate(X[0])), t[0])
    if road == "save":
        save(model, tmp_path / "model.loco")
        again = load(tmp_path / "model.loco")
    else:
        again = copy.deepcopy(model) if road == "copy" else pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.learn_one(ticket, int(y[0]))
        each.learn_array(X[1:], y[1:], t=t[1:], sequence=["same"] * 39)
    assert_same(arrays_of(model), arrays_of(again))


def test_a_sequence_goes_on_over_the_border_of_a_block_and_a_file(tmp_path):
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
    assert not np.array_equal(model._state.memory.kept, fresh._state.memory.kept)


# What time does


def test_traces_fade_by_the_time_that_passed():
    model = learned()
    model.learn_one({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, 0, t=1000.0)
    kept = model._state.memory.kept.copy()
    memory = model._state.memory
    x = {0: 1.0}
    for gaps in (0.0, 0.5, 40.0):
        model.predict_one(x, 1000.0 + gaps * memory.clock[2])
        carried = model._scratch.run.neurons[3]
        fresh = model._scratch.run.neurons[2]
        spans = memory.spans
        expected = np.where(spans > 0, kept * np.exp(-gaps / np.where(spans > 0, spans, 1.0)), 0.0)
        np.testing.assert_allclose(carried, expected, rtol=1e-5)
        np.testing.assert_allclose(model._scratch.features[:16], carried + fresh, rtol=1e-6)
    assert (spans[::2] == 0).all()
    assert (spans[1::2] >= MEMORY[0]).all()
    assert (spans[1::2] <= MEMORY[1]).all()


def test_spans_count_in_median_gaps_so_the_unit_of_time_does_not_matter():
    X, y = blobs(400)
    t = np.cumsum(np.random.default_rng(0).lognormal(0, 1.2, 400))
    seconds = small()
    minutes = small()
    a = seconds.learn_predict_array(X, y, t=t)
    b = minutes.learn_predict_array(X, y, t=t / 64.0)  # a power of two: no rounding
    assert (a == b).all()
    assert seconds._state.memory.clock[2] == pytest.approx(np.median(np.diff(t[:300])), rel=0.2)


def test_without_times_a_row_is_one_gap_after_the_last():
    X, y = blobs(80)
    without = small()
    evenly = small()
    without.learn_array(X, y)
    evenly.learn_array(X, y, t=np.arange(80.0))
    arrays = arrays_of(evenly)
    assert_same(arrays_of(without), arrays, but={"memory.clock"})


def test_a_fresh_context_is_that_of_a_model_that_has_just_been_reset():
    model = learned()
    other = copy.deepcopy(model)
    other.learn_array(*blobs(10, seed=3))
    model.reset_context()
    assert not model._state.memory.kept.any()
    x = {0: 0.5, 1: 0.1, 2: 0.0, 3: 1.0}
    assert model.predict_proba_one(x, t=3.0) == model.predict_proba_one(x, t=900.0)


def test_without_memory_times_and_sequences_change_nothing():
    X, y = blobs(60)
    plain = small(memory=None)
    timed = small(memory=None)
    plain.learn_array(X, y)
    timed.learn_array(X, y, t=irregular(60), sequence=np.arange(60) // 7)
    assert_same(arrays_of(plain), arrays_of(timed))
    assert plain._state.memory.kept.size == 0


# What late labels need


def test_a_row_observed_before_anything_is_known_is_learned_as_it_is():
    first = small(memory=None)
    ticket = first.observe_one({0: 1.0, 1: 2.0})
    assert ticket.prediction is None
    assert ticket.proba == {}
    second = copy.deepcopy(first)
    first.learn_one(ticket, "a")
    second.learn_one({0: 1.0, 1: 2.0}, "a")
    assert_same(arrays_of(first), arrays_of(second))


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_model_that_only_knows_its_columns_gives_tickets_too(make):
    model = small(make)
    other = small(make)
    for each in (model, other):
        each.reserve(["a", "b"])
    ticket = model.observe_one({"a": 1.0, "b": 2.0})
    model.learn_one(ticket, 1.0)
    other.learn_one({"a": 1.0, "b": 2.0}, 1.0)
    assert_same(arrays_of(other), arrays_of(model), but={"memory.kept"})


def test_a_ticket_outlives_new_classes_and_new_features():
    model = learned()
    ticket = model.observe_one({0: 0.1, 9: 2.0}, t=500.0)
    for label in range(3, 12):
        model.learn_one({0: float(label), 10 + label: 1.0}, label)
    model.learn_one(ticket, "new")
    assert model.skipped_updates == 0
    assert model.classes[-1] == "new"
    assert 9 in model._slots.index
    assert all(
        np.isfinite(a).all()
        for n, a in arrays_of(model).items()
        if n not in ("statistics", "target", "neighbors.ranges")
    )


def test_rows_that_came_before_anything_was_learned_follow_one_another():
    """Their tickets tell nothing of the rows before.

    Learned in order, each is the one that the next one follows.
    """
    X = np.random.default_rng(0).normal(size=(20, 2))
    late, direct = (LOCOClassifier(hidden_sizes=(16,), memory=MEMORY, seed=1) for _ in range(2))
    for ticket in late.observe_array(X):
        late.learn_one(ticket, 1)
    direct.learn_array(X, [1] * 20)
    assert arrays_of(late)["memory.kept"].any()
    np.testing.assert_array_equal(arrays_of(late)["memory.kept"], arrays_of(direct)["memory.kept"])


def test_a_ticket_that_this_model_did_not_give_is_refused():
    model = learned()
    other = learned(hidden_sizes=(8,))
    before = arrays_of(model)
    for said in (other.observe_one({0: 1.0}).said, np.full(3, np.nan), np.zeros(5, np.float32)):
        ticket = (
            copy.replace(model.observe_one({0: 1.0}), said=said)
            if hasattr(copy, "replace")
            else None
        )
        if ticket is None:
            ticket = type(model.observe_one({0: 1.0}))({0: 1.0}, None, None, {}, said)
        with pytest.raises(InputError, match="not one of this model"):
            model.learn_one(ticket, 1)
    assert_same(before, arrays_of(model), but={"late", "memory.kept", "memory.clock"})


@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_a_ticket_of_the_same_length_from_another_model_is_refused(kind):
    model = kind(hidden_sizes=(8,), seed=1)
    other = kind(hidden_sizes=(8,), seed=1)
    early = other.observe_one({0: 1.0})
    for one in (model, other):
        one.learn_one({0: 1.0}, 1)
    before = arrays_of(model)
    for ticket in (early, other.observe_one({0: 1.0}), other.observe_array([[1.0]])[0]):
        with pytest.raises(InputError, match="not one of this model but of another"):
            model.learn_one(ticket, 1)
    assert_same(before, arrays_of(model))
    other.learn_one(early, 1)


def test_a_ticket_is_taken_by_whom_its_model_lives_on_in():
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    model.learn_one({0: 1.0}, 1)
    first = pickle.dumps(model)
    ticket = model.observe_one({0: 2.0})
    heirs = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        LOCOClassifier.from_state(*model.export_state()),
    ]
    for heir in heirs:
        heir.learn_one(ticket, 0)
        heir.learn_one(pickle.loads(pickle.dumps(ticket)), 0)
    model.learn_one(pickle.loads(pickle.dumps(ticket)), 0)
    again = LOCOClassifier(hidden_sizes=(8,), seed=1)
    again.learn_one({0: 1.0}, 1)
    assert pickle.dumps(again) == first  # nothing of the process is in the bytes


# Errors


@pytest.mark.parametrize("memory", [(1.0,), (5.0, 1.0), (0.0, 1.0), "long", 3.0, (1, "2")])
def test_a_memory_that_is_none_is_refused(memory):
    with pytest.raises(
        ConfigError, match=r"memory is .*; allowed is None or \(shortest, longest\)"
    ):
        LOCOClassifier(memory=memory)


@pytest.mark.parametrize(
    "t", ["now", float("inf"), 1e31, np.datetime64("2026-01-01"), pd.NA, pd.Series([1, 2])]
)
def test_a_time_that_is_no_number_is_refused(t):
    model = small()
    for call in (model.predict_one, model.observe_one):
        with pytest.raises(InputError, match=r"`t` must be a finite number"):
            call({0: 1.0}, t)
    with pytest.raises(InputError, match="t is"):
        model.learn_one({0: 1.0}, 1, t)
    with pytest.raises(InputError, match=r"t\[1\] is"):
        model.learn_array([[0.0], [1.0]], [0, 1], t=[0.0, t])
    assert model.n_seen == 0


def test_times_and_sequences_have_one_value_a_row():
    model = small()
    with pytest.raises(InputError, match="X has 2 rows, but t has 1 values"):
        model.learn_array([[0.0], [1.0]], [0, 1], t=[0.0])
    with pytest.raises(InputError, match="X has 2 rows, but sequence has 3 values"):
        model.predict_array([[0.0], [1.0]], sequence=[1, 1, 1])
    with pytest.raises(InputError, match=r"sequence\[1\] is \[\]; allowed is any hashable value"):
        model.observe_array([[0.0], [1.0]], sequence=[1, []])
    assert model.n_seen == 0
