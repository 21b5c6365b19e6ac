from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets

from loco_stream import LOCOForecaster, LOCOMultiTargetRegressor, LOCORegressor
from loco_stream._arrays import Float32, Float64
from loco_stream._learner import encoding
from loco_stream._learner.scale_guard import ScaleGuard
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group

FeatureStatistics = encoding.FeatureStatistics
KeptScales = encoding.KeptScales
TargetStatistics = encoding.TargetStatistics

encoding = jitted_module(encoding)

VALUES = st.one_of(
    st.floats(-100, 100, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e31, 0.0, 5.0]),
)
ROWS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=25)
)


def fresh(n_features):
    return fresh_group(FeatureStatistics, features=n_features)


class Robust(NamedTuple):
    guard: ScaleGuard
    kept: KeptScales


class Counts(NamedTuple):
    n_features: int


class PartOfState(NamedTuple):
    statistics: FeatureStatistics
    scale_guard: ScaleGuard
    kept_scales: KeptScales
    counts: Counts


class PartOfScratch(NamedTuple):
    given: Float64
    scaled: Float32


def fresh_robust(n_features):
    guard = fresh_group(ScaleGuard, features=n_features)
    kept = fresh_group(KeptScales, features=n_features)
    return Robust(guard, kept)


def take(given, statistics, scaled, robust):
    """Take a row into the statistics; return how many values were missing."""
    state = PartOfState(statistics, *robust, Counts(len(given)))
    return encoding.update_features(state, PartOfScratch(given, scaled))


def copied(statistics):
    return FeatureStatistics(*(array.copy() for array in statistics))


def run(rows):
    """Scale each row and take it into the statistics.

    Yield (row, scaled, statistics before the row, number of masked values).
    """
    n = len(rows[0])
    statistics = fresh(n)
    robust = fresh_robust(n)
    scaled = np.zeros(n, np.float32)
    row = np.zeros(n)
    for raw in np.array(rows, np.float64):
        encoding.without_fillers(raw, n, robust.guard, row)
        encoding.scale(row, n, statistics, encoding.TAIL, scaled)
        before = copied(statistics)
        masked = take(raw, statistics, scaled, robust)
        yield row.copy(), scaled.copy(), before, masked


def channels_of(kernel, *args, n_channels):
    """Return the channels that the kernel wrote, after checking which are not 0."""
    channels = np.zeros(n_channels, np.float32)
    rows = np.full(n_channels, -1, np.int32)
    n = kernel(*args, channels, rows)
    assert rows[:n].tolist() == np.flatnonzero(channels).tolist()
    assert np.all((channels >= 0.0) & (channels <= 1.0))
    return channels


def nine_fields(value, z):
    """Return the code of one feature by nine fields."""
    row = np.array([value])
    is_text = np.zeros(1, np.int64)
    return channels_of(encoding.encode_fields, row, np.float32([z]), 1, 9, is_text, n_channels=9)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_scaling_and_masks_equal_the_twin(rows):
    twins = [naive.Feature() for _ in rows[0]]
    for row, scaled, before, masked in run(rows):
        expected = [twin.scale(value) for twin, value in zip(twins, row, strict=True)]
        # A variance that is rounding alone (a constant column) has no scale worth comparing.
        for f, twin in enumerate(twins):
            mean, variance = twin.statistics
            if variance > 1e-12 * (1.0 + mean * mean):
                assert scaled[f] == pytest.approx(expected[f], abs=1e-4)
                assert before.mean[f] == pytest.approx(mean, abs=1e-9)
        assert masked == sum(twin.learn(value) for twin, value in zip(twins, row, strict=True))


def scaled_by(tail):
    """Return a function that scales a value, whose mean is 0 and whose variance is 1."""
    statistics = fresh(1)
    scaled = np.zeros(1, np.float32)
    statistics.n_values[0] = 1.0
    statistics.squares[0] = 1.0

    def scale(value):
        encoding.scale(np.array([value]), 1, statistics, tail, scaled)
        return float(scaled[0])

    return scale


def test_beyond_the_clip_the_scale_is_logarithmic_continuous_and_odd():
    scale = scaled_by(encoding.TAIL)
    assert scale(2.9) == pytest.approx(2.9)
    assert scale(3.0) == pytest.approx(3.0)
    assert scale(3.0 * math.e) == pytest.approx(4.0)
    assert scale(-3.0 * math.e**2) == pytest.approx(-5.0)
    assert 3.0 < scale(3.001) < 3.002
    assert scale(1e30) < 75.0  # no value dominates the readout
    assert scale(2e30) == 0.0  # masked


