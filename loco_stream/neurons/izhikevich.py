"""Izhikevich neurons: v' = 0.04 v^2 + 5 v + 140 - u + I, u' = a (b v - u).

At the peak v := c, u := u + d.

No closed form exists, so each neuron is integrated between its own events by the embedded
Runge-Kutta pair of Dormand and Prince, order 5(4), with step sizes that keep the estimated error of
a step within a tolerance in mV; a step that passes the peak is shortened by bisection until it ends
there. Izhikevich, "Simple model of spiking neurons", IEEE Trans. Neural Networks 14 (2003); Dormand
and Prince, J. Comput. Appl. Math. 6 (1980).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.errors import ConfigError
from loco_stream.neurons.registry import EventOperations, NeuronModel, WindowOperations

__all__ = ["MODEL", "Izhikevich", "izhikevich_times", "rest_potential"]

LAST_FIRE = 0
V = 1
U = 2
SINCE = 3
STEP = 4
DRIVE = 5
A = 0
B = 1
C = 2
D = 3
PEAK = 4
TOLERANCE = 5
_FIRST_STEP = 0.1
_BISECTIONS = 60
_LARGEST_STEP = 5.0
_SMALLEST_STEP = 1e-9
_LARGEST = 1e4  # of any parameter, either way
_SMALLEST_TOLERANCE = 1e-14
_STRONGEST = 1e4  # of a current through a window: it fires a neuron as often as is counted


class Izhikevich(NamedTuple):
    """Regular spiking neurons of the 2003 paper.

    A, b, c, d, peak and tolerance in its units, ms and mV.

    `drive` is the current that stands for a drive of one threshold a window of 20 ms, and `rest`
    the membrane without current, the lower root of 0.04 v^2 + (5 - b) v + 140. Cells are (n, 6)
    float64: last spike, membrane v, recovery u, their time, step size, current I. Their numbers are
    the first six fields.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    peak: float = 30.0
    tolerance: float = 0.1
    drive: float = 7.0
    rest: float = -70.0


# The simulator is exact; the learner takes larger steps.
_PARAMETERS = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "peak": 30.0, "tolerance": 1e-6}


def _check(parameters: Any) -> None:
    for name in ("tolerance", "a"):
        if not parameters[name] > 0.0:
            raise ConfigError(f"{name} is {parameters[name]}; it must be above 0")
    for (
        name,
        value,
    ) in parameters.items():  # beyond, steps shrink until nobody could wait for the end
        if abs(value) > _LARGEST:
            raise ConfigError(f"{name} is {value}; allowed is at most {_LARGEST:g} either way")
    if parameters["tolerance"] < _SMALLEST_TOLERANCE:
        raise ConfigError(
            f"tolerance is {parameters['tolerance']}; allowed is {_SMALLEST_TOLERANCE:g} mV or more"
        )
    if not parameters["c"] < parameters["peak"]:
        raise ConfigError(
            f"c is {parameters['c']}; the reset must lie below peak = {parameters['peak']}"
        )


def rest_potential(b: float, drive: Any) -> Any:
    """Return the stable membrane without input for each drive, or -65 where there is none."""
    # 0.04 v^2 + (5 - b) v + 140 + drive = 0, lower root
    discriminant = (5.0 - b) ** 2 - 0.16 * (140.0 + drive)
    return np.where(
        discriminant >= 0.0, (b - 5.0 - np.sqrt(np.maximum(discriminant, 0.0))) / 0.08, -65.0
    )


def _start(
    v: Any,
    threshold: Any,
    drive: Any,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Any,
) -> tuple[Any, Any]:
    n = len(v)
    recovery = parameters["b"] * v
    cells = np.column_stack(
        (np.full(n, -np.inf), v, recovery, np.zeros(n), np.full(n, _FIRST_STEP), drive)
    )
    return np.ascontiguousarray(cells), np.array([parameters[name] for name in _PARAMETERS])


def _shift(cells: Any, numbers: Any, duration: float) -> None:
    cells[:, SINCE] -= duration


@kernel
def slope(v: float, u: float, drive: float, a: float, b: float) -> tuple[float, float]:
    """Return (v', u')."""
    return 0.04 * v * v + 5.0 * v + 140.0 - u + drive, a * (b * v - u)


