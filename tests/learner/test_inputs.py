from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import ConfigError, InputError
from loco_stream.learner import step
from tests.helpers.models import arrays_of, assert_same, blobs

X, Y = blobs(12)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)


def model(make=LOCOClassifier, learned=True, **settings):
    new = make(hidden_sizes=(8,), seed=1, **settings)
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
def test_rows_of_every_form_are_the_same_rows(rows, make, tmp_path):
    given = rows(tmp_path)
    plain = model(make, learned=False)
    plain.learn_array(X, Y, features=NAMES)
    other = model(make, learned=False)
    other.learn_array(given, Y, features=NAMES)
    assert_same(arrays_of(plain), arrays_of(other))
    compiled = len(step.run.signatures)
    assert list(plain.learn_predict_array(X, Y, features=NAMES)) == list(
        other.learn_predict_array(given, Y, features=NAMES)
    )
    assert list(plain.predict_array(X)) == list(other.predict_array(given))
    assert len(step.run.signatures) == compiled  # twenty seconds each


def test_half_precision_and_integers_are_read_as_the_numbers_they_are():
    for kind in (np.float16, np.float32, np.int8, bool):
        rows = (4 * X).astype(kind)
        one = model()
        other = model()
        one.learn_array(rows.astype(np.float64), Y)
        other.learn_array(rows, Y)
        assert_same(arrays_of(one), arrays_of(other))


def test_masked_cells_and_texts_without_categories_are_missing_values():
    mask = np.zeros(X.shape, bool)
    mask[2, 1] = mask[5] = True
    holes = np.where(mask, np.nan, X)
    worded = [["no" if cell != cell else cell for cell in row] for row in holes.tolist()]
    plain = model(learned=False, categories=0)
    plain.learn_array(holes, Y)
    for rows in (np.ma.array(X, mask=mask), worded):
        other = model(learned=False, categories=0)
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
def test_answers_of_every_form_are_the_same_answers(form, make):
    plain, other, frames = (model(make, learned=False) for _ in range(3))
    plain.learn_array(X, Y, features=NAMES)
    other.learn_array(X, form(Y), features=NAMES)
    frames.learn_many(FRAME, form(Y))
    assert_same(arrays_of(plain), arrays_of(other))
    assert_same(arrays_of(plain), arrays_of(frames))


REFUSED = [
    (pd.DataFrame({"y": Y}), "y has 2 dimensions"),
    (Y[:, None], "y has 2 dimensions"),
    (Y[None, :], "y has 2 dimensions"),
    (np.array(3), "y has 0 dimensions"),
    (np.float64(3.0), "y "),
    (3, "y is of type int"),
    (None, "y is of type NoneType"),
    ("a" * 12, "y is of type str"),
    (b"a" * 12, "y is of type bytes"),
    (set(range(12)), "y is of type set"),
    (dict.fromkeys(range(12)), "y is of type dict"),
    (Y[:11], "X has 12 rows, but y has 11 values"),
    ([*Y, 1], "X has 12 rows, but y has 13 values"),
    (itertools.repeat(1), "X has 12 rows, but y has 13 values"),
    (iter(()), "X has 12 rows, but y has 0 values"),
    (np.ma.array(Y, mask=[0] * 7 + [1] + [0] * 4), "y is masked at row 7"),
    ([*Y[:11], None], "is None"),
    ([*Y[:11], float("nan")], "is nan"),
    ([*Y[:11], pd.NA], "is <NA>"),
    ([*Y[:11], np.datetime64("NaT")], "NaT|None"),
    ([*Y[:11], [1]], "y"),
    ([*Y[:11], np.array([1])], "y"),
]


@pytest.mark.parametrize(("y", "words"), REFUSED)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("learned", [True, False])
def test_answers_that_do_not_fit_are_refused_and_nothing_is_learned(y, words, make, learned):
    asked = model(make, learned)
    before = asked.export_state()
    for call in (
        lambda: asked.learn_array(X, y, features=NAMES),
        lambda: asked.learn_predict_array(X, y, features=NAMES),
        lambda: asked.learn_array(X, y, features=["e", "f", "g", "h"]),
        lambda: asked.learn_many(FRAME, y),
    ):
        with pytest.raises(InputError, match=words):
            call()
    after = asked.export_state()
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
        [1.0],
    ],
)
def test_targets_beyond_what_a_number_is_are_refused(value):
    asked = model(LOCORegressor)
    before = arrays_of(asked)
    with pytest.raises(InputError, match=r"`y` must be a finite number"):
        asked.learn_one(dict(zip(NAMES, X[0], strict=True)), value)
    with pytest.raises(InputError, match=r"`y\[11\]` must be a finite number"):
        asked.learn_array(X, [*Y[:11], value])
    if isinstance(value, float):
        with pytest.raises(InputError, match=r"`y\[11\]` must be a finite number"):
            asked.learn_predict_array(X, np.array([*Y[:11], value]))
    assert_same(before, arrays_of(asked))


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
def test_rows_that_are_no_matrix_are_refused_by_every_door(rows, make):
    asked = model(make)
    before = arrays_of(asked)
    doors = [
        lambda: asked.learn_array(rows, Y),
        lambda: asked.learn_predict_array(rows, Y),
        lambda: asked.predict_array(rows),
        lambda: asked.learn_many(rows, Y),
        lambda: asked.predict_many(rows),
    ]
    if make is LOCOClassifier:
        doors += [lambda: asked.predict_proba_array(rows), lambda: asked.predict_proba_many(rows)]
    for call in doors:
        with pytest.raises(InputError, match="X "):
            call()
    assert_same(before, arrays_of(asked))


