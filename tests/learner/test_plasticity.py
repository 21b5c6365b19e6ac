from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner import hidden as spikes
from loco_stream.learner.arrays.state import DRIVE_POWER, GAIN
from loco_stream.learner.plasticity import credit, project, prototypes
from loco_stream.learner.plasticity import noise as perturb
from loco_stream.learner.plasticity import weight_bounds as restraint
from loco_stream.learner.readout import ensemble as bank
from tests.helpers import naive
from tests.helpers.doors import door, doors

credit = doors(credit)
perturb = doors(perturb)
project = doors(project)
prototypes = doors(prototypes)
restraint = doors(restraint)
settle_gains = door(spikes.settle_gains)
mirror_readout = door(bank.mirror_readout)

SEEDS = st.integers(0, 2**32 - 1)


def f32(values):
    return np.asarray(values, np.float32)


# Perturbation


def rounds(key, n_neurons, cluster_size, first=0, count=None, size=0.2):
    out = np.zeros((count or cluster_size, n_neurons), np.float32)
    for i, row in enumerate(out):
        perturb.draw_noise(key, first + i, n_neurons, cluster_size, size, row)
    return out


@pytest.mark.parametrize("cluster_size", [2, 16, 64, 128])
def test_a_round_covers_a_cluster_with_signed_columns_of_a_hadamard_matrix(cluster_size):
    n = 2 * cluster_size
    signs = rounds(7, cluster_size, cluster_size, first=3 * n, count=n) / np.float32(0.2)
    assert set(np.unique(signs)) <= {-1.0, 1.0}
    assert np.array_equal(signs.T @ signs, n * np.eye(cluster_size))
    assert not np.any(signs.sum(axis=0))  # no neuron keeps its sign
    found = {
        tuple(row) for row in signs * signs[0]
    }  # the product of two rows is a row: column signs cancel
    assert found == {tuple(row) for row in naive.hadamard(n)[:, 1 : cluster_size + 1]}


def test_a_neuron_by_itself_draws_each_sign():
    signs = rounds(7, 3, 1, count=4000) / np.float32(0.2)
    assert np.abs(signs.mean(axis=0)).max() < 0.06
    assert np.abs((signs[1:] * signs[:-1]).mean(axis=0)).max() < 0.06


def test_every_round_and_cluster_draws_its_own_signs_and_order():
    size = 32
    draws = rounds(7, 4 * size, size, count=40 * size) / np.float32(0.2)
    blocks = draws.reshape(20, 2 * size, 4, size)
    assert len({block.tobytes() for epoch in blocks for block in np.moveaxis(epoch, 1, 0)}) == 80
    correlation = draws.T @ draws / len(draws)
    assert np.allclose(correlation[:size, :size], np.eye(size))  # inside a cluster exactly none
    across = correlation[:size, size : 2 * size]
    assert abs(across.mean()) < 0.02
    assert across.std() < 3.0 / np.sqrt(len(draws))
    assert abs(draws.mean()) < 0.01


def test_a_short_last_cluster_gets_the_head_of_a_full_one():
    assert np.array_equal(rounds(1, 40, 16, count=16), rounds(1, 48, 16, count=16)[:, :40])