@kernel
def dormand_prince(
    v: float, u: float, drive: float, a: float, b: float, h: float
) -> tuple[float, float, float]:
    """Take one step `h`; return v and u of fifth order and the larger estimated error of the two."""
    v1, u1 = slope(v, u, drive, a, b)
    v2, u2 = slope(v + h * v1 / 5, u + h * u1 / 5, drive, a, b)
    v3, u3 = slope(v + h * (3 * v1 + 9 * v2) / 40, u + h * (3 * u1 + 9 * u2) / 40, drive, a, b)
    a1 = 44 / 45
    a2 = -56 / 15
    a3 = 32 / 9
    v4, u4 = slope(
        v + h * (a1 * v1 + a2 * v2 + a3 * v3), u + h * (a1 * u1 + a2 * u2 + a3 * u3), drive, a, b
    )
    a1 = 19372 / 6561
    a2 = -25360 / 2187
    a3 = 64448 / 6561
    a4 = -212 / 729
    next_v = v + h * (a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4)
    next_u = u + h * (a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4)
    v5, u5 = slope(next_v, next_u, drive, a, b)
    a1 = 9017 / 3168
    a2 = -355 / 33
    a3 = 46732 / 5247
    a4 = 49 / 176
    a5 = -5103 / 18656
    next_v = v + h * (a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4 + a5 * v5)
    next_u = u + h * (a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4 + a5 * u5)
    v6, u6 = slope(next_v, next_u, drive, a, b)
    b1 = 35 / 384
    b3 = 500 / 1113
    b4 = 125 / 192
    b5 = -2187 / 6784
    b6 = 11 / 84
    next_v = v + h * (b1 * v1 + b3 * v3 + b4 * v4 + b5 * v5 + b6 * v6)
    next_u = u + h * (b1 * u1 + b3 * u3 + b4 * u4 + b5 * u5 + b6 * u6)
    v7, u7 = slope(next_v, next_u, drive, a, b)
    e1 = 71 / 57600
    e3 = -71 / 16695
    e4 = 71 / 1920
    e5 = -17253 / 339200
    e6 = 22 / 525
    e7 = -1 / 40
    error_v = h * (e1 * v1 + e3 * v3 + e4 * v4 + e5 * v5 + e6 * v6 + e7 * v7)
    error_u = h * (e1 * u1 + e3 * u3 + e4 * u4 + e5 * u5 + e6 * u6 + e7 * u7)
    return next_v, next_u, max(abs(error_v), abs(error_u))


@kernel
def izh_crossing(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Integrate neuron `i` up to `t` or to its peak.

    Return the time of the peak, or infinity if it was not reached.
    """
    a = numbers[A]
    b = numbers[B]
    peak = numbers[PEAK]
    tolerance = numbers[TOLERANCE]
    drive = cells[i, DRIVE]
    v = cells[i, V]
    u = cells[i, U]
    now = cells[i, SINCE]
    h = cells[i, STEP]
    reached = v >= peak
    while now < t and not reached:
        dv, du = slope(v, u, drive, a, b)
        if dv == 0.0 and du == 0.0:
            now = t
            break
        last = now + h >= t
        tried = t - now if last else h
        new_v, new_u, error = dormand_prince(v, u, drive, a, b, tried)
        if not error <= tolerance and tried > _SMALLEST_STEP:
            h = tried * (
                max(0.2, 0.9 * (tolerance / error) ** 0.2) if math.isfinite(error) else 0.2
            )
            continue
        if not last:
            h = min(_LARGEST_STEP, h * min(5.0, 0.9 * (tolerance / max(error, 1e-300)) ** 0.2))
        if not new_v < peak:
            reached = True
            low = 0.0
            high = tried
            for _ in range(_BISECTIONS):
                tried = 0.5 * (low + high)
                new_v, new_u, error = dormand_prince(v, u, drive, a, b, tried)
                if new_v < peak:
                    low = tried
                else:
                    high = tried
            tried = high
            new_v, new_u, error = dormand_prince(v, u, drive, a, b, tried)
            last = now + tried >= t
        v = new_v
        u = new_u
        now = t if last else now + tried
    cells[i, V] = v
    cells[i, U] = u
    cells[i, SINCE] = now
    cells[i, STEP] = h
    return now if reached else math.inf


@kernel
def izh_receive(cells: Any, numbers: Any, i: int, weight: float, t: float) -> None:
    """Add a spike that arrives now; the neuron was already integrated up to now."""
    cells[i, V] += weight


@kernel
def izh_ready(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return whether neuron `i` is at or above its peak."""
    return cells[i, V] >= numbers[PEAK]


@kernel
def izh_fire(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Reset neuron `i`; it is never above its peak afterwards."""
    cells[i, V] = numbers[C]
    cells[i, U] += numbers[D]
    return False


@kernel
def izh_membrane(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return the membrane of neuron `i`; it was already integrated up to now."""
    return cells[i, V]


@kernel
def izhikevich_times(
    cell: Izhikevich, drive: Any, window: Any, tau: Any, room: Any, times: Any
) -> Any:
    """Write when a neuron fires; see `WindowOperations.times`.

    The drive is a current, `tau` means nothing here.
    """
    own = room[0]
    numbers = room[1]
    numbers[A] = cell.a
    numbers[B] = cell.b
    numbers[C] = cell.c
    numbers[D] = cell.d
    numbers[PEAK] = cell.peak
    numbers[TOLERANCE] = cell.tolerance
    own[V] = cell.rest
    own[U] = cell.b * cell.rest
    own[SINCE] = 0.0
    own[STEP] = _FIRST_STEP
    own[DRIVE] = min(drive * cell.drive, _STRONGEST)
    n = 0
    while n < times.shape[0] and drive > 0.0:
        when = izh_crossing(room, numbers, 0, window)
        if not when <= window:
            return n
        times[n] = when
        n += 1
        izh_fire(room, numbers, 0, when)
    return n


MODEL = NeuronModel(
    name="izhikevich",
    kind=Izhikevich,
    events=EventOperations(
        receive=izh_receive,
        ready=izh_ready,
        fire=izh_fire,
        membrane=izh_membrane,
        crossing=izh_crossing,
    ),
    start=_start,
    shift=_shift,
    parameters=_PARAMETERS,
    check=_check,
    rest=lambda parameters, drive: rest_potential(parameters["b"], drive),
    fires_alone=lambda tau, parameters: True,
    leaky=False,
    window=WindowOperations(settings=lambda tau: Izhikevich(), times=izhikevich_times),
)
