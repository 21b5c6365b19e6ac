"""The peers of the benches: compiled ones against plain twins, and methods of all contenders."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import contenders, data
from benchmarks.learner import prequential_accuracy
from benchmarks.linear import SLDA, NearestMean, RandomFeaturesRLS, Ridge
from benchmarks.mlp import BackpropMLP, ReplayMLP
from benchmarks.rivals import CLASSIFIERS, REGRESSORS
from tests.helpers.naive_rivals import NaiveMLP, ridge_weights, slda_predict


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 5)) * [1.0, 10.0, 0.1, 1.0, 0.0]  # one constant feature
    return X, (X[:, 0] + X[:, 3] > 0).astype(int) + (X[:, 1] > 8)


def test_mlp_equals_its_plain_twin(rows):
    X, y = rows
    fast = BackpropMLP(5, 3, n_hidden=7, learning_rate=0.1, seed=4)
    slow = NaiveMLP(fast._state[3], fast._state[5], 0.1)
    expected = []
    for x, target in zip(X, y, strict=True):
        expected.append(slow.predict(x))
        slow.learn(x, target)
    assert fast.learn_predict_array(X, y).tolist() == expected
    np.testing.assert_allclose(fast._state[3], slow.w1, atol=1e-9)
    np.testing.assert_allclose(fast._state[5], slow.w2, atol=1e-9)
    np.testing.assert_allclose(fast._state[4], slow.b1, atol=1e-9)


def test_mlp_gradient_lowers_the_loss(rows):
    X, y = rows
    model = BackpropMLP(5, 3, n_hidden=16, learning_rate=0.05, seed=0)
    first = prequential_accuracy(model.learn_predict_array(X, y), y)
    for _ in range(20):
        model.learn_array(X, y)
    assert prequential_accuracy(model.predict_array(X), y) > first


def test_slda_equals_inverting_the_scatter(rows):
    X, y = rows
    model = SLDA(5, 3, ridge=0.5)
    predictions = model.learn_predict_array(X, y)
    assert predictions[0] == -1
    centred = X - np.array([X[y == c].mean(axis=0) for c in range(3)])[y]
    np.testing.assert_allclose(
        np.linalg.inv(model._state[2]), 0.5 * np.eye(5) + centred.T @ centred, atol=1e-8
    )
    assert predictions[1:].tolist() == [
        slda_predict(X[:t], y[:t], X[t], 3, 0.5) for t in range(1, len(X))
    ]


def test_recursive_least_squares_equals_ridge():
    rng = np.random.default_rng(0)
    X = rng.random((80, 6))
    y = rng.integers(0, 3, 80)
    model = RandomFeaturesRLS(6, 3, n_hidden=20, prior=0.3, standardise=False, seed=1)
    model.learn_array(X, y)
    projection = model._state[3]
    bias = model._state[4]
    weights = model._state[6]
    features = np.hstack([np.maximum(X @ projection + bias, 0.0), np.ones((80, 1))])
    np.testing.assert_allclose(weights, ridge_weights(features, y, 3, 0.3), atol=1e-8)


_SMALL = [name for name in CLASSIFIERS if not name.startswith("RFF")]


@pytest.mark.parametrize("name", _SMALL)
def test_rows_and_blocks_agree(name, rows):
    X, y = rows
    y = (y > 0).astype(int)
    whole, single = (CLASSIFIERS[name].make(5, 2, 0) for _ in range(2))
    block = whole.learn_predict_array(X, y)
    one_by_one = []
    for t in range(len(X)):
        one_by_one.append(single.predict_array(X[t : t + 1])[0])
        single.learn_array(X[t : t + 1], y[t : t + 1])
    assert block.tolist() == [getattr(p, "item", lambda p=p: p)() for p in one_by_one]
    assert whole.predict_array(X).tolist() == single.predict_array(X).tolist()


def test_knn_on_images_equals_river():
    from river.neighbors import KNNClassifier, LazySearch

    from benchmarks.learner import RiverLearner

    rng = np.random.default_rng(5)
    X = rng.random((40, 300))
    y = rng.integers(0, 3, 40)
    plain = RiverLearner(KNNClassifier(n_neighbors=5, engine=LazySearch(window_size=1000)))
    assert (
        CLASSIFIERS["KNN"].make(300, 3, 0).learn_predict_array(X, y).tolist()
        == plain.learn_predict_array(X, y).tolist()
    )


def test_equal_seeds_give_equal_predictions_and_seeded_is_right(rows):
    X, y = rows
    for name in ("MLP .05", "RFF256+RLS"):
        runs = [
            CLASSIFIERS[name].make(5, 3, seed).learn_predict_array(X, y).tolist()
            for seed in (1, 1, 2)
        ]
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]
        assert contenders.seeded(name)
    assert not contenders.seeded("KNN")


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_predict_numbers(name):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 3))
    predictions = contenders.make_regressor(name, 3, 0).learn_predict_array(X, X[:, 0] * 2.0)
    assert all(np.isfinite(float(p)) for p in predictions[1:])


def test_no_change_and_majority():
    y = np.array([2, 2, 0, 0, 0])
    X = np.zeros((5, 1))
    assert CLASSIFIERS["no-change"].make(1, 3, 0).learn_predict_array(X, y).tolist() == [
        None,
        2,
        2,
        0,
        0,
    ]
    assert CLASSIFIERS["majority"].make(1, 3, 0).learn_predict_array(X, y).tolist() == [
        None,
        2,
        2,
        2,
        2,
    ]


def blobs(n=400, seed=0):
    """Return rows of four classes in five dimensions, in random order."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, n)
    return 3.0 * np.eye(5)[y] + random.normal(0.0, 0.5, (n, 5)), y


def test_ridge_is_least_squares_with_a_penalty():
    X, y = blobs()
    model = Ridge(5, 4, ridge=2.0)
    model.learn_array(X, y)
    A = np.column_stack([X, np.ones(len(X))])
    weights = np.linalg.solve(A.T @ A + 2.0 * np.eye(6), A.T @ np.eye(4)[y])
    Xt, _ = blobs(seed=1)
    expected = np.argmax(np.column_stack([Xt, np.ones(len(Xt))]) @ weights, axis=1)
    assert model.predict_array(Xt).tolist() == expected.tolist()


def test_the_nearest_mean_is_that_of_the_rows_so_far():
    X, y = blobs()
    model = NearestMean(5, 4)
    found = model.learn_predict_array(X, y)
    for t in (50, 200, 399):
        means = [X[:t][y[:t] == c].mean(axis=0) for c in range(4)]
        assert found[t] == np.argmin([np.linalg.norm(X[t] - mean) for mean in means])


def test_replayed_rows_keep_classes_that_no_longer_come():
    X, y = data.load("digits")
    order = np.argsort(y, kind="stable")
    accuracies = []
    for make in (BackpropMLP, ReplayMLP):
        model = make(64, 10, seed=0)
        model.learn_array(X[order], y[order])
        accuracies.append(np.mean(model.predict_array(X) == y))
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.8
