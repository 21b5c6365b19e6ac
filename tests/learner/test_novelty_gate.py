from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner.readout import gate
from tests.helpers import naive
from tests.helpers.doors import doors

gate = doors(gate)

SEEDS = st.integers(0, 2**32 - 1)


def table(counts, last_seen):
    return np.array([counts, last_seen], np.float64)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1000)), min_size=1, max_size=5),
    st.integers(1, 1200),
)
def test_dormancy_matches_the_twin(classes, n_seen):
    counts, last_seen = zip(*classes, strict=True)
    array = table(counts, last_seen)
    dormant = np.full(len(classes) + 1, -1.0)
    guarded, any_dormant = gate.mark_dormant(array, len(classes), n_seen, 1.0, dormant)
    expected = naive.dormancy(counts, last_seen, n_seen)
    assert guarded == expected[0]
    assert dormant[:-1].tolist() == expected[1].tolist()
    assert any_dormant == expected[1].any()
    assert dormant[-1] == -1.0


def test_dormancy_waits_for_an_absence_that_chance_does_not_explain():
    def marks(count, absence, n_seen=2000):
        return gate.mark_dormant(
            table([n_seen - count, count], [n_seen, n_seen - absence]), 2, n_seen, 1.0, np.zeros(2)
        )

    assert marks(1000, 29) == (False, False)  # a run of the other class
    assert marks(1000, 31) == (True, False)  # the hidden layers stand still first
    assert marks(1000, 99) == (True, False)
    assert marks(1000, 101) == (True, True)
    assert marks(20, 500) == (False, False)  # rare: half of such absences are chance
    assert marks(20, 1900) == (True, True)
    assert marks(5, 1900) == (False, False)  # not yet known
    assert gate.mark_dormant(table([2000], [2000]), 1, 2000, 1.0, np.zeros(1)) == (False, False)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(3, 20), st.floats(0, 1))
def test_newness_is_the_residual_of_the_fast_members_log_share(seed, n, tie):
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=n + 1)
    logs = np.stack([slow, tie * slow + rng.normal(size=n + 1)])
    shares = np.zeros((2, 3))
    moments = np.zeros(8)
    for t in range(n):  # plain means until the fade takes over
        shares[1, :2] = np.exp(logs[:, t])
        gate.learn_newness(shares, moments, t, 1.0)
    twin = np.zeros(5)
    for t in range(n):
        twin = naive.newness_moments(twin, *logs[:, t], 1 / (t + 1))
    assert np.allclose(moments[:5], twin)
    assert not np.any(moments[5:])
    shares[1, :2] = np.exp(logs[:, n])
    assert gate.newness(shares, moments) == pytest.approx(
        naive.newness(twin, *logs[:, n]), rel=1e-6, abs=1e-9
    )


def test_newness_tells_what_was_known_once_from_what_is_merely_unusual():
    rng = np.random.default_rng(0)
    shares = np.zeros((2, 2))
    moments = np.zeros(8)
    for t in range(500):
        unusual = rng.normal()
        shares[1] = np.exp([unusual - 6, 0.6 * unusual - 3 + 0.1 * rng.normal()])
        gate.learn_newness(shares, moments, t, 1.0)
    shares[1] = np.exp([4 - 6, 0.6 * 4 - 3])
    assert abs(gate.newness(shares, moments)) < 2.0  # four deviations out, to both members alike
    shares[1] = np.exp([0 - 6, 0 - 2])
    assert gate.newness(shares, moments) > 5.0
    shares[1] = -1.0  # rounding
    assert math.isfinite(gate.newness(shares, moments))
    assert gate.newness(shares, np.zeros(8)) < 0.0  # nothing learned: nothing known


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(2, 5))
def test_the_lead_of_dormant_classes_is_standardised_by_what_the_others_show(seed, n, n_classes):
    rng = np.random.default_rng(seed)
    moments = np.zeros(8)
    leads = []
    dormant = (rng.random(n_classes) < 0.5).astype(float)
    for said in rng.normal(size=(n, n_classes)).astype(np.float32):
        gate.learn_lead(said, n_classes, dormant, moments)
        leads.append(naive.lead(said.astype(float), dormant))
    mean, variance = naive.lead_moments(leads)
    assert np.allclose(moments[5:], [mean, variance, n])
    said = rng.normal(size=n_classes).astype(np.float32)
    expected = (naive.lead(said.astype(float), dormant) - mean) / math.sqrt(
        max(variance, gate.LEAST_VARIANCE)
    )
    found = gate.standard_lead(said, n_classes, dormant, moments)
    assert found == pytest.approx(expected if n >= gate.LEAD_ROWS else 0.0, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0.3, 0.7, 1.0]), st.floats(-1e6, 1e6), st.booleans())
def test_the_gate_opens_with_the_evidence(retention, evidence, dormant):
    found = gate.openness(evidence, dormant, retention)
    assert found == pytest.approx(naive.openness(evidence, dormant, retention), abs=1e-12)
    assert 0.0 <= found <= gate.openness(evidence + 1, dormant, retention) <= 1.0
    assert gate.openness(evidence, dormant, 0.2) <= found + 1e-12


def test_classes_are_counted():
    classes = np.zeros((2, 4))
    for t, label in enumerate([0, 1, 1, 0, 1]):
        gate.learn_classes(classes, label, t)
    assert classes[gate.CLASS_COUNT].tolist() == [2, 3, 0, 0]
    assert classes[gate.LAST_SEEN].tolist() == [3, 4, 0, 0]
