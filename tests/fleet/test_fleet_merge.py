"""Merging: readouts without leak add up to that of one model."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, LOCORegressor
from loco_stream._learner.readout import dormancy
from loco_stream.errors import InputError
from loco_stream.fleet._merging import merge
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
    """Return projector and weights of the member without leak, with classes in a fixed order."""
    members = model._core.state.experts.least_squares
    order = np.argsort(model.classes)
    changes = members.pending[0, : members.counters.n_pending].astype(float)
    projector = members.projectors[0, :, : changes.shape[1]] - changes.T @ changes
    return projector, members.weights[:, : len(order)][:, order]


def by_hand(parts, template):
    """Return the weights that plain sums of information and of x y' give."""
    sums = []
    for model in (*parts, template):
        P, W = weights(model)
        A = np.linalg.inv(P)
        sums.append((A, A @ W))
    *those, (A0, b0) = sums
    A = sum(A for A, _ in those) - (len(parts) - 1) * A0
    return np.linalg.solve(A, sum(b for _, b in those) - (len(parts) - 1) * b0)


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
    expected = whole._core.state
    found = merged._core.state
    for name in ("n_rows", "log_variance", "means", "squares"):
        ours = getattr(found.experts.naive_bayes, name)[places]
        theirs = getattr(expected.experts.naive_bayes, name)[: len(places)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    assert (found.classes.n_rows[places] == expected.classes.n_rows[: len(places)]).all()


def test_models_with_different_classes_are_merged_by_label():
    template = frozen()
    template.learn_array(*rows(0, 400, labels=1))  # one class alone
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


def test_a_class_of_another_model_may_be_absent_as_long_as_there():
    """It was dormant after one row without it."""
    main, other = (LOCOClassifier(hidden_sizes=(8,), seed=1) for _ in range(2))
    X = np.random.default_rng(0).normal(size=(400, 2))
    main.learn_array(X, ["a", "b"] * 200)
    other.learn_array(X[:90], (["b"] * 4 + ["c"]) * 18)
    classes = merge([main, other])._core.state.classes
    patience = other._core.state.classes.patience
    assert classes.patience[2] == patience[other.classes.index("c")] < dormancy.NEVER
    assert classes.patience[0] == main._core.state.classes.patience[0]
    assert (classes.patience[3:] == dormancy.NEVER).all()


def test_models_without_a_template_approximate_one_model(tmp_path):
    X, y = rows(9, 1000)
    one = frozen()
    for key in (1, 2, 3, 4):
        one.learn_array(*rows(key, 500))
    with Fleet(frozen(), tmp_path) as fleet:
        for key in (1, 2, 3, 4):
            fleet.learn(key, *rows(key, 500))
        merged = fleet.merge([1, 2, 3, 4])
    assert np.mean(merged.predict_array(X) == y) > np.mean(one.predict_array(X) == y) - 0.08


def test_a_merged_model_has_the_observations_of_all_late_rows():
    parts = []
    for seed in (1, 2):
        part = frozen()
        X, y = rows(seed, 120)
        part.learn_array(X[:20], y[:20])
        tickets = [part.observe_one(dict(enumerate(row))) for row in X[20:].tolist()]
        for ticket in tickets:
            part.learn_one(ticket, y[0])
        parts.append(part)
    surplus = [float(part._core.state.delayed.surplus) for part in parts]
    assert min(surplus) > 50.0
    assert float(merge(parts)._core.state.delayed.surplus) == sum(surplus)


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
    ("models", "text"),
    [
        ([], "at least 1 key"),
        ([frozen()], "must have learned at least 1 row"),
        ([frozen(), frozen(seed=4)], "must have the same `seed`, got 3 and 4"),
        ([frozen(), frozen(window=9.0)], "must have the same `window`, got 20.0 and 9.0"),
        ([frozen(), frozen(class_weight={"a": 2})], r"same `class_weight`, got None and .*'a'"),
        ([frozen(readout="delta")] * 2, "`readout` 'recursive', got 'delta'"),
    ],
)
def test_models_that_cannot_be_merged_are_refused(models, text):
    for model in models:
        if text != "must have learned at least 1 row":
            model.learn_array([[0.0, 1.0], [1.0, 0.0]], ["a", "b"])
    with pytest.raises(InputError, match=text):
        merge(models)


