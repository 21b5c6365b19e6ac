"""The single-target regressor stays bit-identical to its recorded state."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from loco_stream import LOCORegressor

ROWS = 400
MODELS = {
    "plain": {},
    "memory": {"memory": (0.3, 50.0)},
    "delays": {"max_delay": 3},
    "neighbors": {"neighbors": 50},
    "deep": {"hidden_sizes": (24, 16)},
}
DIGESTS = {
    "plain": "66b55cc78df9b0b6",
    "memory": "e6bd7c28d214097c",
    "delays": "b0e69c73734d2d83",
    "neighbors": "e732cd9672357d1d",
    "deep": "f6859741795f90cc",
    "late": "a1e0dfcfb9933450",
}


def stream():
    """Return rows and values of integers in float64, the same on every machine."""
    steps = np.arange(ROWS)
    X = np.stack([(steps * k) % m for k, m in ((7, 31), (5, 17), (11, 43))], axis=1) / 8.0
    y = X[:, 0] - 2.0 * X[:, 1] + ((steps // 50) % 3)
    return X, y


def digest(model, predicted):
    """Return a hash of all learned numbers and of what was predicted."""
    content = hashlib.sha256(predicted.tobytes())
    _, arrays = model.export_state()
    for name in sorted(arrays):
        content.update(name.encode() + arrays[name].tobytes())
    return content.hexdigest()[:16]


@pytest.mark.parametrize("name", MODELS)
def test_learning_is_bit_identical_to_what_was_recorded(name):
    X, y = stream()
    model = LOCORegressor(**{"hidden_sizes": 32, **MODELS[name]}, seed=5)
    predicted, bounds = model.learn_predict_interval_array(X, y, t=np.arange(ROWS) * 0.5)
    assert digest(model, np.column_stack([predicted, bounds])) == DIGESTS[name]


def test_late_values_are_learned_bit_identically_to_what_was_recorded():
    X, y = stream()
    model = LOCORegressor(hidden_sizes=32, seed=5)
    model.learn_array(X[:100], y[:100])
    tickets = model.observe_array(X[100:])
    for ticket, value in zip(tickets, y[100:].tolist(), strict=True):
        model.learn_one(ticket, value)
    assert digest(model, model.predict_array(X)) == DIGESTS["late"]
