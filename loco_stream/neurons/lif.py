"""Leaky integrate-and-fire neurons: one by one for nets with a queue, and whole layers without one.

One by one they need no exponential for a spike received. Between events (v - level) decays by exp(-dt / tau).
Stored is w = (v - level) exp((t - base) / tau), which does not change between events at all: a spike of weight J
that arrives at t adds J exp((t - base) / tau), one exponential for all its targets; and v reaches the threshold
where w reaches gap exp((t - base) / tau) with gap = threshold - level, which solves for t where a drive above
threshold (gap < 0) makes neurons fire by themselves. `base` moves on before the factor grows large, so nothing is
lost or overflows.

The functions called for each spike received have no branches: with them numba would count references to the
arrays, by atomic operations that cost more than all the rest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream.jit import kernel
from loco_stream.neurons.lif_net import run_lif
from loco_stream.neurons.registry import DenseLayer, EventOperations, NeuronModel
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.neurons.update import lif_update
from loco_stream.simd.ops import compact, sum_rows

__all__ = ["LIF", "MODEL", "lif_dense", "lif_layer"]

LAST_FIRE, SCALED, GAP, LEVEL = 0, 1, 2, 3
TAU, REFRACTORY, RESET_ZERO, BASE, FACTOR = 0, 1, 2, 3, 4
_REBASE = 32.0  # in units of tau: exp(32) is 8e13, far from overflow


class LIF(NamedTuple):
    """Leaky integrate-and-fire neurons; `reset_zero`: whether a spike empties the membrane or costs a threshold.

    Cells are (n, 4) float64: last spike in ms, w, threshold - level, level (the drive). Their numbers are
    (5,) float64: tau and refractory period in ms, 1 if the reset is to zero, base in ms, exp((now - base) / tau).
    """

    reset_zero: bool = False


def _start(
    v: Any, threshold: Any, level: Any, tau: float, refractory: float, reset_zero: bool, parameters: Any
) -> tuple[Any, Any]:
    cells = np.column_stack((np.full(len(v), -np.inf), v - level, threshold - level, level))
    return np.ascontiguousarray(cells), np.array([tau, refractory, float(reset_zero), 0.0, 1.0])


def _shift(cells: Any, numbers: Any, duration: float) -> None:
    numbers[BASE] -= duration


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


@kernel
def lif_membrane(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return the membrane of neuron `i`, which stands still while it is refractory."""
    moved = max(t, cells[i, LAST_FIRE] + numbers[REFRACTORY])
    return cells[i, LEVEL] + cells[i, SCALED] * math.exp((numbers[BASE] - moved) / numbers[TAU])


@kernel
def lif_layer(
    times: Any,
    indices: Any,
    n_events: int,
    weights: Any,
    offset: int,
    n_post: int,
    tau: float,
    threshold: Any,
    reset_zero: bool,
    v: Any,
    u_max: Any,
    out_times: Any,
    out_indices: Any,
) -> int:
    """Run one layer of leaky integrate-and-fire neurons with delta synapses from rest through its input spikes.

    Events of one time are delivered together; a neuron fires where its membrane is at or above
    threshold, at most once per event time.

    Parameters
    ----------
    times, indices, n_events
        Input spikes: times in ms, sorted, and presynaptic neurons; the first `n_events` count.
    weights, offset, n_post
        Flat buffer; the row of presynaptic neuron j starts at `offset + j * n_post`.
    tau
        Membrane time constant in ms.
    threshold
        (n_post,), one a neuron.
    reset_zero
        True: the membrane of a neuron that fires becomes 0. False: its threshold is subtracted.
    v
        (n_post,), written: the membranes right after the last event.
    u_max
        (n_post,), written: the largest membrane met, before resets; the rest at 0 counts as met.
    out_times, out_indices
        Output spikes in time order, ties in neuron order; `out_times` of the type of `v`. A
        capacity of n_post times the number of distinct input times always suffices; slots beyond the
        returned count hold rubbish.

    Returns
    -------
    Number of output spikes, or -1 if the next event time might not fit into the outputs; nothing is ever written
    beyond their ends.
    """
    zero = v.dtype.type(0.0)
    for i in range(n_post):
        v[i] = zero
        u_max[i] = zero
    capacity = min(out_times.shape[0], out_indices.shape[0])
    if n_post > capacity:
        return NO_ROOM if n_events > 0 else 0
    # The last n_post slots serve as the sum of arriving rows: as soon as spikes reach into them, the next event
    # time does not fit and the run ends, so what is summed never falls on a spike already written.
    current = out_times[capacity - n_post : capacity]
    count = 0
    last_time = 0.0
    gap, decay = 0.0, v.dtype.type(1.0)  # times that lie evenly share one exponential
    k = 0
    while k < n_events:
        if count + n_post > capacity:
            return NO_ROOM
        now = times[k]
        first = k
        while k < n_events and times[k] == now:
            k += 1
        if last_time - float(now) != gap:
            gap = last_time - float(now)
            decay = v.dtype.type(math.exp(gap / tau))
        last_time = float(now)
        start = count
        sum_rows(current, weights, offset, n_post, indices, first, k)
        lif_update(v, current, decay, threshold, reset_zero, u_max)
        count = compact(current, threshold, out_indices, count)
        for s in range(start, count):
            out_times[s] = now
    return count


@kernel
def lif_dense(
    cell: LIF, times: Any, indices: Any, n_events: int, weights: Any, offset: int, n_post: int, window: float,
    tau: float, threshold: Any, membrane: Any, peak: Any, slow: Any, cells: Any, out_times: Any, out_indices: Any,
) -> Any:  # fmt: skip
    """Run one layer from rest through a window; every model that the estimators know has a function like this.

    Parameters
    ----------
    cell
        What `DenseLayer.settings` returned.
    times, indices, n_events, weights, offset, n_post, tau, out_times, out_indices
        As in `lif_layer`.
    window
        End of the window in ms.
    threshold
        (n_post,) float32, 1 for a neuron at rest; moved a little where the effect of a neuron is to be measured.
    membrane, peak
        (n_post,) float32, written: the membranes at the end and the largest met, both in thresholds.
    slow, cells
        (2, n_post) float32 and (n_post, `DenseLayer.cell_width`) float64, working memory.

    Returns
    -------
    Number of output spikes, or `NO_ROOM` if they do not fit.
    """
    return lif_layer(
        times, indices, n_events, weights, offset, n_post, tau, threshold, cell.reset_zero, membrane, peak,
        out_times, out_indices,
    )  # fmt: skip


MODEL = NeuronModel(
    name="lif",
    kind=LIF,
    events=EventOperations(
        receive=lif_receive, ready=lif_ready, fire=lif_fire, membrane=lif_membrane, crossing=lif_crossing,
        enter=lif_enter, quiet=lif_quiet,
    ),
    start=_start,
    shift=_shift,
    parameters={},
    dense=DenseLayer(settings=lambda tau: LIF(), run=lif_dense),
    run_net=run_lif,
)  # fmt: skip
