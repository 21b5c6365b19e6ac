"""One layer of neurons whose input may be added up in any order.

The event loop by windows, without sorting.

A window is as long as the shortest recurrent delay, or shorter: nothing fired within it can arrive
within it, so that its arrivals are known when it opens, and neurons do not affect each other until
it ends. The queue keeps one bucket a window. Each spike in the bucket is a cursor that walks the
connections of its row, sorted by delay, as far as the window reaches, and is filed into the bucket
of its next arrival. What they pass is listed, and then added up.

Between spikes the state of such neurons does not change (see `EventOperations.lift`), and as long
as the sum of all that raises a neuron stays below what it lacks to its threshold, order does not
matter to it. The few others (with one arrival in a hundred in benchmark 4 of Brette et al. 2007)
get their state of the window's beginning back, and their arrivals in order of time, from the heap,
as `event_loop` delivers them. So spikes and their times are those of `event_loop` up to rounding.

Neurons and connections lie far apart in memory: each is asked for some steps before it is needed.

Neurons left above threshold by a reset fire at the next arrival anywhere in the layer: while there
are such, the heap also holds the times of all arrivals of the window.
"""

from __future__ import annotations

import numpy as np

from loco_stream._compiler.jit import inlined, kernel, released
from loco_stream._compiler.simd.ops import BLOCK, lay_out, lay_out_equal
from loco_stream._compiler.simd.prefetch import prefetch
from loco_stream.neurons.operations import enter, foresee, lift
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.simulator.calendar_queue import (
    FIRST,
    FREE,
    NEXT,
    PER_MS,
    PRESENT,
    QUEUED,
    SORTED,
    add,
    file,
)
from loco_stream.simulator.connections import LAST, START, delay_of, weight_of
from loco_stream.simulator.event_loop import (
    AROUSED,
    BATCH,
    DELIVERED,
    DONE,
    FIRED,
    GROUPS,
    HORIZON,
    HOT,
    INPUT,
    LAST_FIRE,
    LISTED,
    NEAR,
    NOW,
    REFRACTORY,
    SOON,
    STAYS,
    WAITING,
    deliver_batch,
    sweep,
    watch,
)
from loco_stream.simulator.heap import GROUP, ORIGIN, TIME, pop, push
from loco_stream.simulator.progress import SPARE_ROOM

__all__ = ["run_windows"]

# columns of the cells: see `EventOperations.lift`
STATE = 1
SPARE = 2
# of `count`
STAGE = 8
CURSOR = 9
RUNS = 10
NOTED = 11
TICKING = 12
# stages of a window
OPEN = 0
WALK = 1
DELIVER = 2
CLOSE = 3
_NEXT_ARRIVALS = SPARE_ROOM  # after so many a neuron is needed
_NEXT_CURSORS = 8  # and so many cursors ahead connections are
TICK = -1  # in place of a connection: a time of arrival, at which hot neurons fire


@inlined
def queue_inputs(
    row_group, groups, kinds, count, clock, queue, heap, slots, ring, times, indices, end, last
):
    """Queue the inputs sent within the window; return False if there is no room for them."""
    k = count[INPUT]
    while k < times.shape[0] and (times[k] < end or last):
        if queue[QUEUED] >= slots.shape[0]:
            return False
        group = row_group[indices[k]]
        delay = delay_of(groups, kinds, group)
        if delay != LAST:
            add(
                queue,
                clock,
                heap,
                slots,
                ring,
                times[k] + delay,
                group,
                times[k],
                groups[group, START],
            )
        k += 1
        count[INPUT] = k
    return True


@kernel
def add_up(cells, targets, jumps, whens, old, n, refractory, aroused, flags):
    """Add all arrivals of the window, note the states they find, list the neurons that may fire.

    Return how many.
    """
    n_aroused = 0
    for k in range(n):
        i = np.uint64(targets[k])  # unsigned: no index is checked for being negative
        prefetch(cells, cells.shape[1] * targets[k + _NEXT_ARRIVALS])
        state = cells[i, STATE]
        jump = jumps[k]
        if not cells[i, LAST_FIRE] + refractory <= whens[k]:
            jump = 0.0
        spare = cells[i, SPARE] - max(jump, 0.0)
        old[k] = state
        cells[i, STATE] = state + jump
        cells[i, SPARE] = spare
        if (spare <= 0.0) & (jump != 0.0) and flags[i] & AROUSED == 0:
            flags[i] |= AROUSED
            aroused[n_aroused] = i
            n_aroused += 1
    return n_aroused


