"""Izhikevich neurons: v' = 0.04 v^2 + 5 v + 140 - u + I, u' = a (b v - u).

At the peak v := c and u := u + d.

There is no closed form. Each neuron is integrated between its own events by the embedded
Runge-Kutta pair of Dormand and Prince, order 5(4), with step sizes that keep the estimated error of
a step within a tolerance in mV. A step that passes the peak is shortened by bisection until it ends
there.

References
----------
Izhikevich 2003, Simple model of spiking neurons, IEEE Trans. Neural Networks 14. Dormand and Prince
1980, A family of embedded Runge-Kutta formulae, J. Comput. Appl. Math. 6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Float64, Records
from loco_stream._compiler.jit import inlined, kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.errors import ConfigError
from loco_stream.neurons._definition import (
    EventOperations,
    NeuronModel,
    Parameters,
    WindowOperations,
)

# Per neuron: time of the last spike, membrane v (mV), recovery u, time `since` of both, size of the
# next step, current I; times in ms.
STATE = struct_dtype("last_spike", "v", "u", "since", "step", "drive")
SHARED = struct_dtype("a", "b", "c", "d", "peak", "tolerance")
_FIRST_STEP = 0.1
_LARGEST_STEP = 5.0
_SMALLEST_STEP = 1e-9
_BISECTIONS = 60
_LARGEST_PARAMETER = 1e4  # in absolute value
_SMALLEST_TOLERANCE = 1e-14
_STRONGEST = 1e4  # a larger current does not fire a neuron more often than is counted


class Izhikevich(NamedTuple):
    """Parameters of regular spiking neurons of the 2003 paper, in its units, ms and mV.

    `drive` is the current that stands for a drive of one threshold per window of 20 ms, and `rest`
    the membrane without current, the lower root of 0.04 v^2 + (5 - b) v + 140.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    peak: float = 30.0
    tolerance: float = 0.1
    drive: float = 7.0
    rest: float = -70.0


# `Network` integrates to a small tolerance; the estimators take larger steps.
_PARAMETERS = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "peak": 30.0, "tolerance": 1e-6}


def _check(parameters: Parameters) -> None:
    for name in ("tolerance", "a"):
        if not parameters[name] > 0.0:
            raise ConfigError(f"`{name}` must be above 0, got {parameters[name]}")
    for name, value in parameters.items():  # beyond, steps become too small to reach the end
        if abs(value) > _LARGEST_PARAMETER:
            raise ConfigError(
                f"`{name}` must be between {-_LARGEST_PARAMETER:g} and {_LARGEST_PARAMETER:g}, "
                f"got {value}"
            )
    if parameters["tolerance"] < _SMALLEST_TOLERANCE:
        raise ConfigError(
            f"`tolerance` must be {_SMALLEST_TOLERANCE:g} mV or more, got {parameters['tolerance']}"
        )
    if not parameters["c"] < parameters["peak"]:
        raise ConfigError(f"`c` must be below `peak` = {parameters['peak']}, got {parameters['c']}")


def rest_potential(b: float, drive: Float64) -> Float64:
    """Return the stable membrane without input for each drive, or -65 where there is none."""
    # 0.04 v^2 + (5 - b) v + 140 + drive = 0, lower root
    discriminant = (5.0 - b) ** 2 - 0.16 * (140.0 + drive)
    root = (b - 5.0 - np.sqrt(np.maximum(discriminant, 0.0))) / 0.08
    return np.where(discriminant >= 0.0, root, -65.0)


def _start(
    v: Float64,
    threshold: Float64,
    drive: Float64,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Parameters,
) -> tuple[Records, Records]:
    state = np.zeros(len(v), STATE)
    state["last_spike"] = -np.inf
    state["v"] = v
    state["u"] = parameters["b"] * v
    state["step"] = _FIRST_STEP
    state["drive"] = drive
    return state, np.array([tuple(parameters[name] for name in _PARAMETERS)], SHARED)


def _shift(state: Records, shared: Records, duration: float) -> None:
    state["since"] -= duration


class _Point(NamedTuple):
    """A neuron on its trajectory."""

    v: float
    u: float


class _System(NamedTuple):
    """The differential equation of one neuron."""

    a: float
    b: float
    drive: float


