from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream._compiler.simd import ops
from loco_stream._compiler.simd.ops import weigh_rows
from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.readout import log_loss, mixture
from loco_stream.learner.readout import stack as stacking
from loco_stream.options import FEW_ROWS
from tests.helpers import naive
from tests.helpers.doors import door, doors

readout = doors(readout)
log_loss = doors(log_loss)
mixture = doors(mixture)
stacking = doors(stacking)
nonzero = door(ops.nonzero)

SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.sampled_from([1.0, 0.2])  # of an observation


def f32(values):
    return np.asarray(values, np.float32)


class Member:
    """One recursive member of two losses between two strangers in the same array."""

    def __init__(self, n_inputs, classes, leak, prior, n_losses=1):
        self.n, self.classes, self.leak, self.prior, self.n_losses = (
            n_inputs,
            classes,
            leak,
            prior,
            n_losses,
        )
        self.columns = n_losses * classes
        self.weights = np.zeros((n_inputs, 3 * self.columns), np.float32)
        self.projector = f32(prior * np.eye(n_inputs))
        self.k = np.zeros(n_inputs, np.float32)
        self.out = np.zeros(3 * self.columns, np.float32)
        self.rows = np.zeros(n_inputs, np.int32)
        self.residual = np.zeros(self.columns, np.float32)

    def learn(self, x, target, last_seen=(), n_seen=0):
        padded = np.concatenate([f32([9.0]), x])  # inputs start at 1
        n_rows = nonzero(padded, 1, self.n, self.rows)
        assert self.rows[:n_rows].tolist() == np.flatnonzero(x).tolist()
        weigh_rows(self.out, self.weights, 3 * self.columns, padded, 1, self.rows, n_rows)
        q, square = readout.gain(self.projector, self.n, padded, 1, self.rows, n_rows, self.k)
        readout.write_residual(
            target,
            self.out,
            self.columns,
            self.classes,
            np.array(last_seen, float),
            self.classes,
            n_seen,
            self.leak,
            self.n_losses,
            self.residual,
        )
        readout.recursive_update(
            self.projector,
            self.weights,
            self.columns,
            self.columns,
            self.n,
            self.k,
            q,
            self.leak,
            self.prior,
            self.residual,
        )
        return q, square

    @property
    def own(self):
        """Return the weights of each loss."""
        return np.split(self.weights[:, self.columns : 2 * self.columns], self.n_losses, axis=1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-3, 0.1]), st.integers(1, 2), st.booleans())
def test_recursive_update_of_both_losses_matches_the_explicit_matrices(
    seed, leak, n_losses, has_classes
):
    rng = np.random.default_rng(seed)
    n = 7
    classes = 3
    prior = 0.1
    n_seen = 1000
    member = Member(n, classes, leak, prior, n_losses)
    p = prior * np.eye(n)
    weights = [np.zeros((n, classes))] * n_losses
    for _ in range(20):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.7))
        target = np.eye(classes)[rng.integers(classes)]
        last_seen = n_seen - rng.integers(0, 60, classes) if has_classes else None
        q, square = member.learn(x, target, () if last_seen is None else last_seen, n_seen)
        x = x.astype(float)
        assert q == pytest.approx(x @ p @ x, rel=1e-3, abs=1e-5)
        assert square == pytest.approx(float(x @ x))
        logits = x @ weights[1] if n_losses > 1 else None
        lack = naive.residuals(target, x @ weights[0], logits, last_seen, n_seen, leak)
        assert np.allclose(member.residual, np.concatenate(lack), atol=1e-4)
        p, weights = naive.recursive_update(p, weights, x, lack, leak, prior)
        assert np.allclose(member.projector, p, atol=1e-4)
        for found, expected in zip(member.own, weights, strict=True):
            assert np.allclose(found, expected, atol=3e-4)
    assert not np.any(member.weights[:, : member.columns])
    assert not np.any(member.weights[:, 2 * member.columns :])


