"""A symmetric matrix that passes through the processor once for several rows.

A matrix of many inputs is larger than the processor's caches, so reading it takes longer than
computing with it. Rows that wait for each other are multiplied with it in one pass, and the changes
that they bring are kept beside it: the matrix stands for B - sum of u u' over a few vectors u. The
next pass that has no room for more changes takes them into B. Only the upper triangle of B is read
and written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import (
    add_outer,
    add_outers,
    add_symmetric_rows,
    dot,
    subtract_squares,
)
from loco_stream._compiler.simd.sizes import RANK, ROWS
from loco_stream._learner.jobs import PARTS, finish_part, offer, take_part, wait_for_parts

WIDE_BATCH = 4 * RANK  # rows that wait for each other where features have no receptive fields
YOUNG = 16.0  # rows of a class; up to so many are learned at once, each with those that wait


def lengths(settings: Any, known: Mapping[str, int]) -> dict[str, int]:
    """Return the axes of products that are computed part by part: those of rows that wait."""
    longest = max(known["projected_inputs"], known["fixed_outputs"])
    return {
        "parts": PARTS if settings.waits else 0,
        "symmetric_inputs": longest if settings.waits else 0,
    }


@kernel
def let_wait(own, inputs, label):
    """Let a row wait; return whether there is no room for another.

    Parameters
    ----------
    own
        Has waiting, (batch, inputs) float32; waiting_classes, (batch, classes) float32; n_waiting.
    inputs
        (inputs or more,) float32.
    label
        int64: slot of its class.
    """
    k = own.n_waiting[0]
    for j in range(own.waiting.shape[1]):
        own.waiting[k, j] = inputs[j]
    for c in range(own.waiting_classes.shape[1]):
        own.waiting_classes[k, c] = 0.0
    own.waiting_classes[k, label] = 1.0
    own.n_waiting[0] = k + 1
    return k + 1 == len(own.waiting)


@kernel
def add_steps(matrix, n_rows, columns, left, right, n_steps):
    """Add the outer products left right' of several steps to part of a matrix.

    Parameters
    ----------
    matrix
        (n_rows or more, columns) float32, written.
    n_rows
        int64.
    columns
        (first, number) of the columns that are written, int64.
    left, right
        (n_steps or more, n_rows or more) and (n_steps or more, columns or more) float32.
    n_steps
        int64.
    """
    first, n_columns = columns
    one = np.float32(1.0)
    k = 0
    while k + RANK <= n_steps:
        add_outers(matrix, n_rows, first, n_columns, left[k:], right[k:])
        k += RANK
    while k < n_steps:
        add_outer(matrix, n_rows, first, n_columns, left[k], one, right[k], one)
        k += 1


def check_pending(name: str, own: Any, n_pending: int, most: int, n_rows: Float64) -> None:
    """Raise ValueError if more rows wait than may, or one is not of a class that has rows.

    `own` is that of `let_wait`, `most` the pending changes that there may be, and `n_rows` the rows
    of each class.
    """
    n_waiting = own.n_waiting[0]
    for counter, n, limit in (
        ("n_pending", n_pending, most),
        ("n_waiting", n_waiting, max(len(own.waiting) - 1, 0)),
    ):
        if n > limit:
            raise ValueError(f"`{counter}` of {name!r} must be 0 to {limit}, got {n}")
    is_of = own.waiting_classes[:n_waiting] != 0.0
    if not (is_of.sum(axis=1) == 1).all() or not (is_of @ n_rows > 0.0).all():
        raise ValueError(
            f"`waiting_classes` of {name!r} must mark one class with rows for each waiting row"
        )


@kernel
def _take_in(matrix, pending, first, drift):
    """Take all pending changes into `ROWS` rows of a matrix; parameters as in `multiply`."""
    n = len(matrix)
    keep, back = drift
    subtract_squares(matrix, first, first, n, pending, keep)
    if keep < np.float32(1.0):
        for j in range(first, min(first + ROWS, n)):
            matrix[j, j] += back


@kernel
def subtract_changes(pending, first, stop, vector, product):
    """Subtract from a product what the pending changes `first` to `stop - 1` take away from it.

    Parameters
    ----------
    pending
        (batch, inputs) float32.
    first, stop
        int64.
    vector, product
        (inputs,) float32; `product` is written.
    """
    n = len(vector)
    for i in range(first, stop):
        share = dot(pending, i * n, vector, 0, n)
        for j in range(n):
            product[j] -= share * pending[i, j]


@kernel
def _multiply_rows(matrix, pending, rows, vectors, n_vectors, products, has_room, drift):
    """Write what some rows of a matrix add to products.

    `rows` are (first, stop), both int64; other parameters as in `multiply`.
    """
    start, stop = rows
    n = len(matrix)
    for k in range(n_vectors):
        for j in range(n):
            products[k, j] = 0.0
    for first in range(start, stop, ROWS):
        if not has_room:
            _take_in(matrix, pending, first, drift)
        for k in range(n_vectors):
            add_symmetric_rows(products[k], matrix, first, n, vectors[k])


@kernel
def multiply_one(matrix, n, vector, product, pending, keep):
    """Write the product of the first inputs of a matrix with a vector.

    Parameters
    ----------
    matrix
        (n or more, n or more) float32, of which only the upper triangle is read and written.
    n
        int64: number of inputs.
    vector, product
        (n or more,) float32; `product` is written.
    pending
        (RANK, n or more) float32: changes that the matrix takes in, in the same pass, or none:
        (0, any).
    keep
        float32: what the matrix is scaled by when it takes changes in.
    """
    for j in range(n):
        product[j] = 0.0
    for first in range(0, n, ROWS):
        if len(pending) > 0:
            subtract_squares(matrix, first, first, n, pending, keep)
        add_symmetric_rows(product, matrix, first, n, vector)


@kernel
def _subtract_pending(symmetric, vectors, n_vectors, products, has_room):
    """Complete products by the pending changes; return how many are pending still."""
    _, pending, n_pending = symmetric
    n_left = n_pending if has_room else 0
    for k in range(n_vectors):
        subtract_changes(pending, 0, n_left, vectors[k], products[k])
    return n_left


@kernel
def _clear_rest(symmetric):
    """Set to 0 what is no pending change, before the matrix takes in all."""
    _, pending, n_pending = symmetric
    for i in range(n_pending, len(pending)):
        for j in range(pending.shape[1]):
            pending[i, j] = 0.0


@kernel
def multiply(symmetric, vectors, n_vectors, products, has_room, drift):
    """Write the products of a matrix with vectors; return how many of its changes are pending.

    Parameters
    ----------
    symmetric
        (matrix, pending, n_pending): (inputs, inputs or more) and (batch, inputs) float32, and
        int64. The batch is a multiple of `RANK`.
    vectors, n_vectors, products
        (batch, inputs) float32, of which the first `n_vectors` (int64) count; `products` are
        written.
    has_room
        bool: whether as many more changes can be pending. Otherwise the matrix takes in those that
        are, in the same pass, and drifts.
    drift
        (keep, back), both float32: what the matrix is scaled by when it takes changes in, and what
        its diagonal gets then.
    """
    matrix, pending, _ = symmetric
    if not has_room:
        _clear_rest(symmetric)
    rows = (0, len(matrix))
    _multiply_rows(matrix, pending, rows, vectors, n_vectors, products, has_room, drift)
    return _subtract_pending(symmetric, vectors, n_vectors, products, has_room)


@kernel
def _first_row(n, part):
    """Return where a part begins: each has about as many items of the upper triangle.

    `n` and `part` are int64; the part after the last one begins at `n`.
    """
    if part == PARTS:
        return n
    fraction = 1.0 - math.sqrt(1.0 - part / PARTS)
    return int(fraction * n) // ROWS * ROWS


@kernel
def multiply_part(jobs, matrix, pending, vectors, part):
    """Write what part `part` of a matrix adds to the products of the present job."""
    n = len(matrix)
    rows = (_first_row(n, part), _first_row(n, part + 1))
    job = jobs.job
    drift = (np.float32(job.keep), np.float32(job.back))
    n_vectors = np.int64(job.n_vectors)
    products = jobs.products[part]
    _multiply_rows(matrix, pending, rows, vectors, n_vectors, products, job.has_room != 0.0, drift)


@kernel
def _offer_product(jobs, kind, n_vectors, has_room, drift):
    """Offer the parts of a product to all threads; parameters as in `multiply_together`."""
    job = jobs.job
    job.kind = kind
    job.n_vectors = n_vectors
    job.has_room = has_room
    job.keep, job.back = drift
    offer(jobs)


@kernel
def _add_parts(jobs, n, n_vectors, products):
    """Add up what the parts gave, in their order, to products of `n` (int64) inputs."""
    for k in range(n_vectors):
        for j in range(n):
            products[k, j] = jobs.products[0, k, j]
        for part in range(1, PARTS):
            for j in range(n):
                products[k, j] += jobs.products[part, k, j]


@kernel
def multiply_together(jobs, kind, symmetric, vectors, n_vectors, products, has_room, drift):
    """Do the same as `multiply`, part by part, with all threads.

    `jobs` is a `JobScratch`, and `kind` (int64) tells the other threads which matrix it is. The
    parts of a product are added up in their order.
    """
    if len(jobs.products) == 0:
        return multiply(symmetric, vectors, n_vectors, products, has_room, drift)
    matrix, pending, _ = symmetric
    if not has_room:
        _clear_rest(symmetric)
    _offer_product(jobs, kind, n_vectors, has_room, drift)
    part = take_part(jobs)
    while part >= 0:
        multiply_part(jobs, matrix, pending, vectors, part)
        finish_part(jobs)
        part = take_part(jobs)
    wait_for_parts(jobs)
    _add_parts(jobs, len(matrix), n_vectors, products)
    return _subtract_pending(symmetric, vectors, n_vectors, products, has_room)