@kernel
def slope(system: _System, v: float, u: float) -> _Point:
    """Return (v', u')."""
    return _Point(0.04 * v * v + 5.0 * v + 140.0 - u + system.drive, system.a * (system.b * v - u))


# The sums of a step, for v and for u alike: x at its beginning, h its length, k1 to k7 the slopes.


@kernel
def _third_stage(x: float, h: float, k1: float, k2: float) -> float:
    return x + h * (3 * k1 + 9 * k2) / 40


@kernel
def _fourth_stage(x: float, h: float, k1: float, k2: float, k3: float) -> float:
    return x + h * (44 / 45 * k1 + -56 / 15 * k2 + 32 / 9 * k3)


@kernel
def _fifth_stage(x: float, h: float, k1: float, k2: float, k3: float, k4: float) -> float:
    return x + h * (19372 / 6561 * k1 + -25360 / 2187 * k2 + 64448 / 6561 * k3 + -212 / 729 * k4)


@kernel
def _sixth_stage(
    x: float, h: float, k1: float, k2: float, k3: float, k4: float, k5: float
) -> float:
    return x + h * (
        9017 / 3168 * k1 + -355 / 33 * k2 + 46732 / 5247 * k3 + 49 / 176 * k4 + -5103 / 18656 * k5
    )


@kernel
def _solution(x: float, h: float, k1: float, k3: float, k4: float, k5: float, k6: float) -> float:
    return x + h * (
        35 / 384 * k1 + 500 / 1113 * k3 + 125 / 192 * k4 + -2187 / 6784 * k5 + 11 / 84 * k6
    )


@kernel
def _error(h: float, k1: float, k3: float, k4: float, k5: float, k6: float, k7: float) -> float:
    return h * (
        71 / 57600 * k1
        + -71 / 16695 * k3
        + 71 / 1920 * k4
        + -17253 / 339200 * k5
        + 22 / 525 * k6
        + -1 / 40 * k7
    )


@inlined
def dormand_prince(system: _System, v: float, u: float, h: float) -> tuple[float, float, float]:
    """Take one step `h`; return v and u of fifth order and the larger estimated error of both."""
    k1 = slope(system, v, u)
    k2 = slope(system, v + h * k1.v / 5, u + h * k1.u / 5)
    k3 = slope(system, _third_stage(v, h, k1.v, k2.v), _third_stage(u, h, k1.u, k2.u))
    stage_v = _fourth_stage(v, h, k1.v, k2.v, k3.v)
    stage_u = _fourth_stage(u, h, k1.u, k2.u, k3.u)
    k4 = slope(system, stage_v, stage_u)
    stage_v = _fifth_stage(v, h, k1.v, k2.v, k3.v, k4.v)
    stage_u = _fifth_stage(u, h, k1.u, k2.u, k3.u, k4.u)
    k5 = slope(system, stage_v, stage_u)
    stage_v = _sixth_stage(v, h, k1.v, k2.v, k3.v, k4.v, k5.v)
    stage_u = _sixth_stage(u, h, k1.u, k2.u, k3.u, k4.u, k5.u)
    k6 = slope(system, stage_v, stage_u)
    next_v = _solution(v, h, k1.v, k3.v, k4.v, k5.v, k6.v)
    next_u = _solution(u, h, k1.u, k3.u, k4.u, k5.u, k6.u)
    k7 = slope(system, next_v, next_u)
    error_v = _error(h, k1.v, k3.v, k4.v, k5.v, k6.v, k7.v)
    error_u = _error(h, k1.u, k3.u, k4.u, k5.u, k6.u, k7.u)
    return next_v, next_u, max(abs(error_v), abs(error_u))


class _Trajectory(NamedTuple):
    """How far a neuron has been integrated: v, u, the time in ms, and the size of the next step."""

    v: float
    u: float
    now: float
    step: float


@kernel
def _smaller(step: float, error: float, tolerance: float) -> float:
    """Return the step to try after one with too large an error."""
    return step * (max(0.2, 0.9 * (tolerance / error) ** 0.2) if math.isfinite(error) else 0.2)


@kernel
def _larger(step: float, error: float, tolerance: float) -> float:
    """Return the step to try after a successful one."""
    return min(_LARGEST_STEP, step * min(5.0, 0.9 * (tolerance / max(error, 1e-300)) ** 0.2))


