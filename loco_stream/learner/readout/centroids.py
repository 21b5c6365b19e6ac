"""Centroids: a few hundred places among the features and which classes lie there, two more opinions for the stack.

A row of the class that its nearest centroid is of moves it; any other row becomes a centroid, so
that most of them lie where classes meet (learning vector quantisation, Kohonen 1995). When all are
in use, a new one takes the place of the one that was least useful of late. Each counts the classes
of the rows that it was nearest to, and forgets them in about a hundred: so drift is followed,
whether classes move or change places. The `FEW` and the `NEAREST` nearest have a say.

Centroids are blends of rows: a new one begins on the way to its nearest, and the next row of its
class moves it by half. A feature is measured by its range, as neighbours are, in standard
deviations bounded as the readout has them.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.scratch import N_MEASURED
from loco_stream.learner.arrays.state import N_CLASSES, N_FEATURES
from loco_stream.learner.readout.neighbors import centre_logs, distances, nearest, weigh
from loco_stream.options import FEW, LARGEST, NEAREST

__all__ = ["learn", "speak"]

# rows of no class that a centroid's counts are taken with: one that has seen few says little
DOUBT = 4.0
PULL = 0.2  # of the way to its nearest that a new one begins on
SLOWEST = 0.1  # part of the way to a row that a centroid moves at least
COUNT_FADE = 0.01
WORTH_FADE = 0.002
BLAME = (
    0.5  # what a row of another class takes from the worth, to which one of its own class adds 1
)


@kernel
def _vote(counts, room, most, n_classes, said):
    """Write what the `most` nearest say.

    The logarithm of each class's share of the votes, less their mean.
    """
    total = 0.0
    for c in range(said.shape[0]):
        said[c] = np.float32(0.0)
    for j in range(weigh(room.close[:most], room.votes)):
        of_class = counts[room.centroids[j]]
        mass = DOUBT
        for c in range(n_classes):
            mass += of_class[c]
        for c in range(n_classes):
            vote = room.votes[j] * of_class[c] / mass
            said[c] += np.float32(vote)
            total += vote
    centre_logs(said, total, n_classes)


@kernel
def speak(settings, state, scratch):
    """Write what few and many of those nearest to the row that was measured say, behind the outputs of the members."""
    kept = state.centroids
    room = scratch.nearness
    outputs = scratch.answers.outputs
    capacity = state.classes.shape[1]
    n_classes = state.counts[N_CLASSES]
    n = kept.n[0]
    n_columns = scratch.flags[N_MEASURED]
    for j in range(NEAREST):
        room.close[j] = np.float32(math.inf)
    if n_columns > 0:
        distances(kept.places, n, room.columns, n_columns, room.values, room.scales, room.distances)
        nearest(room.distances, 0, n, room.close, room.centroids)
    first = (settings.n_blocks - settings.n_says) * capacity
    _vote(kept.counts, room, FEW, n_classes, outputs[first : first + capacity])
    _vote(kept.counts, room, NEAREST, n_classes, outputs[first + capacity : first + 2 * capacity])


@kernel
def _place(worth, n):
    """Return where a new one goes: to the next free place, or to that of the least useful."""
    if n < worth.shape[0]:
        return n
    least = 0
    for i in range(1, n):
        if worth[i] < worth[least]:
            least = i
    return least


@kernel
def _begin(kept, nearest_one, n_features, scaled, label):
    """Make a row a centroid, on the way to the nearest one if there is one (not -1)."""
    n = kept.n[0]
    new = _place(kept.worth, n)
    for f in range(n_features):
        way = kept.places[f, nearest_one] - scaled[f] if nearest_one >= 0 else np.float32(0.0)
        kept.places[f, new] = scaled[f] + np.float32(PULL) * way
    for c in range(kept.counts.shape[1]):
        kept.counts[new, c] = 0.0
    kept.counts[new, label] = 1.0
    kept.worth[new] = 1.0
    kept.rows[new] = 1.0
    kept.n[0] = max(n, new + 1)


@kernel
def _judge(kept, one, label):
    """Count a row's label for its nearest centroid; return whether that was of this class."""
    counts = kept.counts[one]
    own = 0
    for c in range(1, counts.shape[0]):
        if counts[c] > counts[own]:
            own = c
    for i in range(kept.n[0]):
        kept.worth[i] *= 1.0 - WORTH_FADE
    for c in range(counts.shape[0]):
        counts[c] *= 1.0 - COUNT_FADE
    counts[label] += 1.0
    kept.worth[one] += 1.0 if own == label else -BLAME
    return own == label


@kernel
def learn(state, scratch, label):
    """Move the nearest centroid to the row in scratch, or make that a new one, unless no feature of it counts."""
    kept = state.centroids
    row = scratch.row
    scaled = scratch.scaled
    n_features = state.counts[N_FEATURES]
    if scratch.flags[N_MEASURED] == 0:
        return
    one = scratch.nearness.centroids[0] if kept.n[0] > 0 else -1
    if one < 0 or not _judge(kept, one, label):
        _begin(kept, one, n_features, scaled, label)
        return
    kept.rows[one] += 1.0
    rate = np.float32(max(1.0 / kept.rows[one], SLOWEST))
    for f in range(n_features):
        if abs(row[f]) <= LARGEST:
            kept.places[f, one] += rate * (scaled[f] - kept.places[f, one])
