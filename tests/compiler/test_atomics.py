"""Numbers that threads share."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numba import config, njit

from loco_stream._compiler import atomics

N = 20_000
compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="only compiled code has threads")


@njit(nogil=True)
def count(numbers, k, n):
    for _ in range(n):
        atomics.add(numbers, k, 1)


@njit(nogil=True)
def hand_over(numbers, written, n):
    """Write item by item, and wait until the other thread has read each."""
    for i in range(n):
        written[0] = i
        atomics.store(numbers, 0, i + 1)
        while atomics.load(numbers, 8) <= i:
            atomics.pause()


@njit(nogil=True)
def receive(numbers, written, read, n):
    for i in range(n):
        while atomics.load(numbers, 0) <= i:
            atomics.pause()
        read[i] = written[0]
        atomics.store(numbers, 8, i + 1)


def in_threads(*calls):
    threads = [threading.Thread(target=function, args=args) for function, args in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_interpreted():
    numbers = np.array([3, 4])
    atomics.store(numbers, 0, 7)
    assert atomics.add(numbers, 0, 2) == 7
    assert (atomics.load(numbers, 0), atomics.load(numbers, 1)) == (9, 4)
    assert atomics.pause() is None


@compiled
def test_no_addition_is_lost():
    numbers = np.zeros(2, np.int64)
    in_threads(*[(count, (numbers, 1, N))] * 3)
    assert numbers.tolist() == [0, 3 * N]


@compiled
def test_what_was_written_before_a_number_is_seen_after_it():
    n = 500
    numbers = np.zeros(16, np.int64)
    written = np.zeros(1, np.int64)
    read = np.full(n, -1)
    in_threads((hand_over, (numbers, written, n)), (receive, (numbers, written, read, n)))
    assert read.tolist() == list(range(n))
