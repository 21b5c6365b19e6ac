"""A model warns at once of a column that brings nothing, and of predictions from features it has never seen."""

from __future__ import annotations

import math
import pickle
import warnings

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import LocoStreamWarning

pytestmark = pytest.mark.filterwarnings("error::loco_stream.errors.LocoStreamWarning")


def rows(n, **more):
    return [{"a": float(i % 3), **more} for i in range(n)]


@pytest.mark.parametrize("nothing", [None, math.nan, "red"])
def test_a_column_that_brings_nothing_is_told_after_100_rows_and_once(nothing):
    model = LOCOClassifier(seed=0, categories=0)
    for i, x in enumerate(rows(99, colour=nothing)):
        model.learn_one(x, i % 2)
    with pytest.warns(
        LocoStreamWarning, match="column 'colour' held no number in its first 100 rows"
    ):
        model.learn_one({"a": 1.0, "colour": nothing}, 1)
    for i, x in enumerate(rows(150, colour=nothing)):
        model.learn_one(x, i % 2)


def test_a_column_that_comes_later_has_100_rows_of_its_own():
    model = LOCORegressor(seed=0)
    for x in rows(60):
        model.learn_one(x, 1.0)
    for x in rows(99, b=None):
        model.learn_one(x, 1.0)
    with pytest.warns(LocoStreamWarning, match="column 'b'"):
        model.learn_one({"a": 1.0, "b": None}, 1.0)


@pytest.mark.parametrize("Model", [LOCOClassifier, LOCORegressor])
def test_blocks_are_told_as_well(Model):
    X = np.ones((150, 2))
    X[:, 1] = np.nan
    with pytest.warns(LocoStreamWarning, match="column 'b'"):
        Model(seed=0).learn_array(X, np.arange(150) % 2, ["a", "b"])


def test_texts_and_rare_numbers_are_no_reason():
    model = LOCOClassifier(seed=0)
    for i, x in enumerate(rows(250, colour="red", late=None)):
        model.learn_one({**x, "late": 1.0 if i == 90 else None}, i % 2)


def test_predictions_from_strange_features_are_told_once():
    model = LOCOClassifier(seed=0)
    model.predict_one({"velocity": 1.0})  # nothing is known yet
    for i, x in enumerate(rows(4, load=1.0)):
        model.learn_one(x, i % 2)
    said = r"none of the features to predict from \('velocity'\) is one that the model knows \('a', 'load'\)"
    again = pickle.loads(pickle.dumps(model))
    with pytest.warns(LocoStreamWarning, match=said):
        model.predict_one({"velocity": 1.0})
    model.predict_proba_one({"velocity": 2.0})
    model.predict_one({})
    with pytest.warns(LocoStreamWarning, match=said):
        again.predict_array(np.ones((2, 1)), ["velocity"])
    again.predict_one({"velocity": 1.0, "load": 1.0})


def test_the_warning_names_the_callers_line():
    model = LOCOClassifier(seed=0)
    model.learn_one({"a": 1.0}, 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict_one({"b": 1.0})
    assert caught[0].filename == __file__


def test_a_warning_that_is_an_error_leaves_the_model_as_it_would_be():
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
