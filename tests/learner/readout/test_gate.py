from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.learner.arrays.spec import array_of
from loco_stream.learner.readout import gate
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group

ClassState = gate.ClassState
GateState = gate.GateState

gate = jitted_module(gate)

SEEDS = st.integers(0, 2**32 - 1)
MARGIN_FIELDS = 5  # position of the first one in the record


def class_state(counts, last_seen):
    return ClassState(np.array(counts, np.float64), np.array(last_seen, np.float64))


def fresh_moments():
    return fresh_group(GateState).moments


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1000)), min_size=1, max_size=5),
    st.integers(1, 1200),
)
def test_dormancy_equals_the_twin(classes, n_seen):
    counts, last_seen = zip(*classes, strict=True)
    dormant = np.full(len(classes) + 1, -1.0)
    state = class_state(counts, last_seen)
    guarded, any_dormant = gate.mark_dormant(state, len(classes), n_seen, 1.0, dormant)
    expected = naive.dormancy(counts, last_seen, n_seen)
    assert guarded == expected[0]
    assert dormant[:-1].tolist() == expected[1].tolist()
    assert any_dormant == expected[1].any()
    assert dormant[-1] == -1.0


def test_a_class_is_dormant_after_an_absence_that_chance_does_not_explain():
    def marks(count, absence, n_seen=2000):
        state = class_state([n_seen - count, count], [n_seen, n_seen - absence])
        return gate.mark_dormant(state, 2, n_seen, 1.0, np.zeros(2))

    assert marks(1000, 29) == (False, False)  # a run of the other class
    assert marks(1000, 31) == (True, False)  # the hidden layers stand still first
    assert marks(1000, 99) == (True, False)
    assert marks(1000, 101) == (True, True)
    assert marks(20, 500) == (False, False)  # rare: half of such absences are chance
    assert marks(20, 1900) == (True, True)
    assert marks(5, 1900) == (False, False)  # not yet known
    alone = class_state([2000], [2000])
    assert gate.mark_dormant(alone, 1, 2000, 1.0, np.zeros(1)) == (False, False)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(3, 20), st.floats(0, 1))
def test_novelty_is_the_residual_of_the_fast_members_log_score(seed, n, slope):
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=n + 1)
    logs = np.stack([slow, slope * slow + rng.normal(size=n + 1)])
    energies = np.zeros(3)
    moments = fresh_moments()
    for t in range(n):  # plain means until the fixed rate is larger
        energies[:2] = np.exp(logs[:, t])
        gate.learn_novelty(energies, moments, t, 1.0)
    twin = np.zeros(5)
    for t in range(n):
        twin = naive.novelty_moments(twin, *logs[:, t], 1 / (t + 1))
    found = array_of(moments)
    assert np.allclose(found[:MARGIN_FIELDS], twin)
    assert not np.any(found[MARGIN_FIELDS:])
    energies[:2] = np.exp(logs[:, n])
    expected = naive.novelty(twin, *logs[:, n])
    assert gate.novelty(energies, moments) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_novelty_separates_what_was_known_once_from_what_is_merely_unusual():
    rng = np.random.default_rng(0)
    energies = np.zeros(2)
    moments = fresh_moments()
    for t in range(500):
        unusual = rng.normal()
        energies[:] = np.exp([unusual - 6, 0.6 * unusual - 3 + 0.1 * rng.normal()])
        gate.learn_novelty(energies, moments, t, 1.0)
    energies[:] = np.exp([4 - 6, 0.6 * 4 - 3])
    assert abs(gate.novelty(energies, moments)) < 2.0  # four deviations out for both members
    energies[:] = np.exp([0 - 6, 0 - 2])
    assert gate.novelty(energies, moments) > 5.0
    energies[:] = -1.0  # rounding
    assert math.isfinite(gate.novelty(energies, moments))
    assert gate.novelty(energies, fresh_moments()) < 0.0  # nothing learned: nothing known


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(2, 5))
def test_the_margin_of_dormant_classes_is_standardised_by_rows_of_the_others(seed, n, n_classes):
    rng = np.random.default_rng(seed)
    moments = fresh_moments()
    margins = []
    dormant = (rng.random(n_classes) < 0.5).astype(float)
    for outputs in rng.normal(size=(n, n_classes)).astype(np.float32):
        gate.learn_margin(outputs, n_classes, dormant, moments)
        margins.append(naive.margin(outputs.astype(float), dormant))
    mean, variance = naive.margin_moments(margins)
    assert np.allclose(array_of(moments)[MARGIN_FIELDS:], [mean, variance, n])
    outputs = rng.normal(size=n_classes).astype(np.float32)
    deviation = math.sqrt(max(variance, gate.MIN_VARIANCE))
    expected = (naive.margin(outputs.astype(float), dormant) - mean) / deviation
    found = gate.standard_margin(outputs, n_classes, dormant, moments)
    expected = expected if n >= gate.MARGIN_ROWS else 0.0
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0.3, 0.7, 1.0]), st.floats(-1e6, 1e6), st.booleans())
def test_the_gate_opens_with_the_evidence(retention, evidence, dormant):
    found = gate.activation(evidence, dormant, retention)
    assert found == pytest.approx(naive.activation(evidence, dormant, retention), abs=1e-12)
    assert 0.0 <= found <= gate.activation(evidence + 1, dormant, retention) <= 1.0
    assert gate.activation(evidence, dormant, 0.2) <= found + 1e-12


def test_rows_of_each_class_are_counted():
    classes = fresh_group(ClassState, classes=4)
    for t, label in enumerate([0, 1, 1, 0, 1]):
        gate.count_label(classes, label, t)
    assert classes.n_rows.tolist() == [2, 3, 0, 0]
    assert classes.last_seen.tolist() == [3, 4, 0, 0]
