"""The onset score of a column, against plain Python, and what its views are for."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCODetector
from loco_stream.estimators._detector_core import DetectorCore
from loco_stream.estimators._inputs.tables import table
from tests.helpers.naive_novelty import naive_onset


class Given:
    """Forecasts that are known beforehand."""

    def __init__(self, forecasts):
        self.forecasts = forecasts

    def learn_predict(self, filled, known, times):
        return self.forecasts[:, None]


def smooth(n, seed):
    """Return a slow wave with a little noise."""
    draws = np.random.default_rng(seed)
    return 5.0 * np.sin(np.arange(n) / 25.0) + 0.05 * draws.normal(size=n)


def noisy(n, seed):
    return np.random.default_rng(seed).standard_t(3, size=n)


@pytest.mark.parametrize("kind", [smooth, noisy])
def test_the_onset_score_is_that_of_plain_python(kind):
    values = 20.0 + kind(700, 1)  # the first one is no change from 0
    values[500] = 0.5 * values[500] + 1.0
    forecasts = values - 0.1 * np.random.default_rng(2).normal(size=700)
    core = DetectorCore(1000.0, Given(forecasts))
    core.admit([0])
    found = core.learn(core.rows(table(values[:, None]), [0]), np.full(700, np.nan))
    np.testing.assert_allclose(
        found.scores[:, 0], naive_onset(values, forecasts), rtol=1e-6, atol=1e-9
    )


def test_a_usual_value_at_an_unusual_place_raises_an_alarm():
    values = smooth(2000, 3)
    values[1500] += 0.4  # of a range of 10
    scores = LOCODetector(seed=1).learn_score_array(values[:, None])
    assert scores.alarm[1500:1502].any()
    assert scores.onset.argmax() in (1500, 1501)


def test_a_spike_that_is_more_unusual_on_its_way_back_raises_one_alarm():
    later_is_higher = []
    for seed in range(10):
        values = smooth(2000, seed)
        values[1500] += 0.6
        scores = LOCODetector(seed=1).learn_score_array(values[:, None])
        assert scores.alarm[1500:1503].sum() == 1
        later_is_higher.append(scores.onset[1501] > scores.onset[1500])
    assert sum(later_is_higher) >= 5
