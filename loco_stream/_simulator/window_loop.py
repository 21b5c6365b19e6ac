"""The event loop by windows: one layer of neurons whose input may be added in any order.

A window is at most as long as the shortest recurrent delay: no spike fired in it arrives in it. Its
arrivals are known when it opens, and neurons do not affect each other until it ends. The queue has
one bucket per window. Each spike in the bucket follows the connections of its row, sorted by delay,
as far as the window reaches, and goes to the bucket of its next arrival. The arrivals are listed
and then added up, without sorting.

Between spikes the state of such neurons is constant (`EventOperations.psp_scale`). As long as the
positive changes of a neuron add up to less than its distance to the threshold, their order does not
matter. The few other neurons (one in a hundred arrivals in benchmark 4 of Brette et al. 2007) are
set back to their state at the beginning of the window, and receive their arrivals in order of time,
from the heap, as `event_loop` delivers them. Spikes and their times are those of `event_loop` up to
rounding.

Neurons that a reset leaves above threshold fire at the next arrival anywhere in the layer. While
there are any, the heap also holds the times of all arrivals of the window, as "ticks".

Neurons and connections lie far apart in memory: they are prefetched some steps before they are
used.
"""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._compiler.jit import inlined, kernel, nogil_entry
from loco_stream._compiler.simd.ops import write_arrivals, write_equal_arrivals
from loco_stream._compiler.simd.prefetch import prefetch
from loco_stream._compiler.simd.sizes import DOUBLES
from loco_stream._simulator.calendar_queue import (
    SpikeQueue,
    free_slot,
    put_slot,
    set_arrival,
)
from loco_stream._simulator.connections import END, Connections, delay_of, weight_of
from loco_stream._simulator.event_loop import (
    CONTINUE,
    DONE,
    PENDING,
    REACHED,
    STAYS,
    SUPRATHRESHOLD,
    add_pending,
    begin_run,
    deliver_batch,
    fetch_own_groups,
    flush,
    has_room,
    queue_spike,
    set_batch,
)
from loco_stream._simulator.heap import pop, push
from loco_stream._simulator.run_state import (
    DELIVERED,
    LOOK_AHEAD,
    Inputs,
    LayerRun,
    RunState,
    WindowArrivals,
    set_entry,
)
from loco_stream.neurons._operations import Neurons, advance_to, psp_scale, set_horizon
from loco_stream.neurons._spikes import NO_ROOM

# Stages of a window; 0 before the first.
COLLECT = 1
DELIVER = 2
CLOSE = 3
_PREFETCHED = 8  # spikes ahead whose connections are prefetched
TICK = -1  # in place of a connection


@inlined
def queue_inputs(layer: LayerRun, inputs: Inputs, end: float, is_last: bool) -> bool:
    """Queue the inputs sent within the window; return False if there is no room for them."""
    counters = layer.counters
    k = counters.next_input
    while k < len(inputs.times) and (inputs.times[k] < end or is_last):
        if layer.queue.state[0].n_entries >= len(layer.queue.slots):
            return False
        queue_spike(layer, inputs.rows[k], inputs.times[k])
        k += 1
        counters.next_input = k
    return True


@kernel
def add_up(layer: LayerRun, arrivals: WindowArrivals) -> int:
    """Add all arrivals of the window, store the states before, list the neurons that may fire.

    Return the number of these.
    """
    state = layer.neurons.state
    run = layer.run
    refractory = layer.settings.refractory
    n_reached = 0
    for k in range(layer.counters.n_arrivals):
        i = np.uint64(arrivals.targets[k])  # unsigned: not checked for < 0
        prefetch(state, np.int64(arrivals.targets[k + LOOK_AHEAD]))
        neuron = state[i]
        before = neuron.scaled_v
        jump = arrivals.jumps[k]
        if not neuron.last_spike + refractory <= arrivals.times[k]:
            jump = 0.0
        margin = neuron.margin - max(jump, 0.0)
        arrivals.before[k] = before
        neuron.scaled_v = before + jump
        neuron.margin = margin
        if (margin <= 0.0) & (jump != 0.0) and run.flags[i] & REACHED == 0:
            run.flags[i] |= REACHED
            run.reached[n_reached] = i
            n_reached += 1
    return n_reached


@inlined
def fetch(connections: Connections, group: int, first: int) -> None:
    """Prefetch a group and the first of its connections."""
    prefetch(connections.groups, group + 1)  # where it ends, and what follows
    prefetch(connections.targets, first)
    if len(connections.weights) > 0:
        prefetch(connections.weights, first)
        prefetch(connections.weights, first + DOUBLES - 1)


@inlined
def fetch_slot(layer: LayerRun, slot: int) -> int:
    """Prefetch what a spike of the bucket needs; return the next slot of the bucket."""
    spike = layer.queue.slots[slot - 1]
    fetch(layer.connections, spike.group, spike.first)
    return spike.next


