"""Warnings of columns without values, and of rows to predict without known features."""

from __future__ import annotations

import math
import pickle
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import LocoStreamWarning

pytestmark = pytest.mark.filterwarnings("error::loco_stream.errors.LocoStreamWarning")


def rows(n, **more):
    return [{"a": float(i % 3), **more} for i in range(n)]


@pytest.mark.parametrize("value", [None, math.nan, "red"])
def test_a_column_without_values_is_named_once_after_100_rows(value):
    model = LOCOClassifier(seed=0, categories=0)
    for i, x in enumerate(rows(99, colour=value)):
        model.learn_one(x, i % 2)
    with pytest.warns(
        LocoStreamWarning,
        match="column 'colour' held no number, and no text for which a slot was left, in",
    ):
        model.learn_one({"a": 1.0, "colour": value}, 1)
    for i, x in enumerate(rows(150, colour=value)):
        model.learn_one(x, i % 2)


def test_a_column_that_comes_later_is_judged_after_100_rows_of_its_own():
    model = LOCORegressor(seed=0)
    for x in rows(60):
        model.learn_one(x, 1.0)
    for x in rows(99, b=None):
        model.learn_one(x, 1.0)
    with pytest.warns(LocoStreamWarning, match="column 'b'"):
        model.learn_one({"a": 1.0, "b": None}, 1.0)


@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_columns_of_arrays_are_named(kind):
    X = np.ones((150, 2))
    X[:, 1] = np.nan
    with pytest.warns(LocoStreamWarning, match="column 'b'"):
        kind(seed=0).learn_array(X, np.arange(150) % 2, ["a", "b"])


def test_texts_and_rare_numbers_raise_no_warning():
    model = LOCOClassifier(seed=0)
    for i, x in enumerate(rows(250, colour="red", late=None)):
        model.learn_one({**x, "late": 1.0 if i == 90 else None}, i % 2)


@pytest.mark.parametrize(
    "name", ["id", "machine_id", "deviceId", "error.code", "zip", "ID", "PLANT_NR"]
)
def test_a_column_whose_numbers_may_be_names_is_named_once(name):
    model = LOCOClassifier(seed=0)
    stream = rows(250, **{name: 7})
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for i, x in enumerate(stream):
            model.learn_one(x, i % 2)
    (warning,) = shown
    assert f"column '{name}' holds numbers: if they are names" in str(warning.message)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_a_column_of_categories_that_are_numbers_is_named_once(library):
    shops = np.arange(250) % 7
    frame = {
        "pandas": pd.DataFrame({"shop": pd.Categorical(shops)}),
        "pyarrow": pa.table({"shop": pa.array(shops).dictionary_encode()}),
    }[library]
    named = LOCOClassifier(seed=0, advanced=AdvancedOptions(categorical_features=("shop",)))
    named.learn_many(frame, shops % 2)
    model = LOCOClassifier(seed=0)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        model.learn_many(frame[:50], shops[:50] % 2)
        model = pickle.loads(pickle.dumps(model))
        model.learn_many(frame[50:], shops[50:] % 2)
    (warning,) = shown
    assert str(warning.message).startswith("column 'shop' holds numbers: if they are names")


def test_columns_of_categories_that_are_texts_are_no_names_in_question():
    kinds = pd.DataFrame({"kind": pd.Categorical(["a", "b"] * 100, ["c", "b", "a"])})
    LOCOClassifier(seed=0).learn_many(kinds, [0, 1] * 100)


def test_a_categorical_feature_that_no_row_has_is_named():
    model = LOCOClassifier(seed=0, advanced=AdvancedOptions(categorical_features=("shop",)))
    learn_first(model, 99)
    with pytest.warns(LocoStreamWarning, match="names 'shop', which none of the first 100"):
        model.learn_one({"a": 1.0}, 1)


def test_a_saved_model_does_not_warn_again_of_a_categorical_feature(tmp_path):
    model = LOCOClassifier(seed=0, advanced=AdvancedOptions(categorical_features=("shop",)))
    with pytest.warns(LocoStreamWarning, match="`categorical_features` names 'shop'"):
        learn_first(model, 100)
    save(model, tmp_path / "model")
    load(tmp_path / "model").learn_one({"a": 1.0}, 1)


def test_a_model_that_was_saved_early_warns_of_a_categorical_feature(tmp_path):
    model = LOCOClassifier(seed=0, advanced=AdvancedOptions(categorical_features=("shop",)))
    learn_first(model, 50)
    save(model, tmp_path / "model")
    with pytest.warns(LocoStreamWarning, match="`categorical_features` names 'shop'"):
        learn_first(load(tmp_path / "model"), 50)


