"""Membranes of chosen neurons, worked out after a run from what arrived at them and when they fired.

Nothing needs to be recorded while the net runs, and the neurons that nobody asked for cost nothing:
each chosen one is run once more by itself, with the operations of its model, and made to fire when
it did.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import entry
from loco_stream.neurons.operations import crossing, enter, fire, membrane, receive
from loco_stream.simulator.event_loop import LAST_FIRE
from loco_stream.simulator.layers import Layer

__all__ = ["Start", "replay", "start_of"]

ARRIVAL = 0
SPIKE = 1
SAMPLE = 2


class Start(NamedTuple):
    """One neuron at time 0: cells (1, k) and numbers as its model has them."""

    cells: NDArray[np.float64]
    numbers: NDArray[np.float64]


def start_of(layer: Layer, neuron: int, v: float) -> Start:
    """Return the start of one neuron of a layer from the membrane `v`."""
    cells, numbers = layer.start(np.full(layer.n_post, v))
    return Start(cells[[neuron]], numbers)


def replay(
    layer: Layer,
    start: Start,
    arrivals: NDArray[Any],
    weights: NDArray[Any],
    fired: NDArray[Any],
    samples: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the membrane of one neuron at the times `samples`.

    Parameters
    ----------
    layer, start
        Its model and its state at time 0, which is not changed.
    arrivals, weights
        When spikes reached it (in ms, any order) and how strongly.
    fired
        When it fired, sorted.
    samples
        Sorted times in ms; what happens at a time happens before its sample.
    """
    times = np.concatenate((arrivals, fired, samples)).astype(np.float64)
    kinds = np.repeat(np.array([ARRIVAL, SPIKE, SAMPLE]), [len(arrivals), len(fired), len(samples)])
    jumps = np.concatenate((weights, np.zeros(len(fired) + len(samples)))).astype(np.float64)
    order = np.lexsort((kinds, times))
    trace = np.zeros(len(samples))
    run_alone(
        layer.model.kind(),
        start.cells.copy(),
        start.numbers.copy(),
        times[order],
        kinds[order],
        jumps[order],
        trace,
    )
    return trace


@entry
def run_alone(
    model: Any, cells: Any, numbers: Any, times: Any, kinds: Any, jumps: Any, trace: Any
) -> None:
    """Run neuron 0 through arrivals, spikes and samples in order of time.

    Write its membrane at each sample.
    """
    n_samples = 0
    for k in range(times.shape[0]):
        t = times[k]
        enter(model, cells, numbers, t)
        crossing(model, cells, numbers, 0, t)  # brings models without a closed form up to now
        if kinds[k] == ARRIVAL:
            receive(model, cells, numbers, 0, jumps[k], t)
        elif kinds[k] == SPIKE:
            fire(model, cells, numbers, 0, t)
            cells[0, LAST_FIRE] = t
        else:
            trace[n_samples] = membrane(model, cells, numbers, 0, t)
            n_samples += 1
