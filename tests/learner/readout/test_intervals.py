"""Prediction intervals of a regression, and outliers in its target."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from river.datasets import synth

from loco_stream import LOCORegressor, load, save
from loco_stream._learner.readout import intervals
from loco_stream._learner.readout.intervals import COVERAGES, RESIDUALS, ResidualState
from loco_stream.errors import CheckpointError, InputError
from tests.helpers.jitted import jitted_module
from tests.helpers.models import arrays_of, assert_same, fresh_group


def friedman(n=10_000):
    """Draw Friedman's function with three local drifts."""
    stream = synth.FriedmanDrift(drift_type="lea", position=(2500, 5000, 7500), seed=42)
    rows = [(list(x.values()), y) for x, y in stream.take(n)]
    return np.array([row for row, _ in rows]), np.array([y for _, y in rows])


def waves(n=600, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, 2.0 * X[:, 0] + np.sin(X[:, 1]) + 0.3 * rng.normal(size=n)


def small(**options):
    return LOCORegressor(**{"hidden_sizes": (12,), "seed": 1, **options})


def covered(intervals, y):
    return np.mean((intervals[:, 0] <= y) & (y <= intervals[:, 1]))


@pytest.mark.parametrize("coverage", COVERAGES)
def test_intervals_cover_their_share_of_a_drifting_stream(coverage):
    X, y = friedman()
    _, intervals = LOCORegressor(seed=0).learn_predict_interval_array(X, y, coverage)
    assert abs(covered(intervals[500:], y[500:]) - coverage) < 0.02
    assert np.isfinite(intervals[500:]).all()


def test_intervals_adapt_where_the_noise_grows():
    X, y = waves(2000)
    y = y * np.linspace(1.0, 30.0, len(y))
    _, intervals = small().learn_predict_interval_array(X, y)
    assert abs(covered(intervals[200:], y[200:]) - 0.9) < 0.03


def test_all_methods_give_the_same_interval():
    X, y = waves(120)
    one = small()
    block = small()
    expected = []
    for row, value in zip(X, y, strict=True):
        x = dict(enumerate(row))
        expected.append((one.predict_one(x), *one.predict_interval_one(x)))
        one.learn_one(x, value)
    values, intervals = block.learn_predict_interval_array(X, y)
    assert values.tolist() == [value for value, *_ in expected]
    assert intervals[1:].tolist() == [list(bounds) for _, *bounds in expected[1:]]
    assert_same(arrays_of(one), arrays_of(block))
    of_row = one.predict_interval_one(dict(enumerate(X[3])))
    assert block.predict_interval_array(X[:9])[3].tolist() == list(of_row)
    without_intervals = small()
    without_intervals.learn_predict_array(X, y)
    assert_same(arrays_of(one), arrays_of(without_intervals))


def test_intervals_are_infinite_before_enough_residuals():
    X, y = waves(120)
    model = small()
    assert model.predict_interval_one({"a": 1.0}) == (-math.inf, math.inf)
    assert model.predict_interval_array(X[:2]).tolist() == [[-math.inf, math.inf]] * 2
    # The first row has no prediction.
    for n, coverage in ((5, 0.8), (10, 0.9), (20, 0.95), (100, 0.99)):
        early = small()
        late = small()
        early.learn_array(X[: n - 1], y[: n - 1])
        late.learn_array(X[:n], y[:n])
        assert not np.isfinite(early.predict_interval_array(X[:1], coverage)).any()
        assert np.isfinite(late.predict_interval_array(X[:1], coverage)).all()


@pytest.mark.parametrize("coverage", [0.0, 0.85, 1.0, 90, "0.9", math.nan])
def test_another_coverage_is_refused(coverage):
    message = r"`coverage` must be one of 0\.5, 0\.8, 0\.9, 0\.95, 0\.99, got"
    with pytest.raises(InputError, match=message):
        small().predict_interval_one({"a": 1.0}, coverage)


def test_a_copy_has_the_same_intervals(tmp_path):
    X, y = waves(700)
    model = small()
    model.learn_array(X[:600], y[:600])  # more than the ring of residuals holds
    save(model, tmp_path / "model.loco")
    expected = model.learn_predict_interval_array(X[600:], y[600:])[1].tolist()
    loaded = load(tmp_path / "model.loco")
    others = [loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)]
    for other in others:
        assert other.learn_predict_interval_array(X[600:], y[600:])[1].tolist() == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("residuals.recent", -1.0, "'residuals.recent' must be finite, from 0"),
        ("residuals.ordered", -1.0, "'residuals.ordered' must be finite, from 0"),
        ("residuals.risks", 1.5, "'residuals.risks' must be finite, from 0 to 1, got 1.5"),
        ("residuals.counters", -1, "'residuals.counters.n_residuals' must be finite, from 0"),
    ],
)
def test_damaged_residuals_are_refused(name, value, message):
    X, y = waves(30)
    model = small()
    model.learn_array(X, y)
    config, arrays = model.export_state()
    arrays[name].flat[0] = value
    with pytest.raises(CheckpointError, match=message):
        LOCORegressor.from_state(config, arrays)


def harm(X, y, at, outlier):
    """Return the relative rise of the mean error over the 100 rows after one outlier."""
    damaged = y.copy()
    damaged[at] = outlier
    after = slice(at + 1, at + 101)
    clean, hit = (
        np.abs(LOCORegressor(seed=0).learn_predict_array(X, values) - y)[after].mean()
        for values in (y, damaged)
    )
    return hit / clean - 1.0


@pytest.mark.parametrize("outlier", [1e12, -1e12, 1e30])
@pytest.mark.parametrize("at", [100, 250, 2000])
def test_an_outlier_in_the_target_does_little_harm(at, outlier):
    X, y = friedman(2200)
    # Without a bound of targets it is 1e10 before row 300, and .14 after it. A stack that can still
    # follow is moved a little: .058, and .033 with a tenth of the prior that it drifts back to.
    assert harm(X, y, at, outlier) < (0.3 if at < 300 else 0.07)


def test_a_new_level_of_the_target_is_followed():
    X, y = waves(1200)
    y[400:] = 1000.0 + 50.0 * y[400:]
    error = np.abs(small().learn_predict_array(X, y) - y)
    assert error[700:].mean() < 30.0


def test_intervals_widen_within_a_hundred_rows_of_more_noise():
    rng = np.random.default_rng(0)
    hits = []
    kernels = jitted_module(intervals)
    level = COVERAGES.index(0.9)
    for _ in range(20):
        state = fresh_group(ResidualState, residuals=RESIDUALS, coverages=len(COVERAGES))
        radii = np.zeros(len(COVERAGES))
        noise = np.abs(rng.normal(size=700)) * np.repeat([1.0, 2.0], [600, 100])
        for row, residual in enumerate(noise):
            kernels.write_radii(state, radii)
            if row >= 600:
                hits.append(residual <= radii[level])
            kernels.learn_residual(state, residual)
    assert np.mean(hits) > 0.82  # .76 at a quarter of the rate
