"""Recording chosen membranes of a net beside its spikes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.simulator.layers import Layer
from loco_stream.simulator.record import SpikeRecord
from loco_stream.simulator.replay import Start, replay

__all__ = ["MembraneProbe", "Simulation"]


_MOST_SAMPLES = 10_000_000


class Simulation(Protocol):
    """What runs a net; both ways to run one have it."""

    dtype: np.dtype[Any]
    index_dtype: np.dtype[Any]

    def copy(self) -> Simulation:
        """Return the same net with numbers of its own, at rest."""
        ...

    def reset(self) -> None:
        """Put all neurons to rest."""
        ...

    def begin(self, membranes: list[NDArray[np.float64]]) -> None:
        """Start from given membranes."""
        ...

    def run(self, times: NDArray[Any], indices: NDArray[Any], duration: float) -> int:
        """Return -1, or the number of the first bad event."""
        ...

    def spikes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Return times, neurons and the bounds of layers in them."""
        ...

    def counts_by_layer(self) -> list[NDArray[np.int64]]:
        """Return how often each neuron fired."""
        ...

    def start_of(self, layer: int, neuron: int) -> Start:
        """Return the state of one neuron at time 0, before a run."""
        ...

    def column(self, layer: int, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay of what reaches one neuron."""
        ...

    def under_way(self, layer: int) -> tuple[NDArray[Any], ...]:
        """Return origin, row and next arrival of spikes under way."""
        ...


class MembraneProbe:
    """Notes the state of the chosen neurons before a run and works out their membranes after it."""

    def __init__(self, chosen: Any, step: float, duration: float, layers: list[Layer]) -> None:
        if not (isinstance(step, (int, float)) and 0.0 < step < np.inf):
            raise InputError(f"membrane_step is {step!r}; it must be above 0 ms")
        if not hasattr(chosen, "items"):
            raise InputError(
                f"membranes is {chosen!r}; it must map layers to lists of neurons, as in {{0: [1, 2]}}"
            )
        self.layers = layers
        self.neurons: dict[int, list[int]] = {}
        for layer, neurons in chosen.items():
            if not isinstance(layer, (int, np.integer)) or layer not in range(len(layers)):
                raise InputError(
                    f"membranes names layer {layer!r}; the net has the layers 0 to {len(layers) - 1}"
                )
            own = np.atleast_1d(neurons)
            if own.size and own.dtype.kind not in "iu":
                raise InputError(
                    f"membranes names neurons of type {own.dtype} in layer {layer}; give whole numbers"
                )
            self.neurons[int(layer)] = [int(n) for n in own]
            for neuron in self.neurons[int(layer)]:
                if not 0 <= neuron < layers[layer].n_post:
                    raise InputError(
                        f"membranes names neuron {neuron} of layer {layer}, which has 0 to {layers[layer].n_post - 1}"
                    )
        if duration > _MOST_SAMPLES * step:
            raise InputError(
                f"membrane_step is {step!r}; for {duration:g} ms it must be {duration / _MOST_SAMPLES:g} ms or more"
            )
        n_samples = int(duration / step * (1.0 + 1e-12)) + 1
        self.samples: NDArray[np.float64] = np.arange(n_samples, dtype=np.float64) * step

    def note_start(self, net: Simulation) -> None:
        """Note the state of the chosen neurons, before the run."""
        self.starts = {
            (k, n): net.start_of(k, n) for k, neurons in self.neurons.items() for n in neurons
        }
        self.pending = {k: net.under_way(k) for k in self.neurons}

    def add_to(
        self, record: SpikeRecord, net: Simulation, times: NDArray[Any], indices: NDArray[Any]
    ) -> SpikeRecord:
        """Return the record with the membranes, given the input spikes of the run."""
        when, who, bounds = net.spikes()  # not rounded, as those of the record may be
        layers = [(when[a:b], who[a:b]) for a, b in pairwise(bounds)]
        membranes = {}
        for k, neurons in self.neurons.items():
            sent, rows = (times, indices) if k == 0 else layers[k - 1]
            if self.layers[k].recurrent is not None:
                sent = np.concatenate((sent, layers[k][0]))
                rows = np.concatenate((rows, layers[k][1] + self.layers[k].n_pre))
            traces = [
                self._trace(record.duration, net, k, n, sent, rows, layers[k]) for n in neurons
            ]
            membranes[k] = np.array(traces, np.float64).reshape(len(neurons), len(self.samples)).T
        return replace(record, membrane_times=self.samples, membranes=membranes)

    def _trace(
        self,
        duration: float,
        net: Simulation,
        k: int,
        neuron: int,
        sent: NDArray[Any],
        rows: NDArray[Any],
        fired: tuple[NDArray[Any], NDArray[Any]],
    ) -> NDArray[np.float64]:
        weight, delay = net.column(k, neuron)
        origin, row, due = self.pending[k]
        late = origin + delay[row] >= due  # what is under way and has not reached this neuron yet
        arrivals = np.concatenate((sent + delay[rows], (origin + delay[row])[late]))
        weights = np.concatenate((weight[rows], weight[row][late]))
        near = arrivals <= duration  # false where there is no connection, whose delay is NaN
        when, who = fired
        start = self.starts[k, neuron]
        return replay(
            self.layers[k], start, arrivals[near], weights[near], when[who == neuron], self.samples
        )
