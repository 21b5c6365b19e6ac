"""The calendar queue returns what a sorted list does, whatever the width of its buckets."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._simulator import calendar_queue
from loco_stream._simulator.connections import GROUP
from loco_stream._simulator.heap import ENTRY
from tests.helpers.jitted import jitted_module

ROOM = 512


def empty(n_buckets, per_ms):
    return calendar_queue.empty_queue(ROOM, n_buckets, per_ms, windowed=False)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_buckets=st.sampled_from([1, 2, 64, 2048]),
    per_ms=st.sampled_from([1e-3, 1.0, 50.0]),
    longest=st.sampled_from([0.0, 0.5, 7.0, 1e4]),
)
def test_entries_leave_in_order_of_time_and_group(seed, n_buckets, per_ms, longest):
    kernels = jitted_module(calendar_queue)
    rng = np.random.default_rng(seed)
    queue = empty(n_buckets, per_ms)
    twin = []
    now = 0.0
    for _ in range(400):
        if rng.random() < 0.55 and len(twin) < ROOM:
            time = now + longest * round(rng.random(), 2)
            group = int(rng.integers(50))
            kernels.add(queue, time, group, now, 0)
            heapq.heappush(twin, (time, group, now))
        elif twin:
            now = kernels.earliest(queue)
            first = heapq.heappop(twin)
            assert (now, queue.heap["key"][0]) == first[:2]
            kernels.take(queue)
        assert queue.state["n_entries"][0] == len(twin)
    waiting = np.zeros(len(twin), ENTRY)
    calendar_queue.drain(queue, waiting)
    drained = zip(waiting["time"].tolist(), waiting["key"].tolist(), strict=True)
    assert sorted(drained) == sorted((time, group) for time, group, _ in twin)
    calendar_queue.refill(queue, waiting, np.zeros(50, GROUP))
    assert kernels.earliest(queue) == (min(twin)[0] if twin else np.inf)


def test_slots_are_used_again():
    kernels = jitted_module(calendar_queue)
    queue = empty(64, 10.0)
    for k in range(20 * ROOM):
        kernels.add(queue, k + 3.0, 0, float(k), 0)
        kernels.add(queue, k + 4.0, 1, float(k), 0)
        for _ in range(2 if k else 0):
            kernels.earliest(queue)
            kernels.take(queue)
    assert queue.state["n_slots"][0] <= 4


@pytest.mark.parametrize("delay", [0.1, 1.0, "spread"])
def test_memory_of_the_queue_is_bounded_by_spikes_under_way(delay):
    from scipy.sparse import random_array

    from loco_stream import Network

    rng = np.random.default_rng(3)
    recurrent = random_array(
        (300, 300), density=0.1, rng=rng, data_sampler=lambda size: rng.normal(0.0, 0.05, size)
    )
    delays = recurrent.copy()
    delays.data[:] = rng.integers(1, 21, len(delays.data)) * 0.1 if delay == "spread" else delay
    net = Network.from_weights(
        [np.zeros((1, 300))],
        drive=1.1,
        refractory=2.0,
        reset="zero",
        recurrent=recurrent,
        recurrent_delays=delays,
        dtype="float64",
    )
    fired = len(net.run([], [], 1000.0, initial=[rng.uniform(0.0, 1.0, 300)]))
    layer = net._net.layers[0]
    assert fired > 3000
    # the room at the start, then doubled for spikes fired
    assert len(layer.queue.slots) <= max(16 * 300 + 64, 2 * fired)
    assert len(layer.waiting) < 0.05 * fired