# Credit and feedback


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from([-1.0, 1.0]), st.integers(0, 6))
def test_feedback_and_credit_match_the_twins(seed, sign, n_learned):
    rng = np.random.default_rng(seed)
    n = 6
    classes = 3
    size = 0.3
    traces = f32(np.maximum(rng.normal(size=n), 0.0))
    noise = f32(size * rng.choice([-1, 1], n))
    feedback = f32(rng.normal(size=(n, classes)))
    change = rng.normal(size=classes)
    expected = naive.learn_feedback(
        feedback.astype(float), traces, sign * noise.astype(float), change, size, 1e-2, n_learned
    )
    before = feedback.copy()
    credit.learn_feedback(
        change.copy(), classes, sign, noise, traces, size, n, n_learned, 1e-2, feedback
    )
    assert np.allclose(feedback, expected, atol=1e-5)
    assert np.array_equal(feedback[n_learned:], before[n_learned:])
    assert np.array_equal(feedback[traces == 0], before[traces == 0])

    error = rng.normal(size=classes)
    out = np.full(n, 9, np.float32)
    expected = naive.learn_from_loss(
        feedback.astype(float),
        traces,
        sign * noise.astype(float),
        0.4,
        error,
        size,
        0.1,
        credit.LEAST_ERROR,
    )
    credit.learn_from_loss(0.4, error, classes, sign, noise, traces, size, n, 0.1, feedback)
    assert np.allclose(feedback, expected, atol=1e-5)

    credit.broadcast_error(error, classes, feedback, traces, n, out)
    assert np.allclose(out, (traces > 0) * (feedback @ error), atol=1e-5)

    out[:] = 1.0  # perturbed passes add up
    credit.credit_change(0.7, noise, size, traces, n, out)
    assert np.allclose(out, 1.0 + (traces > 0) * 0.7 * noise / size**2, rtol=1e-5)


def test_feedback_finds_the_derivative_of_the_outputs():
    rng = np.random.default_rng(3)
    n = 16
    classes = 2
    size = 0.2
    traces = f32(rng.uniform(0.3, 1, n))
    slope = rng.normal(size=(n, classes))
    feedback = np.zeros((n, classes), np.float32)
    noise = np.zeros(n, np.float32)
    for t in range(4000):
        perturb.draw_noise(5, t, n, 16, size, noise)
        credit.learn_feedback(
            noise @ slope, classes, 1.0, noise, traces, size, n, n, 1e-2, feedback
        )
    assert np.allclose(feedback, slope, atol=0.02)


def test_the_loss_alone_teaches_the_derivative_of_the_outputs():
    rng = np.random.default_rng(3)
    n = 16
    classes = 3
    size = 0.2
    traces = f32(rng.uniform(0.3, 1, n))
    slope = rng.normal(size=(n, classes))
    feedback = np.zeros((n, classes), np.float32)
    noise = np.zeros(n, np.float32)
    for t in range(20_000):
        perturb.draw_noise(5, t, n, 16, size, noise)
        error = rng.normal(size=classes)
        rise = noise @ slope @ error
        credit.learn_from_loss(rise, error, classes, 1.0, noise, traces, size, n, 0.03, feedback)
    assert np.allclose(feedback, slope, atol=0.02)


def test_a_pass_that_overflowed_teaches_nothing():
    feedback = f32(np.ones((3, 2)))
    ones = f32(np.ones(3))
    for bad in (math.nan, math.inf):
        credit.learn_feedback(np.array([0.0, bad]), 2, 1.0, ones, ones, 1.0, 3, 3, 0.1, feedback)
        credit.learn_from_loss(
            bad, np.array([0.5, -0.5]), 2, 1.0, ones, ones, 1.0, 3, 0.1, feedback
        )
    assert np.array_equal(feedback, np.ones((3, 2)))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 3))
def test_mirrored_feedback_takes_the_increments_of_the_readout(seed, first):
    rng = np.random.default_rng(seed)
    feedback = f32(rng.normal(size=(7, 4)))
    k = f32(rng.normal(size=9))
    increment = f32(rng.normal(size=3))
    expected = feedback.astype(float)
    expected[first : first + 4, :3] += 0.3 * np.outer(k[:4].astype(float), increment)
    mirror_readout(feedback, first, 4, k, np.float32(0.3), increment, 3)
    assert np.allclose(feedback, expected, atol=1e-5)


# The recursive projector


