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

__all__ = ["NO_ROOM", "first_bad_event", "lif_layer", "run_lif"]

NO_ROOM = -1


@njit(cache=True)
def lif_step(
    indices: Any, first: int, last: int, weights: Any, offset: int, n_post: int, decay: Any, threshold: Any,
    reset_zero: bool, v: Any, u_max: Any, current: Any, out_indices: Any, count: int,
) -> Any:  # fmt: skip
    """Deliver the events `first` to `last - 1`, all of one time; append who fires, return the new count.

    `current` is working memory, (n_post,); the rest is as in `lif_layer`.
    """
    sum_rows(current, weights, offset, n_post, indices, first, last)
    lif_update(v, current, decay, threshold, reset_zero, u_max)
    return compact(current, threshold, out_indices, count)


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
    count = 0
    last_time = 0.0
    k = 0
    while k < n_events:
        if count + n_post > capacity:
            return NO_ROOM
        now = times[k]
        first = k
        while k < n_events and times[k] == now:
            k += 1
        decay = v.dtype.type(math.exp((last_time - float(now)) / tau))
        last_time = float(now)
        start = count
        count = lif_step(
            indices, first, k, weights, offset, n_post, decay, threshold, reset_zero, v, u_max, current, out_indices,
            count,
        )  # fmt: skip
        for s in range(start, count):
            out_times[s] = now
    return count


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
def group_events(times: Any, group_times: Any, ends: Any) -> Any:
    """Write the distinct times and where in the events each ends; return their number, or `NO_ROOM`."""
    n = times.shape[0]
    n_groups = 0
    k = 0
    while k < n:
        if n_groups == group_times.shape[0]:
            return NO_ROOM
        now = times[k]
        while k < n and times[k] == now:
            k += 1
        group_times[n_groups] = now
        ends[n_groups] = k
        n_groups += 1
    return n_groups


@njit(cache=True)
def run_lif(
    times: Any, indices: Any, n_inputs: int, duration: float, weights: Any, offsets: Any, sizes: Any, taus: Any,
    reset_zero: bool, neurons: Any, group_times: Any, ends: Any, out_indices: Any, counts: Any,
) -> Any:  # fmt: skip
    """Run all layers of a feed-forward net in one call.

    All layers fire at times of the input only, so that a spike is stored as its neuron alone: those that layer l
    fires at the g-th distinct time end at `ends[l + 1, g]` in `out_indices`; `ends[0]` counts the input itself.

    Parameters
    ----------
    times, indices, n_inputs, duration
        Input spikes, to be checked against the number of input neurons and the window in ms.
    weights, offsets
        Flat buffer and where the matrix of each layer starts in it.
    sizes, taus
        Neurons and membrane time constant of each layer.
    neurons
        (5, n) with n the number of all neurons, layer after layer: thresholds; membranes at time 0, which become
        those of `duration`; three rows of working memory.
    group_times
        (room,) output: the distinct times.
    ends
        (layers + 1, room) output.
    out_indices
        Output: the neurons of all spikes, layer after layer.
    counts
        (n,) output: spikes of each neuron.

    Returns
    -------
    Number of distinct times; `NO_ROOM` if the outputs did not suffice, with the membranes as they were;
    -2 - k if event k is bad.
    """
    bad = first_bad_event(times, indices, n_inputs, duration)
    if bad >= 0:
        return -2 - bad
    n_groups = group_events(times, group_times, ends[0])
    if n_groups == NO_ROOM:
        return NO_ROOM
    threshold, v, v_start, u_max, current = neurons[0], neurons[1], neurons[2], neurons[3], neurons[4]
    for i in range(v.shape[0]):
        v_start[i] = v[i]
        counts[i] = 0
    begin = 0
    first = 0  # of the layer before, in what it fired
    count = 0
    for layer in range(sizes.shape[0]):
        n = sizes[layer]
        end = begin + n
        source = out_indices if layer > 0 else indices
        own = count
        count = run_lif_layer(
            source, first, group_times, ends[layer], n_groups, weights, offsets[layer], n, taus[layer],
            threshold[begin:end], reset_zero, v[begin:end], u_max[begin:end], current[begin:end], duration,
            ends[layer + 1], out_indices, own,
        )  # fmt: skip
        if count == NO_ROOM:
            for i in range(v.shape[0]):
                v[i] = v_start[i]
            return NO_ROOM
        for s in range(own, count):
            counts[begin + out_indices[s]] += 1
        first = own
        begin = end
    return n_groups


@njit(cache=True)
def run_lif_layer(
    indices: Any, first: int, group_times: Any, ends: Any, n_groups: int, weights: Any, offset: int, n_post: int,
    tau: float, threshold: Any, reset_zero: bool, v: Any, u_max: Any, current: Any, duration: float, out_ends: Any,
    out_indices: Any, count: int,
) -> Any:  # fmt: skip
    """Run one layer through its groups of events, which start at `first`, and on to `duration`; see `run_lif`."""
    kind = v.dtype.type
    last_time = 0.0
    for g in range(n_groups):
        last = ends[g]
        if last > first:
            if count + n_post > out_indices.shape[0]:
                return NO_ROOM
            now = float(group_times[g])
            decay = kind(math.exp((last_time - now) / tau))
            last_time = now
            count = lif_step(
                indices, first, last, weights, offset, n_post, decay, threshold, reset_zero, v, u_max, current,
                out_indices, count,
            )  # fmt: skip
        out_ends[g] = count
        first = last
    decay = kind(math.exp((last_time - duration) / tau))
    for i in range(n_post):
        v[i] *= decay
    return count
