"""What `Network` requires of the two classes that run a net."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from loco_stream.neurons.operations import Neurons


class Spikes(NamedTuple):
    """The spikes of a run, layer after layer, sorted by time and neuron."""

    times: NDArray[np.floating]  # (n,) in ms
    indices: NDArray[np.integer]  # (n,) neurons, counted from 0 within their layer
    bounds: NDArray[np.int64]  # (layers + 1,): layer l is bounds[l] : bounds[l + 1]


class UnderWay(NamedTuple):
    """Spikes on their way to a layer, (n,) each."""

    origin: NDArray[np.float64]  # ms, when the spike was fired
    row: NDArray[np.int64]  # presynaptic neuron, as in `Connections`
    next_arrival: NDArray[np.float64]  # ms, when it next arrives at some neuron


class SpikingNet(Protocol):
    """Runs a net; `DenseNet` and `QueuedNet` are the two implementations."""

    dtype: np.dtype[Any]
    index_dtype: np.dtype[Any]

    def copy(self) -> SpikingNet:
        """Return the same net with a state of its own, at rest."""
        ...

    def reset(self) -> None:
        """Set all neurons to rest."""
        ...

    def begin(self, membranes: list[NDArray[np.float64]]) -> None:
        """Start from given membranes, one array (n_post,) per layer."""
        ...

    def run(self, times: NDArray[Any], indices: NDArray[Any], duration: float) -> int:
        """Run for `duration` ms; return -1, or the number of the first bad event."""
        ...

    def spikes(self) -> Spikes:
        """Return the spikes of the last run."""
        ...

    def counts_by_layer(self) -> list[NDArray[np.int64]]:
        """Return how often each neuron fired in the last run, one array per layer."""
        ...

    def state_of(self, layer: int, neuron: int) -> Neurons:
        """Return a copy of one neuron at time 0, before a run."""
        ...

    def column(self, layer: int, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay from each row to one neuron; NaN delay without a connection."""
        ...

    def under_way(self, layer: int) -> UnderWay:
        """Return the spikes on their way to a layer, before a run."""
        ...
