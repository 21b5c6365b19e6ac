"""What every neuron model does with lists of spikes: check, group and sort them."""

from __future__ import annotations

import math
from typing import Any

from loco_stream._compiler.jit import entry, kernel

__all__ = [
    "LEAK_SHARE",
    "MOST_SPIKES",
    "NO_ROOM",
    "STRONGEST",
    "first_bad_event",
    "group_events",
    "sort_spikes",
    "trace_of",
]

NO_ROOM = -1  # returned where outputs did not suffice
MOST_SPIKES = 20  # of a neuron in a window; a stronger drive brings no more
STRONGEST = (
    1e6  # thresholds: a current beyond fires a neuron no sooner, and its period would be nothing
)
LEAK_SHARE = (
    0.5  # thresholds a window: what the leak takes from a constant drive, given back on average
)
_STRIDE = 16  # events that are passed over at once where the last of them has the same time


@entry
def first_bad_event(times: Any, indices: Any, n_inputs: int, duration: float) -> Any:
    """Return the first event that is out of order, outside [0, duration] or of no input neuron.

    -1 if none is.
    """
    n = times.shape[0]
    if n == 0:
        return -1
    limit = times.dtype.type(duration)
    bad = False
    for k in range(1, n):
        bad |= not times[k] >= times[k - 1]  # also where one is no number
    least = most = indices[0]
    for k in range(n):
        least = min(least, indices[k])
        most = max(most, indices[k])
    if not bad and times[0] >= 0.0 and times[n - 1] <= limit and least >= 0 and most < n_inputs:
        return -1
    for k in range(n):
        ordered = times[k] >= (times[k - 1] if k > 0 else 0.0)
        if not ordered or not times[k] <= limit or indices[k] < 0 or indices[k] >= n_inputs:
            return k
    return -1


@kernel
def group_events(times: Any, group_times: Any, ends: Any) -> Any:
    """Write the distinct ones of sorted times and where in the events each ends.

    Return their number, or `NO_ROOM`.
    """
    n = times.shape[0]
    n_groups = 0
    k = 0
    while k < n:
        if n_groups == group_times.shape[0]:
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
def sort_spikes(times: Any, indices: Any, start: int, stop: int) -> None:
    """Sort the spikes `start` to `stop - 1` by time and neuron.

    By insertion, since they are few between events.
    """
    for s in range(start + 1, stop):
        t = times[s]
        i = indices[s]
        place = s
        while place > start and (
            times[place - 1] > t or (times[place - 1] == t and indices[place - 1] > i)
        ):
            times[place] = times[place - 1]
            indices[place] = indices[place - 1]
            place -= 1
        times[place] = t
        indices[place] = i


@kernel
def trace_of(times: Any, n: Any, window: Any, tau_trace: Any) -> Any:
    """Return what the first `n` spikes at `times` leave in a synaptic trace at the window's end.

    A spike adds 2 (exp(-s / tau) - exp(-2 s / tau)) at `s` ms after it: nothing at first, so that a
    neuron's trace changes continuously with its drive although spikes come one by one, and their
    times carry its grades.
    """
    total = 0.0
    for k in range(n):
        faded = math.exp((times[k] - window) / tau_trace)
        total += faded - faded * faded
    return 2.0 * total
