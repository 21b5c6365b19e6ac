"""Dense feed-forward nets without delays: packed arrays around a model's `DenseOperations`."""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from loco_stream._arrays import AnyFloat, Array, Float64, Int32, Int64, Records
from loco_stream._compiler.alignment import CACHE_LINE, aligned_zeros
from loco_stream._compiler.simd.sizes import STEPS
from loco_stream._simulator.layers import Layer
from loco_stream._simulator.membranes import state_at
from loco_stream._simulator.net import Spikes, UnderWay
from loco_stream.neurons._definition import DenseOperations
from loco_stream.neurons._lif_net import (
    LAYER,
    PROGRESS,
    Samples,
    Scratch,
)
from loco_stream.neurons._operations import Neurons
from loco_stream.neurons._spikes import NO_ROOM

_FIRST_ROOM = 16  # spikes per neuron; doubled where it does not suffice
_FIRST_TIMES = 64  # distinct times; doubled as well


class SampleSpikes(NamedTuple):
    """The spikes of many samples, sample after sample and layer after layer."""

    counts: list[Int64]  # per layer (samples, n_post): spikes of each neuron
    fired: Int64  # (samples,): spikes of each sample
    times: AnyFloat  # (n_spikes,) in ms, empty unless kept, as the following
    indices: Int32
    layers: Int32
    # the first sample with a bad event and the number of the event; samples before it are done
    bad: tuple[int, int] | None


