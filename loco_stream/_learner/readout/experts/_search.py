"""Search for the nearest of many points, and their votes."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64, Int32, Int64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import axes

NEAREST = 7  # points that vote
FEW = 3  # of the nearest, which vote apart
CHUNK = 64  # points that are passed over at once where none is near
SOFTNESS = 0.05  # share of the furthest distance added to all, so that a twin does not vote alone
MIN_SHARE = 0.02  # of the votes, granted to every class


class Search(NamedTuple):
    """Working arrays of a search.

    columns, values, scales: the features that count, the row's values, and factors of differences
    distances: squared, of all points
    near, places: distances and positions of the nearest points, ascending
    votes: weight of each
    """

    columns: Annotated[Int32, axes("features")]
    values: Annotated[Float32, axes("features")]
    scales: Annotated[Float32, axes("features")]
    distances: Annotated[Float32, axes("searched")]
    near: Annotated[Float32, axes(NEAREST)]
    places: Annotated[Int64, axes(NEAREST)]
    votes: Annotated[Float64, axes(NEAREST)]


@kernel
def write_distances(points, n_points, search, n_columns):
    """Write the squared distance of the first points from a row, over some of its features.

    Parameters
    ----------
    points
        (features, points) float32.
    n_points, n_columns
        int64: points, and features in `search.columns`.
    search
        `Search`.
    """
    total = search.distances
    for i in range(n_points):
        total[i] = 0.0
    for k in range(n_columns):
        value = search.values[k]
        factor = search.scales[k]
        row = points[search.columns[k]]
        for i in range(n_points):
            difference = factor * (row[i] - value)
            total[i] += difference * difference


@kernel
def clear(near):
    """Forget the nearest points found so far; `near` is float32."""
    for j in range(len(near)):
        near[j] = math.inf


@kernel
def nearest(search, first, last):
    """Take points `first` to `last - 1` (int64) into the nearest of a `Search` so far.

    Of equal distances the one that came first stays.
    """
    total = search.distances
    near = search.near
    worst = len(near) - 1
    for start in range(first, last, CHUNK):
        stop = min(start + CHUNK, last)
        hits = 0
        for i in range(start, stop):
            hits += total[i] < near[worst]
        if hits == 0:
            continue
        for i in range(start, stop):
            if total[i] < near[worst]:
                _insert(near, search.places, total[i], i)


@kernel
def _insert(near, places, distance, i):
    """Put point `i` among the nearest, in ascending order, for the furthest of them."""
    j = len(near) - 1
    while j > 0 and near[j - 1] > distance:
        near[j] = near[j - 1]
        places[j] = places[j - 1]
        j -= 1
    near[j] = distance
    places[j] = i


@kernel
def vote_weights(near, votes):
    """Write the weight of each of the nearest; return how many there are.

    `near` is float32 and ascending, infinite where there is none; `votes` is float64.
    """
    n = 0
    while n < len(near) and near[n] < np.float32(math.inf):
        n += 1
    for j in range(n):
        furthest = np.float64(near[n - 1])
        if furthest > 0.0:
            votes[j] = furthest / (np.float64(near[j]) + SOFTNESS * furthest)
        else:
            votes[j] = 1.0
    return n


@kernel
def centre_logs(output, total, n_classes):
    """Turn votes into the logarithms of their shares, less their mean; without votes into 0.

    Parameters
    ----------
    output
        (n_classes or more,) float32: votes, overwritten.
    total
        float64: their sum.
    n_classes
        int64.
    """
    mean = 0.0
    for c in range(n_classes):
        share = 0.0
        if total > 0.0:
            share = math.log(max(np.float64(output[c]) / total, MIN_SHARE))
        output[c] = share
        mean += share / n_classes
    for c in range(n_classes):
        output[c] = np.float64(output[c]) - mean


def searched(settings: Any) -> dict[str, int]:
    """Return the axis of the points, which the experts that search share."""
    return {"searched": max(settings.n_centroids, settings.n_neighbors)}
