"""Which classes came lately.

How much likelier each class is by a fading count of the labels than by the count of all, as
log-odds for the stream's next row. What is merely frequent gains nothing.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, axes
from loco_stream._learner.readout.experts._definition import Expert, scores_as_log_odds
from loco_stream._learner.readout.experts.discriminant import n_scores

RATE = 0.02  # of the counts, per label


class State(NamedTuple):
    """The fading share of each class among recent labels."""

    shares: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the log-odds of each class.

    One row is added to what was seen and to what was expected: where less than one label of a class
    was expected, it says little that there was none or one. Without it a rare class would be
    likelier for hundreds of rows after each of its own.
    """
    if settings.n_fixed == 0:
        return
    shares = state.experts.recency.shares
    n_rows = state.classes.n_rows
    n_classes = state.counts.n_classes
    n_recent = 0.0
    n_all = 0.0
    for c in range(n_classes):
        n_recent += shares[c] / RATE
        n_all += n_rows[c]
    for c in range(n_classes):
        seen = shares[c] / RATE
        expected = n_recent * n_rows[c] / max(n_all, 1.0)
        scores[c] = math.log((seen + 1.0) / (expected + 1.0))
    for c in range(n_classes, len(scores)):
        scores[c] = 0.0


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
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=scores_as_log_odds,
    learn=learn,
    log_odds_names=lambda layout, settings: ["recent labels"] * n_scores(settings),
    knows_context=True,
)