class Layer:
    """One layer's weights and projector amid strangers, and its float64 twin."""

    def __init__(self, rng, n, block, first=2, column=1, n_columns=3):
        self.n, self.block, self.first, self.column, self.n_columns = (
            n,
            block,
            first,
            column,
            n_columns,
        )
        self.weights = f32(rng.normal(size=(n + 1, 6)))
        self.projector = np.zeros((n + 1, block), np.float32)
        self.projector[np.arange(n), np.arange(n) % block] = 1.0
        self.projector[n] = 7.0
        self.w = self.weights[:n].astype(float)
        self.p = np.eye(n)

    def step(self, x, credit, rate, power, orthogonality, leak, gain=1.0):
        """Learn from an input; return what the kernel projected."""
        inputs = np.concatenate([np.full(self.first, np.nan, np.float32), f32(x)])
        rows = np.flatnonzero(x).astype(np.int32)
        h = np.full(self.n, np.nan, np.float32)
        square, energy = project.project(
            True, self.projector, inputs, self.first, self.n, rows, len(rows), h
        )
        assert square == pytest.approx(float(x @ x), rel=1e-6)
        assert energy == pytest.approx(float(x @ self.p @ x), rel=1e-3, abs=1e-5)
        project.change_blocks(
            self.weights,
            self.column,
            self.n_columns,
            True,
            self.projector,
            inputs,
            self.first,
            self.n,
            rows,
            len(rows),
            h,
            f32(credit),
            rate / (gain * (power + energy)),
            power,
            orthogonality,
            leak,
        )
        expected = self.p @ x
        own = slice(self.column, self.column + self.n_columns)
        self.w[:, own] = naive.change_weights(
            self.w[:, own], expected, credit, rate, gain, power, float(x @ expected), math.inf
        )
        self.p = naive.change_projector(self.p, x, self.block, power, orthogonality, leak)
        return h, expected

    def check(self):
        n_last = self.n % self.block or self.block
        np.testing.assert_allclose(
            naive.full(self.projector[: self.n], self.block), self.p, atol=1e-4
        )
        np.testing.assert_allclose(self.weights[: self.n], self.w, atol=1e-3)
        assert np.all(self.projector[self.n] == 7.0)
        assert not np.any(self.projector[self.n - n_last : self.n, n_last:])


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.integers(1, 13),
    st.integers(1, 15),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 3e-2]),
)
def test_the_recursive_projector_is_the_explicit_one_block_by_block(
    seed, n, block, orthogonality, leak
):
    rng = np.random.default_rng(seed)
    layer = Layer(rng, n, block)
    for _ in range(12):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.6)).astype(float)
        h, expected = layer.step(x, rng.normal(size=3), 0.3, 0.7, orthogonality, leak, gain=2.0)
        np.testing.assert_allclose(h, expected, atol=1e-4)
    layer.check()


def test_without_projection_the_step_goes_along_the_input():
    rng = np.random.default_rng(0)
    x = f32([0.5, 0.0, -2.0])
    weights = np.zeros((3, 2), np.float32)
    h = np.zeros(3, np.float32)
    p = f32(rng.normal(size=(3, 3)))
    rows = np.int32([0, 2])
    credit_ = f32([1.0, -1.0])
    before = p.copy()
    assert project.project(False, p, x, 0, 3, rows, 2, h) == (4.25, 4.25)
    assert np.array_equal(h, x)
    project.change_blocks(weights, 0, 2, False, p, x, 0, 3, rows, 2, h, credit_, 0.1, 1.0, 1.0, 0.1)
    assert np.allclose(weights, -0.1 * np.outer(x, credit_))
    assert np.array_equal(p, before)


def test_what_was_learned_often_is_left_alone():
    rng = np.random.default_rng(1)
    layer = Layer(rng, 20, 20)
    old = f32(rng.normal(size=(5, 20))).astype(float)
    for t in range(600):
        layer.step(old[t % 5], np.zeros(3), 0.1, 1.0, 1.0, 0.0)
    start = layer.weights.copy()
    for _ in range(100):
        h, _ = layer.step(
            f32(rng.normal(size=20)).astype(float), rng.normal(size=3), 1.0, 1.0, 1.0, 0.0
        )
        assert np.abs(old @ h).max() < 0.1  # orthogonal to the old inputs
    moved = (layer.weights - start)[:20]
    assert np.abs(moved).max() > 0.3
    assert np.abs(old @ moved).max() < 0.05


