"""The way from a row of numbers to what the readout's members say of it."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.encoding import encode_fields, encode_lines, intensity, scale
from loco_stream.learner.layer import run_layer
from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.readout import snapshots as recall
from loco_stream.learner.readout import stack
from loco_stream.learner.state import (
    CLEAN_FOR,
    N_FEATURES,
    N_GAINS,
    N_IN,
    N_LINEAR_ROWS,
    N_ROWS,
    N_SEEN,
    THRESHOLD,
)
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.simd.ops import weigh_rows

__all__ = ["clean_pass", "combine", "ensure_gains", "run_layers", "span", "trace_spikes"]


@kernel
def trace_spikes(times, indices, n, window, tau, traces):
    """Add exp(-(window - t) / tau) for each spike; equal times share one exponential."""
    last, weight = np.float32(-1.0), np.float32(0.0)
    for k in range(n):
        if times[k] != last:
            last = times[k]
            weight = np.float32(math.exp((np.float64(last) - window) / tau))
        traces[indices[k]] += weight


@kernel
def run_layers(settings, net, thresholds, spikes, n_in, workspace, traces, counts):
    """Run the hidden layers on the encoded spikes; write all hidden neurons' traces and the layers' spike counts.

    A layer whose spikes find no room ends with those that do; only Izhikevich neurons can fire so often.
    """
    events, n, window = (spikes.in_times, spikes.in_lines), n_in, settings.window
    for layer in range(net.layout.shape[1]):
        n_post, offset, start = net.layout[1, layer], net.layout[2, layer], net.layout[3, layer]
        stop = start + n_post
        out = (spikes.times[layer & 1], spikes.indices[layer & 1])
        n = run_layer(
            settings.cell, events, n, net.weights, offset, window, settings.tau, thresholds[start:stop], workspace,
            start, stop, out,
        )  # fmt: skip
        if n == NO_ROOM:
            n = out[0].shape[0]
        events = out
        for i in range(start, stop):
            traces[i] = np.float32(0.0)
        trace_spikes(out[0], out[1], n, window, settings.tau_trace, traces[start:stop])
        counts[layer] = n


@kernel
def _is_cached(x, row, n, cached_for, n_seen):
    """Return whether scratch holds the pass of this very row under these very weights."""
    if cached_for != n_seen:
        return False
    for f in range(n):
        a, b = x[f], row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@kernel
def _encode(settings, statistics, spikes, x, n_features, row, scaled):
    """Scale and encode a row, remembering it; return the number of input spikes."""
    for f in range(n_features):
        row[f] = x[f]
    scale(x, n_features, statistics, scaled)
    if settings.n_fields > 1:
        return encode_fields(
            x, scaled, n_features, settings.n_fields, settings.window,
            spikes.line_of, spikes.slot_of, spikes.slot_ends, spikes.in_times, spikes.in_lines,
        )  # fmt: skip
    return encode_lines(
        x, statistics, n_features, settings.line_threshold, settings.window,
        spikes.line_of, spikes.slot_of, spikes.slot_ends, spikes.in_times, spikes.in_lines,
    )  # fmt: skip


@kernel
def span(all_layers, n_hidden, n_last, n_features):
    """Return where the readout's inputs start in the feature vector, and their number."""
    if all_layers:
        return 0, n_hidden + 1 + n_features
    return n_hidden - n_last, n_last + 1


@kernel
def _speak(bank, old, features, first, n_inputs, hidden, n_features, answers, flags):
    """Write the outputs of every member, and of the snapshots if any has a say."""
    flags[N_ROWS] = readout.nonzero(features, first, n_inputs, answers.rows)
    rows, n_rows = answers.rows, flags[N_ROWS]
    weigh_rows(answers.outputs, bank.traces, bank.traces.shape[1], features, first, rows, n_rows)
    if bank.linear.shape[1] > 0:
        flags[N_LINEAR_ROWS] = readout.nonzero(features, hidden, n_features + 1, answers.linear_rows)
        weigh_rows(
            answers.linear_outputs, bank.linear, bank.linear.shape[1], features, hidden, answers.linear_rows,
            flags[N_LINEAR_ROWS],
        )  # fmt: skip
    if recall.any_speaks(old.weights):
        weigh_rows(answers.snapshot_outputs, old.snapshots, old.snapshots.shape[1], features, first, rows, n_rows)


@kernel
def clean_pass(settings, state, scratch, x):
    """Encode `x`, run the net and the readout's members, unless scratch holds just that already."""
    n_features, n_seen = state.counts[N_FEATURES], state.counts[N_SEEN]
    flags, z, hidden = scratch.flags, scratch.features, settings.n_hidden
    if _is_cached(x, scratch.row, n_features, flags[CLEAN_FOR], n_seen):
        return
    flags[N_GAINS] = 0
    flags[N_IN] = _encode(settings, state.statistics, scratch.spikes, x, n_features, scratch.row, scratch.scaled)
    run_layers(
        settings, state.net, state.net.neurons[THRESHOLD], scratch.spikes, flags[N_IN], scratch.workspace,
        z, scratch.spikes.counts,
    )  # fmt: skip
    z[hidden] = np.float32(1.0)
    by_range = settings.n_fields == 1  # a pixel that was dark in the first samples has no deviation to scale by
    for f in range(n_features):
        z[hidden + 1 + f] = intensity(x[f], state.statistics, f) if by_range else scratch.scaled[f]
    first, n_inputs = span(settings.all_layers, hidden, settings.n_last, n_features)
    _speak(state.bank, state.recall, z, first, n_inputs, hidden, n_features, scratch.answers, flags)
    flags[CLEAN_FOR] = n_seen


@kernel
def _gain(bank, m, features, first, n_inputs, hidden, n_features, answers, flags):
    """Write a member's gain and what it says of the input's novelty; the linear members follow those on traces."""
    shares, linear = answers.shares, m - bank.projectors.shape[0]
    if linear >= 0:
        shares[0, m], _ = readout.gain(
            bank.linear_projectors[linear], n_features + 1, features, hidden, answers.linear_rows,
            flags[N_LINEAR_ROWS], answers.linear_gains[linear],
        )  # fmt: skip
        return
    shares[0, m], square = readout.gain(
        bank.projectors[m], n_inputs, features, first, answers.rows, flags[N_ROWS], answers.gains[m]
    )
    shares[1, m] = shares[0, m] / (bank.members[1, m] * square)


@kernel
def ensure_gains(settings, state, scratch, n_members):
    """Make sure that the first members' gains for the sample in scratch are there."""
    n_features, hidden, flags = state.counts[N_FEATURES], settings.n_hidden, scratch.flags
    first, n_inputs = span(settings.all_layers, hidden, settings.n_last, n_features)
    while flags[N_GAINS] < n_members:
        _gain(state.bank, flags[N_GAINS], scratch.features, first, n_inputs, hidden, n_features, scratch.answers, flags)
        flags[N_GAINS] += 1


@kernel
def combine(bank, answers, recursive, n_classes, capacity, scores):
    """Write the combined output of each class, before gate and calibration."""
    if recursive:
        stack.stacked(
            answers.outputs, answers.linear_outputs, bank.projectors.shape[0], bank.linear_projectors.shape[0],
            capacity, n_classes, bank.stack, scores,
        )  # fmt: skip
        return
    for c in range(n_classes):
        scores[c] = np.float64(answers.outputs[c])
