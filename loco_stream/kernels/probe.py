"""Recording chosen membranes of a net beside its spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.kernels.layer import Layer
from loco_stream.kernels.replay import Start, replay
from loco_stream.raster import SpikeRecord

__all__ = ["MembraneProbe", "Simulation"]


class Simulation(Protocol):
    """What runs a net; both ways to run one have it."""

    dtype: np.dtype[Any]
    index_dtype: np.dtype[Any]

    def reset(self) -> None: ...
    def begin(self, membranes: list[NDArray[np.float64]]) -> None: ...
    def run(self, times: NDArray[Any], indices: NDArray[Any], duration: float) -> int: ...
    def spikes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]: ...
    def counts_by_layer(self) -> list[NDArray[np.int64]]: ...
    def start_of(self, layer: int, neuron: int) -> Start: ...
    def column(self, layer: int, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def under_way(self, layer: int) -> tuple[NDArray[Any], ...]: ...


class MembraneProbe:
    """Notes the state of the chosen neurons before a run and works out their membranes after it."""

    def __init__(self, chosen: Any, step: float, duration: float, layers: list[Layer]) -> None:
        if not (np.isscalar(step) and 0.0 < step < np.inf):  # type: ignore[operator]
            raise InputError(f"membrane_step is {step!r}; it must be above 0 ms")
        if not hasattr(chosen, "items"):
            raise InputError(f"membranes is {chosen!r}; it must map layers to lists of neurons, as in {{0: [1, 2]}}")
        self.layers = layers
        self.neurons: dict[int, list[int]] = {}
        for layer, neurons in chosen.items():
            if layer not in range(len(layers)):
                raise InputError(f"membranes names layer {layer!r}; the net has the layers 0 to {len(layers) - 1}")
            self.neurons[layer] = [int(n) for n in np.atleast_1d(neurons)]
            for neuron in self.neurons[layer]:
                if not 0 <= neuron < layers[layer].n_post:
                    raise InputError(
                        f"membranes names neuron {neuron} of layer {layer}, which has 0 to {layers[layer].n_post - 1}"
                    )
        self.samples = np.arange(int(duration / step * (1.0 + 1e-12)) + 1) * step

    def note_start(self, net: Simulation) -> None:
        """Note the state of the chosen neurons, before the run."""
        self.starts = {(k, n): net.start_of(k, n) for k, neurons in self.neurons.items() for n in neurons}
        self.pending = {k: net.under_way(k) for k in self.neurons}

    def add_to(
        self, record: SpikeRecord, net: Simulation, times: NDArray[Any], indices: NDArray[Any]
    ) -> SpikeRecord:
        """Return the record with the membranes, given the input spikes of the run."""
        membranes = {}
        for k, neurons in self.neurons.items():
            sent, rows = (times, indices) if k == 0 else record.of(k - 1)
            if self.layers[k].recurrent is not None:
                own_times, own = record.of(k)
                sent = np.concatenate((sent, own_times))
                rows = np.concatenate((rows, own + self.layers[k].n_pre))
            traces = [self._trace(record, net, k, n, np.asarray(sent), np.asarray(rows)) for n in neurons]
            membranes[k] = np.array(traces).T
        return replace(record, membrane_times=self.samples, membranes=membranes)

    def _trace(
        self, record: SpikeRecord, net: Simulation, k: int, neuron: int, sent: NDArray[Any], rows: NDArray[Any]
    ) -> NDArray[np.float64]:
        weight, delay = net.column(k, neuron)
        origin, row, due = self.pending[k]
        late = origin + delay[row] >= due  # what is under way and has not reached this neuron yet
        arrivals = np.concatenate((sent + delay[rows], (origin + delay[row])[late]))
        weights = np.concatenate((weight[rows], weight[row][late]))
        near = arrivals <= record.duration  # false where there is no connection, whose delay is NaN
        when, who = record.of(k)
        start = self.starts[k, neuron]
        return replay(self.layers[k], neuron, start, arrivals[near], weights[near], when[who == neuron], self.samples)
