"""Centroids: a few hundred points among the features, and which classes lie there.

A row moves its nearest centroid if that is of the row's class; any other row becomes a centroid, so
that most of them lie where classes meet (learning vector quantisation, Kohonen 1995). When all are
in use a new one replaces the least useful one. Each counts the classes of the rows that it was
nearest to, and forgets them within about a hundred, which follows drift whether classes move or
change places. The 3 and the 7 nearest vote.

Centroids are blends of rows: a new one starts on the way to its nearest, and the next row of its
class moves it by half. A feature is measured by its range in standard deviations, bounded as the
readout has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Record, axes, record
from loco_stream._learner.encoding import bounded_range
from loco_stream._learner.readout.experts._definition import Contribution, Expert, Merge, Weighting
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
from loco_stream._numbers import LARGEST

EMPTY_ROWS = 4.0  # of no class, in every centroid's counts: one that has seen few votes little
PULL = 0.2  # share of the way to its nearest on which a new one starts
MIN_RATE = 0.1  # share of the way to a row that a centroid moves
COUNT_DECAY = 0.01
WORTH_DECAY = 0.002
BLAME = 0.5  # what a row of another class takes from the worth; one of its own class adds 1
_Arrays = Mapping[str, Array]
N_OUTPUTS = 2  # of few, and of all of the nearest


class State(NamedTuple):
    """Centroids.

    counters: n_centroids
    places: one column per centroid, in standard deviations
    counts: fading, of the rows that it was nearest to
    worth: how useful it was recently
    n_rows: how many moved it
    """

    counters: Annotated[Record, record(np.int64, n_centroids=0)]
    places: Annotated[Float32, axes("features", "centroids")]
    counts: Annotated[Float64, axes("centroids", "classes", within=NOT_NEGATIVE)]
    worth: Annotated[Float64, axes("centroids")]
    n_rows: Annotated[Float64, axes("centroids", within=NOT_NEGATIVE)]


class Scratch(NamedTuple):
    """Working arrays: the search, and how many features of the row count."""

    search: Search
    row: Annotated[Record, record(np.int64, n_columns=0)]


def n_outputs(settings: Any) -> int:
    """Return two blocks, where there are centroids."""
    return N_OUTPUTS if settings.n_centroids > 0 else 0


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the centroids."""
    return {"centroids": settings.n_centroids, **searched(settings)}


@kernel
def _measure(state, scratch, search):
    """Write which features of the row count, and how; return their number."""
    n = 0
    for f in range(state.counts.n_features):
        span = 0.0
        if abs(scratch.row[f]) <= LARGEST:
            span = bounded_range(state.statistics, f)
        if span > 0.0:
            search.columns[n] = f
            search.values[n] = scratch.scaled[f]
            search.scales[n] = 1.0 / span
            n += 1
    return n


