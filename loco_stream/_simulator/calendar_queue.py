"""A queue of spikes under way, ordered by (arrival, group).

A calendar queue: a ring of buckets, of which only the current one is sorted. Bucket b holds, as a
list through `slots`, the spikes that arrive from b / per_ms on, in any order. The ring covers a
"year"; later arrivals share its buckets. Arrivals in the current bucket are in a heap. Adding and
taking cost the same however many spikes are under way.

Times are in ms. Slots are numbered from 1; 0 means none. A spike under way has one entry (64 bytes)
however many neurons it reaches.

References
----------
Brown 1988, Calendar queues: a fast O(1) priority queue implementation, CACM 31(10).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Int32, Records
from loco_stream._compiler.jit import entry, inlined, kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream._simulator.heap import ENTRY, pop, push, write_entry

# Buckets per ms; entries, entries in the heap, current bucket, first free slot, slots ever used;
# whether buckets are taken unsorted, as `window_loop` does.
STATE = struct_dtype(
    "per_ms", n_entries="i8", n_sorted="i8", bucket="i8", free="i8", n_slots="i8", windowed="?"
)
# Arrival, time of the spike, group, next slot of the bucket, first connection of the group.
SLOT = struct_dtype("time", "origin", group="i8", next="i8", first="i8")


class SpikeQueue(NamedTuple):
    """The arrays of a queue."""

    state: Records  # (1,) of STATE
    heap: Records  # (room,) of ENTRY: time of arrival, group, time of the spike
    slots: Records  # (room,) of SLOT
    ring: Int32  # (buckets,), a power of two: first slot of each bucket


def empty_queue(room: int, n_buckets: int, per_ms: float, windowed: bool) -> SpikeQueue:
    """Return an empty queue with room for `room` spikes."""
    return SpikeQueue(
        state=np.array([(per_ms, 0, 0, 0, 0, 0, windowed)], STATE),
        heap=np.zeros(room, ENTRY),
        slots=np.zeros(room, SLOT),
        ring=np.zeros(n_buckets, np.int32),
    )


@inlined
def add(queue: SpikeQueue, time: float, group: int, origin: float, first: int) -> None:
    """Add the spike of time `origin` whose group `group` arrives at `time`. There must be room.

    `first` is the first connection of the group, used only where buckets are windows.
    """
    state = queue.state[0]
    bucket = int(time * state.per_ms)
    if state.windowed:
        bucket = max(bucket, state.bucket)
    elif state.n_entries == 0:
        state.bucket = bucket
    state.n_entries += 1
    if bucket <= state.bucket and not state.windowed:
        state.n_sorted = push(queue.heap, state.n_sorted, time, group, origin)
        return
    slot = _unused_slot(queue)
    queue.slots[slot - 1].origin = origin
    set_arrival(queue, slot, time, group, first)
    put_slot(queue, slot, bucket)


@inlined
def _unused_slot(queue: SpikeQueue) -> int:
    """Return a free slot, which is not free any more."""
    state = queue.state[0]
    slot = state.free
    if slot == 0:
        state.n_slots += 1
        return state.n_slots
    state.free = queue.slots[slot - 1].next
    return slot


@inlined
def set_arrival(queue: SpikeQueue, slot: int, time: float, group: int, first: int) -> None:
    """Set the next arrival of the spike in a slot."""
    spike = queue.slots[slot - 1]
    spike.time = time
    spike.group = group
    spike.first = first


@inlined
def put_slot(queue: SpikeQueue, slot: int, bucket: int) -> None:
    """Put a slot into a bucket."""
    place = bucket & (len(queue.ring) - 1)
    queue.slots[slot - 1].next = queue.ring[place]
    queue.ring[place] = slot


@inlined
def free_slot(queue: SpikeQueue, slot: int) -> None:
    """Make a slot free."""
    state = queue.state[0]
    queue.slots[slot - 1].next = state.free
    state.free = slot


@kernel
def _sort_bucket(queue: SpikeQueue, bucket: int) -> bool:
    """Move the arrivals of a bucket into the heap; return whether there were any."""
    state = queue.state[0]
    place = bucket & (len(queue.ring) - 1)
    slot = queue.ring[place]
    kept = 0
    while slot != 0:
        spike = queue.slots[slot - 1]
        following = spike.next
        if int(spike.time * state.per_ms) == bucket:
            state.n_sorted = push(queue.heap, state.n_sorted, spike.time, spike.group, spike.origin)
            free_slot(queue, slot)
        else:  # of another year
            spike.next = kept
            kept = slot
        slot = following
    queue.ring[place] = kept
    return state.n_sorted > 0


@inlined
def earliest(queue: SpikeQueue) -> float:
    """Return the time of the first arrival, then ``heap[0]``; infinity if there is none."""
    state = queue.state[0]
    if state.n_sorted > 0:
        return queue.heap[0].time
    if state.n_entries == 0:
        return math.inf
    _go_to_next_bucket(queue)
    return queue.heap[0].time


@inlined
def _go_to_next_bucket(queue: SpikeQueue) -> None:
    """Make the next bucket with arrivals the current one, and sort it."""
    state = queue.state[0]
    n_buckets = len(queue.ring)
    for bucket in range(state.bucket + 1, state.bucket + 1 + n_buckets):
        if queue.ring[bucket & (n_buckets - 1)] != 0 and _sort_bucket(queue, bucket):
            state.bucket = bucket
            return
    state.bucket = int(_first_time(queue) * state.per_ms)
    _sort_bucket(queue, state.bucket)


@kernel
def _first_time(queue: SpikeQueue) -> float:
    """Return the time of the first arrival of a queue in which nothing arrives within a year."""
    first = math.inf
    for place in range(len(queue.ring)):
        slot = queue.ring[place]
        while slot != 0:
            first = min(first, queue.slots[slot - 1].time)
            slot = queue.slots[slot - 1].next
    return first


@inlined
def take(queue: SpikeQueue) -> None:
    """Remove the first entry of the heap: read ``heap[0]`` before."""
    state = queue.state[0]
    state.n_sorted = pop(queue.heap, state.n_sorted)
    state.n_entries -= 1


@entry
def drain(queue: SpikeQueue, waiting: Records) -> None:
    """Move all entries to `waiting` (n_entries,) of ENTRY, in any order."""
    state = queue.state[0]
    n = 0
    for k in range(state.n_sorted):
        spike = queue.heap[k]
        write_entry(waiting[n], spike.time, spike.key, spike.value)
        n += 1
    _drain_ring(queue, waiting, n)
    state.n_entries = 0
    state.n_sorted = 0
    state.free = 0
    state.n_slots = 0


@kernel
def _drain_ring(queue: SpikeQueue, waiting: Records, n: int) -> None:
    """Move the entries outside the heap to `waiting`, from item `n` on."""
    for place in range(len(queue.ring)):
        slot = queue.ring[place]
        while slot != 0:
            spike = queue.slots[slot - 1]
            write_entry(waiting[n], spike.time, spike.group, spike.origin)
            n += 1
            slot = spike.next
        queue.ring[place] = 0


@entry
def refill(queue: SpikeQueue, waiting: Records, groups: Records) -> None:
    """Add the entries of `waiting` (n,) of ENTRY; all arrive at 0 ms or later.

    `groups` are those of `Connections`.
    """
    for k in range(len(waiting)):
        spike = waiting[k]
        add(queue, spike.time, spike.key, spike.value, groups[spike.key].first)
