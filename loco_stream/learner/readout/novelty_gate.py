"""The gate between fast and slow: who speaks for an input.

Leaky members know only the present. A member's projector says what it does not know: q = x'Px / (p0 x'x) is 1 for
an input unlike any it has learned, and small for one like many. Under a leak it grows again with time. Over inputs of
one context the leaky member's log q follows that of the member without leak, since what is unusual is little known to
both; a fading linear regression learns how. Newness is what remains, in standard deviations: high for an input that
was known once, but not lately. Then the member without leak speaks, and sooner while some known class is dormant (so
long absent that its old frequency makes the absence a change). Nothing is stored but counts and five fading moments.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel

__all__ = ["any_dormant", "blend", "learn_classes", "learn_newness", "learn_sharpness", "newness", "to_proba"]

CLASS_COUNT, LAST_SEEN = range(2)  # rows of the classes array
SLOW_MEAN, FAST_MEAN, SLOW_VARIANCE, FAST_VARIANCE, COVARIANCE = range(5)  # of the two members' log q
SLOW, FAST = range(2)  # the members that are compared: without leak, and of the slowest leak
N_COMPARED = 2

DORMANT_AFTER = 10.0  # a class counts as known from so many samples on
DORMANT_ODDS = -13.8  # log of 1e-6: odds of so long an absence by chance
DORMANT_ABSENCE = 100.0  # and never sooner, since labels may come in runs
THRESHOLD = 12.0  # newness at which both speak alike, times 1 - retention
DORMANT_THRESHOLD = 6.0  # the same while a class is dormant: then an old input is likelier beforehand
SOFTNESS = 0.5  # of the change from the one to the other
NEWNESS_FADE = 0.05
LEAST_SHARE = 1e-9  # of an input's energy; rounding can take a share below zero
LEAST_VARIANCE = 1e-4
SHARPNESS_RATE = 0.02
SHARPNESS_RANGE = (1.0, 40.0)


@kernel
def any_dormant(classes, n_classes, n_seen):
    """Return whether a known class has been absent for longer than chance explains."""
    for c in range(n_classes):
        count = classes[CLASS_COUNT, c]
        if count >= DORMANT_AFTER and count < n_seen:
            absence = n_seen - classes[LAST_SEEN, c]
            if absence >= DORMANT_ABSENCE and absence * math.log(1.0 - count / n_seen) < DORMANT_ODDS:
                return True
    return False


@kernel
def _log_share(shares, member):
    return math.log(max(shares[1, member], LEAST_SHARE))


@kernel
def newness(shares, moments):
    """Return how many standard deviations the fast member's log share lies above what the slow member's suggests."""
    slope = moments[COVARIANCE] / moments[SLOW_VARIANCE] if moments[SLOW_VARIANCE] > 0.0 else 0.0
    expected = moments[FAST_MEAN] + slope * (_log_share(shares, SLOW) - moments[SLOW_MEAN])
    variance = moments[FAST_VARIANCE] - slope * moments[COVARIANCE]
    return (_log_share(shares, FAST) - expected) / math.sqrt(max(variance, LEAST_VARIANCE))


@kernel
def learn_newness(shares, moments, n_seen):
    """Take the shares x'Px / (p0 x'x) of a learned sample into the fading moments of their logarithms."""
    rate = max(NEWNESS_FADE, 1.0 / (n_seen + 1.0))
    slow, fast = _log_share(shares, SLOW) - moments[SLOW_MEAN], _log_share(shares, FAST) - moments[FAST_MEAN]
    moments[SLOW_MEAN] += rate * slow
    moments[FAST_MEAN] += rate * fast
    moments[SLOW_VARIANCE] += rate * (slow * slow - moments[SLOW_VARIANCE])
    moments[FAST_VARIANCE] += rate * (fast * fast - moments[FAST_VARIANCE])
    moments[COVARIANCE] += rate * (slow * fast - moments[COVARIANCE])


@kernel
def blend(scores, slow, n_classes, new, dormant, retention):
    """Blend the stacked scores with the slow member's, the more the higher the newness `new`, in place."""
    threshold = (DORMANT_THRESHOLD if dormant else THRESHOLD) * (1.0 - retention)
    openness = 0.5 + 0.5 * math.tanh(0.5 * (new - threshold) / SOFTNESS)  # the logistic function, without overflow
    for c in range(n_classes):
        scores[c] += openness * (np.float64(slow[c]) - scores[c])


@kernel
def to_proba(scores, sharpness, n_classes, proba):
    """Write the softmax of sharpness * scores."""
    top = scores[0]
    for c in range(1, n_classes):
        top = max(top, scores[c])
    total = 0.0
    for c in range(n_classes):
        proba[c] = math.exp(sharpness * (scores[c] - top))
        total += proba[c]
    for c in range(n_classes):
        proba[c] /= total


@kernel
def learn_sharpness(scores, n_classes, label, sharpness):
    """Return the factor from scores to log-odds after one gradient step on the log-loss."""
    top, total, mean, square = -math.inf, 0.0, 0.0, 0.0
    for c in range(n_classes):
        top = max(top, sharpness * scores[c])
    for c in range(n_classes):
        total += math.exp(sharpness * scores[c] - top)
    for c in range(n_classes):
        p = math.exp(sharpness * scores[c] - top) / total
        mean += p * scores[c]
        square += p * scores[c] * scores[c]
    slope = scores[label] - mean
    curvature = max(square - mean * mean, 0.0) + 0.01
    moved = sharpness + SHARPNESS_RATE * slope / curvature
    low, high = SHARPNESS_RANGE
    return min(max(moved, low), high) if math.isfinite(moved) else sharpness


@kernel
def learn_classes(classes, label, n_seen):
    """Count a label, and when it was seen last."""
    classes[CLASS_COUNT, label] += 1.0
    classes[LAST_SEEN, label] = n_seen
