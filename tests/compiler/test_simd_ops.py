"""The vectorized operations give the same bytes as the plain functions that define them."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from loco_stream._compiler.simd.ops import (
    add_outer,
    add_outers,
    add_symmetric_rows,
    dot,
    leak_and_fire,
    subtract_squares,
    sum_dense,
    sum_rows,
    weigh_groups,
    weigh_rows,
    write_arrivals,
    write_equal_arrivals,
)
from loco_stream._compiler.simd.sizes import DOUBLES, GROUP, RANK, ROWS, STEPS


@njit
def compiled_fire(*arguments):
    return leak_and_fire(*arguments)


@njit
def compiled_weigh(total, matrix, n_columns, values, first, rows, n_rows):
    weigh_rows(total, matrix, n_columns, values, first, rows, n_rows)


@njit
def compiled_groups(total, weights, groups, values, rows, n_rows):
    weigh_groups(total, weights, groups, values, rows, n_rows)


@njit
def compiled_outer(matrix, n_rows, first, n_columns, left, scale, right, keep):
    add_outer(matrix, n_rows, first, n_columns, left, scale, right, keep)


@njit
def compiled_dense(currents, weights, offset, n_post, raster, n_pre):
    sum_dense(currents, weights, offset, n_post, raster, n_pre)


@njit
def compiled_rows(current, weights, offset, n_post, indices, first, last):
    sum_rows(current, weights, offset, n_post, indices, first, last)


@njit
def compiled_arrivals(*arguments):
    write_arrivals(*arguments)


@njit
def compiled_equal_arrivals(*arguments):
    write_equal_arrivals(*arguments)


@pytest.mark.parametrize("reset_zero", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 8, 16, 30, 100])
def test_leak_and_fire(n, dtype, reset_zero):
    rng = np.random.default_rng(n)
    v, current, threshold = rng.normal(size=(3, n)).astype(dtype)
    # exactly at threshold; never
    v[0] = 0.0
    current[0] = threshold[0]
    threshold[-1] = np.inf
    results = []
    for function in (leak_and_fire, compiled_fire):
        own = v.copy()
        out = np.full(n + 30, -7, np.int32)
        count = function(own, current, dtype(0.9), threshold, reset_zero, out, 3)
        results.append((own.tobytes(), count, out[:count].tobytes()))
    assert results[0] == results[1]
    x = v * dtype(0.9) + current
    fired = np.flatnonzero(x >= threshold)
    assert out[3:count].tolist() == fired.tolist()
    x[fired] = 0.0 if reset_zero else x[fired] - threshold[fired]
    assert own.tobytes() == x.tobytes()


@pytest.mark.slow
def test_a_dense_product_is_the_sum_of_rows():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for n in (1, 7, 16, 80, 300):
            weights = rng.normal(size=3 + 50 * n).astype(dtype)
            raster = (rng.random((60, STEPS)) < 0.6).astype(dtype)
            currents = np.full(STEPS * n, 9.0, dtype)
            compiled_dense(currents, weights, 3, n, raster, 50)
            plain = np.full(STEPS * n, 9.0, dtype)
            sum_dense(plain, weights, 3, n, raster, 50)
            assert plain.tobytes() == currents.tobytes()
            for t in range(STEPS):
                rows = np.flatnonzero(raster[:50, t]).astype(np.int32)
                current = np.full(n, 9.0, dtype)
                compiled_rows(current, weights, 3, n, rows, 0, len(rows))
                assert current.tobytes() == currents[t * n : (t + 1) * n].tobytes()
                sum_rows(current, weights, 3, n, rows, 0, len(rows))
                assert current.tobytes() == currents[t * n : (t + 1) * n].tobytes()


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 90),
    st.integers(0, 40),
    st.integers(0, 20),
    st.floats(0.0, 1.0),
)
def test_weigh_rows_and_add_outer(seed, n_columns, n_rows, spare, keep):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n_rows + 1, n_columns + spare)).astype(np.float32)
    values = rng.normal(size=n_rows + 3).astype(np.float32)
    rows = rng.permutation(n_rows).astype(np.int32)
    totals = [np.full(n_columns + 1, 7.0, np.float32) for _ in range(2)]
    for total, weigh in zip(totals, (weigh_rows, compiled_weigh), strict=True):
        weigh(total, matrix, n_columns, values, 2, rows, n_rows)
    assert totals[0].tobytes() == totals[1].tobytes()
    np.testing.assert_allclose(
        totals[0][:-1], values[2:-1] @ matrix[:n_rows, :n_columns], rtol=1e-4, atol=1e-4
    )
    assert totals[0][-1] == 7.0
    first = spare // 2
    right = rng.normal(size=n_columns).astype(np.float32)
    changed = [matrix.copy() for _ in range(2)]
    for copy, add in zip(changed, (add_outer, compiled_outer), strict=True):
        add(copy, n_rows, first, n_columns, values, np.float32(-0.3), right, np.float32(keep))
    assert changed[0].tobytes() == changed[1].tobytes()
    part = np.s_[:n_rows, first : first + n_columns]
    matrix[part] = keep * (matrix[part] - 0.3 * np.outer(values[:n_rows], right))
    np.testing.assert_allclose(changed[0], matrix, rtol=1e-4, atol=1e-4)


class Arrivals(NamedTuple):
    targets: np.ndarray
    jumps: np.ndarray
    times: np.ndarray


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, None])
def test_write_arrivals(dtype, kind):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 1 << 16, 50 + DOUBLES).astype(kind)
    weight = rng.normal(size=50 + DOUBLES).astype(dtype)
    functions = (write_arrivals, compiled_arrivals)
    if dtype is None:
        functions = (write_equal_arrivals, compiled_equal_arrivals)
    for first, stop in [(0, 0), (3, 4), (1, 9), (2, 10), (5, 50)]:
        made = []
        for function in functions:
            arrivals = Arrivals(np.full(70, -7, np.int32), np.full(70, -7.0), np.full(70, -7.0))
            weights = (weight,) if dtype else ()
            function(target, *weights, first, stop, 2.5, 1.25, arrivals, 4)
            made.append([array[: 4 + stop - first].tobytes() for array in arrivals])
        assert made[0] == made[1]
        assert arrivals.targets[4 : 4 + stop - first].tolist() == target[first:stop].tolist()


@njit
def compiled_outers(matrix, n_rows, first, n_columns, left, right):
    add_outers(matrix, n_rows, first, n_columns, left, right)


@njit
def compiled_dot(left, first, right, start, n):
    return dot(left, first, right, start, n)


@njit
def compiled_symmetric_rows(total, matrix, first, n, vector):
    add_symmetric_rows(total, matrix, first, n, vector)


@njit
def compiled_squares(matrix, first, start, n, factors, keep):
    subtract_squares(matrix, first, start, n, factors, keep)


SIZES = [0, 1, 4, 7, 20, 36, 37, 100]


@pytest.mark.parametrize("n", SIZES)
def test_the_rows_of_a_symmetric_matrix_add_up_to_its_product(n):
    rng = np.random.default_rng(n)
    whole = rng.normal(size=(n + 1, n + 3)).astype(np.float32)
    square = whole[:n, :n]
    square[:] = np.triu(square) + np.triu(square, 1).T
    vector = rng.normal(size=n + 2).astype(np.float32)
    expected = np.ones(n + 2, np.float32)
    found = expected.copy()
    product = 1.0 + square @ vector[:n]
    for i in range(n):
        whole[i, : i - i % ROWS] = np.nan  # before the first column that is read
    for first in range(0, n, ROWS):
        add_symmetric_rows(expected, whole, first, n, vector)
        compiled_symmetric_rows(found, whole, first, n, vector)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(expected[:n], product, atol=1e-4)
    assert found[n:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("n_factors", [1, RANK, 4 * RANK])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_outer_squares_are_subtracted_from_the_upper_triangle_or_from_all(n, whole, n_factors):
    rng = np.random.default_rng(n)
    matrix = rng.normal(size=(n + 1, n + 3)).astype(np.float32)
    factors = rng.normal(size=(n_factors, n + 2)).astype(np.float32)
    before = matrix.copy()
    expected = matrix.copy()
    keep = np.float32(0.75)
    for first in range(0, n, ROWS):
        start = 0 if whole else first
        subtract_squares(expected, first, start, n, factors, keep)
        compiled_squares(matrix, first, start, n, factors, keep)
    np.testing.assert_array_equal(matrix, expected)
    square = keep * (before[:n, :n] - factors[:, :n].T @ factors[:, :n])
    found = matrix[:n, :n]
    np.testing.assert_allclose(
        found if whole else np.triu(found), square if whole else np.triu(square), atol=1e-5
    )
    for j in range(0 if whole else n):  # before the first column that is written
        np.testing.assert_array_equal(matrix[j, : j - j % ROWS], before[j, : j - j % ROWS])
    np.testing.assert_array_equal(matrix[:, n:], before[:, n:])
    np.testing.assert_array_equal(matrix[n], before[n])


@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("n", [1, 7, 16, 33, 64, 100])
def test_several_outer_products_are_added_as_defined(n, first):
    rng = np.random.default_rng(n)
    before = rng.normal(size=(n, first + n + 3)).astype(np.float32)
    matrix = before.copy()
    left = rng.normal(size=(RANK, n)).astype(np.float32)
    right = rng.normal(size=(RANK, n + 3)).astype(np.float32)
    expected = matrix.copy()
    add_outers(expected, n, first, n, left, right)
    compiled_outers(matrix, n, first, n, left, right)
    np.testing.assert_array_equal(matrix, expected)
    own = np.s_[first : first + n]
    product = before[:, own] + left.T @ right[:, :n]
    np.testing.assert_allclose(matrix[:, own], product, atol=1e-5)
    np.testing.assert_array_equal(matrix[:, :first], before[:, :first])
    np.testing.assert_array_equal(matrix[:, first + n :], before[:, first + n :])


@pytest.mark.parametrize("n_rows", [0, 1, 9])
def test_sparse_rows_are_added_to_the_groups_that_they_reach(n_rows):
    rng = np.random.default_rng(n_rows)
    n_groups = 5
    groups = GROUP * np.array([rng.permutation(n_groups)[:2] for _ in range(12)], np.int32)
    weights = rng.normal(size=(12, 2 * GROUP)).astype(np.float32)
    values = rng.normal(size=12).astype(np.float32)
    rows = rng.permutation(12).astype(np.int32)
    totals = np.full((2, n_groups * GROUP), 7.0, np.float32)
    weigh_groups(totals[0], weights, groups, values, rows, n_rows)
    compiled_groups(totals[1], weights, groups, values, rows, n_rows)
    assert totals[0].tobytes() == totals[1].tobytes()
    dense = np.zeros((12, n_groups, GROUP))
    for row, own in enumerate(groups // GROUP):
        dense[row, own] = weights[row].reshape(2, GROUP)
    chosen = rows[:n_rows]
    expected = values[chosen] @ dense.reshape(12, -1)[chosen]
    np.testing.assert_allclose(totals[0], expected, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 7, 16, 33, 64, 100])
def test_a_dot_product_adds_in_the_defined_order(n):
    rng = np.random.default_rng(n)
    left = rng.normal(size=(3, 100)).astype(np.float32)
    right = rng.normal(size=120).astype(np.float32)
    found = compiled_dot(left, 100, right, 20, n)
    assert found == dot(left, 100, right, 20, n)
    assert found == pytest.approx(float(left[1, :n] @ right[20 : 20 + n]), abs=1e-4)