@kernel
def list_arrivals(layer: LayerRun, arrivals: WindowArrivals, is_last: bool) -> bool:
    """List the arrivals of all spikes of the window, and file the spikes under their next window.

    Return False where room is lacking; a further call continues.
    """
    queue = layer.queue
    counters = layer.counters
    coming = counters.slot
    for _ in range(_PREFETCHED):
        if coming != 0:
            coming = fetch_slot(layer, coming)
    while counters.slot != 0:
        slot = counters.slot
        following = queue.slots[slot - 1].next
        if coming != 0:
            coming = fetch_slot(layer, coming)
        if not _follow(layer, arrivals, slot, is_last):
            return False
        counters.slot = following
    return True


@inlined
def _follow(layer: LayerRun, arrivals: WindowArrivals, slot: int, is_last: bool) -> bool:
    """List the arrivals of one spike in the window, and put it into its next bucket.

    Return False where room is lacking, with the spike at its next arrival.
    """
    counters = layer.counters
    state = layer.queue.state[0]
    spike = layer.queue.slots[slot - 1]
    room = len(arrivals.runs) // 2
    duration = layer.settings.duration
    t = spike.time
    group = spike.group
    first = spike.first
    bucket = state.bucket
    while bucket <= state.bucket and not (is_last and t > duration):
        stop = np.int64(layer.connections.groups[group + 1].first)
        if counters.n_arrivals + stop - first > room:
            set_arrival(layer.queue, slot, t, group, first)
            return False
        _write_group(layer, arrivals, t, group, first, stop)
        group += 1
        delay = delay_of(layer.connections, group)
        if delay == END:
            free_slot(layer.queue, slot)
            state.n_entries -= 1
            return True
        first = stop
        t = spike.origin + delay
        bucket = int(t * state.per_ms)
    fetch(layer.connections, group, first)
    set_arrival(layer.queue, slot, t, group, first)
    put_slot(layer.queue, slot, max(bucket, state.bucket))
    return True


@inlined
def _write_group(
    layer: LayerRun, arrivals: WindowArrivals, t: float, group: int, first: int, stop: int
) -> None:
    """List the arrivals through a group of connections, `first` to `stop - 1`, at `t`."""
    connections = layer.connections
    targets = connections.targets
    counters = layer.counters
    start = counters.n_arrivals
    scale = psp_scale(layer.neurons, t)
    if len(connections.weights) > 0:
        write_arrivals(targets, connections.weights, first, stop, t, scale, arrivals, start)
    else:
        jump = weight_of(connections, group, first) * scale
        write_equal_arrivals(targets, first, stop, t, jump, arrivals, start)
    run = arrivals.runs[counters.n_runs]
    run.group = group
    run.start = start
    counters.n_runs += 1
    counters.n_arrivals = start + stop - first


@kernel
def take_back(layer: LayerRun, arrivals: WindowArrivals) -> None:
    """Set the neurons that may fire back to the start of the window, and sort their arrivals."""
    counters = layer.counters
    k_run = counters.n_runs - 1
    for k in range(counters.n_arrivals - 1, -1, -1):
        i = np.uint64(arrivals.targets[k])
        if layer.run.flags[i] & REACHED != 0:
            layer.neurons.state[i].scaled_v = arrivals.before[k]
            while arrivals.runs[k_run].start > k:
                k_run -= 1
            _sort_arrival(layer, arrivals, k, arrivals.runs[k_run])
    _clear_reached(layer)


@inlined
def _sort_arrival(layer: LayerRun, arrivals: WindowArrivals, k: int, run: np.record) -> None:
    """Add arrival `k`, which belongs to a run of arrivals (of RUN), to the heap."""
    queue = layer.queue.state[0]
    connection = np.int64(layer.connections.groups[run.group].first) + k - run.start
    queue.n_sorted = push(
        layer.queue.heap, queue.n_sorted, arrivals.times[k], connection, float(run.group)
    )


@inlined
def _clear_reached(layer: LayerRun) -> None:
    """Clear the list of reached neurons, and prefetch their own connections: most will fire."""
    run = layer.run
    for k in range(layer.counters.n_reached):
        i = run.reached[k]
        run.flags[i] &= SUPRATHRESHOLD | STAYS | PENDING
        fetch_own_groups(layer, i)
    layer.counters.n_reached = 0


@kernel
def add_ticks(layer: LayerRun, arrivals: WindowArrivals) -> None:
    """Add the times of all later arrivals of the window to the heap."""
    counters = layer.counters
    queue = layer.queue.state[0]
    for k in range(counters.n_runs):
        when = arrivals.times[arrivals.runs[k].start]
        if when > counters.now:
            queue.n_sorted = push(layer.queue.heap, queue.n_sorted, when, TICK, 0.0)
    counters.has_ticks = True


@inlined
def next_batch(layer: LayerRun) -> None:
    """Make the first arrivals of the heap the batch."""
    queue = layer.queue.state[0]
    heap = layer.queue.heap
    first = heap[0]
    t = first.time
    n = 0
    while queue.n_sorted > 0 and first.time == t:
        connection = first.key
        group = int(first.value)
        queue.n_sorted = pop(heap, queue.n_sorted)
        if connection != TICK:
            set_entry(layer.run.batch[n], connection, connection + 1, group)
            n += 1
    set_batch(layer, n if n > 0 else DELIVERED, t)


