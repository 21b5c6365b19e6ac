"""Arrays, tables and labels of every form, and which of them are refused."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from loco_stream import (
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
)
from loco_stream._learner import step
from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators import _core
from tests.helpers.models import arrays_of, assert_same, blobs

X, Y = blobs(12)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)


def small(make=LOCOClassifier, learned=True, **options):
    new = make(hidden_sizes=(8,), seed=1, **options)
    if learned:
        new.learn_array(X, Y, features=NAMES)
    return new


def mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def read_only(tmp_path):
    rows = X.copy()
    rows.flags.writeable = False
    return rows


def unaligned(tmp_path):
    return np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape)


SAME_ROWS = [
    mapped,
    read_only,
    unaligned,
    lambda _: np.asfortranarray(X),
    lambda _: X.astype(">f8"),
    lambda _: X.astype(object),
    lambda _: X.astype(np.longdouble),
    lambda _: X.tolist(),
    lambda _: [tuple(map(Decimal, row)) for row in X.tolist()],
    lambda _: np.repeat(X, 2, axis=0)[::2],
    lambda _: X.view(np.matrix),
    lambda _: FRAME,
    lambda _: FRAME.astype(object),
]


@pytest.mark.parametrize("rows", SAME_ROWS)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_rows_of_every_form_are_bit_identical(rows, make, tmp_path):
    given = rows(tmp_path)
    plain = small(make, learned=False)
    plain.learn_array(X, Y, features=NAMES)
    other = small(make, learned=False)
    other.learn_array(given, Y, features=NAMES)
    assert_same(arrays_of(plain), arrays_of(other))
    compiled = len(step.run.signatures)
    assert list(plain.learn_predict_array(X, Y, features=NAMES)) == list(
        other.learn_predict_array(given, Y, features=NAMES)
    )
    assert list(plain.predict_array(X)) == list(other.predict_array(given))
    assert len(step.run.signatures) == compiled  # each takes twenty seconds


def test_half_precision_and_integers_equal_float64():
    for kind in (np.float16, np.float32, np.int8, bool):
        rows = (4 * X).astype(kind)
        one = small()
        other = small()
        one.learn_array(rows.astype(np.float64), Y)
        other.learn_array(rows, Y)
        assert_same(arrays_of(one), arrays_of(other))


def test_masked_cells_and_texts_without_categories_are_missing_values():
    mask = np.zeros(X.shape, bool)
    mask[2, 1] = mask[5] = True
    missing = np.where(mask, np.nan, X)
    worded = [["no" if cell != cell else cell for cell in row] for row in missing.tolist()]
    plain = small(learned=False, categories=0)
    plain.learn_array(missing, Y)
    for rows in (np.ma.array(X, mask=mask), worded):
        other = small(learned=False, categories=0)
        other.learn_array(rows, Y)
        assert_same(arrays_of(plain), arrays_of(other))
    assert plain.masked_values == 5


LABELS = [
    list,
    tuple,
    iter,
    pd.Series,
    lambda y: pd.Series(y, index=range(90, 102)),
    lambda y: (label for label in y),
    lambda y: np.asfortranarray(y),
    lambda y: y.astype(object),
    lambda y: y.astype(np.float16),
    lambda y: np.ma.array(y),
    lambda y: dict(enumerate(y)).values(),
]


@pytest.mark.parametrize("form", LABELS)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_labels_of_every_form_are_bit_identical(form, make):
    plain, other, frames = (small(make, learned=False) for _ in range(3))
    plain.learn_array(X, Y, features=NAMES)
    other.learn_array(X, form(Y), features=NAMES)
    frames.learn_many(FRAME, form(Y))
    assert_same(arrays_of(plain), arrays_of(other))
    assert_same(arrays_of(plain), arrays_of(frames))


REFUSED = [
    (pd.DataFrame({"y": Y}), "`y` must be a sequence of 12 .* got DataFrame; pass one of its"),
    (Y[:, None], r"`y` must have 1 dimension, .* got shape \(12, 1\)"),
    (Y[None, :], r"`y` must have 1 dimension, .* got shape \(1, 12\)"),
    (np.array(3), r"`y` must have 1 dimension, .* got shape \(\)"),
    (np.float64(3.0), "`y` must"),
    (3, "`y` must be a sequence of 12 values, one per row, got int"),
    (None, "`y` must be a sequence of 12 values, one per row, got NoneType"),
    ("a" * 12, "`y` must be a sequence of 12 values, one per row, got str"),
    (b"a" * 12, "`y` must be a sequence of 12 values, one per row, got bytes"),
    (set(range(12)), "`y` must be a sequence of 12 values, one per row, got set"),
    (dict.fromkeys(range(12)), "`y` must be a sequence of 12 values, one per row, got dict"),
    (Y[:11], "`y` must have 12 values, one per row of `X`, got 11"),
    ([*Y, 1], "`y` must have 12 values, one per row of `X`, got 13"),
    (itertools.repeat(1), "`y` must have 12 values, one per row of `X`, got 13"),
    (iter(()), "`y` must have 12 values, one per row of `X`, got 0"),
    (
        np.ma.array(Y, mask=[0] * 7 + [1] + [0] * 4),
        "`y` must have a value for every row, but row 7 is masked",
    ),
    ([*Y[:11], None], "got None"),
    ([*Y[:11], float("nan")], "got nan"),
    ([*Y[:11], pd.NA], "got <NA>"),
    ([*Y[:11], np.datetime64("NaT")], "NaT|None"),
    ([*Y[:11], [1]], "`y"),
    ([*Y[:11], np.array([1])], "`y"),
]


@pytest.mark.parametrize(("y", "message"), REFUSED)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("learned", [True, False])
def test_labels_that_do_not_fit_are_refused_and_nothing_is_learned(y, message, make, learned):
    model = small(make, learned)
    before = model.export_state()
    for call in (
        lambda: model.learn_array(X, y, features=NAMES),
        lambda: model.learn_predict_array(X, y, features=NAMES),
        lambda: model.learn_array(X, y, features=["e", "f", "g", "h"]),
        lambda: model.learn_many(FRAME, y),
    ):
        with pytest.raises(InputError, match=message):
            call()
    after = model.export_state()
    assert before[0] == after[0]
    assert_same(before[1], after[1])


@pytest.mark.parametrize(
    "value",
    [
        np.nan,
        np.inf,
        -np.inf,
        1.1e30,
        1.7e308,
        10**400,
        pytest.param(10**5000, id="5001 digits"),
        "3",
        None,
        1j,
        np.complex128(1.0),
        [1.0],
    ],
)
def test_targets_that_are_no_numbers_are_refused(value):
    model = small(LOCORegressor)
    before = arrays_of(model)
    with pytest.raises(InputError, match="`y` must be a finite number"):
        model.learn_one(dict(zip(NAMES, X[0], strict=True)), value)
    with pytest.raises(InputError, match=r"`y\[11\]` must be a finite number"):
        model.learn_array(X, [*Y[:11], value])
    if isinstance(value, float):
        with pytest.raises(InputError, match=r"`y\[11\]` must be a finite number"):
            model.learn_predict_array(X, np.array([*Y[:11], value]))
    assert_same(before, arrays_of(model))


@pytest.mark.parametrize(
    "rows",
    [
        X[0],
        X[None],
        np.array(1.0),
        None,
        3,
        "rows",
        iter(X),
        (row for row in X),
        {"a": 1},
        [[1, 2], [3]],
        X[:, :3],
        [],
    ],
)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_rows_that_are_no_matrix_are_refused_by_every_method(rows, make):
    model = small(make)
    before = arrays_of(model)
    calls = [
        lambda: model.learn_array(rows, Y),
        lambda: model.learn_predict_array(rows, Y),
        lambda: model.predict_array(rows),
        lambda: model.learn_many(rows, Y),
        lambda: model.predict_many(rows),
    ]
    if make is LOCOClassifier:
        calls += [lambda: model.predict_proba_array(rows), lambda: model.predict_proba_many(rows)]
    for call in calls:
        with pytest.raises(InputError, match="`X` must"):
            call()
    assert_same(before, arrays_of(model))


def test_a_sparse_matrix_is_refused_with_what_makes_an_array_of_it():
    with pytest.raises(InputError, match=r"got csr_array: call its `toarray`"):
        small().predict_array(scipy.sparse.csr_array(X))


@pytest.mark.parametrize(
    "features", ["abcd", 3, ["a", "a", "b", "c"], ["a", "b", "c"], [["a"], "b", "c", "d"]]
)
def test_names_that_do_not_fit_the_columns_are_refused(features):
    for model in (small(), small(learned=False)):
        before = model.export_state()[0]
        for call in (
            lambda model=model: model.learn_array(X, Y, features=features),
            lambda model=model: model.predict_array(X, features=features),
        ):
            with pytest.raises(InputError, match="`features` must"):
                call()
        assert model.export_state()[0] == before


@pytest.mark.parametrize(
    "y",
    [None, float("nan"), np.nan, pd.NA, pd.NaT, [1], {}, np.array(1), pd.Series([1]), np.ma.masked],
)
def test_an_impossible_label_is_refused_by_learn_one(y):
    model = small()
    before = model.export_state()
    with pytest.raises(InputError, match="`y` must be a hashable class label"):
        model.learn_one({"new": 1.0}, y)
    assert model.export_state()[0] == before[0]
    assert_same(before[1], arrays_of(model))


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
def test_labels_that_are_dates_are_no_integers_in_any_unit(unit):
    dates = np.array(["2020-01-01", "2021-01-01"], f"M8[{unit}]")
    model = LOCOClassifier(hidden_sizes=8, seed=1)
    model.learn_array([[0.0], [1.0]], dates)
    model.learn_one({0: 0.5}, np.timedelta64(2, unit))
    kinds = [type(label) for label in model.classes]
    assert kinds == [dt.date if unit == "D" else dt.datetime] * 2 + [dt.timedelta]


@pytest.mark.parametrize("x", [None, 3, "abc", [1.0], X[0], FRAME, pd.Series(X[0])])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_row_that_is_no_mapping_is_refused(x, make):
    model = small(make)
    for call in (lambda: model.learn_one(x, 1), lambda: model.predict_one(x)):
        with pytest.raises(
            InputError, match="`x` must be a dict from feature names to values, got"
        ):
            call()


@pytest.mark.parametrize(
    "value", [np.array(2.0), np.float16(2.0), Decimal(2), [1.0, 2.0], 1j, 10**400, object()]
)
def test_unusual_values_of_a_row_are_numbers_or_masked(value):
    model = small()
    model.learn_one({"a": value, "b": 1.0, "c": 2.0, "d": 3.0}, 1)
    model.learn_one({"a": value}, 1)
    assert all(np.isfinite(p) for p in model.predict_proba_one({"a": value}).values())


def test_features_and_classes_that_do_not_fit_in_memory_are_taken_back(monkeypatch):
    model = small()
    before = model.export_state()

    def full(*_):
        raise MemoryError

    monkeypatch.setattr("loco_stream.estimators._core.grow", full)
    with pytest.raises(
        InputError, match="a model of 8 features, 0 texts and 6 classes does not fit"
    ):
        model.learn_array(X, [*Y[:9], "x", "y", "z"], features=["e", "f", "g", "h"])
    monkeypatch.undo()
    assert model.export_state()[0] == before[0]
    model.learn_array(X, [*Y[:9], "x", "y", "z"], features=["e", "f", "g", "h"])
    assert len(model.classes) == 6


@pytest.mark.parametrize("is_reserved", [False, True])
def test_a_first_row_that_does_not_fit_in_memory_leaves_a_new_model(monkeypatch, is_reserved):
    """Its width and its texts do not decide what later rows are learned by."""
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    if is_reserved:
        model.reserve(["a", "b"])
    fresh = copy.deepcopy(model)
    wide = {f"n{i}": 1.0 for i in range(2000)} | {f"t{i}": f"{i}" for i in range(100)}
    monkeypatch.setenv("LOCO_STREAM_STATE_BYTES", "20000000")
    for _ in range(2):
        with pytest.raises(InputError, match="does not fit in memory"):
            model.learn_one(wide, "x")
    assert model.export_state()[0] == fresh.export_state()[0]
    for each in (model, fresh):
        each.learn_one({"a": 1.0, "b": 2.0}, "x")
        each.learn_one({f"n{i}": 1.0 for i in range(100)}, "y")  # the arrays grow
    assert model.export_state()[0] == fresh.export_state()[0]
    assert_same(arrays_of(model), arrays_of(fresh))


def test_a_row_whose_texts_do_not_fit_in_memory_leaves_no_feature_and_no_class(monkeypatch):
    model = small()
    before = model.export_state()[0]
    grow = _core.grow

    def bounded(layout, settings, state, features, classes, texts):
        if features > 8:
            raise MemoryError
        return grow(layout, settings, state, features, classes, texts)

    monkeypatch.setattr(_core, "grow", bounded)
    with pytest.raises(InputError, match="of 8 features, 1 text and 4 classes does not fit"):
        model.learn_one({"e": 1.0, "f": 1.0, "g": 1.0, "h": "red"}, "new")  # the text is the ninth
    assert model.export_state()[0] == before


def test_a_row_of_very_many_names_is_refused_before_memory_is_allocated(monkeypatch):
    model = small()
    before = model.export_state()
    wide = {f"f{k}": 1.0 for k in range(1_000_000)}
    with pytest.raises(
        InputError,
        match=r"1,000,004 features, 0 texts and 3 classes does not fit .* would take [\d,]+ MiB of "
        r"the 2,048 allowed by LOCO_STREAM_STATE_BYTES",
    ):
        model.learn_one(wide, 1)
    assert model.export_state()[0] == before[0]
    monkeypatch.setenv("LOCO_STREAM_STATE_BYTES", "1000")
    with pytest.raises(InputError, match="of the 0 allowed"):
        small()


@pytest.mark.parametrize("given", ["much", "0", "-5", ""])
def test_the_bound_of_memory_is_a_number_of_bytes(monkeypatch, given):
    monkeypatch.setenv("LOCO_STREAM_STATE_BYTES", given)
    with pytest.raises(
        ConfigError,
        match=f"`LOCO_STREAM_STATE_BYTES` must be a number of bytes of at least 1, got '{given}'",
    ):
        small()


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("rows", [X, X.tolist(), None])
def test_methods_for_frames_name_those_for_arrays(make, rows):
    fresh = make(seed=1)
    targets = list(range(len(X)))
    for call in (lambda: fresh.learn_many(rows, targets), lambda: fresh.predict_many(rows)):
        with pytest.raises(
            InputError, match=r"`X` must be a frame of pandas, .*, got .*; arrays go to learn_array"
        ):
            call()


NO_ROWS = np.zeros((0, 2))


@pytest.mark.parametrize(
    ("model", "learn"),
    [
        (
            LOCOClassifier(),
            lambda model: model.learn_predict_proba_array(NO_ROWS, [], features=NAMES[:2]),
        ),
        (
            LOCORegressor(),
            lambda model: model.learn_predict_interval_array(NO_ROWS, [], features=NAMES[:2]),
        ),
        (
            LOCOMultiTargetRegressor(),
            lambda model: model.learn_array(NO_ROWS, NO_ROWS, features=NAMES[:2]),
        ),
        (LOCOForecaster(), lambda model: model.learn_forecast_array([], NO_ROWS, NAMES[:2])),
        (LOCODetector(), lambda model: model.learn_score_array(NO_ROWS, features=NAMES[:2])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_rows_change_nothing_as_a_loop_over_them_does(model, learn):
    before = model.export_state()[0]
    learn(model)
    assert model.export_state()[0] == before
