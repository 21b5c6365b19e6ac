"""The bill for a fleet of so many devices, and what stragglers and lost machines do to a thousand workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from benchmarks.grid import Grid

__all__ = ["Costs", "bill", "simulate"]

_DEVICES = (10**4, 10**6, 10**8)
_ROW_BYTES = 16 + 8  # four float32 and a label, as a source sends them
_RESIDENT = 1000  # models in the memory of one worker
_LOAD = 0.5  # share of a core that may be busy, so that a worker which comes back catches up
_MINUTE = (
    60.0  # seconds between checkpoints, at most: what a worker learns again when it comes back
)
# blocks of a worker that may be under way; in `loco_stream.fleet.ray_backend` a few more have room
_IN_FLIGHT = 16
_DRIVER = 0.7e-6  # core seconds a row that the driver takes


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: core seconds a row; bytes of log a row.

    Bytes and seconds to store a key.
    """

    row: float
    log: float
    state: float
    store: float

    @classmethod
    def of(cls, embedded: Mapping[str, float]) -> Costs:
        """Take them from the results of the bench."""
        return cls(
            embedded["fleet_us"] * 1e-6,
            embedded["log_bytes"],
            embedded["state_bytes"],
            embedded["store_ms"] * 1e-3,
        )


def bill(costs: Costs) -> Grid:
    """Return what fleets need whose devices send a row a second, 64 rows at a time.

    All models rest and wake between two blocks of a device unless the workers' memory holds them; a
    worker learns again at most what came since the last checkpoint of its groups.
    """
    grid = Grid(
        "the bill at 1 Hz",
        ["devices", "cores", "memory", "disk", "network", "back after", "first limit"],
    )
    for devices in _DEVICES:
        stored = costs.store / _MINUTE  # each key is stored once a minute
        cores = devices * (costs.row + stored) / _LOAD
        workers = max(1.0, np.ceil(cores))
        again = min(_MINUTE, 1e4 * 64) * devices / workers * costs.row
        grid.row(
            f"{devices:,}",
            f"{cores:,.1f}",
            f"{devices * costs.state * 1.3 / 1e9:,.0f} GB",
            f"{devices * costs.state / 1e9:,.0f} GB and {devices * costs.state / _MINUTE / 1e6:,.0f} MB/s",
            f"{devices * (_ROW_BYTES + costs.log) / 1e6:,.1f} MB/s",
            f"{5.0 + again:,.0f} s",
            _first_limit(devices, costs),
        )
    return grid


def _first_limit(devices: int, costs: Costs) -> str:
    written = devices * costs.state / _MINUTE
    if devices * _DRIVER > _LOAD:
        return "one driver sends about 700,000 rows a second with half a core"
    return "the disk that models are stored on" if written > 500e6 else "none on one machine"


def simulate(
    workers: int, seconds: float, seed: int, blocks_a_second: float = 1.0
) -> dict[str, float]:
    """Send blocks to workers at random, at most 16 under way each, while some are slow and some die.

    A block takes 5 ms. A worker is slowed down fourfold for 10 s every 10 minutes, and lost every
    30 days; it is back after 10 s and first learns again. The driver waits for a worker that has 16
    blocks; others work on what they have.

    Returns
    -------
    dict
        Milliseconds that half and 99 % of the blocks waited to be learned, the longest wait (s),
        the share of time in which the driver stood still, and how many workers were lost.
    """
    chance = np.random.default_rng(seed)
    n = int(workers * seconds * blocks_a_second)
    arrivals = np.cumsum(chance.exponential(seconds / n, n))
    targets = chance.integers(workers, size=n)
    trouble = _trouble(chance, workers, seconds)
    done = np.zeros((workers, _IN_FLIGHT))  # when a worker is done with each of its last blocks
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
    """Return a heap of when which worker is slowed down (False) or lost (True)."""
    heap: list[Any] = []
    for every, is_loss in ((600.0, False), (30 * 86400.0, True)):
        for _ in range(chance.poisson(workers * seconds / every)):
            heappush(
                heap, (float(chance.uniform(0.0, seconds)), int(chance.integers(workers)), is_loss)
            )
    return heap
