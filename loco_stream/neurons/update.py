"""What a layer of leaky integrate-and-fire neurons does at one event time: decay, add, note the peak, reset."""

from __future__ import annotations

from typing import Any

from loco_stream.jit import kernel

__all__ = ["lif_update"]


@kernel
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
