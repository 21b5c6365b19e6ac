"""One layer of any neuron model with delays, recurrence, drive.

The event loop around a priority queue.

Time advances from arrival to arrival. All groups that arrive at one time form a batch and are
delivered together; then every neuron they reach that is at or above threshold fires, at most once,
and so does every neuron that an earlier reset left above threshold.

Neurons that can fire between events, by themselves, are advanced to each arrival, and to the end of
each window: a window is as long as the shortest recurrent delay, so that nothing fired within it
can arrive within it, and neurons may be visited in any order. Only those are visited that would
fire by the horizon, some windows ahead, if nothing more arrived: all are looked at when the horizon
moves on, and each when it has received something.

All progress lives in arrays: where the room for spikes ends the loop returns before the next step,
and goes on from there when called with larger arrays. Inside, functions hand each other bare
arrays: to take one out of a group of them at every call costs a count of references, by an atomic
operation.
"""

from __future__ import annotations

from loco_stream._compiler.jit import entry, inlined, kernel, released
from loco_stream._compiler.simd.prefetch import prefetch
from loco_stream.neurons.operations import (
    calm,
    crossing,
    enter,
    fire,
    foresee,
    quiet,
    ready,
    receive,
)
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.simulator.calendar_queue import QUEUED, add, earliest, take
from loco_stream.simulator.connections import LAST, START, delay_of, weight_of
from loco_stream.simulator.heap import GROUP, ORIGIN

__all__ = ["DONE", "LAST_FIRE", "deliver_batch", "heat", "run_events", "sweep", "watch"]

DONE = 0
INPUT = 0
FIRED = 1
BATCH = 2
HOT = 3
NEAR = 4
GROUPS = 5
PLACE = 6
WAITING = 7
DELIVERED = -1  # in place of the size of a batch: only the hot neurons are left
# PER_MS is 0
WINDOW = 1
NOW = 2
REFRACTORY = 3
HORIZON = 4
LAST_FIRE = 0  # column of the cells of every model
LISTED = 1
STAYS = 2
SOON = 4
AROUSED = 8
_NEXT_NEAR = 6  # after so many a neuron is needed, and then its connections
_CHUNK = 16  # neurons that are looked at together before they are looked at one by one


@entry
def heat(count, hot, flags, i):
    """Remember that neuron `i` is at or above threshold and may not fire before the next event time."""
    if flags[i] & LISTED == 0:
        hot[count[HOT]] = i
        count[HOT] += 1
    flags[i] |= LISTED | STAYS


@kernel
def emit(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    flags,
    out_times,
    out_indices,
    i,
    t,
):
    """Record that neuron `i` fired at `t`, reset it, queue the spike for its own layer.

    Return whether room is left.
    """
    n = count[FIRED]
    out_times[n] = t
    out_indices[n] = i
    count[FIRED] = n + 1
    flags[i] &= LISTED | SOON | AROUSED
    if fire(model, cells, numbers, i, t):
        heat(count, hot, flags, i)
    cells[i, LAST_FIRE] = t
    source = n_inputs + i
    if source + 1 < row_group.shape[0]:
        group = row_group[source]
        delay = delay_of(groups, kinds, group)
        if delay != LAST:
            add(queue, clock, heap, slots, ring, t + delay, group, t, groups[group, START])
    return n + 1 < out_times.shape[0] and queue[QUEUED] < heap.shape[0]


@inlined
def next_arrival(
    row_group,
    groups,
    kinds,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    times,
    indices,
):
    """Queue the inputs sent before the next arrival and return its time, or -1 if the queue has no room for them."""
    t = earliest(queue, clock, heap, slots, ring)
    k = count[INPUT]
    while k < times.shape[0] and times[k] <= t:
        if queue[QUEUED] >= heap.shape[0]:
            return -1.0
        group = row_group[indices[k]]
        delay = delay_of(groups, kinds, group)
        if delay != LAST:
            add(queue, clock, heap, slots, ring, times[k] + delay, group, times[k], 0.0)
            t = min(t, times[k] + delay)
        k += 1
        count[INPUT] = k
    return earliest(queue, clock, heap, slots, ring)


@inlined
def fetch(groups, target, weight, group):
    """Have the connections of a group brought into the cache, which is to be delivered later.

    Most lie far apart.
    """
    first = int(groups[group, START])
    prefetch(target, first)
    if weight.shape[0] > 0:
        prefetch(weight, first)
        prefetch(weight, int(groups[group + 1, START]) - 1)


