"""Lists of spikes: checking, grouping, and the synaptic trace they leave."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from loco_stream._arrays import AnyFloat, AnyInt, Float32, Float64, Int64
from loco_stream._compiler.jit import entry, kernel

NO_ROOM = -1  # returned where output arrays are too short
MOST_SPIKES = 20  # of a neuron per window; a stronger drive causes no more
STRONGEST = 1e6  # thresholds; with a larger current the period between spikes would round to 0
# In thresholds per window: what the leak takes from a constant drive on average, added to it.
LEAK_SHARE = 0.5
_STRIDE = 16  # events that are skipped at once where the last of them has the same time


@entry
def first_bad_event(times: AnyFloat, indices: AnyInt, n_inputs: int, duration: float) -> int:
    """Return the number of the first event with a bad time or input neuron, or -1.

    Times must ascend within [0, duration].

    Parameters
    ----------
    times
        (n,) float32 or float64, in ms.
    indices
        (n,) int32 or int64; allowed are 0 to ``n_inputs - 1``.
    """
    n = len(times)
    if n == 0:
        return -1
    limit = times.dtype.type(duration)
    if _all_good(times, indices, n_inputs, limit):
        return -1
    for k in range(n):
        ascends = times[k] >= (times[k - 1] if k > 0 else 0.0)
        if not ascends or not times[k] <= limit or indices[k] < 0 or indices[k] >= n_inputs:
            return k
    return -1


@kernel
def _all_good(
    times: AnyFloat,
    indices: AnyInt,
    n_inputs: int,
    limit: np.floating,
) -> bool:
    """Return whether no event is bad, in loops that LLVM vectorizes."""
    n = len(times)
    bad = False
    for k in range(1, n):
        bad |= not times[k] >= times[k - 1]  # also where one is NaN
    lowest = highest = indices[0]
    for k in range(n):
        lowest = min(lowest, indices[k])
        highest = max(highest, indices[k])
    within = times[0] >= 0.0 and times[n - 1] <= limit
    return not bad and within and lowest >= 0 and highest < n_inputs


@kernel
def group_events(times: AnyFloat, group_times: AnyFloat, ends: Int64) -> int:
    """Write the distinct times of sorted events and where the events of each end.

    Return their number, or `NO_ROOM`.

    Parameters
    ----------
    times
        (n,) float32 or float64.
    group_times, ends
        (room,) of the same dtype and (room,) int64, written.
    """
    n = len(times)
    n_groups = 0
    k = 0
    while k < n:
        if n_groups == len(group_times):
            return NO_ROOM
        now = times[k]
        while k + _STRIDE < n and times[k + _STRIDE] == now:
            k += _STRIDE
        while k < n and times[k] == now:
            k += 1
        group_times[n_groups] = now
        ends[n_groups] = k
        n_groups += 1
    return n_groups


@kernel
def trace_of(times: Float64, n: int, window: float, tau_trace: float) -> float:
    """Return the synaptic trace at the end of a window after the first `n` spikes at `times`.

    A spike adds 2 (exp(-s / tau_trace) - exp(-2 s / tau_trace)) at `s` ms after it. This is 0 at
    first, so that the trace of a neuron is continuous in its drive although spikes are discrete.

    Parameters
    ----------
    times
        (n or more,) float64, in ms from the start of the window.
    """
    total = 0.0
    for k in range(n):
        faded = math.exp((times[k] - window) / tau_trace)
        total += faded - faded * faded
    return 2.0 * total


@cache
def traces_by_times(times_of: Any) -> Any:
    """Return a kernel that makes traces of spike times; see `WindowOperations.traces`.

    Parameters
    ----------
    times_of
        `WindowOperations.times` of a model.
    """

    @kernel
    def traces(
        parameters: Any,
        values: Float32,
        window: float,
        tau: float,
        tau_trace: float,
        late: float,
        scratch: Float64,
        times: Float64,
    ) -> int:
        total = 0
        for i in range(len(values)):
            n = times_of(parameters, np.float64(values[i]), window, tau, scratch, times)
            values[i] = trace_of(times, n, window, tau_trace)
            total += n
        return total

    return traces
