"""Nets and spikes for `python -m benchmarks simulator` and its peers, and the row gather."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.machine import cpu_seconds, median
from loco_stream import Network
from loco_stream._compiler.alignment import aligned_zeros

__all__ = ["SIZES", "STEPS", "Workload", "brette4", "row_gather", "workload"]

SIZES = {"W1": (784, 256, 256, 10), "W1-deep": (784, *[128] * 10, 10)}
STEPS = 20  # of 1 ms
DENSITY = 0.1
_RATE = 0.1  # share of neurons that fire in a step, in every layer
_SAMPLES = 64


class Workload(NamedTuple):
    """A dense net and samples to run through it."""

    weights: list[NDArray[np.float32]]
    samples: list[tuple[NDArray[np.float32], NDArray[np.int32]]]  # times in ms, input neurons


def bernoulli(
    rng: Any, n_inputs: int, density: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return one sample: every input fires in every step with probability `density`."""
    step, index = np.nonzero(rng.random((STEPS, n_inputs)) < density)
    return step.astype(np.float32), index.astype(np.int32)


def workload(name: str, seed: int = 0) -> Workload:
    """Return W1 or W1-deep, whose normal weights are scaled until every layer fires at `_RATE`."""
    rng = np.random.default_rng(seed)
    sizes = SIZES[name]
    samples = [bernoulli(rng, sizes[0], DENSITY) for _ in range(_SAMPLES)]
    weights: list[NDArray[np.float32]] = []
    for n_pre, n_post in pairwise(sizes):
        raw = rng.normal(size=(n_pre, n_post)) / np.sqrt(n_pre)
        low = 0.1
        high = 20.0
        for _ in range(12):
            gain = 0.5 * (low + high)
            net = Network.from_weights([*weights, (raw * gain).astype(np.float32)])
            fired = np.mean(
                [net.run(*spikes, STEPS, record="counts")[-1].sum() for spikes in samples]
            )
            low, high = (low, gain) if fired > _RATE * n_post * STEPS else (gain, high)
        weights.append((raw * high).astype(np.float32))
    return Workload(weights, samples)


def brette4(seed: int, delay: float | str, n: int = 4000, fan_out: float = 80.0) -> dict[str, Any]:
    """Return benchmark 4 of Brette et al. (2007): integrate-and-fire neurons with voltage jumps.

    Membranes are in mV above the reset of -60: threshold 10, drive 11, tau 20 ms, refractory 5 ms;
    jumps of .25 mV from the first 80 % of the neurons and -2.25 mV from the rest; initial
    membranes are uniform below the threshold.

    Parameters
    ----------
    seed
        Of the connections, the delays and the membranes.
    delay
        In ms, or "spread": a delay per connection, from .1 to 2 ms in steps of .1.
    n
        Number of neurons.
    fan_out
        Mean number of connections per neuron; in the paper 2 % of 4000.
    """
    rng = np.random.default_rng(seed)
    per_neuron = rng.binomial(n, fan_out / n, n)
    source = np.repeat(np.arange(n), per_neuron)
    target = np.concatenate([np.sort(rng.choice(n, k, replace=False)) for k in per_neuron])
    delays = rng.integers(1, 21, len(source)) * 0.1 if delay == "spread" else np.float64(delay)
    weight = np.where(source < 0.8 * n, 0.25, -2.25)
    return {
        "source": source,
        "target": target,
        "weight": weight,
        "delay": delays,
        "v0": rng.uniform(0.0, 10.0, n),
    }


@njit
def _gather(total: Any, rows: Any, events: Any, repeats: int) -> None:
    """Add up rows in the fastest plain loop, which adds eight per pass."""
    for _ in range(repeats):
        for k in range(0, events.shape[0], 8):
            a = rows[events[k]]
            b = rows[events[k + 1]]
            c = rows[events[k + 2]]
            d = rows[events[k + 3]]
            e = rows[events[k + 4]]
            f = rows[events[k + 5]]
            g = rows[events[k + 6]]
            h = rows[events[k + 7]]
            for i in range(total.shape[0]):
                total[i] += ((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i]))


def row_gather(n_pre: int, n_post: int, on_lines: bool, repeats: int = 3) -> float:
    """Return the synaptic events per CPU second of a plain gather of random rows, the median.

    Rows have numpy's alignment or, if `on_lines`, begin on cache lines like the simulator's.
    """
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n_pre, n_post)).astype(np.float32)
    total = np.zeros(n_post, np.float32)
    if on_lines:
        lined = aligned_zeros(n_pre * n_post, np.float32).reshape(n_pre, n_post)
        lined[:] = rows
        rows = lined
        total = aligned_zeros(n_post, np.float32)
    events = rng.integers(0, n_pre, 1568).astype(np.int32)
    _gather(total, rows, events, 1)
    times = 300
    return median(
        [
            times
            * len(events)
            * n_post
            / cpu_seconds(lambda: _gather(total, rows, events, times))[0]
            for _ in range(repeats)
        ]
    )
