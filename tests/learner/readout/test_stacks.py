from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.readout import stacks
from loco_stream._learner.readout.weighted_sum import weighted_sum as weighted_sum_kernel
from tests.helpers import naive
from tests.helpers.jitted import jitted, jitted_module

StackState = stacks.StackState

stacks = jitted_module(stacks)
weighted_sum = jitted(weighted_sum_kernel)

SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.sampled_from([1.0, 0.2])  # of an observation


def f32(values):
    return np.asarray(values, np.float32)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 2), SHARES)
def test_the_least_squares_stack_equals_the_twin(seed, n, n_losses, share):
    rng = np.random.default_rng(seed)
    n_classes = 3
    capacity = 4
    stride = n_losses * capacity
    p = np.eye(n)
    stack = np.full(n, 1.0 / n)
    projector = p.copy()
    weights = stack.copy()
    for _ in range(10):
        outputs = f32(rng.normal(size=n * stride))
        target = np.eye(n_classes)[rng.integers(n_classes)]
        members = outputs.reshape(n, stride)[:, :n_classes].astype(float)
        stacked = np.zeros(n_classes)
        weighted_sum(outputs, weights, stride, n_classes, stacked)
        assert np.allclose(stacked, stack @ members)
        p, stack = naive.learn_stack(p, stack, members, target, stacks.STACK_PRIOR, share)
        buffers = np.zeros((2, n))
        stacks.learn_stack(weights, projector, outputs, stride, target, n_classes, buffers, share)
        assert np.allclose(weights, stack)
        assert np.allclose(projector, p)


@pytest.mark.parametrize("n_before", [100, 30_000])
def test_the_stack_follows_within_300_rows_however_long_another_member_was_right(n_before):
    rng = np.random.default_rng(0)
    weights = np.full(2, 0.5)
    projector = stacks.FIRST_STACK_PRIOR * np.eye(2)
    buffers = np.zeros((2, 2))
    for i in range(n_before + 300):
        target = rng.normal(size=1)
        members = [target + 0.1 * rng.normal(size=1), rng.normal(size=1)]
        outputs = f32(np.concatenate(members if i < n_before else members[::-1]))
        stacks.learn_stack(weights, projector, outputs, 1, target, 1, buffers, 1.0)
    assert weights[1] > 0.85  # with a tenth of the prior, .6 after 30,000 rows


def test_the_stack_gives_its_weight_to_the_right_member_and_refuses_nan():
    rng = np.random.default_rng(0)
    p = np.eye(2)
    stack = np.full(2, 0.5)
    buffers = np.zeros((2, 2))
    for _ in range(300):
        target = np.eye(3)[rng.integers(3)]
        outputs = f32(np.concatenate([target, rng.normal(size=3)]))
        stacks.learn_stack(stack, p, outputs, 3, target, 3, buffers, 1.0)
    assert stack == pytest.approx([1.0, 0.0], abs=0.05)
    before = stack.tobytes(), p.tobytes()
    stacks.learn_stack(stack, p, f32([math.nan] * 6), 3, target, 3, buffers, 1.0)
    assert (stack.tobytes(), p.tobytes()) == before


def log_stack(n_members, log_weights, log_powers):
    """Return a state with so many members and blocks of outputs."""
    members = np.zeros(n_members)
    return StackState(members, np.zeros((n_members, n_members)), log_weights, log_powers)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 4), st.sampled_from([0, 2]), SHARES)
def test_the_log_loss_stack_equals_the_twin(seed, n_members, n_votes, share):
    rng = np.random.default_rng(seed)
    n_blocks = 2 * n_members + n_votes
    n_classes = 3
    capacity = 4
    expected = rng.normal(size=n_blocks)
    powers = rng.uniform(1e-3, 1, n_blocks)
    state = log_stack(n_members, expected.copy(), powers.copy())
    weights = np.zeros(n_blocks)
    mean = np.zeros(n_blocks)
    combined = np.zeros(n_classes)
    for _ in range(10):
        outputs = f32(rng.normal(size=n_blocks * capacity))
        target = np.eye(n_classes)[rng.integers(n_classes)]
        blocks = outputs.reshape(n_blocks, capacity)[:, :n_classes].astype(float)
        stacks.log_stack_weights(state, weights)
        weighted_sum(outputs, weights, capacity, n_classes, combined)
        assert np.allclose(weights, expected * naive.sharpness(n_blocks, n_votes))
        assert np.allclose(combined, weights @ blocks)
        stacks.mean_weights(state, mean)
        assert np.allclose(mean @ blocks, (naive.sharpness(n_blocks, n_votes) @ blocks) / n_blocks)
        error = naive.softmax(combined) - target
        stacks.learn_log_stack(state, outputs, error, capacity, n_classes, share)
        expected, powers = naive.learn_log_stack(expected, powers, blocks, error, n_votes, share)
        assert np.allclose(state.log_weights, expected)
        assert np.allclose(state.log_powers, powers)


def test_the_log_loss_stack_descends_its_loss():
    rng = np.random.default_rng(0)
    state = log_stack(1, np.full(2, 0.01), np.full(2, 0.01))
    weights = np.zeros(2)
    combined = np.zeros(2)
    losses = []
    for _ in range(4000):
        target = np.eye(2)[rng.integers(2)]
        useful = 0.3 * (target - 0.5) + 0.1 * rng.normal(size=2)
        outputs = f32(np.concatenate([useful, rng.normal(size=2)]))
        stacks.log_stack_weights(state, weights)
        weighted_sum(outputs, weights, 2, 2, combined)
        losses.append(naive.loss(combined, target, False))
        stacks.learn_log_stack(state, outputs, naive.softmax(combined) - target, 2, 2, 1.0)
    assert np.mean(losses[-500:]) < 0.5 * np.mean(losses[:500])
    assert abs(state.log_weights[1]) < 0.3 * state.log_weights[0]
