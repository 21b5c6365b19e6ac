"""Worker threads, which do parts of the jobs that a model of wide rows offers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loco_stream._arrays import Int64
from loco_stream._compiler import atomics
from loco_stream._compiler.jit import kernel, nogil_entry
from loco_stream._compiler.packing import PACKED
from loco_stream._compiler.processors import n_processors
from loco_stream._learner.jobs import IS_OVER, N_READY, PRECISION, finish_part, take_part
from loco_stream._learner.kernel_args import KernelArgs, opened
from loco_stream._learner.readout.symmetric import multiply_part

_LONGEST_START = 0.05  # seconds that the first row waits for workers to begin


@kernel
def _do_part(state, scratch, part):
    """Do a part of the present job."""
    jobs = scratch.jobs
    kind = int(jobs.job.kind)
    if kind == PRECISION:
        own = state.experts.discriminant
        rests = scratch.experts.discriminant.rests
        multiply_part(jobs, own.precision, own.pending, rests, part)
        return
    members = state.experts.least_squares
    multiply_part(jobs, members.projectors[kind], members.pending[kind], members.waiting, part)


@nogil_entry
def _do_parts(cell, words):
    """Do parts of jobs until the learning thread says that it is over."""
    model = opened(cell, words)
    state = model.state
    scratch = model.scratch
    jobs = scratch.jobs
    atomics.add(jobs.counts, N_READY, 1)
    while atomics.load(jobs.counts, IS_OVER) == 0:
        part = take_part(jobs)
        if part < 0:
            atomics.pause()
            continue
        _do_part(state, scratch, part)
        finish_part(jobs)


def _work(args: KernelArgs) -> None:
    """Do parts of jobs; the thread keeps the arrays of the model alive."""
    _do_parts(*args.args)


def _started(args: KernelArgs, n: int) -> list[threading.Thread]:
    """Return up to `n` threads that were started; fewer if the system refuses one."""
    threads: list[threading.Thread] = []
    for i in range(n):
        thread = threading.Thread(target=_work, args=(args,), name=f"worker {i + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads for this process, or Python ends
            break
        threads.append(thread)
    return threads


def _wait_for(n: int, counts: Int64) -> None:
    """Wait until `n` workers have begun, though not for long."""
    begun = time.monotonic()
    while counts[N_READY] < n and time.monotonic() < begun + _LONGEST_START:
        time.sleep(0)


@contextmanager
def workers(args: KernelArgs, n: int) -> Iterator[int]:
    """Let up to `n` worker threads do parts of a model's jobs while the block runs.

    Yields how many there are: no more than free processors, and none where no jobs are offered.
    """
    n = min(n, n_processors() - 1)
    if n <= 0 or not PACKED or not args.model.settings.waits:
        yield 0
        return
    counts = args.model.scratch.jobs.counts
    counts[IS_OVER] = 1
    _work(args)  # compiles it: the threads begin at once
    counts[IS_OVER] = 0
    counts[N_READY] = 0
    threads = _started(args, n)
    try:
        _wait_for(len(threads), counts)
        yield len(threads)
    finally:
        counts[IS_OVER] = 1
        for thread in threads:
            thread.join()
