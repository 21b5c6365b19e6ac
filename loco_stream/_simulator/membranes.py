"""Membranes of chosen neurons, computed after a run from their input and their spikes.

Nothing is recorded while the net runs, and neurons that were not chosen cost nothing. Each chosen
neuron is run once more by itself with the operations of its model, and is made to fire when it did.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loco_stream._arrays import AnyFloat, Float64, Records
from loco_stream._compiler.jit import entry
from loco_stream._compiler.structs import struct_dtype
from loco_stream._simulator.layers import Layer
from loco_stream.neurons._operations import (
    Neurons,
    advance_to,
    membrane,
    next_spike,
    receive,
    reset,
)

# What happens at one time happens in this order.
ARRIVAL = 0
SPIKE = 1
SAMPLE = 2
EVENT = struct_dtype("time", "weight", kind="i8")


class History(NamedTuple):
    """What happened to one neuron in a run; times in ms."""

    arrivals: AnyFloat  # (n,) in any order
    weights: AnyFloat  # (n,) of the arrivals
    spikes: AnyFloat  # sorted


def state_at(layer: Layer, neuron: int, v: float) -> Neurons:
    """Return one neuron of a layer at time 0 with the membrane `v`."""
    state, shared = layer.start(np.full(layer.n_post, v))
    return Neurons(layer.model.kind(), state[[neuron]], shared)


def membrane_at(start: Neurons, history: History, samples: Float64) -> Float64:
    """Return the membrane of one neuron at the times `samples`.

    start: the neuron at time 0; it is not changed
    samples: sorted times in ms. What happens at a time happens before its sample.
    """
    membranes = np.zeros(len(samples))
    own = start._replace(state=start.state.copy(), shared=start.shared.copy())
    run_alone(own, _events(history, samples), membranes)
    return membranes


def _events(history: History, samples: Float64) -> Records:
    """Return arrivals, spikes and samples as records of EVENT, in order."""
    times = np.concatenate((history.arrivals, history.spikes, samples)).astype(np.float64)
    n_arrivals = len(history.arrivals)
    kinds = np.full(len(times), SPIKE)
    kinds[:n_arrivals] = ARRIVAL
    kinds[len(times) - len(samples) :] = SAMPLE
    events = np.zeros(len(times), EVENT)
    events["time"] = times
    events["kind"] = kinds
    events["weight"][:n_arrivals] = history.weights
    return events[np.lexsort((kinds, times))]


@entry
def run_alone(neurons: Neurons, events: Records, membranes: Float64) -> None:
    """Run neuron 0 through events (n,) of EVENT; write its membrane at each sample (n_samples,)."""
    n_samples = 0
    for k in range(len(events)):
        event = events[k]
        t = event.time
        advance_to(neurons, t)
        next_spike(neurons, 0, t)  # brings models without a closed form up to now
        if event.kind == ARRIVAL:
            receive(neurons, 0, event.weight, t)
        elif event.kind == SPIKE:
            reset(neurons, 0, t)
            neurons.state[0].last_spike = t
        else:
            membranes[n_samples] = membrane(neurons, 0, t)
            n_samples += 1