@pytest.mark.parametrize(
    ("text", "differ"),
    [
        ("green", "['colour', 'red', 1] and ['colour', 'green', 1]"),
        (None, "['colour', 'red', 1] and None"),
    ],
)
def test_the_first_text_in_which_models_differ_is_named(text, differ):
    models = [frozen(), frozen()]
    for model, colour in zip(models, ("red", text), strict=True):
        model.learn_one({"colour": colour}, "a")
    with pytest.raises(InputError, match=re.escape(f"must have the same texts, got {differ}")):
        merge(models)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (5, "`keys` must be a sequence of keys, got 5"),
        ("ab", "`keys` must be a sequence of keys, got 'ab'"),
        ([1, 1], "`keys` must be distinct, got 1 twice"),
        ([0.5], "`key` must be a text of valid Unicode or an integer of 64 bits, got 0.5"),
    ],
)
def test_keys_that_cannot_be_merged_are_refused(keys, text, tmp_path):
    with Fleet(frozen(), tmp_path) as fleet, pytest.raises(InputError, match=text):
        fleet.merge(keys)


def chessboard(seed, n):
    X = np.random.default_rng(seed).uniform(-3.0, 3.0, (n, 2))
    return X, (np.floor(X).sum(axis=1) % 2).astype(int)


def test_centroids_of_the_template_are_not_duplicated():
    template = LOCOClassifier(rule="frozen", seed=3)
    template.learn_array(*chessboard(0, 1500))
    parts = [copy.deepcopy(template) for _ in range(4)]
    for seed, part in enumerate(parts, start=1):
        part.learn_array(*chessboard(seed, 100))
    X, y = chessboard(9, 1500)
    merged = merge(parts, template=template)
    right = [np.mean(model.predict_array(X) == y) for model in (merged, parts[0])]
    assert right[0] > right[1] - 0.02
    centroids = merged._core.state.experts.centroids
    places = centroids.places[:, : centroids.counters.n_centroids]
    assert np.unique(places, axis=1).shape[1] > 200


def test_centroids_of_classes_that_the_largest_model_lacks_are_added():
    parts = [
        LOCOClassifier(hidden_sizes=(8,), rule="frozen", centroids=12, seed=1) for _ in range(2)
    ]
    parts[0].learn_array(*chessboard(0, 300))
    X, _ = rows(1, 200)
    parts[1].learn_array(X[:, :2] + 50.0, ["far"] * 200)  # with another scale
    merged = merge(parts)
    kept = merged._core.state.experts.centroids
    n = kept.counters.n_centroids
    far = merged.classes.index("far")
    ours = kept.counts[:n].argmax(axis=1) == far
    statistics = merged._core.state.statistics
    deviation = np.sqrt(statistics.squares / statistics.n_values)
    places = (statistics.mean + deviation * kept.places.T)[:n]
    assert 0 < ours.sum() < len(ours)
    assert places[ours].min() > 40.0
    assert abs(places[~ours]).max() < 10.0


def discriminant_of(model):
    return model._core.state.experts.discriminant


def test_models_that_learn_pool_what_their_discriminants_know():
    template = classifier(hidden_sizes=(24,), seed=3, fixed_neurons=32)
    template.learn_array(*rows(0, 400))
    parts = [copy.copy(template) for _ in range(3)]
    whole = copy.copy(template)
    for k, part in enumerate(parts, start=1):
        part.learn_array(*rows(k, 300))
        whole.learn_array(*rows(k, 300))
    merged = merge(parts, template)
    own = discriminant_of(merged)
    one = discriminant_of(whole)
    places = [merged.classes.index(label) for label in whole.classes]
    np.testing.assert_allclose(own.means[places], one.means[: len(places)], atol=1e-4)
    np.testing.assert_allclose(own.n_rows[places], one.n_rows[: len(places)])
    np.testing.assert_allclose(own.total, one.total)
    X, _ = rows(9, 50)
    scores = []
    for model in (merged, whole):
        model.predict_array(X[:1], in_stream=False)
        scores.append(model._core.scratch.now.scores[: len(places)])
    np.testing.assert_allclose(scores[0][places], scores[1], rtol=1e-3, atol=1e-2)
    merged.learn_array(X, ["ok"] * len(X))  # it goes on learning
    assert merged.skipped_updates == whole.skipped_updates
