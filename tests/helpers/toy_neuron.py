"""A neuron model from outside the package: it sums its input and is reset to 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loco_stream.errors import ConfigError
from loco_stream.neurons import (
    EventOperations,
    NeuronModel,
    WindowOperations,
    kernel,
    struct_dtype,
)

STATE = struct_dtype("last_spike", "total", "threshold")
SHARED = struct_dtype("jump")


class Counter(NamedTuple):
    jump: float = 1.0


def start(v, threshold, drive, tau, refractory, reset_zero, parameters):
    state = np.zeros(len(v), STATE)
    state["last_spike"] = -np.inf
    state["total"] = v
    state["threshold"] = threshold
    return state, np.array([(parameters["jump"],)], SHARED)


def check(parameters):
    if not parameters["jump"] > 0.0:
        raise ConfigError(f"`jump` must be above 0, got {parameters['jump']}")


@kernel
def receive(state, shared, i, weight, t):
    state[i].total += shared.jump * weight


@kernel
def at_threshold(state, shared, i, t):
    return state[i].total >= state[i].threshold


@kernel
def reset(state, shared, i, t):
    state[i].total = 0.0
    return False


@kernel
def membrane(state, shared, i, t):
    return state[i].total


@kernel
def times_in_window(parameters, drive, window, tau, scratch, times):
    """Write the times at which a constant current has added up to another threshold."""
    n = 0
    while n < times.shape[0] and (n + 1) * window <= parameters.jump * drive * window:
        n += 1
        times[n - 1] = n * window / (parameters.jump * drive)
    return n


MODEL = NeuronModel(
    name="counter",
    kind=Counter,
    events=EventOperations(
        receive=receive, at_threshold=at_threshold, reset=reset, membrane=membrane
    ),
    start=start,
    shift=lambda state, shared, duration: None,
    parameters={"jump": 1.0},
    check=check,
    window=WindowOperations(settings=lambda tau: Counter(), times=times_in_window),
)
