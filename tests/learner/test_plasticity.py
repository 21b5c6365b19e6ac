from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner.plasticity import credit, perturb, project
from loco_stream.learner.plasticity import weights as update
from tests.helpers import naive
from tests.helpers.doors import doors

credit = doors(credit)
perturb = doors(perturb)
project = doors(project)
update = doors(update)

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
    found = {tuple(row) for row in signs * signs[0]}  # the product of two rows is a row: column signs cancel
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
@given(SEEDS, st.sampled_from([-1.0, 1.0]))
def test_feedback_and_credit_match_the_twins(seed, sign):
    rng = np.random.default_rng(seed)
    n, classes, size = 6, 3, 0.3
    h, noise = f32(rng.uniform(0, 1, n)), f32(size * rng.choice([-1, 1], n))
    feedback, change = f32(rng.normal(size=(n, classes))), rng.normal(size=classes)
    expected = naive.learn_feedback(
        feedback.astype(float), h.astype(float), noise.astype(float), change, size, 1e-2, sign
    )
    credit.learn_feedback(change.copy(), classes, sign, noise, h, size, n, 1e-2, feedback)
    assert np.allclose(feedback, expected, atol=1e-5)

    error, out = rng.normal(size=classes), np.zeros(n, np.float32)
    credit.credit_learned(error, classes, h, feedback, n, out)
    assert np.allclose(out, h * (feedback @ error), atol=1e-5)

    out[:] = 1.0  # perturbed passes add up
    credit.credit_perturbation(0.7, noise, size, n, out)
    assert np.allclose(out, 1.0 + 0.7 * noise / size**2, rtol=1e-5)


def test_feedback_finds_the_derivative_of_the_outputs():
    rng = np.random.default_rng(3)
    n, classes, size = 16, 2, 0.2
    h, slope = f32(rng.uniform(0.3, 1, n)), rng.normal(size=(n, classes))
    feedback, noise = np.zeros((n, classes), np.float32), np.zeros(n, np.float32)
    for t in range(4000):
        perturb.draw_noise(5, t, n, 16, size, noise)
        credit.learn_feedback(noise @ slope, classes, 1.0, noise, h, size, n, 1e-2, feedback)
    assert np.allclose(h[:, None] * feedback, slope, atol=0.02)


# Projection


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(2, 6), st.integers(1, 3), st.sampled_from([1e-3, 0.1, 1.0]))
def test_projection_is_the_explicit_one(seed, n_clusters, rank, ridge):
    rng = np.random.default_rng(seed)
    n_pre, column, rows = 24, 5, n_clusters * rank
    directions = f32(rng.normal(size=(rows + 2, column + n_pre)))
    x, inverse, workspace = f32(rng.normal(size=n_pre)), np.zeros((rows + 2, rows + 2)), np.zeros((3, rows + 2))
    cluster = int(rng.integers(n_clusters))
    out = x.copy()
    project.refresh(n_pre, column, directions, rows, ridge, inverse)
    project.project(x, n_pre, column, directions, rank, rows, inverse, cluster, workspace, out)
    expected = naive.project_trace(x.astype(float), directions[:rows, column:], rank, cluster, ridge)
    assert np.allclose(out, expected, atol=1e-4)


def test_a_hard_projection_is_orthogonal_to_the_others_and_keeps_its_own():
    rng = np.random.default_rng(0)
    directions, x = f32(rng.normal(size=(4, 50))), f32(rng.normal(size=50))
    inverse, workspace, out = np.zeros((4, 4)), np.zeros((3, 4)), x.copy()
    project.refresh(50, 0, directions, 4, 1e-9, inverse)
    project.project(x, 50, 0, directions, 1, 4, inverse, 2, workspace, out)
    overlap = directions @ out
    assert np.all(np.abs(overlap[[0, 1, 3]]) < 1e-3)
    assert abs(overlap[2]) > 0.1


def test_one_cluster_alone_takes_nothing_away():
    x = f32([1.0, 2.0, 3.0])
    inverse, out = np.zeros((1, 1)), x.copy()
    project.refresh(3, 0, x[None], 1, 0.1, inverse)
    project.project(x, 3, 0, x[None], 1, 1, inverse, 0, np.zeros((3, 1)), out)
    assert np.array_equal(out, x)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(1, 2))
def test_choice_of_cluster_matches_the_twin(seed, n_used, rank):
    rng = np.random.default_rng(seed)
    directions = f32(rng.normal(size=(4 * rank, 3 + 4)))
    x = f32(rng.normal(size=4)) * (seed % 5 != 0)
    means = directions[: n_used * rank : rank, 3:].astype(float)
    chosen = project.choose_cluster(x, 4, 3, directions, rank, n_used, 4)
    assert chosen == naive.choose_cluster(x.astype(float), means, 4)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_directions_match_the_twin(seed, rank):
    rng = np.random.default_rng(seed)
    directions, x = f32(rng.normal(size=(3 * rank, 2 + 8))), f32(rng.normal(size=8))
    before = directions.copy()
    project.learn_directions(x, 8, 2, directions, rank, 1, 0.1, np.zeros(8, np.float32))
    mine = slice(rank, 2 * rank)
    assert np.allclose(directions[mine, 2:], naive.learn_directions(x, before[mine, 2:], 0.1), atol=1e-5)
    directions[mine, 2:] = before[mine, 2:]
    assert np.array_equal(directions, before)  # nobody else's rows were touched


# Update


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.1, 10.0]))
def test_update_matches_the_twin_with_the_limit_applied_by_the_next_step(seed, rate):
    rng = np.random.default_rng(seed)
    n_pre, n_post, offset = 5, 4, 7
    weights = f32(rng.normal(size=offset + n_pre * n_post + 3))
    around = weights.copy()
    w = weights[offset : offset + n_pre * n_post].reshape(n_pre, n_post)
    limit, factor, workspace = f32(np.full(n_post, 2.5)), np.ones(n_post, np.float32), np.zeros(n_post, np.float32)
    expected = w.astype(float)
    for _ in range(5):
        x, c = f32(rng.normal(size=n_pre)), f32(rng.normal(size=n_post))
        expected = naive.update_weights(expected, x.astype(float), c.astype(float), rate, limit)
        update.update_weights(weights, offset, n_pre, n_post, x, c, rate, limit, factor, workspace)
        assert np.allclose(w * factor, expected, rtol=1e-4, atol=1e-4)
    assert np.all(np.linalg.norm(w * factor, axis=0) <= limit * (1 + 1e-5))
    assert np.array_equal(weights[:offset], around[:offset])
    assert np.array_equal(weights[-3:], around[-3:])


def test_thresholds_settle_where_neurons_fire_at_the_target_rate():
    rng = np.random.default_rng(0)
    drive, threshold = f32([0.5, 1.0, 2.0]), np.ones(3, np.float32)
    fired = []
    for _ in range(20000):
        now = f32(np.maximum(rng.normal(size=3) * drive - threshold, 0.0))
        expected = naive.adapt_thresholds(threshold.astype(float), now, 5e-3)
        update.adapt_thresholds(now, 3, 5e-3, threshold)
        assert np.allclose(threshold, expected, atol=1e-6)
        fired.append(now > 0)
    assert np.allclose(np.mean(fired[10000:], axis=0), update.TARGET_RATE, atol=0.02)