def test_the_scale_of_a_regression_keeps_its_slope_at_the_clip():
    scale = scaled_by(encoding.REGRESSION_TAIL)
    assert scale(3.0) == pytest.approx(3.0)
    assert scale(3.01) - scale(3.0) == pytest.approx(0.01, rel=0.01)
    assert scale(3.0 * math.e) == pytest.approx(6.0)
    assert scale(-3.0 * math.e) == pytest.approx(-6.0)
    assert scale(1e30) < 220.0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=4),
    st.integers(2, 12),
    st.integers(0, 3),
)
def test_fields_equal_the_twin(values, n_fields, masked):
    scaled = np.array(values, np.float32)
    row = scaled.astype(np.float64)
    if masked < len(row):
        row[masked] = np.nan
    n = len(row)
    is_text = np.zeros(n, np.int64)
    channels = channels_of(
        encoding.encode_fields, row, scaled, n, n_fields, is_text, n_channels=n * n_fields
    )
    np.testing.assert_allclose(channels, naive.encode_fields(row, scaled, n_fields), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_intensities_equal_the_twin(rows):
    twins = [naive.Feature() for _ in rows[0]]
    for row, _, before, _ in run(rows):
        channels = channels_of(
            encoding.encode_intensities, row, before, len(row), n_channels=len(row)
        )
        expected = [twin.intensity(value) for twin, value in zip(twins, row, strict=True)]
        np.testing.assert_allclose(channels, expected, atol=1e-6)
        for twin, value in zip(twins, row, strict=True):
            twin.learn(value)


def test_a_line_is_strongest_in_the_middle_of_its_field_and_distant_fields_are_silent():
    channels = nine_fields(0.0, 0.0)
    assert np.flatnonzero(channels).tolist() == [3, 4, 5]
    assert channels[4] == 1.0
    assert channels[3] == channels[5] < 1.0


def test_lines_are_continuous_in_the_value():
    codes = [nine_fields(z, z) for z in np.linspace(-3.5, 3.5, 2801)]
    assert np.abs(np.diff(codes, axis=0)).max() < 0.01


def learn_values(statistics, values, robust=None):
    scaled = np.zeros(1, np.float32)
    robust = fresh_robust(1) if robust is None else robust
    row = np.zeros(1)
    for value in values:
        given = np.array([value])
        encoding.without_fillers(given, 1, robust.guard, row)
        encoding.scale(row, 1, statistics, encoding.TAIL, scaled)
        take(given, statistics, scaled, robust)
    return robust


def test_statistics_settle_and_reopen_after_a_change_of_unit():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    robust = learn_values(statistics, rng.normal(size=400))
    settled = statistics.mean[0]
    learn_values(statistics, rng.normal(size=50) + 1.0, robust)
    assert statistics.mean[0] == settled
    assert statistics.n_values[0] == encoding.SETTLE
    learn_values(statistics, 1000.0 * rng.normal(size=400), robust)
    deviation = math.sqrt(statistics.squares[0] / statistics.n_values[0])
    assert deviation == pytest.approx(1000.0, rel=0.2)


def test_statistics_stay_while_earlier_values_still_come():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    robust = None
    for n, share in ((400, 0.0), (400, 0.6)):  # in another context six values in ten lie far out
        values = rng.normal(size=n) + 20.0 * (rng.uniform(size=n) < share)
        robust = learn_values(statistics, values, robust)
    assert abs(statistics.mean[0]) < 0.2


def test_the_scale_of_a_target_moves_sooner_than_the_scale_of_a_feature():
    """On weights of growing chicks R2 was .67 with the same patience."""
    rows = list(datasets.ChickWeights())
    X = [list(row.values()) for row, _ in rows]
    y = np.array([value for _, value in rows])
    predicted = LOCORegressor(seed=0).learn_predict_array(X, y)[1:]
    total = np.square(y[1:] - y[1:].mean()).sum()
    assert 1.0 - np.square(predicted - y[1:]).sum() / total > 0.7


@pytest.mark.parametrize("row", [0, 3, 15])
@pytest.mark.parametrize("outlier", [9999.0, -1e6, 1e30])
def test_a_first_target_that_stands_apart_sets_no_scale(row, outlier):
    """The mean error was 3.6 for 1e6 in row 3, and 1e21 and more for 1e30."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 3))
    y = 3.0 * X[:, 0] + np.sin(2.0 * X[:, 1]) + 0.1 * rng.normal(size=1200)
    given = y.copy()
    given[row] = outlier
    model = LOCORegressor(seed=1)
    predicted = model.learn_predict_array(X, given)
    assert np.abs(predicted - y)[600:].mean() < 0.4
    low, high = model.predict_interval_array(X[:1])[0]
    assert high - low < 3.0


def test_every_kind_of_target_leaves_out_first_values_that_stand_apart():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=900)
    given = y.copy()
    given[5] = 1e6
    several = LOCOMultiTargetRegressor(seed=0)
    several.learn_array(X, np.column_stack([y, given]))
    assert np.abs(several.predict_array(X)[:, 1] - y).mean() < 0.3
    forecaster = LOCOForecaster(heads=2, seed=0)
    forecaster.learn_array(given)
    assert abs(forecaster.forecast(1)[0]) < 2.0


def test_a_heavy_tail_is_no_outlier_and_a_new_level_is_learned():
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=400))
    statistics = fresh_group(TargetStatistics)
    twin = naive.Target()
    for value in [*values, *(500.0 + values)]:
        left_out = encoding.update_value(
            statistics, 0, value, value > 100.0, encoding.REOPEN_TARGET
        )
        assert left_out == twin.learn(value, value > 100.0, encoding.REOPEN_TARGET)
        assert not left_out
        assert statistics.mean[0] == pytest.approx(twin.statistics[0])
    assert statistics.mean[0] > 400.0


@settings(deadline=None, max_examples=60)
@given(
    outliers=st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1e6, -500.0])), max_size=4),
    seed=st.integers(0, 99),
)
def test_first_targets_that_stand_apart_are_left_out_as_in_the_twin(outliers, seed):
    values = np.random.default_rng(seed).normal(size=80)
    for row, outlier in outliers:
        values[row] = outlier
    statistics = fresh_group(TargetStatistics)
    twin = naive.Target()
    for value in values:
        left_out = encoding.update_value(statistics, 0, value, False, encoding.REOPEN_TARGET)
        assert left_out == twin.learn(value, False, encoding.REOPEN_TARGET)
        mean, variance = twin.statistics
        assert statistics.n_values[0] == len(twin.values)
        assert statistics.mean[0] == pytest.approx(mean)
        assert statistics.squares[0] / len(twin.values) == pytest.approx(variance, rel=1e-6)
        assert (statistics.lowest[0], statistics.highest[0]) == (twin.low, twin.high)


def test_a_settled_constant_takes_its_scale_from_its_first_move():
    rows = [[5.0]] * 310 + [[7.0]] + [[7.0]]
    *_, last = run(rows)
    assert last[1][0] == pytest.approx(1.0)


# Robustness


POISON = {
    "the first value": ([0], -9999.0),
    "a filler": ([20], -9999.0),
    "a far value": ([20], 3e7),
    "two far values": ([3, 20], -4e5),
    "a value beyond float32's square": ([40], 1e29),
    "a late value": ([350], 5e12),
    "many fillers": (range(500, 700), 1e30),
    "a stuck sensor": (range(100, 200), 4e9),
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("kind", ["normal", "skewed", "whole numbers"])
def test_far_values_do_not_set_the_scale(poison, kind):
    rng = np.random.default_rng(3)
    draw = {
        "normal": lambda n: rng.normal(5.0, 2.0, n),
        "skewed": lambda n: rng.lognormal(0.0, 1.0, n),
        "whole numbers": lambda n: rng.integers(0, 7, n).astype(float),
    }
    values = draw[kind](1700)
    places, value = POISON[poison]
    clean = fresh(1)
    learn_values(clean, values)
    values[list(places)] = value
    statistics = fresh(1)
    robust = learn_values(statistics, values)

    def deviation(of):
        return math.sqrt(of.squares[0] / of.n_values[0])

    assert deviation(statistics) == pytest.approx(deviation(clean), rel=0.25)
    assert abs(statistics.mean[0] - clean.mean[0]) < 0.25 * deviation(clean)
    is_filler = abs(value) in {9999.0, 1e30} and poison != "the first value" and len(places) > 1
    assert robust.guard.n_fillers[0] >= (150 if is_filler else 0)


@pytest.mark.parametrize("size", [1e4, 1e10])
def test_a_scale_comes_back_with_its_values(size):
    rng = np.random.default_rng(3)
    statistics = fresh(1)
    robust = learn_values(statistics, rng.normal(size=2000))
    before = copied(statistics)
    learn_values(statistics, rng.uniform(-size, size, 100), robust)
    assert statistics.squares[0] > 1e6
    learn_values(statistics, rng.normal(size=100), robust)
    assert statistics.mean[0] == before.mean[0]
    assert statistics.squares[0] == before.squares[0]


def test_fillers_within_the_range_are_values():
    rng = np.random.default_rng(3)
    statistics = fresh(1)
    values = rng.uniform(0.0, 70_000.0, 1000)
    values[::5] = 65_535.0
    robust = learn_values(statistics, values)
    assert robust.guard.n_fillers[0] == 0
    assert statistics.highest[0] >= 65_535.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 3.0, 100.0, -9999.0, 1e6, 65535.0, 1e30, math.nan]),
            st.sampled_from([0.0, 0.01, 1.0, 500.0]),
            st.integers(1, 150),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 9),
)
def test_robust_scales_equal_the_twin_on_any_stream(stretches, seed):
    rng = np.random.default_rng(seed)
    statistics = fresh(1)
    robust = fresh_robust(1)
    twin = naive.Feature()
    for center, width, n in stretches:
        for value in center + width * rng.normal(size=n):
            missing = twin.is_missing(value)
            row = np.zeros(1)
            encoding.without_fillers(np.array([value]), 1, robust.guard, row)
            assert math.isnan(row[0]) == missing
            learn_values(statistics, [value], robust)
            twin.learn(value)
            low, high = twin.expected
            assert robust.guard.low[0] == pytest.approx(low, rel=1e-9, abs=1e-9)
            assert robust.guard.high[0] == pytest.approx(high, rel=1e-9, abs=1e-9)
            assert robust.guard.n_fillers[0] == twin.n_fillers
            assert statistics.n_values[0] == len(twin.current.values)
            assert robust.kept.n_wide[0] == twin.n_wide
