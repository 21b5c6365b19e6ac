"""The forecaster: heads on one network, each horizon learned when its value has come."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from river import checks, datasets, metrics, time_series
from sklearn.base import clone

from loco_stream import LOCOForecaster, load, save
from loco_stream.errors import CheckpointError, ConfigError, InputError, LocoStreamWarning


def series(n=400, seed=0):
    rng = np.random.default_rng(seed)
    steps = np.arange(n)
    return 5.0 + np.sin(2 * np.pi * steps / 12) + 0.1 * rng.normal(size=n)


def model(**options):
    return LOCOForecaster(**{"hidden_sizes": 16, "seed": 3, "heads": 6, **options})


def assert_same_state(one, two):
    a, b = one.export_state()[1], two.export_state()[1]
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name], equal_nan=True), name


OPTIONS = [
    {},
    {"memory": None},
    {"max_delay": 2},
    {"seasons": (30,)},
    {"heads": 1},
    {"hidden_sizes": (12, 8)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_blocks_equal_values_one_by_one(options):
    y = series(120)
    t = np.cumsum(np.random.default_rng(1).uniform(0.5, 2.0, len(y)))
    by_block, by_value = model(**options), model(**options)
    by_block.learn_array(y, t=t)
    for value, time in zip(y.tolist(), t.tolist(), strict=True):
        by_value.learn_one(value, t=time)
    assert_same_state(by_block, by_value)
    assert by_block.forecast(15) == by_value.forecast(15)


def test_forecasts_in_a_block_are_those_made_before_each_value():
    y = series(80)
    forecasts, intervals = model().learn_forecast_array(y, coverage=0.8)
    other = model()
    for i, value in enumerate(y.tolist()):
        if i:
            assert other.forecast(6) == forecasts[i].tolist()
            assert other.forecast_interval(6, 0.8) == [
                tuple(pair) for pair in intervals[i].tolist()
            ]
        other.learn_one(value)


@pytest.mark.parametrize("horizon", [1, 6, 7, 20])
def test_a_forecast_changes_nothing(horizon):
    y = series(100)
    trained, other = model(), model()
    trained.learn_array(y[:60])
    other.learn_array(y[:60])
    first = trained.forecast(horizon)
    assert len(first) == horizon
    assert trained.forecast(horizon) == first
    assert trained.forecast_interval(horizon) == trained.forecast_interval(horizon)
    trained.learn_array(y[60:])
    other.learn_array(y[60:])
    assert_same_state(trained, other)


def test_a_season_is_forecast_far_beyond_the_heads():
    y = series(1500)
    trained = LOCOForecaster(seed=1, heads=12)
    trained.learn_array(y[:1400])
    errors = np.abs(np.array(trained.forecast(100)) - y[1400:])
    assert errors.mean() < 0.2


@pytest.mark.parametrize("period", [24, 60])
def test_a_season_that_repeats_is_forecast_about_as_well_as_by_repeating_it(period):
    """Errors were 2.2 to 3.6 times as large where only the last value could be repeated."""
    levels = np.random.default_rng(0).gamma(1.0, size=period)
    wander = 0.01 * np.cumsum(np.random.default_rng(1).normal(size=800))
    y = levels[np.arange(800) % period] + wander
    trained = LOCOForecaster(seed=1, seasons=(period,) if period > 24 else None)
    forecasts, _ = trained.learn_forecast_array(y)
    rows = np.arange(400, 776)
    for step in (5, 10, 20):
        ahead = rows + step - 1
        repeated = np.abs(y[ahead - period] - y[ahead]).mean()
        assert np.abs(forecasts[rows, step - 1] - y[ahead]).mean() < 1.2 * repeated


def test_a_short_random_walk_is_not_mistaken_for_a_season():
    """The smallest of two dozen mean errors of few rows is small by chance.

    Errors 12 steps ahead were 1.3 times those of the last value where one row could decide.
    """
    ratios = []
    for seed in range(12):
        y = np.cumsum(np.random.default_rng(seed).normal(size=80))
        forecasts, _ = LOCOForecaster(seed=1).learn_forecast_array(y)
        rows = np.arange(30, 68)
        ahead = rows + 11
        error = np.abs(forecasts[rows, 11] - y[ahead]).mean()
        ratios.append(error / np.abs(y[rows - 1] - y[ahead]).mean())
    assert np.mean(ratios) < 1.2


def test_a_forecast_that_is_seldom_exact_and_nearer_on_the_mean_is_kept():
    """Repeating is exact for the three quarters of a day that are 0, and far off in the other one.

    The error was .95 times that of repeating where a row counted for two mean errors at most.
    """
    hour = np.arange(1200) % 24
    rng = np.random.default_rng(3)
    sun = np.maximum(np.sin(np.pi * (hour + 0.5) / 6), 0.0) * (hour < 6)
    y = sun * np.repeat(rng.uniform(0.2, 1.0, 50), 24) * np.exp(0.2 * rng.normal(size=1200))
    forecasts, _ = LOCOForecaster(seed=1).learn_forecast_array(y)
    yesterday = np.abs(y[576:-24] - y[600:]).mean()
    assert np.abs(forecasts[600:, 0] - y[600:]).mean() < 0.75 * yesterday


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_head_does_not_depend_on_how_many_others_there_are(step):
    y = series(150)
    forecasts, _ = model(memory=None).learn_forecast_array(y)
    others, _ = model(memory=None, heads=9).learn_forecast_array(y)
    assert np.allclose(forecasts[:, step - 1], others[:, step - 1], atol=1e-4)


def test_every_head_equals_recursive_least_squares_on_the_rows_whose_values_have_come():
    trained = model()
    vectors, targets = [], []
    for value in series(120).tolist():
        trained.learn_one(value)
        core = trained._core
        place = (int(core.heads.counters.n_rows) - 1) % trained.heads
        vectors.append(core.heads.vectors[place].astype(np.float64))
        targets.append(core.scratch.target.copy())
    own = core.state.experts.least_squares
    n_inputs = len(own.weights)
    for j in range(trained.heads):
        projector = own.priors[0] * np.eye(n_inputs)
        weights = np.zeros(n_inputs)
        for row in range(len(vectors) - j):
            x = vectors[row][:n_inputs]
            gain = projector @ x / (1.0 + x @ projector @ x)
            projector -= np.outer(gain, x @ projector)
            if row:  # the first value of the series has none before it
                weights += gain * (targets[row + j][j] - weights @ x)
        assert np.allclose(weights, own.weights[:, j], atol=2e-3)


def test_errors_grow_with_the_horizon_and_stay_below_the_last_value():
    y = series(1500)
    forecasts, _ = LOCOForecaster(seed=1).learn_forecast_array(y)
    for step in (1, 6, 24):
        rows = np.arange(500, len(y) - step + 1)
        error = np.abs(forecasts[rows, step - 1] - y[rows + step - 1]).mean()
        persistence = np.abs(y[rows - 1] - y[rows + step - 1]).mean()
        assert error < 0.12
        assert error < persistence


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_intervals_of_late_heads_cover(coverage):
    rng = np.random.default_rng(4)
    y = np.cumsum(rng.normal(size=3000))
    _, intervals = model(heads=12).learn_forecast_array(y, coverage=coverage)
    for step in (1, 6, 12):
        rows = np.arange(500, len(y) - step + 1)
        low, high = intervals[rows, step - 1].T
        inside = (low <= y[rows + step - 1]) & (y[rows + step - 1] <= high)
        assert abs(inside.mean() - coverage) < 0.02


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_blocks_with_missing_values_equal_values_one_by_one(options, tmp_path):
    y = series(120)
    y[np.random.default_rng(2).random(len(y)) < 0.2] = np.nan
    y[60:75] = np.nan  # more than there are heads
    by_block, by_value = model(**options), model(**options)
    by_block.learn_array(y[:66])
    save(by_block, tmp_path / "forecaster.loco")
    by_block = load(tmp_path / "forecaster.loco")  # within the gap
    forecasts, _ = by_block.learn_forecast_array(y[66:])
    for i, value in enumerate(y.tolist()):
        if i >= 66:
            assert by_value.forecast(by_value.heads) == forecasts[i - 66].tolist()
        by_value.learn_one(value)
    assert_same_state(by_block, by_value)


def test_a_gap_is_filled_with_forecasts_as_far_as_there_are_heads():
    y = series(300)
    trained = model()
    trained.learn_array(y)
    expected = trained.forecast(1)[0]
    trained.learn_one(None)
    assert trained.export_state()[1]["history"][-1] == expected
    trained.learn_array(np.full(9, np.nan))
    history = trained.export_state()[1]["history"][-10:]
    assert np.isnan(history).tolist() == [False] * 6 + [True] * 4
    trained.learn_one(5.0)
    trained.learn_one(None)
    assert not np.isnan(trained.export_state()[1]["history"][-2:]).any()


def test_missing_values_hardly_make_a_seasonal_forecast_worse():
    y = series(1500)
    with_gaps = y.copy()
    with_gaps[np.random.default_rng(3).random(len(y)) < 0.1] = np.nan
    rows = np.arange(500, 1490)
    errors = []
    for given in (y, with_gaps):
        forecasts, _ = LOCOForecaster(seed=1, heads=6).learn_forecast_array(given)
        errors.append(np.abs(forecasts[rows, 1] - y[rows + 1]).mean())
    assert errors[1] < 1.06 * errors[0]


def test_after_a_gap_forecasts_go_on():
    y = series(200)
    y[50:60] = np.nan
    trained = model()
    trained.learn_array(y[:60])
    assert np.isfinite(trained.forecast(20)).all()
    trained.learn_one(None)
    trained.learn_array(y[61:])
    assert trained.n_seen == 200
    assert np.abs(np.array(trained.forecast(6)) - 5.0).max() < 1.5


def test_a_gap_longer_than_the_history_keeps_the_level():
    y = 1000.0 + series(200)
    by_block, by_value = model(), model()
    by_block.learn_array(np.concatenate([y, np.full(60, np.nan)]))
    by_value.learn_array(y)
    for _ in range(60):
        by_value.learn_one(None)
    assert np.abs(np.array(by_value.forecast(6)) - 1005.0).max() < 5.0
    assert_same_state(by_block, by_value)
    by_value.learn_one(1500.0)
    assert np.abs(np.array(by_value.forecast(6)) - 1500.0).max() < 5.0


def test_a_series_may_begin_with_missing_values():
    trained = model()
    trained.learn_one(None)
    assert trained.forecast(3) == [0.0, 0.0, 0.0]
    trained.learn_one(1000.0)
    assert trained.forecast(3) == [1000.0, 1000.0, 1000.0]
    trained.learn_one(1001.0)
    assert np.abs(np.array(trained.forecast(3)) - 1001.0).max() < 5.0


def test_forecasts_from_features_that_no_row_brought_warn():
    trained = model()
    trained.learn_array(series(60))
    message = "it has 'load', the model has none$"
    with pytest.warns(LocoStreamWarning, match=message):
        told = trained.forecast(2, [{"load": 1.0}, {"load": 2.0}])
    assert told == trained.forecast(2)


def test_additional_features_are_inputs_of_the_next_value():
    rng = np.random.default_rng(2)
    x = rng.normal(size=800)
    y = 3.0 * x
    trained = LOCOForecaster(seed=1, heads=2, hidden_sizes=32)
    trained.learn_array(y, x[:, None], features=["load"])
    for given in (-1.0, 0.5):
        forecast = trained.forecast(1, [{"load": given}])[0]
        assert forecast == pytest.approx(3.0 * given, abs=0.3)
    row_by_row = LOCOForecaster(seed=1, heads=2, hidden_sizes=32)
    for value, given in zip(y.tolist(), x.tolist(), strict=True):
        row_by_row.learn_one(value, {"load": given})
    assert_same_state(trained, row_by_row)


def test_features_may_appear_later_and_texts_are_masked():
    trained = model()
    trained.learn_array(series(40))
    trained.learn_one(5.0, {"new": 1.0, "text": "?"})
    trained.learn_array(series(40))
    assert np.isfinite(trained.forecast(8, [{"new": 1.0}] * 8)).all()


def test_a_feature_of_texts_is_named_and_inputs_of_a_long_season_are_not():
    trained = model(seasons=(200,))
    for i, y in enumerate(series(99)):
        trained.learn_one(y, {"day": "monday", "machine_id": i % 3})
    with pytest.warns(LocoStreamWarning) as caught:
        trained.learn_one(1.0, {"day": "tuesday", "machine_id": 1})
    assert [str(each.message) for each in caught] == [
        "column 'day' held no number in its first 100 rows: nothing is learned from it"
    ]
    trained.learn_array(series(200))


def test_features_of_the_future_that_the_model_does_not_know_are_named_once():
    trained = model()
    trained.learn_array(series(40), np.arange(40.0)[:, None], ["load"])
    with pytest.warns(LocoStreamWarning, match="it has 'Load', the model has 'load'"):
        trained.forecast(8, [{"Load": 1.0}] * 8)
    trained.forecast(8, [{"Load": 1.0}] * 8)
    trained.forecast(8, [{}] * 8)


@pytest.mark.parametrize(
    "missing", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, np.ma.masked], ids=repr
)
def test_missing_values_of_every_library_are_missing(missing):
    expected, trained, by_array = model(), model(), model()
    values = [*series(40).tolist(), None, 3.0]
    for y in values:
        expected.learn_one(y)
    values[-2] = missing
    for y in values:
        trained.learn_one(y, t=missing)
    by_array.learn_array(iter(values))
    assert_same_state(trained, expected)
    assert_same_state(by_array, expected)


def test_masked_values_and_times_are_missing():
    y = series(60)
    t = np.arange(60) * 2
    mask = np.arange(60) % 9 == 5
    expected, trained = model(), model()
    expected.learn_array(np.where(mask, np.nan, y), t=np.where(mask, np.nan, t))
    trained.learn_array(np.ma.array(y, mask=mask), t=np.ma.array(t, mask=mask))
    assert_same_state(trained, expected)
    days = np.ma.array(t.astype("M8[s]"), mask=mask)
    by_day = model()
    by_day.learn_array(np.ma.array(y, mask=mask), t=days)
    assert_same_state(by_day, expected)


def test_times_matter_to_the_memory():
    y = series(300)
    gaps = np.where(np.arange(300) % 2, 1.0, 4.0)
    even, uneven = model(), model()
    even.learn_array(y)
    uneven.learn_array(y, t=np.cumsum(gaps))
    assert even.forecast(3) != uneven.forecast(3)


@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_copies_and_files_continue_bit_identically(options, tmp_path):
    y = series(200)
    trained = model(**options)
    trained.learn_array(y[:90])
    save(trained, tmp_path / "model.loco")
    others = [load(tmp_path / "model.loco"), pickle.loads(pickle.dumps(trained))]
    others += [copy.deepcopy(trained)]
    expected, _ = trained.learn_forecast_array(y[90:])
    for other in others:
        assert np.array_equal(other.learn_forecast_array(y[90:])[0], expected)
        assert_same_state(other, trained)
        assert other.forecast(10) == trained.forecast(10)


def test_damaged_files_are_refused():
    trained = model()
    trained.learn_array(series(60))
    config, arrays = trained.export_state()
    for name, harm in (
        ("heads.counters", -1),
        ("heads.vectors", np.nan),
        ("heads.errors", -1.0),
        ("history", np.inf),
    ):
        damaged = {**arrays, name: np.full_like(arrays[name], harm)}
        with pytest.raises(CheckpointError):
            LOCOForecaster.from_state(config, damaged)
    for changed in ({"heads": 5, "seasons": None}, {"heads": 6, "seasons": [1]}, {"heads": 6}):
        with pytest.raises(CheckpointError):
            LOCOForecaster.from_state({**config, "forecast": changed}, arrays)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 0}, "`heads` must be"),
        ({"heads": 513}, "`heads` must be"),
        ({"seasons": (1,)}, "`seasons` must be None or a sequence of distinct integers"),
        ({"seasons": 12}, "`seasons` must be"),
        ({"seasons": ()}, "`seasons` must be"),
        ({"seasons": (12, 12)}, "`seasons` must be"),
        ({"memory": (5.0, 1.0)}, "`memory` must be"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        LOCOForecaster(**options)


def test_bad_input_is_refused_and_changes_nothing():
    trained = model()
    trained.learn_array(series(50))
    before = trained.forecast(6)
    for call, message in (
        (lambda: trained.learn_one("text"), "`y` must be"),
        (lambda: trained.learn_one(np.inf), "`y` must be"),
        (lambda: trained.learn_one(1.0, [1.0]), "must be"),
        (lambda: trained.learn_one(1.0, {"last value": 1.0}), "must not have a feature named"),
        (lambda: trained.learn_one(1.0, t="noon"), "`t` must be a number or a datetime"),
        (lambda: trained.forecast(1, [{"last value": 1.0}]), "must not have a feature named"),
        (lambda: trained.learn_array([1.0, 2.0], [[1.0]]), "`X` must have 2 rows"),
        (lambda: trained.forecast(0), "`horizon` must be a positive integer, got 0"),
        (lambda: trained.forecast(2, [{}]), "`xs` must have 2 rows"),
        (lambda: trained.forecast(2, [{}, None]), r"`xs\[1\]` must be a dict from feature names"),
        (lambda: trained.forecast(2, np.array([1, 2])), r"`xs\[0\]` must be a dict"),
        (lambda: trained.forecast(1, {"load": 1.0}), "`xs` must be a list of dicts"),
        (lambda: trained.forecast(1, ({} for _ in "a")), "got generator"),
        (lambda: trained.forecast_interval(2, 0.7), "`coverage` must be one of"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert trained.forecast(6) == before == trained.forecast(6, np.array([{}] * 6))
    with pytest.raises(ConfigError, match="`heads` of LOCOForecaster must not be set"):
        trained.heads = 3


@pytest.mark.filterwarnings("ignore:.time_series.evaluate. is deprecated:DeprecationWarning")
def test_river_evaluates_it():
    metric = time_series.evaluate(
        datasets.AirlinePassengers(), LOCOForecaster(seed=1), metrics.MAE(), horizon=12
    )
    errors = [each.get() for each in metric.metrics]
    assert len(errors) == 12
    assert errors[0] < 40.0


def test_a_random_walk_is_forecast_as_well_as_by_its_last_value():
    y = np.cumsum(np.random.default_rng(5).normal(size=2000))
    forecasts, _ = model(heads=12).learn_forecast_array(y)
    for step in (1, 12):
        rows = np.arange(500, len(y) - step + 1)
        error = np.abs(forecasts[rows, step - 1] - y[rows + step - 1]).mean()
        assert error < 1.02 * np.abs(y[rows - 1] - y[rows + step - 1]).mean()


def test_river_checks():
    checks_of = list(checks.yield_checks(LOCOForecaster()))
    assert len(checks_of) > 10
    for check in checks_of:
        check(LOCOForecaster(hidden_sizes=8, seed=1))


def test_a_clone_of_scikit_learn_has_the_same_parameters():
    forecaster = model(seasons=(30,), memory=None)
    copy = clone(forecaster)
    assert copy.get_params() == forecaster.get_params()
    assert copy.set_params(heads=2).heads == 2
    copy.learn_array(series(20))
    assert len(copy.forecast(5)) == 5


def test_a_frame_of_features_keeps_the_names_of_its_columns():
    y = series(60)
    frame = pd.DataFrame({"load": np.arange(60.0) % 5, "wind": np.arange(60.0) % 3})
    by_frame, by_value = model(), model()
    by_frame.learn_array(pd.Series(y), frame)
    rows = frame.to_dict("records")
    for value, row in zip(y.tolist(), rows, strict=True):
        by_value.learn_one(value, row)
    assert_same_state(by_frame, by_value)
    assert by_frame.forecast(4, rows[:4]) == by_value.forecast(4, rows[:4])


def test_a_series_that_rises_by_the_same_each_row_goes_on():
    y = np.arange(300.0)
    model = LOCOForecaster(heads=2, seed=1)
    model.learn_array(y)
    np.testing.assert_allclose(model.forecast(2), [300.0, 301.0], atol=0.01)
