"""Centroids: where they lie, what the nearest of them say, and that nothing of them is lost or left behind."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.options import CENTROIDS
from tests.helpers.models import (
    assert_copies_go_on_the_same,
    assert_one_by_one_is_the_same,
    blobs,
)
from tests.learner.test_twin import run, stream


def small(**options):
    return LOCOClassifier(**{"hidden_sizes": (8,), "seed": 1, "centroids": 20} | options)


def same_centroids(model, twin):
    kept = model._state.centroids
    n = len(twin.centroids.places)
    assert kept.n[0] == n > 0
    np.testing.assert_allclose(kept.places[:, :n].T, twin.centroids.places, atol=1e-4)
    np.testing.assert_allclose(
        kept.counts[:n, : twin.known], np.array(twin.centroids.counts)[:, : twin.known]
    )
    np.testing.assert_allclose(kept.worth[:n], twin.centroids.worth)
    assert kept.rows[:n].tolist() == twin.centroids.rows


@pytest.mark.parametrize("size", [1, 6, 300])
@pytest.mark.parametrize(
    "options", [{}, {"receptive_fields": 1}, {"retention": 0.0}, {"neighbors": 5}]
)
def test_a_classifier_with_centroids_is_its_twin(size, options):
    model, twin = run(*stream(70), hidden_sizes=(6,), centroids=size, **options)
    same_centroids(model, twin)
    first = -5 if options.get("neighbors") else -2
    assert np.abs(twin.outputs[first:]).max() > 0.5 or size == 1


def test_they_help_where_classes_lie_in_patches():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(5 * X[:, 0]) + np.floor(5 * X[:, 1])) % 2).astype(int)  # a chessboard
    right = [small(centroids=n).learn_predict_array(X, y)[1000:] == y[1000:] for n in (0, 300)]
    assert right[0].mean() + 0.03 < right[1].mean() > 0.9


def test_they_follow_classes_that_change_places():
    X, y = blobs(3000, n_classes=2)
    model = small()
    model.learn_array(X, np.r_[y[:1500], 1 - y[1500:]])
    kept = model._state.centroids
    model.predict_array(X[:1])
    busiest = kept.counts.sum(axis=1).argmax()
    place = kept.places[:, busiest]
    statistics = model._state.statistics
    z = (X[1500:] - statistics[1]) / np.sqrt(statistics[2] / statistics[0])
    near = (1 - y[1500:])[((z - place) ** 2).sum(axis=1).argsort()[:50]]
    assert kept.counts[busiest].argmax() == model.classes.index(round(near.mean()))


def test_no_row_stays_as_it_came():
    X, y = blobs(400, n_features=4, n_classes=4)
    model = small(centroids=50)
    model.learn_array(X, y)
    kept = model._state.centroids
    statistics = model._state.statistics
    deviation = np.sqrt(statistics[2] / statistics[0])
    places = (statistics[1] + kept.places[:, : kept.n[0]].T * deviation)[:, None, :]
    assert np.abs(places - X).max(axis=2).min() > 1e-3


def test_a_row_without_a_feature_teaches_nothing_and_texts_count():
    model = small(centroids=60)
    rng = np.random.default_rng(0)
    for _ in range(300):
        city = rng.choice(["Rome", "Oslo", "Lima"])
        size = rng.random()
        model.learn_one(
            {"city": city, "size": size if rng.random() < 0.8 else None}, city == "Oslo"
        )
    before = model._state.centroids.counts.copy()
    model.learn_one({"city": None, "size": None}, True)
    np.testing.assert_array_equal(model._state.centroids.counts, before)
    assert model.predict_one({"city": "Oslo"}) is True
    assert model.predict_one({"city": "Lima"}) is False
    assert np.isfinite(model._state.centroids.places).all()


def test_an_outlier_does_not_take_its_feature_out():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = ((np.floor(4 * X[:, 0]) + np.floor(4 * X[:, 1])) % 2).astype(int)
    model = small(centroids=200)
    X[500, 0] = 1e12
    model.learn_array(X[:-500], y[:-500])
    assert (model.predict_array(X[-500:]) == y[-500:]).mean() > 0.8


# Nothing is lost


def test_every_way_of_keeping_a_model_goes_on_the_same(tmp_path):
    X, y = blobs(160)
    model = small()
    model.learn_array(X[:90], y[:90])
    assert_copies_go_on_the_same(model, X[90:], y[90:], tmp_path)
    assert model._state.centroids.n[0] > 3


def test_blocks_equal_one_by_one_and_looking_changes_nothing():
    assert_one_by_one_is_the_same(small(neighbors=30), small(neighbors=30))


def test_features_and_classes_that_come_later_get_room():
    X, y = blobs(120, n_features=5, n_classes=6)
    model = small()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        model.learn_one(dict(enumerate(row[: 2 + i // 40])), int(label))
    kept = model._state.centroids
    assert (kept.n[0], len(kept.places) >= 4, kept.counts.shape[1] >= 6) == (20, True, True)


# How many, and refusals


def test_how_many_there_are():
    for options, width, expected in (
        ({}, 5, CENTROIDS),
        ({}, 300, 0),
        ({"readout_layers": "last"}, 5, 0),
        ({"readout": "delta"}, 5, 0),
        ({"memory": (1.0, 5.0), "max_delay": 2}, 5, CENTROIDS),
        ({"centroids": 7}, 300, 7),
        ({"centroids": 0}, 5, 0),
    ):
        assert LOCOClassifier(**options)._resolve(width).n_centroids == expected
    assert LOCORegressor()._resolve(5).n_centroids == 0


def test_out_of_range_numbers_are_refused_in_words():
    with pytest.raises(
        ConfigError, match=r"centroids is -1; allowed is None or a whole number from 0 to 100000"
    ):
        LOCOClassifier(centroids=-1)
    with pytest.raises(ConfigError, match=r"centroids is 10; allowed with readout='delta' is 0"):
        LOCOClassifier(centroids=10, readout="delta")
    with pytest.raises(
        ConfigError, match=r"centroids is 10; allowed is None or 0: a regressor has no classes"
    ):
        LOCORegressor(centroids=10)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("n", 21, "number of centroids is 21"),
        ("counts", -1.0, "below 0"),
        ("places", np.nan, "NaN"),
    ],
)
def test_a_file_with_an_impossible_centroid_is_refused(name, value, says):
    model = small()
    model.learn_array(*blobs(60))
    config, arrays = model.export_state()
    arrays[f"centroids.{name}"].flat[0] = value
    with pytest.raises(CheckpointError, match=says):
        LOCOClassifier.from_state(config, arrays)
