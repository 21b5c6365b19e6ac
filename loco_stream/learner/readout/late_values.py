"""Values that come late: a mixture of experts, each weighted by how well it did when the row was predicted.

With values at once one stack has the last word. When they are late, what is best differs from stream to stream: a
single slow member where the target wanders on, the stack of what members said then where they know little of rows to
come, or that of what they say by now where rows are independent. So the members, both stacks and the mean of all are
weighted by exp(-RATE * sum of squared errors / (2 * error of the best)), fading: the aggregation of Vovk (1990), with a
small rate since the errors of rows that wait together are much alike.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.readout.mixture import EARLY, FADE

__all__ = ["judge", "weigh"]

RATE = 0.1
LARGEST = 16.0  # squared error that is believed
LEAST = 1e-4  # mean square of the best
PACE = 0.005  # of that mean


@kernel
def weigh(values, stack, weights):
    """Write how much each member counts in the mixture of all experts."""
    evidence, n, top, total = values.evidence, stack.shape[0], -math.inf, 0.0
    for e in range(n + 3):
        top = max(top, evidence[e])
    for e in range(n + 3):
        total += math.exp(evidence[e] - top)
    then = math.exp(evidence[n] - top) / total
    now = math.exp(evidence[n + 1] - top) / total
    mean = math.exp(evidence[n + 2] - top) / total
    for a in range(n):
        own = math.exp(evidence[a] - top) / total
        weights[a] = own + then * stack[a] + now * values.stack[a] + mean / n


@kernel
def judge(values, stack, outputs, stride, target, share):
    """Take `share` of each expert's error at a target into its evidence; members said `outputs` at a * stride."""
    evidence, count, best_error, n = values.evidence, values.judged, values.error, stack.shape[0]
    then, now, mean = 0.0, 0.0, 0.0
    count[0] += share
    fade = min(FADE, count[0] / (count[0] + EARLY))
    keep, rate, best, least = 1.0 - share * (1.0 - fade), 0.5 * share * RATE / max(best_error[0], LEAST), 0, 0.0
    for e in range(n + 3):
        score = then if e == n else now if e == n + 1 else mean
        if e < n:
            score = np.float64(outputs[e * stride])
            then += stack[e] * score
            now += values.stack[e] * score
            mean += score / n
        error = min((score - target) * (score - target), LARGEST)
        evidence[e] = keep * evidence[e] - rate * error
        if e == 0 or evidence[e] > evidence[best]:
            best, least = e, error
    best_error[0] += share * max(PACE, 1.0 / max(count[0], 1.0)) * (least - best_error[0])
