"""Scores of many rows at once are those of single rows, to the last digit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.engine._measures import RunMeasures
from loco_stream.metrics.scores._definition import ScoredRows

LABELS = st.sampled_from(["a", "b", 3, True])
CLASSES = st.tuples(
    LABELS,
    st.none() | LABELS,
    st.none() | st.floats(0.0, 1.0) | st.just(float("nan")),
    st.none(),
)
NUMBERS = st.floats(-1e6, 1e6)
VALUES = st.tuples(NUMBERS, st.none() | NUMBERS, st.none(), st.none() | st.tuples(NUMBERS, NUMBERS))


@pytest.mark.parametrize(("problem", "rows"), [("classification", CLASSES), ("regression", VALUES)])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_many_rows_are_scored_as_single_ones(problem, rows, data):
    drawn = data.draw(st.lists(rows, max_size=60))
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=1))
    one = RunMeasures(problem, score_window=7)
    many = RunMeasures(problem, score_window=7)
    one.curve._most = many.curve._most = 6  # so that the stride grows
    for row in drawn:
        one.score(*row)
    begin = 0
    while begin < len(drawn):
        end = begin + sizes[begin % len(sizes)]
        columns = map(list, zip(*drawn[begin:end], strict=True))
        many.score_many(ScoredRows(*columns))
        begin = end
    assert repr(many.export_state()) == repr(one.export_state())
    assert repr(many.curve_report()) == repr(one.curve_report())
