"""Feed-forward layers without delays, simulated exactly and without a queue.

Between events a membrane only decays towards zero, so the threshold can be crossed only when
an event arrives. Input in time order therefore gives output in time order, and layers run one after the other.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from loco_stream.kernels.neuron import lif_update
from loco_stream.kernels.vector import compact, sum_rows

__all__ = ["NO_ROOM", "first_bad_event", "lif_events", "lif_layer", "run_lif"]

NO_ROOM = -1


@njit(cache=True)
def lif_events(
    times: Any,
    indices: Any,
    first_event: int,
    n_events: int,
    weights: Any,
    offset: int,
    n_post: int,
    tau: float,
    threshold: Any,
    reset_zero: bool,
    v: Any,
    u_max: Any,
    current: Any,
    out_times: Any,
    out_indices: Any,
    count: int,
) -> int:
    """Run one layer from the membranes `v` at time 0 through events `first_event` to `n_events - 1`.

    As `lif_layer`, but starting from given `v` and `u_max`, with `current` (n_post,) as working memory and the output
    appended from `count` on; input and output may be parts of the same arrays.
    """
    last_time = 0.0
    k = first_event
    while k < n_events:
        if count + n_post > min(out_times.shape[0], out_indices.shape[0]):
            return NO_ROOM
        now = times[k]
        first = k
        while k < n_events and times[k] == now:
            k += 1
        decay = v.dtype.type(math.exp((last_time - float(now)) / tau))
        last_time = float(now)
        sum_rows(current, weights, offset, n_post, indices, first, k)
        lif_update(v, current, decay, threshold, reset_zero, u_max)
        start = count
        count = compact(current, threshold, out_indices, count)
        for s in range(start, count):
            out_times[s] = now
    return count


@njit(cache=True)
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
    return int(
        lif_events(
            times, indices, 0, n_events, weights, offset, n_post, tau,
            threshold, reset_zero, v, u_max, current, out_times, out_indices, 0,
        )
    )  # fmt: skip


@njit(cache=True)
def first_bad_event(times: Any, indices: Any, n_inputs: int, duration: float) -> Any:
    """Return the first event that is out of order, outside [0, duration] or of no input neuron; -1 if none is."""
    n = times.shape[0]
    if n == 0:
        return -1
    limit = times.dtype.type(duration)
    bad = 0
    for k in range(1, n):
        bad |= times[k] < times[k - 1]
    for k in range(n):
        bad |= (indices[k] < 0) | (indices[k] >= n_inputs) | (not times[k] <= limit)
    if bad == 0 and times[0] >= 0.0:
        return -1
    for k in range(n):
        ordered = times[k] >= (times[k - 1] if k > 0 else 0.0)
        if not ordered or not times[k] <= limit or indices[k] < 0 or indices[k] >= n_inputs:
            return k
    return -1


@njit(cache=True)
def run_lif(
    times: Any,
    indices: Any,
    n_inputs: int,
    duration: float,
    weights: Any,
    offsets: Any,
    sizes: Any,
    taus: Any,
    threshold: Any,
    reset_zero: bool,
    v: Any,
    work: Any,
    out_times: Any,
    out_indices: Any,
    bounds: Any,
    counts: Any,
) -> Any:
    """Run all layers of a feed-forward net in one call.

    Parameters
    ----------
    times, indices, n_inputs, duration
        Input spikes, to be checked against the number of input neurons and the window in ms.
    weights, offsets
        Flat buffer and where the matrix of each layer starts in it.
    sizes, taus
        Neurons and membrane time constant of each layer.
    threshold, v
        Of all neurons, layer after layer; the membranes are those of time 0 and become those of `duration`.
    work
        (3, n) with n the number of all neurons, working memory of the type of `v`.
    out_times, out_indices, bounds
        Output spikes of all layers; those of layer l are `bounds[l]` to `bounds[l + 1] - 1`.
    counts
        (n,) output: spikes of each neuron.

    Returns
    -------
    0; `NO_ROOM` if the output did not suffice, with `v` as it was; -2 - k if event k is bad.
    """
    bad = first_bad_event(times, indices, n_inputs, duration)
    if bad >= 0:
        return -2 - bad
    for i in range(v.shape[0]):
        work[0, i] = v[i]
        counts[i] = 0
    begin = 0
    count = 0
    bounds[0] = 0
    for layer in range(sizes.shape[0]):
        n = sizes[layer]
        end = begin + n
        source_times, source_indices = times, indices
        first, last = 0, times.shape[0]
        if layer > 0:
            source_times, source_indices = out_times, out_indices
            first, last = bounds[layer - 1], count
        count = lif_events(
            source_times, source_indices, first, last, weights, offsets[layer], n, taus[layer],
            threshold[begin:end], reset_zero, v[begin:end], work[1, begin:end], work[2, begin:end],
            out_times, out_indices, count,
        )  # fmt: skip
        if count == NO_ROOM:
            for i in range(v.shape[0]):
                v[i] = work[0, i]
            return NO_ROOM
        bounds[layer + 1] = count
        for s in range(bounds[layer], count):
            counts[begin + out_indices[s]] += 1
        since = float(source_times[last - 1]) if last > first else 0.0
        decay = v.dtype.type(math.exp((since - duration) / taus[layer]))
        for i in range(begin, end):
            v[i] *= decay
        begin = end
    return 0
