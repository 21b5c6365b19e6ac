"""Naive Bayes: the moments of each class, its scores, and the ranks of rare classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.naive_bayes import GaussianNB

from loco_stream import LOCOClassifier, load, save
from loco_stream._learner.readout.experts import naive_bayes
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group

State = naive_bayes.State

naive_bayes = jitted_module(naive_bayes)

N_FEATURES = 40  # more than share a logarithm
N_CLASSES = 3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_naive_bayes_equals_the_twin(seed, n_rows):
    rng = np.random.default_rng(seed)
    own = fresh_group(State, classes=N_CLASSES, described=N_FEATURES)
    counts = np.zeros(N_CLASSES)
    twins = [naive.Gaussian(N_FEATURES) for _ in range(N_CLASSES)]
    for _ in range(n_rows):
        z = (3.0 * rng.normal(size=N_FEATURES)).astype(np.float32)
        label = int(rng.integers(N_CLASSES))
        naive_bayes.learn_row(own, z, N_FEATURES, label)
        counts[label] += 1.0
        twins[label].learn(z.astype(float))
    z = rng.normal(size=N_FEATURES).astype(np.float32)
    scores = np.zeros(N_CLASSES, np.float32)
    known = N_CLASSES - 1
    naive_bayes.write_scores(own, counts, z, N_FEATURES, known, scores)
    expected = [twin.log_density(z.astype(float)) for twin in twins]
    expected += np.log(counts + naive_bayes.UNSEEN_ROWS)
    assert np.allclose(scores, naive.level_unknown(expected, known), rtol=1e-4)


def test_moments_follow_the_last_rows_of_their_class():
    own = fresh_group(State, classes=1, described=1)
    for value in (-1.0, 1.0):
        for _ in range(5000):
            naive_bayes.learn_row(own, np.array([value], np.float32), 1, 0)
    assert own.means[0, 0] > 0.98
    assert own.n_rows[0] == naive_bayes.MEMORY_ROWS


def two_gaussians(share, shift, seed, n=12_000):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return rng.normal(size=(n, 10)) + shift * 10**-0.5 * y[:, None], y


@pytest.mark.parametrize(("share", "shift"), [(0.002, 2.0), (0.002, 5.0)])
def test_a_class_of_thirty_rows_is_ranked_as_well_as_by_naive_bayes_alone(share, shift):
    scores = []
    for seed in range(3):
        X, y = two_gaussians(share, shift, seed)
        half = len(y) // 2
        model = LOCOClassifier(seed=seed)
        model.learn_array(X[:half], y[:half])
        ours = model.predict_proba_array(X[half:])[:, model.classes.index(1)]
        theirs = GaussianNB().fit(X[:half], y[:half]).predict_proba(X[half:])[:, 1]
        measures = (roc_auc_score, average_precision_score)
        scores.append([f(y[half:], p) for f in measures for p in (ours, theirs)])
    auc, their_auc, precision, their_precision = np.mean(scores, axis=0)
    assert auc > their_auc - 0.01
    assert precision > their_precision - 0.02


def test_a_saved_model_continues_identically_as_features_and_classes_come(tmp_path):
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
    pairs = zip(naive_bayes_of(loaded), naive_bayes_of(model), strict=True)
    assert all(own.tobytes() == expected.tobytes() for own, expected in pairs)
    assert loaded.mixture_["naive Bayes"] == model.mixture_["naive Bayes"]


def naive_bayes_of(model):
    return model._core.state.experts.naive_bayes


def test_outliers_and_gaps_leave_every_number_finite_and_the_means_in_place():
    X, y = two_gaussians(0.3, 5.0, 0, n=600)
    clean, damaged = (LOCOClassifier(hidden_sizes=(8,), seed=1) for _ in range(2))
    clean.learn_array(X, y)
    broken = X.copy()
    broken[400::40, 3] = 1e12
    broken[::7, 5] = np.nan
    damaged.learn_array(broken, y)
    own = naive_bayes_of(damaged)
    assert all(np.isfinite(array).all() for array in own)
    assert np.abs(own.means - naive_bayes_of(clean).means).max() < 0.5
    proba = damaged.predict_proba_array(np.array([X[0], np.full(10, 1e12), np.full(10, np.nan)]))
    assert np.isfinite(proba).all()