@inlined
def fetch(groups, target, weight, group, first):
    """Have a group and the first of its connections brought into the cache."""
    prefetch(groups, groups.shape[1] * (group + 1))  # where it ends, and what follows
    prefetch(target, first)
    if weight.shape[0] > 0:
        prefetch(weight, first)
        prefetch(weight, first + BLOCK - 1)


@inlined
def fetch_cursor(groups, target, weight, slots, slot):
    """Have what a cursor needs brought into the cache; return the next one of its bucket."""
    fetch(groups, target, weight, int(slots[slot - 1, GROUP]), int(slots[slot - 1, FIRST]))
    return int(slots[slot - 1, NEXT])


@kernel
def walk(
    model,
    cells,
    numbers,
    groups,
    kinds,
    target,
    weight,
    count,
    clock,
    queue,
    slots,
    ring,
    runs,
    targets,
    jumps,
    whens,
    last,
    duration,
):
    """Let all cursors of the window walk on through it, and list what arrives.

    Return False where room is lacking.
    """
    present = queue[PRESENT]
    room = runs.shape[0] // 2
    coming = count[CURSOR]
    for _ in range(_NEXT_CURSORS):
        if coming != 0:
            coming = fetch_cursor(groups, target, weight, slots, coming)
    while count[CURSOR] != 0:
        slot = count[CURSOR]
        following = int(slots[slot - 1, NEXT])
        if coming != 0:
            coming = fetch_cursor(groups, target, weight, slots, coming)
        t = slots[slot - 1, TIME]
        group = int(slots[slot - 1, GROUP])
        origin = slots[slot - 1, ORIGIN]
        first = int(slots[slot - 1, FIRST])
        bucket = present
        while bucket <= present and not (last and t > duration):
            stop = int(groups[group + 1, START])
            if count[NOTED] + stop - first > room:
                slots[slot - 1, TIME] = t
                slots[slot - 1, GROUP] = group
                slots[slot - 1, FIRST] = first
                return False
            factor = lift(model, cells, numbers, t)
            if weight.shape[0] > 0:
                lay_out(target, weight, first, stop, t, factor, targets, jumps, whens, count[NOTED])
            else:
                jump = weight_of(groups, kinds, weight, group, first) * factor
                lay_out_equal(target, first, stop, t, jump, targets, jumps, whens, count[NOTED])
            run = count[RUNS]
            runs[run, 0] = group
            runs[run, 1] = count[NOTED]
            count[RUNS] += 1
            count[NOTED] += stop - first
            group += 1
            delay = delay_of(groups, kinds, group)
            if delay == LAST:
                group = -1
                break
            first = stop
            t = origin + delay
            bucket = int(t * clock[PER_MS])
        if group < 0:
            slots[slot - 1, NEXT] = queue[FREE]
            queue[FREE] = slot
            queue[QUEUED] -= 1
        else:
            fetch(groups, target, weight, group, first)
            file(slots, ring, slot, max(bucket, present), t, group, first)
        count[CURSOR] = following
    return True


@kernel
def take_back(
    cells,
    row_group,
    groups,
    n_inputs,
    count,
    queue,
    heap,
    runs,
    targets,
    whens,
    old,
    aroused,
    flags,
):
    """Give the neurons that the window may make fire their states of its beginning, and put their arrivals in order."""
    run = count[RUNS] - 1
    for place in range(count[NOTED] - 1, -1, -1):
        i = np.uint64(targets[place])
        if flags[i] & AROUSED != 0:
            cells[i, STATE] = old[place]
            while runs[run, 1] > place:
                run -= 1
            group = runs[run, 0]
            k = int(groups[group, START]) + place - runs[run, 1]
            queue[SORTED] = push(heap, queue[SORTED], whens[place], k, group)
    recurrent = n_inputs + cells.shape[0] < row_group.shape[0]
    for k in range(count[WAITING]):
        i = aroused[k]
        flags[i] &= LISTED | STAYS | SOON
        if recurrent:  # most of them will fire
            prefetch(groups, groups.shape[1] * row_group[n_inputs + i])
    count[WAITING] = 0


