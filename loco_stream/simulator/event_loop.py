"""One layer of any neuron model with delays, recurrence, drive: the event loop around a priority queue.

Time advances from arrival to arrival. All groups that arrive at one time form a batch and are delivered together;
then every neuron they reach that is at or above threshold fires, at most once, and so does every neuron
that an earlier reset left above threshold. Neurons that can fire between events, by themselves, are advanced to
each arrival, and to the end of each window: a window is as long as the shortest recurrent delay, so that
nothing fired within it can arrive within it, and neurons may be visited in any order.

All progress lives in arrays: where the room for spikes ends the loop returns before the next step, and goes on
from there when called with larger arrays. Inside, functions hand each other bare arrays: to take one out of a group
of them at every call costs a count of references, by an atomic operation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream.jit import entry, kernel
from loco_stream.neurons.operations import crossing, enter, fire, quiet, ready, receive
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.simulator.heap import GROUP, ORIGIN, TIME, pop, push

__all__ = ["DONE", "LAST_FIRE", "Progress", "heat", "run_events", "start_progress"]

DONE = 0
INPUT, QUEUED, FIRED, BATCH, HOT = 0, 1, 2, 3, 4
WINDOW, NOW, REFRACTORY = 0, 1, 2
LAST_FIRE = 0  # column of the cells of every model
LISTED, STAYS = 1, 2
_CHUNK = 16  # neurons that are looked at together before they are looked at one by one


class Progress(NamedTuple):
    """How far a run of n neurons has come. Times in ms."""

    count: Any  # (5,) int64: inputs taken, queue entries, spikes fired, groups in the batch, hot neurons
    clock: Any  # (3,) float64: end of the window, time of the batch, refractory period
    heap: Any  # (queue capacity, 3) float64: see `heap`
    batch: Any  # (queue capacity,) int64: groups arriving now
    hot: Any  # (n,) int64: list of the neurons left at or above threshold by a reset
    flags: Any  # (n,) uint8: 1 if listed there, plus 2 if at or above threshold after the last reset
    times: Any  # (spike capacity,) float64: output, when
    indices: Any  # (spike capacity,) int64: output, who


def start_progress(n: int, refractory: float, room: int) -> Progress:
    """Return the progress of a run of `n` neurons that has not begun, with room for that many spikes."""
    return Progress(
        count=np.zeros(5, np.int64),
        clock=np.array([0.0, 0.0, refractory]),
        heap=np.zeros((room, 3)),
        batch=np.zeros(room, np.int64),
        hot=np.zeros(n, np.int64),
        flags=np.zeros(n, np.uint8),
        times=np.zeros(room),
        indices=np.zeros(room, np.int64),
    )


@entry
def heat(count, hot, flags, i):
    """Remember that neuron `i` is at or above threshold and may not fire before the next event time."""
    if flags[i] & LISTED == 0:
        hot[count[HOT]] = i
        count[HOT] += 1
    flags[i] = LISTED | STAYS


@kernel
def emit(
    model, cells, numbers, row_group, group_delay, n_inputs, count, heap,
    hot, flags, out_times, out_indices, i, t,
):  # fmt: skip
    """Record that neuron `i` fired at `t`, reset it, queue the spike for its own layer; return whether room is left."""
    n = count[FIRED]
    out_times[n] = t
    out_indices[n] = i
    count[FIRED] = n + 1
    flags[i] &= LISTED
    if fire(model, cells, numbers, i, t):
        heat(count, hot, flags, i)
    cells[i, LAST_FIRE] = t
    source = n_inputs + i
    if source + 1 < row_group.shape[0] and row_group[source] < row_group[source + 1]:
        group = row_group[source]
        count[QUEUED] = push(heap, count[QUEUED], t + group_delay[group], group, t)
    return n + 1 < out_times.shape[0] and count[QUEUED] < heap.shape[0]


@kernel
def next_arrival(row_group, group_delay, count, heap, times, indices):
    """Queue the inputs sent before the next arrival and return its time, or -1 if the queue has no room for them."""
    k = count[INPUT]
    size = count[QUEUED]
    while k < times.shape[0] and (size == 0 or times[k] <= heap[0, TIME]):
        if size >= heap.shape[0]:
            return -1.0
        group = row_group[indices[k]]
        if group < row_group[indices[k] + 1]:
            size = push(heap, size, times[k] + group_delay[group], group, times[k])
        k += 1
        count[INPUT] = k
        count[QUEUED] = size
    return heap[0, TIME] if size > 0 else math.inf


@kernel
def take_batch(group_delay, more, count, heap, batch, t):
    """Move everything that arrives at `t` from the queue into the batch, and queue what follows in the same rows."""
    size = count[QUEUED]
    n = 0
    while size > 0 and heap[0, TIME] == t:
        group = int(heap[0, GROUP])
        origin = heap[0, ORIGIN]
        batch[n] = group
        n += 1
        size = pop(heap, size)
        if more[group]:
            size = push(heap, size, origin + group_delay[group + 1], group + 1, origin)
    count[QUEUED] = size
    count[BATCH] = n


@kernel
def settle(
    model, cells, numbers, row_group, group_delay, n_inputs, count, heap,
    hot, flags, out_times, out_indices, i, t,
):  # fmt: skip
    """Let neuron `i` fire by itself as often as it does by `t`; return False if the room ran out."""
    when = crossing(model, cells, numbers, i, t)
    while when <= t:
        if not emit(
            model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times, out_indices,
            i, when,
        ):  # fmt: skip
            return False
        when = crossing(model, cells, numbers, i, t)
    return True


@kernel
def sweep(
    model, cells, numbers, row_group, group_delay, n_inputs, count, heap,
    hot, flags, out_times, out_indices, t,
):  # fmt: skip
    """Advance every neuron to `t`; return False if the room ran out."""
    enter(model, cells, numbers, t)
    n = cells.shape[0]
    for chunk in range(0, n, _CHUNK):
        stop = min(chunk + _CHUNK, n)
        if quiet(model, cells, numbers, chunk, stop):
            continue
        for i in range(chunk, stop):
            if not quiet(model, cells, numbers, i, i + 1) and flags[i] & LISTED == 0 and not settle(
                model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                out_indices, i, t,
            ):  # fmt: skip
                return False
    return True


@kernel
def answer(
    model, cells, numbers, row_group, group_delay, n_inputs, count, heap,
    hot, flags, out_times, out_indices, i, t,
):  # fmt: skip
    """Let neuron `i` fire if the spikes that arrived at `t` make it; at most once a time."""
    if ready(model, cells, numbers, i, t):
        if cells[i, LAST_FIRE] != t:
            emit(
                model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                out_indices, i, t,
            )  # fmt: skip
        else:
            heat(count, hot, flags, i)


@kernel
def deliver(
    model, cells, numbers, row_group, group_start, group_delay, target, weight,
    n_inputs, count, heap, batch, hot, flags, out_times, out_indices, t,
    alone,
):  # fmt: skip
    """Deliver the batch at `t` and let neurons fire; return False, with nothing delivered, if room is lacking."""
    n_groups = count[BATCH]
    enter(model, cells, numbers, t)
    if alone:
        for b in range(n_groups):
            for k in range(group_start[batch[b]], group_start[batch[b] + 1]):
                i = target[k]
                if not quiet(model, cells, numbers, i, i + 1) and flags[i] & LISTED == 0 and not settle(
                    model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                    out_indices, i, t,
                ):  # fmt: skip
                    return False
    n = cells.shape[0]
    if count[FIRED] + n > out_times.shape[0] or count[QUEUED] + n > heap.shape[0]:
        return False
    n_hot = count[HOT]
    first = 0
    if n_groups == 1:  # reaches every neuron once, so that each may answer before the next receives
        for k in range(group_start[batch[0]], group_start[batch[0] + 1]):
            receive(model, cells, numbers, target[k], weight[k], t)
            answer(
                model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                out_indices, target[k], t,
            )  # fmt: skip
        first = n_groups
    for b in range(first, n_groups):
        for k in range(group_start[batch[b]], group_start[batch[b] + 1]):
            receive(model, cells, numbers, target[k], weight[k], t)
    for b in range(first, n_groups):
        for k in range(group_start[batch[b]], group_start[batch[b] + 1]):
            answer(
                model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                out_indices, target[k], t,
            )  # fmt: skip
    for k in range(n_hot):
        i = hot[k]
        if cells[i, LAST_FIRE] != t and ready(model, cells, numbers, i, t):
            emit(
                model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times,
                out_indices, i, t,
            )  # fmt: skip
    count[BATCH] = 0
    return True


@kernel
def cool(cells, count, hot, flags, refractory, t):
    """Forget the hot neurons that are below threshold after the batch at `t`."""
    kept = 0
    for k in range(count[HOT]):
        i = hot[k]
        last = cells[i, LAST_FIRE]
        keep = flags[i] & STAYS != 0 if last == t else last + refractory > t
        if keep:
            hot[kept] = i
            kept += 1
        else:
            flags[i] = 0
    count[HOT] = kept


@entry
def run_events(
    model, cells, numbers, links, n_inputs, progress, times,
    indices, duration, alone, lookahead,
):  # fmt: skip
    """Run one layer through its input spikes.

    Parameters
    ----------
    model, cells, numbers
        The neurons; cells are written.
    links, n_inputs
        Connections of the layer; rows from `n_inputs` on are its own neurons.
    progress
        Written; see there.
    times, indices
        Input spikes: (n,) float64 in ms, sorted, and (n,) int64 rows.
    duration
        End of the run in ms, itself included.
    alone
        Whether neurons can fire between events.
    lookahead
        Shortest recurrent delay in ms, infinite without recurrence; above 0 if `alone`.

    Returns
    -------
    DONE, or NO_ROOM if it must be called again with more room.
    """
    row_group, group_start, group_delay, more, target, weight = links
    count, clock, heap, batch, hot, flags, out_times, out_indices = progress
    if clock[WINDOW] == 0.0:
        clock[WINDOW] = min(lookahead, duration) if alone else duration
    while True:
        if count[FIRED] >= out_times.shape[0] or count[QUEUED] >= heap.shape[0]:
            return NO_ROOM
        if count[BATCH] > 0:
            now = clock[NOW]
            if not deliver(
                model, cells, numbers, row_group, group_start, group_delay, target, weight, n_inputs, count, heap,
                batch, hot, flags, out_times, out_indices, now, alone,
            ):  # fmt: skip
                return NO_ROOM
            if count[HOT] > 0:
                cool(cells, count, hot, flags, clock[REFRACTORY], now)
        t = next_arrival(row_group, group_delay, count, heap, times, indices)
        if t < 0.0:
            return NO_ROOM
        end = clock[WINDOW]
        if t < end or (t == end and end == duration):
            take_batch(group_delay, more, count, heap, batch, t)
            clock[NOW] = t
            continue
        if alone and not sweep(
            model, cells, numbers, row_group, group_delay, n_inputs, count, heap, hot, flags, out_times, out_indices,
            end,
        ):  # fmt: skip
            return NO_ROOM
        if end >= duration:
            return DONE
        clock[WINDOW] = min(end + lookahead, duration)
