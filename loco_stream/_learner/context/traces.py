"""Memory: traces of hidden neurons that carry on from row to row.

A trace fades as exp(-gap / time constant), exactly by the time that passed. Time constants lie
evenly in the logarithm, a little denser towards the longest (short ones leave next to nothing), and
are counted in median gaps between rows, so that one setting fits fast and slow sensors. Every other
neuron starts from nothing on each row: what needs no memory is not blurred by it.

Times give the length of a gap. Where one is missing (NaN) or runs backwards the gap counts as a
median one, and so does the gap after a missing one. Rows of equal times are one moment: nothing
fades between them.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int32
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.init_weights import delay_targets
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Record, Shapes, axes, record
from loco_stream._learner.tiny import drop_tiny_items

Clock: TypeAlias = Annotated[
    Record,
    record(np.float64, last=0.0, is_timed=0.0, median_gap=0.0, n_gaps=0.0, n_backward=0.0),
]
LabelRun: TypeAlias = Annotated[Record, record(np.float64, label=-1.0, n_steps=0.0)]

SETTLE = 300.0  # gaps after which the median is fixed, as the scales of features are
FIRST_STEP = 2.0  # of its logarithm, over the number of gaps: converges over orders of magnitude
# The first gap is years if a clock is set after the first row. Where one of the first `FIRST_GAPS`
# is further off than `FAR` in logarithms, it moves the median by this share of the distance.
FAR = 3.0
FIRST_GAPS = 30.0
FAR_SHARE = 0.2
TOWARDS_LONG = 0.7  # spread of the time constants: 1 is even; short ones are nearly as good as none
GOLDEN = 0.6180339887498949  # multiples of it, less their integer part, lie evenly on (0, 1)


def neurons_with_memory(n_hidden: int) -> range:
    """Return which of so many hidden neurons carry their traces on."""
    return range(1, n_hidden, 2)


def _spread_time_constants(constants: Array, shapes: Shapes) -> None:
    """Spread the time constants of every other neuron in the logarithm, close ones far apart."""
    shortest = shapes.settings.shortest
    ratio = shapes.settings.longest / shortest if len(constants) else 1.0
    for i in neurons_with_memory(len(constants)):
        constants[i] = shortest * ratio ** ((i + 1) * GOLDEN % 1.0) ** TOWARDS_LONG


def _draw_targets(targets: Array, shapes: Shapes) -> None:
    targets[:] = delay_targets(shapes.settings, *targets.shape)


class ContextState(NamedTuple):
    """What the last rows left; empty without memory and delays.

    time_constants: of each hidden neuron's trace in median gaps; 0: it starts from nothing
    traces: as the last row left them
    clock: time of the last row, 1 if that is known, median gap between rows, gaps that it was taken
    from, times that ran backwards
    means, fading_traces: fading means of the encoded features and of traces of the fixed layer, see
    `fixed_layer`; mean_weights: of the rows in those of each time constant, traces last
    ring: encoded rows before, the last one first
    delay_targets: see `delays`
    run: the label that came last, and the steps of the hidden layers for it in a row
    """

    time_constants: Annotated[
        Float64, axes("remembered", start=_spread_time_constants, derived=True)
    ]
    traces: Annotated[Float32, axes("remembered")]
    clock: Clock
    means: Annotated[Float32, axes("means", "scaled")]
    fading_traces: Annotated[Float32, axes("fading")]
    mean_weights: Annotated[Float32, axes("fading_means", within=NOT_NEGATIVE)]
    ring: Annotated[Float32, axes("delays", "channels", within=(0.0, 1.0))]
    delay_targets: Annotated[
        Int32,
        axes("delayed_channels", "first_layer", start=_draw_targets, derived=True),
    ]
    run: LabelRun


@kernel
def _gaps(clock, t):
    """Return the time since the last row, in median gaps."""
    if t != t or clock.is_timed == 0.0 or t < clock.last:
        return 1.0
    gap = t - clock.last
    if clock.median_gap == 0.0:
        return 1.0 if gap > 0.0 else 0.0
    return gap / clock.median_gap


@kernel
def carry(context, scratch, t):
    """Write what is left of the last row's traces at time `t` (float64).

    Rows that come evenly share their decay.
    """
    gaps = _gaps(context.clock, t)
    decays = scratch.decays
    carried = scratch.neurons.carried
    if gaps != scratch.times.decay_gaps:
        scratch.times.decay_gaps = gaps
        for i in range(len(decays)):
            constant = context.time_constants[i]
            decays[i] = math.exp(-gaps / constant) if constant > 0.0 else 0.0
    for i in range(len(decays)):
        carried[i] = context.traces[i] * decays[i]
    drop_tiny_items(carried, len(decays))


@kernel
def _learn_gap(clock, gap):
    """Move the median towards a gap by a step that shrinks, and at most up to it."""
    if clock.n_gaps >= SETTLE:
        return
    clock.n_gaps += 1.0
    if clock.median_gap == 0.0:
        clock.median_gap = gap
        return
    distance = math.log(gap / clock.median_gap)
    step = FIRST_STEP / clock.n_gaps
    if clock.n_gaps <= FIRST_GAPS and abs(distance) > FAR:
        step = max(step, FAR_SHARE * abs(distance))
    clock.median_gap *= math.exp(min(max(distance, -step), step))


@kernel
def advance(context, t, traces):
    """Make a row the last one; `t` is its time (float64), `traces` (hidden or more,) float32."""
    for i in range(len(context.traces)):
        context.traces[i] = traces[i]
    clock = context.clock
    if t != t:
        clock.is_timed = 0.0
        return
    if clock.is_timed != 0.0 and t > clock.last:
        _learn_gap(clock, t - clock.last)
    elif clock.is_timed != 0.0 and t < clock.last:
        clock.n_backward += 1.0
    clock.last = t
    clock.is_timed = 1.0


@kernel
def reduce_credit(context, credit, share):
    """Multiply the credit of neurons with a memory, (hidden,) float32, by a share, float64.

    Where values come late, what these neurons carry on in a row that waits was left by their
    weights of that time, and would mean something else if the weights had changed since. So they
    learn as far as the mixture of late values does without a memory.
    """
    for i in range(len(context.time_constants)):
        if context.time_constants[i] > 0.0:
            credit[i] *= np.float32(share)


@kernel
def forget(context):
    """Make the next row a first one; the median gap stays known."""
    _clear(context.traces)
    for means in context.means:
        _clear(means)
    _clear(context.fading_traces)
    _clear(context.mean_weights)
    for codes in context.ring:
        _clear(codes)
    context.clock.is_timed = 0.0
    context.run.label = -1.0


@kernel
def _clear(row):
    for i in range(len(row)):
        row[i] = 0.0


@kernel
def save_context(context, saved):
    """Copy everything that rows change to `SavedContext`."""
    _copy_records(context, saved)
    _copy_rows(context, saved.values, False)


@kernel
def restore_context(context, saved):
    """Undo what rows that were only predicted did to the context; see `save_context`."""
    _copy_records(saved, context)
    _copy_rows(context, saved.values, True)


@kernel
def _copy_records(source, target):
    target.clock.last = source.clock.last
    target.clock.is_timed = source.clock.is_timed
    target.clock.median_gap = source.clock.median_gap
    target.clock.n_gaps = source.clock.n_gaps
    target.clock.n_backward = source.clock.n_backward
    target.run.label = source.run.label
    target.run.n_steps = source.run.n_steps


@kernel
def _copy_rows(context, values, restores):
    """Copy all rows to `values`, float32, or back if `restores` is true."""
    n = _copy_row(context.traces, values, 0, restores)
    n = _copy_row(context.fading_traces, values, n, restores)
    n = _copy_row(context.mean_weights, values, n, restores)
    for row in context.means:
        n = _copy_row(row, values, n, restores)
    for row in context.ring:
        n = _copy_row(row, values, n, restores)


@kernel
def _copy_row(row, values, n, restores):
    for i in range(len(row)):
        if restores:
            row[i] = values[n + i]
        else:
            values[n + i] = row[i]
    return n + len(row)
