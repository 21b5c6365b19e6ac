"""Memory: what the rows before leave to a row.

A hidden neuron's trace carries on from row to row and fades as exp(-gap / span), exactly by the
time that passed. Spans lie evenly in the logarithm, a little denser towards the longest (short ones
leave next to nothing), counted in median gaps between rows, so that one setting fits fast and slow
sensors. Every other neuron starts from nothing at each row: what needs no memory is not blurred by
it.

Times say how long a gap was. Where one is missing (NaN), or runs backwards, the gap counts as a
median one, and so does the gap behind a missing one. Rows of equal times are one moment: nothing
fades between them.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.scratch import CARRIED
from loco_stream.learner.arrays.state import IS_TIMED, LABEL, LAST, MEDIAN_GAP, N_BACKWARD, N_GAPS

__all__ = ["advance", "carry", "forget", "keep_context", "put_back"]

SETTLE = 300.0  # gaps after which the median stands, as the scaling of features does
FIRST_STEP = (
    2.0  # of its logarithm, over the number of gaps: converges for gaps spread over several orders
)


@kernel
def _gaps(clock, t):
    """Return the time since the last row, in median gaps."""
    if t != t or clock[IS_TIMED] == 0.0 or t < clock[LAST]:
        return 1.0
    gap = t - clock[LAST]
    if clock[MEDIAN_GAP] == 0.0:
        return 1.0 if gap > 0.0 else 0.0
    return gap / clock[MEDIAN_GAP]


@kernel
def carry(memory, t, run):
    """Write what is left of the last row's traces at time `t`.

    Rows that come evenly share their decay.
    """
    gaps = _gaps(memory.clock, t)
    decays = run.decays
    if gaps != run.gaps[0]:
        run.gaps[0] = gaps
        for i in range(decays.shape[0]):
            span = memory.spans[i]
            decays[i] = math.exp(-gaps / span) if span > 0.0 else 0.0
    for i in range(decays.shape[0]):
        run.neurons[CARRIED, i] = np.float32(np.float64(memory.kept[i]) * decays[i])


@kernel
def _learn_gap(clock, gap):
    """Move the median towards a gap by a step that shrinks, and at most up to it."""
    if clock[N_GAPS] >= SETTLE:
        return
    clock[N_GAPS] += 1.0
    if clock[MEDIAN_GAP] == 0.0:
        clock[MEDIAN_GAP] = gap
        return
    step = FIRST_STEP / clock[N_GAPS]
    clock[MEDIAN_GAP] *= math.exp(min(max(math.log(gap / clock[MEDIAN_GAP]), -step), step))


@kernel
def advance(memory, t, traces):
    """Make a row of time `t` the last one: its traces are kept."""
    for i in range(memory.kept.shape[0]):
        memory.kept[i] = traces[i]
    clock = memory.clock
    if t != t:
        clock[IS_TIMED] = 0.0
        return
    if clock[IS_TIMED] != 0.0 and t > clock[LAST]:
        _learn_gap(clock, t - clock[LAST])
    elif clock[IS_TIMED] != 0.0 and t < clock[LAST]:
        clock[N_BACKWARD] += 1.0
    clock[LAST] = t
    clock[IS_TIMED] = 1.0


@kernel
def forget(memory):
    """Make the next row a first one; the median gap stays known."""
    for i in range(memory.kept.shape[0]):
        memory.kept[i] = np.float32(0.0)
    for lag in range(memory.ring.shape[0]):
        for j in range(memory.ring.shape[1]):
            memory.ring[lag, j] = np.float32(0.0)
    memory.clock[IS_TIMED] = 0.0
    memory.steps[LABEL] = -1.0


@kernel
def keep_context(memory, room):
    """Copy what `put_back` restores."""
    n = _copy_row(memory.clock, room, 0)
    n = _copy_row(memory.steps, room, n)
    n = _copy_row(memory.kept, room, n)
    for lag in range(memory.ring.shape[0]):
        n = _copy_row(memory.ring[lag], room, n)


@kernel
def _copy_row(row, room, n):
    for i in range(row.shape[0]):
        room[n + i] = np.float64(row[i])
    return n + row.shape[0]


@kernel
def put_back(memory, room):
    """Undo what rows that were only predicted did to the context."""
    n = _restore_row(memory.clock, room, 0)
    n = _restore_row(memory.steps, room, n)
    n = _restore_row(memory.kept, room, n)
    for lag in range(memory.ring.shape[0]):
        n = _restore_row(memory.ring[lag], room, n)


@kernel
def _restore_row(row, room, n):
    for i in range(row.shape[0]):
        row[i] = room[n + i]
    return n + row.shape[0]
