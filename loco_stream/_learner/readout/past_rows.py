"""Whether a row is like the recent rows of the stream, or like earlier ones.

Where all classes stay present and their inputs change, no class is dormant, and yet layers that
learn have forgotten how earlier inputs looked. The fixed layer has not. Kept are the mean of its
recent outputs and the direction in which it differs most from the mean of all rows of the current
domain, in terms of the scatter within classes (a linear discriminant between recent and all rows).
A row is projected on it; recent rows are a Gaussian around their own mean, earlier ones around that
of all rows, of the same variance:

    log p(row | all) - log p(row | recent) = s (e - s / 2)

with the distance s of both means and the distance e of the row from the recent mean, both in
standard deviations and towards the mean of all. Where inputs are stationary, s is close to 0, and
no row is classified as an earlier one. For s < 1 the probability is multiplied by s. The distance
of a recent row from the recent mean is measured before it enters the mean: otherwise every row
would look closer to the recent ones than the next one is.

For a row that is classified as an earlier one, the prediction is 0.8 times the probabilities of the
discriminant plus 0.2 times those of the least-squares member with the smallest leak. With
`in_stream=None`, `retention` decides how much the row has to look like earlier ones.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float32
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.arrays.spec import Record, axes, record

RATE = 1.0 / 300.0  # of the recent mean
MOMENT_RATE = 0.005  # of the moments of recent rows
TURN_EVERY = 32  # rows from one direction to the next
FIRST_TURN = 352  # rows; of the first 300 the recent mean is that of all
MIN_ROWS = 64.0  # in the moments, before they count
THRESHOLD = 1.0  # log-likelihood ratio at which a row is an earlier one as likely as not
RELUCTANCE = 4.0  # the same where the row may be the stream's next one, times 1 - retention
SOFTNESS = 0.25  # of the transition
DISCRIMINANT_SHARE = 0.8  # of the answer to an earlier row
MIN_VARIANCE = 1e-4


class PastState(NamedTuple):
    """Recent rows against all rows; empty without a fixed layer.

    recent: mean of recent outputs
    direction: on which they are projected, of unit variance within classes; 0 before the first
    moments: of recent rows about the recent mean, projected, before they entered it (average,
    variance and number); past and recent: the mean of all rows and the recent one, projected
    """

    recent: Annotated[Float32, axes("fixed_outputs")]
    direction: Annotated[Float32, axes("fixed_outputs")]
    moments: Annotated[
        Record, record(np.float64, average=0.0, variance=1.0, n=0.0, past=0.0, recent=0.0)
    ]


@kernel
def earlier_row_probability(own, outputs, threshold):
    """Return how probable it is that a row is an earlier one rather than a recent one.

    Parameters
    ----------
    own
        `PastState`.
    outputs
        (outputs,) float32 of the fixed layer.
    threshold
        float64: log-likelihood ratio at which the row is an earlier one as likely as not.

    Returns
    -------
    float
        From 0 to 1; 0 where recent rows do not differ from all rows.
    """
    moments = own.moments
    if moments.n < MIN_ROWS:
        return 0.0
    deviation = math.sqrt(max(moments.variance, MIN_VARIANCE))
    recent = moments.recent + moments.average
    separation = (recent - moments.past) / deviation
    if not separation > 0.0:
        return 0.0
    projected = np.float64(dot(own.direction, 0, outputs, 0, len(own.direction)))
    distance = (recent - projected) / deviation
    ratio = separation * (distance - 0.5 * separation)
    if not math.isfinite(ratio):
        return 0.0
    # The logistic function, without overflow.
    probability = 0.5 + 0.5 * math.tanh(0.5 * (ratio - threshold) / SOFTNESS)
    return probability * min(separation, 1.0)


@kernel
def blend_earlier_prediction(probability, proba, member, n_classes, answer):
    """Blend the predictions of what forgets least into `answer`, as far as a row is an earlier one.

    Parameters
    ----------
    probability
        float64: that the row is an earlier one.
    proba
        (n_classes or more,) float64: the discriminant's probabilities.
    member
        (n_classes or more,) float64: those of the least-squares member with the smallest leak.
    n_classes
        int64.
    answer
        (n_classes or more,) float64, overwritten.
    """
    for c in range(n_classes):
        past = DISCRIMINANT_SHARE * proba[c] + (1.0 - DISCRIMINANT_SHARE) * member[c]
        answer[c] += probability * (past - answer[c])


@kernel
def learn_recent(own, outputs, n_rows):
    """Take a row into the recent mean and, before that, into the moments of recent rows.

    Parameters
    ----------
    own
        `PastState`.
    outputs
        (outputs,) float32.
    n_rows
        float64: rows learned before.
    """
    moments = own.moments
    n = len(own.recent)
    rate = max(RATE, 1.0 / (n_rows + 1.0))
    if moments.n > 0.0:
        rest = np.float64(dot(own.direction, 0, outputs, 0, n)) - moments.recent
        moved = rest - moments.average
        share = max(MOMENT_RATE, 1.0 / moments.n)
        moments.average += share * moved
        moments.variance += share * ((1.0 - share) * moved * moved - moments.variance)
        moments.n += 1.0
        moments.recent += rate * rest
    for j in range(n):
        own.recent[j] += np.float32(rate) * (outputs[j] - own.recent[j])


@kernel
def update_direction(own, mean, turned, n_rows):
    """Take a new direction.

    Parameters
    ----------
    own
        `PastState`.
    mean
        (outputs,) float32: of all rows.
    turned
        (outputs,) float32: the inverse of the scatter within classes, times the recent mean less
        that of all rows.
    n_rows
        float64: rows that the scatter is a sum over.
    """
    n = len(own.recent)
    moments = own.moments
    length = 0.0
    for j in range(n):
        length += np.float64(turned[j]) * (own.recent[j] - mean[j])
    if not (length > 0.0 and math.isfinite(length)):
        return
    scale = np.float32(math.sqrt(n_rows / length))
    for j in range(n):
        own.direction[j] = scale * turned[j]
    moments.n = max(moments.n, 1.0)
    moments.past = dot(own.direction, 0, mean, 0, n)
    moments.recent = dot(own.direction, 0, own.recent, 0, n)
