"""Recording chosen membranes of a net beside its spikes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import AnyFloat, AnyInt, Float64
from loco_stream._simulator.layers import Layer
from loco_stream._simulator.membranes import History, membrane_at
from loco_stream._simulator.net import SpikingNet
from loco_stream._simulator.spike_record import SpikeRecord
from loco_stream.errors import InputError

_MOST_SAMPLES = 10_000_000


class _Sent(NamedTuple):
    """Spikes sent to a layer and spikes it fired, of one run."""

    times: AnyFloat  # (n,) in ms
    rows: AnyInt  # (n,)
    fired_times: AnyFloat  # (n_fired,) in ms
    fired: AnyInt  # (n_fired,) neurons


class MembraneProbe:
    """Stores the state of the chosen neurons before a run and computes their membranes after it.

    chosen: neurons by layer, as in ``{0: [1, 2]}``
    step: time between samples in ms
    duration: length of the run in ms
    """

    def __init__(self, chosen: object, step: float, duration: float, layers: list[Layer]) -> None:
        self.samples = _sample_times(step, duration)
        self.neurons = _checked_choice(chosen, layers)
        self.layers = layers

    def store_start(self, net: SpikingNet) -> None:
        """Store the state of the chosen neurons, before the run."""
        self.starts = {
            (k, n): net.state_of(k, n) for k, neurons in self.neurons.items() for n in neurons
        }
        self.under_way = {k: net.under_way(k) for k in self.neurons}

    def add_to(
        self,
        record: SpikeRecord,
        net: SpikingNet,
        times: AnyFloat,
        indices: AnyInt,
    ) -> SpikeRecord:
        """Return the record with the membranes, given the input spikes of the run."""
        fired = net.spikes()  # not rounded, as those of the record may be
        layers = [(fired.times[a:b], fired.indices[a:b]) for a, b in pairwise(fired.bounds)]
        membranes = {}
        for k, neurons in self.neurons.items():
            sent = (times, indices) if k == 0 else layers[k - 1]
            spikes = self._sent(k, *sent, *layers[k])
            columns = [self._membrane(record.duration, k, n, spikes) for n in neurons]
            shape = (len(neurons), len(self.samples))
            membranes[k] = np.array(columns, np.float64).reshape(shape).T
        return replace(record, membrane_times=self.samples, membranes=membranes)

    def _sent(
        self,
        layer: int,
        times: AnyFloat,
        rows: AnyInt,
        fired_times: AnyFloat,
        fired: AnyInt,
    ) -> _Sent:
        """Return what was sent to a layer, its own spikes included if it is recurrent."""
        if self.layers[layer].recurrent is not None:
            times = np.concatenate((times, fired_times))
            rows = np.concatenate((rows, fired + self.layers[layer].n_pre))
        return _Sent(times, rows, fired_times, fired)

    def _membrane(self, duration: float, layer: int, neuron: int, spikes: _Sent) -> Float64:
        """Return the membrane of one neuron at all samples."""
        matrices = filter(None, (self.layers[layer].forward, self.layers[layer].recurrent))
        weight, delay = map(np.concatenate, zip(*(m.column(neuron) for m in matrices), strict=True))
        origin, row, due = self.under_way[layer]
        arrivals = origin + delay[row]
        is_late = arrivals >= due  # not yet past this neuron when the run began
        arrivals = np.concatenate((spikes.times + delay[spikes.rows], arrivals[is_late]))
        weights = weight[np.concatenate((spikes.rows, row[is_late]))]
        within = arrivals <= duration  # false without a connection, whose delay is NaN
        fired = spikes.fired_times[spikes.fired == neuron]
        history = History(arrivals[within], weights[within], fired)
        return membrane_at(self.starts[layer, neuron], history, self.samples)


def _sample_times(step: float, duration: float) -> Float64:
    """Return the times of samples in ms; raises `InputError`."""
    if not (isinstance(step, (int, float)) and 0.0 < step < np.inf):
        raise InputError(f"`membrane_step` must be above 0 ms, got {step!r}")
    if duration > _MOST_SAMPLES * step:
        raise InputError(
            f"`membrane_step` must be {duration / _MOST_SAMPLES:g} ms or more in a run of "
            f"{duration:g} ms, got {step!r}"
        )
    n_samples = int(duration / step * (1.0 + 1e-12)) + 1
    return np.arange(n_samples, dtype=np.float64) * step


def _checked_choice(chosen: object, layers: list[Layer]) -> dict[int, list[int]]:
    """Return the chosen neurons by layer; raises `InputError`."""
    if not hasattr(chosen, "items"):
        raise InputError(
            f"`membranes` must map layers to lists of neurons, as in {{0: [1, 2]}}, got {chosen!r}"
        )
    neurons = {}
    for layer, own in chosen.items():
        if not isinstance(layer, (int, np.integer)) or layer not in range(len(layers)):
            raise InputError(
                f"`membranes` must have layers from 0 to {len(layers) - 1} as keys, got {layer!r}"
            )
        neurons[int(layer)] = _checked_neurons(int(layer), own, layers[layer].n_post)
    return neurons


def _checked_neurons(layer: int, neurons: ArrayLike, n_post: int) -> list[int]:
    """Return the chosen neurons of a layer; raises `InputError`."""
    chosen = np.atleast_1d(neurons)
    if chosen.size and chosen.dtype.kind not in "iu":
        raise InputError(
            f"`membranes` must list whole numbers in layer {layer}, got type {chosen.dtype}"
        )
    for neuron in chosen:
        if not 0 <= neuron < n_post:
            raise InputError(
                f"`membranes` must list neurons from 0 to {n_post - 1} in layer {layer}, "
                f"got {neuron}"
            )
    return [int(neuron) for neuron in chosen]
