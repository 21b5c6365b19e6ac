"""Tasks are found and recognised, the accuracy matrix is right, memory and cost are bounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor, metrics
from loco_stream._persistence import format as persist
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.monitor import DriftAlarm
from loco_stream.monitor._holdout import HeldRow, HoldOut, UniformDraws
from loco_stream.monitor._holdout_plan import GROUP, HoldOutPlan
from loco_stream.monitor._matrix import AccuracyMatrix, measures, standard_error
from loco_stream.monitor._row_codec import RowCodec
from loco_stream.monitor._signature import InputScale, Signature
from loco_stream.monitor._timeline import Timeline
from tests.helpers.naive_monitor import NAMES, Forgetful, ForgetfulArrays, Tasks, merged, run, step
from tests.helpers.tasks import digits_two_at_a_time, returning_labels


def _drifts(alarms):
    return [alarm for alarm in alarms if alarm.state == "drift"]


def _returns(alarms):
    return [(alarm.at, alarm.task) for alarm in alarms if alarm.state == "return"]


def test_tasks_are_found_where_they_begin():
    monitor = TaskMonitor()
    alarms, _ = run(monitor, Forgetful(), Tasks(0), [0, 1, 2], 1500)
    starts = [task["start"] for task in monitor.report()["tasks"]]
    assert len(starts) == 3
    assert np.abs(np.array(starts) - [0, 1500, 3000]).max() <= 25
    assert all(alarm.at - alarm.since < 100 for alarm in _drifts(alarms))
    assert {alarm.kind for alarm in _drifts(alarms)} == {"concept", "input"}
    assert [task["end"] for task in monitor.report()["tasks"]] == [*starts[1:], None]


@pytest.mark.slow
@pytest.mark.parametrize("model", [Forgetful, ForgetfulArrays])
def test_the_accuracy_matrix_agrees_with_full_test_sets(model):
    deviations = []
    for seed in range(5):
        tasks = Tasks(seed)
        tests = {concept: tasks.rows(concept, 3000) for concept in range(4)}
        monitor = TaskMonitor(seed=seed, share=0.05)
        learner = model()
        _, R = run(monitor, learner, tasks, [0, 1, 2, 3], 2000, tests=tests)
        monitor.measure(learner)
        report = monitor.report()
        found, errors = (
            np.array(report[key], dtype=float) for key in ("accuracy_matrix", "accuracy_matrix_se")
        )
        assert found.shape == (4, 4)
        below = np.tril_indices(4)
        deviations += ((found - R)[below] / errors[below]).tolist()
        for name in ("average_accuracy", "forgetting", "backward_transfer"):
            assert abs(report[name] - getattr(metrics, name)(R)) <= 3 * report[f"{name}_se"]
    assert np.mean(np.abs(deviations) <= 2) >= 0.9
    assert abs(np.mean(deviations)) < 0.5


def test_held_out_rows_are_never_learned_and_few():
    monitor = TaskMonitor()
    model = Forgetful()
    run(monitor, model, Tasks(1), [0, 1], 3000)
    held = [held.index for segment in monitor._timeline.segments for held in segment.hold.rows]
    assert not set(held) & set(model.learned)
    assert 0.01 < 1 - len(model.learned) / 6000 < 0.03
    assert len(held) == 6000 - len(model.learned)


def test_the_held_out_share_falls_once_the_hold_out_is_full():
    monitor = TaskMonitor(holdout=20, share=0.1)
    model = Forgetful()
    run(monitor, model, Tasks(1), [0], 4000)
    assert len(monitor._timeline.running.hold.rows) == 20
    first, later = (
        np.setdiff1d(np.arange(a, b), model.learned).size for a, b in ((0, 200), (3000, 4000))
    )
    assert first > 10
    assert later < 20


def offer(hold, index, plan):
    """Hold out a row if it is planned."""
    place = plan.take(index, hold)
    assert place is not None
    hold.put(HeldRow(index, np.zeros(0), {}, 0), place)


def test_reservoir_is_uniform():
    counts = np.zeros(100)
    for key in range(2000):
        hold = HoldOut(10)
        plan = HoldOutPlan(1.0, UniformDraws(key))
        for index in range(100):
            offer(hold, index, plan)
        counts[[held.index for held in hold.rows]] += 1
    assert np.abs(counts / 2000 - 0.1).max() < 5 * math.sqrt(0.09 / 2000)


def test_rows_held_out_between_a_change_and_its_alarm_move_to_the_new_segment():
    monitor = TaskMonitor(share=0.3)
    run(monitor, Forgetful(), Tasks(2), [0, 1], 1500)
    first, second = monitor._timeline.segments
    assert (
        max(held.index for held in first.hold.rows)
        < second.start
        <= min(held.index for held in second.hold.rows)
    )
    assert first.n == second.start
    assert first.n + second.n == 3000


def test_matrix_rows_are_made_of_predictions_from_before_the_change():
    timeline = Timeline(10, 4, UniformDraws(0))
    held = [HeldRow(index, np.zeros(0), {}, 1) for index in (10, 20)]
    for one in held:
        timeline.running.hold.put(one, -1)
        one.score(1, 60)
        one.score(0, 105)
    timeline.start_segment(100, "concept", 2)
    assert timeline.accuracies()[0][0, 0] == 1.0
    timeline.close_row()
    assert timeline.matrix.rows == [[1.0]]
    assert timeline.accuracies()[0][1, 0] == 0.0


def test_a_segment_that_is_recognised_twice_keeps_the_names_of_other_tasks():
    """The snapshots may reveal a task after the signature has matched another, the newest one."""
    timeline = Timeline(0, 4, UniformDraws(0))
    timeline.start_segment(10, "concept", 2)
    timeline.start_segment(20, "concept", 2)
    for task in (1, 0):
        timeline.return_to(task)
    assert [entry["task"] for entry in timeline.reports()] == ["task 0", "task 1", "task 0"]
    timeline.start_segment(30, "concept", 2)
    assert timeline.names == {task: f"task {task}" for task in range(3)}


def test_signatures_hold_no_rows_from_after_the_change():
    timeline = Timeline(0, 4, UniformDraws(0))
    scale = InputScale.of_width(2)
    for index in range(180):
        values = np.array([float(index % 3), 1.0 + index % 2])
        timeline.recognise(values, "old" if index < 130 else "new", index, scale)
    timeline.start_segment(130, "concept", 2)
    ended = timeline.segments[0].signature
    assert list(ended.labels) == ["old"]
    assert ended.n == 100
    assert [start for start, _ in timeline.pending] == [150]


def test_missing_values_do_not_enter_the_unit_of_distances():
    rng = np.random.default_rng(2)
    X = rng.normal(100.0, 2.0, (3000, 2))
    X[rng.random(3000) < 0.9, 1] = np.nan
    scale = InputScale.of_width(2)
    Signature(2).update(X, ["a"] * len(X), scale, Signature(2))
    assert scale.mean == pytest.approx(np.nanmean(X, axis=0))
    assert 1.0 / scale.inverse_variance == pytest.approx(np.nanvar(X, axis=0))


def test_two_alarms_for_one_change_make_one_segment():
    monitor = TaskMonitor()
    alarms, _ = run(monitor, Forgetful(), Tasks(3), [0, 1], 1500)
    assert sorted(alarm.kind for alarm in _drifts(alarms)) == ["concept", "input"]
    assert len(monitor.report()["tasks"]) == 2
    assert monitor.report()["n_drifts"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("same_inputs", [False, True])
def test_returning_tasks_are_recognised_and_new_ones_are_not(same_inputs):
    """A task is recognised within two standard errors, so that one of 12 returns may be missed."""
    n_recognised = 0
    for seed in range(4):
        monitor = TaskMonitor(seed=seed)
        alarms, _ = run(monitor, Forgetful(), Tasks(seed, same_inputs), [0, 1, 2, 0, 2, 1], 1200)
        returned = _returns(alarms)
        report = monitor.report()["tasks"]
        assert [task["returned"] for task in report[:3]] == [False] * 3
        again = [task for task in report[3:] if task["returned"]]
        due = [place for place, task in enumerate(report[3:]) if task["returned"]]
        names = [f"task {(0, 2, 1)[place]}" for place in due]
        assert [name for _, name in returned] == [task["task"] for task in again] == names
        for place, (at, _) in zip(due, returned, strict=True):
            assert at < 1200 * (3 + place) + 180
        assert all(-1 < task["return_drop"] < -0.1 for task in again)
        assert all(20 < task["relearning_samples"] < 600 for task in again)
        n_recognised += len(again)
    assert n_recognised >= 11


def test_new_classes_in_short_tasks_are_not_taken_for_a_return():
    monitor = TaskMonitor(holdout=0)
    alarms = []
    index = 0
    tasks = digits_two_at_a_time()
    features = tuple(range(64))
    for X, labels in tasks:
        for i, (x, y) in enumerate(zip(X, labels.tolist(), strict=True)):
            alarms += monitor.update(y, y if i > 20 else -1, x, index, features)
            index += 1
    starts = np.cumsum([0, *(len(X) for X, _ in tasks)])[:-1]
    assert not _returns(alarms)
    assert (
        np.abs(np.array([task["start"] for task in monitor.report()["tasks"]]) - starts).max() <= 10
    )


def test_without_hold_outs_no_row_is_stored_and_label_free_measures_remain():
    monitor = TaskMonitor(holdout=0)
    assert not monitor.holds_out
    model = Forgetful()
    run(monitor, model, Tasks(0), [0, 1, 0], 1500)
    report = monitor.report()
    assert len(model.learned) == 4500
    assert not any(segment.hold.rows for segment in monitor._timeline.segments)
    assert report["accuracy_matrix"] == []
    assert report["forgetting"] is report["average_accuracy"] is report["backward_transfer"] is None
    last = report["tasks"][-1]
    assert last["task"] == "task 0"
    assert last["return_drop"] < -0.1
    assert 0.0 < last["protected_update_share"] < 1.0


def test_the_running_row_is_current_without_a_final_measurement():
    tasks = Tasks(14)
    tests = {concept: tasks.rows(concept, 3000) for concept in range(4)}
    monitor = TaskMonitor()
    _, R = run(monitor, Forgetful(), tasks, [0, 1, 2, 3], 1500, tests=tests)
    found, errors = (
        np.array(monitor.report()[key], dtype=float)[-1]
        for key in ("accuracy_matrix", "accuracy_matrix_se")
    )
    assert (np.abs(found - R[-1]) <= 2.5 * errors).all()


def test_work_of_rescoring_is_bounded():
    monitor = TaskMonitor(share=0.2)
    model = ForgetfulArrays()
    run(monitor, model, Tasks(4), [0, 1, 2, 3], 1500)
    assert model.n_predicted <= 6000 + 6000 / 8 + 8
    monitor = TaskMonitor(holdout=0)
    model = Forgetful()
    run(monitor, model, Tasks(4), [0, 1], 1500)
    assert model.n_predicted == 3000


def test_memory_is_bounded_and_the_measures_stay_sound():
    monitor = TaskMonitor(max_segments=4, holdout=30, share=0.1)
    model = Forgetful()
    tasks = Tasks(5)
    run(monitor, model, tasks, [0, 1, 2, 3, 0, 1, 2, 3, 0], 800)
    report = monitor.report()
    assert len(report["tasks"]) == len(report["accuracy_matrix"]) == 4
    assert report["n_merged_segments"] == 5
    assert max(len(segment.hold.rows) for segment in monitor._timeline.segments) <= 30
    assert sum(task["n_samples"] for task in report["tasks"]) == 7200
    assert len(monitor._timeline.names) <= 4
    R = np.array(report["accuracy_matrix"], dtype=float)
    assert not np.isnan(R[np.tril_indices(4)]).any()
    assert report["forgetting"] == pytest.approx(metrics.forgetting(R))
    assert report["average_accuracy"] < 0.9


@given(st.integers(2, 6), st.data())
def test_merging_equals_its_definition(size, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    target = data.draw(st.integers(1, size - 1))
    matrix = AccuracyMatrix()
    for i in range(size):
        matrix.append([(float(rng.random()), int(rng.integers(1, 50))) for _ in range(i + 1)])
    rows, counts = merged(
        [list(row) for row in matrix.rows], [list(row) for row in matrix.counts], target
    )
    matrix.merge(target)
    assert matrix.counts == counts
    for row, expected in zip(matrix.rows, rows, strict=True):
        assert row == pytest.approx(expected)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40))
def test_pooled_hold_outs_keep_within_their_size(older, newer, size):
    first = HoldOut(size)
    second = HoldOut(size)
    draws = UniformDraws(1)
    for hold, indices in ((first, range(older)), (second, range(1000, 1000 + newer))):
        plan = HoldOutPlan(1.0, draws)
        for index in indices:
            offer(hold, index, plan)
    kept = len(first.rows) + len(second.rows)
    second.merge(first, draws)
    indices = [held.index for held in second.rows]
    assert len(indices) == len(set(indices)) == min(size, kept)
    assert second.n_candidates == max(1, older + newer)


def test_rows_planned_before_a_task_began_are_held_out_by_a_restored_monitor():
    def held(monitor, first, last):
        found = []
        for i in range(first, last):
            monitor.update(0, 0, {"a": float(i)}, i)
            found.append(monitor.hold_out({"a": float(i)}, 0, i))
        return found

    monitor = TaskMonitor(tasks="given", holdout=5, share=0.5)
    held(monitor, 0, GROUP + 6)
    monitor.begin_task()
    again = TaskMonitor()
    again.restore_state(*monitor.export_state())
    expected = held(monitor, GROUP + 6, 2 * GROUP)
    assert held(again, GROUP + 6, 2 * GROUP) == expected


def test_a_restored_monitor_holds_out_the_same_rows_after_a_merge():
    def held(monitor, first, last):
        found = []
        for i in range(first, last):
            x = {"a": float(i), "task": float(i // (2 * GROUP))}
            monitor.update(0, 0, x, i)
            found.append(monitor.hold_out(x, 0, i))
            monitor.rescore(Forgetful(), i)
        return found

    n = 4 * GROUP  # here the third task begins, and the first two segments are merged
    monitor = TaskMonitor(tasks="column:task", max_segments=2, holdout=20, share=0.5)
    held(monitor, 0, n + 6)
    assert monitor.report()["n_merged_segments"] == 1
    again = TaskMonitor()
    again.restore_state(*monitor.export_state())
    assert held(again, n + 6, n + GROUP) == held(monitor, n + 6, n + GROUP)


def test_a_restored_hold_out_keeps_both_predictions_of_each_row():
    hold = HoldOut(3)
    for i in range(3):
        held = HeldRow(i, np.array([float(i)]), {}, "ab"[i % 2])
        held.score("a", 10 + i)
        held.score("b", 20 + i)
        hold.put(held, -1)
    hold.cursor = 2
    again = HoldOut.restore_state(3, *hold.export_state())
    assert [held.numbers() for held in again.rows] == [held.numbers() for held in hold.rows]
    assert again.accuracy(10, 13) == hold.accuracy(10, 13) == (2 / 3, 3)
    assert (again.n_candidates, again.cursor) == (3, 2)


def test_measures_leave_out_segments_without_an_entry():
    R = np.array([[0.9, np.nan, np.nan], [0.8, np.nan, np.nan], [0.5, np.nan, 0.7]])
    counts = np.array([[50, 0, 0], [50, 0, 0], [50, 0, 20]])
    found = measures(R, counts)
    assert found["average_accuracy"] == pytest.approx(0.6)
    assert found["forgetting"] == pytest.approx(0.4)
    se = standard_error(np.array([0.5, 0.7, 0.9]), np.array([50, 20, 50]))
    assert found["average_accuracy_se"] == pytest.approx(np.hypot(se[0], se[1]) / 2)
    assert found["backward_transfer_se"] == pytest.approx(np.hypot(se[0], se[2]))
    nothing = measures(np.full((1, 1), np.nan), np.zeros((1, 1)))
    assert set(nothing.values()) == {None}
    running_is_empty = measures(
        np.array([[0.9, np.nan], [0.8, np.nan]]), np.array([[50, 0], [50, 0]])
    )
    assert running_is_empty["average_accuracy"] == pytest.approx(0.9)


def test_the_standard_error_is_never_zero():
    assert standard_error(np.array(1.0), np.array(20.0)) > 0.04


def test_given_boundaries_start_segments_and_alarms_do_not():
    monitor = TaskMonitor(tasks="given")
    model = Forgetful()
    tasks = Tasks(6)
    for visit, (concept, name) in enumerate([(0, "day"), (1, "night"), (0, "day")]):
        monitor.begin_task(name, visit * 1000)
        alarms, _ = run(monitor, model, tasks, [concept], 1000, start=visit * 1000)
        assert not _returns(alarms)
    report = monitor.report()
    assert [(task["task"], task["start"], task["began"]) for task in report["tasks"]] == [
        ("day", 0, "start"),
        ("night", 1000, "boundary"),
        ("day", 2000, "boundary"),
    ]
    assert report["tasks"][2]["returned"]
    assert report["tasks"][2]["return_drop"] < 0
    assert [drift["at"] for drift in report["drifts"] if drift["kind"] == "boundary"] == [
        1000,
        2000,
    ]
    assert len(report["accuracy_matrix"]) == 3


def test_a_column_may_name_the_task():
    monitor = TaskMonitor(tasks="column:room")
    model = Forgetful()
    for index, room in enumerate(["kitchen"] * 300 + ["hall"] * 300 + ["kitchen"] * 300):
        x = dict.fromkeys(NAMES, 1.0) | {"room": room}
        step(monitor, model, x, 0, index)
    assert [(task["task"], task["start"]) for task in monitor.report()["tasks"]] == [
        ("kitchen", 0),
        ("hall", 300),
        ("kitchen", 600),
    ]
    monitor.update(0, 0, {"a": 1.0}, 900)
    monitor.update(0, 0, {"a": 1.0, "room": math.nan}, 901)
    report = monitor.report()
    assert (report["n_without_task"], len(report["tasks"])) == (2, 3)


def test_a_task_column_that_no_row_has_is_named():
    monitor = TaskMonitor(tasks="column:rom")
    assert monitor.missing_column == ""  # before the first row
    monitor.update(0, 0, {"a": 1.0, "room": "hall"}, 0)
    missing = "no row has had a value in the task column 'rom' so far"
    assert monitor.missing_column == f"{missing}; did you mean 'room'?"
    monitor.update(0, 0, {"a": 1.0, "b": 2.0}, 1)
    assert monitor.missing_column == f"{missing}; the rows have the columns a, b"
    monitor.update(0, 0, {"rom": "hall"}, 2)
    monitor.update(0, 0, {"a": 1.0}, 3)
    assert monitor.missing_column == ""


def test_a_task_column_that_no_row_has_is_named_where_rows_come_in_blocks():
    monitor = TaskMonitor(tasks="column:rom", holdout=0)
    X = np.ones((GROUP, 2))
    y = ["x"] * GROUP
    for begin in range(0, 6 * GROUP, GROUP):
        rows = monitor.encode(X, ("heat", "room"))
        if not monitor.update_rows(rows, y, y, begin, Forgetful()):
            for i in range(GROUP):
                monitor.update_row(rows, i, "x", "x", begin + i)
    assert monitor.report()["n_without_task"] == 6 * GROUP
    assert "did you mean 'room'?" in monitor.missing_column


def test_with_tasks_none_alarms_start_no_segment():
    monitor = TaskMonitor(tasks="none")
    alarms, _ = run(monitor, Forgetful(), Tasks(0), [0, 1], 1500)
    assert _drifts(alarms)
    assert len(monitor.report()["tasks"]) == 1


def test_array_rows_are_the_same_as_named_rows():
    tasks = Tasks(7)
    named = TaskMonitor()
    rows = TaskMonitor()
    for start, concept in ((0, 0), (1000, 1)):
        X, y = tasks.rows(concept, 1000)
        for i, (x, label) in enumerate(zip(X, y.tolist(), strict=True), start):
            answer = label if i % 10 else 3 - label
            by_name = dict(zip(NAMES, x.tolist(), strict=True))
            assert named.update(label, answer, by_name, i) == rows.update(
                label, answer, x[None], i, NAMES
            )
            assert named.hold_out(by_name, label, i) == rows.hold_out(x[None], label, i, NAMES)
    assert named.report() == rows.report()


def test_rows_without_label_or_prediction_are_examined_but_not_scored():
    monitor = TaskMonitor()
    X, _ = Tasks(8).rows(0, 3000)
    X[2000:] += 4.0
    alarms = []
    for i, row in enumerate(X.tolist()):
        alarms += monitor.update(None, 0, dict(zip(NAMES, row, strict=True)), i)
    assert [alarm.kind for alarm in _drifts(alarms)] == ["input"]
    assert monitor.update(1, None, {"a": 1.0}, 3000) == []
    assert monitor.report()["tasks"][0]["n_samples"] == 0
    monitor.update(1, 1, None, 3001)
    assert monitor.report()["tasks"][0]["n_samples"] == 1


def test_dirty_rows_leave_finite_statistics():
    rng = np.random.default_rng(9)
    monitor = TaskMonitor(share=0.2)
    model = Forgetful()
    strange = [
        {},
        {"a": "text"},
        {"a": None, "z": 1.0},
        {"a": math.nan, "b": math.inf},
        {"new": True, 5: 2},
    ]
    for i in range(2000):
        x = dict(zip(NAMES, rng.standard_normal(8).tolist(), strict=True))
        if i % 20 == 7:
            x = strange[i // 20 % len(strange)]
        clean = {k: v for k, v in x.items() if isinstance(v, float) and math.isfinite(v)}
        y = int(rng.integers(0, 4))
        monitor.update(y, model.predict_one(clean), x, i)
        monitor.hold_out(x, y, i)
    held = monitor._timeline.running.hold.rows
    assert {"a": "text"} in [monitor._codec.decode(h.row, h.extras) for h in held]
    assert np.isfinite(monitor._timeline.running.signature.means).all()
    assert np.isfinite(monitor._view.detector.level).all()


def test_columns_in_which_input_drift_is_not_tested_are_named():
    monitor = TaskMonitor(holdout=0)
    without = TaskMonitor(holdout=0, inputs=False)
    assert monitor.untested_columns == ""
    for i in range(GROUP):
        x = {"a": 1.0} if i < 20 else {"a": 1.0, "heat": 2.0, "load": 3.0}
        for one in (monitor, without):
            one.update(0, 0, x, i)
    sentence = "input drift is not tested in columns that came after the first row: heat, load"
    assert monitor.untested_columns == sentence
    assert without.untested_columns == ""
    again = TaskMonitor()
    again.restore_state(*monitor.export_state())
    assert again.untested_columns == sentence
    rows = [({"a": 1.0} if i < 20 else {"a": 1.0, "heat": 2.0, "load": 3.0}, 0) for i in range(99)]
    model = LOCOClassifier(hidden_sizes=(4,), seed=0)
    assert sentence in StreamEngine(model, rows, monitor=TaskMonitor(holdout=0)).run()["notes"]


def test_the_codec_restores_the_row():
    codec = RowCodec()
    samples = [
        {"b": 1.0, "a": 2.0},
        {"a": 3.0, "b": "x"},
        {"c": 4.0},
        {"b": 1.5, "a": 2.5, "c": 0.0},
        {},
    ]
    coded = [codec.encode(x) for x in samples]
    assert [codec.decode(*pair) for pair in coded] == samples
    assert codec.names == ("b", "a", "c")


def test_a_regression_is_correct_within_the_usual_error():
    rng = np.random.default_rng(10)
    monitor = TaskMonitor(problem="regression", share=0.1)

    class Mean:
        value = 0.0

        def predict_one(self, x):
            return self.value + x["a"]

    model = Mean()
    alarms = []
    for i in range(3000):
        x = {"a": float(rng.standard_normal())}
        y = x["a"] + rng.standard_normal() * 0.1 + (5.0 if i >= 2000 else 0.0)
        alarms += monitor.update(y, model.predict_one(x), x, i)
        if not monitor.hold_out(x, y, i) and i > 2040:
            model.value += 0.05 * (y - x["a"] - model.value)
        monitor.rescore(model)
    monitor.measure(model)
    report = monitor.report()
    assert [alarm.kind for alarm in _drifts(alarms)] == ["concept"]
    assert abs(report["tasks"][1]["start"] - 2000) <= 5
    R = np.array(report["accuracy_matrix"], dtype=float)
    assert 0.65 < R[0, 0] < 0.95
    assert R[1, 0] < 0.05
    assert report["forgetting"] > 0.6
    assert report["forward_transfer"] is None


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 150, 1505, 1560, 3700])
@pytest.mark.parametrize(
    "options", [{}, {"holdout": 0}, {"drift_detector": "DDM", "max_segments": 2}]
)
def test_a_restored_monitor_continues_the_same(cut, options, tmp_path):
    def steps(monitor, model, rows, start):
        return [step(monitor, model, x, y, i) for i, (x, y) in enumerate(rows, start)]

    tasks = Tasks(11)
    rows = []
    for concept in (0, 1, 0):
        X, y = tasks.rows(concept, 1500)
        rows += [
            (dict(zip(NAMES, x, strict=True)), label)
            for x, label in zip(X.tolist(), y.tolist(), strict=True)
        ]
    whole = TaskMonitor(**options)
    model = Forgetful()
    expected = steps(whole, model, rows, 0)
    first = TaskMonitor(**options)
    second = TaskMonitor(seed=99)
    model = Forgetful()
    found = steps(first, model, rows[:cut], 0)
    config, arrays = first.export_state()
    persist.write(tmp_path / "monitor", "monitor", config, arrays)
    saved = persist.read(tmp_path / "monitor")
    second.restore_state(saved.config, saved.arrays)
    found += steps(second, model, rows[cut:], cut)
    assert found == expected
    assert second.report() == whole.report()
    ours = second.export_state()
    theirs = whole.export_state()
    assert repr(ours[0]) == repr(theirs[0])
    assert {name: a.tobytes() for name, a in ours[1].items()} == {
        name: a.tobytes() for name, a in theirs[1].items()
    }


class Recalling:
    """Always correct; takes snapshots at rows 1000 and 2000, and uses the first from 2500 on."""

    def __init__(self):
        self.n = 0

    @property
    def recalled(self):
        return int(self.n >= 1000) + int(self.n >= 2000), int(self.n >= 2500)

    def predict_one(self, x):
        return 0

    def learn_one(self, x, y):
        self.n += 1


def recalling(monitor, model, start, stop):
    """Stream rows without any error; a task begins at row 1000."""
    alarms = []
    for i in range(start, stop):
        if i == 1000:
            monitor.begin_task()
        alarms += monitor.update(0, model.predict_one({}), None, i)
        model.learn_one({}, 0)
        monitor.rescore(model)
    return alarms


@pytest.mark.parametrize("cut", [0, 1200, 2510, 2520])
def test_a_model_that_recalls_reveals_the_return_of_a_task_without_errors(cut):
    monitor = TaskMonitor(holdout=0, inputs=False)
    model = Recalling()
    alarms = recalling(monitor, model, 0, cut)
    resumed = TaskMonitor()
    resumed.restore_state(*monitor.export_state())
    alarms += recalling(resumed, model, cut, 3000)
    assert [
        (task["task"], task["start"], task["returned"]) for task in resumed.report()["tasks"]
    ] == [("task 0", 0, False), ("task 1", 1000, False), ("task 0", 2559, True)]
    assert [(alarm.state, alarm.detector, alarm.since, alarm.task) for alarm in alarms] == [
        ("drift", "recall", 2559, ""),
        ("return", "recall", 2559, "task 0"),
    ]
    assert str(alarms[1]) == "task 0 is back since row 2,559, detected at row 2,623"


def test_recall_of_a_task_that_was_merged_away_is_ignored():
    monitor = TaskMonitor(holdout=0, inputs=False, max_segments=2, min_segment=1)
    model = Recalling()
    recalling(monitor, model, 0, 1500)
    monitor.begin_task("night")
    monitor.begin_task("night")
    for i in range(1500, 2400, 300):
        recalling(monitor, model, i, i + 300)
        monitor.begin_task(f"task at {i}")
    assert "task 0" not in [task["task"] for task in monitor.report()["tasks"]]
    assert recalling(monitor, model, 2400, 3000) == []
    assert len(monitor.report()["tasks"]) == 2


def test_recall_starts_no_segment_where_the_user_gives_the_tasks():
    monitor = TaskMonitor(holdout=0, inputs=False, tasks="given")
    assert recalling(monitor, Recalling(), 0, 3000) == []
    assert len(monitor.report()["tasks"]) == 2


@pytest.mark.slow
def test_tasks_with_returning_labels_are_named():
    tasks = returning_labels()
    features = tuple(range(tasks[0][0].shape[1]))
    monitor = TaskMonitor(seed=0)
    model = LOCOClassifier(seed=0)
    i = 0
    for X, y in tasks:
        for x, label in zip(X[:, None], y.tolist(), strict=True):
            monitor.update(
                label, model.predict_array(x, features)[0] if i else None, x, i, features
            )
            if not monitor.hold_out(x, label, i, features):
                model.learn_array(x, [label], features)
            monitor.rescore(model)
            i += 1
    found = monitor.report()["tasks"]
    assert [task["task"] for task in found] == ["task 0", "task 1", "task 0", "task 1"]
    # a recalled snapshot is looked for at the end of each group
    assert np.abs(np.array([task["start"] for task in found]) - [0, 2500, 5000, 7500]).max() < GROUP


def test_a_damaged_state_is_refused_and_changes_nothing():
    monitor = TaskMonitor()
    run(monitor, Forgetful(), Tasks(12), [0], 300)
    config, arrays = monitor.export_state()
    before = monitor.report()
    for damaged in ({**config, "timeline": {}}, {**config, "settings": {"holdout": -1}}, {}):
        with pytest.raises(CheckpointError, match="saved"):
            monitor.restore_state(damaged, arrays)
    with pytest.raises(CheckpointError, match="cannot be restored"):
        monitor.restore_state(config, {})
    assert monitor.report() == before


def test_checkpoints_refuse_detectors_without_saved_state():
    with pytest.raises(
        CheckpointError, match="a checkpoint cannot hold the state of the drift detector ADWIN"
    ):
        TaskMonitor(drift_detector="ADWIN").export_state()


def test_same_seed_same_state_other_seed_other_hold_out():
    def indices(seed):
        monitor = TaskMonitor(seed=seed)
        run(monitor, Forgetful(), Tasks(13), [0], 800)
        return [held.index for held in monitor._timeline.running.hold.rows]

    assert indices(1) == indices(1) != indices(2)


def test_a_row_held_out_before_its_score_gets_its_first_prediction():
    monitor = TaskMonitor(share=0.999)
    assert monitor.hold_out({"a": 1.0}, 1, 0)
    monitor.update(1, 1, {"a": 1.0}, 0)
    assert monitor._timeline.running.hold.rows[0].hit
    monitor.update(1, 0, {"a": 1.0}, 1)
    assert monitor.hold_out({"a": 1.0}, 1, 1)
    assert not monitor._timeline.running.hold.rows[1].hit


@pytest.mark.parametrize("n_texts", [1, 3, 7, 20])
def test_rows_of_texts_may_come_before_the_first_number(n_texts):
    """They are examined together with the row whose number sets the width of the inputs."""
    rows = [{"a": "text"}] * n_texts + [{"b": i / 10} for i in range(300)]
    monitor = TaskMonitor(holdout=0)
    for i, x in enumerate(rows):
        monitor.update(i % 2, 0, x, i)
    again = TaskMonitor(holdout=0)
    again.restore_state(*monitor.export_state())
    assert again.report() == monitor.report()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tasks": "column:"}, "`tasks` must be auto, given, none or column:NAME, got 'column:'"),
        ({"problem": "ranking"}, "`problem` must be classification or regression, got 'ranking'"),
        ({"holdout": -1}, "`holdout` must be a whole number, 0 or more, got -1"),
        ({"share": 0.0}, r"`share` must be a number in \(0, 1\), got 0.0"),
        ({"rescore_every": 0}, "`rescore_every` must be a whole number, 1 or more, got 0"),
        ({"max_segments": 1}, "`max_segments` must be a whole number, 2 or more, got 1"),
        ({"min_segment": 0}, "`min_segment` must be a whole number, 1 or more, got 0"),
        ({"drift_detector": "none"}, "`drift_detector` must be one of"),
        ({"holdout": 0.05}, "`holdout` must be a whole number, .*, got 0.05; `share` is"),
        ({"holdout": True}, "`holdout` must be a whole number"),
        ({"seed": 1.5}, "`seed` must be a whole number, got 1.5"),
        ({"share": "0.1"}, "`share` must be a number"),
    ],
)
def test_settings_are_checked(settings, text):
    with pytest.raises(ConfigError, match=text):
        TaskMonitor(**settings)


def test_old_names_of_settings_are_refused_with_the_new_one():
    for old, new in (("detector", "drift_detector"), ("task", "problem")):
        with pytest.raises(TypeError, match=f"`{old}` of TaskMonitor was renamed .* `{new}`"):
            TaskMonitor(**{old: "DDM"})


def test_whole_numbers_of_numpy_are_settings_that_a_checkpoint_can_hold():
    monitor = TaskMonitor(holdout=np.int64(5), seed=np.int32(3), share=np.float32(0.25))
    restored = TaskMonitor()
    restored.restore_state(*monitor.export_state())
    assert (
        restored.settings
        == monitor.settings
        == {**TaskMonitor().settings, **{"holdout": 5, "seed": 3, "share": 0.25}}
    )
    assert [type(monitor.settings[name]) for name in ("holdout", "seed", "share")] == [
        int,
        int,
        float,
    ]


def test_alarms_read_as_sentences():
    assert (
        str(DriftAlarm(9, "input", "energy", "drift", 5))
        == "the inputs changed at row 5, detected at row 9 (energy)"
    )
    assert (
        str(DriftAlarm(9, "input", "energy", "warning", 9, features=("flow", "speed")))
        == "warning at row 9: the inputs (mostly flow, speed) may have changed (energy)"
    )
    assert str(DriftAlarm(109, "concept", "signature", "return", 9, "task 1")).startswith(
        "task 1 is back"
    )
