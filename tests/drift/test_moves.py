"""Features that moved most, and features that are stuck."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import TaskMonitor
from loco_stream.drift._moves import FeatureMoves
from loco_stream.errors import CheckpointError


def feed(X):
    moves = FeatureMoves(X.shape[1])
    return moves, [moves.update_rows(x[None]) for x in X]


def test_a_feature_that_repeats_its_value_is_stuck_once():
    X = np.random.default_rng(0).normal(size=(800, 3))
    X[500:700, 2] = X[499, 2]
    _, stuck = feed(X)
    found = np.flatnonzero(np.array(stuck) >= 0)
    assert len(found) == 1
    assert stuck[found[0]] == 2
    assert 500 <= found[0] < 520


def test_coarse_and_constant_features_are_not_stuck():
    rng = np.random.default_rng(1)
    X = np.stack([np.round(rng.normal(size=5000)), np.ones(5000), rng.random(5000) > 0.9], axis=1)
    _, stuck = feed(X)
    assert max(stuck) == -1


def test_missing_values_are_left_out():
    X = np.random.default_rng(0).normal(size=(400, 2))
    X[200:, 0] = np.nan
    moves, stuck = feed(X)
    assert max(stuck) == -1
    with pytest.raises(CheckpointError):
        moves.restore_state(np.zeros((3, 1)))


def test_an_input_alarm_names_the_feature_that_moved():
    rng = np.random.default_rng(2)
    monitor = TaskMonitor(holdout=0)
    for i in range(1200):
        row = {f"f{j}": rng.normal() for j in range(6)}
        if i >= 900:
            row["f4"] += 6.0
        monitor.update(None, None, row, i)
    drifts = [drift for drift in monitor.report()["drifts"] if drift["kind"] == "input"]
    assert drifts
    assert drifts[0]["features"][0] == "f4"


CHANGES = {
    "Celsius to Fahrenheit": lambda x: 1.8 * x + 32.0,
    "times 1,000": lambda x: 1000.0 * x,
    "divided by 1,000": lambda x: x / 1000.0,
    "five times the spread": lambda x: 20.0 + 5.0 * (x - 20.0),
    "frozen at 0": lambda x: 0.0,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_features_with_a_daily_cycle_do_not_hide_the_one_whose_unit_changed(change):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        phases = rng.uniform(0.0, 2.0 * np.pi, size=8)
        cycle = np.sin(np.arange(1600)[:, None] * 2.0 * np.pi / 96.0 + phases)
        X = 20.0 + 4.0 * cycle + rng.normal(size=cycle.shape)
        monitor = TaskMonitor(holdout=0)
        alarms = []
        for i, row in enumerate(X):
            if i >= 1500:
                row[4] = change(row[4])
            alarms += monitor.update(None, None, dict(enumerate(row)), i)
        assert alarms[0].since >= 1490
        assert alarms[0].features[0] == "4"


def test_one_outlier_hides_no_later_change():
    X = np.random.default_rng(4).normal(size=(1000, 3))
    X[940, 0] = 1e30
    X[980:990, 1] += 4.0
    moves, _ = feed(X[:990])
    assert moves.most_moved()[0] == 1


def test_one_fault_long_ago_hides_no_later_change():
    X = np.random.default_rng(4).normal(size=(3000, 3))
    X[500, 1] = 65534.0
    X[2990:, 1] += 4.0
    moves, _ = feed(X)
    assert moves.most_moved()[0] == 1


def test_a_sensor_that_is_stuck_at_a_fill_value_is_found():
    X = np.random.default_rng(4).normal(size=(600, 3))
    X[500:, 2] = -9999.0
    _, stuck = feed(X)
    found = np.flatnonzero(np.array(stuck) == 2)
    assert len(found) == 1
    assert 500 < found[0] < 510


def test_a_stuck_sensor_is_reported_and_survives_a_checkpoint():
    rng = np.random.default_rng(3)
    rows = [{"a": rng.normal(), "b": rng.normal()} for _ in range(900)]
    for row in rows[600:]:
        row["b"] = 0.25
    monitor = TaskMonitor(holdout=0)
    alarms = []
    for i, row in enumerate(rows):
        if i == 603:
            state = monitor.export_state()
            monitor = TaskMonitor(holdout=0)
            monitor.restore_state(*state)
        alarms += monitor.update(None, None, row, i)
    stuck = [alarm for alarm in alarms if alarm.detector == "stuck"]
    assert [alarm.features for alarm in stuck] == [("b",)]
    assert stuck[0].since == 600
    assert str(stuck[0]).startswith("b is stuck at row 600")
