"""Projection by input clusters, as in the LOCO paper: kept for comparison.

Each cluster keeps `rank` directions per layer: its mean input, then residual directions. With the
directions of all clusters as columns of C, the projected input is what a ridge regression on the
columns of the other clusters leaves over (orthogonal weight modification, Zeng et al. 2019, with
clusters in place of single earlier inputs). Cost is O(inputs * clusters * rank).

Inputs of all layers stand in one vector: the traces of the hidden layers but the last, then the
input channels.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Record, axes, record
from loco_stream._learner.plasticity.projections._definition import Projection
from loco_stream._learner.plasticity.projections.none import change_dense

POSITION = 2  # in `PROJECTIONS`
RECRUIT_BELOW = 0.6  # cosine with the nearest mean below which an input founds a cluster
MIN_RATE = 0.01  # learning rate of a cluster's directions
SWEEPS = 1000  # over a cluster's own directions; nearly parallel ones need many, others a few
REFRESH = 50  # rows between two inversions of the Gram matrix


class State(NamedTuple):
    """Input clusters.

    directions: of each cluster, mean first
    sizes: rows that each has seen
    inverse_gram: per layer, of all directions
    """

    directions: Annotated[Float32, axes("clusters*rank", "all_layer_inputs", within=(-1e6, 1e6))]
    sizes: Annotated[Float64, axes("clusters")]
    inverse_gram: Annotated[
        Float64,
        axes("clustered_layers", "clusters*rank", "clusters*rank", within=(-1e10, 1e10)),
    ]  # its ridge is at least 1e-9


class Scratch(NamedTuple):
    """Working arrays.

    cluster: number of the row's cluster, -1 for a silent row
    coefficients: of the regression
    residual: what the mean leaves over
    """

    row: Annotated[Record, record(np.int64, cluster=-1)]
    coefficients: Annotated[Float64, axes(3, "clusters*rank")]
    residual: Annotated[Float32, axes("longest_input")]


@kernel
def _dot(a, b, n):
    """Return a[:n] . b[:n] of float32 vectors in float64, summed in four lanes.

    With one lane each step would wait for the one before.
    """
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        s0 += np.float64(a[j]) * b[j]
        s1 += np.float64(a[j + 1]) * b[j + 1]
        s2 += np.float64(a[j + 2]) * b[j + 2]
        s3 += np.float64(a[j + 3]) * b[j + 3]
    for j in range(whole, n):
        s0 += np.float64(a[j]) * b[j]
    return (s0 + s1) + (s2 + s3)


@kernel
def choose_cluster(x, column, directions, rank, n_used):
    """Return the cluster of an input, `n_used` if it founds one, -1 for a silent input.

    Parameters
    ----------
    x
        (inputs,) float32.
    column
        int64: where the inputs begin in a row of `directions`.
    directions
        (clusters * rank, all inputs) float32.
    rank, n_used
        int64: directions per cluster, and clusters in use.
    """
    n = len(x)
    n_clusters = len(directions) // rank
    norm = _dot(x, x, n)
    if norm == 0.0:
        return -1
    best = -1
    best_cosine = -2.0
    for k in range(n_used):
        mean = directions[k * rank, column : column + n]
        dot = _dot(x, mean, n)
        length = _dot(mean, mean, n)
        cosine = dot / math.sqrt(norm * length) if length > 0.0 else -1.0
        if cosine > best_cosine:
            best = k
            best_cosine = cosine
    return n_used if best_cosine < RECRUIT_BELOW and n_used < n_clusters else best


@kernel
def learn_directions(x, column, directions, first, rank, rate, residual):
    """Move a cluster's mean towards an input, and its other directions towards what that leaves.

    Direction r > 0 follows sign(row . residual) * residual, the direction of the largest mean
    absolute deviation.

    Parameters
    ----------
    x
        (inputs,) float32.
    column
        int64: where the inputs begin in a row of `directions`.
    directions
        (clusters * rank, all inputs) float32.
    first, rank
        int64: the cluster's first row, and number of rows.
    rate
        float64 learning rate.
    residual
        (inputs or more,) float32, overwritten.
    """
    n = len(x)
    step = np.float32(rate)
    mean = directions[first, column : column + n]
    for j in range(n):
        mean[j] += step * (x[j] - mean[j])
    if rank == 1:
        return
    for j in range(n):
        residual[j] = x[j] - mean[j]
    for r in range(1, rank):
        row = directions[first + r, column : column + n]
        dot = 0.0
        length = 0.0
        for j in range(n):
            dot += np.float64(row[j]) * residual[j]
            length += np.float64(row[j]) * row[j]
        sign = np.float32(1.0 if dot >= 0.0 else -1.0)
        share = np.float32(dot / length if length > 1e-12 else 0.0)
        for j in range(n):
            old = row[j]
            row[j] = old + step * (sign * residual[j] - old)
            residual[j] -= share * old


@kernel
def refresh(n_inputs, column, directions, n_rows, ridge, inverse):
    """Write the inverse of C'C + ridge * (mean squared norm) * I (Gauss-Jordan).

    Parameters
    ----------
    n_inputs, column
        int64: the layer's inputs, and where they begin in a row of `directions`.
    directions
        (clusters * rank, all inputs) float32.
    n_rows
        int64: directions in use.
    ridge
        float64.
    inverse
        (n_rows or more, n_rows or more) float64, written.
    """
    trace = 0.0
    for a in range(n_rows):
        for b in range(a + 1):
            dot = _dot(directions[a, column:], directions[b, column:], n_inputs)
            inverse[a, b] = dot
            inverse[b, a] = dot
        trace += inverse[a, a]
    floor = ridge * trace / n_rows + 1e-9
    for a in range(n_rows):
        inverse[a, a] += floor
    for p in range(n_rows):
        _eliminate(inverse, p, n_rows)


@kernel
def _eliminate(inverse, p, n_rows):
    """Do the Gauss-Jordan step of pivot `p` in place."""
    pivot = 1.0 / inverse[p, p]
    inverse[p, p] = 1.0
    for b in range(n_rows):
        inverse[p, b] *= pivot
    for a in range(n_rows):
        if a != p:
            factor = inverse[a, p]
            inverse[a, p] = 0.0
            for b in range(n_rows):
                inverse[a, b] -= factor * inverse[p, b]


@kernel
def remove_other_clusters(layer, column, clusters, span, coefficients, out):
    """Remove the part of a layer's input in the directions of other clusters from `out`.

    The regression on the others alone follows from the inverse over all rows: with b the block of
    this cluster, c_others = c - G[:, b] (G[b, b])^-1 c[b].

    Parameters
    ----------
    layer
        `LayerInput`.
    column
        int64: where its inputs begin in a row of the directions.
    clusters
        `State`.
    span
        (first row, rank, rows in use) of the cluster, int64.
    coefficients
        (3, rows) float64 working memory.
    out
        (inputs or more,) float32: a copy of the input.
    """
    first, rank, n_rows = span
    x = layer.values[layer.first : layer.first + layer.size]
    directions = clusters.directions
    inverse = clusters.inverse_gram[layer.index]
    right = coefficients[0]
    c = coefficients[1]
    for a in range(n_rows):
        right[a] = _dot(directions[a, column:], x, layer.size)
    for a in range(n_rows):
        total = 0.0
        for b in range(n_rows):
            total += inverse[a, b] * right[b]
        c[a] = total
    removed = coefficients[2]
    _solve_block(inverse, first, rank, c, removed)
    for a in range(n_rows):
        for r in range(rank):
            c[a] -= inverse[a, first + r] * removed[r]
    for a in range(n_rows):
        if first <= a < first + rank:
            continue
        row = directions[a, column : column + layer.size]
        weight = np.float32(c[a])
        for j in range(layer.size):
            out[j] -= weight * row[j]


@kernel
def _solve_block(inverse, first, rank, c, removed):
    """Solve G[b, b] removed = c[b] for the block b of one cluster.

    By Gauss-Seidel, which is exact in one pass for rank 1.
    """
    for r in range(rank):
        removed[r] = 0.0
    for _ in range(1 if rank == 1 else SWEEPS):
        moved = 0.0
        size = 0.0
        for r in range(rank):
            left = c[first + r]
            for s in range(rank):
                if s != r:
                    left -= inverse[first + r, first + s] * removed[s]
            new = left / inverse[first + r, first + r]
            moved += abs(new - removed[r])
            size += abs(new)
            removed[r] = new
        if moved <= 1e-6 * size:
            break


@kernel
def prepare(settings, state, scratch):
    """Choose the row's cluster, founded if need be; -1 for a silent row."""
    counts = state.counts
    clusters = state.projections.clusters
    n_channels = counts.n_features * settings.n_fields
    column = settings.n_hidden - settings.n_last
    channels = scratch.code.channels[:n_channels]
    cluster = choose_cluster(
        channels, column, clusters.directions, settings.rank, counts.n_clusters
    )
    scratch.projections.clusters.row.cluster = cluster
    if cluster < 0:
        return
    if cluster == counts.n_clusters:
        counts.n_clusters += 1
        mean = clusters.directions[cluster * settings.rank]
        for j in range(column):
            mean[j] = scratch.clean.traces[j]
        for j in range(n_channels):
            mean[column + j] = channels[j]
    clusters.sizes[cluster] += 1.0


