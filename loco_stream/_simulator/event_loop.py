"""The event loop: one layer of any neuron model with delays, recurrence or drive.

Time advances from arrival to arrival. All groups of connections that arrive at one time are a batch
and are delivered together. Then each neuron they reach that is at or above threshold fires, at most
once, and so does each neuron that an earlier reset left above threshold.

Neurons that can fire without input are advanced at each arrival, and at the end of each window. A
window is as long as the shortest recurrent delay: no spike fired in it arrives in it, so neurons
may be visited in any order. Only pending neurons are visited, those that would fire before the
horizon, some windows ahead, without further input. All neurons are tested when the horizon moves
on, and each neuron when it receives a spike.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._compiler.jit import inlined, kernel, nogil_entry
from loco_stream._compiler.simd.prefetch import prefetch
from loco_stream._simulator.calendar_queue import SpikeQueue, add, earliest, take
from loco_stream._simulator.connections import END, Connections, delay_of, weight_of
from loco_stream._simulator.run_state import DELIVERED, Inputs, LayerRun, RunState, set_entry
from loco_stream.neurons._operations import (
    Neurons,
    advance_to,
    at_threshold,
    next_spike,
    none_fired,
    receive,
    reset,
    set_horizon,
    silent_until_horizon,
)
from loco_stream.neurons._spikes import NO_ROOM

DONE = 0
CONTINUE = 1
# Bits of the flags of a neuron: in the list of suprathreshold neurons; at or above threshold after
# its last reset; pending; reached by the batch.
SUPRATHRESHOLD = 1
STAYS = 2
PENDING = 4
REACHED = 8
_PREFETCHED = 6  # pending neurons ahead, and their connections
_CHUNK = 16  # neurons that are tested together before each is


@kernel
def add_suprathreshold(run: RunState, i: int) -> None:
    """List neuron `i`, which may not fire again before the next time of an event."""
    counters = run.counters[0]
    if run.flags[i] & SUPRATHRESHOLD == 0:
        run.suprathreshold[counters.n_suprathreshold] = i
        counters.n_suprathreshold += 1
    run.flags[i] |= SUPRATHRESHOLD | STAYS


@inlined
def has_room(layer: LayerRun) -> bool:
    """Return whether there is room for one more spike, fired and under way."""
    queue = layer.queue
    fired_fits = layer.counters.n_fired < len(layer.run.times)
    return fired_fits and queue.state[0].n_entries < len(queue.heap)


@kernel
def emit(layer: LayerRun, i: int, t: float) -> bool:
    """Record a spike of neuron `i` at `t`, reset it, queue the spike for the layer itself.

    Return whether room is left.
    """
    run = layer.run
    n = layer.counters.n_fired
    run.times[n] = t
    run.indices[n] = i
    layer.counters.n_fired = n + 1
    run.flags[i] &= SUPRATHRESHOLD | PENDING | REACHED
    if reset(layer.neurons, i, t):
        add_suprathreshold(run, i)
    layer.neurons.state[i].last_spike = t
    row = layer.settings.n_inputs + i
    if row + 1 < len(layer.connections.first_group):
        queue_spike(layer, row, t)
    return has_room(layer)


@inlined
def queue_spike(layer: LayerRun, row: int, t: float) -> float:
    """Queue the first arrival of a spike of `row` at `t`; return its time, or infinity."""
    connections = layer.connections
    group = connections.first_group[row]
    delay = delay_of(connections, group)
    if delay == END:
        return math.inf
    add(layer.queue, t + delay, group, t, connections.groups[group].first)
    return t + delay


@inlined
def next_arrival(layer: LayerRun, inputs: Inputs) -> float:
    """Queue the inputs sent before the next arrival and return its time.

    Return -1 if the queue has no room for them.
    """
    counters = layer.counters
    t = earliest(layer.queue)
    k = counters.next_input
    while k < len(inputs.times) and inputs.times[k] <= t:
        if layer.queue.state[0].n_entries >= len(layer.queue.heap):
            return -1.0
        t = min(t, queue_spike(layer, inputs.rows[k], inputs.times[k]))
        k += 1
        counters.next_input = k
    return earliest(layer.queue)


@inlined
def fetch(connections: Connections, group: int) -> None:
    """Prefetch the connections of a group that is delivered later: most lie far apart."""
    first = np.int64(connections.groups[group].first)
    prefetch(connections.targets, first)
    if len(connections.weights) > 0:
        prefetch(connections.weights, first)
        prefetch(connections.weights, np.int64(connections.groups[group + 1].first) - 1)


@inlined
def take_batch(layer: LayerRun, t: float) -> int:
    """Move everything that arrives at `t` from the queue to the batch; queue the next groups.

    Return CONTINUE.
    """
    first = layer.queue.heap[0]
    n = 0
    while earliest(layer.queue) == t:
        group = first.key
        origin = first.value
        start = layer.connections.groups[group].first
        stop = layer.connections.groups[group + 1].first
        set_entry(layer.run.batch[n], start, stop, group)
        n += 1
        take(layer.queue)
        queue_next_group(layer, group + 1, origin)
    set_batch(layer, n, t)
    return CONTINUE


@inlined
def set_batch(layer: LayerRun, n: int, t: float) -> None:
    """Make the first `n` entries the batch, which arrives at `t`."""
    counters = layer.counters
    counters.now = t
    counters.batch_size = n
    counters.n_delivered = 0


@inlined
def queue_next_group(layer: LayerRun, group: int, origin: float) -> None:
    """Queue the next group that a spike of time `origin` reaches, if its row has not ended."""
    delay = delay_of(layer.connections, group)
    if delay != END:
        fetch(layer.connections, group)
        add(layer.queue, origin + delay, group, origin, 0)


@kernel
def flush_neuron(layer: LayerRun, i: int, t: float) -> bool:
    """Let neuron `i` fire as often as it does without input up to `t`.

    Return False if room ran out.
    """
    if none_fired(layer.neurons, i, i + 1) or layer.run.flags[i] & SUPRATHRESHOLD != 0:
        return True
    when = next_spike(layer.neurons, i, t)
    while when <= t:
        if not emit(layer, i, when):
            return False
        when = next_spike(layer.neurons, i, t)
    return True


@kernel
def flush(layer: LayerRun, t: float) -> bool:
    """Advance all pending neurons to `t`, and drop those that are silent until the horizon.

    Return False if room ran out.
    """
    neurons = layer.neurons
    run = layer.run
    counters = layer.counters
    advance_to(neurons, t)
    for k in range(counters.n_pending):
        if k + _PREFETCHED < counters.n_pending:
            coming = run.pending[k + _PREFETCHED]
            prefetch(neurons.state, coming)
            fetch_own_groups(layer, coming)
        if not flush_neuron(layer, run.pending[k], t):
            return False
    drop_silent(layer)
    return True


@inlined
def fetch_own_groups(layer: LayerRun, i: int) -> None:
    """Prefetch the first group of the recurrent connections of neuron `i`."""
    first_row = layer.settings.n_inputs
    first_group = layer.connections.first_group
    if first_row + len(layer.neurons.state) < len(first_group):
        prefetch(layer.connections.groups, first_group[first_row + i])


@inlined
def drop_silent(layer: LayerRun) -> None:
    """Remove the neurons that are silent until the horizon from the pending ones."""
    run = layer.run
    counters = layer.counters
    kept = 0
    for k in range(counters.n_pending):
        i = run.pending[k]
        if silent_until_horizon(layer.neurons, i):
            run.flags[i] &= SUPRATHRESHOLD | STAYS | REACHED
        else:
            run.pending[kept] = i
            kept += 1
    counters.n_pending = kept


@kernel
def list_pending(layer: LayerRun, now: float, horizon: float) -> None:
    """Move the horizon, and list the neurons that may fire before it without input."""
    neurons = layer.neurons
    advance_to(neurons, horizon)
    set_horizon(neurons, horizon)
    n = len(neurons.state)
    for chunk in range(0, n, _CHUNK):
        stop = min(chunk + _CHUNK, n)
        if not none_fired(neurons, chunk, stop):
            for i in range(chunk, stop):
                add_pending(layer, i)
    advance_to(neurons, now)


@kernel
def add_pending(layer: LayerRun, i: int) -> None:
    """List neuron `i` if it may fire before the horizon without input."""
    run = layer.run
    if not silent_until_horizon(layer.neurons, i) and run.flags[i] & PENDING == 0:
        counters = layer.counters
        run.flags[i] |= PENDING
        run.pending[counters.n_pending] = i
        counters.n_pending += 1


@kernel
def fire_reached(layer: LayerRun, i: int, t: float) -> bool:
    """Let neuron `i` fire, at most once per time, if the spikes that arrived at `t` cause it to.

    Return whether room is left.
    """
    room = True
    if at_threshold(layer.neurons, i, t):
        if layer.neurons.state[i].last_spike != t:
            room = emit(layer, i, t)
        else:
            add_suprathreshold(layer.run, i)
    if layer.settings.fires_between_events:
        add_pending(layer, i)
    return room


@inlined
def receive_batch(layer: LayerRun, t: float) -> bool:
    """Deliver the batch, and list the neurons that it may make fire.

    Return False where room is lacking; a further call continues.
    """
    run = layer.run
    counters = layer.counters
    while counters.n_delivered < counters.batch_size:
        entry = run.batch[counters.n_delivered]
        group = entry.group
        for k in range(entry.first + counters.n_connections, entry.stop):
            i = layer.connections.targets[k]
            is_late = run.flags[i] & (PENDING | REACHED) == PENDING
            if is_late and not flush_neuron(layer, i, t):
                counters.n_connections = k - entry.first
                return False
            receive(layer.neurons, i, weight_of(layer.connections, group, k), t)
            if not silent_until_horizon(layer.neurons, i) and run.flags[i] & REACHED == 0:
                run.flags[i] |= REACHED
                run.reached[counters.n_reached] = i
                counters.n_reached += 1
        counters.n_connections = 0
        counters.n_delivered += 1
    return True


@inlined
def fire_batch(layer: LayerRun, t: float) -> bool:
    """Let the neurons fire that the batch at `t` has brought to threshold.

    Return False where room is lacking; a further call continues.
    """
    run = layer.run
    counters = layer.counters
    while counters.n_reached > 0:
        counters.n_reached -= 1
        i = run.reached[counters.n_reached]
        run.flags[i] &= SUPRATHRESHOLD | STAYS | PENDING
        if not silent_until_horizon(layer.neurons, i) and not fire_reached(layer, i, t):
            return False
    return True


@kernel
def fire_suprathreshold(layer: LayerRun, t: float) -> bool:
    """Let the neurons fire that were left above threshold before `t`.

    Return False where room is lacking; a further call continues.
    """
    run = layer.run
    counters = layer.counters
    for k in range(counters.n_suprathreshold):
        i = run.suprathreshold[k]
        waits = layer.neurons.state[i].last_spike != t
        if waits and at_threshold(layer.neurons, i, t) and not emit(layer, i, t):
            return False
        if layer.settings.fires_between_events:
            add_pending(layer, i)
    return True


@kernel
def drop_subthreshold(layer: LayerRun, t: float) -> None:
    """Remove the neurons that are below threshold after the batch at `t` from the list."""
    run = layer.run
    counters = layer.counters
    kept = 0
    for k in range(counters.n_suprathreshold):
        i = run.suprathreshold[k]
        last = layer.neurons.state[i].last_spike
        keep = run.flags[i] & STAYS != 0 if last == t else last + layer.settings.refractory > t
        if keep:
            run.suprathreshold[kept] = i
            kept += 1
        else:
            run.flags[i] &= PENDING | REACHED
    counters.n_suprathreshold = kept


@inlined
def deliver_batch(layer: LayerRun) -> bool:
    """Deliver the batch and let neurons fire.

    Return False where room is lacking; a further call continues.
    """
    counters = layer.counters
    now = counters.now
    if counters.batch_size > 0:
        advance_to(layer.neurons, now)
        if not receive_batch(layer, now) or not fire_batch(layer, now):
            return False
        counters.batch_size = DELIVERED
    if counters.n_suprathreshold > 0:
        advance_to(layer.neurons, now)
        if not fire_suprathreshold(layer, now):
            return False
        drop_subthreshold(layer, now)
    counters.batch_size = 0
    return True


@kernel
def begin_run(run: RunState) -> None:
    """Reset what belongs to one run, unless it has begun and is continued with more room."""
    counters = run.counters[0]
    if counters.has_begun:
        return
    counters.has_begun = True
    counters.window_end = 0.0
    counters.horizon = 0.0
    counters.now = -1.0
    counters.next_input = 0
    counters.n_fired = 0
    counters.n_pending = 0
    counters.stage = 0
    for i in range(len(run.flags)):
        run.flags[i] &= SUPRATHRESHOLD | STAYS | REACHED


@kernel
def open_first_window(layer: LayerRun) -> None:
    """Set the first window and the horizon of a run."""
    counters = layer.counters
    settings = layer.settings
    counters.window_end = settings.duration
    if settings.fires_between_events:
        counters.horizon = min(settings.horizon_step, settings.duration)
        counters.window_end = min(settings.lookahead, counters.horizon)
        list_pending(layer, 0.0, counters.horizon)


@kernel
def close_window(layer: LayerRun) -> int:
    """Advance pending neurons to the end of the window and open the next window.

    Return DONE at the end of the run, NO_ROOM where room is lacking, otherwise CONTINUE.
    """
    counters = layer.counters
    settings = layer.settings
    end = counters.window_end
    if settings.fires_between_events and not flush(layer, end):
        return NO_ROOM
    if end >= settings.duration:
        return DONE
    if end >= counters.horizon:
        counters.horizon = min(end + settings.horizon_step, settings.duration)
        list_pending(layer, end, counters.horizon)
    counters.window_end = min(end + settings.lookahead, counters.horizon)
    return CONTINUE


@inlined
def is_in_window(layer: LayerRun, t: float) -> bool:
    """Return whether `t` is in the window; the end of the run is in the last one."""
    end = layer.counters.window_end
    return t < end or (t == end and end == layer.settings.duration)


@nogil_entry
def run_events(
    neurons: Neurons,
    connections: Connections,
    queue: SpikeQueue,
    run: RunState,
    times: Float64,
    rows: Int64,
) -> int:
    """Run one layer through its input spikes.

    Parameters
    ----------
    neurons, connections, queue, run
        The layer; all but the connections and the settings of the run are written. The shortest
        recurrent delay is above 0 if neurons fire between events.
    times, rows
        Input spikes: (n,) float64 in ms, sorted, and (n,) int64.

    Returns
    -------
    DONE, or NO_ROOM if it must be called again with more room.
    """
    layer = LayerRun(neurons, connections, queue, run, run.counters[0], run.settings[0])
    inputs = Inputs(times, rows)
    counters = layer.counters
    begin_run(run)
    if counters.window_end == 0.0:
        open_first_window(layer)
    while True:
        if not has_room(layer):
            return NO_ROOM
        if counters.batch_size != 0 and not deliver_batch(layer):
            return NO_ROOM
        t = next_arrival(layer, inputs)
        if t < 0.0:
            return NO_ROOM
        status = take_batch(layer, t) if is_in_window(layer, t) else close_window(layer)
        if status != CONTINUE:
            return status
