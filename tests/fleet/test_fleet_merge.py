"""Merging models: members without leak, naive Bayes and centroids."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor
from loco_stream.errors import InputError
from loco_stream.fleet.merging import merge
from tests.helpers.models import classifier

CLASSES = np.array(["ok", "worn", "broken"])


def frozen(**options):
    return classifier(**{"hidden_sizes": (24,), "rule": "frozen", "seed": 3, **options})


def rows(seed, n, labels=3):
    X = np.random.default_rng(seed).normal(size=(n, 4))
    return X, CLASSES[
        np.digitize(X[:, 0] + 0.5 * X[:, 1] * X[:, 2], [-0.4, 0.6])[:n] % labels
    ].tolist()


def weights(model):
    """Return projector and weights of the member without leak, classes in sorted order."""
    _, arrays = model.export_state()
    n = len(arrays["classes.n_rows"])
    order = np.argsort(model.classes)
    weights_ = arrays["experts.least_squares.weights"][:, :n]
    return arrays["experts.least_squares.projectors"][0], weights_[:, order]


def by_hand(parts, template):
    """Return the weights by a plain sum of information and x y' over the parts.

    What all parts have from the template counts once.
    """
    sums = []
    for model in (*parts, template):
        P, W = weights(model)
        A = np.linalg.inv(P.astype(float))
        sums.append((A, A @ W))
    *of_parts, (A0, b0) = sums
    again = len(parts) - 1
    A = sum(A for A, _ in of_parts) - again * A0
    return np.linalg.solve(A, sum(b for _, b in of_parts) - again * b0)


def test_a_merged_model_equals_one_that_learned_all_rows(tmp_path):
    template = frozen()
    template.learn_array(*rows(0, 400))
    whole = frozen()
    whole.learn_array(*rows(0, 400))
    with Fleet(template, tmp_path) as fleet:
        for key in (1, 2, 3):
            X, y = rows(key, 250)
            fleet.learn(key, X, y)
            whole.learn_array(X, y)
        merged = fleet.merge([1, 2, 3])
        expected = by_hand([fleet.model(key) for key in (1, 2, 3)], template)
    assert merged.n_seen == whole.n_seen == 1150
    P, W = weights(whole)
    merged_P, merged_W = weights(merged)
    np.testing.assert_allclose(merged_P, P, atol=2e-4 * np.abs(P).max())
    np.testing.assert_allclose(merged_W, W, atol=1e-3 * np.abs(W).max())
    np.testing.assert_allclose(merged_W, expected, atol=1e-5 * np.abs(W).max())
    assert sorted(merged.classes) == sorted(whole.classes)
    places = [merged.classes.index(label) for label in whole.classes]
    expected = whole._core.state.experts.naive_bayes
    found = merged._core.state.experts.naive_bayes
    n = len(places)
    np.testing.assert_allclose(found.n_rows[places], expected.n_rows[:n], rtol=1e-6)
    np.testing.assert_allclose(found.log_variance[places], expected.log_variance[:n], rtol=1e-6)
    np.testing.assert_allclose(found.means[places], expected.means[:n], atol=1e-9)
    np.testing.assert_allclose(found.squares[places], expected.squares[:n], atol=1e-9)
    counts = [model.export_state()[1]["classes.n_rows"].tolist() for model in (merged, whole)]
    assert counts[0] == counts[1]


def test_parts_that_know_different_classes_are_merged_by_label():
    template = frozen()
    template.learn_array(*rows(0, 400, labels=1))  # one class
    parts = []
    whole = frozen()
    whole.learn_array(*rows(0, 400, labels=1))
    for seed, labels in ((1, CLASSES[1:]), (2, CLASSES[::-1])):
        X, _ = rows(seed, 200)
        y = labels[(X[:, 0] > 0).astype(int)].tolist()
        part = frozen()
        part.learn_array(*rows(0, 400, labels=1))
        part.learn_array(X, y)
        whole.learn_array(X, y)
        parts.append(part)
    merged = merge(parts, template)
    assert set(merged.classes) == set(whole.classes) == set(CLASSES)
    np.testing.assert_allclose(weights(merged)[0], weights(whole)[0], atol=2e-5)
    merged.learn_array(*rows(5, 50))
    assert merged.n_seen == 850


def test_parts_without_a_template_are_nearly_as_good_as_one_model(tmp_path):
    X, y = rows(9, 1000)
    one = frozen()
    for key in (1, 2, 3, 4):
        one.learn_array(*rows(key, 500))
    with Fleet(frozen(), tmp_path) as fleet:
        for key in (1, 2, 3, 4):
            fleet.learn(key, *rows(key, 500))
        merged = fleet.merge([1, 2, 3, 4])
    assert np.mean(merged.predict_array(X) == y) > np.mean(one.predict_array(X) == y) - 0.08


def test_regressors_are_merged():
    template = LOCORegressor(hidden_sizes=(16,), rule="frozen", seed=1)
    parts = []
    X, _ = rows(0, 400)
    template.learn_array(X, X[:, 0])
    for seed in (1, 2):
        part = LOCORegressor(hidden_sizes=(16,), rule="frozen", seed=1)
        part.learn_array(X, X[:, 0])
        more, _ = rows(seed, 100)
        part.learn_array(more, more[:, 0])
        parts.append(part)
    merged = merge(parts, template)
    assert merged.n_seen == 600
    assert np.abs(merged.predict_array(X) - X[:, 0]).mean() < 0.3


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "`keys` must name one model or more"),
        ([frozen()], "has learned a row"),
        ([LOCOClassifier(hidden_sizes=(8,), seed=1)] * 2, "`rule` 'frozen'"),
        ([frozen(), frozen(seed=4)], "same parameters"),
        ([frozen(readout="delta")] * 2, "must have `readout` 'recursive'"),
        ([frozen(leaks=(0.01, 0.1))] * 2, "`leaks` must begin with 0"),
    ],
)
def test_models_that_do_not_add_up_are_refused(models, message):
    for model in models:
        if message != "has learned a row":
            model.learn_array([[0.0, 1.0], [1.0, 0.0]], ["a", "b"])
    with pytest.raises(InputError, match=message):
        merge(models)


def chessboard(seed, n):
    X = np.random.default_rng(seed).uniform(-3.0, 3.0, (n, 2))
    return X, (np.floor(X).sum(axis=1) % 2).astype(int)


def test_centroids_of_the_template_are_not_doubled():
    template = LOCOClassifier(rule="frozen", seed=3)
    template.learn_array(*chessboard(0, 1500))
    parts = [copy.deepcopy(template) for _ in range(4)]
    for seed, part in enumerate(parts, start=1):
        part.learn_array(*chessboard(seed, 100))
    X, y = chessboard(9, 1500)
    merged = merge(parts, template=template)
    accuracy, of_one = (np.mean(model.predict_array(X) == y) for model in (merged, parts[0]))
    assert accuracy > of_one - 0.02
    own = merged._core.state.experts.centroids
    places = own.places[:, : own.counters.n_centroids]
    assert len(np.unique(places, axis=1).T) > 200


def test_centroids_of_classes_that_the_largest_model_lacks_keep_their_places():
    parts = [
        LOCOClassifier(hidden_sizes=(8,), rule="frozen", centroids=12, seed=1) for _ in range(2)
    ]
    parts[0].learn_array(*chessboard(0, 300))
    X, _ = rows(1, 200)
    parts[1].learn_array(X[:, :2] + 50.0, ["far"] * 200)  # on a scale of its own
    merged = merge(parts)
    own = merged._core.state.experts.centroids
    n = own.counters.n_centroids
    is_far = own.counts[:n].argmax(axis=1) == merged.classes.index("far")
    statistics = merged._core.state.statistics
    deviation = np.sqrt(statistics.squares / statistics.n_values)
    places = (statistics.mean + deviation * own.places.T)[:n]
    assert 0 < is_far.sum() < n
    assert places[is_far].min() > 40.0
    assert abs(places[~is_far]).max() < 10.0
