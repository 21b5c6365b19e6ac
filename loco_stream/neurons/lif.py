"""Leaky integrate-and-fire neurons.

For nets with a queue, and through a window under a constant drive.

In a net with a queue they need no exponential for a spike received. Between events (v - level)
decays by exp(-dt / tau). Stored is w = (v - level) exp((t - base) / tau), which does not change
between events at all: a spike of weight J that arrives at t adds J exp((t - base) / tau), one
exponential for all its targets; and v reaches the threshold where w reaches gap exp((t - base) /
tau) with gap = threshold - level, which solves for t where a drive above threshold (gap < 0) makes
neurons fire by themselves. `base` moves on before the factor grows large, so nothing is lost or
overflows.

The functions called for each spike received have no branches: with them numba would count
references to the arrays, by atomic operations that cost more than all the rest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.neurons.lif_net import run_lif, run_lif_samples
from loco_stream.neurons.registry import EventOperations, NeuronModel, WindowOperations
from loco_stream.neurons.spikes import LEAK_SHARE, STRONGEST, trace_of

__all__ = ["LIF", "MODEL", "lif_times", "lif_trace"]

# SCALED and SPARE: see `EventOperations.lift`
LAST_FIRE = 0
SCALED = 1
SPARE = 2
GAP = 3
LEVEL = 4
TAU = 0
REFRACTORY = 1
RESET_ZERO = 2
BASE = 3
FACTOR = 4
HORIZON = 5
LATER = 6
_LARGEST = 700.0  # exp of more overflows
_REBASE = 32.0  # in units of tau: exp(32) is 8e13, far from overflow


class LIF(NamedTuple):
    """Leaky integrate-and-fire neurons.

    `reset_zero`: whether a spike empties the membrane or costs a threshold.

    `dt`: in a window, the grid in ms on which the membrane is looked at, as clocked hardware does;
    0: at every moment.

    Cells are (n, 5) float64: last spike in ms, w, what w may rise by (see `lif_calm`), threshold -
    level, level (the drive). Their numbers are (7,) float64: tau and refractory period in ms, 1 if
    the reset is to zero, base in ms, exp((now - base) / tau), and the horizon in ms with
    exp((horizon - base) / tau).
    """

    reset_zero: bool = False
    dt: float = 0.0


def _start(
    v: Any,
    threshold: Any,
    level: Any,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Any,
) -> tuple[Any, Any]:
    cells = np.column_stack(
        (np.full(len(v), -np.inf), v - level, np.zeros(len(v)), threshold - level, level)
    )
    return np.ascontiguousarray(cells), np.array(
        [tau, refractory, float(reset_zero), 0.0, 1.0, 0.0, 1.0]
    )


def _shift(cells: Any, numbers: Any, duration: float) -> None:
    numbers[BASE] -= duration
    numbers[HORIZON] -= duration


@kernel
def lif_foresee(cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the horizon of `lif_calm`."""
    numbers[HORIZON] = t
    numbers[LATER] = math.exp(min((t - numbers[BASE]) / numbers[TAU], _LARGEST))


