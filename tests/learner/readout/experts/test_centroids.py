"""Centroids: where they lie, their votes, and copies and files."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._options import DEFAULT_CENTROIDS
from loco_stream.errors import CheckpointError, ConfigError
from tests.helpers.models import (
    assert_copies_continue_identically,
    assert_rows_equal_block,
    blobs,
    classifier,
    settings_of,
)
from tests.helpers.twins import run_both, stream


def small(**options):
    return classifier(**{"hidden_sizes": (8,), "seed": 1, "centroids": 20} | options)


def centroids_of(model):
    return model._core.state.experts.centroids


def scale_of(model):
    """Return mean and deviation of each feature."""
    statistics = model._core.state.statistics
    return statistics.mean, np.sqrt(statistics.squares / statistics.n_values)


def assert_same_centroids(model, twin):
    own = centroids_of(model)
    expected = twin.centroids
    n = len(expected.places)
    assert own.counters.n_centroids == n > 0
    np.testing.assert_allclose(own.places[:, :n].T, expected.places, atol=1e-4)
    counts = np.array(expected.counts)[:, : twin.known]
    np.testing.assert_allclose(own.counts[:n, : twin.known], counts)
    np.testing.assert_allclose(own.worth[:n], expected.worth)
    assert own.n_rows[:n].tolist() == expected.n_rows


@pytest.mark.parametrize("size", [1, 6, 300])
@pytest.mark.parametrize(
    "options", [{}, {"receptive_fields": 1}, {"retention": 0.0}, {"neighbors": 5}]
)
def test_a_classifier_with_centroids_equals_its_twin(size, options):
    model, twin = run_both(*stream(70), hidden_sizes=(6,), centroids=size, **options)
    assert_same_centroids(model, twin)
    first = -5 if options.get("neighbors") else -2
    assert np.abs(twin.outputs[first:]).max() > 0.5 or size == 1


def test_centroids_help_where_classes_lie_in_patches():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(5 * X[:, 0]) + np.floor(5 * X[:, 1])) % 2).astype(int)  # a chessboard
    without, with_centroids = (
        np.mean(small(centroids=n).learn_predict_array(X, y)[1000:] == y[1000:]) for n in (0, 300)
    )
    assert without + 0.03 < with_centroids > 0.9


def test_centroids_follow_classes_that_change_places():
    X, y = blobs(3000, n_classes=2)
    model = small()
    model.learn_array(X, np.r_[y[:1500], 1 - y[1500:]])
    own = centroids_of(model)
    model.predict_array(X[:1])
    busiest = own.counts.sum(axis=1).argmax()
    mean, deviation = scale_of(model)
    z = (X[1500:] - mean) / deviation
    distances = ((z - own.places[:, busiest]) ** 2).sum(axis=1)
    nearby = (1 - y[1500:])[distances.argsort()[:50]]
    assert own.counts[busiest].argmax() == model.classes.index(round(nearby.mean()))


def test_no_centroid_is_a_row():
    X, y = blobs(400, n_features=4, n_classes=4)
    model = small(centroids=50)
    model.learn_array(X, y)
    own = centroids_of(model)
    mean, deviation = scale_of(model)
    places = (mean + own.places[:, : own.counters.n_centroids].T * deviation)[:, None, :]
    assert np.abs(places - X).max(axis=2).min() > 1e-3


def test_a_row_without_values_teaches_nothing_and_texts_count():
    model = small(centroids=60)
    rng = np.random.default_rng(0)
    for _ in range(300):
        city = rng.choice(["Rome", "Oslo", "Lima"])
        size = rng.random()
        row = {"city": city, "size": size if rng.random() < 0.8 else None}
        model.learn_one(row, city == "Oslo")
    before = centroids_of(model).counts.copy()
    model.learn_one({"city": None, "size": None}, True)
    np.testing.assert_array_equal(centroids_of(model).counts, before)
    assert model.predict_one({"city": "Oslo"}) is True
    assert model.predict_one({"city": "Lima"}) is False
    assert np.isfinite(centroids_of(model).places).all()


def test_an_outlier_leaves_its_feature_in_use():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(4 * X[:, 0]) + np.floor(4 * X[:, 1])) % 2).astype(int)
    model = small(centroids=200)
    X[500, 0] = 1e12
    model.learn_array(X[:-500], y[:-500])
    assert (model.predict_array(X[-500:]) == y[-500:]).mean() > 0.8


# Copies, files, growth


def test_copies_continue_identically(tmp_path):
    X, y = blobs(160)
    model = small()
    model.learn_array(X[:90], y[:90])
    assert_copies_continue_identically(model, X[90:], y[90:], tmp_path)
    assert centroids_of(model).counters.n_centroids > 3


def test_a_block_equals_rows_one_by_one_and_predictions_change_nothing():
    assert_rows_equal_block(small(neighbors=30), small(neighbors=30))


def test_new_features_and_classes_get_room():
    X, y = blobs(120, n_features=5, n_classes=6)
    model = small()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        model.learn_one(dict(enumerate(row[: 2 + i // 40])), int(label))
    own = centroids_of(model)
    assert own.counters.n_centroids == 20
    assert len(own.places) >= 4
    assert own.counts.shape[1] >= 6


# How many, and errors


@pytest.mark.parametrize(
    ("options", "width", "expected"),
    [
        ({}, 5, DEFAULT_CENTROIDS),
        ({}, 300, 0),
        ({"readout_layers": "last"}, 5, 0),
        ({"readout": "delta"}, 5, 0),
        ({"memory": (1.0, 5.0), "max_delay": 2}, 5, DEFAULT_CENTROIDS),
        ({"centroids": 7}, 300, 7),
        ({"centroids": 0}, 5, 0),
    ],
    ids=str,
)
def test_number_of_centroids(options, width, expected):
    assert settings_of(width, **options).n_centroids == expected
    assert settings_of(5, regression=True).n_centroids == 0


def test_numbers_out_of_range_are_refused():
    with pytest.raises(
        ConfigError, match=r"`centroids` must be None or an integer from 0 to 100000, got -1"
    ):
        small(centroids=-1)
    with pytest.raises(ConfigError, match=r"`centroids` must be 0 with `readout` 'delta', .* 10"):
        small(centroids=10, readout="delta")
    with pytest.raises(ConfigError, match=r"`centroids` must be None or 0 in a regressor, got 10"):
        LOCORegressor(centroids=10)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("counters", 21, "`n_centroids` must be 0 to 20, got 21"),
        ("counts", -1.0, "must be finite, from 0"),
        ("n_rows", -1.0, "must be finite, from 0"),
        ("places", np.nan, "must be finite"),
    ],
)
def test_a_file_with_an_impossible_centroid_is_refused(name, value, message):
    model = small()
    model.learn_array(*blobs(60))
    config, arrays = model.export_state()
    arrays[f"experts.centroids.{name}"].flat[0] = value
    with pytest.raises(CheckpointError, match=message):
        LOCOClassifier.from_state(config, arrays)
