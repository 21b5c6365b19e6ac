"""Leaky integrate-and-fire neurons whose threshold rises with every spike they fire and decays back, one by one.

Between events the membrane is level + (v - level) exp(-dt / tau) and the threshold is
threshold + adaptation exp(-dt / tau_adapt). Without a drive above threshold and with tau_adapt >= tau the
membrane falls at least as fast as the threshold, and only an event can make a neuron fire. Otherwise their
difference, a sum of two exponentials with at most one extremum, is searched for its first root.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

__all__ = ["ALIF", "alif_crossing", "alif_fire", "alif_ready", "alif_receive", "alif_state"]

TAU, REFRACTORY, RESET_ZERO, TAU_ADAPT, ADAPT = 0, 1, 2, 3, 4
_BISECTIONS = 100


class ALIF(NamedTuple):
    """State of a layer; n neurons, times in ms, all float64."""

    v: Any  # (n,) membrane at `since`
    adaptation: Any  # (n,) what is added to the threshold at `since`
    since: Any  # (n,) time of the two
    ready_at: Any  # (n,) end of the refractory period, until which the membrane stands still
    threshold: Any  # (n,) at rest
    level: Any  # (n,) where the membrane goes without spikes: the drive
    constants: Any  # (5,) tau, refractory, 1 if the reset is to zero, tau_adapt, rise of the threshold a spike


def alif_state(
    v: Any, threshold: Any, level: Any, tau: float, refractory: float, reset_zero: bool, tau_adapt: float, adapt: float
) -> ALIF:
    """Return the state at time 0 for membranes `v` and thresholds at rest."""
    return ALIF(
        v=v.copy(),
        adaptation=np.zeros(len(v)),
        since=np.zeros(len(v)),
        ready_at=np.full(len(v), -np.inf),
        threshold=threshold,
        level=level,
        constants=np.array([tau, refractory, float(reset_zero), tau_adapt, adapt]),
    )


@njit(cache=True)
def alif_advance(state: ALIF, i: int, t: float) -> None:
    """Bring neuron `i` to time `t`."""
    tau = state.constants[TAU]
    passed = t - max(state.since[i], state.ready_at[i])
    if passed > 0.0:
        state.v[i] = state.level[i] + (state.v[i] - state.level[i]) * math.exp(-passed / tau)
    state.adaptation[i] *= math.exp((state.since[i] - t) / state.constants[TAU_ADAPT])
    state.since[i] = t


@njit(cache=True)
def alif_excess(state: ALIF, i: int, start: float, adaptation: float, dt: float) -> Any:
    """Return membrane minus threshold `dt` after `start`, when the threshold was raised by `adaptation`."""
    membrane = state.level[i] + (state.v[i] - state.level[i]) * math.exp(-dt / state.constants[TAU])
    return membrane - (state.threshold[i] + adaptation * math.exp(-dt / state.constants[TAU_ADAPT]))


@njit(cache=True)
def alif_crossing(state: ALIF, i: int, t: float) -> Any:
    """Return when neuron `i` first reached its threshold from below by time `t`, or infinity."""
    tau = state.constants[TAU]
    tau_adapt = state.constants[TAU_ADAPT]
    start = max(state.since[i], state.ready_at[i])
    high = t - start
    if high <= 0.0:
        return math.inf
    adaptation = state.adaptation[i] * math.exp((state.since[i] - start) / tau_adapt)
    if alif_excess(state, i, start, adaptation, 0.0) >= 0.0:
        return math.inf
    fall = state.v[i] - state.level[i]
    if fall > 0.0 and adaptation > 0.0 and tau_adapt != tau:
        extremum = math.log(adaptation * tau / (fall * tau_adapt)) / (1.0 / tau_adapt - 1.0 / tau)
        if 0.0 < extremum < high and alif_excess(state, i, start, adaptation, extremum) >= 0.0:
            high = extremum
    if alif_excess(state, i, start, adaptation, high) < 0.0:
        return math.inf
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if alif_excess(state, i, start, adaptation, middle) >= 0.0:
            high = middle
        else:
            low = middle
    return start + high


@njit(cache=True)
def alif_receive(state: ALIF, i: int, weight: float, t: float) -> None:
    """Add a spike that arrives at `t`, unless the neuron is refractory."""
    if state.ready_at[i] <= t:
        alif_advance(state, i, t)
        state.v[i] += weight


@njit(cache=True)
def alif_ready(state: ALIF, i: int, t: float) -> Any:
    """Return whether neuron `i` is at or above threshold at `t` and not refractory."""
    if state.ready_at[i] > t:
        return False
    alif_advance(state, i, t)
    return state.v[i] >= state.threshold[i] + state.adaptation[i]


@njit(cache=True)
def alif_fire(state: ALIF, i: int, t: float) -> Any:
    """Reset neuron `i`, which fired at `t`; return whether it is at or above threshold once it may fire again."""
    alif_advance(state, i, t)
    if state.constants[RESET_ZERO] != 0.0:
        state.v[i] = 0.0
    else:
        state.v[i] -= state.threshold[i] + state.adaptation[i]
    state.adaptation[i] += state.constants[ADAPT]
    state.ready_at[i] = t + state.constants[REFRACTORY]
    later = state.adaptation[i] * math.exp(-state.constants[REFRACTORY] / state.constants[TAU_ADAPT])
    return state.v[i] >= state.threshold[i] + later
