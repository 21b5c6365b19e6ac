"""Running layers with delays, recurrence, drive or neurons that fire by themselves, around `event_loop`."""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.neurons.spikes import first_bad_event
from loco_stream.simulator.calendar_queue import PRESENT, QUEUED, drain, refill
from loco_stream.simulator.connections import DELAY, KIND, START, WEIGHT, connect
from loco_stream.simulator.event_loop import (
    DONE,
    FIRED,
    HORIZON,
    INPUT,
    LAST_FIRE,
    NEAR,
    NOW,
    SOON,
    WINDOW,
    heat,
    run_events,
)
from loco_stream.simulator.heap import GROUP, ORIGIN, TIME
from loco_stream.simulator.layers import Layer
from loco_stream.simulator.progress import start_progress
from loco_stream.simulator.replay import Start
from loco_stream.simulator.window_loop import OPEN, STAGE, run_windows

__all__ = ["QueuedNet"]

_FIRST_ROOM = 16  # spikes a neuron; grows where it does not suffice
_FIRST_QUEUE = 512  # spikes under way, and arrivals in a window; grows as well
_OUTPUT = ("times", "indices")  # what grows with the spikes fired; all else with those under way
_GROWING = ("heap", "slots", "batch", "runs", "targets", "jumps", "whens", "old")
_LARGEST_ROOM = 1 << 24  # spikes of a layer in one run, about a gigabyte
_MOST_WINDOWS = 10_000_000
_MOST_HORIZONS = 1_000_000
# in units of tau: few neurons fire by themselves within it, and looking at all costs little
_HORIZON = 0.05
_WINDOW = 0.02  # in units of tau, at most: what arrives in it should fit into the nearest cache
_MARGIN = 1e-3  # of a window: what is fired in it arrives after it, whatever the rounding
_MOST_IN_A_YEAR = 1 << 16  # windows; many more would be empty
# of the queue in the longest delay
_BUCKETS_A_GROUP = 64
_FEWEST_BUCKETS = 64
_MOST_BUCKETS = 1024