@kernel
def _step_to_peak(system: _System, v: float, u: float, peak: float, high: float) -> float:
    """Return, by bisection, the length of the step to the peak, at most `high`."""
    low = 0.0
    for _ in range(_BISECTIONS):
        tried = 0.5 * (low + high)
        if dormand_prince(system, v, u, tried)[0] < peak:
            low = tried
        else:
            high = tried
    return high


@kernel
def _integrate(
    start: _Trajectory, system: _System, peak: float, tolerance: float, t: float
) -> tuple[_Trajectory, bool]:
    """Integrate a neuron up to `t` or to its peak; return where it is and whether at its peak."""
    v = start.v
    u = start.u
    now = start.now
    step = start.step
    at_peak = v >= peak
    while now < t and not at_peak:
        change = slope(system, v, u)
        if change.v == 0.0 and change.u == 0.0:
            now = t
            break
        is_last = now + step >= t
        tried = t - now if is_last else step
        new_v, new_u, error = dormand_prince(system, v, u, tried)
        if not error <= tolerance and tried > _SMALLEST_STEP:
            step = _smaller(tried, error, tolerance)
            continue
        if not is_last:
            step = _larger(step, error, tolerance)
        if not new_v < peak:
            at_peak = True
            tried = _step_to_peak(system, v, u, peak, tried)
            new_v, new_u, error = dormand_prince(system, v, u, tried)
            is_last = now + tried >= t
        v = new_v
        u = new_u
        now = t if is_last else now + tried
    return _Trajectory(v, u, now, step), at_peak


@kernel
def izhikevich_next_spike(state: Records, shared: np.record, i: int, t: float) -> float:
    """Integrate neuron `i` up to `t` or to its peak; return the time of the peak, or infinity."""
    neuron = state[i]
    start = _Trajectory(neuron.v, neuron.u, neuron.since, neuron.step)
    system = _System(shared.a, shared.b, neuron.drive)
    end, at_peak = _integrate(start, system, shared.peak, shared.tolerance, t)
    neuron.v = end.v
    neuron.u = end.u
    neuron.since = end.now
    neuron.step = end.step
    return end.now if at_peak else math.inf


@kernel
def izhikevich_receive(state: Records, shared: np.record, i: int, weight: float, t: float) -> None:
    """Add a spike; the neuron has been integrated up to now."""
    state[i].v += weight


@kernel
def izhikevich_at_threshold(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Return whether neuron `i` is at or above its peak."""
    return state[i].v >= shared.peak


@kernel
def izhikevich_reset(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Reset neuron `i`; it never remains above its peak."""
    state[i].v = shared.c
    state[i].u += shared.d
    return False


@kernel
def izhikevich_membrane(state: Records, shared: np.record, i: int, t: float) -> float:
    """Return the membrane of neuron `i`, which has been integrated up to now."""
    return state[i].v


@kernel
def izhikevich_times(
    parameters: Izhikevich,
    drive: float,
    window: float,
    tau: float,
    scratch: Float64,
    times: Float64,
) -> int:
    """Write spike times; see `WindowOperations.times`. The drive is a current; `tau` is unused."""
    current = min(drive * parameters.drive, _STRONGEST)
    system = _System(parameters.a, parameters.b, current)
    v = parameters.rest
    neuron = _Trajectory(v, parameters.b * v, 0.0, _FIRST_STEP)
    n = 0
    while n < len(times) and drive > 0.0:
        end, at_peak = _integrate(neuron, system, parameters.peak, parameters.tolerance, window)
        if not at_peak or not end.now <= window:
            return n
        times[n] = end.now
        n += 1
        neuron = _Trajectory(parameters.c, end.u + parameters.d, end.now, end.step)
    return n


MODEL = NeuronModel(
    name="izhikevich",
    kind=Izhikevich,
    events=EventOperations(
        receive=izhikevich_receive,
        at_threshold=izhikevich_at_threshold,
        reset=izhikevich_reset,
        membrane=izhikevich_membrane,
        next_spike=izhikevich_next_spike,
    ),
    start=_start,
    shift=_shift,
    parameters=_PARAMETERS,
    check=_check,
    rest=lambda parameters, drive: rest_potential(parameters["b"], drive),
    fires_between_events=lambda tau, parameters: True,
    leaky=False,
    window=WindowOperations(settings=lambda tau: Izhikevich(), times=izhikevich_times),
)
