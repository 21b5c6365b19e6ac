from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.plasticity import weight_bounds
from tests.helpers import naive
from tests.helpers.jitted import jitted_module

weight_bounds = jitted_module(weight_bounds)

SEEDS = st.integers(0, 2**32 - 1)


def f32(values):
    return np.asarray(values, np.float32)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 9), st.sampled_from([0.3, 0.5, 1.0]), st.sampled_from([0.1, 1.0, 4.0]))
def test_neurons_are_bounded_one_after_the_other(seed, n_post, plastic, size):
    rng = np.random.default_rng(seed)
    first = n_post - math.ceil(plastic * n_post)
    weights = f32(size * (rng.normal(size=(5, n_post)) + rng.normal()))
    twin = weights.astype(float)
    for n_seen in range(3 * n_post):
        weight_bounds.apply_max_norm(weights, 5, first, n_post, n_seen)
        twin = naive.bound_neuron(twin, plastic, n_seen)
    np.testing.assert_allclose(weights, twin, rtol=1e-5, atol=1e-5)
    learning = weights[:, first:]
    assert np.linalg.norm(learning, axis=0).max() <= weight_bounds.MAX_NORM * (1.0 + 1e-6)
    constant = learning.mean(axis=0).max() * math.sqrt(5)
    assert constant <= weight_bounds.MAX_CONSTANT * (1.0 + 1e-5)


@given(SEEDS, st.integers(1, 9), st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_step_moves_no_drive_further_than_allowed(seed, n, size):
    rng = np.random.default_rng(seed)
    credit = f32(size * rng.normal(size=n))
    gain = rng.random() + 0.1
    energy = rng.random()
    move = 2.0 * gain * energy * float(np.abs(credit).max())
    for wide, most in ((False, weight_bounds.MAX_MOVE), (True, weight_bounds.MAX_MOVE_WIDE)):
        step = weight_bounds.bounded_step(2.0, gain, energy, credit, wide)
        assert step == pytest.approx(2.0 * min(1.0, most / move))
        assert weight_bounds.bounded_step(2.0, gain, energy, credit[:0], wide) == 2.0


def test_neurons_within_bounds_and_frozen_ones_keep_their_weights():
    weights = f32(np.random.default_rng(0).normal(size=(4, 3)))
    weights -= weights.max(axis=0)  # no positive mean
    before = weights.copy()
    for n_seen in range(3):
        weight_bounds.apply_max_norm(weights, 4, 0, 3, n_seen)
    np.testing.assert_array_equal(weights, before)
    weights[:] = 9.0
    weight_bounds.apply_max_norm(weights, 4, 3, 3, 0)  # none is plastic
    assert (weights == 9.0).all()