class QueuedLayer:
    """One layer with its state, its queue and its spikes.

    Memory grows with the spikes under way and fired.
    """

    def __init__(self, layer: Layer, dtype: Any) -> None:
        self.layer = layer
        parts = [layer.forward.triplets()]
        n_rows = layer.n_pre
        self.lookahead = np.inf
        if layer.recurrent is not None:
            parts.append(layer.recurrent.triplets(layer.n_pre))
            n_rows += layer.n_post
            self.lookahead = layer.recurrent.shortest_delay
        self.links = connect(parts, n_rows, layer.n_post, dtype)
        self.buckets, self.per_ms, self.windowed = self._calendar(n_rows)
        self.reset()

    def _calendar(self, n_rows: int) -> tuple[int, float, bool]:
        """Return how many buckets the queue has, how many a ms, and whether each is a window (see `window_loop`).

        Otherwise they are twice the longest delay; the more groups a spike reaches, the more arrive
        in a ms: the buckets are as many times finer.
        """
        links = self.links
        n_groups = len(links.groups) - n_rows
        longest = max(float(links.kinds[:, DELAY].max()), 0.0)
        window = min((1.0 - _MARGIN) * self.lookahead, _WINDOW * self.layer.tau)
        if self.layer.model.events.lift is not None and longest < _MOST_IN_A_YEAR * window:
            return 1 << math.ceil(math.log2(longest / window + 4.0)), 1.0 / window, True
        wanted = min(max(_BUCKETS_A_GROUP * n_groups / n_rows, _FEWEST_BUCKETS), _MOST_BUCKETS)
        buckets = 1 << math.ceil(math.log2(wanted))
        return 2 * buckets, buckets / longest if longest > 0.0 else 1.0, False

    def rest(self) -> NDArray[np.float64]:
        """Return the membranes at rest."""
        return np.array(self.layer.model.rest(self.layer.parameters, self.layer.drive), np.float64)

    def reset(self) -> None:
        """Put the membranes to rest, forget spikes under way."""
        self.start(self.rest())

    def start(self, v: NDArray[np.float64]) -> None:
        """Begin at time 0 from the membranes `v`, with nothing under way."""
        layer = self.layer
        self.progress = start_progress(
            layer.n_post,
            layer.refractory,
            _FIRST_ROOM * layer.n_post + 64,
            _FIRST_QUEUE,
            self.buckets,
            self.per_ms,
            self.windowed,
        )
        self.waiting = np.zeros((0, 3))
        self.model = layer.model.kind()
        self.cells, self.numbers = layer.start(v)
        if layer.model.leaky:
            for i in np.flatnonzero(v >= layer.threshold):
                heat(self.progress.count, self.progress.hot, self.progress.flags, i)

    def check(self, duration: float) -> None:
        """Raise `InputError` if a run of `duration` ms falls into too many windows to end in good time."""
        if self.layer.fires_alone and duration > _MOST_WINDOWS * self.lookahead:
            raise InputError(
                f"duration is {duration:g} ms; with recurrent delays of {self.lookahead:g} ms and neurons that fire by "
                f"themselves at most {_MOST_WINDOWS * self.lookahead:g} ms are allowed"
            )

    def run(self, times: NDArray[np.float64], indices: NDArray[np.int64], duration: float) -> None:
        """Run `duration` ms on from the present state.

        `fired` then holds the spikes, sorted by time and neuron.
        """
        count = self.progress.count
        clock = self.progress.clock
        count[INPUT] = count[FIRED] = count[STAGE] = OPEN
        clock[WINDOW] = 0.0
        clock[NOW] = -1.0
        clock[HORIZON] = 0.0
        self._fill()
        while self._go_on(times, indices, duration) != DONE:
            self._make_room()
            count = self.progress.count
            clock = self.progress.clock
        n = count[FIRED]
        self.fired = _sorted(self.progress.times[:n], self.progress.indices[:n])
        self._shift(duration)

    def _go_on(
        self, times: NDArray[np.float64], indices: NDArray[np.int64], duration: float
    ) -> int:
        """Run until the end, or until more room is needed; return which."""
        common = (
            self.model,
            self.cells,
            self.numbers,
            self.links,
            self.layer.n_pre,
            self.progress,
            times,
            indices,
            duration,
            self.layer.fires_alone,
        )
        if self.windowed:
            return int(run_windows(*common, self._horizon(duration)))
        return int(run_events(*common, self.lookahead, self._horizon(duration)))

    def _fill(self) -> None:
        """Put what the last run left under way into the queue, and forget which neurons were to fire soon."""
        p = self.progress
        p.queue[PRESENT] = -1
        refill(p.queue, p.clock, p.heap, p.slots, p.ring, self.waiting, self.links.groups)
        p.count[NEAR] = 0
        p.flags[:] &= ~np.uint8(SOON)

    def _horizon(self, duration: float) -> float:
        """Return how far ahead to look for neurons that fire by themselves."""
        if self.layer.model.events.calm is None:
            return min(self.lookahead, duration)
        return max(_HORIZON * self.layer.tau, duration / _MOST_HORIZONS)

    def _shift(self, duration: float) -> None:
        """Make `duration` the new time 0, for the next call."""
        progress = self.progress
        self.waiting = np.zeros((progress.queue[QUEUED], 3))
        drain(progress.queue, progress.heap, progress.slots, progress.ring, self.waiting)
        self.waiting[:, [TIME, ORIGIN]] -= duration
        self.cells[:, LAST_FIRE] -= duration
        self.layer.model.shift(self.cells, self.numbers, duration)

    def start_of(self, neuron: int) -> Start:
        """Return the state of one neuron at time 0, before a run."""
        return Start(self.cells[[neuron]], self.numbers.copy())

    def column(self, neuron: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay of the connection from each row to one neuron.

        No connection, no delay: NaN.
        """
        links = self.links
        weight = np.zeros(len(links.row_group) - 1)
        delay = np.full(len(weight), np.nan)
        places = np.flatnonzero(links.target[: links.groups[-1, START]] == neuron)
        groups = np.searchsorted(links.groups[:, START], places, "right") - 1
        rows = np.searchsorted(links.row_group, groups, "right") - 1
        kinds = links.kinds[links.groups[groups, KIND]]
        weight[rows] = links.weight[places] if len(links.weight) else kinds[:, WEIGHT]
        delay[rows] = kinds[:, DELAY]
        return weight, delay

    def under_way(self) -> tuple[NDArray[Any], ...]:
        """Return when the spikes in the queue were fired, by which row, and when each next arrives somewhere."""
        rows = np.searchsorted(self.links.row_group, self.waiting[:, GROUP], "right") - 1
        return self.waiting[:, ORIGIN].copy(), rows, self.waiting[:, TIME].copy()

    def _make_room(self) -> None:
        """Double the room for spikes fired, or else that of the queue, keeping what is there."""
        room = len(self.progress.times)
        full = self.progress.count[FIRED] >= room
        if full and room >= max(_LARGEST_ROOM, 64 * self.layer.n_post):
            raise InputError(
                f"a layer of {self.layer.n_post} neurons fired some {room} times in one run, which is as many as a run "
                "may hold: shorten it (and go on with carry=True), or see whether drive, weights or delays make it "
                "fire without end"
            )
        grown = {
            name: np.concatenate((a, np.zeros_like(a)))
            for name, a in self.progress._asdict().items()
            if name in (_OUTPUT if full else _GROWING)
        }
        self.progress = self.progress._replace(**grown)


def _sorted(
    times: NDArray[np.float64], indices: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return spikes sorted by time and neuron.

    They nearly are, which a stable sort makes use of.
    """
    order = np.argsort(times, kind="stable")
    when = times[order]
    who = indices[order]
    same = when[1:] == when[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    who[tied] = who[tied][np.lexsort((who[tied], when[tied]))]
    return when, who


class QueuedNet:
    """A net of queued layers, run one after the other: recurrence is within layers."""

    dtype = np.dtype(np.float64)  # of times and membranes
    index_dtype = np.dtype(np.int64)

    def __init__(self, layers: list[Layer], dtype: Any) -> None:
        self.layers = [QueuedLayer(layer, dtype) for layer in layers]

    def copy(self) -> QueuedNet:
        """Return a net with the same connections and numbers of its own, at rest, for another thread."""
        other = copy(self)
        other.layers = [copy(layer) for layer in self.layers]
        other.reset()
        return other

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
            layer.check(duration)
        try:
            for layer in self.layers:
                layer.run(times, indices, duration)
                times, indices = layer.fired
        except InputError:
            self.reset()
            raise
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
        """Return weight and delay of the connection from each row to one neuron.

        No connection, no delay: NaN.
        """
        return self.layers[layer].column(neuron)

    def under_way(self, layer: int) -> tuple[NDArray[Any], ...]:
        """Return the spikes on their way to a layer.

        When fired, by which row, when next arriving somewhere.
        """
        return self.layers[layer].under_way()
