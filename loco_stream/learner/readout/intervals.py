"""How far a regression is off.

Residuals of late, the quantiles that bound a prediction, the reach of one target.

Split conformal prediction (Lei et al. 2018) on a window: the interval of a coverage is the
prediction plus and minus the residual that so many of the last `WINDOW` stayed below. A stream
drifts, so the share to stay below is itself adapted by what was missed (adaptive conformal
inference, Gibbs & Candes 2021), for each coverage apart. Dividing residuals by how far members
disagree, or by the variance that a projector tells, was measured: no narrower.

What is kept are residuals, no rows, in the order they came and once more sorted.
"""

from __future__ import annotations

import math

from loco_stream._compiler.jit import kernel
from loco_stream.options import COVERAGES, WINDOW

__all__ = ["learn_residual", "radii", "reach"]

ARRIVAL, SORTED = range(2)  # rows of the residuals
PACE = 0.02  # of the adaptation, a row
# of the misses aimed at: the most that one row adapts, for where misses are few one must not count
# for all
SHARE = 0.5
LEAST = 20  # residuals before targets are bounded
# a target counts as no further off than so many times this quantile
REACH_QUANTILE = 0.99
REACH = 3.0


@kernel
def _quantile(spread, share):
    """Return the residual that a share of those kept stays below."""
    n = min(spread.n[0], WINDOW)
    rank = math.ceil((n + 1) * share)
    return spread.residuals[SORTED, min(max(rank, 1), n) - 1]


@kernel
def _radius(spread, level):
    """Return the half width of an interval.

    Infinite while there are too few residuals for its coverage.
    """
    n = min(spread.n[0], WINDOW)
    if (n + 1) * COVERAGES[level] > n:
        return math.inf
    return _quantile(spread, 1.0 - spread.risks[level])


@kernel
def radii(spread, answer):
    """Write the half width of the interval of each coverage that there is room for."""
    for level in range(min(spread.risks.shape[0], answer.shape[0])):
        answer[level] = _radius(spread, level)


@kernel
def reach(spread):
    """Return how far from its prediction a target may lie.

    Beyond that it is taken for an outlier.
    """
    if spread.n[0] < LEAST:
        return math.inf
    return REACH * _quantile(spread, REACH_QUANTILE)


@kernel
def _place(row, n, value):
    """Return how many of the first n of a sorted row are below a value."""
    low = 0
    high = n
    while low < high:
        middle = (low + high) // 2
        if row[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def learn_residual(spread, residual):
    """Adapt the risks by a residual, and take it in for the oldest."""
    for level in range(spread.risks.shape[0]):
        radius = _radius(spread, level)
        if radius < math.inf:
            missed = 1.0 if residual > radius else 0.0
            aim = 1.0 - COVERAGES[level]
            spread.risks[level] += min(PACE, SHARE * aim) * (aim - missed)
            spread.risks[level] = min(max(spread.risks[level], 0.0), 1.0)
    arrival = spread.residuals[ARRIVAL]
    row = spread.residuals[SORTED]
    slot = spread.n[0] % WINDOW
    n = min(spread.n[0], WINDOW)
    if n == WINDOW:
        n -= 1
        for i in range(min(_place(row, WINDOW, arrival[slot]), n), n):
            row[i] = row[i + 1]
    place = _place(row, n, residual)
    for i in range(n, place, -1):
        row[i] = row[i - 1]
    row[place] = residual
    arrival[slot] = residual
    spread.n[0] += 1
