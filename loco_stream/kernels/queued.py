"""Running layers with delays, recurrence, drive or neurons that fire by themselves, around the loop of `events`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.kernels.alif import alif_state
from loco_stream.kernels.connect import connect
from loco_stream.kernels.events import DONE, FIRED, INPUT, QUEUED, WINDOW, heat, run_events, start_progress
from loco_stream.kernels.izhikevich import izh_state, rest_potential
from loco_stream.kernels.layer import Layer
from loco_stream.kernels.lif import lif_state
from loco_stream.kernels.queue import Queue
from loco_stream.kernels.replay import Start
from loco_stream.kernels.simulate import first_bad_event

__all__ = ["QueuedNet"]

_FIRST_ROOM = 16  # spikes a neuron; grows where it does not suffice


class QueuedLayer:
    """One layer with its state, its queue and its spikes; memory grows with the spikes under way and fired."""

    def __init__(self, layer: Layer, dtype: Any) -> None:
        self.layer = layer
        parts = [layer.forward.triplets()]
        n_rows = layer.n_pre
        self.lookahead = np.inf
        if layer.recurrent is not None:
            parts.append(layer.recurrent.triplets(layer.n_pre))
            n_rows += layer.n_post
            self.lookahead = layer.recurrent.shortest_delay
        self.links = connect(parts, n_rows, dtype)
        self.reset()

    def rest(self) -> NDArray[np.float64]:
        """Return the membranes at rest."""
        if self.layer.neuron == "izhikevich":
            return np.asarray(rest_potential(self.layer.model["b"], self.layer.drive))
        return np.zeros(self.layer.n_post)

    def reset(self) -> None:
        """Put the membranes to rest, forget spikes under way."""
        self.start(self.rest())

    def start(self, v: NDArray[np.float64]) -> None:
        """Begin at time 0 from the membranes `v`, with nothing under way."""
        layer = self.layer
        room = _FIRST_ROOM * layer.n_post + 64
        self.queue = Queue(np.zeros(room), np.zeros(room, np.int64), np.zeros(room))
        self.progress = start_progress(layer.n_post, layer.refractory, room, room)
        self.state: Any
        if layer.neuron == "izhikevich":
            self.state = izh_state(v, layer.drive, **layer.model)
            return
        common = (v, layer.threshold, layer.drive, layer.tau, layer.refractory, layer.reset_zero)
        if layer.neuron == "lif":
            self.state = lif_state(*common)
        else:
            self.state = alif_state(*common, layer.model["tau_adapt"], layer.model["adapt"])
        for i in np.flatnonzero(v >= layer.threshold):
            heat(self.progress, i)

    def run(self, times: NDArray[np.float64], indices: NDArray[np.int64], duration: float) -> None:
        """Run `duration` ms on from the present state; `fired` then holds the spikes, sorted by time and neuron."""
        count, clock = self.progress.count, self.progress.clock
        count[INPUT] = count[FIRED] = 0
        clock[WINDOW] = 0.0
        while (
            run_events(
                self.state, self.links, self.layer.n_pre, self.queue, self.progress, times, indices, duration,
                self.layer.fires_alone, self.lookahead,
            ) != DONE
        ):  # fmt: skip
            self._make_room()
        n = count[FIRED]
        when, who = self.progress.times[:n], self.progress.indices[:n]
        order = np.lexsort((who, when))
        self.fired = when[order], who[order]
        self._shift(duration)

    def _shift(self, duration: float) -> None:
        """Make `duration` the new time 0, for the next call."""
        self.queue.time[:] -= duration
        self.queue.origin[:] -= duration
        self.progress.last_fire[:] -= duration
        state = self.state
        if self.layer.neuron == "lif":
            state.ready_at[:] -= duration
            state.clock[0] -= duration
        else:
            state.since[:] -= duration
            if self.layer.neuron == "alif":
                state.ready_at[:] -= duration

    def start_of(self, neuron: int) -> Start:
        """Return the state of one neuron at time 0, before a run."""
        state, layer = self.state, self.layer
        if layer.neuron == "izhikevich":
            return Start(float(state.v[neuron]), recovery=float(state.u[neuron]))
        ready = float(state.ready_at[neuron])
        if layer.neuron == "lif":
            decay = np.exp((state.clock[0] - max(0.0, ready)) / layer.tau)
            return Start(float(state.level[neuron] + state.scaled[neuron] * decay), ready_at=ready)
        since, level = float(state.since[neuron]), float(state.level[neuron])
        passed = max(0.0, -max(since, ready))
        return Start(
            v=level + (float(state.v[neuron]) - level) * np.exp(-passed / layer.tau),
            adaptation=float(state.adaptation[neuron]) * np.exp(since / layer.model["tau_adapt"]),
            ready_at=ready,
        )

    def column(self, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay of the connection from each row to one neuron; no connection, no delay: NaN."""
        links = self.links
        weight = np.zeros(len(links.row_group) - 1)
        delay = np.full(len(weight), np.nan)
        places = np.flatnonzero(links.target == neuron)
        groups = np.searchsorted(links.group_start, places, "right") - 1
        rows = np.searchsorted(links.row_group, groups, "right") - 1
        weight[rows], delay[rows] = links.weight[places], links.group_delay[groups]
        return weight, delay

    def under_way(self) -> tuple[NDArray[Any], ...]:
        """Return when the spikes in the queue were fired, by which row, and when each next arrives somewhere."""
        n = self.progress.count[QUEUED]
        rows = np.searchsorted(self.links.row_group, self.queue.group[:n], "right") - 1
        return self.queue.origin[:n].copy(), rows, self.queue.time[:n].copy()

    def _make_room(self) -> None:
        """Double the room for spikes fired and under way, keeping what is there."""
        self.queue = Queue(*(np.concatenate((a, np.zeros_like(a))) for a in self.queue))
        grown = {
            name: np.concatenate((a, np.zeros_like(a)))
            for name, a in self.progress._asdict().items()
            if name in ("batch", "times", "indices")
        }
        self.progress = self.progress._replace(**grown)