def test_with_a_leak_no_direction_is_closed_for_ever():
    rng = np.random.default_rng(1)
    layer = Layer(rng, 4, 4)
    for _ in range(300):
        layer.step(np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), 0.1, 1.0, 1.0, 1e-2)
    assert layer.projector[0, 0] < 0.2
    for _ in range(600):
        layer.step(np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(3), 0.1, 1.0, 1.0, 1e-2)
    assert layer.projector[0, 0] > 0.9
    assert np.all(np.linalg.eigvalsh(layer.projector[:4].astype(float)) > 0.0)


# Gains


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_gains_give_the_drives_their_target_size_and_then_stand(seed):
    rng = np.random.default_rng(seed)
    sizes = np.array([[3, 2], [0, 3]])
    gains = np.full((4, 2), 6.0)
    gains[DRIVE_POWER] = 0.0
    twins = [(0.0, 6.0)] * 2
    for t in range(20):
        drives = f32(rng.normal(size=6))
        settle_gains(sizes, gains, drives, 6.0, t)
        parts = (drives[:3], drives[3:5])
        twins = [naive.settle(*twin, part, t, 6.0) for twin, part in zip(twins, parts, strict=True)]
    assert np.allclose(gains[[DRIVE_POWER, GAIN]].T, twins)
    before = gains.copy()
    settle_gains(sizes, gains, drives, 6.0, int(spikes.SETTLE))
    assert np.array_equal(gains, before)


def test_a_silent_layer_keeps_its_gain():
    gains = np.full((4, 1), 6.0)
    gains[DRIVE_POWER] = 0.0
    settle_gains(np.array([[2], [0]]), gains, np.zeros(2, np.float32), 6.0, 0)
    assert gains[GAIN, 0] == 6.0
    settle_gains(np.array([[2], [0]]), gains, f32([1e-20, 0.0]), 6.0, 1)
    assert gains[GAIN, 0] == spikes.HIGHEST_GAIN


# Restraint


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 9), st.sampled_from([0.3, 0.5, 1.0]), st.sampled_from([0.1, 1.0, 4.0]))
def test_neurons_are_kept_within_bounds_one_after_the_other(seed, n_post, plastic, size):
    rng = np.random.default_rng(seed)
    first = n_post - math.ceil(plastic * n_post)
    ours = f32(size * (rng.normal(size=(5, n_post)) + rng.normal()))
    twin = ours.astype(float)
    for n_seen in range(3 * n_post):
        restraint.restrain(ours, 5, first, n_post, n_seen)
        twin = naive.restrained(twin, plastic, n_seen)
    np.testing.assert_allclose(ours, twin, rtol=1e-5, atol=1e-5)
    assert np.linalg.norm(ours[:, first:], axis=0).max() <= restraint.LONGEST * (1.0 + 1e-6)
    assert ours[:, first:].mean(axis=0).max() * math.sqrt(5) <= restraint.STEADY * (1.0 + 1e-5)