@kernel
def lif_enter(cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the present; times never run backwards."""
    tau = numbers[TAU]
    since = t - numbers[BASE]
    if since > _REBASE * tau:
        shrink = math.exp(-since / tau)
        for i in range(cells.shape[0]):
            cells[i, SCALED] *= shrink
            cells[i, SPARE] *= shrink
        numbers[BASE] = t
        since = 0.0
        lif_foresee(cells, numbers, numbers[HORIZON])
    numbers[FACTOR] = math.exp(since / tau)


@kernel
def lif_calm(cells: Any, numbers: Any, i: int) -> Any:
    """Return whether neuron `i` stays below its threshold until the horizon if left alone, and note how far below.

    A level below threshold only draws the membrane away from it: then now is when it is closest.
    """
    gap = cells[i, GAP]
    spare = gap * (numbers[FACTOR] if gap >= 0.0 else numbers[LATER]) - cells[i, SCALED]
    cells[i, SPARE] = spare
    return spare > 0.0


@kernel
def lif_lift(cells: Any, numbers: Any, t: float) -> Any:
    """Return what a spike of weight 1 that arrives at `t` adds to w."""
    return math.exp((t - numbers[BASE]) / numbers[TAU])


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
    # The membrane stands still through the refractory period: scale it as if it had started only at
    # its end.
    cells[i, SCALED] = above_level * math.exp((t + numbers[REFRACTORY] - numbers[BASE]) / tau)
    return above_level >= cells[i, GAP]


@kernel
def lif_membrane(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return the membrane of neuron `i`, which stands still while it is refractory."""
    moved = max(t, cells[i, LAST_FIRE] + numbers[REFRACTORY])
    return cells[i, LEVEL] + cells[i, SCALED] * math.exp((numbers[BASE] - moved) / numbers[TAU])


@kernel
def _window_period(drive: Any, window: Any, tau: Any) -> Any:
    """Return exp(period / tau) and the period in ms between spikes under a drive in thresholds a window, or (0, inf).

    The first comes after one period too, since a neuron that has just been reset is as one at rest.
    """
    current = min(
        drive * tau / window + LEAK_SHARE, STRONGEST
    )  # where the membrane would settle, in thresholds
    if not current > 1.0:
        return 0.0, math.inf
    ratio = current / (current - 1.0)
    return ratio, tau * math.log(ratio)


@kernel
def _times_on_grid(cell: LIF, drive: Any, window: Any, tau: Any, times: Any) -> Any:
    """Write at which multiples of `cell.dt` a neuron fires; return how often."""
    level = min(drive * tau / window + LEAK_SHARE, STRONGEST)
    keep = math.exp(-cell.dt / tau)
    v = 0.0
    n = 0
    for step in range(1, min(int(window / cell.dt + 0.5), times.shape[0]) + 1):
        v = level + (v - level) * keep
        if v >= 1.0:
            times[n] = step * cell.dt
            n += 1
            v = 0.0 if cell.reset_zero else v - 1.0
    return n


@kernel
def lif_times(cell: LIF, drive: Any, window: Any, tau: Any, room: Any, times: Any) -> Any:
    """Write when a neuron fires; see `WindowOperations.times`."""
    if cell.dt > 0.0:
        return _times_on_grid(cell, drive, window, tau, times)
    _, period = _window_period(drive, window, tau)
    n = min(int(window / period), times.shape[0]) if period <= window else 0
    for k in range(n):
        times[k] = (k + 1) * period
    return n


@kernel
def _power(base: Any, exponent: Any) -> Any:
    """Return base ** exponent for a whole exponent below 32, by squaring.

    The same bytes compiled or not.
    """
    result = 1.0
    for _ in range(5):
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@kernel
def lif_trace(
    cell: LIF, drive: Any, window: Any, tau: Any, tau_trace: Any, late: Any, room: Any, times: Any
) -> tuple[Any, Any]:
    """Return the trace of a neuron and its number of spikes; see `WindowOperations.trace`.

    With spikes every period p both sums of the trace, over exp(-(window - k p) / tau_trace) and
    over its square, are geometric.
    """
    if cell.dt > 0.0:
        n_steps = _times_on_grid(cell, drive, window, tau, times)
        return trace_of(times, n_steps, window, tau_trace), n_steps
    ratio, period = _window_period(drive, window, tau)
    if not period <= window:
        return 0.0, 0
    n = min(int(window / period), times.shape[0])
    growth = ratio if tau == tau_trace else math.exp(period / tau_trace)
    grown = _power(growth, n)
    slow = late * growth * (grown - 1.0) / (growth - 1.0)
    return 2.0 * slow * (1.0 - late * growth * (grown + 1.0) / (growth + 1.0)), n


MODEL = NeuronModel(
    name="lif",
    kind=LIF,
    events=EventOperations(
        receive=lif_receive,
        ready=lif_ready,
        fire=lif_fire,
        membrane=lif_membrane,
        crossing=lif_crossing,
        enter=lif_enter,
        quiet=lif_quiet,
        foresee=lif_foresee,
        calm=lif_calm,
        lift=lif_lift,
    ),
    start=_start,
    shift=_shift,
    parameters={},
    window=WindowOperations(settings=lambda tau: LIF(), times=lif_times, trace=lif_trace),
    run_net=run_lif,
    run_samples=run_lif_samples,
)
