"""Work that several threads do part by part.

A job is offered by the thread that learns. Each part is taken by whichever thread is free, and this
thread takes parts too, so it never waits for a worker that has not begun. Parts write sums of their
own, which are added up in the order of the parts. So no result depends on the number of threads.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Int64
from loco_stream._compiler import atomics
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Record, axes, record
from loco_stream._options import THREADS

PARTS = max(THREADS)  # of each job

PRECISION = -1  # kind of a product of the discriminant's precision; those of members are 0, 1...

# Indices of `counts`, far enough apart for threads not to write into the same cache line
N_LEFT = 0  # parts that no thread has taken; 0 or less if there are none
N_DONE = 8  # parts that are finished
IS_OVER = 16  # 1 when the workers are to stop
N_READY = 24  # workers that have begun
N_COUNTS = 32


class JobScratch(NamedTuple):
    """The present job, and what its parts write.

    counts: see the indices above
    job: its kind, and its arguments by name
    products: what each part of a matrix adds to each product
    """

    counts: Annotated[Int64, axes(N_COUNTS)]
    job: Annotated[
        Record, record(np.float64, kind=0.0, n_vectors=0.0, has_room=0.0, keep=1.0, back=0.0)
    ]
    products: Annotated[Float32, axes("parts", "batch", "symmetric_inputs")]


@kernel
def offer(jobs):
    """Offer the parts of the present job, which is written, to all threads."""
    jobs.counts[N_DONE] = 0
    atomics.store(jobs.counts, N_LEFT, PARTS)


@kernel
def take_part(jobs):
    """Take a part that no thread has taken; return it, or -1 if there is none.

    The job is to be read after that: a thread may be late, and find the next one.
    """
    if atomics.load(jobs.counts, N_LEFT) <= 0:
        return -1
    return max(atomics.add(jobs.counts, N_LEFT, -1) - 1, -1)


@kernel
def finish_part(jobs):
    """Count a part as finished."""
    atomics.add(jobs.counts, N_DONE, 1)


@kernel
def wait_for_parts(jobs):
    """Wait until all parts are finished."""
    while atomics.load(jobs.counts, N_DONE) < PARTS:
        atomics.pause()
