from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets

from loco_stream import LOCORegressor
from loco_stream.learner import encoding as encode
from tests.helpers import naive
from tests.helpers.doors import doors

encode = doors(encode)

VALUES = st.one_of(
    st.floats(-100, 100, width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e31, 0.0, 5.0]),
)
ROWS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=25)
)


def fresh(n_features):
    statistics = np.zeros((encode.STAT_ROWS, n_features))
    statistics[encode.LOWEST] = np.inf
    statistics[encode.HIGHEST] = -np.inf
    return statistics


def run(rows):
    """Scale, encode and take in each row.

    Yields (row, scaled, statistics before the row, masked).
    """
    n = len(rows[0])
    statistics = fresh(n)
    scaled = np.zeros(n, np.float32)
    for row in np.array(rows, np.float64):
        encode.scale(row, n, statistics, scaled)
        before = statistics.copy()
        masked = encode.update_statistics(row, n, statistics, scaled)
        yield row, scaled.copy(), before, masked


def lines_of(kernel, *args, n_lines):
    """Return the lines that the kernel wrote, after checking its list of those that are not 0."""
    lines = np.zeros(n_lines, np.float32)
    rows = np.full(n_lines, -1, np.int32)
    n = kernel(*args, lines, rows)
    assert rows[:n].tolist() == np.flatnonzero(lines).tolist()
    assert np.all((lines >= 0.0) & (lines <= 1.0))
    return lines


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_scaling_and_masks_match_the_twin(rows):
    twins = [naive.Feature() for _ in rows[0]]
    for row, scaled, before, masked in run(rows):
        expected = [twin.scale(value) for twin, value in zip(twins, row, strict=True)]
        # A variance that is rounding alone (a constant column) has no scale worth comparing.
        for f, twin in enumerate(twins):
            mean, variance = twin.moments
            if variance > 1e-12 * (1.0 + mean * mean):
                assert scaled[f] == pytest.approx(expected[f], abs=1e-4)
                assert before[encode.MEAN, f] == pytest.approx(mean, abs=1e-9)
        assert masked == sum(twin.take(value) for twin, value in zip(twins, row, strict=True))


def test_beyond_the_clip_the_scale_is_logarithmic_continuous_and_odd():
    statistics = fresh(1)
    scaled = np.zeros(1, np.float32)
    statistics[[encode.COUNT, encode.SQUARES], 0] = 1.0  # mean 0, variance 1

    def scale(value):
        encode.scale(np.array([value]), 1, statistics, scaled)
        return float(scaled[0])

    assert scale(2.9) == pytest.approx(2.9)
    assert scale(3.0) == pytest.approx(3.0)
    assert scale(3.0 * math.e) == pytest.approx(4.0)
    assert scale(-3.0 * math.e**2) == pytest.approx(-5.0)
    assert 3.0 < scale(3.001) < 3.002
    assert scale(1e30) < 75.0  # no value carries the readout away
    assert scale(2e30) == 0.0  # masked


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=4),
    st.integers(2, 12),
    st.integers(0, 3),
)
def test_fields_match_the_twin(values, n_fields, hole):
    scaled = np.array(values, np.float32)
    row = scaled.astype(np.float64)
    if hole < len(row):
        row[hole] = np.nan
    n = len(row)
    found = lines_of(encode.encode_fields, row, scaled, n, n_fields, n_lines=n * n_fields)
    np.testing.assert_allclose(found, naive.fields_code(row, scaled, n_fields), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_intensities_match_the_twin(rows):
    twins = [naive.Feature() for _ in rows[0]]
    for row, _, before, _ in run(rows):
        found = lines_of(encode.encode_intensities, row, before, len(row), n_lines=len(row))
        expected = [twin.intensity(value) for twin, value in zip(twins, row, strict=True)]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        for twin, value in zip(twins, row, strict=True):
            twin.take(value)


def test_a_line_is_strongest_in_the_middle_of_its_field_and_far_fields_are_silent():
    lines = lines_of(encode.encode_fields, np.zeros(1), np.zeros(1, np.float32), 1, 9, n_lines=9)
    assert np.flatnonzero(lines).tolist() == [3, 4, 5]
    assert lines[4] == 1.0
    assert lines[3] == lines[5] < 1.0


def test_lines_are_continuous_in_the_value():
    grid = np.linspace(-3.5, 3.5, 2801)
    codes = [
        lines_of(encode.encode_fields, np.array([z]), np.float32([z]), 1, 9, n_lines=9)
        for z in grid
    ]
    assert np.abs(np.diff(codes, axis=0)).max() < 0.01


def test_statistics_settle_and_reopen_after_a_change_of_unit():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    scaled = np.zeros(1, np.float32)

    def feed(values):
        for value in values:
            row = np.array([value])
            encode.scale(row, 1, statistics, scaled)
            encode.update_statistics(row, 1, statistics, scaled)

    feed(rng.normal(size=400))
    settled = statistics[encode.MEAN, 0]
    feed(rng.normal(size=50) + 1.0)
    assert statistics[encode.MEAN, 0] == settled
    assert statistics[encode.COUNT, 0] == encode.SETTLE
    feed(1000.0 * rng.normal(size=400))
    assert math.sqrt(statistics[encode.SQUARES, 0] / statistics[encode.COUNT, 0]) == pytest.approx(
        1000.0, rel=0.2
    )


def test_statistics_stand_while_usual_values_go_on():
    rng = np.random.default_rng(0)
    statistics = fresh(1)
    scaled = np.zeros(1, np.float32)
    for n, far in ((400, 0.0), (400, 0.6)):  # in another context six values in ten lie far out
        for value in rng.normal(size=n) + 20.0 * (rng.uniform(size=n) < far):
            encode.scale(np.array([value]), 1, statistics, scaled)
            encode.update_statistics(np.array([value]), 1, statistics, scaled)
    assert abs(statistics[encode.MEAN, 0]) < 0.2


def test_the_scale_of_a_target_moves_on_while_less_usual_values_still_come():
    """Weights that grow: with the patience of a feature's scale R2 was .67."""
    rows = list(datasets.ChickWeights())
    X = [list(row.values()) for row, _ in rows]
    y = np.array([value for _, value in rows])
    said = LOCORegressor(seed=0).learn_predict_array(X, y)[1:]
    assert 1.0 - np.square(said - y[1:]).sum() / np.square(y[1:] - y[1:].mean()).sum() > 0.7


def test_a_settled_constant_takes_its_scale_from_its_first_move():
    rows = [[5.0]] * 310 + [[7.0]] + [[7.0]]
    *_, last = run(rows)
    assert last[1][0] == pytest.approx(1.0)
