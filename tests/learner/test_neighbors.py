"""Neighbours: the rows that are kept, what the nearest of them say, and that nothing of it is lost or left behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.learner.readout import neighbors as module
from loco_stream.options import NEAREST
from tests.helpers import naive
from tests.helpers.doors import doors
from tests.helpers.models import (
    assert_copies_go_on_the_same,
    assert_one_by_one_is_the_same,
    blobs,
)
from tests.learner.test_twin import run, stream

neighbors = doors(module)
SEEDS = st.integers(0, 2**32 - 1)


def small(make=LOCOClassifier, **options):
    return make(**{"hidden_sizes": (8,), "seed": 1, "neighbors": 50} | options)


# Kernels


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 300), st.integers(1, 6))
def test_the_nearest_are_those_of_the_twin(seed, n, n_features):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, (n, n_features)).astype(float)
    x = rng.normal(size=n_features)
    x[rng.random(n_features) < 0.2] = np.nan
    spans = rng.uniform(0.5, 3.0, n_features) * (rng.random(n_features) < 0.8)
    columns = np.flatnonzero(~np.isnan(x) & (spans > 0)).astype(np.int32)
    values = x[columns].astype(np.float32)
    scales = (1 / spans[columns]).astype(np.float32)
    total = np.zeros(n, np.float32)
    near = np.full(NEAREST, np.inf, np.float32)
    places = np.zeros(NEAREST, np.int64)
    votes = np.zeros(NEAREST)
    said = np.zeros(4, np.float32)
    kept = np.ascontiguousarray(rows.T, np.float32)
    neighbors.distances(kept, n, columns, len(columns), values, scales, total)
    border = n // 3  # in two parts
    neighbors.nearest(total, 0, border, near, places)
    neighbors.nearest(total, border, n, near, places)
    expected, weights = naive.neighbors(x, rows, spans)
    n_found = len(expected)
    exact = ((((rows - x) / np.where(spans > 0, spans, 1))[:, columns]) ** 2).sum(axis=1)
    np.testing.assert_allclose(exact[places[:n_found]], exact[expected], rtol=1e-4, atol=1e-6)
    answers = rng.integers(0, 3, n).astype(float)
    neighbors.tell_classes(answers, near, places, votes, 3, said)
    np.testing.assert_allclose(votes[:n_found], weights, rtol=1e-3)
    found = naive.said_classes(answers[places[:n_found]].astype(int), votes[:n_found], 3)
    np.testing.assert_allclose(said[:3], found, atol=1e-4)
    assert said[3] == 0.0


def test_one_outlier_at_most_doubles_a_range():
    ranges = np.array([[0.0], [np.inf], [-np.inf]])
    values = [5.0, 5.0, 6.0, 5.5, 1e12, 5.2, 4.0]
    for value in values:
        neighbors.learn_range(ranges, 0, value, 100)
    low, high = naive.running_range(values, 100)
    np.testing.assert_allclose(ranges[:, 0], [5.0, low, high])
    assert 2.5 < high - low < 5.0


# The whole learner


@pytest.mark.parametrize("size", [1, 20, 1000])
@pytest.mark.parametrize(
    "options", [{}, {"credit": "learned"}, {"receptive_fields": 1}, {"retention": 0.0}]
)
def test_a_classifier_with_neighbors_is_its_twin(size, options):
    _, twin = run(*stream(70), hidden_sizes=(6,), neighbors=size, **options)
    assert np.abs(twin.outputs[-3:]).max() > 0.5


@pytest.mark.parametrize("size", [20, 1000])
def test_a_regressor_with_neighbors_is_its_twin(size):
    X, _ = stream(70)
    y = np.sin(np.nan_to_num(X[:, 0])) + 0.1 * np.random.default_rng(0).normal(size=len(X))
    model, _ = run(X, y, make=LOCORegressor, hidden_sizes=(6,), neighbors=size)
    assert list(model.mixture_)[-2:] == ["late neighbors", "neighbors"]


def test_they_help_where_classes_lie_in_patches():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(5 * X[:, 0]) + np.floor(5 * X[:, 1])) % 2).astype(int)  # a chessboard
    right = [
        small(neighbors=n, centroids=0).learn_predict_array(X, y)[1000:] == y[1000:]
        for n in (0, 2000)
    ]
    assert right[0].mean() + 0.05 < right[1].mean() > 0.9


@pytest.mark.slow
def test_river_accepts_estimators_with_neighbors():
    checks.check_estimator(small())
    checks.check_estimator(small(LOCORegressor))


# Nothing is lost


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_every_way_of_keeping_a_model_goes_on_the_same(make, tmp_path):
    X, y = blobs(160)
    model = small(make)
    model.learn_array(X[:90], y[:90])
    assert_copies_go_on_the_same(model, X[90:], y[90:], tmp_path)
    assert model._state.neighbors.n[0] == 160


def test_blocks_equal_one_by_one_and_looking_changes_nothing():
    assert_one_by_one_is_the_same(small(), small())


def test_features_and_classes_that_come_later_get_room():
    X, y = blobs(120, n_features=5, n_classes=6)
    model = small(neighbors=30)
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        model.learn_one(dict(enumerate(row[: 2 + i // 40])), int(label))
    kept = model._state.neighbors
    slots = [model.classes.index(label) for label in y[-30:]]
    ring = np.roll(kept.answers, -(kept.n[0] % 30))
    assert ring.tolist() == slots
    np.testing.assert_allclose(
        np.roll(kept.rows[0] + kept.ranges[0, 0], -(kept.n[0] % 30)), X[-30:, 0], atol=1e-5
    )


def test_texts_and_masked_values_are_neighbors_too():
    model = small(neighbors=200)
    rng = np.random.default_rng(0)
    for _ in range(300):
        city = rng.choice(["Rome", "Oslo", "Lima"])
        size = rng.random()
        model.learn_one(
            {"city": city, "size": size if rng.random() < 0.8 else None}, city == "Oslo"
        )
    assert model.predict_one({"city": "Oslo"}) is True
    assert model.predict_one({"city": "Lima"}) is False
    assert np.isfinite(model._state.neighbors.rows).all()


# Refusals


def test_out_of_range_numbers_are_refused_in_words():
    with pytest.raises(
        ConfigError, match=r"neighbors is -1; allowed is a whole number from 0 to 1000000"
    ):
        LOCOClassifier(neighbors=-1)
    with pytest.raises(ConfigError, match=r"neighbors is 10; allowed with readout='delta' is 0"):
        LOCOClassifier(neighbors=10, readout="delta")


@pytest.mark.parametrize("answer", [-1.0, 3.0, 0.5, np.inf])
def test_a_file_with_an_answer_that_is_no_class_is_refused(answer):
    model = small()
    model.learn_array(*blobs(60))
    config, arrays = model.export_state()
    arrays["neighbors.answers"][7] = answer
    with pytest.raises(CheckpointError, match="no class or target"):
        LOCOClassifier.from_state(config, arrays)


def test_without_neighbors_no_row_is_kept():
    model = small(neighbors=0)
    model.learn_array(*blobs(60))
    state = model._state.neighbors
    assert (state.rows.size, state.answers.size, int(state.n[0])) == (0, 0, 0)
