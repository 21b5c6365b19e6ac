"""The calendar queue gives what a sorted list gives, whatever the width of its buckets."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.simulator import calendar_queue
from loco_stream.simulator.calendar_queue import QUEUED
from tests.helpers.jitted import jitted_module

ROOM = 512


def empty(buckets, per_ms):
    queue = np.zeros(6, np.int64)
    clock = np.array([per_ms])
    return queue, clock, np.zeros((ROOM, 3)), np.zeros((ROOM, 5)), np.zeros(buckets, np.int32)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    buckets=st.sampled_from([1, 2, 64, 2048]),
    per_ms=st.sampled_from([1e-3, 1.0, 50.0]),
    longest=st.sampled_from([0.0, 0.5, 7.0, 1e4]),
)
def test_entries_leave_in_order_of_time_and_group(seed, buckets, per_ms, longest):
    kernels = jitted_module(calendar_queue)
    rng = np.random.default_rng(seed)
    arrays = empty(buckets, per_ms)
    twin = []
    now = 0.0
    queue, _, heap, _, _ = arrays
    for _ in range(400):
        if rng.random() < 0.55 and len(twin) < ROOM:
            time = now + longest * round(rng.random(), 2)
            group = int(rng.integers(50))
            kernels.add(*arrays, time, group, now, 0.0)
            heapq.heappush(twin, (time, group, now))
        elif twin:
            now = kernels.earliest(*arrays)
            first = heapq.heappop(twin)
            assert (now, heap[0, 1]) == first[:2]
            kernels.take(queue, heap)
        assert queue[QUEUED] == len(twin)
    waiting = np.zeros((len(twin), 3))
    calendar_queue.drain(queue, *arrays[2:], waiting)
    assert sorted(row[:2] for row in waiting.tolist()) == sorted(
        [time, float(group)] for time, group, _ in twin
    )
    calendar_queue.refill(*arrays, waiting, np.zeros((50, 4)))
    assert kernels.earliest(*arrays) == (min(twin)[0] if twin else np.inf)


def test_slots_are_used_again():
    kernels = jitted_module(calendar_queue)
    arrays = empty(64, 10.0)
    for k in range(20 * ROOM):
        kernels.add(*arrays, k + 3.0, 0, float(k), 0.0)
        kernels.add(*arrays, k + 4.0, 1, float(k), 0.0)
        for _ in range(2 if k else 0):
            kernels.earliest(*arrays)
            kernels.take(arrays[0], arrays[2])
    assert arrays[0][calendar_queue.USED] <= 4


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
    progress = net._net.layers[0].progress
    assert fired > 3000
    assert len(progress.slots) <= max(
        16 * 300 + 64, 2 * fired
    )  # room at the start, then doubled for spikes fired
    assert len(net._net.layers[0].waiting) < 0.05 * fired
