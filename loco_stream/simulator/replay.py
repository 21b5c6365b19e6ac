"""Membranes of chosen neurons, worked out after a run from what arrived at them and when they fired.

Between events a membrane is known in closed form, so nothing needs to be recorded while the net runs, and the
neurons that nobody asked for cost nothing. Izhikevich neurons are integrated once more, one by one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.neurons.izhikevich import U, V, izh_cells, izh_crossing, izh_fire, izh_ready
from loco_stream.simulator.layers import Layer

__all__ = ["Start", "replay"]


class Start(NamedTuple):
    """One neuron at time 0."""

    v: float
    adaptation: float = 0.0  # of the threshold of an ALIF neuron
    recovery: float = 0.0  # u of an Izhikevich neuron
    ready_at: float = -math.inf  # ms


def replay(
    layer: Layer, neuron: int, start: Start, arrivals: NDArray[Any], weights: NDArray[Any], fired: NDArray[Any],
    samples: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the membrane of one neuron at the times `samples`.

    Parameters
    ----------
    layer, neuron, start
        Its model, number and state at time 0.
    arrivals, weights
        When spikes reached it (in ms, any order) and how strongly.
    fired
        When it fired, sorted.
    samples
        Sorted times in ms; what happens at a time happens before its sample.
    """
    drive = float(layer.drive[neuron])
    if layer.neuron == "izhikevich":
        return _replay_izhikevich(layer, drive, start, arrivals, weights, samples)
    steps = sorted(
        [(float(t), 0, float(w)) for t, w in zip(arrivals, weights, strict=True)]
        + [(float(t), 1, 0.0) for t in fired]
        + [(float(t), 2, 0.0) for t in samples],
        key=lambda step: step[:2],
    )
    tau_adapt = layer.model.get("tau_adapt", 1.0)
    adapt = layer.model.get("adapt", 0.0)
    threshold = float(layer.threshold[neuron])
    v, adaptation, ready, now = start.v, start.adaptation, start.ready_at, 0.0
    trace: list[float] = []
    for t, kind, weight in steps:
        passed = t - max(now, ready)
        if passed > 0.0:
            v = drive + (v - drive) * math.exp(-passed / layer.tau)
        adaptation *= math.exp((now - t) / tau_adapt)
        now = t
        if kind == 2:
            trace.append(v)
        elif kind == 1:
            v = 0.0 if layer.reset_zero else v - threshold - adaptation
            adaptation += adapt
            ready = t + layer.refractory
        elif ready <= t:
            v += weight
    return np.array(trace)


def _replay_izhikevich(
    layer: Layer, drive: float, start: Start, arrivals: NDArray[Any], weights: NDArray[Any], samples: NDArray[Any]
) -> NDArray[np.float64]:
    cells, numbers = izh_cells(np.array([start.v]), np.array([drive]), **layer.model)
    cells[0, U] = start.recovery
    times, places = np.unique(arrivals, return_inverse=True)
    sums = np.bincount(places, weights=weights, minlength=len(times))
    steps = sorted(
        [(float(t), 0, float(w)) for t, w in zip(times, sums, strict=True)] + [(float(t), 1, 0.0) for t in samples],
        key=lambda step: step[:2],
    )
    trace: list[float] = []
    for t, kind, weight in steps:
        while izh_crossing(cells, numbers, 0, t) <= t:
            izh_fire(cells, numbers, 0)
        if kind == 1:
            trace.append(float(cells[0, V]))
            continue
        cells[0, V] += weight
        if izh_ready(cells, numbers, 0):
            izh_fire(cells, numbers, 0)
    return np.array(trace)
