"""Many samples through one net, on several threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from loco_stream.errors import InputError
from loco_stream.simulator.checks import checked_duration, checked_spikes, what_is_wrong
from loco_stream.simulator.dense_net import DenseNet
from loco_stream.simulator.record import SpikeRecord

if TYPE_CHECKING:
    from loco_stream.simulator.network import Network

__all__ = ["cores", "run_many"]

_PIECES = 8  # a thread, or more: so that none waits long for the last one of another
_LARGEST_PIECE = 32  # samples: what they give stays in the cache until it is handed over


def run_many(
    net: Network,
    samples: Iterable[Any],
    duration: float,
    record: Literal["spikes", "counts"],
    threads: int | None,
) -> list[Any]:
    """Return what `net.run` gives for each sample; see `Network.run_many`."""
    if threads is not None and not (isinstance(threads, (int, np.integer)) and threads >= 1):
        raise InputError(f"threads is {threads!r}; allowed is None or a whole number from 1")
    if record not in ("spikes", "counts"):
        raise InputError(f"record is {record!r}; allowed are 'spikes' and 'counts'")
    window = checked_duration(duration)
    given = list(samples)
    idle = [net.copy() for _ in range(max(1, min(threads or cores(), len(given))))]
    size = max(1, min(_LARGEST_PIECE, -(-len(given) // (_PIECES * len(idle)))))

    def work(first: int) -> list[Any]:
        own = idle.pop()
        try:
            return _run_piece(own, given[first : first + size], first, window, record)
        finally:
            idle.append(own)

    with ThreadPoolExecutor(len(idle), thread_name_prefix="run_many") as pool:
        return [result for piece in pool.map(work, range(0, len(given), size)) for result in piece]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_piece(
    net: Network, samples: Sequence[Any], first: int, window: float, record: Any
) -> list[Any]:
    """Run some of the samples, the first of which is number `first`."""
    together = net._net
    if isinstance(together, DenseNet) and together.layers[0].model.run_samples is not None:
        return _run_together(net, together, samples, first, window, record)
    results = []
    for number, sample in enumerate(samples, first):
        with _named(number):
            if net.inputs == "currents":
                results.append(net.run([], [], window, record, currents=sample))
            else:
                results.append(net.run(*_pair(sample), window, record))
    return results


def _run_together(
    net: Network, dense: DenseNet, samples: Sequence[Any], first: int, window: float, record: str
) -> list[Any]:
    """Run samples in one call of compiled code, during which other threads run."""
    sent: list[tuple[Any, Any]] = []
    try:
        for sample in samples:
            sent.append(checked_spikes(*_pair(sample), dense))
    except InputError as error:
        raise InputError(f"samples[{first + len(sent)}]: {error}") from None
    bounds = np.cumsum([0, *(len(times) for times, _ in sent)])
    times, indices = (np.concatenate([pair[k] for pair in sent]) for k in (0, 1))
    done = dense.run_samples(times, indices, bounds, window, record == "spikes")
    if done.bad is not None:
        number, event = done.bad
        with _named(first + number):
            raise InputError(what_is_wrong(event, *sent[number], net.n_inputs, window))
    if record == "counts":
        return [list(counts) for counts in zip(*done.counts, strict=True)]
    ends = np.cumsum(done.fired).tolist()
    sizes = net.sizes
    return [
        SpikeRecord(done.times[a:b], done.indices[a:b], done.layers[a:b], sizes, window)
        for a, b in zip([0, *ends], ends, strict=False)
    ]


def _pair(sample: Any) -> tuple[Any, Any]:
    """Return the times and indices of a sample."""
    try:
        times, indices = sample
    except (TypeError, ValueError):
        raise InputError(
            f"it must be a pair (times, indices), not {type(sample).__name__}"
        ) from None
    return times, indices


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Say in an error which sample it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"samples[{number}]: {error}") from None