def test_the_second_loss_learns_the_odds():
    rng = np.random.default_rng(0)
    member = Member(2, 2, 0.0, 0.1, n_losses=2)
    truth = np.array([0.5, 1.5])
    for _ in range(4000):
        x = np.array([1.0, rng.normal()])
        member.learn(f32(x), np.eye(2)[int(rng.random() < 1 / (1 + math.exp(-x @ truth)))])
    odds = member.own[1][:, 1] - member.own[1][:, 0]
    assert np.allclose(odds, truth, atol=0.25)


def test_without_leak_it_is_ridge_regression_on_everything_seen():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    truth = rng.normal(size=(5, 2))
    y = x @ truth + 0.1 * rng.normal(size=(200, 2))
    member = Member(5, 2, 0.0, 0.1)
    for row, target in zip(x, y, strict=True):
        member.learn(f32(row), target)
    ridge = np.linalg.solve(x.T @ x + np.eye(5) / 0.1, x.T @ y)
    assert np.allclose(member.weights[:, 2:4], ridge, atol=1e-3)


def test_a_leak_forgets_and_never_winds_up():
    rng = np.random.default_rng(0)
    fast = Member(3, 1, 1e-2, 0.1)
    slow = Member(3, 1, 0.0, 0.1)
    old = rng.normal(size=3)
    new = rng.normal(size=3)
    for t in range(3000):
        x = rng.normal(size=3)
        for member in (fast, slow):
            member.learn(f32(x), np.array([x @ (old if t < 2000 else new)]))
    assert np.allclose(fast.weights[:, 1], new, atol=0.05)
    assert np.abs(slow.weights[:, 1] - new).max() > 0.2
    for _ in range(20000):  # one direction only: the others drift to the prior, no further
        fast.learn(f32([1.0, 0.0, 0.0]), np.zeros(1))
    assert np.all(np.linalg.eigvalsh(fast.projector.astype(float)) > 0.0)
    assert fast.projector.max() <= 0.1 * (1 + 1e-3)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_delta_rule_matches_the_twin(seed):
    rng = np.random.default_rng(seed)
    weights = f32(rng.normal(size=(5, 4)))
    x = f32(rng.normal(size=8))
    error = rng.normal(size=3)
    before = weights.copy()
    readout.delta_update(weights, 5, x, 2, error, 3, 0.5)
    assert np.allclose(
        weights[:, :3],
        naive.delta_update(before[:, :3].astype(float), x[2:7], error, 0.5),
        atol=1e-5,
    )
    assert np.array_equal(weights[:, 3], before[:, 3])


# Stacks and mixture


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 2), SHARES)
def test_least_squares_stack_matches_the_twin(seed, n, n_losses, share):
    rng = np.random.default_rng(seed)
    classes = 3
    capacity = 4
    stride = n_losses * capacity
    p = np.eye(n)
    stack = np.full(n, 1.0 / n)
    kernel_p = p.copy()
    kernel_stack = stack.copy()
    for _ in range(10):
        outs = f32(rng.normal(size=n * stride))
        target = np.eye(classes)[rng.integers(classes)]
        members = outs.reshape(n, stride)[:, :classes].astype(float)
        scores = np.zeros(classes)
        stacking.stacked(outs, stride, kernel_stack, classes, scores)
        assert np.allclose(scores, stack @ members)
        p, stack = naive.stack_update(p, stack, members, target, stacking.STACK_PRIOR, share)
        stacking.stack_update(
            outs, stride, target, classes, kernel_stack, kernel_p, np.zeros((2, n)), share
        )
        assert np.allclose(kernel_stack, stack)
        assert np.allclose(kernel_p, p)


