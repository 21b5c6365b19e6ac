"""A binary heap of records (time, key, value), ordered by (time, key).

In the queue of spikes the key is a group of connections (see `connections`) and the value the time
of the spike. Groups are numbered row by row, so entries of equal time leave in the order of their
neurons.
"""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Records
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype

ENTRY = struct_dtype("time", "value", key="i8")


@kernel
def push(heap: Records, size: int, time: float, key: int, value: float) -> int:
    """Add an entry to a heap (room,) of `size` < room entries; return its new size."""
    child = size
    while child > 0:
        parent = (child - 1) >> 1
        above = heap[parent]
        if _in_order(above.time, above.key, time, key):
            break
        _copy_entry(above, heap[child])
        child = parent
    write_entry(heap[child], time, key, value)
    return size + 1


@kernel
def pop(heap: Records, size: int) -> int:
    """Remove the first entry of a heap of `size` > 0 entries; return its new size.

    The first entry is ``heap[0]``: read it before.
    """
    last = size - 1
    moved = heap[last]
    time = moved.time
    key = moved.key
    parent = 0
    child = 1
    while child < last:
        if child + 1 < last and _precedes(heap[child + 1], heap[child]):
            child += 1
        lower = heap[child]
        if _in_order(time, key, lower.time, lower.key):
            break
        _copy_entry(lower, heap[parent])
        parent = child
        child = 2 * parent + 1
    write_entry(heap[parent], time, key, moved.value)
    return last


@kernel
def _in_order(time: float, key: int, next_time: float, next_key: int) -> bool:
    return time < next_time or (time == next_time and key <= next_key)


@kernel
def _precedes(a: np.record, b: np.record) -> bool:
    return a.time < b.time or (a.time == b.time and a.key < b.key)


@kernel
def _copy_entry(source: np.record, target: np.record) -> None:
    write_entry(target, source.time, source.key, source.value)


@kernel
def write_entry(entry: np.record, time: float, key: int, value: float) -> None:
    """Set all fields of an entry."""
    entry.time = time
    entry.key = key
    entry.value = value
