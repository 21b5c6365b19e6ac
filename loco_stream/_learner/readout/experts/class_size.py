"""Which classes have few rows.

While classes have few rows, least squares gives those with fewer ones too little. Every class gets
the logarithm of a share that grows with its rows towards 1; the stack of the stream's next row
learns its weight, of either sign. It fades as the classes grow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout.experts._definition import Expert, scores_as_log_odds
from loco_stream._learner.readout.experts.discriminant import n_scores

MANY = 30.0  # rows of a class whose share is one half


class State(NamedTuple):
    """Nothing of its own: rows are counted by class anyway."""


class Scratch(NamedTuple):
    """Nothing is needed."""


@kernel
def _log_share(n_rows):
    """Return the logarithm of the share of a class of `n_rows` (float64) rows and one more."""
    return np.float32(math.log((n_rows + 1.0) / (n_rows + 1.0 + MANY)))


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the logarithm of the share of each class."""
    if settings.n_fixed == 0:
        return
    for c in range(scores.shape[0]):
        scores[c] = _log_share(state.classes.n_rows[c])


@kernel
def level_unknown(scores, n_known):
    """Give the classes from `n_known` (int64) on what a class without rows has."""
    for c in range(n_known, scores.shape[0]):
        scores[c] = _log_share(0.0)


EXPERT = Expert(
    name="class_size",
    state=State,
    scratch=Scratch,
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=scores_as_log_odds,
    level_unknown=level_unknown,
    log_odds_names=lambda layout, settings: ["class size"] * n_scores(settings),
    knows_context=True,
)
