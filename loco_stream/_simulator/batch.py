"""Many samples through one net, on several threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from loco_stream._arrays import Array
from loco_stream._compiler.processors import n_processors
from loco_stream._simulator.arguments import (
    checked_duration,
    checked_record,
    checked_spikes,
    describe_bad_event,
)
from loco_stream._simulator.dense_net import DenseNet, SampleSpikes
from loco_stream._simulator.spike_record import SpikeRecord
from loco_stream.errors import InputError
from loco_stream.neurons._lif_net import Samples

if TYPE_CHECKING:
    from loco_stream._simulator.network import Network

_CHUNKS = 8  # per thread, or more: no thread waits long for the last chunk of another
_LARGEST_CHUNK = 32  # samples, whose spikes stay in the cache until they are returned


class _Request(NamedTuple):
    """What is the same for all samples."""

    duration: float
    record: Any  # "spikes" or "counts"


def run_many(
    net: Network,
    samples: Iterable[Any],
    duration: float,
    record: Literal["spikes", "counts"],
    threads: int | None,
) -> list[Any]:
    """Return what `net.run` returns for each sample; see `Network.run_many`."""
    n_threads = _checked_threads(threads)
    checked_record(record)
    request = _Request(checked_duration(duration), record)
    given = list(samples)
    n_threads = max(1, min(n_threads, len(given)))
    idle = [net.copy() for _ in range(n_threads)]
    size = _chunk_size(len(given), n_threads)

    def work(first: int) -> list[Any]:
        own = idle.pop()
        try:
            return _run_chunk(own, given[first : first + size], first, request)
        finally:
            idle.append(own)

    with ThreadPoolExecutor(n_threads, thread_name_prefix="run_many") as pool:
        return [result for chunk in pool.map(work, range(0, len(given), size)) for result in chunk]


def _chunk_size(n_samples: int, n_threads: int) -> int:
    return max(1, min(_LARGEST_CHUNK, -(-n_samples // (_CHUNKS * n_threads))))


def _checked_threads(threads: int | None) -> int:
    if threads is None:
        return n_processors()
    if not isinstance(threads, (int, np.integer)) or threads < 1:
        raise InputError(f"`threads` must be None or a whole number from 1, got {threads!r}")
    return int(threads)


def _run_chunk(net: Network, samples: Sequence[Any], first: int, request: _Request) -> list[Any]:
    """Run consecutive samples, the first of which has the number `first`."""
    backend = net._net
    if isinstance(backend, DenseNet):
        return _run_together(net, backend, samples, first, request)
    results = []
    for number, sample in enumerate(samples, first):
        with _naming_sample(number):
            if net.inputs == "currents":
                results.append(net.run([], [], *request, currents=sample))
            else:
                results.append(net.run(*_pair(sample), *request))
    return results


def _run_together(
    net: Network, dense: DenseNet, samples: Sequence[Any], first: int, request: _Request
) -> list[Any]:
    """Run samples in one call of compiled code, during which other threads run."""
    sent = _checked_samples(samples, first, dense)
    bounds = np.cumsum([0, *(len(times) for times, _ in sent)])
    times, indices = (np.concatenate([pair[k] for pair in sent]) for k in (0, 1))
    keeps_spikes = request.record == "spikes"
    done = dense.run_samples(Samples(times, indices, bounds), request.duration, keeps_spikes)
    if done.bad is not None:
        number, event = done.bad
        with _naming_sample(first + number):
            raise InputError(
                describe_bad_event(event, *sent[number], net.n_inputs, request.duration)
            )
    if not keeps_spikes:
        return [list(counts) for counts in zip(*done.counts, strict=True)]
    return _records(done, net.sizes, request.duration)


def _records(done: SampleSpikes, sizes: tuple[int, ...], duration: float) -> list[SpikeRecord]:
    """Return the record of each sample."""
    ends = np.cumsum(done.fired).tolist()
    return [
        SpikeRecord(done.times[a:b], done.indices[a:b], done.layers[a:b], sizes, duration)
        for a, b in zip([0, *ends], ends, strict=False)
    ]


def _checked_samples(
    samples: Sequence[Any], first: int, dense: DenseNet
) -> list[tuple[Array, Array]]:
    """Return times and indices of each sample; raises `InputError`."""
    sent: list[tuple[Array, Array]] = []
    try:
        for sample in samples:
            sent.append(checked_spikes(*_pair(sample), dense))
    except InputError as error:
        raise InputError(f"`samples[{first + len(sent)}]`: {error}") from None
    return sent


def _pair(sample: Any) -> tuple[Any, Any]:
    """Return the times and indices of a sample."""
    try:
        times, indices = sample
    except (TypeError, ValueError):
        raise InputError(
            f"it must be a pair (times, indices), got {type(sample).__name__}"
        ) from None
    return times, indices


@contextmanager
def _naming_sample(number: int) -> Iterator[None]:
    """Add the number of the sample to error messages."""
    try:
        yield
    except InputError as error:
        raise InputError(f"`samples[{number}]`: {error}") from None
