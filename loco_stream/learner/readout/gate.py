"""The gate between slow and fast members: which of them answers for an input.

Leaky members know only the present. The projector of a member tells what it does not know: the
novelty score q = x'Px / (p0 x'x) is 1 for an input unlike any that was learned, and small for one
like many. Under a leak it grows again with time. Over inputs of one context the log q of the leaky
member follows that of the member without leak, since what is unusual is little known to both; a
fading linear regression learns how. What remains, in standard deviations, is high for an input that
was known once but not recently. Then the member without leak answers.

While some known class is dormant (absent for so long that its earlier frequency makes this a
change) its weights grow stale in the leaky members and in every stack, but not in the member
without leak. The second sign is then the margin by which a dormant class leads there, in standard
deviations of the margin that inputs of present classes show. Only counts and fading moments are
stored.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.spec import Record, axes, record

__all__ = [
    "N_COMPARED",
    "ClassState",
    "GateState",
    "activation",
    "count_label",
    "learn_margin",
    "learn_novelty",
    "mark_dormant",
    "novelty",
    "standard_margin",
]

SLOW = 0  # the members that are compared: without leak,
FAST = 1  # and of the slowest leak
N_COMPARED = 2

DORMANT_AFTER = 10.0  # rows from which on a class counts as known
DORMANT_LOG_ODDS = -13.8  # log of 1e-6: odds of so long an absence by chance
GUARD_ABSENCE = (
    30.0  # rows at least, since labels may come in runs, until hidden layers stand still
)
GATE_ABSENCE = 100.0  # and until the gate opens
THRESHOLD = 12.0  # novelty at which both members count alike, times 1 - retention
DORMANT_THRESHOLD = 12.0  # of novelty and margin together, while a class is dormant
SOFTNESS = 0.5  # of the transition
RATE = 0.05  # of the moments
MARGIN_ROWS = 10.0  # before a margin says anything
MIN_SHARE = 1e-9  # of an input's energy; rounding can take a share below zero
MIN_VARIANCE = 1e-4


class ClassState(NamedTuple):
    """Rows of each class, and the number of the last one."""

    n_rows: Annotated[NDArray[np.float64], axes("classes")]
    last_seen: Annotated[NDArray[np.float64], axes("classes")]


class GateState(NamedTuple):
    """Moments of the log novelty scores of two members, and of the margin of dormant classes."""

    moments: Annotated[
        Record,
        record(
            np.float64,
            slow_mean=0.0,
            fast_mean=0.0,
            slow_variance=0.0,
            fast_variance=0.0,
            covariance=0.0,
            margin_mean=0.0,
            margin_variance=0.0,
            n_margins=0.0,
        ),
    ]


@kernel
def mark_dormant(classes, n_classes, n_seen, rows_per_draw, dormant):
    """Mark the known classes that were absent for longer than chance explains.

    Parameters
    ----------
    classes
        `ClassState`.
    n_classes, n_seen
        int64.
    rows_per_draw
        float64: rows that one draw of a label takes; more than 1 where late labels come in runs.
    dormant
        (n_classes or more,) float64, written: 1 where a class was absent for `GATE_ABSENCE` or
        more.

    Returns
    -------
    tuple
        Whether hidden layers stand still, and whether some class is dormant.
    """
    guarded = False
    any_dormant = False
    for c in range(n_classes):
        dormant[c] = 0.0
        count = classes.n_rows[c]
        absence = (n_seen - classes.last_seen[c]) / rows_per_draw
        if absence < GUARD_ABSENCE or count < DORMANT_AFTER or count >= n_seen:
            continue
        if absence * math.log(1.0 - count / n_seen) < DORMANT_LOG_ODDS:
            guarded = True
            if absence >= GATE_ABSENCE:
                dormant[c] = 1.0
                any_dormant = True
    return guarded, any_dormant


@kernel
def _log_score(relative_energies, member):
    return math.log(max(relative_energies[member], MIN_SHARE))


@kernel
def novelty(relative_energies, moments):
    """Return by how much the fast member's log score exceeds what the slow member's predicts.

    In standard deviations. `relative_energies` is (2 or more,) float64, `moments` the gate's
    record.
    """
    slope = moments.covariance / moments.slow_variance if moments.slow_variance > 0.0 else 0.0
    expected = moments.fast_mean + slope * (_log_score(relative_energies, SLOW) - moments.slow_mean)
    variance = moments.fast_variance - slope * moments.covariance
    excess = _log_score(relative_energies, FAST) - expected
    return excess / math.sqrt(max(variance, MIN_VARIANCE))


@kernel
def learn_novelty(relative_energies, moments, n_seen, share):
    """Take the novelty scores of a learned row into the fading moments of their logarithms.

    `n_seen` is an int64, `share` a float64; see `novelty`.
    """
    rate = max(share * RATE, 1.0 / (n_seen + 1.0))
    slow = _log_score(relative_energies, SLOW) - moments.slow_mean
    fast = _log_score(relative_energies, FAST) - moments.fast_mean
    moments.slow_mean += rate * slow
    moments.fast_mean += rate * fast
    moments.slow_variance += rate * (slow * slow - moments.slow_variance)
    moments.fast_variance += rate * (fast * fast - moments.fast_variance)
    moments.covariance += rate * (slow * fast - moments.covariance)


@kernel
def _margin(slow, n_classes, dormant):
    """Return by how much the best dormant class leads the best other one in the slow member."""
    best_dormant = -math.inf
    best_present = -math.inf
    for c in range(n_classes):
        if dormant[c] != 0.0:
            best_dormant = max(best_dormant, np.float64(slow[c]))
        else:
            best_present = max(best_present, np.float64(slow[c]))
    if math.isfinite(best_dormant) and math.isfinite(best_present):
        return best_dormant - best_present
    return 0.0


@kernel
def standard_margin(slow, n_classes, dormant, moments):
    """Return the margin of dormant classes in standard deviations; 0 after too few rows.

    Parameters
    ----------
    slow
        (n_classes or more,) float32 outputs of the slow member.
    n_classes
        int64.
    dormant
        (n_classes or more,) float64, 1 where a class is dormant.
    moments
        The gate's record.
    """
    if moments.n_margins < MARGIN_ROWS:
        return 0.0
    margin = _margin(slow, n_classes, dormant)
    return (margin - moments.margin_mean) / math.sqrt(max(moments.margin_variance, MIN_VARIANCE))


@kernel
def learn_margin(slow, n_classes, dormant, moments):
    """Take a row of a present class into the moments of the margin; see `standard_margin`."""
    moments.n_margins += 1.0
    rate = max(RATE, 1.0 / moments.n_margins)
    rest = _margin(slow, n_classes, dormant) - moments.margin_mean
    moments.margin_mean += rate * rest
    moments.margin_variance += rate * ((1.0 - rate) * rest * rest - moments.margin_variance)


@kernel
def activation(evidence, dormant, retention):
    """Return how far the gate is open, 0 to 1, by novelty (and margin, while a class is dormant).

    `evidence` and `retention` are float64, `dormant` is a bool.
    """
    threshold = (DORMANT_THRESHOLD if dormant else THRESHOLD) * (1.0 - retention)
    # The logistic function, without overflow.
    return 0.5 + 0.5 * math.tanh(0.5 * (evidence - threshold) / SOFTNESS)


@kernel
def count_label(classes, label, n_seen):
    """Count a row of class `label`, the one after `n_seen` rows (int64)."""
    classes.n_rows[label] += 1.0
    classes.last_seen[label] = n_seen
