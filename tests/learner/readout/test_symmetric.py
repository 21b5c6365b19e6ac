"""A symmetric matrix with changes beside it, against the matrix that it stands for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from loco_stream._learner.arrays.spec import Shapes, make_group
from loco_stream._learner.jobs import PARTS, JobScratch
from loco_stream._learner.readout import symmetric
from tests.helpers.jitted import jitted

multiply = jitted(symmetric.multiply)


@pytest.mark.parametrize("keep", [1.0, 0.9])
@pytest.mark.parametrize("n_pending", [0, 3, symmetric.WIDE_BATCH])
@pytest.mark.parametrize("n", [1, 6, 37])
def test_products_are_those_of_the_matrix_less_its_changes(n, n_pending, keep):
    rng = np.random.default_rng(n)
    batch = symmetric.WIDE_BATCH
    whole = rng.normal(size=(n, n)).astype(np.float32)
    whole += whole.T
    pending = rng.normal(size=(batch, n)).astype(np.float32)
    vectors = rng.normal(size=(batch, n)).astype(np.float32)
    products = np.full((batch, n), 7.0, np.float32)
    matrix = whole.copy()
    for j in range(n):
        matrix[j, : j - j % symmetric.ROWS] = 1e6  # never read
    changes = pending[:n_pending].astype(float)
    truth = whole - changes.T @ changes
    drift = (np.float32(keep), np.float32(0.5))
    n_vectors = batch - 3
    left = multiply((matrix, pending, n_pending), vectors, n_vectors, products, True, drift)
    assert left == n_pending
    np.testing.assert_allclose(products[:n_vectors], vectors[:n_vectors] @ truth, atol=1e-3)
    assert (products[n_vectors:] == 7.0).all()
    left = multiply((matrix, pending, n_pending), vectors, n_vectors, products, False, drift)
    assert left == 0
    if keep < 1.0:
        truth = keep * truth + 0.5 * np.eye(n)
    np.testing.assert_allclose(products[:n_vectors], vectors[:n_vectors] @ truth, atol=1e-3)
    np.testing.assert_allclose(np.triu(matrix), np.triu(truth), atol=1e-4)


multiply_together = jitted(symmetric.multiply_together)
first_row = jitted(symmetric._first_row)


def job_scratch(n, batch):
    lengths = {"parts": PARTS, "batch": batch, "symmetric_inputs": n}
    return make_group(JobScratch, Shapes(None, None, lengths))


@pytest.mark.parametrize("has_room", [True, False])
@pytest.mark.parametrize("n", [1, 6, 37, 130])
def test_parts_add_up_to_the_product(n, has_room):
    rng = np.random.default_rng(n)
    batch = symmetric.WIDE_BATCH
    matrix = rng.normal(size=(n, n)).astype(np.float32)
    matrix += matrix.T
    pending = rng.normal(size=(batch, n)).astype(np.float32)
    vectors = rng.normal(size=(batch, n)).astype(np.float32)
    drift = (np.float32(0.9), np.float32(0.5))
    found = []
    for function, first in ((multiply, ()), (multiply_together, (job_scratch(n, batch), 0))):
        own = matrix.copy()
        products = np.zeros((batch, n), np.float32)
        symmetric_matrix = (own, pending.copy(), 5)
        left = function(*first, symmetric_matrix, vectors, batch, products, has_room, drift)
        found.append((left, own, products))
    assert found[0][0] == found[1][0] == (5 if has_room else 0)
    assert found[0][1].tobytes() == found[1][1].tobytes()  # each row is changed once
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n", [0, 3, 4, 641, 1025])
def test_parts_have_about_as_many_items(n):
    first = [first_row(n, part) for part in range(PARTS + 1)]
    assert first[0] == 0
    assert first[-1] == n
    assert first == sorted(first)
    assert all(row % symmetric.ROWS == 0 for row in first[:-1])
    if n > 600:
        items = [sum(n - j for j in range(*rows)) for rows in itertools.pairwise(first)]
        assert max(items) < 1.05 * n * (n + 1) / 2 / PARTS