@kernel
def _vote(counts, search, most, n_classes, output):
    """Write the votes of the nearest, `most` (int64) of them: log shares of the classes."""
    total = 0.0
    for c in range(len(output)):
        output[c] = 0.0
    for j in range(vote_weights(search.near[:most], search.votes)):
        of_class = counts[search.places[j]]
        mass = EMPTY_ROWS
        for c in range(n_classes):
            mass += of_class[c]
        for c in range(n_classes):
            vote = search.votes[j] * of_class[c] / mass
            output[c] += np.float32(vote)
            total += vote
    centre_logs(output, total, n_classes)


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the votes of few and of many of the nearest."""
    if settings.n_centroids == 0:
        return
    own = state.experts.centroids
    search = scratch.experts.centroids.search
    n_columns = _measure(state, scratch, search)
    scratch.experts.centroids.row.n_columns = n_columns
    clear(search.near)
    n = own.counters.n_centroids
    if n_columns > 0:
        write_distances(own.places, n, search, n_columns)
        nearest(search, 0, n)
    capacity = len(state.classes.n_rows)
    n_classes = state.counts.n_classes
    _vote(own.counts, search, FEW, n_classes, outputs[:capacity])
    most = len(search.near)
    _vote(own.counts, search, most, n_classes, outputs[capacity : 2 * capacity])


@kernel
def _free_place(worth, n):
    """Return where a new one goes: to the next free place, or over the least useful."""
    if n < len(worth):
        return n
    least = 0
    for i in range(1, n):
        if worth[i] < worth[least]:
            least = i
    return least


@kernel
def _found(state, scratch, nearest_one, label):
    """Make the row a centroid, on the way to the nearest one if there is one (not -1)."""
    own = state.experts.centroids
    scaled = scratch.scaled
    n = own.counters.n_centroids
    new = _free_place(own.worth, n)
    for f in range(state.counts.n_features):
        way = own.places[f, nearest_one] - scaled[f] if nearest_one >= 0 else np.float32(0.0)
        own.places[f, new] = scaled[f] + np.float32(PULL) * way
    for c in range(own.counts.shape[1]):
        own.counts[new, c] = 0.0
    own.counts[new, label] = 1.0
    own.worth[new] = 1.0
    own.n_rows[new] = 1.0
    own.counters.n_centroids = max(n, new + 1)


@kernel
def _count_label(own, one, label):
    """Count a row's label for its nearest centroid; return whether that was of this class."""
    counts = own.counts[one]
    majority = 0
    for c in range(1, len(counts)):
        if counts[c] > counts[majority]:
            majority = c
    for i in range(own.counters.n_centroids):
        own.worth[i] *= 1.0 - WORTH_DECAY
    for c in range(len(counts)):
        counts[c] *= 1.0 - COUNT_DECAY
    counts[label] += 1.0
    own.worth[one] += 1.0 if majority == label else -BLAME
    return majority == label


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Move the nearest centroid to the row, or make the row a new one."""
    if settings.n_centroids == 0 or scratch.experts.centroids.row.n_columns == 0:
        return
    own = state.experts.centroids
    one = -1
    if own.counters.n_centroids > 0:
        one = scratch.experts.centroids.search.places[0]
    if one < 0 or not _count_label(own, one, label):
        _found(state, scratch, one, label)
        return
    own.n_rows[one] += 1.0
    rate = np.float32(max(1.0 / own.n_rows[one], MIN_RATE))
    for f in range(state.counts.n_features):
        if abs(scratch.row[f]) <= LARGEST:
            own.places[f, one] += rate * (scratch.scaled[f] - own.places[f, one])


def vote_contribution(
    settings: Any, state: Any, scratch: Any, weighting: Weighting, n_classes: int
) -> Contribution:
    """Return what the votes add; `weighting.outputs` and the row's own outputs are given."""
    if not len(weighting.outputs):
        return Contribution()
    return Contribution(other=weighting.outputs @ weighting.values[:, :n_classes])


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError for more centroids than there is room for."""
    n = state.experts.centroids.counters.n_centroids
    if n > settings.n_centroids:
        raise ValueError(f"`n_centroids` must be 0 to {settings.n_centroids}, got {n}")


def merge(parts: Merge) -> None:
    """Add the most useful centroids of classes that the model with most rows has none of.

    Its stack weighs its own centroids as they lie. Those of other models would lie among them, and
    be copies where all had one template.
    """
    arrays = parts.arrays
    n = int(arrays["experts.centroids.counters"][0])
    room = len(arrays["experts.centroids.worth"])
    if room == 0:
        return
    known = arrays["experts.centroids.counts"][:n].argmax(axis=1)
    found = [(part, _of_other_classes(part, known)) for part in parts.parts]
    worth = np.concatenate([part["experts.centroids.worth"][of] for part, of in found])
    chosen = np.argsort(-worth, kind="stable")[: max(room - n, room // 2)]
    least_useful = np.argsort(arrays["experts.centroids.worth"][:n], kind="stable")
    free = np.concatenate([np.arange(n, room), least_useful])[: len(chosen)]
    mean, deviation = _scale(arrays)
    places = np.hstack([_raw_places(part)[:, of] for part, of in found])
    arrays["experts.centroids.places"][:, free] = ((places - mean) / deviation)[:, chosen]
    for name in ("counts", "worth", "n_rows"):
        of_all = np.concatenate([part[f"experts.centroids.{name}"][of] for part, of in found])
        arrays[f"experts.centroids.{name}"][free] = of_all[chosen]
    arrays["experts.centroids.counters"][0] = min(n + len(chosen), room)


def _of_other_classes(arrays: _Arrays, known: Int64) -> Int64:
    """Return which of a model's centroids are of classes that are not among the known."""
    n = int(arrays["experts.centroids.counters"][0])
    own = arrays["experts.centroids.counts"][:n].argmax(axis=1)
    return np.flatnonzero(~np.isin(own, known))


def _raw_places(arrays: _Arrays) -> Float64:
    """Return the centroids in units of the features, (features, centroids)."""
    mean, deviation = _scale(arrays)
    places: Float64 = arrays["experts.centroids.places"].astype(np.float64)
    return mean + deviation * places


def _scale(arrays: _Arrays) -> tuple[Float64, Float64]:
    """Return the mean and the deviation, 1 of a constant, of each feature, (features, 1)."""
    count = np.maximum(arrays["statistics.n_values"], 1.0)
    variance = arrays["statistics.squares"] / count
    deviation = np.sqrt(np.where(variance > 0.0, variance, 1.0))
    return arrays["statistics.mean"][:, None], deviation[:, None]


EXPERT = Expert(
    name="centroids",
    state=State,
    scratch=Scratch,
    lengths=lengths,
    n_outputs=n_outputs,
    predict=predict,
    learn=learn,
    stack_weight=0.1,
    contribution=vote_contribution,
    check=check,
    merge=merge,
)
