"""Which class follows which: counts of the labels after each label, for the stream's next row.

What counts is how much likelier a class is after the last known label than at any time, so that a
class that is merely frequent gains nothing. Where labels are late, the last label known when the
row was observed is what its label followed, and successive rows of one label count as few
observations (see `delayed_labels.weights`): otherwise the counts would tell what followed the last
few sequences of a label. Each class keeps its `SUCCESSORS` most frequent followers; any other
counts as seen `FLOOR` times. A class's counts fade whenever it is followed.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Float64, Int32
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, axes
from loco_stream._learner.readout.experts._definition import Expert, scores_as_log_odds
from loco_stream._learner.readout.experts.discriminant import n_scores

SUCCESSORS = 32
DECAY = 0.999  # of the counts of a class, per time that it is followed
FLOOR = 0.5  # count of a follower that was never seen


class State(NamedTuple):
    """Followers of each class.

    followers: slots of the classes that came after it; -1: none
    counts: how often, fading, above the floor
    n_labels: labels of each class, in observations
    """

    followers: Annotated[Int32, axes("successors", "classes", start=-1)]
    counts: Annotated[Float64, axes("successors", "classes", within=NOT_NEGATIVE)]
    n_labels: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axis of the followers."""
    return {"successors": SUCCESSORS if n_scores(settings) else 0}


@kernel
def write_scores(own, last, n_classes, scores):
    """Write the logarithm of the count of each class after `last`, over its count at any time.

    Parameters
    ----------
    own
        `State`.
    last
        int64: slot of the last label; -1: there is none, and nothing is known.
    n_classes
        int64.
    scores
        (n_classes or more,) float32, written.
    """
    for c in range(len(scores)):
        scores[c] = 0.0
    if last < 0:
        return
    for c in range(n_classes):
        scores[c] = math.log(FLOOR / (own.n_labels[c] + 1.0))
    for k in range(len(own.followers)):
        c = own.followers[k, last]
        if c >= 0:
            seen = own.counts[k, last] + FLOOR
            scores[c] = math.log(seen / (own.n_labels[c] + 1.0))


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the score of each class after the last known label."""
    if settings.n_fixed == 0:
        return
    last = state.counts.last_label
    write_scores(state.experts.transitions, last, state.counts.n_classes, scores)


@kernel
def count_successor(own, last, label, share):
    """Count `share` (float64) of `label` after `last`, both int64 slots.

    Where all places are taken, it is counted in the rarest follower's.
    """
    place = 0
    for k in range(len(own.followers)):
        own.counts[k, last] *= 1.0 - share * (1.0 - DECAY)
        if own.counts[k, last] < own.counts[place, last]:
            place = k
    for k in range(len(own.followers)):
        if own.followers[k, last] == label:
            own.counts[k, last] += share
            return
    own.followers[place, last] = label
    own.counts[place, last] = share


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Count a label after the last one that was known when its row came."""
    if settings.n_fixed == 0:
        return
    own = state.experts.transitions
    last = np.int64(scratch.past.last_label)
    share = scratch.past.share
    if last >= 0:
        count_successor(own, last, label, share)
    own.n_labels[label] += share


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError if a follower is no class."""
    if not (state.experts.transitions.followers < n_classes).all():
        raise ValueError("`followers` of 'transitions' must be classes, or -1")


EXPERT = Expert(
    name="transitions",
    state=State,
    lengths=lengths,
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=scores_as_log_odds,
    learn=learn,
    log_odds_names=lambda layout, settings: ["transitions"] * n_scores(settings),
    knows_context=True,
    check=check,
)
