"""Sequences: rows that share one label."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor, load, save
from loco_stream._learner.readout.sequence_readout import SequenceReadout
from loco_stream.errors import CheckpointError, InputError
from loco_stream.estimators._inputs.row_times import row_times_at
from tests.helpers.models import arrays_of, assert_same

MEMORY = (0.3, 50.0)
READOUTS = tuple(
    f"sequence_readout.{layer}.{name}"
    for layer in ("hidden", "fixed")
    for name in ("weights", "projector")
)


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (16,), "seed": 1, "memory": MEMORY} | options)


def sequences(n=60, seed=0):
    """Yield rows that rise or fall, their label and uneven times; lengths differ."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        length = int(rng.integers(3, 12))
        rises = bool(rng.integers(2))
        slope = np.linspace(-1.0, 1.0, length) * (1 if rises else -1)
        X = np.column_stack([slope, rng.normal(size=length)]) + 0.2 * rng.normal(size=(length, 2))
        yield X, ("rises" if rises else "falls"), np.cumsum(rng.exponential(1.0, length))


def test_direction_is_learned_which_single_rows_do_not_show():
    model = small()
    without_memory = small(memory=None, advanced=AdvancedOptions(fixed_neurons=0))
    hits = {id(model): 0, id(without_memory): 0}
    for i, (X, y, t) in enumerate(sequences(200)):
        for each in (model, without_memory):
            hits[id(each)] += i >= 100 and each.predict_sequence(X, t) == y
            each.learn_sequence(X, y, t)
    assert hits[id(model)] >= 85
    assert hits[id(without_memory)] <= 70
    assert model.n_seen == sum(len(X) for X, _, _ in sequences(200))


def shapes(n, seed):
    """Yield sequences of noise around a plateau, a ramp up or a ramp down (Saito 1994)."""
    rng = np.random.default_rng(seed)
    steps = np.arange(128)
    for label in rng.integers(0, 3, n).tolist():
        begin = int(rng.integers(16, 32))
        length = int(rng.integers(32, 96))
        inside = (steps >= begin) & (steps <= begin + length)
        rise = (steps - begin) / length
        shape = (np.ones(128), rise, 1.0 - rise)[label]
        yield (shape * (6.0 + rng.normal()) * inside + rng.normal(size=128))[:, None], label


def test_a_sequence_is_read_as_a_whole():
    """Averages of what single rows say were right in 81 of the last hundred sequences."""
    model = LOCOClassifier(memory=MEMORY, seed=1)
    hits = []
    for X, label in shapes(200, seed=1):
        hits.append(model.predict_sequence(X) == label)
        model.learn_sequence(X, label)
    assert np.mean(hits[100:]) > 0.9


def test_balanced_classes_count_equally_in_a_sequence_as_a_whole():
    rng = np.random.default_rng(1)
    labels = rng.random(300) < 0.1
    recalls = []
    for class_weight in (None, "balanced"):
        model = small(class_weight=class_weight, memory=None)
        found = []
        for i, label in enumerate(labels.tolist()):
            X = np.random.default_rng(i).normal(size=(20, 2)) + 0.3 * label
            if label and i > 100:
                found.append(model.predict_sequence(X) is True)
            model.learn_sequence(X, label)
        recalls.append(np.mean(found))
    assert recalls[1] > recalls[0] + 0.2


def test_weights_of_classes_count_in_all_that_predicts_a_sequence():
    model = small()
    for X, y, t in sequences(10):
        model.learn_sequence(X, y, t)
    falling = next(each for each in sequences(9, seed=9) if each[1] == "falls")
    assert model.predict_proba_sequence(falling[0], falling[2])["rises"] < 0.5
    model.set_class_weight({"rises": 1e6})
    assert model.predict_proba_sequence(falling[0], falling[2])["rises"] > 0.99


def test_a_class_of_which_no_sequence_was_learned_does_not_mislead_the_readout():
    model = small()
    model.learn_array(np.zeros((5, 2)), ["other"] * 5)
    for X, y, t in sequences(60):
        model.learn_sequence(X, y, t)
    hits = [model.predict_sequence(X, t) == y for X, y, t in sequences(30, seed=2)]
    assert np.mean(hits) > 0.8


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights", lambda array: array[:, 1:], "must be float64"),
        ("weights", lambda array: np.vstack([array, array]), "must be float64"),
        ("projector", lambda array: array * np.nan, "must be finite"),
        ("weights", lambda array: np.full_like(array, 1e300), r"must be finite, from -1e\+31"),
        ("projector", lambda array: array.astype(np.float32), "must be float64"),
        ("projector", lambda array: -array, "must not have a negative diagonal"),
    ],
)
@pytest.mark.parametrize("layer", ["hidden", "fixed"])
def test_a_readout_that_does_not_fit_its_model_is_refused(layer, name, change, message):
    model = small()
    for X, y, t in sequences(5):
        model.learn_sequence(X, y, t)
    config, arrays = model.export_state()
    full_name = f"sequence_readout.{layer}.{name}"
    arrays[full_name] = change(arrays[full_name])
    with pytest.raises(CheckpointError, match=message):
        LOCOClassifier.from_state(config, arrays)


def test_a_file_has_the_readouts_of_all_layers_or_none():
    model = small()
    for X, y, t in sequences(5):
        model.learn_sequence(X, y, t)
    config, arrays = model.export_state()
    del arrays["sequence_readout.fixed.weights"]
    with pytest.raises(CheckpointError, match="the arrays of 'sequence_readout' must be"):
        LOCOClassifier.from_state(config, arrays)


