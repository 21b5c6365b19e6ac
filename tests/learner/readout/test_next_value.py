"""The values of the next row: the ensemble's answers, recent values, and linear models of both."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.encoding import TargetStatistics
from loco_stream._learner.readout import next_value
from tests.helpers.jitted import jitted_module
from tests.helpers.models import untrained
from tests.helpers.naive_fixed import RecentValues, SeveralRecentValues

next_value = jitted_module(next_value)
MEAN = 3.0
DEVIATION = 2.0


def arrays(n=1):
    """Return state and scratch of a model that has learned nothing of `n` targets."""
    model = untrained(2, n, regression=True, hidden_sizes=4).model
    return model.state.next_value, model.scratch.values


def statistics(n=1):
    """Return statistics of targets with the same mean and deviation."""
    ones = np.ones(n)
    squares = DEVIATION**2 * ones
    return TargetStatistics(ones, MEAN * ones, squares, ones, ones, 0.0 * ones, np.zeros((32, n)))


def run(values, ensemble, learn_every=1):
    """Compare mixtures with the twin's on a series; return them, the twin and the state."""
    own, work = arrays()
    target = statistics()
    twin = RecentValues(own.known.shape[1])
    given = (MEAN, DEVIATION)
    mixed = []
    for i, (value, score) in enumerate(zip(values, ensemble, strict=True)):
        next_value.recall_all(own, work.known)
        next_value.mix_values(own, work, target, np.array([score]), 1)
        mixed.append(work.mixed[0])
        assert mixed[-1] == pytest.approx(twin.mix(score, twin.known, *given), rel=1e-6, abs=1e-9)
        if i % learn_every == 0:
            work.followed[0] = value
            next_value.learn_values(own, work, target, 1)
            twin.learn(score, twin.known, (value - MEAN) / DEVIATION, *given)
        next_value.keep_value(own, 0, value)
        twin.keep(value)
    assert np.allclose(own.weights[0], twin.weights, rtol=1e-6, atol=1e-8)
    assert np.allclose(own.projectors[0], twin.projectors, rtol=1e-5, atol=1e-8)
    assert np.allclose(own.errors[0], twin.errors)
    assert np.allclose(own.log_weights[0], twin.log_weights, rtol=1e-6)
    assert own.counters[0].n_scored == twin.n_scored
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
    values[150:155] = [1e5, 1e6, 1e5, -1e5, 1e5]
    run(values, np.zeros(200))
    mixed, own = run(np.full(200, 3.0), np.zeros(200))
    assert np.isfinite(mixed).all()
    assert np.isfinite(own.projectors).all()


def test_an_outlier_is_not_repeated_and_a_new_level_is():
    values = walk(400)
    values[200] = 1e4
    values[300:] += 1e4
    mixed, _ = run(values, np.zeros(400))
    answers = MEAN + DEVIATION * mixed
    assert answers[201] <= MEAN + DEVIATION * next_value.MAX_OUTPUT
    assert np.abs(answers - values)[302:].max() < 1.0


def test_before_a_value_is_known_the_ensemble_answers():
    own, work = arrays()
    target = statistics()
    next_value.recall_all(own, work.known)
    assert np.isnan(work.known).all()
    next_value.mix_values(own, work, target, np.array([0.7]), 1)
    assert work.mixed[0] == 0.7
    work.followed[0] = 1.0
    next_value.learn_values(own, work, target, 1)
    assert own.counters[0].n_scored == 0


def test_the_last_values_are_kept_the_last_one_first():
    own, work = arrays()
    known = work.known[0]
    for value, expected in ((1.0, [1.0]), (2.0, [2.0, 1.0]), (3.0, [3.0, 2.0, 1.0])):
        next_value.keep_value(own, 0, value)
        next_value.recall_all(own, work.known)
        assert known[: len(expected)].tolist() == expected
        assert np.isnan(known[len(expected) :]).all()
    next_value.keep_value(own, 0, 4.0)
    assert own.known.tolist() == [[4.0, 3.0, 2.0]]
    assert own.counters[0].n_known == 3


def test_the_expert_that_is_best_has_the_weight():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=600)
    values = 3.0 + 2.0 * rng.normal(size=600)  # successive values say nothing
    _, own = run(values, (values - 3.0) / 2.0 + 0.01 * noise)
    log_weights = own.log_weights[0]
    assert log_weights[next_value.ENSEMBLE] > log_weights[next_value.LAST] + 5.0
    values = walk(600)
    mixed, own = run(values, noise)  # the ensemble says nothing
    log_weights = own.log_weights[0]
    assert log_weights[next_value.LAST] > log_weights[next_value.ENSEMBLE] + 5.0
    late = slice(300, None)
    error = np.abs(3.0 + 2.0 * mixed - values)[late].mean()
    assert error < 1.1 * np.abs(np.diff(values))[late.start - 1 :].mean()


