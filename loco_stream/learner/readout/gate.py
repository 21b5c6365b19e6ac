"""The gate between fast and slow: who speaks for an input.

Leaky members know only the present. A member's projector says what it does not know: q = x'Px / (p0
x'x) is 1 for an input unlike any it has learned, and small for one like many. Under a leak it grows
again with time. Over inputs of one context the leaky member's log q follows that of the member
without leak, since what is unusual is little known to both; a fading linear regression learns how.
Newness is what remains, in standard deviations: high for an input that was known once, but not
lately. Then the member without leak speaks.

While some known class is dormant (so long absent that its old frequency makes the absence a change)
its weights go stale in the leaky members and in every stack, but not in the member without leak.
What that one says is then a second sign: by how much a dormant class leads there, in standard
deviations of the lead that inputs of the classes at work show. Nothing is stored but counts and
fading moments.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel

__all__ = [
    "learn_classes",
    "learn_lead",
    "learn_newness",
    "mark_dormant",
    "newness",
    "openness",
    "standard_lead",
]

CLASS_COUNT, LAST_SEEN = range(2)  # rows of the classes array
# Moments: of the two members' log q; of the lead of dormant classes, and of how many rows.
(
    SLOW_MEAN,
    FAST_MEAN,
    SLOW_VARIANCE,
    FAST_VARIANCE,
    COVARIANCE,
    LEAD_MEAN,
    LEAD_VARIANCE,
    LEAD_COUNT,
) = range(8)
SLOW, FAST = range(2)  # the members that are compared: without leak, and of the slowest leak
N_COMPARED = 2

DORMANT_AFTER = 10.0  # a class counts as known from so many samples on
DORMANT_ODDS = -13.8  # log of 1e-6: odds of so long an absence by chance
GUARD_ABSENCE = (
    30.0  # and never sooner, since labels may come in runs: for keeping the hidden layers still
)
GATE_ABSENCE = 100.0  # and for opening the gate
THRESHOLD = 12.0  # newness at which both speak alike, times 1 - retention
DORMANT_THRESHOLD = 12.0  # newness and lead together, while a class is dormant
SOFTNESS = 0.5  # of the change from the one to the other
FADE = 0.05  # of the moments
LEAD_ROWS = 10.0  # rows before which a lead says nothing
LEAST_SHARE = 1e-9  # of an input's energy; rounding can take a share below zero
LEAST_VARIANCE = 1e-4


@kernel
def mark_dormant(classes, n_classes, n_seen, rows_a_draw, dormant):
    """Write which known classes have been absent for longer than chance explains, by `GATE_ABSENCE` at least.

    A draw of a label takes `rows_a_draw` rows: more than one where late labels come in runs.
    Returns whether hidden layers are to be kept still, and whether some class is dormant.
    """
    guarded = False
    any_dormant = False
    for c in range(n_classes):
        dormant[c] = 0.0
        count = classes[CLASS_COUNT, c]
        absence = (n_seen - classes[LAST_SEEN, c]) / rows_a_draw
        if absence < GUARD_ABSENCE or count < DORMANT_AFTER or count >= n_seen:
            continue
        if absence * math.log(1.0 - count / n_seen) < DORMANT_ODDS:
            guarded = True
            if absence >= GATE_ABSENCE:
                dormant[c] = 1.0
                any_dormant = True
    return guarded, any_dormant


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
def learn_newness(shares, moments, n_seen, share):
    """Take the shares x'Px / (p0 x'x) of a learned sample into the fading moments of their logarithms."""
    rate = max(share * FADE, 1.0 / (n_seen + 1.0))
    slow = _log_share(shares, SLOW) - moments[SLOW_MEAN]
    fast = _log_share(shares, FAST) - moments[FAST_MEAN]
    moments[SLOW_MEAN] += rate * slow
    moments[FAST_MEAN] += rate * fast
    moments[SLOW_VARIANCE] += rate * (slow * slow - moments[SLOW_VARIANCE])
    moments[FAST_VARIANCE] += rate * (fast * fast - moments[FAST_VARIANCE])
    moments[COVARIANCE] += rate * (slow * fast - moments[COVARIANCE])


@kernel
def _lead(slow, n_classes, dormant):
    """Return by how much the best dormant class leads the best of the others in the slow member's outputs."""
    asleep = -math.inf
    awake = -math.inf
    for c in range(n_classes):
        if dormant[c] != 0.0:
            asleep = max(asleep, np.float64(slow[c]))
        else:
            awake = max(awake, np.float64(slow[c]))
    return asleep - awake if math.isfinite(asleep) and math.isfinite(awake) else 0.0


@kernel
def standard_lead(slow, n_classes, dormant, moments):
    """Return the lead of dormant classes in standard deviations of what inputs of the classes at work show."""
    if moments[LEAD_COUNT] < LEAD_ROWS:
        return 0.0
    lead = _lead(slow, n_classes, dormant)
    return (lead - moments[LEAD_MEAN]) / math.sqrt(max(moments[LEAD_VARIANCE], LEAST_VARIANCE))


@kernel
def learn_lead(slow, n_classes, dormant, moments):
    """Take a sample of a class at work into the moments of the lead."""
    moments[LEAD_COUNT] += 1.0
    rate = max(FADE, 1.0 / moments[LEAD_COUNT])
    rest = _lead(slow, n_classes, dormant) - moments[LEAD_MEAN]
    moments[LEAD_MEAN] += rate * rest
    moments[LEAD_VARIANCE] += rate * ((1.0 - rate) * rest * rest - moments[LEAD_VARIANCE])


@kernel
def openness(evidence, dormant, retention):
    """Return how far the gate is open, from 0 to 1, given newness (and lead, while a class is dormant)."""
    threshold = (DORMANT_THRESHOLD if dormant else THRESHOLD) * (1.0 - retention)
    return 0.5 + 0.5 * math.tanh(
        0.5 * (evidence - threshold) / SOFTNESS
    )  # the logistic function, without overflow


@kernel
def learn_classes(classes, label, n_seen):
    """Count a label, and when it was seen last."""
    classes[CLASS_COUNT, label] += 1.0
    classes[LAST_SEEN, label] = n_seen
