"""Feed-forward nets of leaky integrate-and-fire neurons without delays, simulated exactly and without a queue.

Between events a membrane only decays towards zero, so the threshold can be crossed only when an
event arrives. Input in time order therefore gives output in time order, and layers run one after
the other.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel, released
from loco_stream._compiler.simd.ops import TIMES, leak_and_fire, sum_dense, sum_rows
from loco_stream.neurons.spikes import NO_ROOM, first_bad_event, group_events

__all__ = ["run_lif", "run_lif_samples"]

# Where this share of all inputs fires, multiplying by zeros and ones beats picking rows: measured
# break-even lies at .33 (weights larger than the cache) to .6 (weights within it).
_DENSE = 0.6


@entry
def run_lif(
    times,
    indices,
    n_inputs,
    duration,
    weights,
    offsets,
    sizes,
    widths,
    taus,
    reset_zero,
    neurons,
    raster,
    currents,
    group_times,
    ends,
    out_indices,
    counts,
):
    """Run all layers of a feed-forward net in one call.

    All layers fire at times of the input only, so that a spike is stored as its neuron alone: those
    that layer l fires at the g-th distinct time end at `ends[l + 1, g]` in `out_indices`; `ends[0]`
    counts the input itself.

    Parameters
    ----------
    times, indices, n_inputs, duration
        Input spikes, to be checked against the number of input neurons and the window in ms.
    weights, offsets
        Flat buffer and where the matrix of each layer starts in it.
    sizes, widths, taus
        Neurons of each layer with padding, without it, and its membrane time constant.
    neurons
        (4, n) with n the number of all neurons, layer after layer: thresholds; membranes at time 0,
        which become those of `duration`; two rows of working memory.
    raster, currents
        (most inputs of a layer, TIMES) and (TIMES times most neurons of a layer,), working memory.
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
    Number of distinct times; `NO_ROOM` if the outputs did not suffice, with the membranes as they
    were; -2 - k if event k is bad.
    """
    bad = first_bad_event(times, indices, n_inputs, duration)
    if bad >= 0:
        return -2 - bad
    n_groups = group_events(times, group_times, ends[0])
    if n_groups == NO_ROOM:
        return NO_ROOM
    threshold = neurons[0]
    v = neurons[1]
    v_start = neurons[2]
    current = neurons[3]
    for i in range(v.shape[0]):
        v_start[i] = v[i]
        counts[i] = 0
    begin = 0
    first = 0  # of the layer before, in what it fired
    count = 0
    n_pre = n_inputs
    for layer in range(sizes.shape[0]):
        n = sizes[layer]
        end = begin + n
        source = out_indices if layer > 0 else indices
        own = count
        count = run_lif_layer(
            source,
            first,
            group_times,
            ends[layer],
            n_groups,
            n_pre,
            weights,
            offsets[layer],
            n,
            taus[layer],
            threshold[begin:end],
            reset_zero,
            v[begin:end],
            current[begin:end],
            raster,
            currents,
            duration,
            ends[layer + 1],
            out_indices,
            own,
        )
        if count == NO_ROOM:
            for i in range(v.shape[0]):
                v[i] = v_start[i]
            return NO_ROOM
        for s in range(own, count):
            counts[np.uint64(begin + out_indices[s])] += (
                1  # unsigned: no index is checked for being negative
            )
        first = own
        begin = end
        n_pre = widths[layer]
    return n_groups


@released
def run_lif_samples(
    times,
    indices,
    bounds,
    first,
    kept,
    keeps,
    n_inputs,
    duration,
    weights,
    offsets,
    sizes,
    widths,
    taus,
    reset_zero,
    neurons,
    raster,
    currents,
    group_times,
    ends,
    counts,
    counted,
    out_times,
    out_indices,
    out_layers,
):
    """Run samples one after the other, each from rest.

    Parameters are those of `run_lif` and:

    bounds
        (n + 1,) where each sample begins in `times` and `indices`.
    first, kept
        The sample to begin with, and how many spikes those before have left in the outputs.
    keeps
        Whether spikes are wanted, not only their numbers.
    counted
        (n, neurons) output: spikes of each neuron in each sample.
    out_times, out_indices, out_layers
        (room,) output: all spikes, sample after sample and layer after layer. `out_indices` is
        needed in any case.

    Returns
    -------
    The number of the sample at which it ended (n: all is done), the spikes kept, and what `run_lif`
    returned for it.
    """
    for s in range(first, bounds.shape[0] - 1):
        for i in range(neurons.shape[1]):
            neurons[1, i] = 0.0
        begin = bounds[s]
        end = bounds[s + 1]
        status = run_lif(
            times[begin:end],
            indices[begin:end],
            n_inputs,
            duration,
            weights,
            offsets,
            sizes,
            widths,
            taus,
            reset_zero,
            neurons,
            raster,
            currents,
            group_times,
            ends,
            out_indices[kept:],
            counts,
        )
        if status < 0:
            return s, kept, status
        for i in range(counts.shape[0]):
            counted[s, i] = counts[i]
        if keeps:
            kept += label_spikes(group_times, ends, status, out_times[kept:], out_layers[kept:])
    return bounds.shape[0] - 1, kept, 0


@kernel
def label_spikes(group_times, ends, n_groups, out_times, out_layers):
    """Write time and layer of each spike of a run; return their number."""
    spike = 0
    for layer in range(ends.shape[0] - 1):
        for g in range(n_groups):
            end = ends[layer + 1, g]
            for k in range(spike, end):
                out_times[k] = group_times[g]
                out_layers[k] = layer
            spike = end
    return spike


@kernel
def mark_events(indices, first, ends, g, n_pre, raster):
    """Write the events of `TIMES` groups from `g` on as zeros and ones.

    Return False if a sum of rows would differ.

    It would where a neuron fires twice at a time, or where neurons are not in order.
    """
    for j in range(n_pre):
        for t in range(TIMES):
            raster[j, t] = 0.0
    k = first
    for t in range(TIMES):
        before = -1
        while k < ends[g + t]:
            if indices[k] <= before:
                return False
            before = indices[k]
            raster[before, t] = 1.0
            k += 1
    return True


@kernel
def run_lif_layer(
    indices,
    first,
    group_times,
    ends,
    n_groups,
    n_pre,
    weights,
    offset,
    n_post,
    tau,
    threshold,
    reset_zero,
    v,
    current,
    raster,
    currents,
    duration,
    out_ends,
    out_indices,
    count,
):
    """Run one layer through its groups of events, which start at `first`, and on to `duration`.

    See `run_lif`.
    """
    kind = v.dtype.type
    last_time = 0.0
    passed = 0.0
    decay = kind(1.0)
    multiplied = 0  # groups ahead whose sums are in `currents` already
    for g in range(n_groups):
        last = ends[g]
        many = (
            multiplied == 0
            and g + TIMES <= n_groups
            and ends[g + TIMES - 1] - first >= _DENSE * TIMES * n_pre
        )
        if many and mark_events(indices, first, ends, g, n_pre, raster):
            sum_dense(currents, weights, offset, n_post, raster, n_pre)
            multiplied = TIMES
        if last > first:
            if count + n_post > out_indices.shape[0]:
                return NO_ROOM
            now = float(group_times[g])
            if last_time - now != passed:  # steps of one length have one decay
                passed = last_time - now
                decay = kind(math.exp(passed / tau))
            last_time = now
            if multiplied > 0:
                place = (TIMES - multiplied) * n_post
                for i in range(n_post):
                    current[i] = currents[place + i]
            else:
                sum_rows(current, weights, offset, n_post, indices, first, last)
            count = leak_and_fire(v, current, decay, threshold, reset_zero, out_indices, count)
        multiplied = max(0, multiplied - 1)
        out_ends[g] = count
        first = last
    decay = kind(math.exp((last_time - duration) / tau))
    for i in range(n_post):
        v[i] *= decay
    return count
