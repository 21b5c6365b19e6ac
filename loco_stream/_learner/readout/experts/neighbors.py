"""Neighbors: the labels or targets of the nearest of the rows learned recently.

A ring holds the last rows and their labels or targets. The 7 nearest of all, the 7 nearest of the
last fifth, which follow a drift sooner, and for classes the 3 nearest of all each give one output:
the logarithm of each class's share of the votes, or the mean target; nearer rows count more. Each
feature is measured by its running range and not by its standard deviation, since a rare value is
telling. One outlier at most doubles a range, and ranges shrink as slowly as rows leave the ring.

The ring is kept feature by feature, so that a distance is summed for many rows at once. A feature
that the row at hand lacks, or that has had one value only, is passed over: of a feature with texts
one column counts.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Record, axes, record
from loco_stream._learner.readout.experts._definition import Expert
from loco_stream._learner.readout.experts._search import (
    FEW,
    Search,
    centre_logs,
    clear,
    nearest,
    searched,
    vote_weights,
    write_distances,
)
from loco_stream._learner.readout.experts.centroids import vote_contribution
from loco_stream._learner.target_units import deviation_of
from loco_stream._numbers import LARGEST

RECENT_PARTS = 5  # the recent rows are the last of so many parts of the ring
MAX_SCALE = float(np.finfo(np.float32).max)  # of a feature's differences
N_OUTPUTS = 3  # of the recent rows, of all, and of few
N_VALUE_OUTPUTS = 2  # in regression, where few are too noisy


class State(NamedTuple):
    """The ring.

    counters: n_rows learned so far
    origin, low, high: of each feature, what it is kept relative to, and its running range
    rows: one column per row kept
    labels: slots of their classes, or targets
    """

    counters: Annotated[Record, record(np.int64, n_rows=0)]
    origin: Annotated[Float64, axes("features")]
    low: Annotated[Float64, axes("features", start=np.inf)]
    high: Annotated[Float64, axes("features", start=-np.inf)]
    rows: Annotated[Float32, axes("features", "neighbors")]
    labels: Annotated[Float64, axes("neighbors")]


class Scratch(NamedTuple):
    """The search."""

    search: Search


def n_outputs(settings: Any) -> int:
    """Return a block per group of neighbors, where rows are kept."""
    if settings.n_neighbors == 0:
        return 0
    return N_VALUE_OUTPUTS if settings.regression else N_OUTPUTS


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the ring."""
    return {"neighbors": settings.n_neighbors, **searched(settings)}


@kernel
def vote_classes(labels, search, most, n_classes, output):
    """Write the logarithm of each class's share of the votes; 0 for a class unknown as yet.

    Parameters
    ----------
    labels
        (rows,) float64 slots of classes.
    search
        `Search`.
    most, n_classes
        int64: how many of the nearest vote, and classes.
    output
        (n_classes or more,) float32, written.
    """
    total = 0.0
    for c in range(len(output)):
        output[c] = 0.0
    for j in range(vote_weights(search.near[:most], search.votes)):
        output[np.int64(labels[search.places[j]])] += np.float32(search.votes[j])
        total += search.votes[j]
    centre_logs(output, total, n_classes)


@kernel
def vote_value(labels, search, most, target, output):
    """Write the mean target of the nearest in standard deviations; 0 where that is unknown.

    `target` holds the statistics of the target; see `vote_classes` for the rest.
    """
    n = vote_weights(search.near[:most], search.votes)
    total = 0.0
    mean = 0.0
    for j in range(n):
        total += search.votes[j]
        mean += search.votes[j] * labels[search.places[j]]
    deviation = deviation_of(target, 0)
    value = 0.0
    if n > 0 and deviation > 0.0:
        value = (mean / total - target.mean[0]) / deviation
    output[0] = value


@kernel
def _vote(settings, state, search, most, output):
    """Write the votes of the nearest so far, at most so many."""
    labels = state.experts.neighbors.labels
    if settings.regression:
        vote_value(labels, search, most, state.target, output)
    else:
        vote_classes(labels, search, most, state.counts.n_classes, output)


