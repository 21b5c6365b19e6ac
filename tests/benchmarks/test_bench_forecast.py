"""The benches of forecasts and of several targets, with little data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import forecast, targets


@pytest.mark.parametrize("contender", forecast.CONTENDERS)
def test_every_contender_forecasts_a_short_series(contender, monkeypatch):
    monkeypatch.setitem(forecast.SERIES, "short", (lambda: forecast._noisy_season()[:150], 24))
    found = forecast.measure("short", contender, 0)
    assert found["mae_1"] is not None
    assert found["mae_1"] >= 0.0
    is_ours = contender == "LOCOForecaster" or contender.startswith("a tenth missing")
    assert ("coverage_1" in found) == is_ours
    grid = forecast.grids({f"short/{contender}/0": found})[0]
    assert grid.rows[0][0] == contender


def test_the_last_season_is_repeated_over_long_horizons():
    y = np.arange(60.0) % 12
    forecasts, _ = forecast.CONTENDERS["last season"](y, 12, 0)
    rows = np.arange(30, 36)
    for step in (1, 12, 13, 24):
        assert np.array_equal(forecasts[rows, step - 1], (rows + step - 1) % 12)


def test_a_forecast_that_is_not_finite_has_no_error(monkeypatch):
    monkeypatch.setitem(forecast.SERIES, "short", (lambda: np.arange(100.0), 1))
    nothing = lambda y, period, seed: (np.full((len(y), 24), np.nan), None)  # noqa: E731
    monkeypatch.setitem(forecast.CONTENDERS, "nothing", nothing)
    found = forecast.measure("short", "nothing", 0)
    assert found["mae_24"] is None
    assert forecast._smallest([found], "mae_24") == math.inf


def test_both_ways_to_predict_targets_are_measured(monkeypatch):
    monkeypatch.setattr(targets, "_ROWS", 300)
    monkeypatch.setattr(targets, "_SETTLED", 100)
    results = {
        f"{number}/{contender}/0": targets.measure(number, contender, 0)
        for number in (1, 2)
        for contender in targets.CONTENDERS
    }
    alone = results["1/model per target/0"]["mae"]  # this one knows recent values too
    assert results["1/one model/0"]["mae"] == pytest.approx(alone, rel=0.05)
    rows = targets.grids(results)[0].rows
    assert [row[0] for row in rows] == ["1", "1", "2", "2"]
