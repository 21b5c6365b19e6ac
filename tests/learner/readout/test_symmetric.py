"""A symmetric matrix with changes beside it, against the matrix that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.readout import symmetric
from tests.helpers.jitted import jitted

multiply = jitted(symmetric.multiply)


@pytest.mark.parametrize("keep", [1.0, 0.9])
@pytest.mark.parametrize("n_pending", [0, 3, 8])
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
