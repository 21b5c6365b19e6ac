"""Dense feed-forward nets of leaky integrate-and-fire neurons without delays, exact and queue-free.

Between events a membrane only decays towards 0, so a threshold can be crossed only when an event
arrives. Input in time order therefore gives output in time order, and layers run one after the
other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import AnyFloat, AnyInt, Array, Int32, Int64, Records
from loco_stream._compiler.jit import entry, inlined, kernel, nogil_entry
from loco_stream._compiler.simd.ops import leak_and_fire, sum_dense, sum_rows
from loco_stream._compiler.simd.sizes import STEPS
from loco_stream._compiler.structs import struct_dtype
from loco_stream.neurons._spikes import NO_ROOM, first_bad_event, group_events

# Per layer: membrane time constant in ms, inputs, neurons, neurons with padding, position of its
# matrix in the weights, and whether neurons are reset to 0.
LAYER = struct_dtype("tau", n_pre="i8", n_post="i8", n_padded="i8", offset="i8", reset_zero="?")
# Of `run_lif_samples`: samples done, spikes kept, and whether spikes are kept beside their numbers.
PROGRESS = struct_dtype(n_done="i8", n_kept="i8", keeps_spikes="?")
# Where this share of all inputs fires, multiplying by zeros and ones is faster than picking rows:
# measured break-even between .33 (weights larger than the cache) and .6 (weights within it).
_DENSE = 0.6


class Scratch(NamedTuple):
    """Working memory of the dtype of the weights.

    `raster` is (largest n_pre, STEPS), `currents` (STEPS * largest n_padded,).
    """

    raster: AnyFloat
    currents: AnyFloat


class DenseSpikes(NamedTuple):
    """Output of a run: all neurons fire at times of the input only.

    The spikes of layer l at the g-th distinct time end at ``ends[l + 1, g]`` of `indices`;
    ``ends[0]`` counts the input events. `counts` are the spikes of each neuron.
    """

    times: AnyFloat  # (time room,) distinct times
    ends: Int64  # (layers + 1, time room)
    indices: Int32  # (spike room,) layer after layer
    counts: Int64  # (n,) of all neurons with padding


class Samples(NamedTuple):
    """Input spikes of many samples; sample s is ``bounds[s] : bounds[s + 1]``."""

    times: AnyFloat
    indices: Int32
    bounds: Int64


class KeptSpikes(NamedTuple):
    """Output of many samples; spikes lie sample after sample and layer after layer."""

    progress: Records  # (1,) of PROGRESS
    counts: Int64  # (samples, n): spikes of each neuron in each sample
    times: AnyFloat  # (room,)
    indices: Int32  # (room,)
    layers: Int32  # (room,)


class _Window(NamedTuple):
    """The distinct times of a run, of which `n_groups` are used, and its duration in ms."""

    times: AnyFloat
    n_groups: int
    duration: float


class _Events(NamedTuple):
    """The input of a layer: neurons, from `first` on, and where those of each time end."""

    indices: AnyInt
    first: int
    ends: Int64


class _Fired(NamedTuple):
    """The output of a layer: where the spikes of each time end, and all spikes."""

    ends: Int64
    indices: Int32


class _Membranes(NamedTuple):
    """The neurons of a layer, (n_padded,) each; `current` is working memory."""

    threshold: AnyFloat
    v: AnyFloat
    current: AnyFloat


@entry
def run_lif(
    times: AnyFloat,
    indices: Int32,
    duration: float,
    layers: Records,
    weights: AnyFloat,
    neurons: AnyFloat,
    scratch: tuple[Array, ...],
    spikes: tuple[Array, ...],
) -> int:
    """Run all layers of a net in one call.

    Parameters
    ----------
    times, indices
        (n,) float32 or float64 in ms and (n,) int32, input spikes, which are checked.
    layers
        (n_layers,) of LAYER.
    weights
        1-d, of the dtype of `times`: the matrices (n_pre, n_padded) of all layers.
    neurons
        (4, n) of the same dtype, all neurons with padding: thresholds; membranes at time 0, which
        become those at `duration`; two rows of working memory.
    scratch, spikes
        The fields of `Scratch` and of `DenseSpikes`; a plain tuple is cheaper to pass.

    Returns
    -------
    The number of distinct times; `NO_ROOM` if an output array was too short, with the membranes
    unchanged; -2 - k if event k is bad.
    """
    group_times, ends, out_indices, counts = spikes
    bad = first_bad_event(times, indices, layers[0].n_pre, duration)
    if bad >= 0:
        return -2 - bad
    n_groups = group_events(times, group_times, ends[0])
    if n_groups == NO_ROOM:
        return NO_ROOM
    for i in range(neurons.shape[1]):
        neurons[2, i] = neurons[1, i]
        counts[i] = 0
    window = _Window(group_times, n_groups, duration)
    begin = 0
    first = 0  # of the layer before, in what it fired
    count = 0
    for k in range(len(layers)):
        end = begin + layers[k].n_padded
        events = _Events(out_indices if k > 0 else indices, first, ends[k])
        fired = _Fired(ends[k + 1], out_indices)
        own = _Membranes(neurons[0, begin:end], neurons[1, begin:end], neurons[3, begin:end])
        first = count
        count = run_lif_layer(
            layers[k], weights, events, window, own, Scratch(scratch[0], scratch[1]), fired, count
        )
        if count == NO_ROOM:
            for i in range(neurons.shape[1]):
                neurons[1, i] = neurons[2, i]
            return NO_ROOM
        for s in range(first, count):
            counts[np.uint64(begin + out_indices[s])] += 1  # unsigned: not checked for < 0
        begin = end
    return n_groups


@nogil_entry
def run_lif_samples(
    samples: tuple[Array, ...],
    duration: float,
    layers: Records,
    weights: AnyFloat,
    neurons: AnyFloat,
    scratch: tuple[Array, ...],
    spikes: tuple[Array, ...],
    kept: tuple[Array, ...],
) -> int:
    """Run samples one after the other, each from rest, from ``progress.n_done`` on.

    Parameters
    ----------
    samples, kept
        The fields of `Samples` and of `KeptSpikes`; the latter are written.
    duration, layers, weights, neurons, scratch, spikes
        As in `run_lif`.

    Returns
    -------
    0 when all samples are done; otherwise what `run_lif` returned for the first that is not.
    """
    times, indices, bounds = samples
    out = DenseSpikes(spikes[0], spikes[1], spikes[2], spikes[3])
    all_spikes = KeptSpikes(kept[0], kept[1], kept[2], kept[3], kept[4])
    progress = all_spikes.progress[0]
    for s in range(progress.n_done, len(bounds) - 1):
        for i in range(neurons.shape[1]):
            neurons[1, i] = 0.0
        begin = bounds[s]
        end = bounds[s + 1]
        n_kept = progress.n_kept
        status = run_lif(
            times[begin:end],
            indices[begin:end],
            duration,
            layers,
            weights,
            neurons,
            scratch,
            (out.times, out.ends, all_spikes.indices[n_kept:], out.counts),
        )
        if status < 0:
            return status
        for i in range(len(out.counts)):
            all_spikes.counts[s, i] = out.counts[i]
        if progress.keeps_spikes:
            progress.n_kept += label_spikes(
                out, status, all_spikes.times[n_kept:], all_spikes.layers[n_kept:]
            )
        progress.n_done = s + 1
    return 0


@kernel
def label_spikes(
    spikes: DenseSpikes,
    n_groups: int,
    times: AnyFloat,
    layers: Int32,
) -> int:
    """Write time and layer of each spike of a run, (room,) each; return their number."""
    spike = 0
    for layer in range(len(spikes.ends) - 1):
        for g in range(n_groups):
            end = spikes.ends[layer + 1, g]
            for k in range(spike, end):
                times[k] = spikes.times[g]
                layers[k] = layer
            spike = end
    return spike


@kernel
def mark_events(events: _Events, first: int, group: int, n_pre: int, raster: AnyFloat) -> bool:
    """Write the events of `STEPS` groups as zeros and ones (n_pre, STEPS).

    Return False where a sum of rows would differ: if a neuron fires twice at a time, or neurons are
    not in order.
    """
    for j in range(n_pre):
        for t in range(STEPS):
            raster[j, t] = 0.0
    k = first
    for t in range(STEPS):
        before = -1
        while k < events.ends[group + t]:
            if events.indices[k] <= before:
                return False
            before = events.indices[k]
            raster[before, t] = 1.0
            k += 1
    return True


@kernel
def run_lif_layer(
    layer: np.record,
    weights: AnyFloat,
    events: _Events,
    window: _Window,
    neurons: _Membranes,
    scratch: Scratch,
    fired: _Fired,
    count: int,
) -> int:
    """Run one layer (a record of LAYER) through its events and on to the end of the window.

    Return `count` plus the spikes fired, or `NO_ROOM`.
    """
    kind = neurons.v.dtype.type
    n = layer.n_padded
    first = events.first
    last_time = 0.0
    passed = 0.0
    decay = kind(1.0)
    n_summed = 0  # groups ahead whose sums are in `scratch.currents`
    for g in range(window.n_groups):
        last = events.ends[g]
        if n_summed == 0 and _sum_ahead(layer, weights, events, first, g, window, scratch):
            n_summed = STEPS
        if last > first:
            if count + n > len(fired.indices):
                return NO_ROOM
            now = float(window.times[g])
            if last_time - now != passed:  # steps of equal length have the same decay
                passed = last_time - now
                decay = kind(math.exp(passed / layer.tau))
            last_time = now
            if n_summed > 0:
                _copy(scratch.currents, (STEPS - n_summed) * n, neurons.current)
            else:
                sum_rows(neurons.current, weights, layer.offset, n, events.indices, first, last)
            count = leak_and_fire(
                neurons.v,
                neurons.current,
                decay,
                neurons.threshold,
                layer.reset_zero,
                fired.indices,
                count,
            )
        n_summed = max(0, n_summed - 1)
        fired.ends[g] = count
        first = last
    _decay(neurons.v, kind(math.exp((last_time - window.duration) / layer.tau)))
    return count


@inlined
def _sum_ahead(
    layer: np.record,
    weights: AnyFloat,
    events: _Events,
    first: int,
    group: int,
    window: _Window,
    scratch: Scratch,
) -> bool:
    """Sum the rows of `STEPS` groups at once if enough inputs fire; return whether it was done."""
    if group + STEPS > window.n_groups:
        return False
    n_events = events.ends[group + STEPS - 1] - first
    if n_events < _DENSE * STEPS * layer.n_pre:
        return False
    if not mark_events(events, first, group, layer.n_pre, scratch.raster):
        return False
    n = layer.n_padded
    sum_dense(scratch.currents, weights, layer.offset, n, scratch.raster, layer.n_pre)
    return True


@inlined
def _copy(source: AnyFloat, start: int, target: AnyFloat) -> None:
    for i in range(len(target)):
        target[i] = source[start + i]


@inlined
def _decay(v: AnyFloat, factor: np.floating) -> None:
    for i in range(len(v)):
        v[i] *= factor
