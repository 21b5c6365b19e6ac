"""Frames of every library give what rows by name give, in the caller's kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow
import pytest
from river import compat
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV

from loco_stream import (
    AdvancedOptions,
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
)
from loco_stream.errors import ConfigError, InputError
from tests.helpers.models import arrays_of, assert_same

pl = pytest.importorskip("polars")

N = 60
START = datetime(2024, 3, 1, tzinfo=UTC)


def rows():
    rng = np.random.default_rng(0)
    return [
        {
            "size": None if i % 13 == 5 else float(rng.standard_normal()),
            "count": int(rng.integers(9)),
            "on": bool(rng.random() < 0.5),
            "colour": None if i % 11 == 3 else ("red", "green", "blue")[rng.integers(3)],
            "kind": ("a", "b")[i % 2],
            "at": START + timedelta(seconds=7 * i),
        }
        for i in range(N)
    ]


def plain(row):
    """Return a row as its frame is learned."""
    return {**row, "at": row["at"].timestamp()}


LABELS = [("ok", "worn", "new")[i % 3 if i % 7 else 0] for i in range(N)]


def in_pandas():
    frame = pd.DataFrame(rows(), index=range(100, 100 + N))
    return frame.astype({"kind": "category"})


def in_polars():
    return pl.DataFrame(rows()).with_columns(pl.col("kind").cast(pl.Categorical))


def in_pyarrow():
    table = pyarrow.Table.from_pylist(rows())
    kind = table.schema.get_field_index("kind")
    return table.set_column(kind, "kind", table["kind"].dictionary_encode())


FRAMES = {"pandas": in_pandas, "polars": in_polars, "pyarrow": in_pyarrow}
SERIES = {
    "pandas": (pd.Series, lambda s: s.tolist()),
    "polars": (pl.Series, lambda s: s.to_list()),
    "pyarrow": (pyarrow.array, lambda s: s.to_pylist()),
}


def small(**options):
    return LOCOClassifier(hidden_sizes=(6,), seed=2, **options)


@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_gives_what_its_rows_give(library):
    X = FRAMES[library]()
    make, listed = SERIES[library]
    by_rows = small()
    predicted = []
    for row, y in zip(rows(), LABELS, strict=True):
        predicted.append(by_rows.predict_one(plain(row)))
        by_rows.learn_one(plain(row), y)
    model = small()
    found = model.learn_predict_many(X, make(LABELS))
    assert listed(found) == predicted
    assert model.features == by_rows.features
    assert model.categories_ == by_rows.categories_
    config, arrays = model.export_state()
    expected_config, expected = by_rows.export_state()
    assert config == expected_config
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    learned = small()
    learned.learn_many(X, make(LABELS))
    assert learned.predict_one(plain(rows()[3])) == model.predict_one(plain(rows()[3]))


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_nulls_of_pandas_extension_types_are_missing(backend):
    X = pd.DataFrame(rows()).convert_dtypes(dtype_backend=backend)
    missing = X.isna().sum().sum()
    assert missing
    X["on"] = X["on"].where(np.arange(N) % 7 > 0)  # NA among bools and times as well
    X["at"] = X["at"].where(np.arange(N) % 17 > 0)
    by_rows = small()
    for row, y in zip(X.to_dict("records"), LABELS, strict=True):
        known = {name: None if pd.isna(value) else value for name, value in row.items()}
        time = known["at"]
        by_rows.learn_one({**known, "at": None if time is None else time.timestamp()}, y)
    model = small()
    model.learn_many(X, pd.Series(LABELS))
    assert model.masked_values == by_rows.masked_values
    _, arrays = model.export_state()
    for name, array in by_rows.export_state()[1].items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_dates_are_seconds_whatever_the_type_of_their_column():
    days = [START.date() + timedelta(days=i) for i in range(N - 1)] + [None]
    at = [
        float("nan") if day is None else START.timestamp() + 86400.0 * i
        for i, day in enumerate(days)
    ]
    kinds = {
        "date32": pyarrow.table({"day": pyarrow.array(days, pyarrow.date32())}),
        "date64": pyarrow.table({"day": pyarrow.array(days, pyarrow.date64())}),
        "objects": pd.DataFrame({"day": pd.Series(days, dtype=object)}),
        "categories": pd.DataFrame({"day": pd.Series(days).astype("category")}),
    }
    by_rows = small()
    by_rows.learn_array(np.array(at)[:, None], LABELS, features=("day",))
    for kind, X in kinds.items():
        model = small()
        model.learn_many(X, LABELS)
        assert model.masked_values == by_rows.masked_values == 1, kind
        for name, array in by_rows.export_state()[1].items():
            np.testing.assert_array_equal(model.export_state()[1][name], array, err_msg=name)


@pytest.mark.parametrize("library", FRAMES)
def test_answers_have_the_kind_and_index_of_the_frame(library):
    X = FRAMES[library]()
    make, listed = SERIES[library]
    model = small()
    assert listed(model.predict_many(X)) == [None] * N
    model.learn_many(X, make(LABELS))
    answers = model.predict_many(X)
    proba = model.predict_proba_many(X)
    assert type(proba).__module__.split(".")[0] == library
    assert type(answers).__module__.split(".")[0] == library
    if library == "pandas":
        assert answers.index.equals(X.index)
        assert proba.index.equals(X.index)
        assert list(proba.columns) == list(model.classes)
    one = [model.predict_proba_one(plain(row))["worn"] for row in rows()]
    assert listed(proba["worn"]) == one
    regressor = LOCORegressor(hidden_sizes=(6,), seed=2)
    values = regressor.learn_predict_many(X, make([float(i) for i in range(N)]))
    assert listed(values)[0] == 0.0
    assert np.isfinite(listed(regressor.predict_many(X))).all()


@pytest.mark.parametrize("library", FRAMES)
def test_array_methods_keep_the_names_of_a_frame(library):
    X = FRAMES[library]()
    model = small()
    model.learn_array(X, LABELS)
    assert set(model.features) == set(rows()[0])
    shuffled = X.select(sorted(rows()[0], reverse=True)) if library != "pandas" else X.iloc[:, ::-1]
    np.testing.assert_array_equal(model.predict_array(shuffled), model.predict_array(X))
    np.testing.assert_array_equal(model.predict_proba_array(shuffled), model.predict_proba_array(X))
    assert len(model.observe_array(X)) == N


@pytest.mark.parametrize("library", FRAMES)
def test_times_may_be_datetimes_and_columns_of_a_frame(library):
    X = np.random.default_rng(1).standard_normal((N, 3))
    stamps = [row["at"].timestamp() for row in rows()]
    models = [small(memory=(0.3, 20.0)) for _ in range(3)]
    models[0].learn_array(X, LABELS, t=stamps)
    models[1].learn_array(X, LABELS, t=FRAMES[library]()["at"])
    for x, y, row in zip(X.tolist(), LABELS, rows(), strict=True):
        models[2].learn_one(dict(enumerate(x)), y, t=row["at"])
    first, *others = (model.export_state()[1] for model in models)
    for other in others:
        for name, array in first.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)


def test_datetimes_of_numpy_are_times():
    X = np.random.default_rng(1).standard_normal((4, 3))
    t = np.array(["2024-01-01", "2024-01-02", "NaT", "2024-01-04"], "M8[s]")
    one, other = small(memory=(0.3, 20.0)), small(memory=(0.3, 20.0))
    one.learn_array(X, list("abab"), t=t)
    other.learn_array(X, list("abab"), t=[1704067200.0, 1704153600.0, np.nan, 1704326400.0])
    for name, array in one.export_state()[1].items():
        np.testing.assert_array_equal(array, other.export_state()[1][name], err_msg=name)


def test_names_of_pandas_may_be_numbers():
    model = small()
    model.learn_many(pd.DataFrame(np.eye(3), columns=[5, "a", 2]), pd.Series(["x", "y", "x"]))
    assert set(model.features) == {5, "a", 2}


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (np.eye(3), "`X` must be a frame of pandas, polars or pyarrow, got ndarray"),
        ({"a": [1, 2]}, "`X` must be a frame of pandas, polars or pyarrow, got dict"),
        (pl.LazyFrame({"a": [1]}), "`X` must be a frame in memory, got LazyFrame"),
        (pl.DataFrame({"a": [[1, 2]]}), "column 'a' of `X` must hold numbers, texts, categories"),
    ],
)
def test_what_is_no_frame_of_values_is_refused(X, text):
    with pytest.raises(InputError, match=text):
        small().learn_many(X, ["a"])


@pytest.mark.parametrize("library", FRAMES)
def test_labels_are_one_column_of_a_frame(library):
    """The columns of a frame of polars were taken as labels."""
    X = FRAMES[library]()
    with pytest.raises(InputError, match=r"`y` must be a sequence .*; pass one of its columns"):
        small().learn_many(X, X)


def test_a_batch_of_pyarrow_is_a_frame():
    table = in_pyarrow().combine_chunks()
    expected = small().learn_predict_many(table, LABELS)
    assert small().learn_predict_many(table.to_batches()[0], LABELS) == expected


def test_parameters_of_scikit_learn():
    model = small(advanced=AdvancedOptions(window=12.0), memory=(0.3, 20.0))
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert copy.get_params()["advanced__window"] == 12.0
    assert copy.set_params(seed=9, advanced__window=15.0) is copy
    assert (copy.seed, copy.advanced.window, model.seed) == (9, 15.0, 2)
    copy.learn_one({"a": 1.0}, "x")
    with pytest.raises(ConfigError, match="nothing, got one that has learned 1 row"):
        copy.set_params(seed=1)
    with pytest.raises(
        ConfigError, match="LOCOClassifier has no parameter 'sed'; did you mean 'seed'"
    ):
        model.set_params(sed=1)
    assert LOCORegressor(hidden_sizes=(4,)).set_params(seed=5).seed == 5


def test_scikit_learn_recognises_classifiers_and_regressors():
    known = {
        LOCOClassifier: (True, False),
        LOCORegressor: (False, True),
        LOCOMultiTargetRegressor: (False, True),
        LOCOForecaster: (False, False),
        LOCODetector: (False, False),
    }
    assert {kind: (is_classifier(kind()), is_regressor(kind())) for kind in known} == known


def test_scikit_learn_through_river_compat():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    y = (X[:, 0] > 0).astype(int)
    wrapped = compat.convert_river_to_sklearn(small())
    wrapped.partial_fit(X[:150], y[:150])
    wrapped.partial_fit(X[150:], y[150:])
    assert (wrapped.predict(X) == y).mean() > 0.9
    direct = small()
    for x, label in zip(X, y, strict=True):
        direct.learn_one(dict(enumerate(x)), label)
    assert [direct.predict_one(dict(enumerate(x))) for x in X] == wrapped.predict(X).tolist()
    grid = {"river_estimator__hidden_sizes": [(4,), (6,)], "river_estimator__advanced__tau": [9.0]}
    searched = GridSearchCV(compat.convert_river_to_sklearn(small()), grid, cv=2).fit(X, y)
    assert searched.best_estimator_.river_estimator.advanced.tau == 9.0
    values = compat.convert_river_to_sklearn(LOCORegressor(hidden_sizes=(6,), seed=1))
    assert values.fit(X, X[:, 0]).predict(X).shape == (300,)


@pytest.mark.parametrize("library", FRAMES)
def test_several_targets_are_the_columns_of_a_frame(library):
    X = FRAMES[library]()
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pyarrow.table}[library]
    values = {"a": np.arange(float(N)), "b": np.arange(float(N))[::-1].copy()}
    model = LOCOMultiTargetRegressor(hidden_sizes=(6,), seed=2)
    shown = model.learn_predict_many(X, make(values))
    by_rows = LOCOMultiTargetRegressor(hidden_sizes=(6,), seed=2)
    expected = []
    for i, row in enumerate(rows()):
        expected.append(by_rows.predict_one(plain(row)))
        by_rows.learn_one(plain(row), {name: column[i] for name, column in values.items()})
    expected[0] = {"a": 0.0, "b": 0.0}
    assert frame_rows(shown) == expected
    later = [by_rows.predict_one(plain(row)) for row in rows()]
    assert frame_rows(model.predict_many(X)) == later


def frame_rows(frame):
    if isinstance(frame, pd.DataFrame):
        return frame.to_dict("records")
    return frame.to_pylist() if hasattr(frame, "to_pylist") else frame.to_dicts()


@pytest.mark.parametrize("in_stream", [True, False, None])
def test_frames_have_the_prediction_modes(in_stream):
    X = in_pandas()
    model = small()
    model.learn_many(X, LABELS)
    one = [model.predict_one(plain(row), in_stream=in_stream) for row in rows()]
    assert model.predict_many(X, in_stream=in_stream).tolist() == one
    proba = [model.predict_proba_one(plain(row), in_stream=in_stream) for row in rows()]
    assert model.predict_proba_many(X, in_stream=in_stream).to_dict("records") == proba


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_columns_of_one_name_are_refused_by_every_method(library):
    if library == "pandas":
        X = pd.DataFrame(np.zeros((2, 3)), columns=["a", "b", "a"])
    else:
        X = pyarrow.Table.from_arrays([pyarrow.array([0.0, 1.0])] * 3, names=["a", "b", "a"])
    model = small()
    for method in (model.learn_many, model.learn_predict_many, model.learn_array):
        with pytest.raises(InputError, match=r"different names, got 'a' 2 times$"):
            method(X, ["ok", "worn"])
    with pytest.raises(InputError, match=r"different names, got 'a' 2 times$"):
        model.predict_array(X)


@pytest.mark.parametrize("values", [[2**100, 3], [2**100, None]], ids=repr)
def test_integers_of_128_bits_are_numbers(values):
    framed, by_row = small(), small()
    framed.learn_many(pl.DataFrame({"a": pl.Series(values, dtype=pl.Int128)}), ["x", "y"])
    by_row.learn_one({"a": values[0]}, "x")
    by_row.learn_one({"a": values[1]}, "y")
    assert_same(arrays_of(framed), arrays_of(by_row))


def test_arrays_in_cells_of_pandas_are_missing_values():
    model = small()
    model.learn_many(pd.DataFrame({"a": [1.0, 2.0], "v": [np.zeros(3), np.ones(3)]}), ["x", "y"])
    assert model.masked_values == 2


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
@pytest.mark.parametrize(
    ("labels", "answers"),
    [
        ((1, "b"), ["1", "b"]),
        ((True, 2), ["True", "2"]),
        ((1, 2.5), [1.0, 2.5]),
        ((("a", 1), ("b", 2)), ["('a', 1)", "('b', 2)"]),
        ((10**30, 5), ["1000000000000000000000000000000", "5"]),
    ],
    ids=repr,
)
def test_labels_of_several_types_are_texts_outside_of_pandas(library, labels, answers):
    constructor = {"polars": pl.DataFrame, "pyarrow": pyarrow.table}[library]
    frame = constructor({"a": [0.0, 1.0] * 20})
    listed = SERIES[library][1]
    model = small()
    learned = listed(model.learn_predict_many(frame, list(labels) * 20))
    assert learned[0] is None
    assert learned[-2:] == answers
    assert listed(model.predict_many(frame))[:2] == answers
    # the type does not depend on which classes a block is predicted to have
    assert listed(model.predict_many(frame[:1] if library == "polars" else frame.slice(0, 1))) == [
        answers[0]
    ]
