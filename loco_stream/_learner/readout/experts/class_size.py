"""How large each class is, while classes are small.

The logarithm of the rows of each class over those of a mean class. While classes have few rows,
least squares gives the smaller ones too little; the stack of the stream's next row learns how much
this matters. The log-odds fade as the mean class grows: then all experts know how frequent a class
is, and the large log-odds of a rare class would make its probability unsteady.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout.experts._definition import Expert, scores_as_log_odds
from loco_stream._learner.readout.experts.discriminant import n_scores

HALF = 100.0  # rows of the mean class at which half of the log-odds is left


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the log-odds of each class; those of unknown ones are those of a mean class."""
    if settings.n_fixed == 0:
        return
    n_rows = state.classes.n_rows
    n_classes = state.counts.n_classes
    total = 0.0
    for c in range(n_classes):
        total += n_rows[c]
    mean = total / max(n_classes, 1)
    left = HALF / (HALF + mean)
    for c in range(n_classes):
        scores[c] = left * math.log((n_rows[c] + 1.0) / (mean + 1.0))
    for c in range(n_classes, len(scores)):
        scores[c] = 0.0


EXPERT = Expert(
    name="class_size",
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=scores_as_log_odds,
    log_odds_names=lambda layout, settings: ["class size"] * n_scores(settings),
    knows_context=True,
)