@given(SEEDS, st.integers(1, 9), st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_step_moves_no_drive_further_than_allowed(seed, n, size):
    rng = np.random.default_rng(seed)
    credit = f32(size * rng.normal(size=n))
    gain = rng.random() + 0.1
    energy = rng.random()
    wanted = 2.0 * gain * energy * float(np.abs(credit).max())
    for wide, farthest in ((False, restraint.FARTHEST), (True, restraint.FARTHEST_WIDE)):
        step = restraint.bounded_step(2.0, gain, energy, credit, wide)
        assert step == pytest.approx(2.0 * min(1.0, farthest / wanted))
        assert restraint.bounded_step(2.0, gain, energy, credit[:0], wide) == 2.0


def test_neurons_within_bounds_and_frozen_ones_are_left_alone():
    weights = f32(np.random.default_rng(0).normal(size=(4, 3)))
    weights -= weights.max(axis=0)  # held down
    before = weights.copy()
    for n_seen in range(3):
        restraint.restrain(weights, 4, 0, 3, n_seen)
    np.testing.assert_array_equal(weights, before)
    weights[:] = 9.0
    restraint.restrain(weights, 4, 3, 3, 0)  # none is plastic
    assert (weights == 9.0).all()


# Prototypes


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(2, 6), st.integers(1, 3), st.sampled_from([1e-3, 0.1, 1.0]))
def test_projection_is_the_explicit_one(seed, n_clusters, rank, ridge):
    rng = np.random.default_rng(seed)
    n_pre = 24
    column = 5
    rows = n_clusters * rank
    directions = f32(rng.normal(size=(rows + 2, column + n_pre)))
    x = f32(rng.normal(size=n_pre))
    inverse = np.zeros((rows + 2, rows + 2))
    workspace = np.zeros((3, rows + 2))
    cluster = int(rng.integers(n_clusters))
    out = x.copy()
    prototypes.refresh(n_pre, column, directions, rows, ridge, inverse)
    prototypes.project(x, n_pre, column, directions, rank, rows, inverse, cluster, workspace, out)
    expected = naive.project_trace(
        x.astype(float), directions[:rows, column:], rank, cluster, ridge
    )
    assert np.allclose(out, expected, atol=1e-4)


def test_a_hard_projection_is_orthogonal_to_the_others_and_keeps_its_own():
    rng = np.random.default_rng(0)
    directions = f32(rng.normal(size=(4, 50)))
    x = f32(rng.normal(size=50))
    inverse = np.zeros((4, 4))
    workspace = np.zeros((3, 4))
    out = x.copy()
    prototypes.refresh(50, 0, directions, 4, 1e-9, inverse)
    prototypes.project(x, 50, 0, directions, 1, 4, inverse, 2, workspace, out)
    overlap = directions @ out
    assert np.all(np.abs(overlap[[0, 1, 3]]) < 1e-3)
    assert abs(overlap[2]) > 0.1


def test_one_cluster_alone_takes_nothing_away():
    x = f32([1.0, 2.0, 3.0])
    inverse = np.zeros((1, 1))
    out = x.copy()
    prototypes.refresh(3, 0, x[None], 1, 0.1, inverse)
    prototypes.project(x, 3, 0, x[None], 1, 1, inverse, 0, np.zeros((3, 1)), out)
    assert np.array_equal(out, x)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(1, 2))
def test_choice_of_cluster_matches_the_twin(seed, n_used, rank):
    rng = np.random.default_rng(seed)
    directions = f32(rng.normal(size=(4 * rank, 3 + 4)))
    x = f32(rng.normal(size=4)) * (seed % 5 != 0)
    means = directions[: n_used * rank : rank, 3:].astype(float)
    chosen = prototypes.choose_cluster(x, 4, 3, directions, rank, n_used, 4)
    assert chosen == naive.choose_cluster(x.astype(float), means, 4)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_directions_match_the_twin(seed, rank):
    rng = np.random.default_rng(seed)
    directions = f32(rng.normal(size=(3 * rank, 2 + 8)))
    x = f32(rng.normal(size=8))
    before = directions.copy()
    prototypes.learn_directions(x, 8, 2, directions, rank, 1, 0.1, np.zeros(8, np.float32))
    mine = slice(rank, 2 * rank)
    assert np.allclose(
        directions[mine, 2:], naive.learn_directions(x, before[mine, 2:], 0.1), atol=1e-5
    )
    directions[mine, 2:] = before[mine, 2:]
    assert np.array_equal(directions, before)  # nobody else's rows were touched
