"""Threads that help a model of wide rows with its jobs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from loco_stream._compiler import atomics
from loco_stream._compiler.jit import kernel, nogil_entry
from loco_stream._compiler.packing import PACKED
from loco_stream._learner.jobs import IS_OVER, N_READY, PRECISION, finish_part, take_part
from loco_stream._learner.kernel_args import KernelArgs, opened
from loco_stream._learner.readout.symmetric import multiply_part

_LONGEST_START = 0.05  # seconds that the first row waits for helpers to begin


@kernel
def _do_part(state, scratch, part):
    """Do a part of the present job."""
    jobs = scratch.jobs
    kind = int(jobs.job.kind)
    if kind == PRECISION:
        precision = state.experts.discriminant
        rests = scratch.experts.discriminant.rests
        multiply_part(jobs, precision.precision, precision.pending, rests, part)
        return
    members = state.experts.least_squares
    multiply_part(jobs, members.projectors[kind], members.pending[kind], members.waiting, part)


@nogil_entry
def _help(cell, words):
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


def _n_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def helpers(args: KernelArgs, n: int) -> Iterator[None]:
    """Let up to `n` threads help a model while the block runs; none where it offers no jobs."""
    n = min(n, _n_processors() - 1)
    if n <= 0 or not PACKED or not args.model.settings.waits:
        yield
        return
    counts = args.model.scratch.jobs.counts
    counts[IS_OVER] = 1
    _help(*args.args)  # compiles it: the threads begin at once
    counts[IS_OVER] = 0
    counts[N_READY] = 0
    threads = [threading.Thread(target=_help, args=args.args, daemon=True) for _ in range(n)]
    try:
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while counts[N_READY] < n and time.monotonic() < begun + _LONGEST_START:
            time.sleep(0)
        yield
    finally:
        counts[IS_OVER] = 1
        for thread in threads:
            if thread.ident is not None:
                thread.join()
