"""A priority queue of spikes under way.

A binary heap of rows (time, group, origin), ordered by (time, group).

A group is the set of one neuron's connections that share a delay (see `connect`); groups are
numbered neuron by neuron, so ties in time leave the queue in neuron order. Time is the group's
arrival and origin the neuron's spike, in ms; all three are float64, which holds group numbers up to
2^53.
"""

from __future__ import annotations

from typing import Any

from loco_stream._compiler.jit import kernel

__all__ = ["pop", "push"]

TIME = 0
GROUP = 1
ORIGIN = 2


@kernel
def push(heap: Any, size: int, time: float, group: int, origin: float) -> int:
    """Add an entry to a heap of `size` entries, which must have room; return the new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        above = heap[parent, TIME]
        if above < time or (above == time and heap[parent, GROUP] <= group):
            break
        heap[child, TIME] = above
        heap[child, GROUP] = heap[parent, GROUP]
        heap[child, ORIGIN] = heap[parent, ORIGIN]
        child = parent
    heap[child, TIME] = time
    heap[child, GROUP] = group
    heap[child, ORIGIN] = origin
    return size + 1


@kernel
def pop(heap: Any, size: int) -> int:
    """Remove the first entry (read it before, in row 0) of a heap of `size` > 0 entries.

    Return the new size.
    """
    last = size - 1
    time = heap[last, TIME]
    group = heap[last, GROUP]
    parent = 0
    child = 1
    while child < last:
        right = child + 1
        if right < last and (
            heap[right, TIME] < heap[child, TIME]
            or (heap[right, TIME] == heap[child, TIME] and heap[right, GROUP] < heap[child, GROUP])
        ):
            child = right
        if time < heap[child, TIME] or (time == heap[child, TIME] and group <= heap[child, GROUP]):
            break
        heap[parent, TIME] = heap[child, TIME]
        heap[parent, GROUP] = heap[child, GROUP]
        heap[parent, ORIGIN] = heap[child, ORIGIN]
        parent = child
        child = 2 * parent + 1
    heap[parent, TIME] = time
    heap[parent, GROUP] = group
    heap[parent, ORIGIN] = heap[last, ORIGIN]
    return last