def test_an_unsound_step_of_the_readout_reaches_no_weight():
    readout = SequenceReadout(np.zeros((1, 4)), -10.0 * np.eye(4))
    readout.learn(np.ones(4), 1)
    assert readout.weights.tolist() == np.zeros((2, 4)).tolist()
    assert (readout.projector == -10.0 * np.eye(4)).all()


def test_a_model_that_learned_no_sequence_has_no_readout_of_them():
    model = small()
    model.learn_array(np.zeros((5, 2)), ["rises"] * 5)
    assert not [name for name in arrays_of(model) if name in READOUTS]


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_rows_are_scored_by_predictions_before_the_first_of_them_was_learned(make):
    whole = small(make, rule="frozen")
    by_hand = small(make, rule="frozen")
    for X, label, t in sequences(20):
        y = label if make is LOCOClassifier else float(len(X))
        whole.learn_sequence(X, y, t)
        by_hand.reset_context()
        if by_hand.n_seen == 0:
            by_hand.learn_sequence(X, y, t)
            continue
        core = by_hand._core
        slots = np.array(core.admit((), () if make is LOCORegressor else (y,)) or [0])
        value = np.array([y if make is LOCORegressor else 0.0])
        times = row_times_at(np.full(1, np.nan), share=1.0 / len(X))
        for row, ticket in zip(X, by_hand.observe_array(X, t=t), strict=True):
            core.row[0, :2] = row
            tickets = ticket.predicted[None, :]
            core.run(core.row, slots, value, predicts=False, times=times, tickets=tickets)
    of_sequences = ("sequences.log_likelihoods", *READOUTS)
    assert_same(arrays_of(whole), arrays_of(by_hand), but=of_sequences)


def test_hidden_layers_make_one_step_per_label():
    """One row many times over changes them about as much as the row once."""
    row = np.array([[0.3, -1.0]])
    steps = []
    for n in (1, 20):
        model = small()
        for X, y, t in sequences(20):
            model.learn_sequence(X, y, t)
        before = arrays_of(model)["net.weights"]
        model.learn_sequence(np.repeat(row, n, axis=0), "rises")
        steps.append(np.abs(arrays_of(model)["net.weights"] - before).sum())
    assert steps[1] < 1.5 * steps[0]


def test_a_sequence_starts_a_fresh_context_and_predicting_changes_nothing():
    model = small()
    for X, y, t in sequences(20):
        model.learn_sequence(X, y, t)
    X, _, t = next(sequences(1, seed=9))
    before = pickle.dumps(model)
    proba = model.predict_proba_sequence(X, t)
    assert model.predict_sequence(X, t) == max(proba, key=proba.get)
    assert sum(proba.values()) == pytest.approx(1.0)
    assert pickle.dumps(model) == before
    model.observe_array(np.ones((5, 2)))
    assert model.predict_proba_sequence(X, t) == proba
    assert model.predict_proba_sequence(X, t + 1e6) == pytest.approx(proba)


def test_an_observed_sequence_goes_on_once_a_model_has_learned():
    X = np.random.default_rng(0).normal(size=(7, 2))
    by_array = small()
    by_row = small()
    by_array.observe_array(X[:2], sequence=["a", "a"])
    for row in X[:2]:
        by_row.enter_sequence("a")
        by_row.observe_one(dict(enumerate(row)))
    for model in (by_array, by_row):
        model.learn_array(X[2:6], [0, 1, 0, 1])
        model.enter_sequence("a")
        model.learn_array(X[6:], [1])
    assert_same(arrays_of(by_array), arrays_of(by_row))


def test_rows_after_a_sequence_do_not_belong_to_the_sequence_before_it():
    X, y, t = next(sequences(1))
    predicted = []
    for name in ("a", "b"):
        model = small()
        model.learn_array(X, [y] * len(X), sequence=["a"] * len(X))
        model.learn_sequence(X[::-1], "falls", t)
        model.learn_array(X[:1], [y], sequence=[name])
        predicted.append(model.predict_proba_array(X))
    np.testing.assert_array_equal(*predicted)


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_copies_and_files_continue_with_sequences(make, tmp_path):
    model = small(make)
    stream = [
        (X, label if make is LOCOClassifier else float(len(X)), t) for X, label, t in sequences(20)
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


def test_a_regressor_predicts_the_mean_over_the_rows():
    model = small(LOCORegressor)
    assert model.predict_sequence([[1.0, 2.0]]) == 0.0
    for X, _, t in sequences(30):
        model.learn_sequence(X, float(X[:, 0].max()), t)
    X, _, t = next(sequences(1, seed=9))
    assert model.predict_sequence(X, t) == pytest.approx(
        model.predict_array(X, t=t, sequence=[1] * len(X), in_stream=False).mean()
    )


def test_before_any_label_there_is_no_prediction():
    assert small().predict_sequence([[1.0]]) is None
    assert small().predict_proba_sequence([[1.0]]) == {}


def test_an_impossible_sequence_is_refused():
    model = small()
    for call in (lambda X: model.learn_sequence(X, "a"), model.predict_sequence):
        with pytest.raises(InputError, match=r"`X` must have 1 row or more, .* got 0"):
            call(np.zeros((0, 2)))
        with pytest.raises(InputError, match=r"`X` must have 2 dimensions, .* got 1"):
            call([1.0, 2.0])
    with pytest.raises(InputError, match="`t` must have 2 values, one per row of `X`, got 1"):
        model.learn_sequence([[1.0], [2.0]], "a", [0.0])
    with pytest.raises(InputError, match=r"`y` must be a hashable class label .* got None"):
        model.learn_sequence([[1.0]], None)
    assert model.n_seen == 0


@pytest.mark.parametrize("name", [[1], math.nan])
def test_the_error_of_an_impossible_name_names_the_sequence(name):
    with pytest.raises(InputError, match="`sequence` must be a hashable name"):
        small().enter_sequence(name)
