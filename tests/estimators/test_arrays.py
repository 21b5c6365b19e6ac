"""Rows by name, arrays and frames; features and classes that come later."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream._learner.arrays.allocate import grow
from tests.helpers.models import arrays_of, assert_same, blobs, classifier, regressor

SMALL = {"hidden_sizes": (16, 8), "seed": 1}


def small(**options):
    return classifier(**SMALL | options)


def small_regressor(**options):
    return regressor(**SMALL | options)


def named_blobs(n=120, seed=0, **options):
    X, y = blobs(n, seed=seed, **options)
    return X, [f"class {label}" for label in y]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.booleans())
def test_blocks_of_any_size_equal_rows_one_by_one(sizes, predict_first):
    X, y = named_blobs(80, n_classes=5)
    single = small()
    block = small()
    expected = []
    for row, label in zip(X, y, strict=True):
        x = dict(enumerate(row))
        if predict_first:
            expected.append(single.predict_one(x))
        single.learn_one(x, label)
    predicted = []
    first = 0
    for size in [*sizes, len(X)]:
        rows = X[first : first + size]
        labels = y[first : first + size]
        first += len(rows)
        if predict_first:
            predicted.extend(block.learn_predict_array(rows, labels).tolist())
        else:
            block.learn_array(rows, labels)
    assert predicted == expected
    assert_same(arrays_of(single), arrays_of(block))
    assert single.classes == block.classes


@pytest.mark.parametrize("make", [small, small_regressor], ids=["classifier", "regressor"])
def test_predictions_of_arrays_frames_and_rows_by_name_agree(make):
    X, y = named_blobs(60)
    y = y if make is small else X.sum(axis=1).tolist()
    model = make()
    framed = make()
    model.learn_array(X, y, features=("a", "b", "c", "d"))
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(100, 160))
    framed.learn_many(frame, pd.Series(y, index=frame.index))
    assert_same(arrays_of(model), arrays_of(framed))
    singles = [model.predict_one(dict(zip("abcd", row, strict=True))) for row in X]
    assert model.predict_array(X).tolist() == singles
    assert model.predict_many(frame).tolist() == singles
    assert model.predict_array(X[:, ::-1], features=tuple("dcba")).tolist() == singles
    assert list(model.predict_many(frame).index) == list(frame.index)
    if make is small:
        proba = model.predict_proba_array(X)
        assert proba.shape == (60, len(model.classes))
        assert np.allclose(proba.sum(axis=1), 1.0)
        assert np.all((proba >= 0.0) & (proba <= 1.0))
        of_row = model.predict_proba_one(dict(zip("abcd", X[7], strict=True)))
        assert dict(zip(model.classes, proba[7].tolist(), strict=True)) == of_row
        assert list(model.predict_proba_many(frame).columns) == list(model.classes)


def test_predictions_of_a_fresh_model():
    X = np.zeros((3, 2))
    assert small().predict_one({"a": 1}) is None
    assert small().predict_proba_one({"a": 1}) == {}
    assert small().predict_array(X).tolist() == [None] * 3
    assert small().predict_proba_array(X).shape == (3, 0)
    assert small().predict_many(pd.DataFrame(X)).isna().tolist() == [True] * 3
    assert small_regressor().predict_one({"a": 1}) == 0.0
    assert small_regressor().predict_array(X).tolist() == [0.0] * 3
    assert small().n_seen == 0
    assert small().features == ()
    assert small().spike_counts_.tolist() == [0, 0]


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_and_single_blocks(rows):
    model = small()
    model.learn_array(np.ones((rows, 3)), ["a"] * rows)
    assert model.n_seen == rows
    assert len(model.predict_array(np.ones((rows, 3)))) == rows


# Growth


def test_features_and_classes_that_come_later_get_slots():
    X, y = blobs(300, n_features=6, n_classes=6)
    model = small()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        x = dict(zip("fedcba", row, strict=True))
        if i < 100:
            x = {key: x[key] for key in "fa"}
            label %= 2
        model.learn_one(x, int(label))
    assert model.n_features_in == 6
    assert model.features == ("a", "f", "b", "c", "d", "e")  # new ones of a row in sorted order
    assert sorted(model.classes) == list(range(6))
    assert model.skipped_updates == 0
    assert model.masked_values == 0
    predicted = [model.predict_one(dict(zip("fedcba", row, strict=True))) for row in X]
    assert np.mean(predicted[100:] == y[100:]) > 0.7


def test_a_model_that_grows_keeps_its_predictions():
    X, y = blobs(60)
    model = small()
    model.learn_array(X, y, features=("a", "b", "c", "d"))
    before = model.predict_proba_array(X)
    capacity = len(arrays_of(model)["statistics.mean"])
    new = {f"new {i}": math.nan for i in range(capacity)}
    model.learn_one({"a": 0.0, **new}, y[0])
    assert len(arrays_of(model)["statistics.mean"]) > capacity
    after = model.predict_proba_array(X, features=("a", "b", "c", "d"))
    assert np.abs(after - before).max() < 0.3  # no more than one row's learning


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "delta"},
        {"projection": "clusters", "n_input_clusters": 3},
        {"readout_layers": "last"},
    ],
)
@pytest.mark.parametrize("room", [(4, 16), (9, 4), (40, 32)])
def test_more_room_changes_no_bit_of_what_is_learned(room, options):
    X, y = blobs(120)
    narrow = small(**options)
    wide = small(**options)
    for model in (narrow, wide):
        model.learn_array(X[:60], y[:60])
    core = wide._core
    core.adopt(core.settings, grow(core.layout, core.settings, core.state, *room))
    assert len(arrays_of(wide)["classes.n_rows"]) == room[1]
    predicted = [model.learn_predict_array(X[60:], y[60:]).tolist() for model in (narrow, wide)]
    assert predicted[0] == predicted[1]
    assert narrow.predict_proba_array(X).tobytes() == wide.predict_proba_array(X).tobytes()
    before = arrays_of(narrow)
    after = arrays_of(wide)
    of_layers = ("net.gain", "net.drive_power", "net.input_power", "net.loss_baseline")
    names = ("counts", "lead.moments", "net.deep_weights", *of_layers)
    assert_same(*({name: state[name] for name in names} for state in (before, after)))
    lines = len(before["net.weights"])
    assert np.array_equal(after["net.weights"][:lines], before["net.weights"])
    assert np.array_equal(after["net.feedback"][:4], before["net.feedback"])


@pytest.mark.parametrize("options", [{}, {"memory": (0.3, 20.0), "max_delay": 2, "neighbors": 5}])
def test_what_a_growing_model_keeps_in_use_changes_no_bit(options):
    """It keeps working memory and what compiled code is handed; a copy makes all of it anew."""
    grown = LOCOClassifier(hidden_sizes=8, seed=1, **options)
    anew = LOCOClassifier(hidden_sizes=8, seed=1, **options)
    for i in range(40):
        x = {f"f{j}": float(i % 7 - j % 3) for j in range(i % 3, 1 + i)}
        assert grown.predict_proba_one(x) == anew.predict_proba_one(x)
        grown.learn_one(x, i % (2 + i // 4))
        anew.learn_one(x, i % (2 + i // 4))
        anew = copy.copy(anew)
    assert_same(arrays_of(grown), arrays_of(anew))


def test_the_order_of_a_dict_does_not_matter():
    X, y = blobs(60, n_features=12)
    rng = np.random.default_rng(0)
    straight = small()
    shuffled = small()
    for row, label in zip(X, y, strict=True):
        straight.learn_one(dict(enumerate(row)), label)
        order = rng.permutation(12)
        shuffled.learn_one({int(j): row[j] for j in order}, label)
    assert_same(arrays_of(straight), arrays_of(shuffled))
    assert straight.features == tuple(range(12))  # numbers as numbers: 2 before 10


def test_names_and_labels_of_several_types():
    model = small()
    x = {1: 0.1, "b": 0.2, ("t", 1): 0.3, 2.5: 0.4, None: 0.5, frozenset({1}): 0.7}
    for label in ("word", 3, 2.5, True, ("a", 1), np.str_("word"), np.int64(3), np.bool_(False)):
        model.learn_one(x, label)
    assert model.classes == ("word", 3, 2.5, True, ("a", 1), False)
    assert model.predict_one(x) in model.classes
    assert model.predict_array(np.zeros((2, len(x)))).dtype == object


@pytest.mark.parametrize("labels", [(2**63, -1), ("x\0", "y")])
def test_predicted_labels_are_those_learned_where_numpy_would_change_them(labels):
    model = small()
    for _ in range(10):
        for value, label in zip((1.0, -1.0), labels, strict=True):
            model.learn_one({"a": value}, label)
    predicted = model.predict_array([[1.0], [-1.0]]).tolist()
    assert predicted == list(labels)
    assert list(map(type, predicted)) == list(map(type, labels))


@pytest.mark.parametrize(
    "labels", [[3, 1, 3, 2], [True, False, True, True], ["b", "a", "b", "c"], [2, "a", 2, (1, 2)]]
)
def test_labels_in_arrays_get_the_slots_of_labels_in_lists(labels):
    X = np.arange(8.0).reshape(4, 2)
    of_list, of_array = (LOCOClassifier(hidden_sizes=(8,), seed=1) for _ in range(2))
    of_list.learn_array(X, labels)
    has_one_type = len({type(label) for label in labels}) == 1
    of_array.learn_array(X, np.array(labels) if has_one_type else labels)
    assert of_list.classes == of_array.classes == tuple(dict.fromkeys(labels))
    predicted = of_list.predict_array(X).tolist()
    assert predicted == of_array.predict_array(X).tolist()
    assert {(type(label), label) for label in predicted} <= {(type(y), y) for y in labels}


def test_predictions_of_a_regressor_stay_near_the_range_of_its_targets():
    rng = np.random.default_rng(0)
    model = small_regressor()
    X = rng.normal(size=(300, 2))
    y = X @ [3.0, -1.0] + 100.0
    model.learn_array(X, y)
    far = model.predict_array(1e6 * rng.normal(size=(50, 2)))
    margin = 0.25 * (y.max() - y.min())
    assert np.all((far >= y.min() - margin - 1e-9) & (far <= y.max() + margin + 1e-9))
    model.learn_array(X[:5], [1e30, -1e30, 0.0, 1e29, -1e29])
    assert np.all(np.isfinite(model.predict_array(X)))


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_sizes": (1,)},
        {"hidden_sizes": (3,) * 20},
        {"cluster_size": 1},
        {"cluster_size": 1024},
        {"projection": "clusters", "n_input_clusters": 1},
        {"projection": "clusters", "n_input_clusters": 256, "rank": 2},
        {"projection": "clusters", "n_input_clusters": 3, "rank": 16},
        {"plastic": 0.01},
        {"learning_rate": 1e6},
        {"readout_layers": "hidden"},
        {"receptive_fields": 64},
        {"leaks": (0.5,)},
        {"leaks": (0.0,) * 16},
        {"orthogonality": 0.0},
        {"orthogonality": 1.0},
        {"perturbation_std": 1e-6, "learning_rate": 1e3},
        {"perturbation_std": 10.0, "credit": "perturbation", "learning_rate": 1e3},
        {"window": 1e-3},
        {"window": 1e6},
        {"tau": 1e-3, "tau_trace": 1e-3},
        {"tau": 1e6, "tau_trace": 1e6},
        {"gain": 1e3},
        {"gain": 1e-3},
    ],
    ids=str,
)
@pytest.mark.parametrize("readout", ["recursive", "delta"])
def test_extreme_options_give_probabilities(options, readout):
    X, y = blobs(20)
    model = small(**options, readout=readout)
    model.learn_array(X, y)
    assert np.allclose(model.predict_proba_array(X).sum(axis=1), 1.0)
