"""Estimated resources of a fleet, and a simulation of slow and lost workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from benchmarks.grid import Grid

__all__ = ["Costs", "bill", "million", "simulate"]

_DEVICES = (10**4, 10**6, 10**8)
_ROW_BYTES = 16 + 8  # four float32 and a label, as sent by a source
_RESIDENT = 1000  # models in a worker's memory
_LOAD = 0.5  # busy share of a core, so that a restarted worker can catch up
# Seconds between checkpoints, at most; a restarted worker learns the rows since the last one again.
_MINUTE = 60.0
# Blocks in flight per worker; `loco_stream.fleet._ray_backend` allows slightly more.
_IN_FLIGHT = 16
_DRIVER = 0.7e-6  # core seconds per row in the driver


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs: core seconds and log bytes per row, bytes and seconds per stored key."""

    row: float
    log: float
    state: float
    store: float

    @classmethod
    def of(cls, embedded: Mapping[str, float]) -> Costs:
        """Return the costs in the results of the bench."""
        return cls(
            embedded["fleet_us"] * 1e-6,
            embedded["log_bytes"],
            embedded["state_bytes"],
            embedded["store_ms"] * 1e-3,
        )


def bill(costs: Costs) -> Grid:
    """Return the resources of fleets whose devices send a row per second, in blocks of 64.

    Models that do not fit into the workers' memory are stored and loaded between two blocks of a
    device. A restarted worker learns the rows since the last checkpoint of its groups again.
    """
    grid = Grid(
        "the bill at 1 Hz",
        ["devices", "cores", "memory", "disk", "network", "back after", "first limit"],
    )
    for devices in _DEVICES:
        stored = costs.store / _MINUTE  # each key is stored every minute
        cores = devices * (costs.row + stored) / _LOAD
        workers = max(1.0, np.ceil(cores))
        again = min(_MINUTE, 1e4 * 64) * devices / workers * costs.row
        grid.row(
            f"{devices:,}",
            f"{cores:,.1f}",
            f"{devices * costs.state * 1.3 / 1e9:,.0f} GB",
            f"{devices * costs.state / 1e9:,.0f} GB and "
            f"{devices * costs.state / _MINUTE / 1e6:,.0f} MB/s",
            f"{devices * (_ROW_BYTES + costs.log) / 1e6:,.1f} MB/s",
            f"{5.0 + again:,.0f} s",
            _first_limit(devices, costs),
        )
    return grid


def million(measured: Mapping[str, Mapping[str, float]]) -> Grid:
    """Return what a million keys would cost, from what so many of them did.

    Disk, the time to make the keys and the time to count them are taken as proportional to the
    number of keys. Memory is that of a process with 1,000 models in memory; a key at rest takes
    none of it.
    """
    grid = Grid(
        "a million keys, extrapolated",
        ["keys", "disk", "memory", "to make them", "to open and count", "a row of a key at rest"],
    )
    for name, found in measured.items():
        grid.row(
            name,
            f"{found['disk_bytes'] * 1e6 / 1e9:,.1f} GB",
            f"{found['resident_gb']:.2f} GB",
            f"{found['new_key_ms'] * 1e6 / 1e3 / 60:,.0f} min of CPU time",
            f"{found['open_and_count_s'] * 1e6 / found['n_keys']:,.1f} s",
            f"{found['load_and_learn_row_ms']:.1f} ms, resident {found['learn_row_ms']:.2f} ms",
        )
    return grid


def _first_limit(devices: int, costs: Costs) -> str:
    written = devices * costs.state / _MINUTE
    if devices * _DRIVER > _LOAD:
        return "one driver sends about 700,000 rows per second with half a core"
    return "the disk that models are stored on" if written > 500e6 else "none on one machine"


def simulate(
    workers: int, seconds: float, seed: int, blocks_a_second: float = 1.0
) -> dict[str, float]:
    """Simulate a driver that sends blocks to random workers, of which some are slow or lost.

    A block takes 5 ms. Every 10 minutes a worker is four times slower for 10 s; every 30 days it is
    lost for 10 s and then relearns. The driver blocks if a worker has 16 blocks in flight; the
    others work on.

    Returns
    -------
    dict
        Median and 99th percentile of the milliseconds until a block was learned, the longest wait
        in seconds, the share of time in which the driver was blocked, and the number of lost
        workers.
    """
    chance = np.random.default_rng(seed)
    n = int(workers * seconds * blocks_a_second)
    arrivals = np.cumsum(chance.exponential(seconds / n, n))
    targets = chance.integers(workers, size=n)
    trouble = _trouble(chance, workers, seconds)
    done = np.zeros((workers, _IN_FLIGHT))  # when each worker finishes its last blocks
    sent = np.zeros(workers, int)
    slow_until = np.zeros(workers)
    now = stood = 0.0
    waits = np.zeros(n)
    lost = 0
    for i in range(n):
        now = max(now, arrivals[i])
        while trouble and trouble[0][0] <= now:
            at, worker, is_loss = heappop(trouble)
            if is_loss:
                lost += 1
                done[worker] += np.where(done[worker] > at, 10.0, 0.0)
                last = sent[worker] % _IN_FLIGHT - 1
                done[worker, last] = max(done[worker, last], at + 10.0)
            else:
                slow_until[worker] = at + 10.0
        worker = targets[i]
        place = sent[worker] % _IN_FLIGHT
        if done[worker, place] > now:
            stood += done[worker, place] - now
            now = done[worker, place]
        begin = max(now, done[worker, place - 1])
        done[worker, place] = begin + (0.020 if begin < slow_until[worker] else 0.005)
        sent[worker] += 1
        waits[i] = done[worker, place] - arrivals[i]
    half, most = np.quantile(waits, [0.5, 0.99])
    return {
        "wait_ms_p50": 1e3 * float(half),
        "wait_ms_p99": 1e3 * float(most),
        "wait_s_max": float(waits.max()),
        "driver_stood": stood / seconds,
        "lost": lost,
    }


def _trouble(
    chance: np.random.Generator, workers: int, seconds: float
) -> list[tuple[float, int, bool]]:
    """Return a heap of (time, worker, lost or only slow)."""
    heap: list[Any] = []
    for every, is_loss in ((600.0, False), (30 * 86400.0, True)):
        for _ in range(chance.poisson(workers * seconds / every)):
            heappush(
                heap, (float(chance.uniform(0.0, seconds)), int(chance.integers(workers)), is_loss)
            )
    return heap
