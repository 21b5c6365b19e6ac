"""Numbers that have nearly vanished become 0."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.tiny import EVERY, SMALLEST, drop_tiny, drop_tiny_items
from tests.helpers.jitted import jitted

run_drop_tiny = jitted(drop_tiny)
run_drop_tiny_items = jitted(drop_tiny_items)


def numbers(shape, seed=0):
    """Return numbers of all magnitudes that single precision has, of both signs, with zeros."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 0.0, 1.0], shape)
    return (signs * 10.0 ** rng.uniform(-44.0, 38.0, shape)).astype(np.float32)


def without_tiny(values):
    return np.where(np.abs(values) < SMALLEST, np.float32(0.0), values)


def test_items_are_dropped_up_to_a_length():
    values = numbers(100)
    values[7] = np.nan
    expected = without_tiny(values)
    expected[80:] = values[80:]
    run_drop_tiny_items(values, 80)
    np.testing.assert_array_equal(values, expected)


def test_every_row_of_a_matrix_has_its_turn():
    matrix = numbers((50, 40))
    start = matrix.copy()
    expected = start.copy()
    expected[:45, :30] = without_tiny(start[:45, :30])
    for turn in range(7, 7 + EVERY):
        before = matrix.copy()
        run_drop_tiny(matrix, 45, 30, turn)
        others = np.arange(50) % EVERY != turn % EVERY
        np.testing.assert_array_equal(matrix[others], before[others])
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("memory", [None, (0.3, 50.0)])
def test_a_stream_of_zeros_and_ones_leaves_no_subnormal_numbers_in_matrices(memory):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 12, 1400)
    kinds[500:] %= 9  # what three kinds left shrinks for 900 rows
    model = LOCOClassifier(hidden_sizes=16, memory=memory, seed=1)
    model.learn_predict_array(np.eye(12)[kinds], kinds % 3)
    experts = model._core.state.experts
    matrices = {
        "projectors": experts.least_squares.projectors,
        "linear projectors": experts.least_squares.linear_projectors,
        "logistic projector": experts.logistic.projector,
        "hidden projector": model._core.state.projections.recursive.first,
    }
    smallest = np.finfo(np.float32).tiny
    for name, matrix in matrices.items():
        n_subnormal = int(np.sum((matrix != 0.0) & (np.abs(matrix) < smallest)))
        assert n_subnormal == 0, name