@kernel
def tick(count, queue, heap, runs, whens, now):
    """Put the times of all arrivals after `now` in order."""
    for run in range(count[RUNS]):
        when = whens[runs[run, 1]]
        if when > now:
            queue[SORTED] = push(heap, queue[SORTED], when, TICK, 0.0)
    count[TICKING] = 1


@inlined
def next_batch(count, clock, queue, heap, batch):
    """Make what arrives first the batch."""
    t = heap[0, TIME]
    n = 0
    while queue[SORTED] > 0 and heap[0, TIME] == t:
        k = int(heap[0, GROUP])
        group = int(heap[0, ORIGIN])
        queue[SORTED] = pop(heap, queue[SORTED])
        if k != TICK:
            batch[n, 0] = k
            batch[n, 1] = k + 1
            batch[n, 2] = group
            n += 1
    clock[NOW] = t
    count[BATCH] = n if n > 0 else DELIVERED
    count[GROUPS] = 0


@kernel
def look_around(model, cells, numbers, count, near, flags, t):
    """Make `t` the horizon, and note of all neurons how far from firing by then they are."""
    foresee(model, cells, numbers, t)
    for i in range(cells.shape[0]):
        watch(model, cells, numbers, count, near, flags, i)


@inlined
def open_window(count, clock, queue, ring, times, alone, duration):
    """Go to the next window in which anything happens, at most to the horizon or the end of the run."""
    queue[PRESENT] += 1
    if not alone or count[NEAR] == 0:
        stop = int((min(clock[HORIZON], duration) if alone else duration) * clock[PER_MS])
        if count[INPUT] < times.shape[0]:
            stop = min(stop, int(times[count[INPUT]] * clock[PER_MS]))
        if queue[QUEUED] == 0:
            queue[PRESENT] = max(queue[PRESENT], stop)
        while queue[PRESENT] < stop and ring[queue[PRESENT] & (ring.shape[0] - 1)] == 0:
            queue[PRESENT] += 1
    count[RUNS] = count[NOTED] = count[TICKING] = count[CURSOR] = 0


@released
def run_windows(
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
    horizon,
):
    """Run one layer through its input spikes.

    Parameters are those of `run_events`; the queue must be windowed, with a year of buckets longer
    than any delay, each shorter than any recurrent delay.

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
        runs,
        targets,
        jumps,
        whens,
        old,
    ) = progress
    while True:
        if count[FIRED] >= out_times.shape[0] or queue[QUEUED] >= slots.shape[0]:
            return NO_ROOM
        last = queue[PRESENT] >= int(duration * clock[PER_MS])
        end = duration if last else (queue[PRESENT] + 1) / clock[PER_MS]
        if count[STAGE] == WALK:
            if not queue_inputs(
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
                end,
                last,
            ):
                return NO_ROOM
            if count[RUNS] == 0 and count[CURSOR] == 0:
                place = queue[PRESENT] & (ring.shape[0] - 1)
                count[CURSOR] = ring[place]
                ring[place] = 0
            if not walk(
                model,
                cells,
                numbers,
                groups,
                kinds,
                target,
                weight,
                count,
                clock,
                queue,
                slots,
                ring,
                runs,
                targets,
                jumps,
                whens,
                last,
                duration,
            ):
                return NO_ROOM
            count[WAITING] = add_up(
                cells, targets, jumps, whens, old, count[NOTED], clock[REFRACTORY], aroused, flags
            )
            if count[WAITING] > 0:
                take_back(
                    cells,
                    row_group,
                    groups,
                    n_inputs,
                    count,
                    queue,
                    heap,
                    runs,
                    targets,
                    whens,
                    old,
                    aroused,
                    flags,
                )
            count[STAGE] = DELIVER
        if count[STAGE] == DELIVER:
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
            if count[HOT] > 0 and count[TICKING] == 0:
                tick(count, queue, heap, runs, whens, clock[NOW])
            if queue[SORTED] > 0:
                next_batch(count, clock, queue, heap, batch)
                continue
            count[STAGE] = CLOSE
        if count[STAGE] == CLOSE:
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
            if last:
                return DONE
        open_window(count, clock, queue, ring, times, alone, duration)
        start = queue[PRESENT] / clock[PER_MS]
        end = (queue[PRESENT] + 1) / clock[PER_MS]
        enter(model, cells, numbers, start)
        if alone and end > clock[HORIZON]:
            clock[HORIZON] = max(start + horizon, end)
            look_around(model, cells, numbers, count, near, flags, clock[HORIZON])
        count[STAGE] = WALK