def test_stack_trusts_the_member_that_is_right_and_refuses_what_is_not_finite():
    rng = np.random.default_rng(0)
    p = np.eye(2)
    stack = np.full(2, 0.5)
    workspace = np.zeros((2, 2))
    for _ in range(300):
        target = np.eye(3)[rng.integers(3)]
        outs = f32(np.concatenate([target, rng.normal(size=3)]))
        stacking.stack_update(outs, 3, target, 3, stack, p, workspace, 1.0)
    assert stack == pytest.approx([1.0, 0.0], abs=0.05)
    before = stack.tobytes(), p.tobytes()
    stacking.stack_update(f32([math.nan] * 6), 3, target, 3, stack, p, workspace, 1.0)
    assert (stack.tobytes(), p.tobytes()) == before


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 4), st.sampled_from([0, 2]), SHARES)
def test_log_loss_stack_matches_the_twin(seed, n_members, n_says, share):
    rng = np.random.default_rng(seed)
    n_blocks = 2 * n_members + n_says
    classes = 3
    capacity = 4
    log_stack = np.stack([rng.normal(size=n_blocks), rng.uniform(1e-3, 1, n_blocks)])
    shares, powers = log_stack.copy()
    weights = np.zeros(n_blocks)
    scores = np.zeros(classes)
    error = np.zeros(classes)
    for _ in range(10):
        outs = f32(rng.normal(size=n_blocks * capacity))
        target = np.eye(classes)[rng.integers(classes)]
        blocks = outs.reshape(n_blocks, capacity)[:, :classes].astype(float)
        log_loss.stack_weights(log_stack, 2 * n_members, weights)
        log_loss.weighted(outs, weights, n_blocks, capacity, classes, scores)
        assert np.allclose(weights, shares * naive.sharpened(n_blocks, n_says))
        assert np.allclose(scores, weights @ blocks)
        error[:] = naive.softmax(scores) - target
        log_loss.learn_stack(log_stack, 2 * n_members, outs, error, capacity, classes, share)
        shares, powers = naive.log_stack_update(shares, powers, blocks, error, n_says, share)
        assert np.allclose(log_stack, [shares, powers])


def test_log_loss_stack_descends_its_loss():
    rng = np.random.default_rng(0)
    log_stack = np.full((2, 2), 0.01)
    weights = np.zeros(2)
    scores = np.zeros(2)
    losses = []
    for _ in range(4000):
        label = rng.integers(2)
        right = np.eye(2)[label] - 0.5
        noise = rng.normal(size=2)
        outs = f32(np.concatenate([0.3 * right + 0.1 * noise, rng.normal(size=2)]))
        log_loss.stack_weights(log_stack, 2, weights)
        log_loss.weighted(outs, weights, 2, 2, 2, scores)
        losses.append(naive.loss(scores, np.eye(2)[label], False))
        log_loss.learn_stack(
            log_stack, 2, outs, naive.softmax(scores) - np.eye(2)[label], 2, 2, 1.0
        )
    assert np.mean(losses[-500:]) < 0.5 * np.mean(losses[:500])
    assert abs(log_stack[0, 1]) < 0.3 * log_stack[0, 0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0.1, 40), st.integers(0, 5))
def test_probabilities_are_a_softmax_and_the_loss_is_its_cross_entropy(scores, sharpness, label):
    n = len(scores)
    proba = np.full(n + 1, -1.0)
    target = np.eye(n)[label % n]
    log_loss.softmax(np.array([9.0, *scores]), 1, n, sharpness, proba)
    assert np.allclose(proba[:-1], naive.softmax(sharpness * np.array(scores)))
    assert proba[-1] == -1.0
    assert proba[:-1].sum() == pytest.approx(1.0)
    found = log_loss.loss_of(False, np.array(scores), target, n)
    assert found == pytest.approx(naive.loss(np.array(scores), target, False), abs=1e-9)
    assert log_loss.loss_of(True, np.array([scores[0]]), np.array([2.0]), 1) == pytest.approx(
        0.5 * (scores[0] - 2) ** 2
    )


