"""What a layer of neurons does right after a delivery: note the peak, fire, reset.

Compaction is branch-free (every neuron writes its number, only those that fire move the
cursor on), because which neurons fire is unpredictable and a mispredicted branch costs more than a store.
"""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["fire", "note_peak"]


@njit(cache=True)
def note_peak(v: Any, peak: Any) -> None:
    """Raise `peak` to the membranes `v` where these are larger; both (n,)."""
    for i in range(v.shape[0]):
        x = v[i]
        p = peak[i]
        peak[i] = max(p, x)


@njit(cache=True)
def fire(v: Any, threshold: Any, reset_zero: bool, out: Any, count: int) -> int:
    """Append the neurons at or above their threshold to `out` from `count` on, reset them, return the new count.

    `out` must have room for all neurons beyond `count`: slots after the returned count hold rubbish.
    """
    zero = v.dtype.type(0.0)
    first = count
    for i in range(v.shape[0]):
        out[count] = i
        count += v[i] >= threshold[i]
    for k in range(first, count):
        i = out[k]
        v[i] = zero if reset_zero else v[i] - threshold[i]
    return count
