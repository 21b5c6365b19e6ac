"""Blocks in which rows are held out, as the engine passes them to a model."""

from __future__ import annotations

import numpy as np

from loco_stream import LOCOClassifier
from loco_stream.engine._model_adapter import ModelAdapter, joined
from loco_stream.stream import Block
from tests.helpers.models import arrays_of, assert_same, blobs

_HELD = [3, 10]


def _predictions(*, in_one_call, brings_class=True):
    """Return the predictions of a block, the probability of each row's label, calls and model."""
    X, y = blobs(60, n_classes=2)
    labels = [f"class {slot}" for slot in y.tolist()]
    labels[43] = "never learned"
    if brings_class:
        labels[50] = "held out first"
        labels[55] = "held out first"
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    model = LOCOClassifier(seed=1)
    model.learn_array(X[:40], labels[:40], names)
    adapter = ModelAdapter(model)
    block = Block(X[40:].astype(np.float32), labels[40:], names, 0)
    if in_one_call:
        parts = list(adapter.test_then_train(block, labels[40:], _HELD))
    else:
        parts = list(adapter._around_held(block, labels[40:], _HELD, True))
    predicted = joined(parts)
    return predicted, predicted.p_true(labels[40:]), len(parts), model


def test_one_call_predicts_and_learns_what_many_calls_do():
    together, p_true, n_calls, model = _predictions(in_one_call=True)
    apart, p_true_apart, n_calls_apart, twin = _predictions(in_one_call=False)
    assert (n_calls, n_calls_apart) == (1, 5)
    assert together.y_pred == apart.y_pred
    assert p_true == p_true_apart
    assert together.known == apart.known
    assert together.proba.tobytes() == apart.proba.tobytes()
    assert_same(arrays_of(model), arrays_of(twin))


def test_a_held_out_row_of_a_class_that_is_not_known_has_probability_zero():
    _, p_true, _, model = _predictions(in_one_call=True, brings_class=False)
    assert p_true[_HELD[0]] == 0.0
    assert "never learned" not in model.classes
