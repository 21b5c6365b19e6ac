"""Values that come late.

A mixture of experts, each weighted by how well it did when the row was predicted.

With values at once one stack has the last word. When they are late, what is best differs from
stream to stream: a single slow member where the target wanders on, the stack of what members said
then where they know little of rows to come, that of what they say by now where rows are
independent, the linear members where there is little to learn from. So the members, both stacks,
the mean of all and that of the linear ones are weighted by exp(-RATE * sum of squared errors / (2 *
error of the best)), fading: the aggregation of Vovk (1990).

Errors of rows that wait together are much alike, and alike is what they say of whom to trust: a row
counts as the share (1 - r) / (1 + r) of an observation, where r is the correlation of the mixture's
error with the one before (Bayley & Hammersley 1946).
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.readout.mixture import EARLY, FADE
from loco_stream.options import N_OTHERS

__all__ = ["judge", "own_share", "weigh"]

RATE = 0.2
LARGEST = 16.0  # squared error that is believed
LEAST = 1e-4  # mean square of the best
PACE = 0.005  # of that mean
THEN, NOW, MEAN, LINEAR = range(4)  # the `N_OTHERS` experts behind the members
N_ERRORS, POWER, PRODUCT, LAST_ERROR = range(4)  # of `LateValues.alike`
ALIKE_PACE = 0.01
MOST_ALIKE = 0.9  # correlation that is believed


@kernel
def weigh(settings, values, stack, weights):
    """Write how much each member counts in the mixture of all experts."""
    evidence = values.evidence
    n = stack.shape[0]
    top = -math.inf
    total = 0.0
    first = settings.n_trace
    n_linear = settings.n_linear
    for e in range(evidence.shape[0]):
        top = max(top, evidence[e])
    for e in range(evidence.shape[0]):
        total += math.exp(evidence[e] - top)
    then = math.exp(evidence[n + THEN] - top) / total
    now = math.exp(evidence[n + NOW] - top) / total
    mean = math.exp(evidence[n + MEAN] - top) / total
    linear = math.exp(evidence[n + LINEAR] - top) / total
    for a in range(n):
        own = math.exp(evidence[a] - top) / total
        weights[a] = own + then * stack[a] + now * values.stack[a] + mean / n
        if n_linear == 0:
            weights[a] += linear / n
        elif first <= a < first + n_linear:
            weights[a] += linear / n_linear


@kernel
def own_share(alike, error):
    """Return what share of an observation a row is, by how alike errors of the mixture are to those before them."""
    alike[N_ERRORS] += 1.0
    error = min(max(error, -math.sqrt(LARGEST)), math.sqrt(LARGEST))
    pace = max(ALIKE_PACE, 1.0 / alike[N_ERRORS])
    alike[POWER] += pace * (error * error - alike[POWER])
    alike[PRODUCT] += pace * (error * alike[LAST_ERROR] - alike[PRODUCT])
    alike[LAST_ERROR] = error
    r = alike[PRODUCT] / alike[POWER] if alike[POWER] > 0.0 else 0.0
    r = min(max(r, 0.0), MOST_ALIKE)
    return (1.0 - r) / (1.0 + r)


@kernel
def judge(settings, values, stack, outputs, stride, error, target, share):
    """Take `share` of each expert's error at a target into its evidence.

    Members said `outputs` at a * stride.

    `error` is that of the mixture.
    """
    evidence = values.evidence
    count = values.judged
    best_error = values.error
    n = stack.shape[0]
    then = 0.0
    now = 0.0
    mean = 0.0
    linear = 0.0
    first = settings.n_trace
    n_linear = settings.n_linear
    share *= own_share(values.alike, error)
    count[0] += share
    fade = min(FADE, count[0] / (count[0] + EARLY))
    keep = 1.0 - share * (1.0 - fade)
    rate = 0.5 * share * RATE / max(best_error[0], LEAST)
    best = 0
    least = 0.0
    for e in range(n + N_OTHERS):
        score = (
            then if e == n + THEN else now if e == n + NOW else mean if e == n + MEAN else linear
        )
        if e < n:
            score = np.float64(outputs[e * stride])
            then += stack[e] * score
            now += values.stack[e] * score
            mean += score / n
            linear += (
                score / n
                if n_linear == 0
                else score / n_linear
                if first <= e < first + n_linear
                else 0.0
            )
        off = min((score - target) * (score - target), LARGEST)
        evidence[e] = keep * evidence[e] - rate * off
        if e == 0 or evidence[e] > evidence[best]:
            best = e
            least = off
    best_error[0] += share * max(PACE, 1.0 / max(count[0], 1.0)) * (least - best_error[0])
