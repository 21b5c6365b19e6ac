"""Single feed-forward layers of the richer models, from rest, for the learning engine: `lif_layer`'s sisters.

Same input, same output, same conventions as `lif_layer`; what a model needs beyond it is added to the arguments.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from loco_stream.jit import kernel
from loco_stream.neurons.izhikevich import DRIVE, PEAK, SINCE, STEP, B, U, V, izh_crossing, izh_fire, izh_ready
from loco_stream.simd.ops import compact, sum_rows

__all__ = ["alif_layer", "izhikevich_layer"]

NO_ROOM = -1


@njit(cache=True)
def alif_update(
    v: Any,
    adaptation: Any,
    current: Any,
    decay: Any,
    fade: Any,
    threshold: Any,
    adapt: Any,
    reset_zero: bool,
    u_max: Any,
) -> None:
    """Decay, add the current, note the peak, reset; `current` is left holding membrane minus adaptation."""
    for i in range(v.shape[0]):
        x = v[i] * decay + current[i]
        a = adaptation[i] * fade
        above_rest = x - a
        current[i] = above_rest
        u_max[i] = max(u_max[i], above_rest)
        fired = above_rest >= threshold[i]
        drop = x if reset_zero else threshold[i] + a
        v[i] = x - drop if fired else x
        adaptation[i] = a + adapt if fired else a


@njit(cache=True)
def alif_events(
    times: Any, indices: Any, first_event: int, n_events: int, weights: Any, offset: int, n_post: int, tau: float,
    threshold: Any, reset_zero: bool, tau_adapt: float, adapt: float, v: Any, adaptation: Any, u_max: Any, current: Any,
    out_times: Any, out_indices: Any, count: int,
) -> Any:  # fmt: skip
    """Run one layer from given membranes and adaptations at time 0; as `lif_events` for the rest."""
    capacity = min(out_times.shape[0], out_indices.shape[0])
    kind = v.dtype.type
    last_time = 0.0
    k = first_event
    while k < n_events:
        if count + n_post > capacity:
            return NO_ROOM
        now = times[k]
        first = k
        while k < n_events and times[k] == now:
            k += 1
        passed = last_time - float(now)
        last_time = float(now)
        sum_rows(current, weights, offset, n_post, indices, first, k)
        alif_update(
            v, adaptation, current, kind(math.exp(passed / tau)), kind(math.exp(passed / tau_adapt)), threshold,
            kind(adapt), reset_zero, u_max,
        )  # fmt: skip
        start = count
        count = compact(current, threshold, out_indices, count)
        for s in range(start, count):
            out_times[s] = now
    return count


@kernel
def alif_layer(
    times: Any, indices: Any, n_events: int, weights: Any, offset: int, n_post: int, tau: float, threshold: Any,
    reset_zero: bool, tau_adapt: float, adapt: float, v: Any, adaptation: Any, u_max: Any, out_times: Any,
    out_indices: Any,
) -> Any:  # fmt: skip
    """Run one layer of neurons whose threshold rises by `adapt` with each spike and returns with `tau_adapt`.

    Parameters
    ----------
    times, indices, n_events, weights, offset, n_post, tau, threshold, reset_zero, v, out_times, out_indices
        As in `lif_layer`; `threshold` is the threshold at rest. A subtracting reset takes the raised threshold off.
    tau_adapt
        Time constant in ms of the threshold's return; at least `tau`, or neurons could fire between events.
    adapt
        Rise of the threshold with a spike, 0 or more, in units of the membrane.
    adaptation
        (n_post,), written: by how much each threshold is raised right after the last event.
    u_max
        (n_post,), written: the largest membrane minus adaptation, that is, in the scale of the threshold at rest.

    Returns
    -------
    Number of output spikes, or -1 if the next event time might not fit into the outputs.
    """
    zero = v.dtype.type(0.0)
    for i in range(n_post):
        v[i] = zero
        adaptation[i] = zero
        u_max[i] = zero
    capacity = min(out_times.shape[0], out_indices.shape[0])
    if n_post > capacity:
        return NO_ROOM if n_events > 0 else 0
    current = out_times[capacity - n_post : capacity]  # free while it is needed: see `lif_layer`
    return alif_events(
        times, indices, 0, n_events, weights, offset, n_post, tau, threshold, reset_zero, tau_adapt, adapt,
        v, adaptation, u_max, current, out_times, out_indices, 0,
    )  # fmt: skip


@kernel
def izhikevich_layer(
    times: Any, indices: Any, n_events: int, weights: Any, offset: int, n_post: int, duration: float, drive: Any,
    rest: Any, numbers: Any, unit: float, cells: Any, u_max: Any, current: Any, out_times: Any, out_indices: Any,
) -> Any:  # fmt: skip
    """Run one layer of Izhikevich neurons from rest for `duration` ms.

    Parameters
    ----------
    times, indices, n_events, weights, offset, n_post, out_times, out_indices
        As in `lif_layer`; weights in units of `unit` mV. Neurons also fire between events, so that no capacity
        is sure to suffice.
    duration
        End of the run in ms.
    drive
        (n_post,), constant current of each neuron. A perturbation belongs here: moving the peak would change
        almost nothing, since the upstroke is explosive.
    rest
        (n_post,) in mV: membranes at the start, as `izhikevich.rest_potential` gives them.
    numbers
        (6,) float64: a, b, c, d, peak in mV, tolerance in mV.
    unit
        What a weight of 1 adds to a membrane, in mV.
    cells
        (n_post, 6) float64, written: see `Izhikevich`.
    u_max
        (n_post,), written: the largest membrane met at events, at most the peak; rest counts as met.
    current
        (n_post,) of the type of `weights`, working memory.

    Returns
    -------
    Number of output spikes, or -1 if they do not fit into the outputs.
    """
    peak = numbers[PEAK]
    for i in range(n_post):
        cells[i, V] = rest[i]
        cells[i, U] = numbers[B] * float(rest[i])
        cells[i, SINCE] = 0.0
        cells[i, STEP] = 0.1
        cells[i, DRIVE] = drive[i]
        u_max[i] = rest[i]
    capacity = min(out_times.shape[0], out_indices.shape[0])
    count = 0
    k = 0
    while k <= n_events:
        now = float(times[k]) if k < n_events else duration
        start = count
        for i in range(n_post):
            when = izh_crossing(cells, numbers, i, now)
            while when <= now:
                if count >= capacity:
                    return NO_ROOM
                out_times[count] = when
                out_indices[count] = i
                count += 1
                u_max[i] = peak
                izh_fire(cells, numbers, i)
                when = izh_crossing(cells, numbers, i, now)
        first = k
        k += 1
        if first < n_events:
            while k < n_events and times[k] == times[first]:
                k += 1
            sum_rows(current, weights, offset, n_post, indices, first, k)
            for i in range(n_post):
                cells[i, V] += unit * float(current[i])
                u_max[i] = max(float(u_max[i]), min(cells[i, V], peak))
                if izh_ready(cells, numbers, i):
                    if count >= capacity:
                        return NO_ROOM
                    out_times[count] = now
                    out_indices[count] = i
                    count += 1
                    izh_fire(cells, numbers, i)
        sort_spikes(out_times, out_indices, start, count)
    return count


@njit(cache=True)
def sort_spikes(times: Any, indices: Any, start: int, stop: int) -> None:
    """Sort the spikes `start` to `stop - 1` by time and neuron; by insertion, since they are few between events."""
    for s in range(start + 1, stop):
        t, i = times[s], indices[s]
        place = s
        while place > start and (times[place - 1] > t or (times[place - 1] == t and indices[place - 1] > i)):
            times[place] = times[place - 1]
            indices[place] = indices[place - 1]
            place -= 1
        times[place] = t
        indices[place] = i
