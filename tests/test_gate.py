from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from doors import doors
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import gate

gate = doors(gate)

SEEDS = st.integers(0, 2**32 - 1)
SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=6)


def table(counts, last_seen, recent=None):
    return np.array([counts, last_seen, np.zeros(len(counts)) if recent is None else recent], np.float64)


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
@given(SEEDS)
def test_novelty_is_the_mean_standardised_share_of_the_fast_members(seed):
    rng = np.random.default_rng(seed)
    members = np.array([[0.0, gate.FAST_LEAK / 2, gate.FAST_LEAK, 0.1], [0.1] * 4])
    moments, shares = np.zeros((2, 4)), np.zeros((2, 5))
    seen = []
    for t in range(30):
        shares[1] = rng.random(5)
        seen.append(shares[1, :4].copy())
        gate.learn_novelty(shares, moments, t)
    first = np.array(seen)
    assert np.allclose(moments[0], first.mean(axis=0))  # a plain mean until the fade takes over
    z = ((shares[1, :4] - moments[0]) / np.sqrt(moments[1]))[2:].mean()
    assert gate.novelty(shares, members, moments) == pytest.approx(min(max(z, 0.0), gate.NOVELTY_MOST))
    shares[1] = 1e9
    assert gate.novelty(shares, members, moments) == gate.NOVELTY_MOST
    shares[1] = -1e9
    assert gate.novelty(shares, members, moments) == 0.0
    assert gate.novelty(shares, members[:, :2], moments) == 0.0  # no fast member, nothing is new


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.3, 0.7, 1.0]), st.floats(0, 6))
def test_blend_moves_towards_the_slow_member_the_more_the_newer(seed, retention, newness):
    rng = np.random.default_rng(seed)
    scores, slow = rng.normal(size=3), rng.normal(size=3).astype(np.float32)
    classes = table([500, 300, 200], [1000, 700, 500], [1.0, 0.0, 0.0])
    out = scores.copy()
    gate.blend(out, slow, 3, classes, 1000, newness, retention)
    openness = 1.0 - (1.0 - retention) * math.exp(-retention * gate.NOVELTY_WEIGHT * newness)
    floor = gate.PRIOR_FLOOR * math.exp(gate.FLOOR_GROWTH * newness)
    shift = gate.SHIFT_UNIT * np.log((classes[2] + floor) / (classes[0] / 1000 + floor))
    assert np.allclose(out, (1 - openness) * scores + openness * (slow + shift))
    assert openness >= retention


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
    classes = np.zeros((3, 4))
    for t, label in enumerate([0, 1, 1, 0, 1]):
        gate.learn_classes(classes, 2, label, t)
    assert classes[gate.CLASS_COUNT].tolist() == [2, 3, 0, 0]
    assert classes[gate.LAST_SEEN].tolist() == [3, 4, 0, 0]
    fade, share = gate.PRIOR_FADE, 0.0
    for hit in (0, 1, 1, 0, 1):
        share += fade * (hit - share)
    assert classes[gate.RECENT, 1] == pytest.approx(share)