@inlined
def take_batch(
    groups,
    kinds,
    target,
    weight,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    batch,
    t,
):
    """Move everything that arrives at `t` from the queue into the batch, and queue what follows in the same rows."""
    n = 0
    while earliest(queue, clock, heap, slots, ring) == t:
        group = int(heap[0, GROUP])
        origin = heap[0, ORIGIN]
        batch[n, 0] = groups[group, START]
        batch[n, 1] = groups[group + 1, START]
        batch[n, 2] = group
        n += 1
        take(queue, heap)
        following = delay_of(groups, kinds, group + 1)
        if following != LAST:
            fetch(groups, target, weight, group + 1)
            add(queue, clock, heap, slots, ring, origin + following, group + 1, origin, 0.0)
    count[BATCH] = n
    count[GROUPS] = 0


@kernel
def settle(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    flags,
    out_times,
    out_indices,
    i,
    t,
):
    """Let neuron `i` fire by itself as often as it does by `t`.

    Return False if the room ran out.
    """
    if quiet(model, cells, numbers, i, i + 1) or flags[i] & LISTED != 0:
        return True
    when = crossing(model, cells, numbers, i, t)
    while when <= t:
        if not emit(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            flags,
            out_times,
            out_indices,
            i,
            when,
        ):
            return False
        when = crossing(model, cells, numbers, i, t)
    return True


@kernel
def sweep(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    near,
    flags,
    out_times,
    out_indices,
    t,
):
    """Advance every neuron that may have fired by itself to `t`.

    Return False if the room ran out.
    """
    enter(model, cells, numbers, t)
    kept = 0
    recurrent = n_inputs + cells.shape[0] < row_group.shape[0]
    for k in range(count[NEAR]):
        if k + _NEXT_NEAR < count[NEAR]:
            coming = near[k + _NEXT_NEAR]
            prefetch(cells, cells.shape[1] * coming)
            if recurrent:
                prefetch(groups, groups.shape[1] * row_group[n_inputs + coming])
        if not settle(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            flags,
            out_times,
            out_indices,
            near[k],
            t,
        ):
            return False
    for k in range(count[NEAR]):
        i = near[k]
        if calm(model, cells, numbers, i):
            flags[i] &= LISTED | STAYS | AROUSED
        else:
            near[kept] = i
            kept += 1
    count[NEAR] = kept
    return True


@kernel
def look_ahead(model, cells, numbers, count, near, flags, now, t):
    """Make `t` the horizon, and list the neurons that may fire by themselves until then."""
    enter(model, cells, numbers, t)
    foresee(model, cells, numbers, t)
    n = cells.shape[0]
    for chunk in range(0, n, _CHUNK):
        stop = min(chunk + _CHUNK, n)
        if not quiet(model, cells, numbers, chunk, stop):
            for i in range(chunk, stop):
                watch(model, cells, numbers, count, near, flags, i)
    enter(model, cells, numbers, now)


@kernel
def watch(model, cells, numbers, count, near, flags, i):
    """List neuron `i` if it may fire by itself before the horizon."""
    if not calm(model, cells, numbers, i) and flags[i] & SOON == 0:
        flags[i] |= SOON
        near[count[NEAR]] = i
        count[NEAR] += 1


@kernel
def answer(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    near,
    flags,
    out_times,
    out_indices,
    i,
    t,
    alone,
):
    """Let neuron `i` fire if the spikes that arrived at `t` make it, at most once a time.

    List it if it soon may.

    Return whether room is left.
    """
    room = True
    if ready(model, cells, numbers, i, t):
        if cells[i, LAST_FIRE] != t:
            room = emit(
                model,
                cells,
                numbers,
                row_group,
                groups,
                kinds,
                n_inputs,
                count,
                clock,
                queue,
                heap,
                slots,
                ring,
                hot,
                flags,
                out_times,
                out_indices,
                i,
                t,
            )
        else:
            heat(count, hot, flags, i)
    if alone:
        watch(model, cells, numbers, count, near, flags, i)
    return room


@inlined
def receive_batch(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    target,
    weight,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    batch,
    hot,
    aroused,
    flags,
    out_times,
    out_indices,
    t,
):
    """Deliver the batch and list the neurons that it may make fire.

    Return False where room is lacking, to go on.
    """
    while count[GROUPS] < count[BATCH]:
        first = batch[count[GROUPS], 0]
        group = batch[count[GROUPS], 2]
        for k in range(first + count[PLACE], batch[count[GROUPS], 1]):
            i = target[k]
            if flags[i] & (SOON | AROUSED) == SOON and not settle(
                model,
                cells,
                numbers,
                row_group,
                groups,
                kinds,
                n_inputs,
                count,
                clock,
                queue,
                heap,
                slots,
                ring,
                hot,
                flags,
                out_times,
                out_indices,
                i,
                t,
            ):
                count[PLACE] = k - first
                return False
            receive(model, cells, numbers, i, weight_of(groups, kinds, weight, group, k), t)
            if not calm(model, cells, numbers, i) and flags[i] & AROUSED == 0:
                flags[i] |= AROUSED
                aroused[count[WAITING]] = i
                count[WAITING] += 1
        count[PLACE] = 0
        count[GROUPS] += 1
    return True


