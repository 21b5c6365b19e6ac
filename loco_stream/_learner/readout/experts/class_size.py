"""Which classes have few rows.

While classes have few rows, least squares gives those with fewer ones too little. Every class gets
the logarithm of a share that grows with its rows towards 1; the stack of the stream's next row
learns its weight, of either sign. It fades as the classes grow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout.experts._definition import Expert
from loco_stream._learner.readout.experts.discriminant import n_scores

MANY = 30.0  # rows of a class whose share is one half


class State(NamedTuple):
    """Nothing of its own: rows are counted by class anyway."""


class Scratch(NamedTuple):
    """Nothing is needed."""


@kernel
def log_odds(settings, state, scores, odds):
    """Write the logarithm of the share of each class, with one row more than it has."""
    for c in range(state.counts.n_classes):
        n_rows = state.classes.n_rows[c] + 1.0
        odds[0, c] = math.log(n_rows / (n_rows + MANY))


EXPERT = Expert(
    name="class_size",
    state=State,
    scratch=Scratch,
    n_log_odds=n_scores,
    log_odds=log_odds,
    log_odds_names=lambda layout, settings: ["class size"] * n_scores(settings),
    knows_context=True,
)
