"""Values that are no numbers are masked; calls with impossible arguments are refused."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier, LOCODetector, LOCOForecaster, LOCORegressor
from loco_stream.errors import InputError
from tests.helpers.models import arrays_of, assert_same, blobs

SMALL = {"hidden_sizes": (16, 8), "seed": 1}
OPEN_RANGES = (".lowest", ".highest", ".low", ".high")  # which start from infinity
NO_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
    None,
    "",
    b"x",
    [1, 2],
    {},
    object(),
    10**400,
    1j,
    np.complex64(1.0),
    np.complex128(1j),
    dt.datetime(2020, 1, 1),
    np.datetime64(1, "D"),
    np.datetime64(1, "ns"),
    np.timedelta64(1, "h"),
    Decimal("NaN"),
    np.ma.masked,
]


def small():
    return LOCOClassifier(**SMALL)


def small_regressor():
    return LOCORegressor(**SMALL)


@pytest.mark.parametrize("make", [small, small_regressor], ids=["classifier", "regressor"])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:20])
def test_a_value_that_is_no_number_is_masked_and_counted(make, value):
    X, y = blobs(60)
    dirty = make()
    missing = make()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        x = dict(enumerate(row))
        dirty.predict_one({**x, 2: value})
        dirty.learn_one({**x, 2: value} if i % 3 == 1 else x, label)
        missing.learn_one({k: v for k, v in x.items() if k != 2} if i % 3 == 1 else x, label)
    assert dirty.masked_values == missing.masked_values == 20
    assert dirty.skipped_updates == 0
    assert_same(arrays_of(dirty), arrays_of(missing))


@pytest.mark.parametrize("value", [3, True, np.float32(3), np.int8(3), Decimal(3), np.bool_(True)])
def test_every_kind_of_number_is_learned(value):
    model = small()
    model.learn_one({"a": 1.0}, "x")
    model.learn_one({"a": value}, "x")
    assert model.masked_values == 0
    assert arrays_of(model)["statistics.mean"][0] == (1.0 + float(value)) / 2


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(["a", "b", "c", 1, 2]),
                st.one_of(
                    st.floats(), st.none(), st.text(max_size=3), st.integers(), st.booleans()
                ),
                max_size=5,
            ),
            st.one_of(st.integers(0, 5), st.text(max_size=2), st.booleans()),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_stream_makes_a_number_infinite(rows):
    model = small()
    regressor = small_regressor()
    for x, y in rows:
        proba = model.predict_proba_one(x)
        assert all(0.0 <= p <= 1.0 for p in proba.values())
        assert not proba or sum(proba.values()) == pytest.approx(1.0)
        model.learn_one(x, y)
        value = float(hash(y) % 7)
        assert math.isfinite(regressor.predict_one(x))
        regressor.learn_one(x, value)
    for each in (model, regressor):
        assert each.skipped_updates == 0
        for name, array in arrays_of(each).items():
            if not name.endswith(OPEN_RANGES):
                assert np.all(np.isfinite(array)), name


def test_arrays_of_objects_are_masked_like_rows_by_name():
    X = np.array([[1.0, "word"], [None, 2.0], ["3", math.inf]], object)
    array = small()
    single = small()
    array.learn_array(X, ["a", "b", "a"])
    for row, label in zip(X, ["a", "b", "a"], strict=True):
        single.learn_one(dict(enumerate(row)), label)
    assert_same(arrays_of(array), arrays_of(single))
    assert array.masked_values == 2
    assert list(array.categories_) == [1, 0]


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_arrays_of_dates_are_masked_in_any_unit(unit):
    model = small()
    model.learn_array(np.array([["2020-01-01"], ["2020-01-02"]], f"M8[{unit}]"), ["a", "b"])
    assert model.masked_values == 2


def test_unknown_features_of_a_prediction_are_ignored():
    X, y = blobs(30)
    model = small()
    model.learn_array(X, y)
    x = dict(enumerate(X[0]))
    assert model.predict_proba_one(x) == model.predict_proba_one({**x, "new": 5.0})
    assert model.n_features_in == 4


@pytest.mark.parametrize(
    ("X", "y", "features", "message"),
    [
        (np.zeros(4), ["a"], None, r"`X` must have 2 dimensions, .* got 1"),
        (np.zeros((1, 3)), ["a"], None, r"`X` must have 4 columns .*, got 3"),
        (np.zeros((2, 4)), ["a"], None, r"`y` must have 2 values, .* got 1"),
        (np.zeros((1, 4)), ["a"], ("p", "q"), r"`features` must name the 4 columns .* got 2"),
        (np.zeros((1, 4)), ["a"], ("p", "q", "r", "r"), r"the 4 columns of `X`, got 3 distinct"),
        (np.zeros((1, 4)), [None], None, r"`y\[0\]` must be a hashable class label .* got None"),
        (np.zeros((1, 4)), [math.nan], None, r"`y\[0\]` must be a hashable class label .* got nan"),
        (np.zeros((1, 4)), [[1]], None, r"`y\[0\]` must be a hashable class label, got list"),
        (np.zeros((1, 4)), ["a"], ("p", "q", "r", ["s"]), "`features` must be hashable names"),
    ],
)
def test_a_refused_call_says_why_and_changes_nothing(X, y, features, message):
    model = small()
    model.learn_array(*blobs(20))
    before = arrays_of(model)
    classes = model.classes
    known = model.features
    for method in (model.learn_array, model.learn_predict_array):
        with pytest.raises(InputError, match=message):
            method(X, y, features)
    assert_same(before, arrays_of(model))
    assert (model.classes, model.features) == (classes, known)


@pytest.mark.parametrize("x", [5, "abc", [1.0], None])
def test_a_row_must_be_a_mapping(x):
    for model in (small(), small_regressor()):
        for call in (
            lambda model=model: model.learn_one(x, 1.0),
            lambda model=model: model.predict_one(x),
        ):
            with pytest.raises(InputError, match="`x` must be a dict"):
                call()
        assert (model.n_features_in, model.n_seen) == (0, 0)


def test_after_a_refused_first_call_a_model_is_fresh():
    model = small()
    for X, y, features in [(np.zeros((2, 3)), ["a"], None), (np.zeros((1, 3)), ["a"], ("p",))]:
        with pytest.raises(InputError):
            model.learn_array(X, y, features)
    assert (model.classes, model.n_features_in, model.n_seen) == ((), 0, 0)


@pytest.mark.parametrize("y", [None, math.nan, float("inf"), "word", [1.0], 1j])
def test_a_target_must_be_a_finite_number(y):
    model = small_regressor()
    with pytest.raises(InputError, match="`y` must be a finite number"):
        model.learn_one({"a": 1.0}, y)
    with pytest.raises(InputError, match=r"`y\[0\]` must be a finite number"):
        model.learn_array([[1.0]], [y])
    with pytest.raises(InputError, match=r"`y\[1\]` must be a finite number .*, got -1e\+31"):
        model.learn_array([[1.0], [2.0]], [1.0, -1e31])
    assert (model.n_seen, model.n_features_in) == (0, 0)


@pytest.mark.parametrize(
    "y", [None, math.nan, np.float64("nan"), [1], {}, (1, math.nan), ("a", (2, pd.NA))]
)
def test_a_label_must_be_hashable_and_known(y):
    model = small()
    with pytest.raises(InputError, match="`y` must be a hashable class label"):
        model.learn_one({"a": 1.0}, y)
    assert (model.n_seen, model.classes) == (0, ())


@pytest.mark.parametrize("value", ["\ud800", 2j, np.complex64(2j), np.str_("x\udfff")])
def test_what_no_file_can_hold_is_refused_as_label_and_as_name(value):
    estimator = LOCOClassifier(hidden_sizes=4, seed=1)
    learned = "must be a {} other than complex numbers and texts of invalid Unicode, got "
    with pytest.raises(InputError, match="`y` " + learned.format("class label")):
        estimator.learn_one({"a": 1.0}, value)
    with pytest.raises(InputError, match=r"`y\[1\]` " + learned.format("class label")):
        estimator.learn_array(np.zeros((2, 1)), ["on", value])
    with pytest.raises(InputError, match="`x` " + learned.format("name of a feature")):
        estimator.learn_one({value: 1.0}, "on")
    detector = LOCODetector(seed=1)
    with pytest.raises(InputError, match="`x` " + learned.format("name of a feature")):
        detector.learn_one({value: 1.0})
    assert estimator.n_seen == detector.n_seen == 0


@pytest.mark.parametrize(
    "name", [math.nan, np.float64("nan"), pd.NA, pd.NaT, (1, ("a", math.nan))], ids=repr
)
def test_a_feature_whose_name_is_missing_is_refused(name):
    text = "`x` must have names of features other than NaN, got "
    frame = pd.DataFrame([[1.0, 2.0]], columns=pd.Index([name, "b"], dtype=object))
    for learn in (
        lambda: small().learn_one({name: 1.0, "b": 2.0}, "on"),
        lambda: small().learn_many(frame, ["on"]),
        lambda: LOCODetector(seed=1).learn_one({name: 1.0, "b": 2.0}),
        lambda: LOCOForecaster(hidden_sizes=4, seed=1).learn_one(1.0, {name: 1.0}),
    ):
        with pytest.raises(InputError, match=text):
            learn()
