"""How far a run of one layer has come, in arrays that compiled code goes on from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPARE_ROOM", "Progress", "start_progress"]

SPARE_ROOM = (
    24  # arrivals that may be read or written beyond the last: a block, and those looked at ahead
)


class Progress(NamedTuple):
    """How far a run of n neurons has come. Times in ms."""

    # (13,): inputs taken, spikes fired, groups in the batch, hot neurons, those near; groups
    # delivered, place in the next, neurons aroused; the rest: see `window_loop`
    count: Any  # int64; tuples have a method of this name
    clock: NDArray[
        np.float64
    ]  # (5,): buckets a ms, end of the window, time of the batch, refractory period, horizon
    queue: NDArray[np.int64]  # (6,), and these three: see `calendar_queue`
    heap: NDArray[np.float64]  # (queue capacity, 3)
    slots: NDArray[np.float64]  # (queue capacity, 5)
    ring: NDArray[np.int32]  # (buckets,), a power of two
    # (queue capacity, 3): where the connections begin and end through which spikes arrive now, and
    # their group
    batch: NDArray[np.int64]
    hot: NDArray[np.int64]  # (n,): list of the neurons left at or above threshold by a reset
    near: NDArray[np.int64]  # (n,): list of those that may fire by themselves before the horizon
    aroused: NDArray[np.int64]  # (n,): list of those that the batch may make fire
    # (n,): 1 if hot, plus 2 if at or above threshold after the last reset, 4 if near, 8 if aroused
    flags: NDArray[np.uint8]
    times: NDArray[np.float64]  # (spike capacity,): output, when
    indices: NDArray[np.int64]  # (spike capacity,): output, who
    # (queue capacity, 2): group of those that arrive at one time, and its place in the arrivals
    runs: NDArray[np.int64]
    targets: NDArray[np.int32]  # (queue capacity + SPARE_ROOM,): the window's arrivals, to whom
    jumps: NDArray[np.float64]  # how strong
    whens: NDArray[np.float64]  # when
    old: NDArray[np.float64]  # and in which state they found the neuron


def start_progress(
    n: int, refractory: float, fired: int, room: int, buckets: int, per_ms: float, windowed: bool
) -> Progress:
    """Return the progress of a run of `n` neurons that has not begun, with room for spikes fired and under way."""
    return Progress(
        count=np.zeros(13, np.int64),
        clock=np.array([per_ms, 0.0, 0.0, refractory, 0.0]),
        queue=np.array([0, 0, 0, 0, 0, windowed], np.int64),
        heap=np.zeros((room, 3)),
        slots=np.zeros((room, 5)),
        ring=np.zeros(buckets, np.int32),
        batch=np.zeros((room, 3), np.int64),
        hot=np.zeros(n, np.int64),
        near=np.zeros(n, np.int64),
        aroused=np.zeros(n, np.int64),
        flags=np.zeros(n, np.uint8),
        times=np.zeros(fired),
        indices=np.zeros(fired, np.int64),
        runs=np.zeros((room, 2), np.int64),
        targets=np.zeros(room + SPARE_ROOM, np.int32),
        jumps=np.zeros(room + SPARE_ROOM),
        whens=np.zeros(room + SPARE_ROOM),
        old=np.zeros(room + SPARE_ROOM),
    )