@inlined
def collect(
    layer: LayerRun, arrivals: WindowArrivals, inputs: Inputs, end: float, is_last: bool
) -> bool:
    """Find the arrivals of the window and add them up.

    Return False where room is lacking; a further call continues.
    """
    counters = layer.counters
    ring = layer.queue.ring
    if not queue_inputs(layer, inputs, end, is_last):
        return False
    if counters.n_runs == 0 and counters.slot == 0:
        place = layer.queue.state[0].bucket & (len(ring) - 1)
        counters.slot = ring[place]
        ring[place] = 0
    if not list_arrivals(layer, arrivals, is_last):
        return False
    counters.n_reached = add_up(layer, arrivals)
    if counters.n_reached > 0:
        take_back(layer, arrivals)
    return True


@inlined
def deliver_next(layer: LayerRun, arrivals: WindowArrivals) -> int:
    """Deliver the batch and take the next one from the heap.

    Return DONE if there is none, NO_ROOM where room is lacking, otherwise CONTINUE.
    """
    counters = layer.counters
    if counters.batch_size != 0 and not deliver_batch(layer):
        return NO_ROOM
    if counters.n_suprathreshold > 0 and not counters.has_ticks:
        add_ticks(layer, arrivals)
    if layer.queue.state[0].n_sorted > 0:
        next_batch(layer)
        return CONTINUE
    return DONE


@kernel
def list_all_pending(layer: LayerRun, horizon: float) -> None:
    """Move the horizon, and update the margin of all neurons."""
    set_horizon(layer.neurons, horizon)
    for i in range(len(layer.neurons.state)):
        add_pending(layer, i)


@inlined
def open_window(layer: LayerRun, inputs: Inputs) -> None:
    """Go to the next window in which anything happens, at most to the horizon or the end."""
    counters = layer.counters
    layer.queue.state[0].bucket += 1
    if counters.n_pending == 0 or not layer.settings.fires_between_events:
        _skip_empty(layer.queue, _next_event(layer, inputs))
    counters.n_runs = 0
    counters.n_arrivals = 0
    counters.has_ticks = False
    counters.slot = 0


@inlined
def _skip_empty(queue: SpikeQueue, stop: int) -> None:
    """Go to the next bucket that is not empty, at most to `stop`."""
    state = queue.state[0]
    mask = len(queue.ring) - 1
    if state.n_entries == 0:
        state.bucket = max(state.bucket, stop)
    while state.bucket < stop and queue.ring[state.bucket & mask] == 0:
        state.bucket += 1


@inlined
def _next_event(layer: LayerRun, inputs: Inputs) -> int:
    """Return the window of the next input, of the horizon or of the end, whichever is first."""
    settings = layer.settings
    counters = layer.counters
    per_ms = layer.queue.state[0].per_ms
    end = settings.duration
    if settings.fires_between_events:
        end = min(counters.horizon, settings.duration)
    stop = int(end * per_ms)
    if counters.next_input < len(inputs.times):
        stop = min(stop, int(inputs.times[counters.next_input] * per_ms))
    return stop


@inlined
def start_window(layer: LayerRun, inputs: Inputs) -> None:
    """Open the next window and advance the neurons to its beginning."""
    counters = layer.counters
    settings = layer.settings
    queue = layer.queue.state[0]
    open_window(layer, inputs)
    start = queue.bucket / queue.per_ms
    end = (queue.bucket + 1) / queue.per_ms
    advance_to(layer.neurons, start)
    if settings.fires_between_events and end > counters.horizon:
        counters.horizon = max(start + settings.horizon_step, end)
        list_all_pending(layer, counters.horizon)
    counters.stage = COLLECT


@nogil_entry
def run_windows(
    neurons: Neurons,
    connections: Connections,
    queue: SpikeQueue,
    run: RunState,
    arrivals: WindowArrivals,
    times: Float64,
    rows: Int64,
) -> int:
    """Run one layer through its input spikes.

    Parameters are those of `run_events`. The queue must be windowed, with a year longer than any
    delay and buckets shorter than any recurrent delay. `arrivals` is written.

    Returns
    -------
    DONE, or NO_ROOM if it must be called again with more room.
    """
    layer = LayerRun(neurons, connections, queue, run, run.counters[0], run.settings[0])
    inputs = Inputs(times, rows)
    counters = layer.counters
    settings = layer.settings
    state = queue.state[0]
    begin_run(run)
    while True:
        if not has_room(layer):
            return NO_ROOM
        is_last = state.bucket >= int(settings.duration * state.per_ms)
        end = settings.duration if is_last else (state.bucket + 1) / state.per_ms
        if counters.stage == COLLECT:
            if not collect(layer, arrivals, inputs, end, is_last):
                return NO_ROOM
            counters.stage = DELIVER
        if counters.stage == DELIVER:
            status = deliver_next(layer, arrivals)
            if status == NO_ROOM:
                return NO_ROOM
            if status == CONTINUE:
                continue
            counters.stage = CLOSE
        if counters.stage == CLOSE:
            if settings.fires_between_events and not flush(layer, end):
                return NO_ROOM
            if is_last:
                return DONE
        start_window(layer, inputs)
