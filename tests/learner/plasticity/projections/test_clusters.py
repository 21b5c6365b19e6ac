"""The projection by input clusters against explicit matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.plasticity.projections import LayerInput, clusters
from tests.helpers import naive
from tests.helpers.jitted import jitted_module

SEEDS = st.integers(0, 2**32 - 1)
State = clusters.State

clusters = jitted_module(clusters)


def f32(values):
    return np.asarray(values, np.float32)


def projected(x, column, directions, n_rows, ridge, rank, cluster):
    """Return an input of the first layer without its part in other clusters."""
    n = len(x)
    n_directions = len(directions)
    state = State(directions, np.zeros(0), np.zeros((1, n_directions, n_directions)))
    clusters.refresh(n, column, directions, n_rows, ridge, state.inverse_gram[0])
    layer = LayerInput(0, np.zeros((n, 1), np.float32), x, 0, n, np.zeros(0, np.int32), 0)
    out = x.copy()
    work = np.zeros((3, n_directions))
    clusters.remove_other_clusters(layer, column, state, (cluster * rank, rank, n_rows), work, out)
    return out


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(2, 6), st.integers(1, 3), st.sampled_from([1e-3, 0.1, 1.0]))
def test_the_projection_equals_the_explicit_one(seed, n_clusters, rank, ridge):
    rng = np.random.default_rng(seed)
    column = 5
    n_rows = n_clusters * rank
    directions = f32(rng.normal(size=(n_rows + 2, column + 24)))
    x = f32(rng.normal(size=24))
    cluster = int(rng.integers(n_clusters))
    found = projected(x, column, directions, n_rows, ridge, rank, cluster)
    own = directions[:n_rows, column:]
    expected = naive.remove_other_clusters(x.astype(float), own, rank, cluster, ridge)
    assert np.allclose(found, expected, atol=1e-4)


def test_without_ridge_the_projection_is_orthogonal_to_the_other_clusters_alone():
    rng = np.random.default_rng(0)
    directions = f32(rng.normal(size=(4, 50)))
    x = f32(rng.normal(size=50))
    overlap = directions @ projected(x, 0, directions, 4, 1e-9, 1, 2)
    assert np.all(np.abs(overlap[[0, 1, 3]]) < 1e-3)
    assert abs(overlap[2]) > 0.1


def test_a_single_cluster_removes_nothing():
    x = f32([1.0, 2.0, 3.0])
    assert np.array_equal(projected(x, 0, x[None], 1, 0.1, 1, 0), x)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(1, 2))
def test_the_choice_of_a_cluster_equals_the_twin(seed, n_used, rank):
    rng = np.random.default_rng(seed)
    directions = f32(rng.normal(size=(4 * rank, 3 + 4)))
    x = f32(rng.normal(size=4)) * np.float32(seed % 5 != 0)
    means = directions[: n_used * rank : rank, 3:].astype(float)
    chosen = clusters.choose_cluster(x, 3, directions, rank, n_used)
    assert chosen == naive.choose_cluster(x.astype(float), means, 4)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_directions_equal_the_twin(seed, rank):
    rng = np.random.default_rng(seed)
    directions = f32(rng.normal(size=(3 * rank, 2 + 8)))
    x = f32(rng.normal(size=8))
    before = directions.copy()
    clusters.learn_directions(x, 2, directions, rank, rank, 0.1, np.zeros(8, np.float32))
    own = slice(rank, 2 * rank)
    expected = naive.learn_directions(x, before[own, 2:], 0.1)
    assert np.allclose(directions[own, 2:], expected, atol=1e-5)
    directions[own, 2:] = before[own, 2:]
    assert np.array_equal(directions, before)  # other clusters' rows stay