@kernel
def project(settings, state, scratch, layer):
    """Write the input less its part in other clusters, and learn the row's own directions.

    Return (x'x, x'h).
    """
    clusters = state.projections.clusters
    work = scratch.projections.clusters
    projected = scratch.layer.projected
    x = layer.values[layer.first : layer.first + layer.size]
    column = settings.n_hidden - settings.n_last if layer.index == 0 else layer.first
    for j in range(layer.size):
        projected[j] = x[j]
    cluster = work.row.cluster
    first = cluster * settings.rank
    if cluster >= 0:
        n_rows = state.counts.n_clusters * settings.rank
        if clusters.sizes[cluster] == 1.0 or state.counts.n_seen % REFRESH == 0:
            inverse = clusters.inverse_gram[layer.index]
            refresh(layer.size, column, clusters.directions, n_rows, settings.ridge, inverse)
        span = (first, settings.rank, n_rows)
        remove_other_clusters(layer, column, clusters, span, work.coefficients, projected)
    square = 0.0
    energy = 0.0
    for j in range(layer.size):
        square += np.float64(x[j]) * x[j]
        energy += np.float64(x[j]) * projected[j]
    if cluster >= 0:
        rate = max(MIN_RATE, 1.0 / clusters.sizes[cluster])
        learn_directions(x, column, clusters.directions, first, settings.rank, rate, work.residual)
    return square, energy


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the clusters; none where they are not in force."""
    in_force = settings.projection == POSITION
    channels = n_features * layout.n_fields
    return {
        "clusters": settings.n_clusters if in_force else 0,
        "rank": settings.rank,
        "clustered_layers": settings.n_layers,
        "all_layer_inputs": settings.n_hidden - settings.n_last + channels if in_force else 0,
    }


PROJECTION = Projection(
    "clusters",
    project,
    change_dense,
    prepare=prepare,
    state=State,
    scratch=Scratch,
    lengths=lengths,
)