@kernel
def _measure(own, n_features, x, search):
    """Write which features of the row `x` count, and how; return their number."""
    n = 0
    for f in range(n_features):
        span = own.high[f] - own.low[f]
        if abs(x[f]) <= LARGEST and span > 0.0:
            search.columns[n] = f
            search.values[n] = x[f] - own.origin[f]
            search.scales[n] = min(1.0 / span, MAX_SCALE)
            n += 1
    return n


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the votes of the recent rows, of all rows, and of few of these."""
    if settings.n_neighbors == 0:
        return
    own = state.experts.neighbors
    search = scratch.experts.neighbors.search
    capacity = len(state.classes.n_rows)
    size = settings.n_neighbors
    n = min(own.counters.n_rows, size)
    n_columns = _measure(own, state.counts.n_features, scratch.row, search)
    write_distances(own.rows, n, search, n_columns)
    clear(search.near)
    recent = min(n, max(size // RECENT_PARTS, 1))
    start = (own.counters.n_rows - recent) % size
    wrapped = max(start + recent - size, 0)  # recent rows that lie at the beginning of the ring
    most = len(search.near)
    nearest(search, start, start + recent - wrapped)
    nearest(search, 0, wrapped)
    _vote(settings, state, search, most, outputs[:capacity])
    nearest(search, wrapped, start)
    nearest(search, start + recent, n)
    _vote(settings, state, search, most, outputs[capacity : 2 * capacity])
    if not settings.regression:
        _vote(settings, state, search, FEW, outputs[2 * capacity : 3 * capacity])


@kernel
def learn_range(own, f, value, size):
    """Take a value into the running range of a feature; the first one is its origin.

    Parameters
    ----------
    own
        `State`.
    f, size
        int64: the feature, and rows of the ring.
    value
        float64.
    """
    low = own.low[f]
    high = own.high[f]
    if low > high:
        own.origin[f] = value
        own.low[f] = value
        own.high[f] = value
        return
    span = high - low
    reach = span if span > 0.0 else math.inf
    low += 0.5 * span / size
    high -= 0.5 * span / size
    own.low[f] = min(low, max(value, low - reach))
    own.high[f] = max(high, min(value, high + reach))


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Keep the row and its label or target for the oldest one; a masked value as the middle."""
    if settings.n_neighbors == 0:
        return
    own = state.experts.neighbors
    size = settings.n_neighbors
    slot = own.counters.n_rows % size
    x = scratch.row
    for f in range(state.counts.n_features):
        kept = 0.5 * (own.low[f] + own.high[f]) if own.low[f] <= own.high[f] else 0.0
        if abs(x[f]) <= LARGEST:
            learn_range(own, f, x[f], size)
            kept = x[f]
        own.rows[f, slot] = kept - own.origin[f]
    own.labels[slot] = value if settings.regression else float(label)
    own.counters.n_rows += 1


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError if a label is no class, which compiled code would take for a position."""
    own = state.experts.neighbors
    labels = own.labels[: own.counters.n_rows]
    if settings.regression:
        sound = np.abs(labels) <= LARGEST
    else:
        sound = (labels >= 0) & (labels < n_classes) & (labels == np.floor(labels))
    if not sound.all():
        raise ValueError("`labels` of 'neighbors' must be classes or targets of the model")
    if not (np.isfinite(own.low) == np.isfinite(own.high)).all():
        raise ValueError("ranges of 'neighbors' must be finite")


EXPERT = Expert(
    name="neighbors",
    state=State,
    scratch=Scratch,
    lengths=lengths,
    n_outputs=n_outputs,
    predict=predict,
    learn=learn,
    names=lambda layout, settings: ["late neighbors", "neighbors"][: n_outputs(settings)],
    stack_weight=0.3,
    contribution=vote_contribution,
    check=check,
)
