"""Every score is one definition: shown by name, measured row by row, restored from plain values."""

from __future__ import annotations

import json
import math
from typing import get_type_hints

import pytest

from loco_stream._problems import TARGETS
from loco_stream.metrics import Prequential
from loco_stream.metrics.scores import SCORES, charted, scores_for

ROWS = {
    "classification": [("a", "a", 0.9, None), ("b", "a", 0.2, None), ("b", "b", 0.7, None)] * 4,
    "regression": [(1.0, 1.5, None, (0.0, 2.0)), (2.0, 1.0, None, (0.0, 1.5))] * 4,
    TARGETS: [
        ({"a": 1.0, "b": 4.0}, {"a": 1.5, "b": 4.0}, None, {"a": (0.0, 2.0), "b": (3.0, 5.0)}),
        ({"a": 2.0, "b": 5.0}, {"a": 1.0, "b": 4.0}, None, {"a": (0.0, 1.5), "b": (3.0, 4.5)}),
    ]
    * 4,
}


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.key.name)
def test_a_score_has_a_description_a_value_and_a_state_of_the_declared_fields(score):
    key = score.key
    assert key.description
    assert key.problem in ROWS
    tally = score.tally(window=3, fading=0.9)
    twin = score.tally(window=3, fading=0.9)
    for row in ROWS[key.problem]:
        tally.update(*row)
    value = score.value(tally)
    if score.better:
        assert isinstance(value, float)
        assert math.isfinite(value)
    state = json.loads(json.dumps(tally.export_state()))
    assert state.keys() == get_type_hints(score.tally.saved).keys()
    twin.restore_state(state)
    assert score.value(twin) == value


@pytest.mark.parametrize("problem", ROWS)
def test_prequential_measures_every_score_of_its_problem(problem):
    score = Prequential(problem)
    names = [definition.key.name for definition in scores_for(problem)]
    assert [*score.report(), *score.classes()] == names
    for row in ROWS[problem]:
        score.update(*row)
    assert score.n_scored == len(ROWS[problem])
    report = score.report()
    assert {name: score.value(name) for name in report} == report


@pytest.mark.parametrize("problem", ROWS)
def test_a_chart_shows_the_windowed_score_the_overall_one_and_baselines(problem):
    roles = [score.chart for score in charted(problem)]
    assert roles[:2] == ["window", "overall"]
    assert set(roles[2:]) == {"baseline"}
    assert all(score.key.label for score in charted(problem))


def test_names_of_tallies_are_unique():
    tallies = {score.tally for score in SCORES}
    assert len({tally.name for tally in tallies}) == len(tallies)
