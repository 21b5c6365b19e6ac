"""The hidden layers: a drive for each neuron, its spikes in the window, and the trace they leave.

Each layer has a window of its own and takes the traces of the layer below as its constant drive: a
pipeline, as on hardware where every layer works on what the one before it has just finished. The
cost of a layer follows its nonzero inputs and the neurons that fire.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream._compiler.jit import entry, kernel, overloaded
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream._learner.context.delays import weigh_delayed
from loco_stream._learner.texts import add_texts
from loco_stream.neurons import window_of
from loco_stream.neurons._spikes import traces_by_times

MAX_GAIN = 1e6  # of a layer whose inputs are next to nothing
SETTLE = 300.0  # rows after which a layer's gain is fixed, as the scales of features are


def window_times(cell: Any, drive: Any, window: Any, tau: Any, room: Any, times: Any) -> Any:
    """Write the spike times of one neuron of the model that `cell` names; return their number."""
    return window_of(type(cell)).times(cell, drive, window, tau, room, times)


def window_traces(
    cell: Any, values: Any, window: Any, tau: Any, tau_trace: Any, late: Any, room: Any, times: Any
) -> Any:
    """Turn drives into the traces of neurons; see `WindowOperations.traces`."""
    return _traces_by(type(cell))(cell, values, window, tau, tau_trace, late, room, times)


@overloaded(window_times)
def _window_times(cell, *arguments):
    run = window_of(cell.instance_class).times
    return lambda cell, *arguments: run(cell, *arguments)


@overloaded(window_traces)
def _window_traces(cell, *arguments):
    run = _traces_by(cell.instance_class)
    return lambda cell, *arguments: run(cell, *arguments)


def _traces_by(kind: Any) -> Any:
    """Return a model's own traces, or a kernel that makes them from its spike times."""
    operations = window_of(kind)
    return operations.traces or traces_by_times(operations.times)


@kernel
def turn_into_traces(settings, window, values):
    """Turn drives into the traces of neurons in place; return their number of spikes.

    Parameters
    ----------
    window
        `WindowBuffers`, working memory.
    values
        (neurons,) float32.
    """
    late = math.exp(-settings.window / settings.tau_trace)
    return window_traces(
        settings.cell,
        values,
        settings.window,
        settings.tau,
        settings.tau_trace,
        late,
        window.cell,
        window.times,
    )


@kernel
def _fire(settings, state, scratch, layer, noise_scale, out):
    """Write the traces of one layer from its drives; return its number of spikes."""
    start = state.net.first[layer]
    end = start + state.net.n_post[layer]
    gain = np.float32(state.net.gain[layer])
    noise = scratch.neurons.noise
    fresh = out.fresh[start:end]
    for i in range(start, end):
        drive = gain * out.drives[i]
        if noise_scale != 0.0:
            drive += noise_scale * noise[i]
        fresh[i - start] = drive
    n_spikes = turn_into_traces(settings, scratch.window, fresh)
    for i in range(start, end):
        out.traces[i] = out.fresh[i]
    return n_spikes


class HiddenWeights(NamedTuple):
    """The weights of all hidden layers: those of `Net` and `TextState`, or of a snapshot.

    first: from the channels, (channels, neurons) float32
    deep: of the other layers, (layers - 1, below, above) float32
    texts: from the texts, (texts, neurons) float32
    """

    first: Any
    deep: Any
    texts: Any


@kernel
def run_hidden(settings, state, scratch, weights, noise_scale, out):
    """Run all layers on the encoded row; write their drives, traces and numbers of spikes.

    Parameters
    ----------
    weights
        `HiddenWeights`.
    noise_scale
        float32: `scratch.neurons.noise` times this is added to the drives; 0: it is not read.
    out
        `HiddenPass`, written.
    """
    net = state.net
    code = scratch.code
    rows = scratch.layer.rows
    for layer in range(settings.n_layers):
        start = net.first[layer]
        n_post = net.n_post[layer]
        weighted = out.drives[start : start + n_post]
        if layer == 0 and settings.max_delay > 0:
            targets = state.context.delay_targets
            weigh_delayed(settings, weighted, weights.first, n_post, targets, scratch.lagged)
        elif layer == 0:
            n_rows = scratch.cache.n_channels
            weigh_rows(weighted, weights.first, n_post, code.channels, 0, code.rows, n_rows)
            add_texts(weights.texts, scratch.texts, n_post, weighted)
        else:
            below = net.first[layer - 1]
            n_rows = nonzero(out.traces, below, net.n_post[layer - 1], rows)
            deep = weights.deep[layer - 1]
            weigh_rows(weighted, deep, n_post, out.traces, below, rows, n_rows)
        out.spikes[layer] = _fire(settings, state, scratch, layer, noise_scale, out)
        if settings.longest > 0.0:
            for i in range(start, start + n_post):
                out.traces[i] += scratch.neurons.carried[i]


@kernel
def settle_gains(net, drives, target, n_seen):
    """Move each layer's gain so that its drives have a given root mean square, for 300 rows.

    Afterwards the gain is fixed: a code that kept moving would make everything stale that reads it.

    Parameters
    ----------
    net
        `Net`.
    drives
        (hidden,) float32: weighted inputs before the gain.
    target
        float64: the root mean square.
    n_seen
        int64.
    """
    if n_seen >= SETTLE:
        return
    for layer in range(len(net.n_post)):
        power = 0.0
        for i in range(net.first[layer], net.first[layer] + net.n_post[layer]):
            power += np.float64(drives[i]) * drives[i]
        change = power / net.n_post[layer] - net.drive_power[layer]
        net.drive_power[layer] += change / (n_seen + 1.0)
        if net.drive_power[layer] > 0.0:
            net.gain[layer] = min(target / math.sqrt(net.drive_power[layer]), MAX_GAIN)


@entry
def last_spikes(settings, n_post, gain, weighted, cell, times, out):
    """Write the spikes of the last layer, neuron after neuron; return their number.

    Parameters
    ----------
    n_post
        int64: neurons of the layer.
    gain
        float64: gain of the layer.
    weighted
        (n_post,) float32: weighted inputs of the row.
    cell, times
        Working memory of one neuron, as in `WindowBuffers`.
    out
        (times, neurons): float32 and int32, with room for all spikes; written.
    """
    out_times, out_neurons = out
    n = 0
    for i in range(n_post):
        drive = np.float64(np.float32(gain) * weighted[i])
        n_spikes = window_times(settings.cell, drive, settings.window, settings.tau, cell, times)
        for k in range(n_spikes):
            out_times[n] = times[k]
            out_neurons[n] = i
            n += 1
    return n