class QueuedNet:
    """A net of queued layers, run one after the other: recurrence is within layers."""

    dtype = np.dtype(np.float64)  # of times and membranes
    index_dtype = np.dtype(np.int64)

    def __init__(self, layers: list[Layer], dtype: Any) -> None:
        self.layers = [QueuedLayer(layer, dtype) for layer in layers]

    def reset(self) -> None:
        """Put all neurons to rest and forget spikes under way."""
        for layer in self.layers:
            layer.reset()

    def begin(self, membranes: list[NDArray[np.float64]]) -> None:
        """Start from given membranes, with no spikes under way."""
        for layer, v in zip(self.layers, membranes, strict=True):
            layer.start(v)

    def run(self, times: NDArray[np.float64], indices: NDArray[np.int64], duration: float) -> int:
        """Run from the present state; return -1, or the number of the first bad event."""
        bad = int(first_bad_event(times, indices, self.layers[0].layer.n_pre, duration))
        if bad >= 0:
            return bad
        for layer in self.layers:
            layer.run(times, indices, duration)
            times, indices = layer.fired
        return -1

    def spikes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Return times and neurons of the last run's spikes, and the bounds of each layer in them."""
        bounds = np.cumsum([0, *(len(layer.fired[0]) for layer in self.layers)])
        return (
            np.concatenate([layer.fired[0] for layer in self.layers]),
            np.concatenate([layer.fired[1] for layer in self.layers]),
            bounds,
        )

    def counts_by_layer(self) -> list[NDArray[np.int64]]:
        """Return how often each neuron fired in the last run, one array a layer."""
        return [np.bincount(layer.fired[1], minlength=layer.layer.n_post) for layer in self.layers]

    def start_of(self, layer: int, neuron: int) -> Start:
        """Return the state of one neuron before a run."""
        return self.layers[layer].start_of(neuron)

    def column(self, layer: int, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay of the connection from each row to one neuron; no connection, no delay: NaN."""
        return self.layers[layer].column(neuron)

    def under_way(self, layer: int) -> tuple[NDArray[Any], ...]:
        """Return the spikes on their way to a layer: when fired, by which row, when next arriving somewhere."""
        return self.layers[layer].under_way()
