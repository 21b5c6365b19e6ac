"""A neuron model from outside the package.

It adds what arrives, forgets nothing, and starts anew when it fires.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.errors import ConfigError
from loco_stream.neurons import EventOperations, NeuronModel, WindowOperations

LAST_FIRE = 0
SUM = 1
THRESHOLD = 2


class Counter(NamedTuple):
    jump: float = 1.0


def start(v, threshold, drive, tau, refractory, reset_zero, parameters):
    cells = np.ascontiguousarray(np.column_stack((np.full(len(v), -np.inf), v, threshold)))
    return cells, np.array([parameters["jump"]])


def check(parameters):
    if not parameters["jump"] > 0.0:
        raise ConfigError(f"jump is {parameters['jump']}; it must be above 0")


@kernel
def receive(cells, numbers, i, weight, t):
    cells[i, SUM] += numbers[0] * weight


@kernel
def ready(cells, numbers, i, t):
    return cells[i, SUM] >= cells[i, THRESHOLD]


@kernel
def fire(cells, numbers, i, t):
    cells[i, SUM] = 0.0
    return False


@kernel
def membrane(cells, numbers, i, t):
    return cells[i, SUM]


@kernel
def times_in_window(cell, drive, window, tau, room, times):
    """Write the times at which a constant current has added up to another threshold."""
    n = 0
    while n < times.shape[0] and (n + 1) * window <= cell.jump * drive * window:
        n += 1
        times[n - 1] = n * window / (cell.jump * drive)
    return n


MODEL = NeuronModel(
    name="counter",
    kind=Counter,
    events=EventOperations(receive=receive, ready=ready, fire=fire, membrane=membrane),
    start=start,
    shift=lambda cells, numbers, duration: None,
    parameters={"jump": 1.0},
    check=check,
    window=WindowOperations(settings=lambda tau: Counter(), times=times_in_window),
)
