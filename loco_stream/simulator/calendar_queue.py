"""Spikes under way, ordered by (arrival, group).

A ring of buckets, of which only the present one is sorted.

A calendar queue (Brown 1988): bucket b holds what arrives from b * width on, in any order, as a
list through `slots`; the ring has room for a year of buckets, and what lies further ahead shares
them. What arrives in the present bucket is in a heap. Adding and taking cost the same however many
spikes are under way, where a heap of all costs their logarithm.

Everything is in the arrays of `Progress`: `heap` (capacity, 3) with time, group and origin, `slots`
(capacity, 5) with the next entry of the bucket and the first connection of the group as well,
`ring` with the first of each bucket; entries are numbered from 1, 0 is none. Times are in ms.
Memory: 64 bytes a spike under way, for which there is one entry however many neurons it reaches.

References
----------
Brown 1988, Calendar queues: a fast O(1) priority queue implementation, CACM 31(10).
"""

from __future__ import annotations

import math

from loco_stream._compiler.jit import entry, inlined, kernel
from loco_stream.simulator.connections import START
from loco_stream.simulator.heap import GROUP, ORIGIN, TIME, pop, push

__all__ = [
    "FIRST",
    "FREE",
    "NEXT",
    "PER_MS",
    "PRESENT",
    "QUEUED",
    "SORTED",
    "USED",
    "WINDOWED",
    "add",
    "drain",
    "earliest",
    "file",
    "refill",
    "take",
]

# columns of `slots`
NEXT = 3
FIRST = 4
# `queue`: entries, those in the heap, present bucket, slots
QUEUED = 0
SORTED = 1
PRESENT = 2
FREE = 3
USED = 4
WINDOWED = 5  # `queue`: 1 if buckets are taken unsorted, as `window_loop` does
PER_MS = 0  # `clock`: buckets a ms


@inlined
def add(queue, clock, heap, slots, ring, time, group, origin, first):
    """Add an entry, with the first connection of its group where it is windowed.

    There must be room.
    """
    bucket = int(time * clock[PER_MS])
    if queue[WINDOWED] != 0:
        bucket = max(bucket, queue[PRESENT])
    elif queue[QUEUED] == 0:
        queue[PRESENT] = bucket
    queue[QUEUED] += 1
    if bucket <= queue[PRESENT] and queue[WINDOWED] == 0:
        queue[SORTED] = push(heap, queue[SORTED], time, group, origin)
        return
    slot = queue[FREE]
    if slot == 0:
        queue[USED] += 1
        slot = queue[USED]
    else:
        queue[FREE] = int(slots[slot - 1, NEXT])
    slots[slot - 1, ORIGIN] = origin
    file(slots, ring, slot, bucket, time, group, first)


@inlined
def file(slots, ring, slot, bucket, time, group, first):
    """Put a slot, which has its origin, into a bucket."""
    place = bucket & (ring.shape[0] - 1)
    slots[slot - 1, TIME] = time
    slots[slot - 1, GROUP] = group
    slots[slot - 1, FIRST] = first
    slots[slot - 1, NEXT] = ring[place]
    ring[place] = slot


@kernel
def _open(queue, clock, heap, slots, ring, bucket):
    """Move what arrives in a bucket into the heap; return whether there was anything."""
    place = bucket & (ring.shape[0] - 1)
    slot = ring[place]
    kept = 0
    while slot != 0:
        following = int(slots[slot - 1, NEXT])
        time = slots[slot - 1, TIME]
        if int(time * clock[PER_MS]) == bucket:
            queue[SORTED] = push(
                heap, queue[SORTED], time, int(slots[slot - 1, GROUP]), slots[slot - 1, ORIGIN]
            )
            slots[slot - 1, NEXT] = queue[FREE]
            queue[FREE] = slot
        else:  # of another year
            slots[slot - 1, NEXT] = kept
            kept = slot
        slot = following
    ring[place] = kept
    return queue[SORTED] > 0


@inlined
def earliest(queue, clock, heap, slots, ring):
    """Return when the first entry arrives, infinity if there is none.

    It is then first in the heap.
    """
    if queue[SORTED] > 0:
        return heap[0, TIME]
    if queue[QUEUED] == 0:
        return math.inf
    for bucket in range(queue[PRESENT] + 1, queue[PRESENT] + 1 + ring.shape[0]):
        if ring[bucket & (ring.shape[0] - 1)] != 0 and _open(
            queue, clock, heap, slots, ring, bucket
        ):
            queue[PRESENT] = bucket
            return heap[0, TIME]
    first = math.inf  # nothing within a year
    for place in range(ring.shape[0]):
        slot = ring[place]
        while slot != 0:
            first = min(first, slots[slot - 1, TIME])
            slot = int(slots[slot - 1, NEXT])
    queue[PRESENT] = int(first * clock[PER_MS])
    _open(queue, clock, heap, slots, ring, queue[PRESENT])
    return heap[0, TIME]


@inlined
def take(queue, heap):
    """Remove the first entry of the heap; read it before, in row 0."""
    queue[SORTED] = pop(heap, queue[SORTED])
    queue[QUEUED] -= 1


@entry
def drain(queue, heap, slots, ring, waiting):
    """Write all entries into `waiting` (n, 3), in any order, and leave the queue empty."""
    n = 0
    for k in range(queue[SORTED]):
        waiting[n, TIME] = heap[k, TIME]
        waiting[n, GROUP] = heap[k, GROUP]
        waiting[n, ORIGIN] = heap[k, ORIGIN]
        n += 1
    for place in range(ring.shape[0]):
        slot = ring[place]
        while slot != 0:
            for column in range(NEXT):
                waiting[n, column] = slots[slot - 1, column]
            n += 1
            slot = int(slots[slot - 1, NEXT])
        ring[place] = 0
    queue[:WINDOWED] = 0


@entry
def refill(queue, clock, heap, slots, ring, waiting, groups):
    """Add the entries of `waiting`; all arrive at 0 ms or later."""
    for k in range(waiting.shape[0]):
        group = int(waiting[k, GROUP])
        add(
            queue,
            clock,
            heap,
            slots,
            ring,
            waiting[k, TIME],
            group,
            waiting[k, ORIGIN],
            groups[group, START],
        )
