"""What a layer of leaky integrate-and-fire neurons does at one event time: decay, add, note the peak, fire, reset."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["compact", "lif_update"]


@njit(cache=True)
def lif_update(v: Any, current: Any, decay: Any, threshold: Any, reset_zero: bool, u_max: Any) -> None:
    """Decay the membranes, add the current, raise `u_max` to them, reset those at or above threshold.

    `current` is left holding the membranes before reset, from which `compact` reads who fired: reset and
    test are two loops because the first then runs on whole vectors. All arrays are (n,).
    """
    for i in range(v.shape[0]):
        x = v[i] * decay + current[i]
        current[i] = x
        u_max[i] = max(u_max[i], x)
        drop = x if reset_zero else threshold[i]
        v[i] = x - drop if x >= threshold[i] else x


@njit(cache=True)
def compact(membrane: Any, threshold: Any, out: Any, count: int) -> int:
    """Append the neurons whose membrane is at or above threshold to `out` from `count` on; return the new count.

    Branch-free: every neuron writes its number and only those that fire move the cursor on, because who fires is
    unpredictable and a mispredicted branch costs more than a store. `out` must have room for all neurons
    beyond `count`; slots after the returned count hold rubbish.
    """
    for i in range(membrane.shape[0]):
        out[count] = i
        count += membrane[i] >= threshold[i]
    return count
