"""Intervals of a regression: recent residuals, and the quantiles that bound a prediction.

Split conformal prediction (Lei et al. 2018) on a window: the interval of a coverage is the
prediction plus and minus the residual that so large a share of the last 500 stayed below. A stream
drifts, so the share is adapted by what was missed (adaptive conformal inference, Gibbs & Candes
2021), for each coverage separately. Dividing residuals by how far members disagree, or by the
variance that a projector predicts, gave no narrower intervals.

Residuals are kept, not rows: in the order in which they came, and once more sorted.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Record, Shapes, axes, record
from loco_stream._learner.target_units import deviation_of

COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
RESIDUALS = 500  # that the intervals are made of
ADAPTATION_RATE = 0.02  # per row
MAX_SHARE = 0.5  # of the misses aimed at: the most by which one row adapts
MIN_RESIDUALS = 20  # before targets are bounded
REACH_QUANTILE = 0.99
REACH = 3.0  # a target counts as no further off than so many times that quantile


def start_risks(risks: Array, shapes: Shapes) -> None:
    """Write the share of misses that each coverage aims at, along the last axis."""
    risks[:] = [1.0 - coverage for coverage in COVERAGES[: risks.shape[-1]]]


class ResidualState(NamedTuple):
    """Residuals of a regression; empty in classification.

    counters: n_residuals so far
    recent: the last ones, in a ring
    ordered: the same ones, ascending
    risks: share of misses aimed at, per coverage
    """

    counters: Annotated[Record, record(np.int64, n_residuals=0)]
    recent: Annotated[Float64, axes("residuals", within=NOT_NEGATIVE)]
    ordered: Annotated[Float64, axes("residuals", within=NOT_NEGATIVE)]
    risks: Annotated[Float64, axes("coverages", start=start_risks, within=(0.0, 1.0))]


@kernel
def _quantile(residuals, share):
    """Return the residual that `share` (float64) of those kept stay below."""
    n = min(residuals.counters.n_residuals, RESIDUALS)
    rank = math.ceil((n + 1) * share)
    return residuals.ordered[min(max(rank, 1), n) - 1]


@kernel
def _radius(residuals, level):
    """Return the half width of the interval of a coverage; infinite with too few residuals."""
    n = min(residuals.counters.n_residuals, RESIDUALS)
    if (n + 1) * COVERAGES[level] > n:
        return math.inf
    return _quantile(residuals, 1.0 - residuals.risks[level])


@kernel
def write_radii(residuals, radii):
    """Write the half width of the interval of each coverage, up to the length of `radii`.

    Parameters
    ----------
    residuals
        `ResidualState`.
    radii
        float64, written.
    """
    for level in range(min(len(residuals.risks), len(radii))):
        radii[level] = _radius(residuals, level)


@kernel
def _reach(residuals):
    """Return how far from its prediction a target may lie before it is taken for an outlier."""
    if residuals.counters.n_residuals < MIN_RESIDUALS:
        return math.inf
    return REACH * _quantile(residuals, REACH_QUANTILE)


@kernel
def bounded_target(residuals, statistics, j, value, predicted):
    """Return a value of target `j`, as far from its prediction as the residuals reach.

    An outlier counts as one large residual and not as its size; a new level is learned, since the
    reach grows as soon as a few residuals are large.

    Parameters
    ----------
    residuals
        `ResidualState` of the target, before it keeps the residual of this value.
    statistics, j
        As in `value_of`.
    value, predicted
        float64.
    """
    reach = max(_reach(residuals), deviation_of(statistics, j))
    return min(max(value, predicted - reach), predicted + reach)


@kernel
def followed_target(statistics, j, value, bounded, predicted, previous):
    """Return a value as the next answers may follow it, and widen the range of answers by it.

    A single outlier counts as far as it is learned. A second value on the same side counts as far
    as the first one lay: it may be a new level. Neither mean nor scale of the target moves.

    Parameters
    ----------
    statistics, j
        As in `value_of`.
    value, bounded, predicted, previous
        float64: the value, what `bounded_target` makes of it, its prediction, and the value known
        before it; NaN for none.
    """
    if bounded != value and (previous - predicted) * (value - predicted) > 0.0:
        reach = max(abs(bounded - predicted), abs(previous - predicted))
        bounded = min(max(value, predicted - reach), predicted + reach)
        statistics.lowest[j] = min(statistics.lowest[j], bounded)
        statistics.highest[j] = max(statistics.highest[j], bounded)
    return bounded


@kernel
def _position(ordered, n, value):
    """Return how many of the first n elements, ascending, are below a value."""
    low = 0
    high = n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _adapt_risks(residuals, residual):
    for level in range(len(residuals.risks)):
        radius = _radius(residuals, level)
        if radius < math.inf:
            missed = 1.0 if residual > radius else 0.0
            aim = 1.0 - COVERAGES[level]
            risk = residuals.risks[level]
            risk += min(ADAPTATION_RATE, MAX_SHARE * aim) * (aim - missed)
            residuals.risks[level] = min(max(risk, 0.0), 1.0)


@kernel
def learn_residual(residuals, residual):
    """Adapt the risks by a residual (float64), and keep it for the oldest one."""
    _adapt_risks(residuals, residual)
    keep_residual(residuals, residual)


@kernel
def keep_residual(residuals, residual):
    """Keep a residual (float64) for the oldest one of a `ResidualState`."""
    counters = residuals.counters
    recent = residuals.recent
    ordered = residuals.ordered
    slot = counters.n_residuals % RESIDUALS
    n = min(counters.n_residuals, RESIDUALS)
    if n == RESIDUALS:
        n -= 1
        for i in range(min(_position(ordered, RESIDUALS, recent[slot]), n), n):
            ordered[i] = ordered[i + 1]
    position = _position(ordered, n, residual)
    for i in range(n, position, -1):
        ordered[i] = ordered[i - 1]
    ordered[position] = residual
    recent[slot] = residual
    counters.n_residuals += 1
