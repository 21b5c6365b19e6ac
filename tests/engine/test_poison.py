"""Rows that cannot be learned are refused; commits of a log that fail are set aside."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.engine import StreamEngine
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.engine._validation import validate_events
from loco_stream.errors import InputError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, PredictRequest, Sample
from tests.helpers.standin import ListSource, Means

HUGE = 10**400
FEATURES = ("a", "b")


def engine(folder, commits, task="classification", **options):
    model = (
        LOCOClassifier(hidden_sizes=(8,), seed=1)
        if task == "classification"
        else LOCORegressor(hidden_sizes=(8,))
    )
    monitor = TaskMonitor(holdout=20, share=0.2, problem=task)
    options = {"resume": None, "strict": False, **options}
    source = ListSource(commits, needs_log=folder is not None)
    return StreamEngine(model, source, monitor=monitor, checkpoint=folder, task=task, **options)


def sha(run):
    return state_sha256(*export_model(run.model))


BAD = {
    "classification": [
        Sample({"a": HUGE}, "on"),
        Sample({"a": -1e31}, "on"),
        Sample({"a": 1.0}, HUGE),
        Sample({"a": 1.0}, math.nan),
        Sample({"a": 1.0}, ["on"]),
        Sample([1.0], "on"),
        Labels([0], [10**5000]),
        Block(np.zeros((1, 2), np.float32), [HUGE], FEATURES),
        Block(np.zeros((1, 3), np.float32), ["on"], FEATURES),
        Block(np.zeros((1, 2), np.float32), ["on", "off"], FEATURES),
    ],
    "regression": [
        Sample({"a": HUGE}, 1.0),
        Sample({"a": 1.0}, 1.7e308),
        Sample({"a": 1.0}, HUGE),
        Sample({"a": 1.0}, "3"),
        Labels([0], [1.7e308]),
        Block(np.zeros((1, 2), np.float32), [1e31], FEATURES),
    ],
}
CASES = [(task, event) for task, events in BAD.items() for event in events]


def good(task, n=30):
    labels = ["on", "off"] if task == "classification" else [1.0, -2.5]
    return [Sample({"a": i * 0.1, "b": 1.0}, labels[i % 2], i) for i in range(n)]


@pytest.mark.parametrize(
    ("task", "event"), CASES, ids=lambda value: value if isinstance(value, str) else None
)
def test_rows_that_cannot_be_learned_are_refused_before_they_are_logged(tmp_path, task, event):
    rows = good(task)
    clean = engine(None, rows, task)
    clean.run()
    dirty = engine(tmp_path, [*rows[:15], event, *rows[15:]], task)
    report = dirty.run()
    assert (report["n_samples"], report["n_rejected"]) == (30, 1)
    assert report["notes"]
    json.dumps(report.to_dict(), allow_nan=False)
    assert sha(dirty) == sha(clean)
    again = engine(tmp_path, [], task)
    assert again.run()["n_rejected"] == 1
    assert sha(again) == sha(clean)
    with pytest.raises(InputError):
        engine(tmp_path / "strict", [event], task, strict=True).run()
    assert not [*(tmp_path / "strict").glob("*.wal")]


def test_the_count_of_refused_rows_survives_a_kill(tmp_path):
    first = engine(tmp_path, [Sample({"a": HUGE}, "on"), *good("classification", 5)])
    first._finish = lambda: None  # no checkpoint at the end: the log alone tells
    first.run()
    report = engine(tmp_path, []).run()
    assert (report["n_samples"], report["n_rejected"]) == (5, 1)
    assert "feature 'a' must be a number" in report["notes"][0]


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_a_date_is_no_target_in_any_unit(unit):
    rows = [({"a": 1.0}, 2.0), ({"a": 2.0}, np.datetime64("2020-01-01", unit))]
    with pytest.raises(InputError, match="`y` must be a number"):
        StreamEngine(LOCORegressor(hidden_sizes=8, seed=1), rows).run()


def test_the_valid_rows_of_a_block_are_kept():
    X = np.arange(10, dtype=np.float32).reshape(5, 2)
    X[4, 0] = 3e38
    valid = validate_events([Block(X, [1.0, 1e31, None, HUGE, 5.0], FEATURES, 7)], "regression")
    assert [(block.seq, block.y) for block in valid.events] == [
        (7, [1.0]),
        (9, [None]),
        (11, [5.0]),
    ]
    assert np.isnan(valid.events[-1].X[0, 0])
    assert (valid.n_refused, valid.reason[:8]) == (2, "`y` must")
    late = validate_events([Labels([1, 2, 3], ["a", HUGE, "b"])], "classification")
    assert (late.events[0].of, late.events[0].y, late.n_refused) == ([1, 3], ["a", "b"], 1)
    asked = validate_events(
        [PredictRequest(np.full((1, 2), np.inf, np.float32), FEATURES)], "classification"
    )
    assert np.isnan(asked.events[0].X).all()


@pytest.mark.parametrize(
    "value", [1e30, -1e30, 2**64 - 1, -(2**63), 5e-324, math.nan, math.inf, None, "text", b"x"]
)
def test_scores_and_monitor_accept_every_valid_row(tmp_path, value):
    for task in ("classification", "regression"):
        labels = [value, 1.0] if validate_events([Sample({}, value)], task).events else [1.0, 2.0]
        rows = [
            Sample({"a": value if i % 3 else 1.0, "b": float(i)}, labels[i % 2], i)
            for i in range(60)
        ]
        run = engine(tmp_path / task, rows, task)
        report = run.run()
        assert report["n_samples"] + report["n_unlabelled"] == 60
        json.dumps(report.to_dict(), allow_nan=False)
        assert run.monitor.export_state()


class Diverging:
    """A regression that goes out of all bounds, as plain gradient descent may."""

    answers = (1.0, math.nan, math.inf, 1e300, -1e30)

    def __init__(self):
        self.n = 0

    def predict_one(self, x):
        self.n += 1
        return self.answers[self.n % 5]

    def learn_one(self, x, y):
        pass


def test_predictions_that_are_not_numbers_are_counted_and_not_scored():
    rows = [({"a": 1.0}, 2.0)] * 100
    report = StreamEngine(Diverging(), rows, task="regression").run()
    assert (report["n_samples"], report["n_unusable"]) == (100, 60)
    assert report["mae"] == pytest.approx(5e29)


class Fragile(Means):
    """Raises, half-way through learning a commit, at what another release may have logged."""

    def learn_one(self, x, y):
        if y == "poison":
            self.sums[:] = 7.0
            raise RuntimeError("division by zero somewhere deep")
        super().learn_one(x, y)

    learn_predict_array = None


@pytest.mark.parametrize("poisoned", [(3,), (0,), (2, 3, 7), (9,)])
def test_a_commit_that_fails_in_replay_is_set_aside(tmp_path, poisoned):
    def rows(without=()):
        labels = ["poison" if i in poisoned else f"c{i % 2}" for i in range(10)]
        return [[Sample({"a": float(i)}, labels[i], i)] for i in range(10) if i not in without]

    def make(folder, commits):
        return StreamEngine(
            Fragile(), ListSource(commits, folder is not None), checkpoint=folder, resume=None
        )

    clean = make(None, rows(without=poisoned))
    clean.run()
    ended = 0
    while True:  # a supervisor starts it again and again
        run = make(tmp_path, rows())
        try:
            report = run.run()
        except RuntimeError:
            ended += 1
            continue
        break
    assert ended == len(poisoned)
    assert (report["n_samples"], report["n_set_aside"]) == (10 - len(poisoned), len(poisoned))
    names = [file.name for file in sorted(tmp_path.glob("*.refused"))]
    assert names == [f"commit-{i + 1:012d}.refused" for i in poisoned]
    assert sha(run) == sha(clean)
    assert run.source.acked == [] or min(run.source.acked) > max(poisoned)
    if report["notes"]:
        assert "division by zero somewhere deep" in report["notes"][0]


def test_many_failing_commits_are_set_aside_in_one_start(tmp_path):
    rows = [[Sample({"a": float(i)}, "poison" if i % 3 else "c", i)] for i in range(30)]
    first = StreamEngine(Means(), ListSource(rows, True), checkpoint=tmp_path)
    first._finish = lambda: None  # what an older release learned, a newer one cannot
    first.run()

    learned = []

    class Newer(Fragile):
        def learn_one(self, x, y):
            super().learn_one(x, y)
            learned.append(x["a"])

    Newer.__name__ = "Means"
    run = StreamEngine(Newer(), ListSource(rows, True), checkpoint=tmp_path, resume=True)
    report = run.run()
    assert (report["n_samples"], report["n_set_aside"]) == (10, 20)
    assert len(report["notes"]) == 20
    assert "is set aside in" in report["notes"][0]
    assert run.status["n_set_aside"] == 20
    assert len(learned) <= 2 * 10  # a checkpoint after each keeps the next replay short