def test_huge_scores_stay_probabilities():
    proba = np.zeros(3)
    log_loss.softmax(np.array([1e308, -1e308, 0.0]), 0, 3, 1.0, proba)
    assert proba.tolist() == [1.0, 0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_logistic_member_matches_the_twin(seed):
    rng = np.random.default_rng(seed)
    n = 5
    classes = 3
    weights = np.zeros((n, classes + 1), np.float32)
    projector = f32(10.0 * np.eye(n))
    p = 10.0 * np.eye(n)
    w = np.zeros((n, classes))
    k = np.zeros(n, np.float32)
    for _ in range(15):
        x = f32(rng.normal(size=n))
        target = np.eye(classes)[rng.integers(classes)]
        proba = naive.softmax(x @ w)
        q, _ = readout.gain(projector, n, x, 0, np.arange(n, dtype=np.int32), n, k)
        log_loss.learn_logistic(
            weights, projector, n, k, q, proba, target, classes, np.zeros(classes, np.float32)
        )
        p, w = naive.logistic_update(p, w, x.astype(float), proba, target)
        assert np.allclose(weights[:, :classes], w, atol=1e-3)
        assert np.allclose(projector, p, atol=1e-3)
    assert not np.any(weights[:, classes])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 5), SHARES)
def test_the_mixture_is_bayes_rule(seed, n_experts, n_classes, share):
    rng = np.random.default_rng(seed)
    experts = rng.dirichlet(np.ones(n_classes + 1), n_experts)
    evidence = np.zeros(n_experts)
    experts[0, 0] = 1e-12  # no expert is ruled out for ever
    prior = np.where(np.arange(n_experts) == n_experts - 1, FEW_ROWS, 0.0)
    expected = evidence.copy()
    proba = np.full(n_classes + 1, -1.0)
    says = np.zeros(n_experts)
    for n_seen, label in enumerate(rng.integers(0, n_classes, 5)):
        mixture.judge(evidence, experts, n_experts - 1, label, n_seen, share)
        expected = naive.judge(expected, experts, label, n_seen, share, prior)
    assert np.allclose(evidence, expected)
    mixture.mix(evidence, experts, n_classes, says, proba)
    mean = naive.mix(expected, experts)[:-1]
    assert np.allclose(proba[:-1], mean / mean.sum())
    assert np.allclose(says, naive.softmax(expected))
    assert proba[-1] == -1.0


def test_the_mixture_trusts_who_was_right_of_late():
    evidence = np.zeros(2)
    proba = np.zeros(2)
    says = np.zeros(2)
    experts = np.array([[0.9, 0.1], [0.5, 0.5]])
    for n_seen in range(100):
        mixture.judge(evidence, experts, -1, 0, n_seen, 1.0)
    mixture.mix(evidence, experts, 2, says, proba)
    assert proba[0] == pytest.approx(0.9, abs=1e-6)
    for n_seen in range(100, 160):
        mixture.judge(evidence, experts, -1, 1, n_seen, 1.0)
    mixture.mix(evidence, experts, 2, says, proba)
    assert proba[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("n_seen", [0, 5, 40])
def test_the_first_rows_count_less_with_every_row_after_them(n_seen):
    evidence = np.array([40.0, 0.0])
    experts = np.full((2, 2), 0.5)
    mixture.judge(evidence, experts, -1, 0, n_seen, 1.0)
    lead = evidence[0] - evidence[1]
    assert lead == pytest.approx(40.0 * (n_seen + 1) / (n_seen + 1 + mixture.EARLY))


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_no_probability_is_above_one_even_by_rounding(n_classes):
    draw = np.random.default_rng(n_classes)
    model = LOCOClassifier(seed=1)
    for _ in range(300):
        x = {"a": float(draw.normal() * 10.0 ** draw.integers(-2, 3)), "b": float(draw.normal())}
        proba = model.predict_proba_one(x).values()
        assert all(0.0 <= p <= 1.0 for p in proba)
        assert not proba or sum(proba) == pytest.approx(1.0, abs=1e-12)
        model.learn_one(x, int(draw.integers(0, n_classes)))
