"""An estimator and its slow twin on the same stream."""

from __future__ import annotations

import numpy as np

from loco_stream import LOCOClassifier, LOCORegressor
from tests.helpers.models import blobs, model_options, parameters
from tests.helpers.naive_learner import Learner


def stream(n, seed=0, n_classes=3, n_features=3):
    """Draw rows, some values of them missing; labels are numbered in the order they come."""
    X, y = blobs(n, n_features=n_features, n_classes=n_classes, seed=seed)
    _, first = np.unique(y, return_index=True)
    order = np.argsort(np.argsort(first))
    X[np.random.default_rng(seed).random(X.shape) < 0.03] = np.nan
    return X, order[y]


def two_domains(n=720, length=330, width=12, shift=8.0, seed=3):
    """Return rows of two classes in domains A-B-A, in which other features tell the classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    y[:2] = [0, 1]
    X = rng.normal(size=(n, width))
    moved = np.arange(n) // length % 2 == 1
    X[:, 0] += 2.0 * np.where(moved, -1, 1) * (2 * y - 1)
    X[moved] = np.roll(X[moved], 5, axis=1) + shift * np.sign(np.arange(width) - width / 2 + 0.5)
    return X, y


def compare(model, twin, X, y, atol, in_stream=None):
    """Predict and learn every row with both."""
    for t, (row, target) in enumerate(zip(X, y, strict=True)):
        expected = twin.predict(row, in_stream=in_stream)
        x = dict(enumerate(row))
        if twin.regression:
            predicted = model.predict_one(x)
            model.learn_one(x, float(target))
        else:
            proba = model.predict_proba_one(x, in_stream=in_stream)
            predicted = np.array([proba[label] for label in model.classes])
            model.learn_one(x, int(target))
        twin.learn(row, target if twin.regression else int(target))
        np.testing.assert_allclose(predicted, expected, atol=atol, rtol=0, err_msg=f"row {t}")
    assert model.skipped_updates == 0


def assert_same_state(model, twin, atol):
    """Compare what both have learned."""
    state = model._core.state
    settings = model._core.settings
    known = twin.known
    net = state.net
    channels = twin.n_numbers
    n_texts = int(state.texts.n[0])
    own = np.vstack([net.weights[:channels], state.texts.weights[:n_texts]])
    np.testing.assert_allclose(own, twin.weights[0], atol=atol)
    for layer in range(1, settings.n_layers):
        deep = net.deep_weights[layer - 1][: twin.sizes[layer - 1], : twin.sizes[layer]]
        np.testing.assert_allclose(deep, twin.weights[layer], atol=atol)
    np.testing.assert_allclose(net.feedback[:known].T, twin.feedback[:, :known], atol=atol)
    projector = state.projections.recursive.first
    if projector.size:
        blocks = twin.blocks_of_projector(0)[:channels, : projector.shape[1]]
        np.testing.assert_allclose(projector[:channels], blocks, atol=atol)
        free = np.diag(twin.projectors[0])[channels:]
        np.testing.assert_allclose(state.texts.projector[:n_texts], free, atol=atol)
    np.testing.assert_allclose(net.gain, twin.gains, rtol=atol)
    if settings.recursive and not settings.regression:
        corrections = state.calibration.log_weights.ravel()
        np.testing.assert_allclose(state.mixture.log_weights, twin.log_weights, atol=30 * atol)
        np.testing.assert_allclose(corrections, twin.corrections, atol=30 * atol)
        np.testing.assert_allclose(state.stacks.log_weights, twin.log_stack, atol=atol)
        np.testing.assert_allclose(state.snapshots.posterior, twin.posterior, atol=atol)


def make_twin(n_features, n_classes, *, regression=False, n_texts=0, **options):
    """Return the twin of a model with these options."""
    own = model_options(**options)
    return Learner(own, n_features, n_classes, regression=regression, n_texts=n_texts)


def run_both(X, y, *, make=LOCOClassifier, atol=1e-4, in_stream=None, **options):
    """Run a model and its twin over a stream and compare them; return both."""
    regression = make is LOCORegressor
    options = {"seed": 3, **({} if regression else {"fixed_neurons": 16}), **options}
    n_outputs = 1 if regression else int(y.max()) + 1
    twin = make_twin(X.shape[1], n_outputs, regression=regression, **options)
    model = make(**parameters(**options))
    compare(model, twin, X, y, atol, in_stream)
    assert_same_state(model, twin, atol)
    return model, twin


def irregular_times(n, seed=0):
    """Draw times with gaps of every kind: long, zero, missing, and backwards."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.lognormal(0.0, 1.0, n))
    t[5::9] = t[4::9][: len(t[5::9])]
    t[7::13] = np.nan
    t[11::17] -= 3.0
    return t


def targets_for(make, X, y):
    """Return `y` for a classifier, and for a regressor a value that depends on earlier rows."""
    if make is LOCOClassifier:
        return y
    return np.nan_to_num(X[:, 0]) + 0.1 * np.roll(np.nan_to_num(X[:, 1]), 1)


def run_both_delayed(make, X, y, t, *, delay=0, n_first=3, atol=1e-4, rtol=0.0, **options):
    """Run a model and its twin over rows in time whose labels arrive `delay` rows later.

    The first rows, `n_first`, have their labels at once. Compare every prediction; return both.
    """
    regression = make is LOCORegressor
    options = {"seed": 3, **({} if regression else {"fixed_neurons": 16}), **options}
    n_outputs = 1 if regression else int(y.max()) + 1
    model = make(**parameters(**options))
    twin = make_twin(X.shape[1], n_outputs, regression=regression, **options)
    if n_first:
        model.learn_array(X[:n_first], y[:n_first], t=t[:n_first])
    for i in range(n_first):
        twin.learn(X[i], y[i], t[i])
    waiting = []
    for i in range(n_first, len(X)):
        x = dict(enumerate(X[i]))
        expected = twin.predict(X[i], t[i]) if twin.n_seen else []
        if regression:
            predicted = model.predict_one(x, t[i])
        else:
            predicted = list(model.predict_proba_one(x, t[i]).values())
        message = f"row {i}"
        np.testing.assert_allclose(predicted, expected, atol=atol, rtol=rtol, err_msg=message)
        if not delay:
            model.learn_one(x, y[i], t[i])
            twin.learn(X[i], y[i], t[i])
            continue
        waiting.append((model.observe_one(x, t[i]), twin.observe(X[i], t[i]), i))
        if len(waiting) > delay:
            ticket, then, k = waiting.pop(0)
            model.learn_one(ticket, y[k])
            twin.learn(X[k], y[k], then=then)
    return model, twin
