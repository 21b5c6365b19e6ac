"""Late values: the mixture of members, scored by what each predicted at the time."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCORegressor
from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout import delayed_values
from tests.helpers.jitted import on_model
from tests.helpers.models import untrained
from tests.helpers.naive_delayed import DelayedValues

MEMORY = (0.3, 50.0)
BOUNDS = (-2.0, 1.5)


@kernel
def _predict(settings, state, scratch, outputs, others):
    own = state.delayed_values
    delayed_values.write_others(settings, own, state.stacks.weights, outputs, 1, others)
    return delayed_values.mix(own, (outputs, others, 1, BOUNDS[0], BOUNDS[1]))


@kernel
def _write_weights(settings, state, scratch, first, weights):
    own = state.delayed_values
    delayed_values.write_weights(settings, own, state.stacks.weights, first, weights)
    return delayed_values.memoryless_share(settings, own)


@kernel
def _write_mean_weights(settings, state, scratch, weights):
    own = state.delayed_values
    delayed_values.write_mean_weights(settings, own, state.stacks.weights, weights)
    return 0


@kernel
def _learn(settings, state, scratch, outputs, others, error, target):
    own = state.delayed_values
    predicted = (outputs, others, 1, BOUNDS[0], BOUNDS[1])
    delayed_values.learn_weights(own, predicted, error, target[0], 1.0)
    buffers = scratch.now.stack_buffers
    delayed_values.learn_stack(settings, own, outputs, 1, target, buffers, 1.0)
    return own.errors.n_scored


predict = on_model(_predict)
write_weights = on_model(_write_weights)
write_mean_weights = on_model(_write_mean_weights)
learn = on_model(_learn)


@pytest.mark.parametrize("memory", [None, MEMORY])
def test_the_mixture_equals_its_twin(memory):
    args = untrained(2, 1, regression=True, hidden_sizes=4, memory=memory)
    settings = args.model.settings
    own = args.model.state.delayed_values
    n = settings.n_outputs
    first = delayed_values.first_memoryless(settings)
    assert first == (3 if memory else 0)
    rng = np.random.default_rng(0)
    stack = args.model.state.stacks.weights
    stack[:] = rng.normal(size=n)
    twin = DelayedValues(n, settings)
    twin.in_use = True
    for _ in range(60):
        target = rng.normal(size=1)
        outputs = (target + np.linspace(0.2, 2.0, n) * rng.normal(size=n)).astype(np.float32)
        others = np.zeros(delayed_values.N_OTHERS)
        mixed = predict(args, outputs, others)
        predicted = twin.predict(stack, outputs)
        np.testing.assert_allclose(others, predicted[n:], rtol=1e-6, atol=1e-9)
        assert mixed == pytest.approx(twin.mix(predicted, BOUNDS))
        for begin, without_memory in ((0, False), (first, True)):
            weights = np.zeros(n)
            share = write_weights(args, begin, weights)
            np.testing.assert_allclose(weights, twin.weights(stack, without_memory), atol=1e-12)
            assert share == pytest.approx(twin.share_without_memory())
        twin.in_use = False
        write_mean_weights(args, weights)
        np.testing.assert_allclose(weights, twin.weights(stack, without_memory=True), atol=1e-12)
        twin.in_use = True
        error = mixed - target[0]
        learn(args, outputs, others, error, target)
        twin.learn(predicted, BOUNDS, error, target[0], 1.0)
        twin.learn_stack(outputs, target[0], 1.0)
    np.testing.assert_allclose(own.log_weights, twin.log_weights, rtol=1e-6)
    np.testing.assert_allclose(own.stack, twin.stack, rtol=1e-6)


def test_members_without_a_memory_predict_as_a_model_without_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    outputs = []
    for memory in (None, MEMORY):
        model = LOCORegressor(memory=memory, hidden_sizes=(16,), rule="frozen", seed=0)
        model.learn_array(X, y)
        model.predict_one(dict(enumerate(X[0])))
        capacity = len(model._core.state.classes.n_rows)
        outputs.append(model._core.scratch.now.outputs[::capacity])
    without, given = outputs
    assert given[3:].tolist() == pytest.approx(without.tolist(), abs=1e-5)
    assert np.abs(given[:3] - without[:3]).max() > 1e-3


def test_what_a_stack_has_learned_since_a_row_was_predicted_does_not_count_for_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X[:, 0] + 0.5 * rng.normal(size=60)
    found = []
    for later in (0.0, 3.0):
        model = LOCORegressor(hidden_sizes=(8,), seed=0)
        model.learn_array(X[:10], y[:10])
        tickets = model.observe_array(X[10:])
        for ticket, value in zip(tickets[:40], y[10:50].tolist(), strict=True):
            model.learn_one(ticket, value)
        state = model._core.state
        state.stacks.weights[:] += later
        state.delayed_values.stack[:] += later
        model.learn_one(tickets[40], float(y[50]))
        found.append(state.delayed_values.log_weights.tolist())
    assert found[0] == found[1]
