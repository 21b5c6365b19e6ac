"""Izhikevich neurons one by one: v' = 0.04 v^2 + 5 v + 140 - u + I, u' = a (b v - u); at the peak v := c, u := u + d.

No closed form exists, so each neuron is integrated between its own events by the embedded Runge-Kutta pair of
Dormand and Prince, order 5(4), with step sizes that keep the estimated error of a step within a tolerance in mV;
a step that passes the peak is shortened by bisection until it ends there. Izhikevich, "Simple model of
spiking neurons", IEEE Trans. Neural Networks 14 (2003); Dormand and Prince, J. Comput. Appl. Math. 6 (1980).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

__all__ = ["Izhikevich", "izh_cells", "izh_crossing", "izh_fire", "izh_ready", "izh_receive", "rest_potential"]

LAST_FIRE, V, U, SINCE, STEP, DRIVE = 0, 1, 2, 3, 4, 5
A, B, C, D, PEAK, TOLERANCE = 0, 1, 2, 3, 4, 5
_FIRST_STEP = 0.1
_BISECTIONS = 60
_LARGEST_STEP = 5.0
_SMALLEST_STEP = 1e-9


class Izhikevich(NamedTuple):
    """Says that cells are (n, 6) float64: last spike, membrane v, recovery u, their time, step size, current I.

    Times are in ms, potentials in mV. Their numbers are (6,) float64: a, b, c, d, peak, tolerance.
    """

    code: int = 2


def rest_potential(b: float, drive: Any) -> Any:
    """Return the stable membrane without input for each drive, or -65 where there is none."""
    # 0.04 v^2 + (5 - b) v + 140 + drive = 0, lower root
    discriminant = (5.0 - b) ** 2 - 0.16 * (140.0 + drive)
    return np.where(discriminant >= 0.0, (b - 5.0 - np.sqrt(np.maximum(discriminant, 0.0))) / 0.08, -65.0)


def izh_cells(
    v: Any, drive: Any, a: float, b: float, c: float, d: float, peak: float, tolerance: float
) -> tuple[Any, Any]:
    """Return cells and numbers at time 0 for membranes `v`, with the recovery at b v."""
    n = len(v)
    cells = np.column_stack((np.full(n, -np.inf), v, b * v, np.zeros(n), np.full(n, _FIRST_STEP), drive))
    return np.ascontiguousarray(cells), np.array([a, b, c, d, peak, tolerance])


@njit(cache=True)
def slope(v: float, u: float, drive: float, a: float, b: float) -> tuple[float, float]:
    """Return (v', u')."""
    return 0.04 * v * v + 5.0 * v + 140.0 - u + drive, a * (b * v - u)


@njit(cache=True)
def dormand_prince(v: float, u: float, drive: float, a: float, b: float, h: float) -> tuple[float, float, float]:
    """Take one step `h`; return v and u of fifth order and the larger estimated error of the two."""
    v1, u1 = slope(v, u, drive, a, b)
    v2, u2 = slope(v + h * v1 / 5, u + h * u1 / 5, drive, a, b)
    v3, u3 = slope(v + h * (3 * v1 + 9 * v2) / 40, u + h * (3 * u1 + 9 * u2) / 40, drive, a, b)
    a1, a2, a3 = 44 / 45, -56 / 15, 32 / 9
    v4, u4 = slope(v + h * (a1 * v1 + a2 * v2 + a3 * v3), u + h * (a1 * u1 + a2 * u2 + a3 * u3), drive, a, b)
    a1, a2, a3, a4 = 19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729
    next_v = v + h * (a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4)
    next_u = u + h * (a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4)
    v5, u5 = slope(next_v, next_u, drive, a, b)
    a1, a2, a3, a4, a5 = 9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656
    next_v = v + h * (a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4 + a5 * v5)
    next_u = u + h * (a1 * u1 + a2 * u2 + a3 * u3 + a4 * u4 + a5 * u5)
    v6, u6 = slope(next_v, next_u, drive, a, b)
    b1, b3, b4, b5, b6 = 35 / 384, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84
    next_v = v + h * (b1 * v1 + b3 * v3 + b4 * v4 + b5 * v5 + b6 * v6)
    next_u = u + h * (b1 * u1 + b3 * u3 + b4 * u4 + b5 * u5 + b6 * u6)
    v7, u7 = slope(next_v, next_u, drive, a, b)
    e1, e3, e4, e5, e6, e7 = 71 / 57600, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40
    error_v = h * (e1 * v1 + e3 * v3 + e4 * v4 + e5 * v5 + e6 * v6 + e7 * v7)
    error_u = h * (e1 * u1 + e3 * u3 + e4 * u4 + e5 * u5 + e6 * u6 + e7 * u7)
    return next_v, next_u, max(abs(error_v), abs(error_u))


@njit(cache=True)
def izh_crossing(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Integrate neuron `i` up to `t` or to its peak; return the time of the peak, or infinity if it was not reached."""
    a, b = numbers[A], numbers[B]
    peak, tolerance = numbers[PEAK], numbers[TOLERANCE]
    drive = cells[i, DRIVE]
    v, u, now, h = cells[i, V], cells[i, U], cells[i, SINCE], cells[i, STEP]
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
            h = tried * (max(0.2, 0.9 * (tolerance / error) ** 0.2) if math.isfinite(error) else 0.2)
            continue
        if not last:
            h = min(_LARGEST_STEP, h * min(5.0, 0.9 * (tolerance / max(error, 1e-300)) ** 0.2))
        if not new_v < peak:
            reached = True
            low, high = 0.0, tried
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
        v, u = new_v, new_u
        now = t if last else now + tried
    cells[i, V] = v
    cells[i, U] = u
    cells[i, SINCE] = now
    cells[i, STEP] = h
    return now if reached else math.inf


@njit(cache=True)
def izh_receive(cells: Any, numbers: Any, i: int, weight: float) -> None:
    """Add a spike that arrives now; the neuron was already integrated up to now."""
    cells[i, V] += weight


@njit(cache=True)
def izh_ready(cells: Any, numbers: Any, i: int) -> Any:
    """Return whether neuron `i` is at or above its peak."""
    return cells[i, V] >= numbers[PEAK]


@njit(cache=True)
def izh_fire(cells: Any, numbers: Any, i: int) -> Any:
    """Reset neuron `i`; it is never above its peak afterwards."""
    cells[i, V] = numbers[C]
    cells[i, U] += numbers[D]
    return False
