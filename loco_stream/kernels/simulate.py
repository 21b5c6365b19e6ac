"""One feed-forward layer without delays, simulated exactly and without a queue.

Between events a membrane only decays towards zero, so the threshold can be crossed only when
an event arrives. Input in time order therefore gives output in time order.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from loco_stream.kernels.neuron import compact, lif_update
from loco_stream.kernels.synapse import add_rows

__all__ = ["lif_layer"]


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
        (n_post,), written: the largest membrane met, before resets; the rest at 0 counts as met, so it is never negative.
    out_times, out_indices
        Output spikes in time order, ties in neuron order. A capacity of n_post times the number of
        distinct input times always suffices; slots beyond the returned count hold rubbish.

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
    if n_events > 0 and n_post > capacity:
        return -1
    # The last n_post slots serve as the sum of arriving rows: whenever spikes reach into them, the next event
    # time does not fit and the function returns, so what it sums never falls on a spike it wrote.
    current = out_times[capacity - n_post : capacity]
    count = 0
    last_time = 0.0
    k = 0
    while k < n_events:
        if count + n_post > capacity:
            return -1
        now = times[k]
        first = k
        while k < n_events and times[k] == now:
            k += 1
        decay = v.dtype.type(math.exp((last_time - float(now)) / tau))
        last_time = float(now)
        for i in range(n_post):
            current[i] = zero
        add_rows(current, weights, offset, n_post, indices, first, k)
        lif_update(v, current, decay, threshold, reset_zero, u_max)
        start = count
        count = compact(current, threshold, out_indices, count)
        for s in range(start, count):
            out_times[s] = now
    return count
