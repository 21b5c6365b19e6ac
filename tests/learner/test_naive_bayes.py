"""Naive Bayes: the moments of each class, what it says, and the ranks of rare classes that it is there for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.naive_bayes import GaussianNB

from loco_stream import LOCOClassifier, load, save
from loco_stream.learner.arrays.state import CLASS_COUNT, Gaussians
from loco_stream.learner.readout import naive_bayes
from tests.helpers import naive
from tests.helpers.doors import doors

naive_bayes = doors(naive_bayes)

# more than share a logarithm
N_FEATURES = 40
N_CLASSES = 3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_naive_bayes_matches_the_twin(seed, n_rows):
    rng = np.random.default_rng(seed)
    shape = (N_CLASSES, N_FEATURES)
    gaussians = Gaussians(np.zeros((2, N_CLASSES)), np.zeros(shape), np.zeros(shape))
    classes = np.zeros((2, N_CLASSES))
    twins = [naive.Gaussian(N_FEATURES) for _ in range(N_CLASSES)]
    for _ in range(n_rows):
        z = (3.0 * rng.normal(size=N_FEATURES + 1)).astype(np.float32)
        label = int(rng.integers(N_CLASSES))
        naive_bayes.learn(gaussians, z, 1, N_FEATURES, label)
        classes[CLASS_COUNT, label] += 1.0
        twins[label].learn(z[1:].astype(float))
    z = rng.normal(size=N_FEATURES + 1).astype(np.float32)
    scores = np.zeros(N_CLASSES, np.float32)
    naive_bayes.speak(gaussians, classes, z, 1, N_FEATURES, N_CLASSES - 1, scores)
    expected = [twin.log_density(z[1:].astype(float)) for twin in twins] + np.log(
        classes[0] + naive_bayes.UNSEEN
    )
    assert np.allclose(scores, naive.level_unknown(expected, N_CLASSES - 1), rtol=1e-4)


def test_moments_follow_the_last_rows_of_their_class():
    gaussians = Gaussians(np.zeros((2, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    for level in (-1.0, 1.0):
        for _ in range(5000):
            naive_bayes.learn(gaussians, np.array([level], np.float32), 0, 1, 0)
    assert gaussians.means[0, 0] > 0.98
    assert gaussians.moments[0, 0] == naive_bayes.MEMORY


def two_gaussians(share, shift, seed, n=12_000):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return rng.normal(size=(n, 10)) + shift * 10**-0.5 * y[:, None], y


@pytest.mark.parametrize(("share", "shift"), [(0.002, 2.0), (0.002, 5.0)])
def test_a_class_of_some_thirty_rows_is_ranked_as_naive_bayes_ranks_it(share, shift):
    scores = []
    for seed in range(3):
        X, y = two_gaussians(share, shift, seed)
        half = len(y) // 2
        model = LOCOClassifier(seed=seed)
        model.learn_array(X[:half], y[:half])
        ours = model.predict_proba_array(X[half:])[:, model.classes.index(1)]
        theirs = GaussianNB().fit(X[:half], y[:half]).predict_proba(X[half:])[:, 1]
        scores.append(
            [
                f(y[half:], p)
                for f in (roc_auc_score, average_precision_score)
                for p in (ours, theirs)
            ]
        )
    auc, their_auc, precision, their_precision = np.mean(scores, axis=0)
    assert auc > their_auc - 0.01
    assert precision > their_precision - 0.02


def test_a_saved_model_goes_on_to_the_bit_as_features_and_classes_come(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{f"f{f}": float(rng.normal()) for f in range(2 + i // 40)} for i in range(160)]
    labels = [f"c{rng.integers(1 + i // 30)}" for i in range(160)]
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    for i, (x, y) in enumerate(zip(rows, labels, strict=True)):
        if i == 90:
            save(model, tmp_path / "model.loco")
        model.learn_one(x, y)
    loaded = load(tmp_path / "model.loco")
    for x, y in zip(rows[90:], labels[90:], strict=True):
        loaded.learn_one(x, y)
    assert loaded.predict_proba_one(rows[-1]) == model.predict_proba_one(rows[-1])
    for found, expected in zip(loaded._state.gaussians, model._state.gaussians, strict=True):
        assert found.tobytes() == expected.tobytes()
    assert loaded.mixture_["naive Bayes"] == model.mixture_["naive Bayes"]


def test_outliers_and_gaps_leave_every_number_finite_and_the_class_where_it_was():
    X, y = two_gaussians(0.3, 5.0, 0, n=600)
    clean, hurt = (LOCOClassifier(hidden_sizes=(8,), seed=1) for _ in range(2))
    clean.learn_array(X, y)
    broken = X.copy()
    broken[400::40, 3] = 1e12
    broken[::7, 5] = np.nan
    hurt.learn_array(broken, y)
    assert all(np.isfinite(array).all() for array in hurt._state.gaussians)
    assert np.abs(hurt._state.gaussians.means - clean._state.gaussians.means).max() < 0.5
    proba = hurt.predict_proba_array(np.array([X[0], np.full(10, 1e12), np.full(10, np.nan)]))
    assert np.isfinite(proba).all()