@inlined
def answer_batch(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    near,
    aroused,
    flags,
    out_times,
    out_indices,
    t,
    alone,
):
    """Let those fire that the batch at `t` has made fire.

    Return False where room is lacking, to go on.
    """
    while count[WAITING] > 0:
        count[WAITING] -= 1
        i = aroused[count[WAITING]]
        flags[i] &= LISTED | STAYS | SOON
        if not calm(model, cells, numbers, i) and not answer(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            near,
            flags,
            out_times,
            out_indices,
            i,
            t,
            alone,
        ):
            return False
    return True


@kernel
def deliver_hot(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    hot,
    near,
    flags,
    out_times,
    out_indices,
    t,
    alone,
):
    """Let the neurons fire that were left above threshold before `t`.

    Return False if room was lacking.
    """
    for k in range(count[HOT]):
        i = hot[k]
        if (
            cells[i, LAST_FIRE] != t
            and ready(model, cells, numbers, i, t)
            and not emit(
                model,
                cells,
                numbers,
                row_group,
                groups,
                kinds,
                n_inputs,
                count,
                clock,
                queue,
                heap,
                slots,
                ring,
                hot,
                flags,
                out_times,
                out_indices,
                i,
                t,
            )
        ):
            return False
        if alone:
            watch(model, cells, numbers, count, near, flags, i)
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
            flags[i] &= SOON | AROUSED
    count[HOT] = kept


@inlined
def deliver_batch(
    model,
    cells,
    numbers,
    row_group,
    groups,
    kinds,
    target,
    weight,
    n_inputs,
    count,
    clock,
    queue,
    heap,
    slots,
    ring,
    batch,
    hot,
    near,
    aroused,
    flags,
    out_times,
    out_indices,
    alone,
):
    """Deliver the batch and let those fire that then do.

    Return False where room is lacking, to go on.
    """
    now = clock[NOW]
    if count[BATCH] > 0:
        enter(model, cells, numbers, now)
        if not receive_batch(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            target,
            weight,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            batch,
            hot,
            aroused,
            flags,
            out_times,
            out_indices,
            now,
        ) or not answer_batch(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            near,
            aroused,
            flags,
            out_times,
            out_indices,
            now,
            alone,
        ):
            return False
        count[BATCH] = DELIVERED
    if count[HOT] > 0:
        enter(model, cells, numbers, now)
        if not deliver_hot(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            near,
            flags,
            out_times,
            out_indices,
            now,
            alone,
        ):
            return False
        cool(cells, count, hot, flags, clock[REFRACTORY], now)
    count[BATCH] = 0
    return True


@released
def run_events(
    model,
    cells,
    numbers,
    links,
    n_inputs,
    progress,
    times,
    indices,
    duration,
    alone,
    lookahead,
    horizon,
):
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
    horizon
        How far ahead to look for neurons that fire by themselves, in ms.

    Returns
    -------
    DONE, or NO_ROOM if it must be called again with more room.
    """
    row_group, groups, kinds, target, weight = links
    (
        count,
        clock,
        queue,
        heap,
        slots,
        ring,
        batch,
        hot,
        near,
        aroused,
        flags,
        out_times,
        out_indices,
    ) = progress[:13]
    if clock[WINDOW] == 0.0:
        clock[WINDOW] = duration
        if alone:
            clock[HORIZON] = min(horizon, duration)
            clock[WINDOW] = min(lookahead, clock[HORIZON])
            look_ahead(model, cells, numbers, count, near, flags, 0.0, clock[HORIZON])
    while True:
        if count[FIRED] >= out_times.shape[0] or queue[QUEUED] >= heap.shape[0]:
            return NO_ROOM
        if count[BATCH] != 0 and not deliver_batch(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            target,
            weight,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            batch,
            hot,
            near,
            aroused,
            flags,
            out_times,
            out_indices,
            alone,
        ):
            return NO_ROOM
        t = next_arrival(
            row_group, groups, kinds, count, clock, queue, heap, slots, ring, times, indices
        )
        if t < 0.0:
            return NO_ROOM
        end = clock[WINDOW]
        if t < end or (t == end and end == duration):
            take_batch(
                groups, kinds, target, weight, count, clock, queue, heap, slots, ring, batch, t
            )
            clock[NOW] = t
            continue
        if alone and not sweep(
            model,
            cells,
            numbers,
            row_group,
            groups,
            kinds,
            n_inputs,
            count,
            clock,
            queue,
            heap,
            slots,
            ring,
            hot,
            near,
            flags,
            out_times,
            out_indices,
            end,
        ):
            return NO_ROOM
        if end >= duration:
            return DONE
        if end >= clock[HORIZON]:
            clock[HORIZON] = min(end + horizon, duration)
            look_ahead(model, cells, numbers, count, near, flags, end, clock[HORIZON])
        clock[WINDOW] = min(end + lookahead, clock[HORIZON])
