from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets

from loco_stream import LOCORegressor
from loco_stream.learner import encoding
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group

FeatureStatistics = encoding.FeatureStatistics

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


def copied(statistics):
    return FeatureStatistics(*(array.copy() for array in statistics))


def run(rows):
    """Scale each row and take it into the statistics.

    Yield (row, scaled, statistics before the row, number of masked values).
    """
    n = len(rows[0])
    statistics = fresh(n)
    scaled = np.zeros(n, np.float32)
    for row in np.array(rows, np.float64):
        encoding.scale(row, n, statistics, scaled)
        before = copied(statistics)
        masked = encoding.update_statistics(row, n, statistics, scaled)
        yield row, scaled.copy(), before, masked


def lines_of(kernel, *args, n_lines):
    """Return the lines that the kernel wrote, after checking its list of those that are not 0."""
    lines = np.zeros(n_lines, np.float32)
    rows = np.full(n_lines, -1, np.int32)
    n = kernel(*args, lines, rows)
    assert rows[:n].tolist() == np.flatnonzero(lines).tolist()
    assert np.all((lines >= 0.0) & (lines <= 1.0))
    return lines


def nine_fields(value, z):
    """Return the code of one feature by nine fields."""
    row = np.array([value])
    return lines_of(encoding.encode_fields, row, np.float32([z]), 1, 9, n_lines=9)


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


def test_beyond_the_clip_the_scale_is_logarithmic_continuous_and_odd():
    statistics = fresh(1)
    scaled = np.zeros(1, np.float32)
    statistics.n_values[0] = 1.0  # mean 0, variance 1
    statistics.squares[0] = 1.0

    def scale(value):
        encoding.scale(np.array([value]), 1, statistics, scaled)
        return float(scaled[0])

    assert scale(2.9) == pytest.approx(2.9)
    assert scale(3.0) == pytest.approx(3.0)
    assert scale(3.0 * math.e) == pytest.approx(4.0)
    assert scale(-3.0 * math.e**2) == pytest.approx(-5.0)
    assert 3.0 < scale(3.001) < 3.002
    assert scale(1e30) < 75.0  # no value dominates the readout
    assert scale(2e30) == 0.0  # masked


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
    lines = lines_of(encoding.encode_fields, row, scaled, n, n_fields, n_lines=n * n_fields)
    np.testing.assert_allclose(lines, naive.encode_fields(row, scaled, n_fields), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_intensities_equal_the_twin(rows):
    twins = [naive.Feature() for _ in rows[0]]
    for row, _, before, _ in run(rows):
        lines = lines_of(encoding.encode_intensities, row, before, len(row), n_lines=len(row))
        expected = [twin.intensity(value) for twin, value in zip(twins, row, strict=True)]
        np.testing.assert_allclose(lines, expected, atol=1e-6)
        for twin, value in zip(twins, row, strict=True):
            twin.learn(value)


def test_a_line_is_strongest_in_the_middle_of_its_field_and_distant_fields_are_silent():
    lines = nine_fields(0.0, 0.0)
    assert np.flatnonzero(lines).tolist() == [3, 4, 5]
    assert lines[4] == 1.0
    assert lines[3] == lines[5] < 1.0


def test_lines_are_continuous_in_the_value():
    codes = [nine_fields(z, z) for z in np.linspace(-3.5, 3.5, 2801)]
    assert np.abs(np.diff(codes, axis=0)).max() < 0.01


def learn_values(statistics, values):
    scaled = np.zeros(1, np.float32)
    for value in values:
        row = np.array([value])
        encoding.scale(row, 1, statistics, scaled)
        encoding.update_statistics(row, 1, statistics, scaled)


def test_statistics_settle_and_reopen_after_a_change_of_unit():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    learn_values(statistics, rng.normal(size=400))
    settled = statistics.mean[0]
    learn_values(statistics, rng.normal(size=50) + 1.0)
    assert statistics.mean[0] == settled
    assert statistics.n_values[0] == encoding.SETTLE
    learn_values(statistics, 1000.0 * rng.normal(size=400))
    deviation = math.sqrt(statistics.squares[0] / statistics.n_values[0])
    assert deviation == pytest.approx(1000.0, rel=0.2)


def test_statistics_stay_while_earlier_values_still_come():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    for n, share in ((400, 0.0), (400, 0.6)):  # in another context six values in ten lie far out
        learn_values(statistics, rng.normal(size=n) + 20.0 * (rng.uniform(size=n) < share))
    assert abs(statistics.mean[0]) < 0.2


def test_the_scale_of_a_target_moves_sooner_than_the_scale_of_a_feature():
    """On weights of growing chicks R2 was .67 with the same patience."""
    rows = list(datasets.ChickWeights())
    X = [list(row.values()) for row, _ in rows]
    y = np.array([value for _, value in rows])
    predicted = LOCORegressor(seed=0).learn_predict_array(X, y)[1:]
    total = np.square(y[1:] - y[1:].mean()).sum()
    assert 1.0 - np.square(predicted - y[1:]).sum() / total > 0.7


def test_a_settled_constant_takes_its_scale_from_its_first_move():
    rows = [[5.0]] * 310 + [[7.0]] + [[7.0]]
    *_, last = run(rows)
    assert last[1][0] == pytest.approx(1.0)
