"""Which classes came lately.

A fading count of the labels, as log-odds for the stream's next row.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, axes
from loco_stream._learner.readout.experts._definition import Expert, scores_as_log_odds
from loco_stream._learner.readout.experts.discriminant import n_scores

RATE = 0.02  # of the counts, per label
LEAST = 1e-4  # share granted to every class


class State(NamedTuple):
    """The fading share of each class among recent labels."""

    shares: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]


class Scratch(NamedTuple):
    """Nothing is needed."""


@kernel
def level_unknown(scores, n_known):
    """Give the classes from `n_known` (int64) on the score of a class that did not come."""
    for c in range(n_known, scores.shape[0]):
        scores[c] = np.float32(math.log(LEAST))


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the logarithm of the share of each class."""
    if settings.n_fixed == 0:
        return
    shares = state.experts.recency.shares
    for c in range(scores.shape[0]):
        scores[c] = np.float32(math.log(shares[c] + LEAST))


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Count a label."""
    if settings.n_fixed == 0:
        return
    shares = state.experts.recency.shares
    for c in range(state.counts.n_classes):
        shares[c] *= 1.0 - RATE
    shares[label] += RATE


EXPERT = Expert(
    name="recency",
    state=State,
    scratch=Scratch,
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=scores_as_log_odds,
    learn=learn,
    level_unknown=level_unknown,
    log_odds_names=lambda layout, settings: ["recent labels"] * n_scores(settings),
    knows_context=True,
)
