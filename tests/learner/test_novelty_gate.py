from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner.readout import novelty_gate as gate
from tests.helpers import naive
from tests.helpers.doors import doors

gate = doors(gate)

SEEDS = st.integers(0, 2**32 - 1)
SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=6)


def table(counts, last_seen):
    return np.array([counts, last_seen], np.float64)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1000)), min_size=1, max_size=5), st.integers(1, 1200))
def test_dormancy_matches_the_twin(classes, n_seen):
    counts, last_seen = zip(*classes, strict=True)
    array = table(counts, last_seen)
    assert gate.any_dormant(array, len(classes), n_seen) == naive.any_dormant(counts, last_seen, n_seen)


def test_dormancy_waits_for_an_absence_that_chance_does_not_explain():
    def dormant(count, absence, n_seen=2000):
        return gate.any_dormant(table([n_seen - count, count], [n_seen, n_seen - absence]), 2, n_seen)

    assert not dormant(1000, 90)  # a run of the other class
    assert dormant(1000, 110)
    assert not dormant(20, 500)  # rare: half of such absences are chance
    assert dormant(20, 1900)
    assert not dormant(5, 1900)  # not yet known
    assert not gate.any_dormant(table([2000], [2000]), 1, 2000)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(3, 20), st.floats(0, 1))
def test_newness_is_the_residual_of_the_fast_members_log_share(seed, n, tie):
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=n + 1)
    logs = np.stack([slow, tie * slow + rng.normal(size=n + 1)])
    shares, moments = np.zeros((2, 3)), np.zeros(5)
    for t in range(n):  # plain means until the fade takes over
        shares[1, :2] = np.exp(logs[:, t])
        gate.learn_newness(shares, moments, t)
    twin = np.zeros(5)
    for t in range(n):
        twin = naive.newness_moments(twin, *logs[:, t], 1 / (t + 1))
    assert np.allclose(moments, twin)
    shares[1, :2] = np.exp(logs[:, n])
    assert gate.newness(shares, moments) == pytest.approx(naive.newness(twin, *logs[:, n]), rel=1e-6, abs=1e-9)


def test_newness_tells_what_was_known_once_from_what_is_merely_unusual():
    rng = np.random.default_rng(0)
    shares, moments = np.zeros((2, 2)), np.zeros(5)
    for t in range(500):
        unusual = rng.normal()
        shares[1] = np.exp([unusual - 6, 0.6 * unusual - 3 + 0.1 * rng.normal()])
        gate.learn_newness(shares, moments, t)
    shares[1] = np.exp([4 - 6, 0.6 * 4 - 3])
    assert abs(gate.newness(shares, moments)) < 2.0  # four deviations out, to both members alike
    shares[1] = np.exp([0 - 6, 0 - 2])
    assert gate.newness(shares, moments) > 5.0
    shares[1] = -1.0  # rounding
    assert math.isfinite(gate.newness(shares, moments))
    assert gate.newness(shares, np.zeros(5)) < 0.0  # nothing learned: nothing known


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.3, 0.7, 1.0]), st.floats(-1e6, 1e6), st.booleans())
def test_blend_moves_towards_the_slow_member_the_more_the_newer(seed, retention, new, dormant):
    rng = np.random.default_rng(seed)
    scores, slow = rng.normal(size=3), rng.normal(size=3).astype(np.float32)
    out = scores.copy()
    gate.blend(out, slow, 3, new, dormant, retention)
    openness = naive.openness(new, dormant, retention)
    assert np.allclose(out, (1 - openness) * scores + openness * slow)
    assert openness <= naive.openness(new, True, retention) <= naive.openness(new + 1, True, retention)


@settings(max_examples=100, deadline=None)
@given(SCORES, st.floats(0.1, 40))
def test_probabilities_are_a_softmax_and_safe(scores, sharpness):
    proba = np.full(len(scores) + 1, -1.0)
    gate.to_proba(np.array(scores), sharpness, len(scores), proba)
    assert np.allclose(proba[:-1], naive.softmax(sharpness * np.array(scores)))
    assert proba[-1] == -1.0
    assert proba[:-1].sum() == pytest.approx(1.0)


def test_huge_scores_stay_probabilities():
    proba = np.zeros(3)
    gate.to_proba(np.array([1e308, -1e308, 0.0]), 1.0, 3, proba)
    assert proba.tolist() == [1.0, 0.0, 0.0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=5), st.integers(0, 4), st.floats(2, 30))
def test_sharpness_steps_down_the_log_loss(scores, label, sharpness):
    label %= len(scores)
    moved = gate.learn_sharpness(np.array(scores), len(scores), label, sharpness)
    low, high = gate.SHARPNESS_RANGE
    assert low <= moved <= high
    step = 1e-5
    slope = (
        naive.log_loss(scores, label, sharpness + step) - naive.log_loss(scores, label, sharpness - step)
    ) / (2 * step)  # fmt: skip
    if abs(slope) > 1e-3 and low < moved < high:
        assert np.sign(moved - sharpness) == -np.sign(slope)


def test_sharpness_calibrates():
    rng = np.random.default_rng(0)
    sharpness = 8.0
    tail = []
    for t in range(20000):
        scores = rng.normal(size=3) * 0.5
        label = rng.choice(3, p=naive.softmax(4.0 * scores))
        sharpness = gate.learn_sharpness(scores, 3, label, sharpness)
        if t > 10000:
            tail.append(sharpness)
    assert np.mean(tail) == pytest.approx(4.0, rel=0.15)
    assert gate.learn_sharpness(np.array([math.nan, 1.0]), 2, 0, 5.0) == 5.0


def test_classes_are_counted():
    classes = np.zeros((2, 4))
    for t, label in enumerate([0, 1, 1, 0, 1]):
        gate.learn_classes(classes, label, t)
    assert classes[gate.CLASS_COUNT].tolist() == [2, 3, 0, 0]
    assert classes[gate.LAST_SEEN].tolist() == [3, 4, 0, 0]