def test_of_the_first_rows_the_last_ones_count_most():
    rng = np.random.default_rng(5)
    values = np.concatenate([walk(30, seed=5), 3.0 + 2.0 * rng.normal(size=30)])
    scores = np.concatenate([np.zeros(30), (values[30:] - MEAN) / DEVIATION])
    _, own = run(values, scores)
    assert own.log_weights[0].argmax() == next_value.ENSEMBLE


def test_late_values_are_a_fifth_of_their_evidence():
    model = untrained(2, 1, regression=True, hidden_sizes=4).model
    errors = model.state.delayed_values.errors
    errors.power = 1.0
    errors.product = 0.5
    assert next_value.observation_share(errors, False) == 1.0
    assert next_value.observation_share(errors, True) == pytest.approx(0.2 * 0.5 / 1.5)


def series(n_rows, n, seed=3):
    """Return targets each of which follows the one before it a row later, and scores."""
    rng = np.random.default_rng(seed)
    Y = np.zeros((n_rows, n))
    for t in range(1, n_rows):
        Y[t] = 0.8 * np.roll(Y[t - 1], 1) + 0.3 * rng.normal(size=n)
    return 3.0 + 2.0 * Y, 0.2 * rng.normal(size=(n_rows, n))


def run_several(Y, scores, shares=1.0):
    """Compare mixtures of several targets with the twin's; values that are NaN are missing."""
    n = Y.shape[1]
    own, work = arrays(n)
    target = statistics(n)
    twin = SeveralRecentValues(own.known.shape[1], n)
    moments = [(MEAN, DEVIATION)] * n
    work.shares[:] = shares
    mixed = []
    for values, row in zip(Y, scores, strict=True):
        known = [each.known for each in twin.each]
        next_value.recall_all(own, work.known)
        next_value.mix_values(own, work, target, row, n)
        mixed.append(work.mixed.copy())
        assert np.allclose(mixed[-1], twin.mix(row, known, moments), rtol=1e-6, atol=1e-8)
        z = (values - MEAN) / DEVIATION
        work.followed[:] = values
        next_value.learn_values(own, work, target, n)
        twin.learn(row, known, z, moments, np.broadcast_to(shares, n))
        for j in np.flatnonzero(~np.isnan(values)):
            next_value.keep_value(own, j, values[j])
            twin.each[j].keep(values[j])
    assert np.allclose(own.joint_weights, twin.weights, rtol=1e-6, atol=1e-8)
    assert np.allclose(own.joint_projectors, twin.projectors, rtol=1e-5, atol=1e-8)
    assert np.allclose(own.log_weights, [each.log_weights for each in twin.each], rtol=1e-6)
    return np.array(mixed), own


@pytest.mark.parametrize("n", [2, 5, next_value.JOINT_TARGETS + 2])
def test_mixtures_of_several_targets_equal_the_twin(n):
    run_several(*series(150, n))


def test_missing_values_and_shares_of_observations_equal_the_twin():
    Y, scores = series(200, 3)
    Y[::3, 1] = np.nan
    Y[50:60] = np.nan
    Y[:100, 2] = np.nan
    run_several(Y, scores, np.array([1.0, 0.3, 0.05]))


def test_the_last_values_of_other_targets_help():
    Y, scores = series(800, 3)
    mixed, own = run_several(Y, scores)
    errors = (MEAN + DEVIATION * mixed - Y)[400:]
    assert errors.std() < 1.1 * 2.0 * 0.3  # of the noise
    joint = own.log_weights[:, next_value.FIRST_JOINT :].max(axis=1)
    assert (joint > own.log_weights[:, : next_value.FIRST_JOINT].max(axis=1) + 5.0).all()


def test_a_target_that_was_alone_gives_the_joint_models_its_lowest_weight():
    own, _ = arrays(2)
    own.log_weights[0, : next_value.FIRST_JOINT] = [-3.0, -50.0, -20.0, -21.0]
    before = own.log_weights.copy()
    for n_before, n in ((0, 2), (2, 3), (1, 1)):
        next_value.admit_joint_models(own, n_before, n)
        assert np.array_equal(own.log_weights, before)
    next_value.admit_joint_models(own, 1, 2)
    assert own.log_weights[0].tolist() == [-3.0, -50.0, -20.0, -21.0, -50.0, -50.0]
    assert np.array_equal(own.log_weights[1], before[1])


def test_learning_anew_leaves_a_fresh_model_but_for_the_known_values():
    Y, scores = series(60, 3)
    _, own = run_several(Y, scores)
    known = own.known.copy()
    fresh, _ = arrays(3)
    next_value.learn_anew(own)
    for name in ("weights", "projectors", "joint_weights", "joint_projectors", "errors"):
        assert np.array_equal(getattr(own, name), getattr(fresh, name)), name
    assert np.array_equal(own.known, known)
    assert own.counters["n_scored"].tolist() == [0, 0, 0]
    head_start = own.log_weights[:, :1] - own.log_weights[:, 1:]
    assert (head_start == next_value.HEAD_START).all()
