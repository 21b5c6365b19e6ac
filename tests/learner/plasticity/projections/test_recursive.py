"""The recursive projector against the explicit matrix, and no projection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.kernel_args import KernelArgs
from loco_stream._learner.plasticity.projections import LayerInput, none, recursive
from tests.helpers import naive
from tests.helpers.jitted import jitted, on_model
from tests.helpers.models import untrained

SEEDS = st.integers(0, 2**32 - 1)
FIRST_INPUT = 2  # where the inputs begin
FROZEN = 1  # neurons before the plastic ones
N_PLASTIC = 3

project_blocks = jitted(recursive.project_blocks)
copy_input = jitted(none.copy_input)
run_change_blocks = on_model(recursive.change_blocks)
run_change_dense = on_model(none.change_dense)


def f32(values):
    return np.asarray(values, np.float32)


class Layer:
    """Weights and projector of one layer inside larger arrays, and their float64 twins.

    One row and three columns of the arrays belong to nobody; the first neuron is frozen.
    """

    def __init__(self, rng, n, block, orthogonality, leak):
        self.n = n
        self.block = block
        self.orthogonality = orthogonality
        self.leak = leak
        self.weights = f32(rng.normal(size=(n + 1, 6)))
        self.projector = np.zeros((n + 1, block), np.float32)
        self.projector[np.arange(n), np.arange(n) % block] = 1.0
        self.projector[n] = 7.0
        self.w = self.weights[:n].astype(float)
        self.p = np.eye(n)
        args = untrained(n, 2, hidden_sizes=4, plastic=0.75, receptive_fields=1)
        settings = args.model.settings._replace(orthogonality=orthogonality, projector_leak=leak)
        self.args = KernelArgs(args.model._replace(settings=settings))

    def step(self, x, credit, rate, power, gain=1.0):
        """Learn from an input; return the kernel's projected input and the twin's."""
        scratch = self.args.model.scratch
        values = np.concatenate([np.full(FIRST_INPUT, np.nan, np.float32), f32(x)])
        rows = np.flatnonzero(x).astype(np.int32)
        layer = LayerInput(0, self.weights, values, FIRST_INPUT, self.n, rows, len(rows))
        h = scratch.layer.projected
        h[:] = np.nan
        square, energy = project_blocks(self.projector, layer, h)
        assert square == pytest.approx(float(x @ x), rel=1e-6)
        assert energy == pytest.approx(float(x @ self.p @ x), rel=1e-3, abs=1e-5)
        scratch.neurons.credit[FROZEN:] = credit
        step = rate / (gain * (power + energy))
        run_change_blocks(self.args, layer, self.projector, step, power)

        expected = self.p @ x
        own = slice(FROZEN, FROZEN + N_PLASTIC)
        self.w[:, own] = naive.change_weights(
            self.w[:, own], expected, credit, rate, gain, power, float(x @ expected), math.inf
        )
        self.p = naive.change_projector(self.p, x, self.block, power, self.orthogonality, self.leak)
        return h[: self.n].copy(), expected

    def check(self):
        n_last = self.n % self.block or self.block
        stored = naive.full_projector(self.projector[: self.n], self.block)
        np.testing.assert_allclose(stored, self.p, atol=1e-4)
        np.testing.assert_allclose(self.weights[: self.n], self.w, atol=1e-3)
        assert np.all(self.projector[self.n] == 7.0)
        assert not np.any(self.projector[self.n - n_last : self.n, n_last:])


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    st.integers(1, 13),
    st.integers(1, 15),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 3e-2]),
)
def test_the_projector_equals_the_explicit_matrix_block_by_block(
    seed, n, block, orthogonality, leak
):
    rng = np.random.default_rng(seed)
    layer = Layer(rng, n, block, orthogonality, leak)
    for _ in range(12):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.6)).astype(float)
        h, expected = layer.step(x, rng.normal(size=3), 0.3, 0.7, gain=2.0)
        np.testing.assert_allclose(h, expected, atol=1e-4)
    layer.check()


def test_without_projection_the_step_follows_the_input():
    args = untrained(3, 2, hidden_sizes=2, receptive_fields=1, orthogonality=0.0)
    scratch = args.model.scratch
    x = f32([0.5, 0.0, -2.0])
    weights = np.zeros((3, 2), np.float32)
    layer = LayerInput(0, weights, x, 0, 3, np.int32([0, 2]), 2)
    assert copy_input(layer, scratch.layer.projected) == 4.25
    assert np.array_equal(scratch.layer.projected[:3], x)
    scratch.neurons.credit[:] = 1.0, -1.0
    run_change_dense(args, layer, 0.1, 0.0)
    assert np.allclose(weights, -0.1 * np.outer(x, [1.0, -1.0]))
    assert args.model.state.projections.recursive.first.size == 0


def test_the_output_for_inputs_learned_often_stays():
    rng = np.random.default_rng(1)
    layer = Layer(rng, 20, 20, orthogonality=1.0, leak=0.0)
    old = f32(rng.normal(size=(5, 20))).astype(float)
    for t in range(600):
        layer.step(old[t % 5], np.zeros(3), 0.1, 1.0)
    start = layer.weights.copy()
    for _ in range(100):
        h, _ = layer.step(f32(rng.normal(size=20)).astype(float), rng.normal(size=3), 1.0, 1.0)
        assert np.abs(old @ h).max() < 0.1  # orthogonal to the old inputs
    moved = (layer.weights - start)[:20]
    assert np.abs(moved).max() > 0.3
    assert np.abs(old @ moved).max() < 0.05


def test_with_a_leak_no_direction_is_closed_for_ever():
    rng = np.random.default_rng(1)
    layer = Layer(rng, 4, 4, orthogonality=1.0, leak=1e-2)
    for _ in range(300):
        layer.step(np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), 0.1, 1.0)
    assert layer.projector[0, 0] < 0.2
    for _ in range(600):
        layer.step(np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(3), 0.1, 1.0)
    assert layer.projector[0, 0] > 0.9
    assert np.all(np.linalg.eigvalsh(layer.projector[:4].astype(float)) > 0.0)
