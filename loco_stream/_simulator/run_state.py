"""The state of a run of one layer, in arrays from which compiled code continues.

Where room ends, the event loops return; called with larger arrays they continue at the same step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Array, Float64, Int32, Int64, Records
from loco_stream._compiler.jit import inlined
from loco_stream._compiler.structs import struct_dtype
from loco_stream._simulator.calendar_queue import SpikeQueue
from loco_stream._simulator.connections import Connections
from loco_stream.neurons._operations import Neurons

# Arrivals ahead whose neurons are prefetched; also the room beyond the last arrival, at least
# DOUBLES, since whole vectors are written.
LOOK_AHEAD = 24
DELIVERED = -1  # in place of the size of a batch: only suprathreshold neurons are left to do
# Of a run: its end, the shortest recurrent delay (infinite without recurrence), how far ahead to
# look for neurons that fire without input, the refractory period, all in ms; rows before the
# layer's own neurons; whether neurons fire between events.
SETTINGS = struct_dtype(
    "duration",
    "lookahead",
    "horizon_step",
    "refractory",
    n_inputs="i8",
    fires_between_events="?",
)
# End of the current window, horizon and time of the batch in ms. Inputs taken, spikes fired, groups
# in the batch, groups of it delivered, connections delivered of the next group, neurons in each
# list. Of `window_loop`: stage, current slot, runs and arrivals listed.
COUNTERS = struct_dtype(
    "window_end",
    "horizon",
    "now",
    next_input="i8",
    n_fired="i8",
    batch_size="i8",
    n_delivered="i8",
    n_connections="i8",
    n_suprathreshold="i8",
    n_pending="i8",
    n_reached="i8",
    stage="i8",
    slot="i8",
    n_runs="i8",
    n_arrivals="i8",
    has_ticks="?",
    has_begun="?",
)
BATCH = struct_dtype(first="i8", stop="i8", group="i8")
RUN = struct_dtype(group="i8", start="i8")


class RunState(NamedTuple):
    """The state of a run of n neurons."""

    settings: Records  # (1,) of SETTINGS
    counters: Records  # (1,) of COUNTERS
    # (queue room,) of BATCH: connections, and their group, through which spikes arrive now
    batch: Records
    suprathreshold: Int64  # (n,): neurons that a reset left at or above threshold
    pending: Int64  # (n,): neurons that may fire without input before the horizon
    reached: Int64  # (n,): neurons that the batch may make fire
    flags: NDArray[np.uint8]  # (n,): bits of `event_loop`
    times: Float64  # (spike room,): output, ms
    indices: Int64  # (spike room,): output, neurons


class WindowArrivals(NamedTuple):
    """The arrivals of a window, one per connection, as `window_loop` lists them."""

    runs: Records  # (queue room,) of RUN: a group and the number of its first arrival
    targets: Int32  # (queue room + LOOK_AHEAD,), as the following
    jumps: Float64  # changes of `scaled_v`
    times: Float64  # ms
    before: Float64  # `scaled_v` of the target before the arrival


class Inputs(NamedTuple):
    """Input spikes of a run, sorted."""

    times: Float64  # (n,) in ms
    rows: Int64  # (n,)


class LayerRun(NamedTuple):
    """Everything that a run of one layer reads and writes."""

    neurons: Neurons
    connections: Connections
    queue: SpikeQueue
    run: RunState
    counters: Any  # a numpy.record, that of the run, as its settings are
    settings: Any


@inlined
def set_entry(entry: np.record, first: int, stop: int, group: int) -> None:
    """Set an entry of the batch: connections `first` to `stop - 1`, which belong to a group."""
    entry.first = first
    entry.stop = stop
    entry.group = group


def empty_run(n: int, spike_room: int, queue_room: int) -> RunState:
    """Return the state of a run of `n` neurons that has not begun."""
    return RunState(
        settings=np.zeros(1, SETTINGS),
        counters=np.zeros(1, COUNTERS),
        batch=np.zeros(queue_room, BATCH),
        suprathreshold=np.zeros(n, np.int64),
        pending=np.zeros(n, np.int64),
        reached=np.zeros(n, np.int64),
        flags=np.zeros(n, np.uint8),
        times=np.zeros(spike_room),
        indices=np.zeros(spike_room, np.int64),
    )


def empty_arrivals(room: int) -> WindowArrivals:
    """Return arrays for the arrivals of a window."""
    n = room + LOOK_AHEAD
    return WindowArrivals(
        runs=np.zeros(room, RUN),
        targets=np.zeros(n, np.int32),
        jumps=np.zeros(n),
        times=np.zeros(n),
        before=np.zeros(n),
    )


def grown(items: Array) -> Array:
    """Return an array twice as long with the same items in front and zeros after them."""
    larger = np.zeros(2 * len(items), items.dtype)
    larger[: len(items)] = items
    return larger
