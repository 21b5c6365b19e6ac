"""Prediction modes: the stream's next row, a row from anywhere, and evidence in between."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import (
    LOCOClassifier,
    LOCOMultiTargetRegressor,
    LOCORegressor,
    load,
    save,
)
from loco_stream.errors import InputError
from tests.helpers.models import blobs

MODES = [True, False, None]


@pytest.fixture(scope="module")
def by_class():
    """A model that learned two classes for a while and then two others."""
    X, y = blobs(1200, n_features=4, n_classes=4, seed=5)
    order = np.argsort(y >= 2, kind="stable")
    model = LOCOClassifier(seed=1)
    model.learn_array(X[order], y[order])
    return model, X, y


@pytest.mark.parametrize("in_stream", MODES)
def test_a_block_is_predicted_as_its_rows_one_by_one(by_class, in_stream):
    model, X, _ = by_class
    block = model.predict_proba_array(X[:40], in_stream=in_stream)
    rows = [model.predict_proba_one(dict(enumerate(x)), in_stream=in_stream) for x in X[:40]]
    np.testing.assert_array_equal(block, [[row[c] for c in model.classes] for row in rows])
    labels = model.predict_array(X[:40], in_stream=in_stream).tolist()
    assert labels == [max(row, key=row.__getitem__) for row in rows]


def test_a_dormant_class_answers_for_rows_from_anywhere(by_class):
    model, X, y = by_class
    old = X[y < 2]
    right = {mode: np.mean(model.predict_array(old, in_stream=mode) == y[y < 2]) for mode in MODES}
    assert right[False] > 0.75
    assert right[True] < right[False] - 0.2
    assert right[None] > right[True] + 0.2  # the features point to it clearly
    present = X[y >= 2]
    assert np.mean(model.predict_array(present, in_stream=True) == y[y >= 2]) > 0.75


def test_a_sequence_is_predicted_in_each_mode(by_class):
    model, X, y = by_class
    model = model.clone(include_attributes=True)
    rows = X[y == 0][:3]
    share = {mode: model.predict_proba_sequence(rows, in_stream=mode)[0] for mode in MODES}
    assert share[True] < share[None] <= share[False]
    model.set_decision(thresholds={0: (share[True] + share[None]) / 2.0})
    answers = [model.predict_sequence(rows, in_stream=mode) == 0 for mode in MODES]
    assert answers == [False, True, True]
    assert model.predict_sequence(rows) == 0


def test_predictions_change_nothing_in_any_mode(by_class):
    model, X, _ = by_class
    before = model.predict_proba_array(X[:5], in_stream=True)
    for mode in MODES:
        model.predict_array(X[:20], in_stream=mode)
    np.testing.assert_array_equal(model.predict_proba_array(X[:5], in_stream=True), before)


def test_learning_predicts_the_next_row_of_the_stream():
    X, y = blobs(200, n_features=3, n_classes=3, seed=2)
    model = LOCOClassifier(seed=1, retention=0.9)
    twin = LOCOClassifier(seed=1, retention=0.9)
    learned = model.learn_predict_proba_array(X, y)
    for x, label, proba in zip(X, y, learned, strict=True):
        row = dict(enumerate(x))
        found = twin.predict_proba_one(row, in_stream=True)
        expected = [found.get(c, 0.0) for c in model.classes]
        np.testing.assert_array_equal(proba[: len(expected)], expected)
        twin.learn_one(row, int(label))


def test_learning_predicts_a_row_with_a_new_text_as_the_next_row_of_the_stream(by_class):
    model, X, y = by_class
    model = model.clone(include_attributes=True)
    twin = model.clone(include_attributes=True)
    features = [*range(4), "id"]
    old = X[y < 2][:10].tolist()
    rows = [[*x, f"id {i}"] for i, x in enumerate(old)]
    labels = y[y < 2][:10].tolist()
    learned = model.learn_predict_proba_array(rows, labels, features)
    for row, label, proba in zip(rows, labels, learned.tolist(), strict=True):
        x = dict(zip(features, row, strict=True))
        assert list(twin.predict_proba_one(x, in_stream=True).values()) == proba
        twin.learn_one(x, label)


@pytest.mark.parametrize("in_stream", MODES)
def test_a_saved_model_answers_alike(by_class, in_stream, tmp_path):
    model, X, _ = by_class
    save(model, tmp_path / "model.loco")
    np.testing.assert_array_equal(
        load(tmp_path / "model.loco").predict_proba_array(X[:30], in_stream=in_stream),
        model.predict_proba_array(X[:30], in_stream=in_stream),
    )


@pytest.mark.parametrize("value", ["yes", 2, 0.5])
def test_other_modes_are_refused(by_class, value):
    model, X, _ = by_class
    with pytest.raises(InputError, match="`in_stream` must be True, False or None, got"):
        model.predict_array(X[:2], in_stream=value)
    for fresh in (LOCOClassifier(seed=1), LOCORegressor(seed=1)):
        with pytest.raises(InputError, match="`in_stream` must be True, False or None, got"):
            fresh.predict_one({0: 1.0}, in_stream=value)
        with pytest.raises(InputError, match="`in_stream` must be True, False or None, got"):
            fresh.predict_array(X[:2], in_stream=value)


def test_recent_values_answer_for_the_next_row_of_a_regression():
    rng = np.random.default_rng(3)
    y = np.cumsum(rng.normal(size=600))
    X = rng.normal(size=(600, 2))
    model = LOCORegressor(seed=1)
    predicted = model.learn_predict_array(X, y)
    last = np.abs(np.diff(y))[100:].mean()
    assert np.abs(predicted - y)[101:].mean() < 1.05 * last
    row = dict(enumerate(X[0]))
    assert abs(model.predict_one(row, in_stream=True) - y[-1]) < 2.0
    assert model.predict_one(row) == model.predict_one(row, in_stream=True)
    assert model.predict_one(row, in_stream=False) != model.predict_one(row)
    np.testing.assert_array_equal(
        model.predict_array(X[:3], in_stream=False),
        [model.predict_one(dict(enumerate(x)), in_stream=False) for x in X[:3]],
    )


@pytest.mark.parametrize("kind", [LOCORegressor, LOCOMultiTargetRegressor])
def test_a_level_far_beyond_the_earlier_ones_is_followed_from_its_third_row_on(kind):
    rng = np.random.default_rng(4)
    y = np.cumsum(rng.normal(size=900))
    y[800:] += 1e5
    X = rng.normal(size=(900, 2))
    values = y if kind is LOCORegressor else np.stack([y, rng.normal(size=900)], axis=1)
    answers = kind(seed=1).learn_predict_array(X, values)
    errors = np.abs(answers.reshape(900, -1)[:, 0] - y)
    assert errors[803:].max() < 10.0


def test_a_few_wrong_values_in_a_row_change_hardly_anything():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1700, 4))
    y = X @ rng.normal(size=4) + 0.1 * rng.normal(size=1700)
    wrong = y.copy()
    wrong[1500:1503] = -9999.0
    errors = [np.abs(LOCORegressor(seed=1).learn_predict_array(X, z) - y) for z in (y, wrong)]
    assert errors[1][1503:1603].mean() < 1.2 * errors[0][1503:1603].mean()


@pytest.mark.parametrize("method", ["predict_one", "predict_proba_one"])
def test_a_misspelt_mode_is_refused(method):
    """River's signature lets any keyword pass; this one would change the answer."""
    text = rf"LOCOClassifier\.{method}\(\) got .* 'in_strem'; did you mean 'in_stream'\?"
    with pytest.raises(TypeError, match=text):
        getattr(LOCOClassifier(), method)({"a": 1.0}, in_strem=False)


def test_a_rare_class_of_one_row_takes_no_rows_of_the_others():
    """From anywhere, it had .43 of the others' rows after eight rows without it."""
    X = np.random.default_rng(0).normal(size=(200, 4))
    y = ["rare" if i == 30 else "common" for i in range(60)]
    model = LOCOClassifier(seed=1)
    model.learn_array(X[:60], y)
    for mode in MODES:
        proba = model.predict_proba_array(X[60:], in_stream=mode)
        assert proba[:, model.classes.index("rare")].mean() < 0.03


def test_classes_of_one_row_each_are_told_apart_from_anywhere():
    """The few that had been absent for more than eight rows answered for all."""
    X, y = blobs(400, n_features=16, n_classes=12, seed=2)
    first = [np.flatnonzero(y == label)[0] for label in range(12)]
    model = LOCOClassifier(seed=1)
    model.learn_array(X[first], y[first])
    right = {mode: np.mean(model.predict_array(X, in_stream=mode) == y) for mode in MODES}
    assert right[False] >= right[True] - 0.02
