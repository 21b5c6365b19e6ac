"""Neighbours: what the nearest of the rows learned lately were, two or three more opinions for the stack.

A ring holds the last rows and their labels or targets. The `NEAREST` of all of them and those of
the last fifth, which follow a drift sooner, each have a say, and for classes the `FEW` nearest of
all: the logarithm of each class's share of their votes, in regression their mean target; nearer
ones count more. Each feature is measured by its running range, and not by its standard deviation:
where a value is rare it is telling. One outlier at most doubles a range, and ranges shrink as
slowly as rows leave the ring.

The ring is kept feature by feature, so that a distance is summed for many rows at once. A feature
that the row at hand lacks, or that has had one value only, is passed over: of a feature with texts
one column counts and not all.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.state import (
    COUNT,
    HIGH,
    LOW,
    MEAN,
    N_CLASSES,
    N_FEATURES,
    ORIGIN,
    SQUARES,
)
from loco_stream.options import FEW, LARGEST, N_NEIGHBOR_SAYS, N_VALUE_SAYS, NEAREST

__all__ = [
    "centre_logs",
    "distances",
    "keep",
    "learn_range",
    "nearest",
    "speak",
    "tell_classes",
    "tell_value",
    "weigh",
]

SHORT = 5  # the short window is the last of so many parts
CHUNK = 64  # rows that are passed over at once where none is near
SOFTNESS = (
    0.05  # of the furthest neighbour's distance: added to all, so that a twin does not vote alone
)
LEAST = 0.02  # share of the votes granted to every class


@kernel
def distances(rows, n_rows, columns, n_columns, values, scales, total):
    """Write the squared distance of the first rows (features, rows) from a row, over some of its features.

    Feature `columns[k]` of the row is `values[k]` and counts `scales[k]` times; all float32.
    """
    for i in range(n_rows):
        total[i] = np.float32(0.0)
    for k in range(n_columns):
        value = values[k]
        factor = scales[k]
        row = rows[columns[k]]
        for i in range(n_rows):
            difference = factor * (row[i] - value)
            total[i] += difference * difference


@kernel
def nearest(total, first, last, near, places):
    """Take rows `first` to `last - 1` into the nearest so far.

    `near` their distances, ascending, and where they are.

    Of equal distances the one that came first stays; `near` is infinite where there is none yet.
    """
    worst = near.shape[0] - 1
    for start in range(first, last, CHUNK):
        stop = min(start + CHUNK, last)
        hits = 0
        for i in range(start, stop):
            hits += total[i] < near[worst]
        if hits == 0:
            continue
        for i in range(start, stop):
            if total[i] < near[worst]:
                j = worst
                while j > 0 and near[j - 1] > total[i]:
                    near[j] = near[j - 1]
                    places[j] = places[j - 1]
                    j -= 1
                near[j] = total[i]
                places[j] = i


@kernel
def weigh(near, votes):
    """Write how much each of the nearest counts; return how many there are."""
    n = 0
    while n < near.shape[0] and near[n] < np.float32(math.inf):
        n += 1
    for j in range(n):
        furthest = np.float64(near[n - 1])
        votes[j] = furthest / (np.float64(near[j]) + SOFTNESS * furthest) if furthest > 0.0 else 1.0
    return n


@kernel
def centre_logs(said, total, n_classes):
    """Turn votes, which add up to `total`, into the logarithms of their shares, less their mean.

    No vote says 0.
    """
    mean = 0.0
    for c in range(n_classes):
        share = math.log(max(np.float64(said[c]) / total, LEAST)) if total > 0.0 else 0.0
        said[c] = np.float32(share)
        mean += share / n_classes
    for c in range(n_classes):
        said[c] = np.float32(np.float64(said[c]) - mean)


@kernel
def tell_classes(answers, near, places, votes, n_classes, said):
    """Write the logarithm of each class's share of the votes, less their mean.

    0 for a class unknown as yet.
    """
    n = weigh(near, votes)
    total = 0.0
    for c in range(said.shape[0]):
        said[c] = np.float32(0.0)
    for j in range(n):
        said[np.int64(answers[places[j]])] += np.float32(votes[j])
        total += votes[j]
    centre_logs(said, total, n_classes)


@kernel
def tell_value(answers, near, places, votes, target, said):
    """Write the mean of the nearest ones' targets, in standard deviations of the target.

    0 where that is unknown.
    """
    n = weigh(near, votes)
    total = 0.0
    mean = 0.0
    for j in range(n):
        total += votes[j]
        mean += votes[j] * answers[places[j]]
    spread = math.sqrt(target[SQUARES, 0] / target[COUNT, 0]) if target[COUNT, 0] > 0.0 else 0.0
    said[0] = np.float32(
        (mean / total - target[MEAN, 0]) / spread if n > 0 and spread > 0.0 else 0.0
    )


@kernel
def _tell(settings, state, room, most, said):
    """Write what the nearest so far say, at most so many."""
    answers = state.neighbors.answers
    near = room.near[:most]
    if settings.regression:
        tell_value(answers, near, room.places, room.votes, state.target, said)
    else:
        tell_classes(answers, near, room.places, room.votes, state.counts[N_CLASSES], said)


@kernel
def _measure(ranges, n_features, x, room):
    """Write which features of a row count, and how; return their number."""
    n = 0
    for f in range(n_features):
        span = ranges[HIGH, f] - ranges[LOW, f]
        if abs(x[f]) <= LARGEST and span > 0.0:
            room.columns[n] = f
            room.values[n] = np.float32(x[f] - ranges[ORIGIN, f])
            room.scales[n] = np.float32(1.0 / span)
            n += 1
    return n


@kernel
def speak(settings, state, scratch, x):
    """Write what the nearest of the short window, of all rows, and few of these say, behind all other outputs."""
    kept = state.neighbors
    room = scratch.nearness
    outputs = scratch.answers.outputs
    capacity = state.classes.shape[1]
    size = settings.n_neighbors
    n = min(kept.n[0], settings.n_neighbors)
    n_columns = _measure(kept.ranges, state.counts[N_FEATURES], x, room)
    distances(kept.rows, n, room.columns, n_columns, room.values, room.scales, room.distances)
    for j in range(NEAREST):
        room.near[j] = np.float32(math.inf)
    short = min(n, max(size // SHORT, 1))
    start = (kept.n[0] - short) % size
    over = max(
        start + short - size, 0
    )  # rows of the short window that lie at the beginning of the ring
    place = (
        settings.n_blocks - (N_VALUE_SAYS if settings.regression else N_NEIGHBOR_SAYS)
    ) * capacity
    nearest(room.distances, start, start + short - over, room.near, room.places)
    nearest(room.distances, 0, over, room.near, room.places)
    _tell(settings, state, room, NEAREST, outputs[place : place + capacity])
    nearest(room.distances, over, start, room.near, room.places)
    nearest(room.distances, start + short, n, room.near, room.places)
    _tell(settings, state, room, NEAREST, outputs[place + capacity : place + 2 * capacity])
    if not settings.regression:
        _tell(settings, state, room, FEW, outputs[place + 2 * capacity : place + 3 * capacity])


@kernel
def learn_range(ranges, f, value, size):
    """Take a value into the running range of feature `f`.

    The first one is the origin that values are kept from.
    """
    low = ranges[LOW, f]
    high = ranges[HIGH, f]
    if low > high:
        ranges[ORIGIN, f] = ranges[LOW, f] = ranges[HIGH, f] = value
        return
    span = high - low
    reach = span if span > 0.0 else math.inf
    low = low + 0.5 * span / size
    high = high - 0.5 * span / size
    ranges[LOW, f] = min(low, max(value, low - reach))
    ranges[HIGH, f] = max(high, min(value, high + reach))


@kernel
def keep(settings, state, x, label, value):
    """Take a row and its label or target into the ring for the oldest.

    A masked value is kept as the middle.
    """
    kept = state.neighbors
    size = settings.n_neighbors
    ranges = kept.ranges
    slot = kept.n[0] % size
    for f in range(state.counts[N_FEATURES]):
        given = (
            0.5 * (ranges[LOW, f] + ranges[HIGH, f]) if ranges[LOW, f] <= ranges[HIGH, f] else 0.0
        )
        if abs(x[f]) <= LARGEST:
            learn_range(ranges, f, x[f], size)
            given = x[f]
        kept.rows[f, slot] = np.float32(given - ranges[ORIGIN, f])
    kept.answers[slot] = value if settings.regression else float(label)
    kept.n[0] += 1
