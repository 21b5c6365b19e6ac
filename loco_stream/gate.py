"""The gate between fast and slow: who speaks for an input, and which classes may come back.

Fast members know only the present. While some known class is dormant (so long absent that its
old frequency makes the absence a change), the gate lets the member without leak speak, the more
the less the input resembles recent ones; its scores are corrected for the difference between
the classes' recent and lifelong shares, with a floor that novelty raises. Nothing is stored but
counts and fading averages.

Novelty is q = x'Px / (p0 x'x) of the leaky members' own projectors, in units of its fading
standard deviation: small for inputs like recent ones, and growing as a context falls into the past.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.compiled import kernel

__all__ = ["any_dormant", "blend", "learn_classes", "learn_novelty", "learn_sharpness", "novelty", "to_proba"]

CLASS_COUNT, LAST_SEEN, RECENT = range(3)  # rows of the classes array
MEAN, VARIANCE = range(2)  # rows of the novelty array
FAST_LEAK = 1e-3  # members that leak at least so fast tell what is new

DORMANT_AFTER = 10.0  # a class counts as known from so many samples on
DORMANT_ODDS = -13.8  # log of 1e-6: odds of so long an absence by chance
DORMANT_ABSENCE = 100.0  # and never sooner, since labels may come in runs
PRIOR_FADE = 0.1
PRIOR_FLOOR = 0.01
SHIFT_UNIT = 0.05  # of a score for each unit of log prior odds
FLOOR_GROWTH = 0.5
NOVELTY_WEIGHT = 0.15
NOVELTY_MOST = 6.0
NOVELTY_FADE = 0.01
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
def novelty(shares, members, moments):
    """Return how new an input is to the fast members, in standard deviations, 0 to 6."""
    total, n = 0.0, 0
    for m in range(members.shape[1]):
        if members[0, m] >= FAST_LEAK:
            n += 1
            if moments[VARIANCE, m] > 0.0:
                total += (shares[1, m] - moments[MEAN, m]) / math.sqrt(moments[VARIANCE, m])
    return min(max(total / n, 0.0), NOVELTY_MOST) if n > 0 else 0.0


@kernel
def learn_novelty(shares, moments, n_seen):
    """Take the shares x'Px / (p0 x'x) of a learned sample into their fading mean and variance."""
    rate = max(NOVELTY_FADE, 1.0 / (n_seen + 1.0))
    for m in range(moments.shape[1]):
        delta = shares[1, m] - moments[MEAN, m]
        moments[MEAN, m] += rate * delta
        moments[VARIANCE, m] += rate * (delta * delta - moments[VARIANCE, m])


@kernel
def blend(scores, slow, n_classes, classes, n_seen, newness, retention):
    """Blend the stacked scores with the slow member's, shifted by the classes' recent odds, in place."""
    openness = 1.0 - (1.0 - retention) * math.exp(-retention * NOVELTY_WEIGHT * newness)
    floor = PRIOR_FLOOR * math.exp(FLOOR_GROWTH * newness)
    for c in range(n_classes):
        shift = math.log((classes[RECENT, c] + floor) / (classes[CLASS_COUNT, c] / n_seen + floor))
        scores[c] += openness * (np.float64(slow[c]) - scores[c] + SHIFT_UNIT * shift)


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
def learn_classes(classes, n_classes, label, n_seen):
    """Count a label: lifelong, last time seen, fading share."""
    classes[CLASS_COUNT, label] += 1.0
    classes[LAST_SEEN, label] = n_seen
    for c in range(n_classes):
        hit = 1.0 if c == label else 0.0
        classes[RECENT, c] += PRIOR_FADE * (hit - classes[RECENT, c])
