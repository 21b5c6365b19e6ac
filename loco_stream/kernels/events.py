"""One layer of any neuron model with delays, recurrence, drive: the event loop around a priority queue.

Time advances from arrival to arrival. All groups that arrive at one time form a batch and are delivered together;
then every neuron they reach that is at or above threshold fires, at most once, and so does every neuron
that an earlier reset left above threshold. Neurons that can fire between events, by themselves, are advanced to
each arrival, and to the end of each window: a window is as long as the shortest recurrent delay, so that
nothing fired within it can arrive within it, and neurons may be visited in any order.

All progress lives in arrays: where the room for spikes ends the loop returns before the next step, and goes on
from there when called again with larger arrays.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from loco_stream.kernels.connect import Connections
from loco_stream.kernels.model import crossing, enter, fire, ready, receive
from loco_stream.kernels.queue import Queue, pop, push

__all__ = ["DONE", "NO_ROOM", "Progress", "run_events", "start_progress"]

DONE, NO_ROOM = 0, 1
INPUT, QUEUED, FIRED, BATCH, HOT = 0, 1, 2, 3, 4
WINDOW, NOW, REFRACTORY = 0, 1, 2


class Progress(NamedTuple):
    """How far a run has come. Times in ms, n neurons."""

    count: Any  # (5,) int64: inputs taken, queue entries, spikes fired, groups in the batch, hot neurons
    clock: Any  # (3,) float64: end of the window, time of the batch, refractory period
    last_fire: Any  # (n,) float64
    hot: Any  # (n,) int64: neurons left at or above threshold by a reset
    is_hot: Any  # (n,) bool: in the list above
    stays: Any  # (n,) bool: at or above threshold after its last reset
    batch: Any  # (queue capacity,) int64: groups arriving now
    times: Any  # (spike capacity,) float64: output, when
    indices: Any  # (spike capacity,) int64: output, who


def start_progress(n: int, refractory: float, queue_capacity: int, spike_capacity: int) -> Progress:
    """Return the progress of a run that has not begun, of `n` neurons."""
    return Progress(
        count=np.zeros(5, np.int64),
        clock=np.array([0.0, 0.0, refractory]),
        last_fire=np.full(n, -np.inf),
        hot=np.zeros(n, np.int64),
        is_hot=np.zeros(n, np.bool_),
        stays=np.zeros(n, np.bool_),
        batch=np.zeros(queue_capacity, np.int64),
        times=np.zeros(spike_capacity),
        indices=np.zeros(spike_capacity, np.int64),
    )


@njit(cache=True)
def has_room(progress: Progress, queue: Queue, n: int) -> Any:
    """Return whether `n` more spikes fit into the output and the queue."""
    count = progress.count
    return count[FIRED] + n <= progress.times.shape[0] and count[QUEUED] + n <= queue.time.shape[0]


@njit(cache=True)
def heat(progress: Progress, i: int) -> None:
    """Remember that neuron `i` is at or above threshold and may not fire before the next event time."""
    progress.stays[i] = True
    if not progress.is_hot[i]:
        progress.is_hot[i] = True
        progress.hot[progress.count[HOT]] = i
        progress.count[HOT] += 1


@njit(cache=True)
def emit(state: Any, links: Connections, n_inputs: int, queue: Queue, progress: Progress, i: int, t: float) -> None:
    """Record that neuron `i` fired at `t`, reset it, and queue the spike for the neurons of its own layer."""
    count = progress.count
    progress.times[count[FIRED]] = t
    progress.indices[count[FIRED]] = i
    count[FIRED] += 1
    progress.last_fire[i] = t
    progress.stays[i] = fire(state, i, t)
    if progress.stays[i]:
        heat(progress, i)
    source = n_inputs + i
    if source + 1 < links.row_group.shape[0] and links.row_group[source] < links.row_group[source + 1]:
        group = links.row_group[source]
        count[QUEUED] = push(queue, count[QUEUED], t + links.group_delay[group], group, t)


@njit(cache=True)
def next_arrival(links: Connections, queue: Queue, progress: Progress, times: Any, indices: Any) -> float:
    """Queue the inputs sent before the next arrival and return its time; the queue has room for them."""
    count = progress.count
    k = count[INPUT]
    while k < times.shape[0] and (count[QUEUED] == 0 or times[k] <= queue.time[0]):
        if count[QUEUED] >= queue.time.shape[0]:
            return -1.0
        group = links.row_group[indices[k]]
        if group < links.row_group[indices[k] + 1]:
            count[QUEUED] = push(queue, count[QUEUED], times[k] + links.group_delay[group], group, times[k])
        k += 1
    count[INPUT] = k
    return queue.time[0] if count[QUEUED] > 0 else math.inf


@njit(cache=True)
def take_batch(links: Connections, queue: Queue, progress: Progress, t: float) -> None:
    """Move everything that arrives at `t` from the queue into the batch, and queue what follows in the same rows."""
    count = progress.count
    while count[QUEUED] > 0 and queue.time[0] == t:
        group = queue.group[0]
        origin = queue.origin[0]
        progress.batch[count[BATCH]] = group
        count[BATCH] += 1
        count[QUEUED] = pop(queue, count[QUEUED])
        if links.more[group]:
            count[QUEUED] = push(queue, count[QUEUED], origin + links.group_delay[group + 1], group + 1, origin)


@njit(cache=True)
def settle(state: Any, links: Connections, n_inputs: int, queue: Queue, progress: Progress, i: int, t: float) -> bool:
    """Let neuron `i` fire by itself as often as it does by `t`; return False if the room ran out."""
    if progress.is_hot[i]:
        return True
    while has_room(progress, queue, 1):
        when = crossing(state, i, t)
        if when > t:
            return True
        emit(state, links, n_inputs, queue, progress, i, when)
    return False


@njit(cache=True)
def deliver(
    state: Any, links: Connections, n_inputs: int, queue: Queue, progress: Progress, t: float, alone: bool
) -> bool:
    """Deliver the batch at `t` and let neurons fire; return False, with nothing delivered, if room is lacking."""
    count = progress.count
    n = progress.last_fire.shape[0]
    enter(state, t)
    if alone:
        for b in range(count[BATCH]):
            for k in range(links.group_start[progress.batch[b]], links.group_start[progress.batch[b] + 1]):
                if not settle(state, links, n_inputs, queue, progress, links.target[k], t):
                    return False
    if not has_room(progress, queue, n):
        return False
    for b in range(count[BATCH]):
        for k in range(links.group_start[progress.batch[b]], links.group_start[progress.batch[b] + 1]):
            receive(state, links.target[k], links.weight[k], t)
    n_hot = count[HOT]
    for b in range(count[BATCH]):
        for k in range(links.group_start[progress.batch[b]], links.group_start[progress.batch[b] + 1]):
            i = links.target[k]
            if ready(state, i, t):
                if progress.last_fire[i] != t:
                    emit(state, links, n_inputs, queue, progress, i, t)
                else:
                    heat(progress, i)
    cool(state, links, n_inputs, queue, progress, t, n_hot)
    count[BATCH] = 0
    return True


@njit(cache=True)
def cool(state: Any, links: Connections, n_inputs: int, queue: Queue, progress: Progress, t: float, n_hot: int) -> None:
    """Let the first `n_hot` hot neurons fire too, and forget those that are below threshold now."""
    count = progress.count
    for k in range(n_hot):
        i = progress.hot[k]
        if progress.last_fire[i] != t and ready(state, i, t):
            emit(state, links, n_inputs, queue, progress, i, t)
    kept = 0
    for k in range(count[HOT]):
        i = progress.hot[k]
        if progress.last_fire[i] == t:
            keep = progress.stays[i]
        else:
            keep = progress.last_fire[i] + progress.clock[REFRACTORY] > t
        if keep:
            progress.hot[kept] = i
            kept += 1
        else:
            progress.is_hot[i] = False
    count[HOT] = kept


@njit(cache=True)
def run_events(
    state: Any,
    links: Connections,
    n_inputs: int,
    queue: Queue,
    progress: Progress,
    times: Any,
    indices: Any,
    duration: float,
    alone: bool,
    lookahead: float,
) -> int:
    """Run one layer through its input spikes.

    Parameters
    ----------
    state
        One of the models' states, written.
    links, n_inputs
        Connections of the layer; rows from `n_inputs` on are its own neurons.
    queue, progress
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
    count, clock = progress.count, progress.clock
    if clock[WINDOW] == 0.0:
        clock[WINDOW] = min(lookahead, duration) if alone else duration
    while True:
        if count[BATCH] > 0 and not deliver(state, links, n_inputs, queue, progress, clock[NOW], alone):
            return NO_ROOM
        t = next_arrival(links, queue, progress, times, indices)
        if t < 0.0:
            return NO_ROOM
        end = clock[WINDOW]
        if t < end or (t == end and end == duration):
            take_batch(links, queue, progress, t)
            clock[NOW] = t
            continue
        if alone:
            enter(state, end)
            for i in range(progress.last_fire.shape[0]):
                if not settle(state, links, n_inputs, queue, progress, i, end):
                    return NO_ROOM
        if end >= duration:
            return DONE
        clock[WINDOW] = min(end + lookahead, duration)
