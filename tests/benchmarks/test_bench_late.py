"""Labels that come later, as the bench gives them."""

from __future__ import annotations

import pytest

from benchmarks import late


@pytest.mark.parametrize("contender", ["default", "no tickets"])
def test_each_value_is_learned_when_it_comes(contender):
    run = late.measure("ChickWeights", contender, "20", 0, None)
    assert 0.5 < run["score"] < 1.0
