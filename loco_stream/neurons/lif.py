"""Leaky integrate-and-fire neurons one by one, for nets with a queue: exact, without an exponential a spike received.

Between events (v - level) decays by exp(-dt / tau). Stored is w = (v - level) exp((t - base) / tau),
which does not change between events at all: a spike of weight J that arrives at t adds J exp((t - base) / tau),
one exponential for all its targets; and v reaches the threshold where w reaches gap exp((t - base) / tau) with
gap = threshold - level, which solves for t where a drive above threshold (gap < 0) makes neurons fire by
themselves. `base` moves on before the factor grows large, so nothing is lost or overflows.

The functions called for each spike received have no branches: with them numba would count references to the
arrays, by atomic operations that cost more than all the rest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream.jit import kernel

__all__ = ["LIF", "lif_cells", "lif_crossing", "lif_enter", "lif_fire", "lif_quiet", "lif_ready", "lif_receive"]

LAST_FIRE, SCALED, GAP, LEVEL = 0, 1, 2, 3
TAU, REFRACTORY, RESET_ZERO, BASE, FACTOR = 0, 1, 2, 3, 4
_REBASE = 32.0  # in units of tau: exp(32) is 8e13, far from overflow


class LIF(NamedTuple):
    """Says that cells are (n, 4) float64: last spike in ms, w, threshold - level, level (the drive).

    Their numbers are (5,) float64: tau and refractory period in ms, 1 if the reset is to zero, base in ms,
    exp((now - base) / tau).
    """

    code: int = 0


def lif_cells(v: Any, threshold: Any, level: Any, tau: float, refractory: float, reset_zero: bool) -> tuple[Any, Any]:
    """Return cells and numbers at time 0 for membranes `v`."""
    cells = np.column_stack((np.full(len(v), -np.inf), v - level, threshold - level, level))
    return np.ascontiguousarray(cells), np.array([tau, refractory, float(reset_zero), 0.0, 1.0])


@kernel
def lif_enter(cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the present; times never run backwards."""
    tau = numbers[TAU]
    since = t - numbers[BASE]
    if since > _REBASE * tau:
        shrink = math.exp(-since / tau)
        for i in range(cells.shape[0]):
            cells[i, SCALED] *= shrink
        numbers[BASE] = t
        since = 0.0
    numbers[FACTOR] = math.exp(since / tau)


@kernel
def lif_quiet(cells: Any, numbers: Any, first: int, stop: int) -> Any:
    """Return whether none of the neurons `first` to `stop - 1` can have reached its threshold by now."""
    factor = numbers[FACTOR]
    loud = 0
    for i in range(first, stop):
        loud += cells[i, SCALED] >= cells[i, GAP] * factor
    return loud == 0


@kernel
def lif_crossing(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return when neuron `i` first reached its threshold from below by the present `t`, or infinity."""
    gap = cells[i, GAP]
    scaled = cells[i, SCALED]
    if gap >= 0.0 or scaled >= 0.0 or scaled < gap * numbers[FACTOR]:
        return math.inf
    return min(numbers[BASE] + numbers[TAU] * math.log(scaled / gap), t)


@kernel
def lif_receive(cells: Any, numbers: Any, i: int, weight: float, t: float) -> None:
    """Add a spike that arrives now, unless the neuron is refractory."""
    heard = cells[i, LAST_FIRE] + numbers[REFRACTORY] <= t
    cells[i, SCALED] += (weight if heard else 0.0) * numbers[FACTOR]


@kernel
def lif_ready(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return whether neuron `i` is at or above threshold and not refractory."""
    above = cells[i, SCALED] >= cells[i, GAP] * numbers[FACTOR]
    return above & (cells[i, LAST_FIRE] + numbers[REFRACTORY] <= t)


@kernel
def lif_fire(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Reset neuron `i`, which fired at `t`; return whether it is still at or above threshold."""
    tau = numbers[TAU]
    membrane = cells[i, SCALED] * math.exp((numbers[BASE] - t) / tau)
    threshold = cells[i, GAP] + cells[i, LEVEL]
    above_level = membrane - threshold if numbers[RESET_ZERO] == 0.0 else -cells[i, LEVEL]
    # The membrane stands still through the refractory period: scale it as if it had started only at its end.
    cells[i, SCALED] = above_level * math.exp((t + numbers[REFRACTORY] - numbers[BASE]) / tau)
    return above_level >= cells[i, GAP]
