from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.readout import stack as stacking
from loco_stream.simd.ops import weigh_rows
from tests.helpers import naive
from tests.helpers.doors import doors

readout = doors(readout)
stacking = doors(stacking)

SEEDS = st.integers(0, 2**32 - 1)


def f32(values):
    return np.asarray(values, np.float32)


class Member:
    """One recursive member between two strangers in the same array."""

    def __init__(self, n_inputs, classes, leak, prior):
        self.n, self.classes, self.leak, self.prior = n_inputs, classes, leak, prior
        self.weights = np.zeros((n_inputs, 3 * classes), np.float32)
        self.projector = f32(prior * np.eye(n_inputs))
        self.k, self.out = np.zeros(n_inputs, np.float32), np.zeros(3 * classes, np.float32)
        self.rows = np.zeros(n_inputs, np.int32)

    def learn(self, x, target, is_open):
        padded = np.concatenate([f32([9.0]), x])  # inputs start at 1
        n_rows = readout.nonzero(padded, 1, self.n, self.rows)
        assert self.rows[:n_rows].tolist() == np.flatnonzero(x).tolist()
        weigh_rows(self.out, self.weights, 3 * self.classes, padded, 1, self.rows, n_rows)
        q, square = readout.gain(self.projector, self.n, padded, 1, self.rows, n_rows, self.k)
        residual = f32((f32(target) - self.out[self.classes : 2 * self.classes]) * is_open)
        readout.recursive_update(
            self.projector, self.weights, self.classes, self.n, self.k, q, self.leak, self.prior, residual, self.classes
        )
        return q, square


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-3, 0.1]))
def test_recursive_update_matches_the_explicit_matrices(seed, leak):
    rng = np.random.default_rng(seed)
    n, classes, prior = 7, 3, 0.1
    member = Member(n, classes, leak, prior)
    p, w = prior * np.eye(n), np.zeros((n, classes))
    for _ in range(20):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.7))
        target, is_open = np.eye(classes)[rng.integers(classes)], (rng.random(classes) < 0.8).astype(float)
        q, square = member.learn(x, target, is_open)
        assert q == pytest.approx(x @ p @ x, rel=1e-3, abs=1e-5)
        assert square == pytest.approx(float(x.astype(float) @ x.astype(float)))
        p, w = naive.recursive_update(p, w, x.astype(float), target, leak, prior, is_open > 0)
        assert np.allclose(member.projector, p, atol=1e-4)
        assert np.allclose(member.weights[:, classes : 2 * classes], w, atol=1e-4)
    assert not np.any(member.weights[:, :classes])
    assert not np.any(member.weights[:, 2 * classes :])


def test_without_leak_it_is_ridge_regression_on_everything_seen():
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(200, 5)), rng.normal(size=(5, 2))
    y = x @ truth + 0.1 * rng.normal(size=(200, 2))
    member = Member(5, 2, 0.0, 0.1)
    for row, target in zip(x, y, strict=True):
        member.learn(f32(row), target, np.ones(2))
    ridge = np.linalg.solve(x.T @ x + np.eye(5) / 0.1, x.T @ y)
    assert np.allclose(member.weights[:, 2:4], ridge, atol=1e-3)


def test_a_leak_forgets_and_never_winds_up():
    rng = np.random.default_rng(0)
    fast, slow = Member(3, 1, 1e-2, 0.1), Member(3, 1, 0.0, 0.1)
    old, new = rng.normal(size=3), rng.normal(size=3)
    for t in range(3000):
        x = rng.normal(size=3)
        for member in (fast, slow):
            member.learn(f32(x), np.array([x @ (old if t < 2000 else new)]), np.ones(1))
    assert np.allclose(fast.weights[:, 1], new, atol=0.05)
    assert np.abs(slow.weights[:, 1] - new).max() > 0.2
    for _ in range(20000):  # one direction only: the others drift to the prior, no further
        fast.learn(f32([1.0, 0.0, 0.0]), np.zeros(1), np.ones(1))
    assert np.all(np.linalg.eigvalsh(fast.projector.astype(float)) > 0.0)
    assert fast.projector.max() <= 0.1 * (1 + 1e-3)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_delta_rule_matches_the_twin(seed):
    rng = np.random.default_rng(seed)
    weights, x, error = f32(rng.normal(size=(5, 4))), f32(rng.normal(size=8)), rng.normal(size=3)
    before = weights.copy()
    readout.delta_update(weights, 5, x, 2, error, 3, 0.5)
    assert np.allclose(weights[:, :3], naive.delta_update(before[:, :3].astype(float), x[2:7], error, 0.5), atol=1e-5)
    assert np.array_equal(weights[:, 3], before[:, 3])


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(0, 2))
def test_stack_matches_the_twin(seed, n_trace, n_linear):
    rng = np.random.default_rng(seed)
    classes, capacity, n = 3, 4, n_trace + n_linear
    p, stack = np.eye(n), np.full(n, 1.0 / n)
    kernel_p, kernel_stack = p.copy(), stack.copy()
    for _ in range(10):
        outs, linear = f32(rng.normal(size=n_trace * capacity)), f32(rng.normal(size=n_linear * capacity))
        target = np.eye(classes)[rng.integers(classes)]
        members = np.concatenate([outs, linear]).reshape(n, capacity)[:, :classes].astype(float)
        scores = np.zeros(classes)
        stacking.stacked(outs, linear, n_trace, n_linear, capacity, classes, kernel_stack, scores)
        assert np.allclose(scores, stack @ members)
        p, stack = naive.stack_update(p, stack, members, target, 1.0)
        stacking.stack_update(
            outs, linear, n_trace, n_linear, capacity, target, classes, kernel_stack, kernel_p, np.zeros((2, n)), 1.0
        )
        assert np.allclose(kernel_stack, stack)
        assert np.allclose(kernel_p, p)


def test_stack_trusts_the_member_that_is_right_and_refuses_what_is_not_finite():
    rng = np.random.default_rng(0)
    p, stack, workspace = np.eye(2), np.full(2, 0.5), np.zeros((2, 2))
    for _ in range(300):
        target = np.eye(3)[rng.integers(3)]
        outs = f32(np.concatenate([target, rng.normal(size=3)]))
        stacking.stack_update(outs, outs[:0], 2, 0, 3, target, 3, stack, p, workspace, 1.0)
    assert stack == pytest.approx([1.0, 0.0], abs=0.05)
    before = stack.tobytes(), p.tobytes()
    stacking.stack_update(f32([math.nan] * 6), outs[:0], 2, 0, 3, target, 3, stack, p, workspace, 1.0)
    assert (stack.tobytes(), p.tobytes()) == before
