"""The fixed layer: random spiking neurons that never learn, with scales of their own that settle.

Whatever the hidden layers become, a row drives this layer as it always did, so that a readout which
adds up its traces for each class forgets nothing. A neuron sees the standardised features through
random weights, and a random bias; its trace is that of the model's neuron under this drive. Rows
are scaled to the same mean square, by what the first rows had.

Where features have no receptive fields there are hundreds of them. Each then reaches some groups of
neighbouring neurons only, which costs a fraction of the time at the same accuracy.

A skip connection carries the scaled features past the neurons: what is linear in a row, such as the
direction of an embedding, survives there whole, and a few hundred random neurons blur it.

With a memory it sees each feature three times: as it is, and as two fading means over the rows up
to this one. The traces of half of the neurons are fading means too: how strongly the rows of a
sensor vary, for example, shows in the mean of a trace and not in that of a feature. A fading mean
begins anew after a long gap.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream import _rng as rng
from loco_stream._arrays import Array, Float32, Float64, Int32
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_groups, weigh_rows
from loco_stream._compiler.simd.sizes import GROUP
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, POSITIVE, Shapes, axes
from loco_stream._learner.encoding import TAIL, bounded
from loco_stream._learner.hidden import turn_into_traces
from loco_stream._learner.scale_guard import is_apart
from loco_stream._learner.tiny import drop_tiny_items
from loco_stream._numbers import LARGEST

GAIN = 9.0  # thresholds per window for a weighted input of 1
SKIP_GAIN = 2.5  # of the encoded features beside the traces
BIASES = (-3.0, 5.0)  # range of the biases, in thresholds per window
WEIGHT_KEY = 6  # numbers of the random streams
BIAS_KEY = 7
GROUP_KEY = 8
N_GROUPS = 4  # that a feature without receptive fields reaches
FIRST_POWER = (1.0, 0.03)  # mean square of encoded features before any row: standardised, in ranges
FIRST_ROWS = 10.0  # rows that it counts as
MEAN_CONSTANTS = (1.0, 5.0)  # time constants of a feature's fading means, in median gaps
TRACE_CONSTANT = 10.0  # of those of traces
_CONSTANTS = (*MEAN_CONSTANTS, TRACE_CONSTANT)
_RATES = tuple(1.0 - math.exp(-1.0 / constant) for constant in _CONSTANTS)  # at even gaps
_MAX_SPANS = 1 + len(MEAN_CONSTANTS)
MIN_SPAN = np.finfo(np.float64).tiny  # of a feature's values: its inverse is finite
MIN_NORM = 1e-12
# Values after which the scale of a feature is fixed. Class means that are learned while it moves
# stay wrong, and the first of several classes that come one by one has no other rows.
SETTLE = 40.0
REOPENS = 128.0  # rows of a stream in which a scale that is too wide opens again


def _draw_weights(weights: Array, shapes: Shapes) -> None:
    """Draw the weights of each feature from its own place, so that room for more changes none."""
    key = rng.derive_key(shapes.settings.seed_key, WEIGHT_KEY)
    n_features = shapes.lengths["scaled"]
    if weights.size:
        weights[:] = rng.kept_draws(_drawn, key, n_features, *weights.shape)


def _drawn(key: int, n_features: int, n_rows: int, n_fixed: int) -> Float64:
    span, feature = np.divmod(np.arange(n_rows), n_features)
    return rng.normals_at(key, (feature * _MAX_SPANS + span) * n_fixed, n_fixed)


def n_reached(settings: Any) -> int:
    """Return how many neurons a feature reaches: all, or whole groups of neighbours."""
    n_fixed: int = settings.n_fixed
    has_groups = settings.n_fields == 1 and n_fixed % GROUP == 0
    return min(N_GROUPS * GROUP, n_fixed) if has_groups else n_fixed


def _draw_groups(groups: Array, shapes: Shapes) -> None:
    """Draw the first neuron of each group that a feature reaches, in ascending order."""
    settings = shapes.settings
    if groups.size:
        key = rng.derive_key(settings.seed_key, GROUP_KEY)
        n_groups = settings.n_fixed // GROUP
        n_features = shapes.lengths["scaled"]
        ranks = rng.kept_draws(_drawn, key, n_features, len(groups), n_groups).argsort(axis=1)
        groups[:] = GROUP * np.sort(ranks[:, : groups.shape[1]], axis=1)


def _draw_biases(biases: Array, shapes: Shapes) -> None:
    low, high = BIASES
    key = rng.derive_key(shapes.settings.seed_key, BIAS_KEY)
    biases[:] = low + (high - low) * rng.uniforms(key, 0, len(biases))


def _first_power(power: Array, shapes: Shapes) -> None:
    power.fill(FIRST_POWER[shapes.settings.n_fields == 1])


class FixedLayerState(NamedTuple):
    """The fixed layer.

    weights: from each encoded feature to the neurons that it reaches; norms: of the weights of each
    neuron from the features of the first row, 0 before it
    groups: first neurons of the groups that a feature reaches; none where it reaches all
    biases: in thresholds per window
    center, factor: of each feature; a value is encoded as (value - center) * factor, in standard
    deviations, or in ranges where a feature has one channel
    n_values: values that its scale was taken from, from the first on that varied
    power, n_rows: mean square of an encoded feature, and rows that it was taken from
    """

    weights: Annotated[Float32, axes("spans*scaled", "reached", start=_draw_weights)]
    groups: Annotated[Int32, axes("spans*scaled", "groups", start=_draw_groups, derived=True)]
    norms: Annotated[Float64, axes("fixed", within=NOT_NEGATIVE)]
    biases: Annotated[Float64, axes("fixed", start=_draw_biases, derived=True)]
    center: Annotated[Float64, axes("scaled")]
    factor: Annotated[Float64, axes("scaled")]
    n_values: Annotated[Float64, axes("scaled", within=NOT_NEGATIVE)]
    power: Annotated[Float64, axes(1, start=_first_power, within=POSITIVE)]
    n_rows: Annotated[Float64, axes(1, start=FIRST_ROWS, within=POSITIVE)]


class FixedLayerScratch(NamedTuple):
    """Working arrays.

    code: encoded features, then their fading means; rows: which are not 0
    carried, carried_traces: fading means of the rows before; mean_weights: what is left of their
    weights, see `ContextState`
    norms: of the weights of each neuron
    traces: weighted inputs of each neuron, then its trace
    outputs: these traces, of the last neurons fading means of them; then the outputs of the skip
    connection
    """

    code: Annotated[Float32, axes("spans*scaled")]
    rows: Annotated[Int32, axes("spans*scaled")]
    carried: Annotated[Float32, axes("means", "scaled")]
    carried_traces: Annotated[Float32, axes("fading")]
    mean_weights: Annotated[Float32, axes("fading_means")]
    norms: Annotated[Float64, axes("fixed")]
    traces: Annotated[Float32, axes("fixed")]
    outputs: Annotated[Float32, axes("fixed_outputs")]


@kernel
def carry_means(state, scratch):
    """Write the fading means, and what is left of their weights after the gap of `traces.carry`."""
    context = state.context
    work = scratch.fixed
    for k in range(len(context.mean_weights)):
        decay = np.float32(math.exp(-scratch.times.decay_gaps / _CONSTANTS[k]))
        work.mean_weights[k] = decay * context.mean_weights[k]
    for k in range(len(context.means)):
        _carry(context.means[k], work.carried[k])
    _carry(context.fading_traces, work.carried_traces)


@kernel
def _carry(means, carried):
    for i in range(len(means)):
        carried[i] = means[i]
    drop_tiny_items(carried, len(means))


@kernel
def keep_means(state, scratch):
    """Keep the fading means that the row in scratch leaves to the next one, and their weights."""
    context = state.context
    work = scratch.fixed
    n = context.means.shape[1]
    for k in range(len(context.means)):
        for f in range(n):
            context.means[k, f] = work.code[(k + 1) * n + f]
    n = len(context.fading_traces)
    first = len(work.traces) - n
    for i in range(n):
        context.fading_traces[i] = work.outputs[first + i]
    for k in range(len(context.mean_weights)):
        context.mean_weights[k] = work.mean_weights[k] + np.float32(_RATES[k])


@kernel
def _rate(work, k):
    """Return how far fading mean `k` moves to the row in scratch: to it if that is the first."""
    return np.float32(_RATES[k] / (np.float64(work.mean_weights[k]) + _RATES[k]))


@kernel
def _encode(settings, state, scratch):
    """Encode the row in scratch; return how many of its numbers are not 0."""
    own = state.fixed
    work = scratch.fixed
    gain = 1.0 / math.sqrt(own.power[0])
    n_features = state.counts.n_features
    for f in range(n_features):
        value = scratch.row[f]
        code = np.float32(0.0)
        if abs(value) <= LARGEST:
            z = (value - own.center[f]) * own.factor[f]
            z = min(max(z, -1.0), 1.0) if settings.n_fields == 1 else bounded(z, TAIL)
            code = np.float32(gain * z)
        work.code[f] = code
    width = work.carried.shape[1]
    for k in range(len(work.carried)):
        rate = _rate(work, k)
        for f in range(n_features):
            mean = work.carried[k, f]
            work.code[(k + 1) * width + f] = mean + rate * (work.code[f] - mean)
    return nonzero(work.code, 0, len(work.code), work.rows)


@kernel
def _write_norms(settings, state, norms):
    """Write the norm of the weights of each neuron from all features known, (fixed,) float64.

    It is 1 where no feature reaches the neuron.
    """
    own = state.fixed
    if own.norms[0] > 0.0:
        for i in range(len(norms)):
            norms[i] = own.norms[i]
        return
    width = len(own.center)
    for i in range(len(norms)):
        norms[i] = 0.0
    for span in range(settings.n_means + 1):
        for f in range(state.counts.n_features):
            row = own.weights[span * width + f]
            groups = own.groups[span * width + f]
            for i in range(len(row)):
                neuron = i if len(groups) == 0 else groups[i // GROUP] + i % GROUP
                norms[neuron] += np.float64(row[i]) * row[i]
    for i in range(len(norms)):
        norms[i] = math.sqrt(norms[i]) if norms[i] > MIN_NORM else 1.0


@kernel
def run_fixed_layer(settings, state, scratch):
    """Write the outputs of the fixed layer for the row in scratch."""
    own = state.fixed
    work = scratch.fixed
    drives = work.traces  # until they are turned into traces in place
    n_fixed = len(drives)
    n_rows = _encode(settings, state, scratch)
    if own.groups.shape[1] > 0:
        weigh_groups(drives, own.weights, own.groups, work.code, work.rows, n_rows)
    else:
        weigh_rows(drives, own.weights, n_fixed, work.code, 0, work.rows, n_rows)
    _write_norms(settings, state, work.norms)
    for i in range(n_fixed):
        drives[i] = GAIN * np.float64(drives[i]) / work.norms[i] + own.biases[i]
    turn_into_traces(settings, scratch.window, work.traces)
    for i in range(n_fixed):
        work.outputs[i] = work.traces[i]
    if len(work.carried_traces) > 0:
        _write_fading_traces(work)
    _write_skip(own, work, state.counts.n_features)


@kernel
def _write_fading_traces(work):
    """Write the fading means of the last traces in place of these traces among the outputs."""
    rate = _rate(work, len(MEAN_CONSTANTS))
    n = len(work.carried_traces)
    first = len(work.traces) - n
    for i in range(n):
        mean = work.carried_traces[i]
        work.outputs[first + i] = mean + rate * (work.traces[first + i] - mean)


@kernel
def _write_skip(own, work, n_features):
    """Write the encoded features behind the traces, times a gain.

    Where there are more features than the n outputs, output j is the sum of features j, j + n,
    j + 2 n and so on; each after the first has the sign of its first weight.

    Parameters
    ----------
    own, work
        `FixedLayerState` and `FixedLayerScratch`.
    n_features
        int64.
    """
    gain = np.float32(SKIP_GAIN)
    n_fixed = len(work.traces)
    n = len(work.outputs) - n_fixed
    if n == 0:
        return
    for f in range(min(n, n_features)):
        work.outputs[n_fixed + f] = gain * work.code[f]
    for f in range(n, n_features):
        code = gain * work.code[f]
        work.outputs[n_fixed + f % n] += code if own.weights[f, 0] > 0.0 else -code


@kernel
def settle_scales(settings, state, scratch):
    """Follow the statistics of each feature while its first values vary, and the power of rows.

    A value that stands apart does not count, and none does while the scale is too wide: the
    statistics are about to replace it, and this layer could not follow them any more. In the first
    rows a scale that is too wide opens again.
    """
    own = state.fixed
    statistics = state.statistics
    guard = state.scale_guard
    if own.norms[0] == 0.0:
        for i in range(len(own.norms)):
            own.norms[i] = scratch.fixed.norms[i]
    n_features = state.counts.n_features
    if own.n_rows[0] < SETTLE + FIRST_ROWS:
        _learn_power(own, guard, scratch, n_features)
    for f in range(n_features):
        value = scratch.row[f]
        is_wide = state.kept_scales.n_wide[f] > 0.0
        if is_wide and state.counts.n_seen < REOPENS:
            own.n_values[f] = 0.0
        if not abs(value) <= LARGEST or own.n_values[f] >= SETTLE or is_apart(guard, f, value):
            continue
        span = 0.0
        if settings.n_fields == 1:
            span = statistics.highest[f] - statistics.lowest[f]
        elif statistics.n_values[f] > 0.0:
            span = math.sqrt(statistics.squares[f] / statistics.n_values[f])
        if span >= MIN_SPAN:
            own.n_values[f] += 0.0 if is_wide else 1.0
            own.center[f] = statistics.mean[f]
            own.factor[f] = 1.0 / span


@kernel
def _learn_power(own, guard, scratch, n_features):
    """Take a row into the mean square of an encoded feature, without values that stand apart.

    A row of zeros is left out.
    """
    code = scratch.fixed.code
    total = 0.0
    n = n_features
    for f in range(n_features):
        if is_apart(guard, f, scratch.row[f]):
            n -= 1
        else:
            total += np.float64(code[f]) * code[f]
    if total > 0.0:
        own.n_rows[0] += 1.0
        own.power[0] += own.power[0] * (total / n - 1.0) / own.n_rows[0]
