"""Both estimators do, row by row, what the formulas of the whole learner say, up to single precision."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.options import ModelConfig
from tests.helpers.models import blobs
from tests.helpers.naive_learner import Learner

SIZES = {"one layer": (6,), "two layers": (6, 5)}


def stream(n, seed=0, n_classes=3):
    """Draw rows whose labels come in turn at first, as slots are given out, with some values missing."""
    X, y = blobs(n, n_features=3, n_classes=n_classes, seed=seed)
    _, first = np.unique(y, return_index=True)
    order = np.argsort(np.argsort(first))
    X[np.random.default_rng(seed).random(X.shape) < 0.03] = np.nan
    return X, order[y]


def compare(model, twin, X, y, atol):
    """Predict and learn every row with both."""
    for t, (row, answer) in enumerate(zip(X, y, strict=True)):
        expected = twin.predict(row)
        if twin.regression:
            found = model.predict_one(dict(enumerate(row)))
            model.learn_one(dict(enumerate(row)), float(answer))
        else:
            proba = model.predict_proba_one(dict(enumerate(row)))
            found = np.array([proba[label] for label in model.classes])
            model.learn_one(dict(enumerate(row)), int(answer))
        twin.learn(row, answer if twin.regression else int(answer))
        np.testing.assert_allclose(found, expected, atol=atol, rtol=0, err_msg=f"row {t}")
    assert model.skipped_updates == 0


def same_state(model, twin, atol):
    """Compare what both have learned."""
    state = model._state
    settings = model._settings
    known = twin.known
    net = state.net
    lines = len(twin.lines)
    np.testing.assert_allclose(net.weights[:lines], twin.weights[0], atol=atol)
    for layer in range(1, settings.n_layers):
        found = net.deep_weights[layer - 1][: twin.sizes[layer - 1], : twin.sizes[layer]]
        np.testing.assert_allclose(found, twin.weights[layer], atol=atol)
    np.testing.assert_allclose(net.feedback[:, :known], twin.feedback[:, :known], atol=atol)
    if settings.n_clusters == 0:
        np.testing.assert_allclose(
            net.projector[:lines], twin.blocked(0)[:, : net.projector.shape[1]], atol=atol
        )
    np.testing.assert_allclose(net.gains[0], twin.gains, rtol=atol)
    if settings.recursive and not settings.regression:
        np.testing.assert_allclose(state.bank.evidence, twin.evidence, atol=30 * atol)
        np.testing.assert_allclose(state.bank.corrections.ravel(), twin.corrections, atol=30 * atol)
        np.testing.assert_allclose(state.bank.log_stack[0], twin.log_stack, atol=atol)
        np.testing.assert_allclose(state.recall.speakers, twin.say, atol=atol)


def run(X, y, *, make=LOCOClassifier, atol=1e-4, **options):
    options = {"seed": 3, **options}
    regression = make is LOCORegressor
    n_outputs = 1 if regression else int(y.max()) + 1
    twin = Learner(ModelConfig(**options), X.shape[1], n_outputs, regression=regression)
    model = make(**options)
    compare(model, twin, X, y, atol)
    same_state(model, twin, atol)
    return model, twin


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("credit", ["mirror", "learned", "perturbation"])
@pytest.mark.parametrize("readout_layers", ["all", "last", "hidden"])
def test_a_classifier_is_its_twin(sizes, credit, readout_layers):
    _, twin = run(*stream(80), hidden_sizes=sizes, credit=credit, readout_layers=readout_layers)
    start = Learner(ModelConfig(hidden_sizes=sizes, seed=3), 3, 3, regression=False)
    moved = [np.abs(new - old).max() for new, old in zip(twin.weights, start.weights, strict=True)]
    assert min(moved) > 0.01  # every layer learned


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("credit", ["mirror", "learned", "perturbation"])
def test_a_regressor_is_its_twin(sizes, credit):
    X, _ = stream(80)
    rng = np.random.default_rng(0)
    y = np.sin(np.nan_to_num(X[:, 0])) + 0.1 * rng.normal(size=len(X))
    run(X, y, make=LOCORegressor, hidden_sizes=sizes, credit=credit)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "np"},
        {"rule": "frozen"},
        {"readout": "delta"},
        {"readout": "delta", "credit": "learned"},
        {"readout": "delta", "credit": "perturbation"},
        {"plastic": 0.5},
        {"plastic": 0.5, "readout_layers": "last", "learning_rate": 3000.0},
        {"n_input_clusters": 3, "learning_rate": 30.0},
        {"n_input_clusters": 2, "rank": 2, "orthogonality": 0.9, "learning_rate": 3.0},
        {"n_input_clusters": 3, "rule": "np"},
        {"orthogonality": 0.5},
        {"cluster_size": 10},
        {"receptive_fields": 1},
        {"leaks": (0.0,)},
        {"leaks": (1e-3, 0.1)},
        {"tau": 12.0, "tau_trace": 40.0, "window": 30.0, "gain": 4.0},
        {"credit": "learned", "n_perturbations": 2, "antithetic": True},
        {"credit": "perturbation", "n_perturbations": 2, "antithetic": True},
        {"retention": 0.0},
        {"class_weight": "balanced"},
        {"class_weight": {1: 7.5}},
        {"class_weight": {0: 0.1, 2: 3}, "readout": "delta"},
    ],
    ids=lambda options: " ".join(map(str, options.items())),
)
def test_every_setting_does_what_the_twin_does(options):
    run(*stream(60), **{"hidden_sizes": (6, 5), **options})


def test_dormant_classes_open_the_gate_as_in_the_twin():
    X, y = stream(260, n_classes=3)
    kept = np.flatnonzero((y != 1) | (np.arange(len(y)) < 80))
    late = np.flatnonzero(y == 1)[-8:]
    order = np.r_[kept, late]
    _, twin = run(X[order], y[order], hidden_sizes=(6,), retention=0.9)
    assert len(twin.leads) > 20
    assert twin.dormancy()[0] or twin.last_seen[1] > 0


@pytest.mark.slow
def test_gains_scaling_and_the_first_snapshot_settle_as_in_the_twin():
    X, y = stream(420, n_classes=2)
    y[300:] = 1 - y[300:]  # the concept ends: its copy speaks
    model, twin = run(X, y, hidden_sizes=(5,), atol=0.02)
    assert model.recalled[0] >= 1
    assert twin.clock.tolist() == model._state.recall.clock.tolist()
