"""Labels that come later, as the bench gives them."""

from __future__ import annotations

import pytest

from benchmarks import late

_MEMORIES = ("default", "no memory")


def test_a_memory_costs_little_where_values_come_a_day_late():
    """R2 was .09 with a memory and .10 without one before experts were scored in foresight."""
    scores = [late.measure("season", name, "a day", 0, None)["score"] for name in _MEMORIES]
    assert scores[0] > scores[1] - 0.01
    assert min(scores) > 0.12


@pytest.mark.parametrize("contender", ["default", "no tickets"])
def test_each_value_is_learned_when_it_comes(contender):
    run = late.measure("ChickWeights", contender, "20", 0, None)
    assert 0.5 < run["score"] < 1.0
