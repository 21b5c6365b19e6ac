"""The value of the next row: the ensemble's answer, recent values, and linear models of both."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.readout import next_value
from tests.helpers.jitted import jitted_module
from tests.helpers.models import untrained
from tests.helpers.naive_fixed import RecentValues

next_value = jitted_module(next_value)


def arrays():
    """Return state and scratch of a model that has learned nothing."""
    model = untrained(2, 1, regression=True, hidden_sizes=4).model
    return model.state.next_value, model.scratch.values


def run(values, ensemble, learn_every=1):
    """Compare mixtures with the twin's on a series; return them, the twin and the state."""
    own, work = arrays()
    twin = RecentValues(len(own.known))
    mean = 3.0
    deviation = 2.0
    mixed = []
    for i, (value, score) in enumerate(zip(values, ensemble, strict=True)):
        next_value.recall_values(own, work.known)
        given = (mean, deviation)
        mixed.append(next_value.mix_values(own, work, score, *given))
        assert mixed[-1] == pytest.approx(twin.mix(score, twin.known, *given), rel=1e-6, abs=1e-9)
        if i % learn_every == 0:
            target = (value - mean) / deviation
            next_value.learn_value(own, work, score, target, *given)
            twin.learn(score, twin.known, target, *given)
        next_value.keep_value(own, value)
        twin.keep(value)
    assert np.allclose(own.weights, twin.weights, rtol=1e-6, atol=1e-8)
    assert np.allclose(own.projectors, twin.projectors, rtol=1e-5, atol=1e-8)
    assert np.allclose(own.errors, twin.errors)
    assert np.allclose(own.log_weights, twin.log_weights, rtol=1e-6)
    assert own.counters.n_scored == twin.n_scored
    return np.array(mixed), own


def walk(n, seed=0):
    return 3.0 + np.cumsum(0.1 * np.random.default_rng(seed).normal(size=n))


@pytest.mark.parametrize("learn_every", [1, 3])
def test_mixtures_equal_the_twin(learn_every):
    rng = np.random.default_rng(1)
    values = walk(300)
    run(values, (values - 3.0) / 2.0 + rng.normal(size=300), learn_every)


def test_values_far_out_and_a_constant_series_equal_the_twin():
    values = walk(200)
    values[50] = 1e4
    values[120] = -1e6
    run(values, np.zeros(200))
    mixed, own = run(np.full(200, 3.0), np.zeros(200))
    assert np.isfinite(mixed).all()
    assert np.isfinite(own.projectors).all()


def test_before_a_value_is_known_the_ensemble_answers():
    own, work = arrays()
    next_value.recall_values(own, work.known)
    assert np.isnan(work.known).all()
    assert next_value.mix_values(own, work, 0.7, 3.0, 2.0) == 0.7
    next_value.learn_value(own, work, 0.7, 1.0, 3.0, 2.0)
    assert own.counters.n_scored == 0


def test_the_last_values_are_kept_the_last_one_first():
    own, work = arrays()
    for value, known in ((1.0, [1.0]), (2.0, [2.0, 1.0]), (3.0, [3.0, 2.0, 1.0])):
        next_value.keep_value(own, value)
        next_value.recall_values(own, work.known)
        assert work.known[: len(known)].tolist() == known
        assert np.isnan(work.known[len(known) :]).all()
    next_value.keep_value(own, 4.0)
    assert own.known.tolist() == [4.0, 3.0, 2.0]
    assert own.counters.n_known == 3


def test_the_expert_that_is_best_has_the_weight():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=600)
    values = 3.0 + 2.0 * rng.normal(size=600)  # successive values say nothing
    _, own = run(values, (values - 3.0) / 2.0 + 0.01 * noise)
    assert own.log_weights[next_value.ENSEMBLE] > own.log_weights[next_value.LAST] + 5.0
    values = walk(600)
    mixed, own = run(values, noise)  # the ensemble says nothing
    assert own.log_weights[next_value.LAST] > own.log_weights[next_value.ENSEMBLE] + 5.0
    late = slice(300, None)
    error = np.abs(3.0 + 2.0 * mixed - values)[late].mean()
    assert error < 1.1 * np.abs(np.diff(values))[late.start - 1 :].mean()
