"""Runs of repeated values, against plain Python, and what is found by them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCODetector
from loco_stream._compiler.jit import entry
from loco_stream._novelty import runs
from loco_stream._novelty.state import N_VALUES, NUMBER, VALUES_HELD, allocate
from tests.helpers.naive_novelty import naive_runs

TEXT = NUMBER + 1


@entry
def score_runs(state, kinds, numbers, scores):
    """Score cells one by one before each is learned."""
    for i in range(kinds.shape[0]):
        scores[i] = runs.stuck_score(state, 0, kinds[i], numbers[i])
        runs.learn_run(state, 0, kinds[i], numbers[i], True)
        if kinds[i] == NUMBER:
            state.figures[0, N_VALUES] += 1.0


def scores_of(cells):
    scores = np.zeros(len(cells))
    kinds = np.array([kind for kind, _ in cells], np.int64)
    score_runs(allocate(1), kinds, np.array([x for _, x in cells]), scores)
    return scores


CELLS = st.one_of(
    st.tuples(st.just(NUMBER), st.sampled_from([0.0, 1.0, 2.5])),
    st.tuples(st.just(TEXT), st.just(0.0)),
    st.tuples(st.just(NUMBER), st.integers(0, VALUES_HELD + 2).map(float)),
)


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, st.integers(1, 12)), max_size=60))
def test_runs_are_scored_as_in_plain_python(found):
    cells = [cell for cell, n in found for _ in range(n)]
    np.testing.assert_allclose(scores_of(cells), naive_runs(cells), rtol=1e-9, atol=1e-12)


def test_a_value_of_short_runs_is_stuck_long_before_the_usual_one_would_be():
    pulses = ([0.0] * 200 + [1.0] * 3) * 6 + [0.0] * 200
    scores = scores_of([(NUMBER, x) for x in pulses + [1.0] * 60])
    found = int(np.argmax(scores >= runs.STUCK_SCORE))
    assert len(pulses) < found < len(pulses) + 50
    share = (6 * 2 + 1) / (6 * 3 + 2)
    assert scores[-1] == pytest.approx(-59 * math.log10(share))


@pytest.mark.parametrize("on", [1.0, "open"])
def test_a_contact_that_stays_on_raises_one_alarm(on):
    draws = np.random.default_rng(3)
    contact = np.zeros(2600, object)
    for begin in draws.choice(np.arange(20, 190), 20, replace=False) * 10:
        contact[begin : begin + 3] = on
    contact[2000:] = on
    if isinstance(on, str):
        contact[contact == 0] = "shut"
    detector = LOCODetector(seed=1)
    rows = zip(contact, draws.normal(size=2600), strict=True)
    alarms = []
    for i, (valve, level) in enumerate(rows):
        detector.learn_one({"valve": valve, "level": level})
        if detector.alarm_ and i >= 1000:
            alarms.append((i, detector.blame_))
    assert [i for i, column in alarms if column == "valve" and 2000 <= i < 2060]
    assert sum(column == "valve" for _, column in alarms) == 1


@pytest.mark.parametrize("n_values", [VALUES_HELD, VALUES_HELD + 1])
def test_only_a_column_of_few_values_has_runs_value_by_value(n_values):
    usual = [(NUMBER, float(n_values - 1))] * 200
    others = [(NUMBER, float(k)) for k in range(n_values - 1) for _ in range(4)]
    scores = scores_of((usual + others) * 6 + usual + [(NUMBER, 0.0)] * 100)
    assert (scores[-1] >= runs.STUCK_SCORE) == (n_values == VALUES_HELD)
