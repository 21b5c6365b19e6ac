"""Running dense feed-forward nets without delays.

Packed arrays around the `run_net` of a neuron model.
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.simd.ops import TIMES
from loco_stream.neurons.spikes import NO_ROOM
from loco_stream.simulator.layers import Layer
from loco_stream.simulator.memory import LINE, aligned
from loco_stream.simulator.replay import Start, start_of

__all__ = ["DenseNet", "Samples"]

_FIRST_ROOM = 16  # spikes a neuron; grows where it does not suffice
_FIRST_TIMES = 64  # distinct times; grows too


class Samples(NamedTuple):
    """What many samples gave, sample after sample and layer after layer."""

    counts: list[
        NDArray[np.int64]
    ]  # of each layer (n, n_post): how often each neuron fired in each sample
    fired: NDArray[np.int64]  # (n,): how many spikes each sample gave
    times: NDArray[Any]  # (n_spikes,) in ms, if wanted, as these are:
    indices: NDArray[np.int32]  # (n_spikes,)
    layers: NDArray[np.int32]  # (n_spikes,)
    bad: (
        tuple[int, int] | None
    )  # the first sample with a bad event, and which; those before are done


class DenseNet:
    """A net of layers that are all `direct`, of a neuron model that has a `run_net`.

    Layers are padded to whole cache lines with neurons that receive nothing and never fire, so that
    all rows are aligned and loops run on whole vectors.
    """

    index_dtype = np.dtype(np.int32)

    def __init__(self, layers: list[Layer], dtype: Any) -> None:
        self.layers = layers
        self.dtype = np.dtype(dtype)
        lane = LINE // self.dtype.itemsize
        self.sizes = np.array([-(-layer.n_post // lane) * lane for layer in layers], np.int64)
        self.starts = np.concatenate(([0], np.cumsum(self.sizes)))
        extent = [layer.n_pre * int(size) for layer, size in zip(layers, self.sizes, strict=True)]
        self.offsets = np.cumsum([0, *extent[:-1]], dtype=np.int64)
        self.taus = np.array([layer.tau for layer in layers])
        self.weights = aligned(sum(extent), self.dtype)
        n = int(self.starts[-1])
        self.neurons = aligned(4 * n, self.dtype).reshape(4, n)
        self.neurons[0] = np.inf
        for layer, offset, size, begin in zip(
            layers, self.offsets, self.sizes, self.starts[:-1], strict=True
        ):
            rows = self.weights[offset : offset + layer.n_pre * size].reshape(layer.n_pre, size)
            rows[:, : layer.n_post] = layer.forward.dense
            self.neurons[0, begin : begin + layer.n_post] = layer.threshold
        self._own = [
            slice(int(b), int(b) + layer.n_post)
            for b, layer in zip(self.starts[:-1], layers, strict=True)
        ]
        self.widths = np.array([layer.n_post for layer in layers], np.int64)
        self.raster = aligned(max(layer.n_pre for layer in layers) * TIMES, self.dtype).reshape(
            -1, TIMES
        )
        self.currents = aligned(TIMES * int(self.sizes.max()), self.dtype)
        self.counts = np.zeros(n, np.int64)
        self.n_groups = 0
        self.kept: list[
            NDArray[Any]
        ] = []  # times, neurons and layers of the spikes of many samples: memory used again
        self._make_room(_FIRST_ROOM * n, _FIRST_TIMES)

    def _make_room(self, n_spikes: int, n_times: int) -> None:
        self.indices = np.empty(n_spikes, np.int32)
        self.times = np.empty(n_times, self.dtype)
        self.ends = np.zeros((len(self.layers) + 1, n_times), np.int64)

    def copy(self) -> DenseNet:
        """Return a net with the same weights and numbers of its own, at rest, for another thread."""
        other = copy(self)
        for name in ("neurons", "raster", "currents"):
            own = getattr(self, name)
            setattr(other, name, aligned(own.size, self.dtype).reshape(own.shape))
        other.neurons[0], other.counts, other.kept = self.neurons[0], self.counts.copy(), []
        other._make_room(len(self.indices), len(self.times))
        other.reset()
        return other

    def reset(self) -> None:
        """Put all membranes to rest."""
        self.neurons[1] = 0

    def begin(self, membranes: list[NDArray[np.float64]]) -> None:
        """Start from given membranes."""
        for layer, v in enumerate(membranes):
            self.membranes(layer)[:] = v

    def membranes(self, layer: int) -> NDArray[Any]:
        """Return the membranes of a layer, a view to read and write."""
        return self.neurons[1, self._own[layer]]

    def counts_by_layer(self) -> list[NDArray[np.int64]]:
        """Return how often each neuron fired in the last run, one array a layer."""
        counts = self.counts.copy()
        return [counts[own] for own in self._own]

    def start_of(self, layer: int, neuron: int) -> Start:
        """Return the state of one neuron before a run."""
        return start_of(self.layers[layer], neuron, float(self.membranes(layer)[neuron]))

    def column(self, layer: int, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay (all 0) of the connection from each presynaptic neuron to one neuron."""
        dense = self.layers[layer].forward.dense
        assert dense is not None
        weight = dense[:, neuron].astype(np.float64)
        return weight, np.zeros(len(weight))

    def under_way(self, layer: int) -> tuple[NDArray[Any], ...]:
        """Return the spikes on their way to a layer: none without delays."""
        return np.zeros(0), np.zeros(0, np.int64), np.zeros(0)

    def run(self, times: NDArray[Any], indices: NDArray[Any], duration: float) -> int:
        """Run from the present membranes; return -1, or the number of the first bad event."""
        while True:
            status = self.layers[0].model.run_net(
                times,
                indices,
                self.layers[0].n_pre,
                duration,
                self.weights,
                self.offsets,
                self.sizes,
                self.widths,
                self.taus,
                self.layers[0].reset_zero,
                self.neurons,
                self.raster,
                self.currents,
                self.times,
                self.ends,
                self.indices,
                self.counts,
            )
            if status >= 0:
                self.n_groups = status
                return -1
            if status != NO_ROOM:
                return int(-2 - status)
            self._make_room(2 * len(self.indices), 2 * len(self.times))

    def run_samples(
        self,
        times: NDArray[Any],
        indices: NDArray[Any],
        bounds: NDArray[np.int64],
        duration: float,
        keeps: bool,
    ) -> Samples:
        """Run samples, each from rest.

        The input of sample s lies between bounds[s] and bounds[s + 1].
        """
        first = 0
        kept = 0
        layer = self.layers[0]
        if np.diff(bounds).max() > len(self.times):
            self._make_room(len(self.indices), int(np.diff(bounds).max()))
        counted = np.empty((len(bounds) - 1, len(self.counts)), np.int64)
        if not self.kept:
            self.kept = [
                np.empty(len(self.indices), kind) for kind in (self.dtype, np.int32, np.int32)
            ]
        while True:
            first, kept, status = layer.model.run_samples(
                times,
                indices,
                bounds,
                first,
                kept,
                keeps,
                layer.n_pre,
                duration,
                self.weights,
                self.offsets,
                self.sizes,
                self.widths,
                self.taus,
                layer.reset_zero,
                self.neurons,
                self.raster,
                self.currents,
                self.times,
                self.ends,
                self.counts,
                counted,
                *self.kept,
            )
            if status != NO_ROOM:
                counts = [counted[:, own] for own in self._own]
                when, who, layers = (a[:kept].copy() for a in self.kept)
                bad = None if status == 0 else (first, int(-2 - status))
                return Samples(counts, counted.sum(axis=1), when, who, layers, bad)
            self.kept = [np.concatenate((a, np.empty_like(a))) for a in self.kept]

    def spikes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Return times and neurons of the last run's spikes, and the bounds of each layer in them."""
        n_layers = len(self.layers)
        bounds = np.zeros(n_layers + 1, np.int64)
        if self.n_groups == 0:
            return np.empty(0, self.dtype), np.empty(0, np.int32), bounds
        ends = self.ends[1:, : self.n_groups]
        bounds[1:] = ends[:, -1]
        fired = np.diff(ends.ravel(), prepend=0)  # the end of a layer is where the next begins
        times = np.repeat(np.broadcast_to(self.times[: self.n_groups], ends.shape).ravel(), fired)
        return times, self.indices[: bounds[-1]].copy(), bounds
