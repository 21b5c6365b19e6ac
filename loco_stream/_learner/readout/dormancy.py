"""Dormant classes, and when they may answer.

A class is dormant when it has been absent for much longer than between its rows before; one of a
single row never is. Its probability by the ensemble is stale, and the stream's next row hardly
belongs to it. The discriminant knows it as well as any other class.

With `in_stream=None`, a dormant class is predicted if its lead exceeds a threshold. The lead is the
discriminant's score of the best dormant class minus that of the best present one. It is measured in
standard deviations of the lead on rows of present classes. The threshold is the smaller of two
values, one above the mean lead and one above 0: where classes look alike, rows of present classes
have large leads too. It is never closer to the mean lead than a third value. It rises with the
number of times that dormant classes returned, because the expert for the next row has learned of
them then. `retention` scales all three.

With `in_stream=False`, the discriminant decides between dormant and present classes, and has the
same prior probability for all. Among present classes the ensemble decides, and frequent ones stay
more probable.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import PerClass, Record, axes, record
from loco_stream._learner.readout.softmax import softmax

# A class of a single row is never dormant: that row may belong to a rare class as well as to a task
# that is over, and its mean is too uncertain to answer with the prior probability of other classes.
NEVER = 2.0**53  # rows of absence
TIMES = 20.0  # a class of more is dormant after its mean gap (of the logarithms) so often
GAP_RATE = 0.1  # of the mean
# The lead at which a dormant class gets half of its share, in standard deviations times
# 1 - retention. It is the smaller of two, so far above the mean and so far above 0, but never less
# than the third above the mean.
ABOVE_MEAN = 9.0
ABOVE_ZERO = 2.8
LEAST_ABOVE_MEAN = 2.0
SOFTNESS = 0.2  # of the transition
LEAD_RATE = 0.03  # of the moments of the lead
MIN_LEADS = 10.0  # before they count
MIN_VARIANCE = 1e-4
RETURN_RISE = 0.5  # of the threshold, with the logarithm of returns per class


class ClassState(NamedTuple):
    """Classes.

    n_rows: rows of each
    last_seen: number of the last one
    log_gap: fading mean of the logarithm of the rows from one to the next
    patience: rows of absence after which it is dormant
    """

    n_rows: PerClass
    last_seen: PerClass
    log_gap: PerClass
    patience: Annotated[Float64, axes("classes", start=NEVER)]


class LeadState(NamedTuple):
    """Fading moments of the lead on rows of present classes, and returns of dormant ones."""

    moments: Annotated[
        Record, record(np.float64, average=0.0, variance=0.0, n_leads=0.0, n_returns=0.0)
    ]


@kernel
def count_label(classes, label, n_seen):
    """Count a row of class `label`, the one after `n_seen` rows (int64)."""
    n = classes.n_rows[label]
    if n > 0.0:
        gap = math.log(max(n_seen - classes.last_seen[label], 1.0))
        classes.log_gap[label] += max(GAP_RATE, 1.0 / n) * (gap - classes.log_gap[label])
        classes.patience[label] = TIMES * math.exp(classes.log_gap[label])
    classes.n_rows[label] = n + 1.0
    classes.last_seen[label] = n_seen


@kernel
def mark_dormant(classes, n_classes, n_seen, dormant):
    """Mark dormant classes by 1; return whether there is one.

    Parameters
    ----------
    classes
        `ClassState`.
    n_classes, n_seen
        int64.
    dormant
        (n_classes or more,) float64, written.
    """
    found = False
    for c in range(n_classes):
        absent = n_seen - classes.last_seen[c] > classes.patience[c]
        dormant[c] = 1.0 if absent and classes.n_rows[c] > 0.0 else 0.0
        found |= absent and classes.n_rows[c] > 0.0
    return found


@kernel
def _lead(scores, n_classes, dormant):
    """Return the score of the best dormant class minus that of the best present one."""
    best_dormant = -math.inf
    best_present = -math.inf
    for c in range(n_classes):
        if dormant[c] != 0.0:
            best_dormant = max(best_dormant, np.float64(scores[c]))
        else:
            best_present = max(best_present, np.float64(scores[c]))
    return best_dormant - best_present


@kernel
def _dormant_share(scores, n_classes, factor, dormant, proba):
    """Write the softmax of factor * scores; return what dormant classes have of it."""
    softmax(scores, 0, n_classes, factor, proba)
    share = 0.0
    for c in range(n_classes):
        if dormant[c] != 0.0:
            share += proba[c]
    return share


@kernel
def blend_by_evidence(moments, scores, n_classes, factor, marks, reluctance, answer):
    """Blend in the probabilities of dormant classes, as far as the lead exceeds its threshold.

    Parameters
    ----------
    moments
        The record of `LeadState`.
    scores
        (n_classes or more,) float32 of the discriminant.
    n_classes
        int64.
    factor
        float64: its temperature.
    marks
        (dormant, buffer): (n_classes or more,) float64 each, 1 where a class is dormant, and
        working memory.
    reluctance
        float64: 1 - retention, what thresholds are multiplied by.
    answer
        (n_classes or more,) float64 probabilities of the stream's next row, overwritten.
    """
    dormant, buffer = marks
    lead = _lead(scores, n_classes, dormant)
    share = _dormant_share(scores, n_classes, factor, dormant, buffer)
    if moments.n_leads < MIN_LEADS or share <= 0.0 or not math.isfinite(lead):
        return
    deviation = math.sqrt(max(moments.variance, MIN_VARIANCE))
    evidence = (lead - moments.average) / deviation
    threshold = min(ABOVE_MEAN * reluctance, ABOVE_ZERO * reluctance - moments.average / deviation)
    threshold = max(threshold, LEAST_ABOVE_MEAN * reluctance)
    threshold += RETURN_RISE * math.log(1.0 + moments.n_returns / n_classes)
    # The logistic function, without overflow.
    share *= 0.5 + 0.5 * math.tanh(0.5 * (evidence - threshold) / SOFTNESS)
    _blend(buffer, n_classes, dormant, share, answer)


@kernel
def blend_anywhere(scores, n_classes, factor, marks, answer):
    """Blend in the probabilities of dormant classes by the discriminant alone.

    See `blend_by_evidence`; `answer` is that without context.
    """
    dormant, buffer = marks
    share = _dormant_share(scores, n_classes, factor, dormant, buffer)
    if share > 0.0:
        _blend(buffer, n_classes, dormant, share, answer)


@kernel
def _blend(proba, n_classes, dormant, share, answer):
    """Give dormant classes `share` (float64) of the answer, in the proportions of `proba`."""
    total = 0.0
    for c in range(n_classes):
        if dormant[c] != 0.0:
            total += proba[c]
    for c in range(n_classes):
        answer[c] *= 1.0 - share
        if dormant[c] != 0.0:
            answer[c] += share * proba[c] / total


@kernel
def learn_lead(moments, scores, n_classes, dormant, label):
    """Take a row of class `label` (int64) into the moments, or count the return of its class."""
    if dormant[label] != 0.0:
        moments.n_returns += 1.0
        return
    lead = _lead(scores, n_classes, dormant)
    if not math.isfinite(lead):
        return
    moments.n_leads += 1.0
    rate = max(LEAD_RATE, 1.0 / moments.n_leads)
    rest = lead - moments.average
    moments.average += rate * rest
    moments.variance += rate * ((1.0 - rate) * rest * rest - moments.variance)