@pytest.mark.parametrize(
    "features", ["abcd", 3, ["a", "a", "b", "c"], ["a", "b", "c"], [["a"], "b", "c", "d"]]
)
def test_names_that_do_not_fit_the_columns_are_refused(features):
    for asked in (model(), model(learned=False)):
        before = asked.export_state()[0]
        for call in (
            lambda asked=asked: asked.learn_array(X, Y, features=features),
            lambda asked=asked: asked.predict_array(X, features=features),
        ):
            with pytest.raises(InputError, match="features "):
                call()
        assert asked.export_state()[0] == before


@pytest.mark.parametrize(
    "y",
    [None, float("nan"), np.nan, pd.NA, pd.NaT, [1], {}, np.array(1), pd.Series([1]), np.ma.masked],
)
def test_a_label_that_cannot_be_one_is_refused_by_learn_one(y):
    asked = model()
    before = asked.export_state()
    with pytest.raises(InputError, match="y is"):
        asked.learn_one({"new": 1.0}, y)
    assert asked.export_state()[0] == before[0]
    assert_same(before[1], arrays_of(asked))


@pytest.mark.parametrize("x", [None, 3, "abc", [1.0], X[0], FRAME, pd.Series(X[0])])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_sample_that_is_no_mapping_is_refused(x, make):
    asked = model(make)
    for call in (lambda: asked.learn_one(x, 1), lambda: asked.predict_one(x)):
        with pytest.raises(InputError, match="x is of type"):
            call()


@pytest.mark.parametrize(
    "value", [np.array(2.0), np.float16(2.0), Decimal(2), [1.0, 2.0], 1j, 10**400, object()]
)
def test_odd_values_of_a_sample_are_numbers_or_masked(value):
    asked = model()
    asked.learn_one({"a": value, "b": 1.0, "c": 2.0, "d": 3.0}, 1)
    asked.learn_one({"a": value}, 1)
    assert all(np.isfinite(p) for p in asked.predict_proba_one({"a": value}).values())


def test_what_finds_no_memory_is_taken_back(monkeypatch):
    asked = model()
    before = asked.export_state()

    def full(*_):
        raise MemoryError

    monkeypatch.setattr("loco_stream.estimators._base.grow", full)
    with pytest.raises(InputError, match="no memory for a model of 8 features and 6 classes"):
        asked.learn_array(X, [*Y[:9], "x", "y", "z"], features=["e", "f", "g", "h"])
    monkeypatch.undo()
    assert asked.export_state()[0] == before[0]
    asked.learn_array(X, [*Y[:9], "x", "y", "z"], features=["e", "f", "g", "h"])
    assert len(asked.classes) == 6


def test_a_row_of_very_many_names_is_refused_before_its_memory_is_asked_for(monkeypatch):
    asked = model()
    before = asked.export_state()
    wide = {f"f{k}": 1.0 for k in range(20_000)}
    with pytest.raises(
        InputError,
        match=r"20004 features and 3 classes: its state would take [\d,]+ MiB of the 2,048",
    ):
        asked.learn_one(wide, 1)
    assert asked.export_state()[0] == before[0]
    monkeypatch.setenv("LOCO_STREAM_STATE_BYTES", "1000")
    with pytest.raises(InputError, match="of the 0 allowed"):
        model()
    monkeypatch.setenv("LOCO_STREAM_STATE_BYTES", "much")
    with pytest.raises(
        ConfigError, match="LOCO_STREAM_STATE_BYTES is 'much'; allowed is a whole number of bytes"
    ):
        model()


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("rows", [X, X.tolist(), None])
def test_the_doors_for_frames_say_where_arrays_go(make, rows):
    fresh = make(seed=1)
    targets = list(range(len(X)))
    for call in (lambda: fresh.learn_many(rows, targets), lambda: fresh.predict_many(rows)):
        with pytest.raises(
            InputError, match=r"take a DataFrame of pandas, and arrays go to learn_array"
        ):
            call()
