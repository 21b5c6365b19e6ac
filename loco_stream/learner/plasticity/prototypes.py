"""Input clusters, and the part of a trace that is orthogonal to the other clusters.

Each cluster keeps `rank` direction rows a layer: its mean trace, then residual directions. With
the rows of all clusters as columns of C, the projected trace is what a ridge regression on the
other clusters' columns leaves over (algorithm of orthogonal weight modification, Zeng et al.
2019, with clusters in place of single past inputs). Cost is O(n_pre * clusters * rank).
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel

__all__ = ["choose_cluster", "learn_directions", "project", "refresh"]

RECRUIT_BELOW = 0.6  # cosine with the nearest mean under which an input founds a new cluster
SLOWEST = 0.01  # least learning rate of a cluster's directions
SWEEPS = 1000  # most passes over a cluster's own rows; nearly parallel rows need many, others a few
REFRESH = 50  # samples between two inversions of the Gram matrix


@kernel
def _dot(a, b, n):
    """Return a[:n] .

    b[:n] in float64, summed in four lanes: one alone would wait for itself at every step.
    """
    s0 = s1 = s2 = s3 = 0.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        s0 += np.float64(a[j]) * np.float64(b[j])
        s1 += np.float64(a[j + 1]) * np.float64(b[j + 1])
        s2 += np.float64(a[j + 2]) * np.float64(b[j + 2])
        s3 += np.float64(a[j + 3]) * np.float64(b[j + 3])
    for j in range(whole, n):
        s0 += np.float64(a[j]) * np.float64(b[j])
    return (s0 + s1) + (s2 + s3)


@kernel
def choose_cluster(trace, n_pre, column, directions, rank, n_used, n_clusters):
    """Return the cluster of an input trace, `n_used` if it founds a new one, -1 for a silent input."""
    norm = _dot(trace, trace, n_pre)
    if norm == 0.0:
        return -1
    best = -1
    best_cosine = -2.0
    for k in range(n_used):
        mean = directions[k * rank, column : column + n_pre]
        dot = _dot(trace, mean, n_pre)
        length = _dot(mean, mean, n_pre)
        cosine = dot / math.sqrt(norm * length) if length > 0.0 else -1.0
        if cosine > best_cosine:
            best = k
            best_cosine = cosine
    return n_used if best_cosine < RECRUIT_BELOW and n_used < n_clusters else best


@kernel
def learn_directions(trace, n_pre, column, directions, rank, cluster, rate, rest):
    """Move the cluster's rows at this layer.

    The mean towards the trace, the others towards what it leaves over.

    Row r > 0 follows sign(row . rest) * rest, the direction of largest mean absolute deviation.
    """
    step = np.float32(rate)
    mean = directions[cluster * rank, column : column + n_pre]
    for j in range(n_pre):
        mean[j] += step * (trace[j] - mean[j])
    if rank == 1:
        return
    for j in range(n_pre):
        rest[j] = trace[j] - mean[j]
    for r in range(1, rank):
        row = directions[cluster * rank + r, column : column + n_pre]
        dot = 0.0
        length = 0.0
        for j in range(n_pre):
            dot += np.float64(row[j]) * np.float64(rest[j])
            length += np.float64(row[j]) * np.float64(row[j])
        sign = np.float32(1.0 if dot >= 0.0 else -1.0)
        share = np.float32(dot / length if length > 1e-12 else 0.0)
        for j in range(n_pre):
            old = row[j]
            row[j] = old + step * (sign * rest[j] - old)
            rest[j] -= share * old


@kernel
def refresh(n_pre, column, directions, n_rows, ridge, inverse):
    """Write the inverse of C'C + ridge * (mean squared norm) * I into `inverse[:n_rows, :n_rows]` (Gauss-Jordan)."""
    trace = 0.0
    for a in range(n_rows):
        for b in range(a + 1):
            dot = _dot(directions[a, column:], directions[b, column:], n_pre)
            inverse[a, b] = dot
            inverse[b, a] = dot
        trace += inverse[a, a]
    floor = ridge * trace / n_rows + 1e-9
    for a in range(n_rows):
        inverse[a, a] += floor
    for p in range(n_rows):
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
def project(trace, n_pre, column, directions, rank, n_rows, inverse, cluster, coefficients, out):
    """Take the trace's part in the other clusters' rows away from `out[:n_pre]`, a copy of the trace.

    The regression on the others only is had from the inverse over all rows: with b the block of
    this cluster, c_others = c - G[:, b] (G[b, b])^-1 c[b]. `coefficients` is (3, rows) working
    memory.
    """
    right = coefficients[0]
    c = coefficients[1]
    removed = coefficients[2]
    for a in range(n_rows):
        right[a] = _dot(directions[a, column:], trace, n_pre)
    for a in range(n_rows):
        total = 0.0
        for b in range(n_rows):
            total += inverse[a, b] * right[b]
        c[a] = total
    first = cluster * rank
    for r in range(
        rank
    ):  # remove the cluster's own rows one by one (a sweep of G restricted to the block)
        removed[r] = 0.0
    for _ in range(
        1 if rank == 1 else SWEEPS
    ):  # Gauss-Seidel on the small block; exact in one pass for rank 1
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
    for a in range(n_rows):
        for r in range(rank):
            c[a] -= inverse[a, first + r] * removed[r]
    for a in range(n_rows):
        if first <= a < first + rank:
            continue
        row = directions[a, column : column + n_pre]
        weight = np.float32(c[a])
        for j in range(n_pre):
            out[j] -= weight * row[j]
