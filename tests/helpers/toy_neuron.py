"""A neuron model from outside the package: it adds what arrives, forgets nothing, and starts anew when it fires."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loco_stream.errors import ConfigError
from loco_stream.jit import kernel
from loco_stream.neurons import DenseLayer, EventOperations, NeuronModel

LAST_FIRE, SUM, THRESHOLD = 0, 1, 2


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
def dense(
    cell, times, indices, n_events, weights, offset, n_post, window, tau, threshold, v, peak, slow, cells, out_times,
    out_indices,
):  # fmt: skip
    for i in range(n_post):
        v[i] = 0.0
        peak[i] = 0.0
    capacity = min(out_times.shape[0], out_indices.shape[0])
    count = 0
    k = 0
    while k < n_events:
        first = k
        while k < n_events and times[k] == times[first]:
            for i in range(n_post):
                v[i] += np.float32(cell.jump) * weights[offset + indices[k] * n_post + i]
            k += 1
        for i in range(n_post):
            peak[i] = max(peak[i], v[i])
            if v[i] >= threshold[i]:
                if count >= capacity:
                    return -1
                out_times[count] = times[first]
                out_indices[count] = i
                count += 1
                v[i] = 0.0
    return count


MODEL = NeuronModel(
    name="counter",
    kind=Counter,
    events=EventOperations(receive=receive, ready=ready, fire=fire, membrane=membrane),
    start=start,
    shift=lambda cells, numbers, duration: None,
    parameters={"jump": 1.0},
    check=check,
    dense=DenseLayer(settings=lambda tau: Counter(), run=dense),
)
