"""Rows that a block predicts and observes, and does not learn."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import InputError
from tests.helpers.models import arrays_of, assert_same

_HELD = [10, 11, 25, 39]


def _rows(n: int = 40) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3))
    return X, ["low" if row.sum() < 0.0 else "high" for row in X]


def _one_by_one(model, X, y, held):
    """Do by single calls what `held_out` does in one."""
    rows = []
    for i in range(len(y)):
        row = X[i : i + 1]
        if i not in held:
            rows.append(model.learn_predict_array(row, y[i : i + 1])[0])
        else:
            rows.append(model.predict_array(row, in_stream=True)[0])
            model.observe_array(row)
    return rows


@pytest.mark.parametrize(
    "options", [{}, {"memory": (0.3, 50.0), "max_delay": 3}, {"neighbors": 20}]
)
def test_held_out_rows_are_predicted_and_observed(options):
    X, y = _rows()
    model = LOCOClassifier(seed=1, **options)
    twin = LOCOClassifier(seed=1, **options)
    together = model.learn_predict_array(X, y, held_out=_HELD)
    assert _one_by_one(twin, X, y, _HELD) == together.tolist()
    assert_same(arrays_of(model), arrays_of(twin))
    assert model.n_seen == len(y) - len(_HELD)


def test_a_class_of_held_out_rows_alone_stays_unknown():
    X, y = _rows()
    y[25] = "never learned"
    model = LOCOClassifier(seed=1)
    proba = model.learn_predict_proba_array(X, y, held_out=[25])
    assert set(model.classes) == {"low", "high"}
    assert proba.shape == (40, 2)


def test_texts_of_held_out_rows_get_no_slot():
    X, y = _rows()
    table = X.astype(object)
    table[:, 2] = np.where(X[:, 2] < 0.0, "left", "right")
    table[25, 2] = "only here"
    table[26, 2] = table[10, 2] = "held out first"
    models = [LOCOClassifier(seed=1, categories=8) for _ in range(2)]
    together = models[0].learn_predict_array(table, y, held_out=_HELD)
    assert _one_by_one(models[1], table, y, _HELD) == together.tolist()
    assert_same(*map(arrays_of, models))
    assert models[0].categories_ == models[1].categories_
    assert models[0].categories_[2]["distinct"] == 3


@pytest.mark.parametrize("with_intervals", [False, True])
def test_a_regressor_holds_out_rows(with_intervals):
    X, _ = _rows()
    y = X.sum(axis=1).tolist()
    model = LOCORegressor(seed=1)
    twin = LOCORegressor(seed=1)
    if with_intervals:
        together, _ = model.learn_predict_interval_array(X, y, held_out=_HELD)
    else:
        together = model.learn_predict_array(X, y, held_out=_HELD)
    assert _one_by_one(twin, X, y, _HELD) == together.tolist()
    assert_same(arrays_of(model), arrays_of(twin))


@pytest.mark.parametrize("value", [None, np.nan, "unknown", 1e40])
def test_a_regressor_does_not_read_the_values_of_rows_held_out(value):
    X, _ = _rows()
    y = X.sum(axis=1).tolist()
    expected = LOCORegressor(seed=1).learn_predict_array(X, y, held_out=_HELD)
    given = [value if row in _HELD else y[row] for row in range(len(y))]
    before = given.copy()
    for values in (given, np.array(given, object)):
        answers = LOCORegressor(seed=1).learn_predict_array(X, values, held_out=_HELD)
        assert answers.tolist() == expected.tolist()
    assert all(one is other for one, other in zip(given, before, strict=True))


@pytest.mark.parametrize("held_out", [[40], [-1], [0.5], [True], ["a"], 3])
def test_positions_are_checked(held_out):
    X, y = _rows()
    model = LOCOClassifier(seed=1)
    with pytest.raises(InputError, match="`held_out` must be positions of"):
        model.learn_predict_array(X, y, held_out=held_out)
    assert model.n_seen == 0
