"""How far a run of one layer has come, in arrays that compiled code goes on from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Progress", "start_progress"]


class Progress(NamedTuple):
    """How far a run of n neurons has come. Times in ms."""

    count: (
        Any  # (8,) int64: inputs taken, spikes fired, groups in the batch, hot neurons, those near; groups delivered,
    )
    # place in the next, neurons aroused
    clock: Any  # (5,) float64: buckets a ms, end of the window, time of the batch, refractory period, horizon
    queue: Any  # (5,) int64, and these three: see `calendar_queue`
    heap: Any  # (queue capacity, 3) float64
    slots: Any  # (queue capacity, 4) float64
    ring: Any  # (buckets,) int32, a power of two
    batch: Any  # (queue capacity,) int64: groups arriving now
    hot: Any  # (n,) int64: list of the neurons left at or above threshold by a reset
    near: Any  # (n,) int64: list of those that may fire by themselves before the horizon
    aroused: Any  # (n,) int64: list of those that the batch may make fire
    flags: Any  # (n,) uint8: 1 if hot, plus 2 if at or above threshold after the last reset, 4 if near, 8 if aroused
    times: Any  # (spike capacity,) float64: output, when
    indices: Any  # (spike capacity,) int64: output, who


def start_progress(n: int, refractory: float, room: int, buckets: int, per_ms: float) -> Progress:
    """Return the progress of a run of `n` neurons that has not begun, with room for that many spikes."""
    return Progress(
        count=np.zeros(8, np.int64),
        clock=np.array([per_ms, 0.0, 0.0, refractory, 0.0]),
        queue=np.zeros(5, np.int64),
        heap=np.zeros((room, 3)),
        slots=np.zeros((room, 4)),
        ring=np.zeros(buckets, np.int32),
        batch=np.zeros(room, np.int64),
        hot=np.zeros(n, np.int64),
        near=np.zeros(n, np.int64),
        aroused=np.zeros(n, np.int64),
        flags=np.zeros(n, np.uint8),
        times=np.zeros(room),
        indices=np.zeros(room, np.int64),
    )