def _packed_layers(layers: list[Layer], lane: int) -> Records:
    """Return layers as records of LAYER, padded to a multiple of `lane` neurons."""
    packed = np.zeros(len(layers), LAYER)
    packed["tau"] = [layer.tau for layer in layers]
    packed["n_pre"] = [layer.n_pre for layer in layers]
    packed["n_post"] = [layer.n_post for layer in layers]
    packed["n_padded"] = -(-packed["n_post"] // lane) * lane
    packed["reset_zero"] = [layer.reset_zero for layer in layers]
    extents = packed["n_pre"] * packed["n_padded"]
    packed["offset"] = np.cumsum(extents) - extents
    return packed


class DenseNet:
    """A net for layers that are all `direct`, of a neuron model with `DenseOperations`.

    Layers are padded to whole cache lines with neurons that receive nothing and never fire: all
    rows are aligned and loops run on whole vectors.
    """

    index_dtype: np.dtype[Any] = np.dtype(np.int32)

    def __init__(self, layers: list[Layer], dtype: DTypeLike) -> None:
        self.layers = layers
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        operations = layers[0].model.dense
        assert operations is not None
        self._operations: DenseOperations = operations
        self._pack()
        n = self.neurons.shape[1]
        self._scratch = self._new_scratch()
        self.counts = np.zeros(n, np.int64)
        self.n_groups = 0
        self._kept: tuple[Array, ...] = ()  # of many samples: memory used again
        self._make_room(_FIRST_ROOM * n, _FIRST_TIMES)

    def _pack(self) -> None:
        """Write weights and thresholds of all layers to padded arrays."""
        layers = self.layers
        lane = CACHE_LINE // self.dtype.itemsize
        self.packed = _packed_layers(layers, lane)
        padded = self.packed["n_padded"]
        self.weights = aligned_zeros(int(self.packed["n_pre"] @ padded), self.dtype)
        ends = np.cumsum(padded)
        self.neurons = aligned_zeros(4 * int(ends[-1]), self.dtype).reshape(4, -1)
        self.neurons[0] = np.inf
        starts = (ends - padded).tolist()
        self._own = [slice(k, k + layer.n_post) for k, layer in zip(starts, layers, strict=True)]
        for k, layer in enumerate(layers):
            self.neurons[0, self._own[k]] = layer.threshold
            self._padded_weights(k)[:, : layer.n_post] = layer.forward.dense

    def _padded_weights(self, layer: int) -> Array:
        """Return the weights of a layer (n_pre, n_padded), a view."""
        offset, n_pre, n_padded = self.packed[["offset", "n_pre", "n_padded"]][layer]
        return self.weights[offset : offset + n_pre * n_padded].reshape(n_pre, n_padded)

    def _new_scratch(self) -> Scratch:
        n_pre = int(self.packed["n_pre"].max())
        return Scratch(
            aligned_zeros(n_pre * STEPS, self.dtype).reshape(-1, STEPS),
            aligned_zeros(STEPS * int(self.packed["n_padded"].max()), self.dtype),
        )

    def _make_room(self, n_spikes: int, n_times: int) -> None:
        self.indices = np.empty(n_spikes, np.int32)
        self.times = np.empty(n_times, self.dtype)
        self.ends = np.zeros((len(self.layers) + 1, n_times), np.int64)
        # what each call passes on; plain tuples are cheaper to pass
        spikes = (self.times, self.ends, self.indices, self.counts)
        self._arrays = (self.packed, self.weights, self.neurons, tuple(self._scratch), spikes)

    def copy(self) -> DenseNet:
        """Return a net with the same weights and a state of its own, at rest."""
        other = copy(self)
        other.neurons = aligned_zeros(self.neurons.size, self.dtype).reshape(self.neurons.shape)
        other.neurons[0] = self.neurons[0]
        other._scratch = self._new_scratch()
        other.counts = self.counts.copy()
        other._kept = ()
        other._make_room(len(self.indices), len(self.times))
        other.reset()
        return other

    def reset(self) -> None:
        """Set all membranes to rest."""
        self.neurons[1] = 0

    def begin(self, membranes: list[Float64]) -> None:
        """Start from given membranes."""
        for layer, v in enumerate(membranes):
            self.membranes(layer)[:] = v

    def membranes(self, layer: int) -> AnyFloat:
        """Return the membranes of a layer, a view to read and write."""
        return self.neurons[1, self._own[layer]]

    def counts_by_layer(self) -> list[Int64]:
        """Return how often each neuron fired in the last run, one array per layer."""
        counts = self.counts.copy()
        return [counts[own] for own in self._own]

    def state_of(self, layer: int, neuron: int) -> Neurons:
        """Return a copy of one neuron before a run."""
        return state_at(self.layers[layer], neuron, float(self.membranes(layer)[neuron]))

    def under_way(self, layer: int) -> UnderWay:
        """Return the spikes on their way to a layer: none without delays."""
        return UnderWay(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))

    def run(self, times: AnyFloat, indices: Int32, duration: float) -> int:
        """Run from the present membranes; return -1, or the number of the first bad event."""
        while True:
            status = self._operations.run(times, indices, duration, *self._arrays)
            if status >= 0:
                self.n_groups = status
                return -1
            if status != NO_ROOM:
                return -2 - int(status)
            self._make_room(2 * len(self.indices), 2 * len(self.times))

    def run_samples(self, samples: Samples, duration: float, keeps_spikes: bool) -> SampleSpikes:
        """Run samples, each from rest."""
        longest = int(np.diff(samples.bounds).max())
        if longest > len(self.times):
            self._make_room(len(self.indices), longest)
        counts = np.empty((len(samples.bounds) - 1, len(self.counts)), np.int64)
        progress = np.zeros(1, PROGRESS)
        progress["keeps_spikes"] = keeps_spikes
        if not self._kept:
            kinds = (self.dtype, np.int32, np.int32)
            self._kept = tuple(np.empty(len(self.indices), kind) for kind in kinds)
        run = self._operations.run_samples
        while True:
            kept = (progress, counts, *self._kept)
            status = int(run(tuple(samples), duration, *self._arrays, kept))
            if status != NO_ROOM:
                return self._sample_spikes(progress, counts, status)
            self._kept = tuple(np.concatenate((a, np.empty_like(a))) for a in self._kept)

    def _sample_spikes(self, progress: Records, counts: Int64, status: int) -> SampleSpikes:
        """Return the spikes of samples after a run that ended with `status`."""
        n_kept = int(progress["n_kept"][0])
        times, indices, layers = (a[:n_kept].copy() for a in self._kept)
        bad = None if status == 0 else (int(progress["n_done"][0]), -2 - status)
        by_layer = [counts[:, own] for own in self._own]
        return SampleSpikes(by_layer, counts.sum(axis=1), times, indices, layers, bad)

    def spikes(self) -> Spikes:
        """Return the spikes of the last run."""
        bounds = np.zeros(len(self.layers) + 1, np.int64)
        if self.n_groups == 0:
            return Spikes(self.times[:0].copy(), self.indices[:0].copy(), bounds)
        ends = self.ends[1:, : self.n_groups]
        bounds[1:] = ends[:, -1]
        times = np.broadcast_to(self.times[: self.n_groups], ends.shape).ravel()
        fired = np.diff(ends.ravel(), prepend=0)  # a layer begins where the one before ends
        return Spikes(np.repeat(times, fired), self.indices[: bounds[-1]].copy(), bounds)