def learn_first(model, n):
    for i, x in enumerate(rows(n)):
        model.learn_one(x, i % 2)


def test_texts_categories_and_other_names_are_no_names_in_question():
    categorical = AdvancedOptions(categorical_features=("shop_id",))
    model = LOCOClassifier(seed=0, advanced=categorical)
    for i, x in enumerate(rows(150, shop_id=3, unit_id="a", humid=0.5, grid=2.0)):
        model.learn_one(x, i % 2)


@pytest.mark.parametrize("by_row", [True, False])
def test_classes_that_may_be_measured_values_are_named_once(by_row):
    values = (np.arange(60) + 0.5).tolist()
    few = [*values[:19] * 3, *np.arange(50.0).tolist()]
    model = LOCOClassifier(hidden_sizes=4, seed=0)
    model.learn_array(np.ones((len(few), 1)), few)
    expected = pytest.warns(LocoStreamWarning, match="20 classes are numbers with a fraction: if")
    if by_row:
        with expected:
            model.learn_one({0: 1.0}, values[19])
    else:
        with expected:
            model.learn_array(np.ones((30, 1)), values[:30])
    model.learn_array(np.ones((60, 1)), values)
    model.learn_one({0: 1.0}, 99.5)
    assert len(model.classes) == 111


def test_weights_and_rules_name_labels_that_no_row_had():
    model = LOCOClassifier(hidden_sizes=4, seed=0, class_weight={"worm": 2.0})
    model.set_class_weight({"worm": 3.0})
    model.set_decision(thresholds={"worm": 0.2})  # no label is known yet
    model.learn_array(np.ones((4, 1)), ["ok", "worn"] * 2)
    with pytest.warns(LocoStreamWarning, match="`class_weight`: no row had the label 'worm'; the"):
        model.set_class_weight({"worm": 4.0, "ok": 1.0})
    with pytest.warns(LocoStreamWarning, match="label 'worm'; the model has 'ok', 'worn'"):
        model.set_decision(thresholds={"worm": 0.3})
    with pytest.warns(LocoStreamWarning, match="`costs`: no row had the label 'worm'; "):
        model.set_decision(costs={("worn", "worm"): 3.0})
    assert model.decision == {"costs": {("worn", "worm"): 3.0}}  # the label may come later
    model.set_class_weight("balanced")
    model.set_decision(costs={("worn", "ok"): 3.0})
    model.set_decision()


def test_predictions_without_known_features_warn_once():
    model = LOCOClassifier(seed=0)
    model.predict_one({"velocity": 1.0})  # nothing is known yet
    for i, x in enumerate(rows(4, load=1.0)):
        model.learn_one(x, i % 2)
    message = "has none of the model's features: it has 'velocity', the model has 'a', 'load'"
    again = pickle.loads(pickle.dumps(model))
    with pytest.warns(LocoStreamWarning, match=message):
        model.predict_one({"velocity": 1.0})
    model.predict_proba_one({"velocity": 2.0})
    model.predict_one({})
    with pytest.warns(LocoStreamWarning, match=message):
        again.predict_array(np.ones((2, 1)), ["velocity"])
    again.predict_one({"velocity": 1.0, "load": 1.0})


def frame_of(**columns):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(columns)


CALLS = [
    lambda model: [model.learn_one({"a": 1.0, "b": None}, 1.0) for _ in range(100)],
    lambda model: model.learn_array(np.full((100, 1), np.nan), np.ones(100), ["b"]),
    lambda model: model.learn_many(frame_of(b=[None] * 100), [1.0] * 100),
    lambda model: model.learn_predict_array(np.full((100, 1), np.nan), np.ones(100), ["b"]),
    lambda model: model.predict_one({"b": 1.0}),
    lambda model: model.predict_array([[1.0]], ["b"]),
    lambda model: model.predict_many(frame_of(b=[1.0])),
    lambda model: model.observe_one({"b": 1.0}),
    lambda model: model.observe_array([[1.0]], ["b"]),
    lambda model: model.predict_sequence([[1.0]], features=["b"]),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_the_warning_names_the_callers_line(kind, call):
    model = kind(seed=0)
    model.learn_one({"a": 1.0}, 1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(model)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_warning_raised_as_an_error_leaves_the_model_as_without_it():
    one = LOCOClassifier(seed=0)
    other = LOCOClassifier(seed=0)
    for i, x in enumerate(rows(120, b=None)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.learn_one(x, i % 2)
        try:
            other.learn_one(x, i % 2)
        except LocoStreamWarning:
            assert i == 99
    first = one.export_state()[1]
    second = other.export_state()[1]
    assert all(np.array_equal(first[name], second[name]) for name in first)
