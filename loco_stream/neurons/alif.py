"""Adaptive leaky integrate-and-fire neurons: each spike raises the threshold, which decays back.

Between events the membrane is level + (v - level) exp(-dt / tau) and the threshold is
threshold + adaptation exp(-dt / tau_adapt). Without a drive above threshold and with
tau_adapt >= tau the membrane falls at least as fast as the threshold, and a neuron fires only when
a spike arrives. Otherwise their difference, a sum of two exponentials with at most one extremum, is
searched for its first root.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Float64, Records
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.errors import ConfigError
from loco_stream.neurons._definition import (
    EventOperations,
    NeuronModel,
    Parameters,
    WindowOperations,
)
from loco_stream.neurons._spikes import LEAK_SHARE, STRONGEST

# Per neuron: time of the last spike, membrane, current rise of the threshold, time `since` of
# both, threshold at rest, and the level, which is the drive; times in ms.
STATE = struct_dtype("last_spike", "v", "adaptation", "since", "threshold", "level")
SHARED = struct_dtype("tau", "refractory", "tau_adapt", "adapt", reset_zero="?")
_BISECTIONS = 100
_PRECISION = 1e-12  # ms


class ALIF(NamedTuple):
    """Parameters of adaptive leaky integrate-and-fire neurons in a window.

    A spike raises the threshold by `adapt`, which decays with time constant `tau_adapt` ms.
    """

    # Five times the usual time constant of the membrane, and a fifth of the threshold: visible
    # adaptation that does not silence a neuron.
    tau_adapt: float = 100.0
    adapt: float = 0.2


def _check(parameters: Parameters) -> None:
    if not parameters["tau_adapt"] > 0.0:
        raise ConfigError(f"`tau_adapt` must be above 0 ms, got {parameters['tau_adapt']}")
    if parameters["adapt"] < 0.0:
        raise ConfigError(f"`adapt` must be 0 or more, got {parameters['adapt']}")


def _start(
    v: Float64,
    threshold: Float64,
    level: Float64,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Parameters,
) -> tuple[Records, Records]:
    state = np.zeros(len(v), STATE)
    state["last_spike"] = -np.inf
    state["v"] = v
    state["threshold"] = threshold
    state["level"] = level
    numbers = (tau, refractory, parameters["tau_adapt"], parameters["adapt"], reset_zero)
    return state, np.array([numbers], SHARED)


def _shift(state: Records, shared: Records, duration: float) -> None:
    state["since"] -= duration


@kernel
def alif_moves_from(state: Records, shared: np.record, i: int) -> float:
    """Return when the membrane of neuron `i` begins to move; it is constant while refractory."""
    return max(state[i].since, state[i].last_spike + shared.refractory)


@kernel
def alif_membrane_after(neuron: np.record, tau: float, dt: float) -> float:
    """Return the membrane of a neuron after it has moved for `dt` ms."""
    return neuron.level + (neuron.v - neuron.level) * math.exp(-dt / tau)


@kernel
def alif_update(state: Records, shared: np.record, i: int, t: float) -> None:
    """Bring neuron `i` to time `t`."""
    neuron = state[i]
    passed = t - alif_moves_from(state, shared, i)
    if passed > 0.0:
        neuron.v = alif_membrane_after(neuron, shared.tau, passed)
    neuron.adaptation *= math.exp((neuron.since - t) / shared.tau_adapt)
    neuron.since = t


@kernel
def alif_excess(neuron: np.record, shared: np.record, adaptation: float, dt: float) -> float:
    """Return membrane minus threshold `dt` ms after the threshold was raised by `adaptation`."""
    decayed = adaptation * math.exp(-dt / shared.tau_adapt)
    return alif_membrane_after(neuron, shared.tau, dt) - (neuron.threshold + decayed)


@kernel
def _extremum(fall: float, adaptation: float, tau: float, tau_adapt: float) -> float:
    """Return after how many ms membrane minus threshold has its extremum."""
    return math.log(adaptation * tau / (fall * tau_adapt)) / (1.0 / tau_adapt - 1.0 / tau)


@kernel
def _first_root(neuron: np.record, shared: np.record, adaptation: float, high: float) -> float:
    """Return, by bisection, when membrane minus threshold passes 0 on its way up to `high` ms."""
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if alif_excess(neuron, shared, adaptation, middle) >= 0.0:
            high = middle
        else:
            low = middle
    return high


@kernel
def alif_next_spike(state: Records, shared: np.record, i: int, t: float) -> float:
    """Return when neuron `i` reached its threshold from below, up to `t`, or infinity."""
    neuron = state[i]
    start = alif_moves_from(state, shared, i)
    high = t - start
    if high <= 0.0:
        return math.inf
    adaptation = neuron.adaptation * math.exp((neuron.since - start) / shared.tau_adapt)
    if alif_excess(neuron, shared, adaptation, 0.0) >= 0.0:
        return math.inf
    fall = neuron.v - neuron.level
    if fall > 0.0 and adaptation > 0.0 and shared.tau_adapt != shared.tau:
        extremum = _extremum(fall, adaptation, shared.tau, shared.tau_adapt)
        if 0.0 < extremum < high and alif_excess(neuron, shared, adaptation, extremum) >= 0.0:
            high = extremum
    if alif_excess(neuron, shared, adaptation, high) < 0.0:
        return math.inf
    return start + _first_root(neuron, shared, adaptation, high)


@kernel
def alif_receive(state: Records, shared: np.record, i: int, weight: float, t: float) -> None:
    """Add a spike unless the neuron is refractory."""
    if state[i].last_spike + shared.refractory <= t:
        alif_update(state, shared, i, t)
        state[i].v += weight


@kernel
def alif_at_threshold(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Return whether neuron `i` is at or above threshold and not refractory."""
    if state[i].last_spike + shared.refractory > t:
        return False
    alif_update(state, shared, i, t)
    return state[i].v >= state[i].threshold + state[i].adaptation


