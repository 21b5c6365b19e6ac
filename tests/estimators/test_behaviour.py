"""Hidden layers that learn, classes that are kept, concepts that return, rare classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor
from tests.helpers.models import classifier


def ring(n, seed):
    """Draw points of the plane, with noise columns.

    The label is the parity of a point's sector; sectors turn with the radius.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    angle = np.arctan2(X[:, 1], X[:, 0]) + np.hypot(X[:, 0], X[:, 1])
    return X, (np.floor(angle / (math.pi / 2)).astype(int) % 2)


def accuracy(X, y, seed, **options):
    """Return the prequential accuracy over the second half, of hidden layers and members alone."""
    options = {"centroids": 0, "fixed_neurons": 0, **options}
    model = classifier(hidden_sizes=(32,), seed=seed, **options)
    return np.mean((model.learn_predict_array(X, y) == y)[len(y) // 2 :])


@pytest.mark.parametrize("credit", ["mirror", "learned"])
def test_learned_layers_beat_frozen_ones(credit):
    gains = []
    for seed in range(3):
        X, y = ring(4000, seed)
        gain = accuracy(X, y, seed, credit=credit) - accuracy(X, y, seed, rule="frozen")
        gains.append(gain)
    assert min(gains) > 0.1


def test_a_deep_net_read_at_its_last_layer_beats_a_frozen_one():
    for seed in range(3):
        X, y = ring(4000, seed)
        learned, frozen = (
            LOCOClassifier(
                (32, 32), rule=rule, seed=seed, advanced=AdvancedOptions(readout_layers="last")
            ).learn_predict_array(X, y)
            == y
            for rule in ("loco", "frozen")
        )
        assert learned[2000:].mean() > frozen[2000:].mean() + 0.1


def test_one_number_per_row_teaches_a_deep_net_with_the_projector():
    X, y = load_digits(return_X_y=True)
    for seed in range(2):
        ours, unprojected, plain = (
            np.mean((model.learn_predict_array(X, y) == y)[600:])
            for model in (
                classifier(
                    hidden_sizes=(64,) * 3,
                    readout_layers="last",
                    credit="perturbation",
                    seed=seed,
                    **options,
                )
                for options in ({}, {"orthogonality": 0.0}, {"rule": "np"})
            )
        )
        assert ours > 0.9
        assert ours > unprojected + 0.08
        assert ours > plain + 0.15


def test_learned_layers_help_a_regressor():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(3000, 3))
        y = np.sin(3 * X[:, 0] * X[:, 1]) + 0.05 * rng.normal(size=3000)
        errors = []
        for rule in ("loco", "frozen"):
            model = LOCORegressor(hidden_sizes=(32,), rule=rule, seed=seed)
            errors.append(np.mean((model.learn_predict_array(X, y) - y)[1500:] ** 2))
        assert errors[0] < 0.75 * errors[1]


def test_inputs_that_return_are_recognised():
    X, y = load_digits(return_X_y=True)
    permuted = X[:, np.random.default_rng(1).permutation(64)]
    n = 360
    for seed in range(2):
        model = LOCOClassifier(seed=seed)
        model.learn_array(X[:n], y[:n])
        before = np.mean(model.predict_array(X[2 * n :]) == y[2 * n :])
        model.learn_array(permuted[n : 2 * n], y[n : 2 * n])
        after = np.mean(model.predict_array(X[2 * n :]) == y[2 * n :])
        assert after > 0.82 * before  # 0.77 where scales move as soon as half of the values are new


def test_concepts_that_return_are_recalled():
    recalled = []
    relearned = []
    for seed in range(3):
        X, y = ring(2400, seed)
        swapped = (np.arange(2400) // 600) % 2  # A-B-A-B: in B the labels change places
        for retention, scores in ((0.75, recalled), (0.0, relearned)):
            model = LOCOClassifier(hidden_sizes=(32,), seed=seed, retention=retention)
            hits = model.learn_predict_array(X, y ^ swapped) == y ^ swapped
            scores.append(np.mean([hits[1215:1300], hits[1815:1900]]))
    assert np.mean(recalled) > np.mean(relearned) + 0.1


def two_gaussians(n, share, shift, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return rng.normal(size=(n, 4)) + shift / 2.0 * y[:, None], y


def test_a_class_of_one_percent_is_ranked_as_well_as_by_logistic_regression():
    scores = []
    for seed in range(3):
        X, y = two_gaussians(8000, 0.01, 2.0, seed)
        model = LOCOClassifier(seed=seed)
        half = len(y) // 2
        model.learn_array(X[:half], y[:half])
        ours = model.predict_proba_array(X[half:])[:, model.classes.index(1)]
        theirs = LogisticRegression().fit(X[:half], y[:half]).predict_proba(X[half:])[:, 1]
        scores.append((roc_auc_score(y[half:], ours), roc_auc_score(y[half:], theirs)))
        assert ours.mean() == pytest.approx(y[half:].mean(), abs=0.01)  # probabilities, not scores
    ours, theirs = np.mean(scores, axis=0)
    assert ours > theirs - 0.02


def class_incremental(seed):
    """Return prequential and final accuracy on digits that come two classes at a time."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    test = order[: len(X) // 5]
    train = order[len(X) // 5 :]
    train = np.concatenate(
        [train[np.isin(y[train], (2 * task, 2 * task + 1))] for task in range(5)]
    )
    model = LOCOClassifier(seed=seed)
    prequential = np.mean(model.learn_predict_array(X[train], y[train]) == y[train])
    return prequential, np.mean(model.predict_array(X[test]) == y[test])


def test_classes_are_kept_while_new_ones_are_learned():
    prequential, final = np.mean([class_incremental(seed) for seed in range(3)], axis=0)
    assert final >= 0.94
    assert prequential >= 0.95


def test_wide_rows_are_learned_equally_well_after_a_hundred_changes():
    draw = np.random.default_rng(0)
    model = LOCOClassifier(hidden_sizes=(32,), seed=0)
    n_features = 260
    n_rows = 600
    accuracies = []
    means = draw.random((5, n_features)) * (draw.random((5, n_features)) < 0.2)
    for _ in range(100):
        y = draw.integers(0, 5, n_rows)
        noise = draw.normal(size=(n_rows, n_features)) * (draw.random((n_rows, n_features)) < 0.3)
        X = np.clip(means[y] + noise, 0.0, 1.0)[:, draw.permutation(n_features)]
        hits = model.learn_predict_array(X, y) == y
        accuracies.append(hits[n_rows // 2 :].mean())
    assert np.mean(accuracies[-6:]) > np.mean(accuracies[:6]) - 0.1
