"""Rows that a monitor takes together leave the state that they leave one by one."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import TaskMonitor
from loco_stream.monitor._holdout_plan import GROUP

NAMES = ("a", "b", "c", "task")
SETTINGS = {
    "hold-out": {"holdout": 30, "share": 0.2},
    "thin hold-out": {"holdout": 8, "share": 0.9, "rescore_every": 1},
    "two-sided": {"holdout": 10, "detector_options": {"two_sided_test": True}},
    "no inputs": {"holdout": 10, "share": 0.2, "inputs": False},
    "task column": {"holdout": 10, "share": 0.2, "tasks": "column:task"},
}


class Threshold:
    """Predicts the label from the first feature."""

    def __init__(self, problem):
        self.is_regression = problem == "regression"

    def predict_array(self, X, features=None):
        first = np.asarray(X, float)[:, 0]
        return first if self.is_regression else np.where(first > 0.0, "up", "down")


def stream(problem, n=3000):
    """Return rows, labels and predictions, some of which are missing at the ends of groups.

    The errors change, then the inputs do, and both return.
    """
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n, 4))
    X[:, 3] = np.repeat([1.0, 2.0, 1.0], n // 3)
    X[1500:2200, 1] += 3.0
    X[2500:2600, 2] = 0.5
    noise = np.where((np.arange(n) // 700) % 2, 1.5, 0.3) * rng.standard_normal(n)
    predicted = X[:, 0] + noise
    if problem == "regression":
        return X, X[:, 0].tolist(), without_some(predicted.tolist())
    named = np.array(["down", "up"])
    y = named[(X[:, 0] > 0.0).astype(int)].tolist()
    y_pred = named[(predicted > 0.0).astype(int)].tolist()
    for at in (420, 1210):  # classes that appear late
        y[at] = y_pred[at] = f"new at {at}"
    return X, y, without_some(y_pred)


def without_some(y_pred):
    for at in (12, 31, 63, 831):
        y_pred[at] = None
    return y_pred


def run(monitor, problem, length, together):
    """Return alarms, the state after each eighth call, and the calls that took rows together."""
    X, y, y_pred = stream(problem)
    model = Threshold(problem)
    alarms = []
    states = []
    are_together = []
    index = 0
    while index < len(X):
        n = monitor.rows_together(X[index : index + length], index, NAMES)
        monitor.rows_held_out(index, n)
        rows = slice(index, index + n)
        coded = monitor.encode(X[rows], NAMES)
        group = (coded, y[rows], y_pred[rows], index, model)
        are_together.append(together and monitor.update_rows(*group))
        if not are_together[-1]:
            alarms += take_one_by_one(monitor, model, coded, (y[rows], y_pred[rows]), index)
        index += n
        if len(are_together) % 8 == 0 or index == len(X):
            states.append(monitor.export_state())
    return alarms, states, are_together


def take_one_by_one(monitor, model, coded, labels, index):
    alarms = []
    for i, (label, prediction) in enumerate(zip(*labels, strict=True)):
        if prediction is not None:
            alarms += monitor.update_row(coded, i, label, prediction, index + i)
        monitor.hold_out_row(coded, i, label, index + i)
        monitor.rescore(model, index + i)
    return alarms


@pytest.mark.parametrize("length", [GROUP, 13])
@pytest.mark.parametrize("problem", ["classification", "regression"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_taken_together_leave_the_state_of_single_rows(settings, problem, length):
    def monitor():
        return TaskMonitor(problem=problem, min_segment=100, **SETTINGS[settings])

    alarms, states, are_together = run(monitor(), problem, length, together=True)
    expected_alarms, expected, _ = run(monitor(), problem, length, together=False)
    assert 0.1 < np.mean(are_together) < 1.0
    assert alarms == expected_alarms
    assert len(alarms) > 1
    for (config, arrays), (other, other_arrays) in zip(states, expected, strict=True):
        assert repr(config) == repr(other)  # as text, since nan is not nan
        assert arrays.keys() == other_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
