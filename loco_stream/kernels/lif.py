"""Leaky integrate-and-fire neurons one by one, for nets with a queue: exact, without an exponential a spike received.

Between events (v - level) decays by exp(-dt / tau). Stored is w = (v - level) exp((t - base) / tau),
which does not change between events at all: a spike of weight J that arrives at t adds J exp((t - base) / tau),
one exponential for all its targets; and v reaches the threshold where w reaches gap exp((t - base) / tau) with
gap = threshold - level, which solves for t where a drive above threshold (gap < 0) makes neurons fire by
themselves. `base` moves on before the factor grows large, so nothing is lost or overflows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

__all__ = ["LIF", "lif_crossing", "lif_enter", "lif_fire", "lif_ready", "lif_receive", "lif_state"]

TAU, REFRACTORY, RESET_ZERO = 0, 1, 2
BASE, FACTOR = 0, 1
_REBASE = 32.0  # in units of tau: exp(32) is 8e13, far from overflow


class LIF(NamedTuple):
    """State of a layer; n neurons, times in ms, all float64."""

    scaled: Any  # (n,) w
    ready_at: Any  # (n,) end of the refractory period
    gap: Any  # (n,) threshold - level
    level: Any  # (n,) where the membrane goes without spikes: the drive
    constants: Any  # (3,) tau, refractory period, 1 if the reset is to zero
    clock: Any  # (2,) base, exp((now - base) / tau)


def lif_state(v: Any, threshold: Any, level: Any, tau: float, refractory: float, reset_zero: bool) -> LIF:
    """Return the state at time 0 for membranes `v`."""
    return LIF(
        scaled=v - level,
        ready_at=np.full(len(v), -np.inf),
        gap=threshold - level,
        level=level,
        constants=np.array([tau, refractory, float(reset_zero)]),
        clock=np.array([0.0, 1.0]),
    )


@njit(cache=True)
def lif_enter(state: LIF, t: float) -> None:
    """Make `t` the present; times never run backwards."""
    tau = state.constants[TAU]
    since = t - state.clock[BASE]
    if since > _REBASE * tau:
        shrink = math.exp(-since / tau)
        for i in range(state.scaled.shape[0]):
            state.scaled[i] *= shrink
        state.clock[BASE] = t
        since = 0.0
    state.clock[FACTOR] = math.exp(since / tau)


@njit(cache=True)
def lif_crossing(state: LIF, i: int, t: float) -> Any:
    """Return when neuron `i` first reached its threshold from below by the present `t`, or infinity."""
    gap = state.gap[i]
    scaled = state.scaled[i]
    if gap >= 0.0 or scaled >= 0.0 or scaled < gap * state.clock[FACTOR]:
        return math.inf
    return min(state.clock[BASE] + state.constants[TAU] * math.log(scaled / gap), t)


@njit(cache=True)
def lif_receive(state: LIF, i: int, weight: float, t: float) -> None:
    """Add a spike that arrives now, unless the neuron is refractory."""
    if state.ready_at[i] <= t:
        state.scaled[i] += weight * state.clock[FACTOR]


@njit(cache=True)
def lif_ready(state: LIF, i: int, t: float) -> Any:
    """Return whether neuron `i` is at or above threshold and not refractory."""
    return state.ready_at[i] <= t and state.scaled[i] >= state.gap[i] * state.clock[FACTOR]


@njit(cache=True)
def lif_fire(state: LIF, i: int, t: float) -> Any:
    """Reset neuron `i`, which fired at `t`; return whether it is still at or above threshold."""
    tau = state.constants[TAU]
    above_level = -state.level[i]
    if state.constants[RESET_ZERO] == 0.0:
        membrane = state.scaled[i] * math.exp((state.clock[BASE] - t) / tau)
        above_level = membrane - (state.gap[i] + state.level[i])
    ready = t + state.constants[REFRACTORY]
    state.ready_at[i] = ready
    # The membrane stands still until `ready`: scale it as if it had started only then.
    state.scaled[i] = above_level * math.exp((ready - state.clock[BASE]) / tau)
    return above_level >= state.gap[i]
