"""Events of many rows and one label."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import InputError
from loco_stream.estimators.inputs.row_times import moments_at
from tests.helpers.models import arrays_of, assert_same

MEMORY = (0.3, 50.0)


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (16,), "seed": 1, "memory": MEMORY} | options)


def events(n=60, seed=0):
    """Yield bursts that rise or fall, of several lengths, with uneven times."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        length = int(rng.integers(3, 12))
        rises = bool(rng.integers(2))
        slope = np.linspace(-1.0, 1.0, length) * (1 if rises else -1)
        X = np.column_stack([slope, rng.normal(size=length)]) + 0.2 * rng.normal(size=(length, 2))
        yield X, ("rises" if rises else "falls"), np.cumsum(rng.exponential(1.0, length))


def test_direction_is_learned_where_single_rows_say_nothing():
    model = small()
    alone = small(memory=None)
    hits = {id(model): 0, id(alone): 0}
    for i, (X, y, t) in enumerate(events(200)):
        for each in (model, alone):
            hits[id(each)] += i >= 100 and each.predict_sequence(X, t) == y
            each.learn_sequence(X, y, t)
    assert hits[id(model)] >= 85
    assert hits[id(alone)] <= 70
    assert model.n_seen == sum(len(X) for X, _, _ in events(200))


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_rows_are_learned_from_what_was_said_before_the_first_of_them_was(make):
    whole = small(make, rule="frozen")
    by_hand = small(make, rule="frozen")
    for X, label, t in events(20):
        y = label if make is LOCOClassifier else float(len(X))
        whole.learn_sequence(X, y, t)
        by_hand.reset_context()
        if by_hand.n_seen == 0:
            by_hand.learn_sequence(X, y, t)
            continue
        slots = by_hand._admit((), () if make is LOCORegressor else (y,)) or [0]
        share = 1.0 / len(X)
        value = np.array([y if make is LOCORegressor else 0.0])
        for row, ticket in zip(X, by_hand.observe_array(X, t=t), strict=True):
            by_hand._row[0, :2] = row
            moments = moments_at(np.full(1, np.nan), share=share)
            said = ticket.said[None, :]
            by_hand._run(
                by_hand._row, np.array(slots), value, predicts=False, moments=moments, tickets=said
            )
    assert_same(arrays_of(whole), arrays_of(by_hand))


def test_hidden_layers_make_one_step_a_label():
    """Of an event that is one row many times over they learn about as much as of that row once."""
    row = np.array([[0.3, -1.0]])
    steps = []
    for n in (1, 20):
        model = small()
        for X, y, t in events(20):
            model.learn_sequence(X, y, t)
        before = arrays_of(model)["net.weights"]
        model.learn_sequence(np.repeat(row, n, axis=0), "rises")
        steps.append(np.abs(arrays_of(model)["net.weights"] - before).sum())
    assert steps[1] < 1.5 * steps[0]


def test_an_event_starts_from_nothing_and_predicting_changes_nothing():
    model = small()
    for X, y, t in events(20):
        model.learn_sequence(X, y, t)
    X, _, t = next(events(1, seed=9))
    before = pickle.dumps(model)
    said = model.predict_proba_sequence(X, t)
    assert model.predict_sequence(X, t) == max(said, key=said.get)
    assert sum(said.values()) == pytest.approx(1.0)
    assert pickle.dumps(model) == before
    model.observe_array(np.ones((5, 2)))
    assert model.predict_proba_sequence(X, t) == said
    assert model.predict_proba_sequence(X, t + 1e6) == pytest.approx(said)


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_saved_model_goes_on_with_sequences(make, tmp_path):
    model = small(make)
    stream = [
        (X, label if make is LOCOClassifier else float(len(X)), t) for X, label, t in events(20)
    ]
    for X, y, t in stream[:10]:
        model.learn_sequence(X, y, t)
    save(model, tmp_path / "model.loco")
    others = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        load(tmp_path / "model.loco"),
    ]
    for X, y, t in stream[10:]:
        for each in (model, *others):
            each.learn_sequence(X, y, t)
    for other in others:
        assert_same(arrays_of(model), arrays_of(other))


def test_texts_are_inputs_of_a_sequence():
    model = small()
    for _ in range(30):
        model.learn_sequence([["up"], ["up"]], 1)
        model.learn_sequence([["down"], ["down"], ["down"]], 0)
    assert [model.predict_sequence([[word]]) for word in ("up", "down")] == [1, 0]


def test_a_regressor_says_the_mean_of_its_rows():
    model = small(LOCORegressor)
    assert model.predict_sequence([[1.0, 2.0]]) == 0.0
    for X, _, t in events(30):
        model.learn_sequence(X, float(X[:, 0].max()), t)
    X, _, t = next(events(1, seed=9))
    assert model.predict_sequence(X, t) == pytest.approx(
        model.predict_array(X, t=t, sequence=[1] * len(X)).mean()
    )


def test_before_any_label_nothing_is_said():
    assert small().predict_sequence([[1.0]]) is None
    assert small().predict_proba_sequence([[1.0]]) == {}


def test_what_is_no_sequence_is_refused():
    model = small()
    for call in (lambda X: model.learn_sequence(X, "a"), model.predict_sequence):
        with pytest.raises(InputError, match="X has 0 rows; allowed is 1 or more"):
            call(np.zeros((0, 2)))
        with pytest.raises(InputError, match="X has 1 dimensions"):
            call([1.0, 2.0])
    with pytest.raises(InputError, match="X has 2 rows, but t has 1 values"):
        model.learn_sequence([[1.0], [2.0]], "a", [0.0])
    with pytest.raises(InputError, match="y is None"):
        model.learn_sequence([[1.0]], None)
    assert model.n_seen == 0
