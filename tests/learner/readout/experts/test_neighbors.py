"""Neighbors: the ring of rows, the votes of the nearest, and copies and files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._learner.readout.experts import _search, neighbors
from loco_stream.errors import CheckpointError, ConfigError
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import (
    assert_copies_continue_identically,
    assert_rows_equal_block,
    blobs,
    fresh_group,
    parameters,
)
from tests.helpers.twins import run_both, stream

Search = _search.Search
State = neighbors.State

neighbors = jitted_module(neighbors)
search_kernels = jitted_module(_search)

SEEDS = st.integers(0, 2**32 - 1)


def small(make=LOCOClassifier, **options):
    return make(**parameters(**{"hidden_sizes": (8,), "seed": 1, "neighbors": 50} | options))


def ring_of(model):
    return model._core.state.experts.neighbors


# Kernels


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 300), st.integers(1, 6))
def test_the_nearest_and_their_votes_equal_the_twin(seed, n, n_features):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (n, n_features)).astype(float)
    x = rng.normal(size=n_features)
    x[rng.random(n_features) < 0.2] = np.nan
    ranges = rng.uniform(0.5, 3.0, n_features) * (rng.random(n_features) < 0.8)
    columns = np.flatnonzero(~np.isnan(x) & (ranges > 0))
    n_columns = len(columns)
    search = fresh_group(Search, features=n_features, searched=n)
    search.columns[:n_columns] = columns
    search.values[:n_columns] = x[columns]
    search.scales[:n_columns] = 1 / ranges[columns]
    points = np.ascontiguousarray(rows.T, np.float32)
    search_kernels.write_distances(points, n, search, n_columns)
    search_kernels.clear(search.near)
    border = n // 3  # in two parts
    search_kernels.nearest(search, 0, border)
    search_kernels.nearest(search, border, n)
    expected, weights = naive.nearest(x, rows, ranges)
    n_found = len(expected)
    places = search.places[:n_found]
    exact = ((((rows - x) / np.where(ranges > 0, ranges, 1))[:, columns]) ** 2).sum(axis=1)
    np.testing.assert_allclose(exact[places], exact[expected], rtol=1e-4, atol=1e-6)
    labels = rng.integers(0, 3, n).astype(float)
    output = np.zeros(4, np.float32)
    neighbors.vote_classes(labels, search, _search.NEAREST, 3, output)
    votes = search.votes[:n_found]
    np.testing.assert_allclose(votes, weights, rtol=1e-3)
    of_classes = naive.vote_classes(labels[places].astype(int), votes, 3)
    np.testing.assert_allclose(output[:3], of_classes, atol=1e-4)
    assert output[3] == 0.0


def test_one_outlier_at_most_doubles_a_range():
    own = fresh_group(State, features=1, neighbors=0)
    values = [5.0, 5.0, 6.0, 5.5, 1e12, 5.2, 4.0]
    for value in values:
        neighbors.learn_range(own, 0, value, 100)
    low, high = naive.running_range(values, 100)
    np.testing.assert_allclose([own.origin[0], own.low[0], own.high[0]], [5.0, low, high])
    assert 2.5 < high - low < 5.0


# The whole learner


@pytest.mark.parametrize("size", [1, 20, 1000])
@pytest.mark.parametrize(
    "options", [{}, {"credit": "learned"}, {"receptive_fields": 1}, {"retention": 0.0}]
)
def test_a_classifier_with_neighbors_equals_its_twin(size, options):
    _, twin = run_both(*stream(70), hidden_sizes=(6,), neighbors=size, **options)
    assert np.abs(twin.outputs[-3:]).max() > 0.5


@pytest.mark.parametrize("size", [20, 1000])
def test_a_regressor_with_neighbors_equals_its_twin(size):
    X, _ = stream(70)
    y = np.sin(np.nan_to_num(X[:, 0])) + 0.1 * np.random.default_rng(0).normal(size=len(X))
    model, _ = run_both(X, y, make=LOCORegressor, hidden_sizes=(6,), neighbors=size)
    assert list(model.mixture_)[-2:] == ["late neighbors", "neighbors"]


@pytest.mark.parametrize("scale", [1.0, 1e-39])  # float32 has no inverse of the second
def test_neighbors_help_where_classes_lie_in_patches(scale):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(5 * X[:, 0]) + np.floor(5 * X[:, 1])) % 2).astype(int)  # a chessboard
    X *= scale
    without, with_neighbors = (
        np.mean(small(neighbors=n, centroids=0).learn_predict_array(X, y)[1000:] == y[1000:])
        for n in (0, 2000)
    )
    assert without + 0.04 < with_neighbors > 0.9


@pytest.mark.slow
def test_estimators_with_neighbors_pass_rivers_checks():
    checks.check_estimator(small())
    checks.check_estimator(small(LOCORegressor))


# Copies, files, growth


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_copies_continue_identically(make, tmp_path):
    X, y = blobs(160)
    model = small(make)
    model.learn_array(X[:90], y[:90])
    assert_copies_continue_identically(model, X[90:], y[90:], tmp_path)
    assert ring_of(model).counters.n_rows == 160


def test_a_block_equals_rows_one_by_one_and_predictions_change_nothing():
    assert_rows_equal_block(small(), small())


def test_new_features_and_classes_get_room():
    X, y = blobs(120, n_features=5, n_classes=6)
    model = small(neighbors=30)
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        model.learn_one(dict(enumerate(row[: 2 + i // 40])), int(label))
    own = ring_of(model)
    start = -(own.counters.n_rows % 30)
    slots = [model.classes.index(label) for label in y[-30:]]
    assert np.roll(own.labels, start).tolist() == slots
    first_feature = np.roll(own.rows[0] + own.origin[0], start)
    np.testing.assert_allclose(first_feature, X[-30:, 0], atol=1e-5)


def test_texts_and_masked_values_are_compared():
    model = small(neighbors=200)
    rng = np.random.default_rng(0)
    for _ in range(300):
        city = rng.choice(["Rome", "Oslo", "Lima"])
        size = rng.random()
        row = {"city": city, "size": size if rng.random() < 0.8 else None}
        model.learn_one(row, city == "Oslo")
    assert model.predict_one({"city": "Oslo"}) is True
    assert model.predict_one({"city": "Lima"}) is False
    assert np.isfinite(ring_of(model).rows).all()


def test_without_neighbors_no_row_is_kept():
    model = small(neighbors=0)
    model.learn_array(*blobs(60))
    own = ring_of(model)
    assert (own.rows.size, own.labels.size, own.counters.n_rows) == (0, 0, 0)


# Errors


def test_numbers_out_of_range_are_refused():
    with pytest.raises(
        ConfigError, match=r"`neighbors` must be an integer from 0 to 1000000, got -1"
    ):
        small(neighbors=-1)
    with pytest.raises(ConfigError, match=r"`neighbors` must be 0 with `readout` 'delta', .* 10"):
        small(neighbors=10, readout="delta")


@pytest.mark.parametrize("label", [-1.0, 3.0, 0.5, np.inf])
def test_a_file_with_a_label_that_is_no_class_is_refused(label):
    model = small()
    model.learn_array(*blobs(60))
    config, arrays = model.export_state()
    arrays["experts.neighbors.labels"][7] = label
    with pytest.raises(CheckpointError, match=r"must be (classes or targets of the model|finite)"):
        LOCOClassifier.from_state(config, arrays)
