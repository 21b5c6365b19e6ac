"""Vectors of neurons fire as single ones do, to the byte."""

import numpy as np
import pytest
from numba import njit

from loco_stream._compiler.simd.ops import leak_and_fire


@njit
def compiled_fire(*arguments):
    return leak_and_fire(*arguments)


@pytest.mark.parametrize("reset_zero", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 8, 16, 30, 100])
def test_vectors_of_neurons_fire_as_single_ones(n, dtype, reset_zero):
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
