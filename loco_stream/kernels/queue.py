"""A priority queue of spikes under way: a binary heap in three parallel arrays, ordered by (time, group).

A group is the set of one neuron's connections that share a delay (see `connect`); groups are numbered
neuron by neuron, so ties in time leave the queue in neuron order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import njit

__all__ = ["Queue", "pop", "push"]


class Queue(NamedTuple):
    """Heap storage; how many slots are in use is kept by the caller."""

    time: Any  # (capacity,) float64, ms: arrival of the group
    group: Any  # (capacity,) int64
    origin: Any  # (capacity,) float64, ms: when the neuron fired


@njit(cache=True)
def push(queue: Queue, size: int, time: float, group: int, origin: float) -> int:
    """Add an entry to a heap of `size` entries, which must have room; return the new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        above = queue.time[parent]
        if above < time or (above == time and queue.group[parent] <= group):
            break
        queue.time[child] = above
        queue.group[child] = queue.group[parent]
        queue.origin[child] = queue.origin[parent]
        child = parent
    queue.time[child] = time
    queue.group[child] = group
    queue.origin[child] = origin
    return size + 1


@njit(cache=True)
def pop(queue: Queue, size: int) -> int:
    """Remove the first entry (read it before, at index 0) of a heap of `size` > 0 entries; return the new size."""
    last = size - 1
    time = queue.time[last]
    group = queue.group[last]
    origin = queue.origin[last]
    parent = 0
    child = 1
    while child < last:
        right = child + 1
        if right < last and (
            queue.time[right] < queue.time[child]
            or (queue.time[right] == queue.time[child] and queue.group[right] < queue.group[child])
        ):
            child = right
        if time < queue.time[child] or (time == queue.time[child] and group <= queue.group[child]):
            break
        queue.time[parent] = queue.time[child]
        queue.group[parent] = queue.group[child]
        queue.origin[parent] = queue.origin[child]
        parent = child
        child = 2 * parent + 1
    queue.time[parent] = time
    queue.group[parent] = group
    queue.origin[parent] = origin
    return last
