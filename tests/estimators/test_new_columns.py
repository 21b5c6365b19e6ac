"""Tables with columns that the model does not know yet: the same as rows by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from loco_stream import (
    LOCOClassifier,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
)
from tests.helpers.models import arrays_of, assert_same

NAMES = ["d", "a", "b", "c", "kind"]
OPTIONS = [{}, {"memory": (0.3, 50.0), "max_delay": 3, "neighbors": 20}]
HELD = [[], [0, 1, 5]]
N = 25


def numbers(n=N, width=2):
    return np.random.default_rng(n).normal(size=(n, width))


def tables(with_texts):
    """Return rows of two features to learn first, and rows of these and of further ones."""
    later = numbers(width=len(NAMES)).astype(object)
    later[::4, 2] = None
    if with_texts:
        later[:, 4] = np.random.default_rng(1).choice(["red", "green", "blue"], N)
    return numbers(30), later


def labels(X):
    return np.where(X[:, 1].astype(float) > 0.0, "high", "low").tolist()


def values(X):
    return X[:, 1].astype(float).tolist()


def assert_same_models(one, other):
    assert_same(arrays_of(one), arrays_of(other))
    assert one.export_state()[0] == other.export_state()[0]


@pytest.mark.parametrize("is_fresh", [False, True])
@pytest.mark.parametrize("with_texts", [False, True])
@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("kind", "targets"), [(LOCOClassifier, labels), (LOCORegressor, values)])
def test_a_table_with_new_columns_equals_rows_by_name(
    kind, targets, options, held, with_texts, is_fresh
):
    first, later = tables(with_texts)
    y = targets(later)
    t = np.cumsum(1.0 + np.arange(N) % 3)
    runs = [i // 10 for i in range(N)]
    model = kind(hidden_sizes=(12,), seed=1, **options)
    if not is_fresh:
        model.learn_array(first, targets(first), ["c", "a"])
    twin = copy.deepcopy(model)
    together = model.learn_predict_array(later, y, NAMES, t=t, sequence=runs, held_out=held)
    one_by_one = []
    for i, cells in enumerate(later.tolist()):
        x = dict(zip(NAMES, cells, strict=True))
        twin.enter_sequence(runs[i])
        one_by_one.append(twin.predict_one(x, t[i], in_stream=True))
        if i in held:
            twin.observe_one(x, t[i])
        else:
            twin.learn_one(x, y[i], t[i])
    assert together.tolist() == one_by_one
    assert_same_models(model, twin)


def test_probabilities_and_intervals_of_a_first_row_ignore_new_columns():
    first, later = tables(with_texts=True)
    row = dict(zip(NAMES, later[0], strict=True))
    classifier = LOCOClassifier(hidden_sizes=(12,), seed=1)
    classifier.learn_array(first, labels(first), ["c", "a"])
    expected = classifier.predict_proba_one(row, in_stream=True)
    proba = classifier.learn_predict_proba_array(later, labels(later), NAMES)
    assert dict(zip(classifier.classes, proba[0].tolist(), strict=True)) == expected
    regressor = LOCORegressor(hidden_sizes=(12,), seed=1)
    regressor.learn_array(first, values(first), ["c", "a"])
    interval = regressor.predict_interval_one(row, in_stream=True)
    _, intervals = regressor.learn_predict_interval_array(later, values(later), features=NAMES)
    assert tuple(intervals[0]) == interval


@pytest.mark.parametrize("is_fresh", [False, True])
def test_new_columns_of_several_targets(is_fresh):
    first, later = tables(with_texts=True)
    Y = numbers()
    Y[[0, 3]] = np.nan  # observed, not learned
    model = LOCOMultiTargetRegressor(hidden_sizes=(12,), memory=(0.3, 50.0), seed=1)
    if not is_fresh:
        model.learn_array(first, numbers(30), ["c", "a"], ["p", "q"])
    twin = copy.deepcopy(model)
    together = model.learn_predict_array(later, Y, NAMES, ["p", "q"])
    for i, cells in enumerate(later.tolist()):
        x = dict(zip(NAMES, cells, strict=True))
        predicted = twin.predict_one(x, in_stream=True)
        assert [predicted.get("p", 0.0), predicted.get("q", 0.0)] == together[i].tolist()
        if np.isnan(Y[i]).all():
            twin.observe_one(x)
        else:
            twin.learn_one(x, dict(zip("pq", Y[i].tolist(), strict=True)))
    assert model.export_state()[0] == twin.export_state()[0]


@pytest.mark.parametrize("memory", [None, (0.3, 50.0)])
def test_new_columns_of_a_forecaster(memory):
    y = np.sin(np.arange(100) / 5.0)
    X = numbers(100, 3)
    names = ["d", "a", "b"]
    model = LOCOForecaster(memory=memory, heads=3, hidden_sizes=(12,), seed=1)
    model.learn_array(y[:60], X[:60, :1], ["a"])
    twin = copy.deepcopy(model)
    together, intervals = model.learn_forecast_array(y[60:], X[60:], names)
    for i in range(40):
        x = dict(zip(names, X[60 + i].tolist(), strict=True))
        assert twin.forecast(3, [x, {}, {}]) == together[i].tolist()
        bounds = twin.forecast_interval(3, xs=[x, {}, {}])
        np.testing.assert_array_equal(bounds, intervals[i])
        twin.learn_one(y[60 + i], x)
    for name, array in twin.export_state()[1].items():
        np.testing.assert_array_equal(model.export_state()[1][name], array, err_msg=name)


@pytest.mark.parametrize("is_fresh", [False, True])
def test_a_table_of_held_out_rows_admits_no_column(is_fresh):
    first, later = tables(with_texts=True)
    model = LOCOClassifier(hidden_sizes=(12,), seed=1)
    if not is_fresh:
        model.learn_array(first, labels(first), ["c", "a"])
    known = model.features
    predicted = model.predict_array(later, NAMES, in_stream=True)
    again = model.learn_predict_array(later, labels(later), NAMES, held_out=range(N))
    assert again.tolist() == predicted.tolist()
    assert model.features == known
