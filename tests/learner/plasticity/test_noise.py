from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.plasticity import noise
from tests.helpers import naive
from tests.helpers.jitted import jitted

SIZE = 0.2

draw_noise = jitted(noise.draw_noise)


def signs(key, n_neurons, cluster_size, first=0, count=None):
    """Draw perturbations; return their signs, (perturbations, neurons)."""
    out = np.zeros((count or cluster_size, n_neurons), np.float32)
    for i, row in enumerate(out):
        draw_noise(key, first + i, n_neurons, cluster_size, SIZE, row)
    return out / np.float32(SIZE)


@pytest.mark.parametrize("cluster_size", [2, 16, 64, 128])
def test_a_round_covers_a_cluster_with_signed_columns_of_a_hadamard_matrix(cluster_size):
    n = 2 * cluster_size
    drawn = signs(7, cluster_size, cluster_size, first=3 * n, count=n)
    assert set(np.unique(drawn)) <= {-1.0, 1.0}
    assert np.array_equal(drawn.T @ drawn, n * np.eye(cluster_size))
    assert not np.any(drawn.sum(axis=0))  # no neuron keeps its sign
    # The product of two rows is a row: column signs cancel.
    rows = {tuple(row) for row in drawn * drawn[0]}
    assert rows == {tuple(row) for row in naive.hadamard(n)[:, 1 : cluster_size + 1]}


def test_in_a_cluster_of_one_each_sign_is_drawn_by_itself():
    drawn = signs(7, 3, 1, count=4000)
    assert np.abs(drawn.mean(axis=0)).max() < 0.06
    assert np.abs((drawn[1:] * drawn[:-1]).mean(axis=0)).max() < 0.06


def test_every_round_and_cluster_draws_its_own_signs_and_order():
    size = 32
    draws = signs(7, 4 * size, size, count=40 * size)
    blocks = draws.reshape(20, 2 * size, 4, size)
    assert len({block.tobytes() for epoch in blocks for block in np.moveaxis(epoch, 1, 0)}) == 80
    correlation = draws.T @ draws / len(draws)
    assert np.allclose(correlation[:size, :size], np.eye(size))  # exactly none inside a cluster
    across = correlation[:size, size : 2 * size]
    assert abs(across.mean()) < 0.02
    assert across.std() < 3.0 / np.sqrt(len(draws))
    assert abs(draws.mean()) < 0.01


def test_a_short_last_cluster_equals_the_head_of_a_full_one():
    assert np.array_equal(signs(1, 40, 16, count=16), signs(1, 48, 16, count=16)[:, :40])
