"""The hidden layers: a drive for each neuron, its spikes in the window, the trace they leave.

Layer after layer has a window of its own, and takes the traces of the layer below as its constant
drive: a pipeline, as on hardware where every layer works on what the one before it has just
finished. What a layer costs follows the inputs that are not zero and the neurons that fire.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from loco_stream._compiler.jit import entry, kernel, overloaded
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream.learner.arrays.scratch import CARRIED
from loco_stream.learner.arrays.state import DRIVE_POWER, GAIN, N_POST, START
from loco_stream.learner.context.delays import weigh_delayed
from loco_stream.neurons import window_of
from loco_stream.neurons.spikes import trace_of

__all__ = [
    "HIGHEST_GAIN",
    "SETTLE",
    "last_spikes",
    "run_hidden",
    "settle_gains",
    "window_times",
    "window_trace",
]

HIGHEST_GAIN = 1e6  # of a layer whose inputs are next to nothing
SETTLE = 300.0  # rows after which a layer's gain stands, as the scaling of its features does


def window_times(cell: Any, drive: Any, window: Any, tau: Any, room: Any, times: Any) -> Any:
    """Write the spike times of one neuron of the model that `cell` names; return their number."""
    return window_of(type(cell)).times(cell, drive, window, tau, room, times)


def window_trace(
    cell: Any, drive: Any, window: Any, tau: Any, tau_trace: Any, late: Any, room: Any, times: Any
) -> Any:
    """Return the trace of one neuron at the window's end and its number of spikes."""
    return _trace_by(type(cell))(  # type: ignore[arg-type]  # mypy: a class may not be hashable
        cell, drive, window, tau, tau_trace, late, room, times
    )


@overloaded(window_times)
def _window_times(cell, drive, window, tau, room, times):
    run = window_of(cell.instance_class).times
    return lambda cell, drive, window, tau, room, times: run(cell, drive, window, tau, room, times)


@overloaded(window_trace)
def _window_trace(cell, drive, window, tau, tau_trace, late, room, times):
    run = _trace_by(cell.instance_class)
    return lambda cell, drive, window, tau, tau_trace, late, room, times: run(
        cell, drive, window, tau, tau_trace, late, room, times
    )


@cache
def _trace_by(kind: Any) -> Any:
    """Return a model's own trace in closed form, or one made from its spike times."""
    operations = window_of(kind)
    if operations.trace is not None:
        return operations.trace
    times_of = operations.times

    @kernel
    def trace_from_times(cell, drive, window, tau, tau_trace, late, room, times):
        n = times_of(cell, drive, window, tau, room, times)
        return trace_of(times, n, window, tau_trace), n

    return trace_from_times


@kernel
def run_hidden(
    settings,
    sizes,
    weights,
    deep_weights,
    gains,
    code,
    n_lines,
    targets,
    lagged,
    noise,
    size,
    run,
    drives,
    fresh,
    traces,
    spikes,
):
    """Run all layers on the encoded row.

    Write every hidden neuron's trace and each layer's number of spikes.

    Parameters
    ----------
    sizes, weights, deep_weights, gains
        As in `Net`, or those of a snapshot.
    code, n_lines
        `Code`, and how many lines are not 0.
    targets, lagged
        `Memory.targets` and `Lagged`, read in place of the code if synapses have delays.
    noise, size
        (hidden,) added to the drives times `size`; with a size of 0 it is not read.
    run
        `Run`, for working memory.
    drives, fresh, traces
        (hidden or more,) float32, written; drives are the weighted inputs before gain and noise,
        fresh what this row's spikes leave, and traces that and what the rows before have left.
    spikes
        (layers,) written.
    """
    late = math.exp(-settings.window / settings.tau_trace)
    for layer in range(sizes.shape[1]):
        start = sizes[START, layer]
        n_post = sizes[N_POST, layer]
        weighted = drives[start : start + n_post]
        if layer == 0 and settings.max_delay > 0:
            weigh_delayed(settings, weighted, weights, n_post, targets, lagged)
        elif layer == 0:
            weigh_rows(weighted, weights, n_post, code.lines, 0, code.rows, n_lines)
        else:
            below = sizes[START, layer - 1]
            n_rows = nonzero(traces, below, sizes[N_POST, layer - 1], run.rows)
            weigh_rows(weighted, deep_weights[layer - 1], n_post, traces, below, run.rows, n_rows)
        gain = np.float32(gains[GAIN, layer])
        total = np.int64(0)
        for i in range(n_post):
            drive = gain * weighted[i]
            if size != np.float32(0.0):
                drive += size * noise[start + i]
            trace, n = window_trace(
                settings.cell,
                np.float64(drive),
                settings.window,
                settings.tau,
                settings.tau_trace,
                late,
                run.cell,
                run.times,
            )
            fresh[start + i] = np.float32(trace)
            traces[start + i] = np.float32(trace)
            total += n
        spikes[layer] = total
        if settings.longest > 0.0:
            for i in range(start, start + n_post):
                traces[i] += run.neurons[CARRIED, i]


@kernel
def settle_gains(sizes, gains, drives, target, n_seen):
    """Move each layer's gain so that its drives have a root mean square of `target`, until enough rows were seen.

    `drives` are the weighted sums before the gain. Afterwards the gain stands: a code that kept
    moving would make stale whatever reads it.
    """
    if n_seen >= SETTLE:
        return
    for layer in range(sizes.shape[1]):
        power = 0.0
        for i in range(sizes[START, layer], sizes[START, layer] + sizes[N_POST, layer]):
            power += np.float64(drives[i]) * np.float64(drives[i])
        gains[DRIVE_POWER, layer] += (power / sizes[N_POST, layer] - gains[DRIVE_POWER, layer]) / (
            n_seen + 1.0
        )
        if gains[DRIVE_POWER, layer] > 0.0:
            gains[GAIN, layer] = min(target / math.sqrt(gains[DRIVE_POWER, layer]), HIGHEST_GAIN)


@entry
def last_spikes(settings, sizes, gains, weighted, room, times, out_times, out_neurons):
    """Write when and which neurons of the last layer fired, neuron after neuron.

    Return how many spikes.

    `weighted` (hidden,) are the weighted inputs of a clean pass; `out_times` and `out_neurons` have
    room for all.
    """
    layer = sizes.shape[1] - 1
    n = 0
    start = sizes[START, layer]
    gain = np.float32(gains[GAIN, layer])
    for i in range(sizes[N_POST, layer]):
        drive = np.float64(gain * weighted[start + i])
        n_spikes = window_times(settings.cell, drive, settings.window, settings.tau, room, times)
        for k in range(n_spikes):
            out_times[n] = times[k]
            out_neurons[n] = i
            n += 1
    return n
