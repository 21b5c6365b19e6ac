"""Nets of layers with a queue: delays, recurrence, drive, neurons that fire without input."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from loco_stream._arrays import Float64, Int64, Records
from loco_stream._simulator.calendar_queue import SpikeQueue, drain, empty_queue, refill
from loco_stream._simulator.connections import Connections, connect
from loco_stream._simulator.event_loop import DONE, STAYS, SUPRATHRESHOLD, run_events
from loco_stream._simulator.heap import ENTRY
from loco_stream._simulator.layers import Layer
from loco_stream._simulator.net import Spikes, UnderWay
from loco_stream._simulator.run_state import (
    RunState,
    WindowArrivals,
    empty_arrivals,
    empty_run,
    grown,
)
from loco_stream._simulator.window_loop import run_windows
from loco_stream.errors import InputError
from loco_stream.neurons._operations import Neurons
from loco_stream.neurons._spikes import first_bad_event

_FIRST_ROOM = 16  # spikes per neuron; doubled where it does not suffice
_FIRST_QUEUE = 512  # spikes under way, and arrivals in a window; doubled as well
_LARGEST_ROOM = 1 << 24  # spikes of a layer in one run, about a gigabyte
_MOST_WINDOWS = 10_000_000
_MOST_HORIZONS = 1_000_000
# In units of tau: few neurons fire without input within the horizon, and testing all is cheap.
_HORIZON = 0.05
_WINDOW = 0.02  # in units of tau, at most: its arrivals should fit into the nearest cache
_MARGIN = 1e-3  # of a window: a spike fired in it arrives after it, whatever the rounding
_MOST_IN_A_YEAR = 1 << 16  # windows; of many more nearly all would be empty
# Buckets of a queue that is not windowed, in the longest delay.
_BUCKETS_PER_GROUP = 64
_FEWEST_BUCKETS = 64
_MOST_BUCKETS = 1024


class QueuedLayer:
    """One layer with its state, its queue and its spikes.

    Memory grows with the spikes under way and fired.
    """

    def __init__(self, layer: Layer, dtype: DTypeLike) -> None:
        self.layer = layer
        parts = [layer.forward.triplets()]
        n_rows = layer.n_pre
        self.lookahead = np.inf
        if layer.recurrent is not None:
            parts.append(layer.recurrent.triplets(layer.n_pre))
            n_rows += layer.n_post
            self.lookahead = layer.recurrent.shortest_delay
        self.connections: Connections = connect(parts, n_rows, layer.n_post, dtype)
        self.n_buckets, self.per_ms, self.windowed = self._calendar(n_rows)
        self.reset()

    def _calendar(self, n_rows: int) -> tuple[int, float, bool]:
        """Return the number of buckets, buckets per ms, and whether each is a window.

        Otherwise a year is twice the longest delay. The more groups a spike reaches, the more
        arrive per ms: buckets are finer accordingly.
        """
        n_groups = len(self.connections.groups) - n_rows
        longest = max(float(self.connections.kinds["delay"].max()), 0.0)
        window = min((1.0 - _MARGIN) * self.lookahead, _WINDOW * self.layer.tau)
        has_scale = self.layer.model.events.psp_scale is not None
        if has_scale and longest < _MOST_IN_A_YEAR * window:
            return 1 << math.ceil(math.log2(longest / window + 4.0)), 1.0 / window, True
        wanted = min(max(_BUCKETS_PER_GROUP * n_groups / n_rows, _FEWEST_BUCKETS), _MOST_BUCKETS)
        n_buckets = 1 << math.ceil(math.log2(wanted))
        return 2 * n_buckets, n_buckets / longest if longest > 0.0 else 1.0, False

    def rest(self) -> Float64:
        """Return the membranes at rest."""
        return np.array(self.layer.model.rest(self.layer.parameters, self.layer.drive), np.float64)

    def reset(self) -> None:
        """Set the membranes to rest and forget spikes under way."""
        self.start(self.rest())

    def start(self, v: Float64) -> None:
        """Begin at time 0 from the membranes `v` (n_post,), with nothing under way."""
        layer = self.layer
        self.queue: SpikeQueue = empty_queue(
            _FIRST_QUEUE, self.n_buckets, self.per_ms, self.windowed
        )
        self.run_state: RunState = empty_run(
            layer.n_post, _FIRST_ROOM * layer.n_post + 64, _FIRST_QUEUE
        )
        self.arrivals: WindowArrivals = empty_arrivals(_FIRST_QUEUE)
        self.waiting: Records = np.zeros(0, ENTRY)
        self.neurons = Neurons(layer.model.kind(), *layer.start(v))
        if layer.model.leaky:
            self._list_suprathreshold(np.flatnonzero(v >= layer.threshold))

    def _list_suprathreshold(self, neurons: NDArray[np.intp]) -> None:
        """List the neurons that start at or above threshold."""
        state = self.run_state
        state.suprathreshold[: len(neurons)] = neurons
        state.counters["n_suprathreshold"] = len(neurons)
        state.flags[neurons] |= SUPRATHRESHOLD | STAYS

    def check(self, duration: float) -> None:
        """Raise `InputError` if a run has too many windows to end in good time."""
        longest = _MOST_WINDOWS * self.lookahead
        if self.layer.fires_between_events and duration > longest:
            raise InputError(
                f"`duration` must be at most {longest:g} ms with recurrent delays of "
                f"{self.lookahead:g} ms and neurons that fire without input, got {duration:g}"
            )

    def run(self, times: Float64, rows: Int64, duration: float) -> None:
        """Run for `duration` ms from the present state.

        `fired` then holds the spikes, sorted by time and neuron.
        """
        self._begin(duration)
        while self._continue(times, rows) != DONE:
            self._make_room()
        state = self.run_state
        n = int(state.counters["n_fired"][0])
        self.fired = _sorted(state.times[:n], state.indices[:n])
        self._end(duration)

    def _begin(self, duration: float) -> None:
        """Prepare a run, and queue the spikes that the last run left under way."""
        layer = self.layer
        fires_between_events = layer.fires_between_events
        step = self._horizon_step(duration)
        self.run_state.settings[0] = (
            duration,
            self.lookahead,
            step,
            layer.refractory,
            layer.n_pre,
            fires_between_events,
        )
        self.run_state.counters["has_begun"] = False
        self.queue.state["bucket"] = -1
        if len(self.waiting):
            refill(self.queue, self.waiting, self.connections.groups)

    def _horizon_step(self, duration: float) -> float:
        """Return how many ms ahead to look for neurons that fire without input."""
        if self.layer.model.events.silent_until_horizon is None:
            return min(self.lookahead, duration)
        return max(_HORIZON * self.layer.tau, duration / _MOST_HORIZONS)

    def _continue(self, times: Float64, rows: Int64) -> int:
        """Run to the end, or until more room is needed; return which."""
        layer = (self.neurons, self.connections, self.queue, self.run_state)
        if self.windowed:
            return int(run_windows(*layer, self.arrivals, times, rows))
        return int(run_events(*layer, times, rows))

    def _end(self, duration: float) -> None:
        """Make `duration` the new time 0, for the next run."""
        n_waiting = int(self.queue.state["n_entries"][0])
        self.waiting = np.zeros(n_waiting, ENTRY)
        if n_waiting:
            drain(self.queue, self.waiting)
            self.waiting["time"] -= duration
            self.waiting["value"] -= duration
        state = self.neurons.state
        state["last_spike"] -= duration
        self.layer.model.shift(state, self.neurons.shared, duration)

    def _make_room(self) -> None:
        """Double the room for spikes fired, or else of the queue, keeping its content."""
        state = self.run_state
        if state.counters["n_fired"][0] >= len(state.times):
            self._check_room(len(state.times))
            self.run_state = state._replace(times=grown(state.times), indices=grown(state.indices))
            return
        self.run_state = state._replace(batch=grown(state.batch))
        self.queue = self.queue._replace(heap=grown(self.queue.heap), slots=grown(self.queue.slots))
        self.arrivals = WindowArrivals(*map(grown, self.arrivals))

    def _check_room(self, room: int) -> None:
        """Raise `InputError` if a run has as many spikes as it may."""
        if room >= max(_LARGEST_ROOM, 64 * self.layer.n_post):
            raise InputError(
                f"a layer of {self.layer.n_post} neurons fired about {room} times, the most that "
                "one run can hold: shorten the run and continue it with carry=True, or check "
                "whether drive, weights or delays make neurons fire endlessly"
            )


def _sorted(times: Float64, indices: Int64) -> tuple[Float64, Int64]:
    """Return spikes sorted by time and neuron; a stable sort is fast as they nearly are."""
    order = np.argsort(times, kind="stable")
    when = times[order]
    who = indices[order]
    same = when[1:] == when[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    who[tied] = who[tied][np.lexsort((who[tied], when[tied]))]
    return when, who


class QueuedNet:
    """A net of queued layers, run one after the other: recurrence is within layers."""

    dtype: np.dtype[Any] = np.dtype(np.float64)  # of times and membranes
    index_dtype: np.dtype[Any] = np.dtype(np.int64)

    def __init__(self, layers: list[Layer], dtype: DTypeLike) -> None:
        self.layers = [QueuedLayer(layer, dtype) for layer in layers]

    def copy(self) -> QueuedNet:
        """Return a net with the same connections and a state of its own, at rest."""
        other = copy(self)
        other.layers = [copy(layer) for layer in self.layers]
        other.reset()
        return other

    def reset(self) -> None:
        """Set all neurons to rest and forget spikes under way."""
        for layer in self.layers:
            layer.reset()

    def begin(self, membranes: list[Float64]) -> None:
        """Start from given membranes, with no spikes under way."""
        for layer, v in zip(self.layers, membranes, strict=True):
            layer.start(v)

    def run(self, times: Float64, indices: Int64, duration: float) -> int:
        """Run from the present state; return -1, or the number of the first bad event."""
        bad = int(first_bad_event(times, indices, self.layers[0].layer.n_pre, duration))
        if bad >= 0:
            return bad
        for layer in self.layers:
            layer.check(duration)
        try:
            for layer in self.layers:
                layer.run(times, indices, duration)
                times, indices = layer.fired
        except InputError:
            self.reset()
            raise
        return -1

    def spikes(self) -> Spikes:
        """Return the spikes of the last run."""
        fired = [layer.fired for layer in self.layers]
        return Spikes(
            np.concatenate([times for times, _ in fired]),
            np.concatenate([neurons for _, neurons in fired]),
            np.cumsum([0, *(len(times) for times, _ in fired)]),
        )

    def counts_by_layer(self) -> list[Int64]:
        """Return how often each neuron fired in the last run, one array per layer."""
        return [np.bincount(layer.fired[1], minlength=layer.layer.n_post) for layer in self.layers]

    def state_of(self, layer: int, neuron: int) -> Neurons:
        """Return a copy of one neuron at time 0, before a run."""
        own = self.layers[layer].neurons
        return own._replace(state=own.state[[neuron]], shared=own.shared.copy())

    def under_way(self, layer: int) -> UnderWay:
        """Return the spikes on their way to a layer."""
        waiting = self.layers[layer].waiting
        first_group = self.layers[layer].connections.first_group
        rows = np.searchsorted(first_group, waiting["key"], "right") - 1
        return UnderWay(waiting["value"].copy(), rows, waiting["time"].copy())