@kernel
def alif_reset(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Reset neuron `i`; return whether it is at or above threshold after its refractory period."""
    alif_update(state, shared, i, t)
    neuron = state[i]
    if shared.reset_zero:
        neuron.v = 0.0
    else:
        neuron.v -= neuron.threshold + neuron.adaptation
    neuron.adaptation += shared.adapt
    later = neuron.adaptation * math.exp(-shared.refractory / shared.tau_adapt)
    return neuron.v >= neuron.threshold + later


@kernel
def alif_membrane(state: Records, shared: np.record, i: int, t: float) -> float:
    """Return the membrane of neuron `i`, which is constant while it is refractory."""
    passed = max(0.0, t - alif_moves_from(state, shared, i))
    return alif_membrane_after(state[i], shared.tau, passed)


@kernel
def _next_wait(
    parameters: ALIF,
    current: float,
    tau: float,
    raised: float,
    wait: float,
    now: float,
    window: float,
) -> float:
    """Return the ms from `now` to the next spike; anything beyond the window if there is none.

    Membrane minus threshold, I (1 - exp(-s / tau)) - 1 - A exp(-s / tau_adapt), is increasing and
    concave in s: Newton's steps from the left, from `wait` on, end at the root and never beyond.
    I is `current`, and A, the rise of the threshold at `now`, is `raised`.
    """
    step = 1.0
    while step > _PRECISION and now + wait <= window:
        decayed = math.exp(-wait / tau)
        returned = raised * math.exp(-wait / parameters.tau_adapt)
        lack = 1.0 + returned - current * (1.0 - decayed)
        step = lack / (current * decayed / tau + returned / parameters.tau_adapt)
        wait += max(step, 0.0)
    return wait


@kernel
def alif_times(
    parameters: ALIF,
    drive: float,
    window: float,
    tau: float,
    scratch: Float64,
    times: Float64,
) -> int:
    """Write spike times; see `WindowOperations.times`."""
    current = min(drive * tau / window + LEAK_SHARE, STRONGEST)
    n = 0
    now = 0.0
    raised = 0.0
    if not current > 1.0:
        return n
    first = tau * math.log(current / (current - 1.0))
    while n < len(times):
        wait = _next_wait(parameters, current, tau, raised, first, now, window)
        now += wait
        if not now <= window:
            return n
        times[n] = now
        n += 1
        raised = raised * math.exp(-wait / parameters.tau_adapt) + parameters.adapt
    return n


MODEL = NeuronModel(
    name="alif",
    kind=ALIF,
    events=EventOperations(
        receive=alif_receive,
        at_threshold=alif_at_threshold,
        reset=alif_reset,
        membrane=alif_membrane,
        next_spike=alif_next_spike,
    ),
    start=_start,
    shift=_shift,
    parameters=ALIF()._asdict(),
    check=_check,
    fires_between_events=lambda tau, parameters: parameters["tau_adapt"] < tau,
    # a threshold that decays faster than the membrane could be reached between events
    window=WindowOperations(settings=lambda tau: ALIF(tau_adapt=max(100.0, tau)), times=alif_times),
)
