"""LOCODetector: scores before learning, any order of calls, any kind of cell, files, feedback."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from river import stats
from river.checks import anomaly as river_anomaly
from river.checks import common as river_common
from sklearn.base import clone

from loco_stream import AdvancedOptions, LOCODetector, LOCOMultiTargetRegressor, load, save
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.estimators._forecasts import ColumnForecasts

N = 900


def rows_of(seed=0, n=N, columns=2):
    """Return normal rows with one outlier in the last column at row 700."""
    X = np.random.default_rng(seed).normal(size=(n, columns))
    if n > 700:
        X[700, -1] = 9.0
    return X


def by_name(X):
    return [dict(enumerate(row)) for row in X.tolist()]


def results(detector):
    return detector.score_, detector.state_, detector.alarm_, detector.blame_, detector.expected_


@pytest.mark.parametrize("n_untimed", [0, 1, 450])
def test_a_block_equals_the_loop_where_times_begin_later(n_untimed):
    """The network of a block knew the clock from its first row on."""
    X = rows_of()
    t = np.where(np.arange(N) % 3 == n_untimed % 3, 1.4e9 + 300.0 * np.arange(N), np.nan)
    t[:n_untimed] = np.nan
    loop = LOCODetector(seed=1)
    scores = LOCODetector(seed=1).learn_score_array(X, t)
    for i, row in enumerate(by_name(X)):
        loop.learn_one(row, t[i])
        own = (loop.score_, loop.state_, loop.alarm_)
        assert own == (scores.onset[i], scores.state[i], scores.alarm[i])


def test_a_block_equals_the_loop_bit_by_bit():
    X = rows_of()
    t = 1.4e9 + 300.0 * np.arange(N)
    block = LOCODetector(seed=1)
    loop = LOCODetector(seed=1)
    scores = block.learn_score_array(X, t)
    for i, row in enumerate(by_name(X)):
        onset = loop.score_one(row, t[i])
        loop.learn_one(row, t[i])
        assert (onset, loop.state_, loop.alarm_) == (
            scores.onset[i],
            scores.state[i],
            scores.alarm[i],
        )
        assert loop.score_ == onset
    assert results(block) == results(loop)
    assert scores.alarm[700]


def test_rows_of_floats_in_the_order_of_the_columns_are_rows_like_others():
    """Most rows are; they are read at once."""
    special = {40: np.nan, 80: np.inf, 120: None, 160: 2, 200: "open"}
    rows = [{"a": u, "b": v} for u, v in np.random.default_rng(2).normal(size=(300, 2)).tolist()]
    for i, value in special.items():
        rows[i]["a"] = value
    detectors = [LOCODetector(seed=1) for _ in range(2)]
    for x in rows:
        found = []
        for detector, given in zip(detectors, (x, dict(reversed(x.items()))), strict=True):
            onset = detector.score_one(given)
            detector.learn_one(given)
            found.append((onset, *results(detector)))
        assert found[0] == found[1]
    assert state_sha256(*export_model(detectors[0])) == state_sha256(*export_model(detectors[1]))
    with pytest.raises(InputError, match="at most 1e30"):
        detectors[0].learn_one({"a": 1e31, "b": 0.0})
    with pytest.raises(InputError, match=r"at most 1e30, got 'a': an integer of \d+ bits$"):
        detectors[0].learn_one({"a": 10**5000, "b": 0.0})


def test_blocks_of_any_size_give_the_same_scores():
    X = rows_of()
    X[50:60, 0] = np.nan
    whole = LOCODetector(seed=1).learn_score_array(X)
    parts = LOCODetector(seed=1)
    found = [parts.learn_score_array(part).onset for part in np.split(X, [1, 120, 555, 700])]
    np.testing.assert_array_equal(np.concatenate(found), whole.onset)


def test_an_outlier_raises_one_alarm_names_its_column_and_wears_off():
    X = rows_of()
    X[705, -1] = 9.0
    detector = LOCODetector(seed=1)
    detector.learn_score_array(X[:700])
    detector.learn_score_array(X[700:701])
    assert detector.alarm_
    assert detector.blame_ == 1
    low, high = detector.expected_[1]
    assert -6.0 < low < high < 6.0
    later = detector.learn_score_array(X[701:])
    assert later.onset[4] < 2.0
    assert not later.alarm[:50].any()


def test_the_state_score_stays_while_the_stream_is_elsewhere():
    X = rows_of(columns=1)[:, :1] * 0.5
    X[600:750] += 8.0
    scores = LOCODetector(seed=1).learn_score_array(X)
    assert np.median(scores.state[610:750]) > 2.0
    assert np.median(scores.state[300:600]) < 1.0
    assert np.median(scores.onset[650:750]) < 1.0


def test_nothing_is_scored_in_the_first_rows():
    scores = LOCODetector(seed=1).learn_score_array(rows_of()[:100])
    assert not scores.onset.any()
    assert not scores.alarm.any()


def test_score_one_changes_nothing():
    detector = LOCODetector(seed=1)
    assert detector.score_one({0: 1.0}) == 0.0
    detector.learn_score_array(rows_of()[:300])
    before = pickle.dumps(detector)
    assert detector.score_one({0: 50.0, "other": 3.0}) > 2.0
    assert pickle.dumps(detector) == before


@pytest.mark.parametrize("way", ["pickle", "copy", "file", "state"])
def test_a_copy_continues_bit_identically(way, tmp_path):
    X = rows_of()
    detector = LOCODetector(every=500, seed=1)
    for row in by_name(X[:450]):
        detector.learn_one({**row, "mode": "a"}, None)
    if way == "pickle":
        other = pickle.loads(pickle.dumps(detector))
    elif way == "copy":
        other = copy.deepcopy(detector)
    elif way == "file":
        save(detector, tmp_path / "detector.loco")
        other = load(tmp_path / "detector.loco")
    else:
        other = LOCODetector.from_state(*detector.export_state())
    assert results(other) == results(detector)
    for row in by_name(X[450:]):
        detector.learn_one({**row, "mode": "b"})
        other.learn_one({**row, "mode": "b"})
        assert results(other) == results(detector)
    assert other.n_seen == N


def test_equal_seeds_give_equal_files(tmp_path):
    for name in ("a", "b"):
        detector = LOCODetector(seed=3)
        detector.learn_score_array(rows_of()[:200])
        save(detector, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damaged_states_are_refused():
    detector = LOCODetector(seed=1)
    detector.learn_score_array(rows_of()[:300])
    config, arrays = detector.export_state()
    for name, value in (
        ("novelty/sizes", arrays["novelty/sizes"] + 10**6),
        ("novelty/tails", arrays["novelty/tails"] - 500.0),
        ("novelty/rows", arrays["novelty/rows"] * np.nan),
        ("novelty/lines", arrays["novelty/lines"][:, :2]),
        ("filled", np.zeros(5)),
    ):
        with pytest.raises(CheckpointError):
            LOCODetector.from_state(config, {**arrays, name: value})
    with pytest.raises(CheckpointError):
        LOCODetector.from_state({**config, "columns": [1]}, arrays)
    with pytest.raises(CheckpointError):
        LOCODetector.from_state({**config, "texts": [{"a": 70}, {}]}, arrays)


def test_missing_constant_text_and_late_columns():
    rng = np.random.default_rng(2)
    detector = LOCODetector(seed=1)
    alarms = []
    for i in range(1200):
        row = {
            "noise": rng.normal(),
            "gaps": rng.normal() if i % 3 else None,
            "constant": 4.0 if i != 900 else 4.5,
            "mode": "ab"[i % 2] if i != 1000 else "never seen",
        }
        if i >= 300:
            row["late"] = rng.normal() if i != 1100 else 30.0
        detector.learn_one(row)
        if i in (900, 1000, 1100):
            alarms.append((detector.score_ > 2.0, detector.blame_))
        assert np.isfinite([detector.score_, detector.state_]).all()
    assert alarms == [(True, "constant"), (True, "mode"), (True, "late")]
    assert set(detector.expected_) == {"noise", "gaps", "constant", "late"}
    assert detector.columns == ("constant", "gaps", "mode", "noise", "late")


def test_a_column_that_falls_silent_is_unusual_once():
    X = rows_of(n=1500)
    X[1200:, 0] = np.nan
    scores = LOCODetector(seed=1).learn_score_array(X)
    assert scores.onset[1200] > 2.0
    assert scores.onset[1400] < 1.5


def test_a_stuck_sensor_raises_one_alarm():
    X = rows_of(n=1500, columns=3)
    X[900:1100, 1] = X[900, 1]
    detector = LOCODetector(seed=1)
    scores = detector.learn_score_array(X)
    assert np.flatnonzero(scores.onset[901:1000] >= 4.0).size == 1
    assert scores.alarm[901:910].any()


def test_a_column_that_never_changed_is_not_stuck():
    X = rows_of(n=600, columns=2)
    X[:, 0] = 3.0
    X[500:, 0] = 4.0
    scores = LOCODetector(seed=1).learn_score_array(X)
    assert scores.onset[:500].max() < 10.0
    assert scores.state[:500].max() < 10.0  # that of the other column
    assert scores.alarm[500]


def test_feedback_changes_what_follows():
    X = rows_of(columns=1, n=700)
    plain = LOCODetector(seed=1)
    plain.learn_score_array(np.vstack([X, [[9.0]], X[:100]]))
    confirmed = copy.deepcopy(plain)
    dismissed = copy.deepcopy(plain)
    assert confirmed.confirm(700, 700) == 1
    assert dismissed.dismiss(695, 705) == 11
    for detector, alarm in ((plain, False), (confirmed, True), (dismissed, False)):
        detector.learn_one({0: 8.9})
        assert detector.alarm_ is alarm
        detector.learn_one({0: 8.9})
        assert not detector.alarm_
    assert dismissed.score_one({0: 9.2}) == 0.0
    with pytest.raises(
        InputError, match=r"must enclose some of the last rows \(0 to 80[0-9]\), got"
    ):
        plain.confirm(10_000, 20_000)
    with pytest.raises(InputError, match="none so far"):
        LOCODetector(seed=1).confirm(0, 1)


def test_confirming_an_event_leaves_ordinary_values_alone():
    X = rows_of(columns=4, n=3100)
    X[700] = 0.0
    for first in (1000, 3000):
        X[first : first + 40, 2] += 12.0
    detector = LOCODetector(seed=1)
    detector.learn_score_array(X[:1060])
    assert detector.confirm(1000, 1039) == 40
    alarms = np.flatnonzero(detector.learn_score_array(X[1060:]).alarm) + 1060
    assert (alarms < 3000).sum() <= 5
    assert 3000 in alarms


@pytest.mark.parametrize("decimals", [1, 9])
def test_a_usual_value_that_stuck_is_not_confirmed(decimals):
    X = np.round(rows_of(columns=1, n=2000), decimals)
    X[1000:1040] = X[1000]
    detector = LOCODetector(seed=1)
    detector.learn_score_array(X[:1060])
    detector.confirm(1000, 1039)
    assert detector.score_one({0: X[1000, 0]}) < 2.0


def test_feedback_by_time_survives_a_file(tmp_path):
    t = 1.5e9 + 60.0 * np.arange(800)
    X = rows_of(columns=1, n=800)
    detector = LOCODetector(seed=1)
    detector.learn_score_array(X, t)
    assert detector.confirm(t[700], t[700]) == 1
    save(detector, tmp_path / "d")
    assert load(tmp_path / "d").score_one({0: 9.0}, t[-1] + 60.0) == pytest.approx(10.0)


def test_memory_is_bounded():
    detector = LOCODetector(seed=1)
    rng = np.random.default_rng(0)
    detector.learn_score_array(np.cumsum(rng.normal(size=(600, 2)), axis=0))
    for i in range(200):
        detector.learn_one({0: rng.normal(), 1: rng.normal(), "text": f"id {i}"})
    size = len(pickle.dumps(detector))
    for i in range(300):
        detector.learn_one({0: rng.normal(), 1: rng.normal(), "text": f"other {i}"})
    assert len(pickle.dumps(detector)) == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"every": 5}, "every"), ({"memory": (2.0, 1.0)}, "memory"), ({"seed": -1}, "seed")],
)
def test_parameters_are_checked(arguments, name):
    with pytest.raises(ConfigError, match=f"`{name}` must be"):
        LOCODetector(**arguments)


def test_bad_input_is_refused_and_nothing_is_learned():
    detector = LOCODetector(seed=1)
    detector.learn_one({"a": 1.0})
    for bad in (lambda: detector.learn_one([1.0]), lambda: detector.learn_one({"a": 1e31})):
        with pytest.raises(InputError):
            bad()
    with pytest.raises(InputError):
        detector.learn_score_array([[1.0, 2.0]])
    with pytest.raises(InputError):
        detector.learn_score_array([[1e40]])
    assert detector.n_seen == 1
    with pytest.raises(ConfigError):
        detector.every = 3


RIVER_CHECKS = (
    river_common.check_learn_one,
    river_common.check_pickling,
    river_common.check_shuffle_features_no_impact,
    river_common.check_emerging_features,
    river_common.check_disappearing_features,
    river_common.check_radically_disappearing_features,
    river_common.check_repr,
    river_common.check_str,
    river_common.check_tags,
    river_anomaly.check_roc_auc,
)


@pytest.mark.parametrize("check", RIVER_CHECKS, ids=lambda check: check.__name__)
def test_checks_of_river_pass_on_rows_that_need_no_download(check):
    X = rows_of(n=400)
    y = np.zeros(400, bool)
    y[200::40] = True
    X[y] += 12.0
    dataset = [(row, int(label)) for row, label in zip(by_name(X), y, strict=True)]
    try:
        check(LOCODetector(seed=1), dataset)
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        check(LOCODetector(seed=1))


def test_the_detector_works_in_a_pipeline_of_river():
    from river import compose, preprocessing

    model = compose.Pipeline(preprocessing.StandardScaler(), LOCODetector(seed=1))
    mean = stats.Mean()
    for row in by_name(rows_of(n=300)):
        mean.update(model.score_one(row))
        model.learn_one(row)
    assert mean.get() < 1.0


def noise(kind, n, seed):
    """Return n values of a stream in which nothing changes."""
    draws = np.random.default_rng([seed, len(kind)])
    if kind == "uniform":
        return draws.random(n)
    steps = draws.normal(size=n)
    if kind == "walk":
        return np.cumsum(steps)
    if kind == "autoregressive":
        for i in range(1, n):
            steps[i] += 0.9 * steps[i - 1]
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "autoregressive", "uniform", "walk"])
def test_false_alarms_come_as_often_as_promised(kind):
    counts = [
        LOCODetector(seed=seed).learn_score_array(noise(kind, 20_000, seed)[:, None]).alarm.sum()
        for seed in range(4)
    ]
    factor = 3.0 if kind == "walk" else 1.5
    assert 20.0 / factor <= np.mean(counts) <= 20.0 * factor


def test_copies_learn_apart():
    X = np.random.default_rng(0).normal(size=(300, 2))
    template = LOCODetector(seed=1)
    one, other = copy.copy(template), copy.copy(template)
    for row in X.tolist():
        one.learn_one(dict(enumerate(row)))
        other.learn_one({0: -row[0], 1: 5.0 * row[1]})
    alone = LOCODetector(seed=1)
    for row in X.tolist():
        alone.learn_one(dict(enumerate(row)))
    assert state_sha256(*export_model(one)) == state_sha256(*export_model(alone))
    assert template.n_seen == 0


@pytest.mark.parametrize("size", [1, 7])
def test_forecasts_are_those_of_a_regressor(size):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)).cumsum(axis=0)
    known = rng.random(rows.shape) < 0.9
    known[:50, 2] = False  # a column that comes late
    times = 3600.0 * np.arange(200)
    forecasts = ColumnForecasts(None, 1)
    found = [
        forecasts.learn_predict(rows[part], known[part], times[part])
        for part in (slice(i, i + size) for i in range(0, 200, size))
    ]
    advanced = AdvancedOptions(memoryless_members=False, recent_values=0)
    twin = LOCOMultiTargetRegressor(memory=(0.3, 50.0), seed=1, advanced=advanced)
    day = 2.0 * np.pi * (times / 86_400.0)
    week = 2.0 * np.pi * (times / 604_800.0)
    clock = np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1)
    names = [0, 1, 2, "day sin", "day cos", "week sin", "week cos"]
    before = np.column_stack([rows[:-1], clock[1:]])
    expected = twin.learn_predict_array(before, np.where(known, rows, np.nan)[1:], names, range(3))
    had_value = np.logical_or.accumulate(known[1:-1], axis=0)
    expected[1:][~had_value] = rows[1:-1][~had_value]
    np.testing.assert_array_equal(np.concatenate(found)[2:], expected[1:])


def test_rows_are_declared_by_the_times_that_they_came_with():
    X = rows_of(n=200)
    start = datetime(2024, 3, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=i) for i in range(200)]
    detector = LOCODetector(seed=1)
    detector.learn_score_array(X, t=times)
    assert detector.confirm(times[150], times[159]) == 10
    assert detector.dismiss(np.datetime64("2024-03-01T02:50"), times[174].replace(tzinfo=None)) == 5
    assert detector.confirm(times[150].timestamp(), times[151]) == 2
    with pytest.raises(InputError, match=r"\(1709251200 to 1709263140\), got 150 and 159$"):
        detector.confirm(150, 159)  # row numbers of a stream with times
    for bad in ((times[9], times[3]), ("now", times[3]), (None, None)):
        with pytest.raises(InputError, match="`t0`"):
            detector.confirm(*bad)


def test_parameters_are_read_and_changed_as_scikit_learn_does():
    detector = LOCODetector(every=50, memory=(0.5, 20.0), seed=1)
    copy = clone(detector)
    assert copy.get_params() == detector.get_params() == detector._get_params()
    copy.set_params(every=70)
    assert copy.every == 70
    for bad in ({"every": 1}, {"evry": 80}):
        with pytest.raises(ConfigError):
            copy.set_params(**bad)
    assert copy.every == 70
    copy.learn_one({"a": 1.0})
    with pytest.raises(ConfigError, match="learned nothing"):
        copy.set_params(every=80)
