"""Rows in time through the engine.

Tickets, times and contexts outlive kills, checkpoints and the log.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCOForecaster, LOCORegressor, StreamEngine
from loco_stream.engine._state import export_model
from loco_stream.stream import Block, Labels, Sample
from tests.engine.test_checkpoint import ListSource, kill_after
from tests.helpers.models import blobs

NAMES = ("a", "b", "c", "d")
MEMORY = (0.3, 50.0)


def commits_of(n=400, late=7, regression=False, seed=0):
    """Return commits of timed samples and blocks, most of them labelled `late` commits later."""
    X, y = blobs(n, seed=seed)
    y = X[:, 0].tolist() if regression else [f"c{label}" for label in y.tolist()]
    t = np.cumsum(np.random.default_rng(seed).lognormal(0, 1, n))
    commits = []
    waiting = []
    i = 0
    while i < n:
        commit = []
        if i % 5 == 4:
            rows = slice(i, min(i + 6, n))
            commit.append(Block(X[rows].astype(np.float32), None, NAMES, i, source="s"))
        else:
            rows = slice(i, i + 1)
            known = y[i] if i % 7 == 0 else None
            commit.append(
                Sample(dict(zip(NAMES, X[i].tolist(), strict=True)), known, i, float(t[i]), "s")
            )
        if i % 5 == 4 or i % 7:
            waiting.append((i, y[rows]))
        if len(waiting) > late:
            first, labels = waiting.pop(0)
            commit.append(Labels(list(range(first, first + len(labels))), labels, source="s"))
        commits.append(commit)
        i = rows.stop
    return commits


def engine_of(folder, commits, *, needs_log=False, make=LOCOClassifier, max_delay=0, **options):
    model = make(hidden_sizes=(16,), seed=3, memory=MEMORY, max_delay=max_delay)
    return StreamEngine(
        model, ListSource(commits, needs_log), checkpoint=folder, checkpoint_every=60, **options
    )


def digest(engine):
    config, arrays = export_model(engine.model)
    return config["sequence"], {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("delay", "max_delay"), [(None, 0), (9, 0), (9, 3)])
@pytest.mark.parametrize("needs_log", [False, True])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_killed_run_with_memory_and_late_labels_ends_the_same(
    tmp_path, needs_log, make, delay, max_delay
):
    commits = commits_of(regression=make is LOCORegressor)
    settings = {"make": make, "delay": delay, "max_delay": max_delay}
    whole = engine_of(None, commits, **settings)
    report = whole.run().to_dict()
    assert report["n_pending"] > 0 or delay
    rng = np.random.default_rng(1)
    for attempt in range(4):
        options = {"needs_log": needs_log, "resume": attempt > 0}
        kill_after(engine_of(tmp_path, commits, **settings, **options), int(rng.integers(20, 60)))
    last = engine_of(tmp_path, commits, needs_log=needs_log, resume=True, **settings)
    again = last.run().to_dict()
    assert digest(last) == digest(whole)
    assert last.model.skipped_updates == 0
    score = "mae" if make is LOCORegressor else "accuracy"
    assert again[score] == report[score]


def test_late_labels_are_learned_from_tickets():
    X, y = blobs(150)
    names = [f"c{label}" for label in y]
    commits = [
        [Block(X[i : i + 1].astype(np.float32), [names[i]], NAMES, i, source="s")]
        for i in range(150)
    ]
    engine = engine_of(None, commits, delay=10)
    engine.run()
    model = LOCOClassifier(hidden_sizes=(16,), seed=3, memory=MEMORY)
    waiting = []
    for i in range(150):
        if len(waiting) == 10:
            model.learn_one(*waiting.pop(0))
        waiting.append((model.observe_array(X[i : i + 1].astype(np.float32), NAMES)[0], names[i]))
    for ticket, label in waiting:
        model.learn_one(ticket, label)
    assert {n: a.tobytes() for n, a in model.export_state()[1].items()} == digest(engine)[1]


def test_times_of_samples_reach_the_model():
    X, y = blobs(60)
    t = np.cumsum(np.random.default_rng(0).lognormal(0, 1, 60))
    samples = [
        Sample(dict(zip(NAMES, X[i].tolist(), strict=True)), int(y[i]), i, float(t[i]))
        for i in range(60)
    ]
    engine = engine_of(None, [[sample] for sample in samples])
    engine.run()
    model = LOCOClassifier(hidden_sizes=(16,), seed=3, memory=MEMORY)
    for sample in samples:
        model.learn_one(sample.x, sample.y, sample.t)
    assert {n: a.tobytes() for n, a in model.export_state()[1].items()} == digest(engine)[1]


def test_a_ticket_is_dropped_with_its_expired_row():
    commits = commits_of(200, late=30)
    engine = engine_of(None, commits, max_pending=5)
    report = engine.run().to_dict()
    assert report["n_pending"] <= 5
    assert report["n_expired"] > 0
    assert report["n_orphaned"] > 0


TABLE = (np.zeros((3, 1)), ["ok"] * 3, ("a",), 0)


@pytest.mark.parametrize(
    "rows",
    [
        [Sample({"a": 0.0}, "ok", i, 1.79e12 + i) for i in range(3)],
        [Block(*TABLE, 1.79e12)],
        [Block(*TABLE, times=np.array([1.79e9, 1.79e12, math.nan]))],  # one row of another unit
    ],
)
def test_times_in_milliseconds_are_warned_of(caplog, rows):
    StreamEngine(LOCOClassifier(hidden_sizes=(4,), seed=1), rows).run()
    (line,) = (r.getMessage() for r in caplog.records if "seconds since 1970" in r.getMessage())
    assert line.startswith("row times must be seconds since 1970, got 17900000000")


def test_the_report_of_a_forecaster_counts_times_that_go_back():
    times = [float(i - 3600 * (i >= 30) - 3600 * (i >= 50)) for i in range(60)]
    rows = [Sample({}, float(i % 7), i, t) for i, t in enumerate(times)]
    found = StreamEngine(LOCOForecaster(heads=2, hidden_sizes=(4,), seed=3), rows).run()
    assert found["backward_times"] == 2
    assert "2 times before that of the previous row" in found["unused"][0]


def test_the_report_counts_times_that_go_back(tmp_path):
    """A clock that is set back by an hour, twice, between checkpoints."""
    times = [float(i - 3600 * (i >= 30) - 3600 * (i >= 50)) for i in range(60)]
    rows = [Sample({"a": float(i % 2)}, "xy"[i % 2], i, t) for i, t in enumerate(times)]

    def report(rows, memory=MEMORY, **options):
        model = LOCOClassifier(hidden_sizes=(4,), seed=3, memory=memory)
        return StreamEngine(model, ListSource(rows), **options).run()

    found = report(rows)
    assert found["backward_times"] == 2
    assert (
        "2 times before that of the previous row: the gap counts as a median one"
        in (found["unused"])
    )
    report(rows[:40], checkpoint=tmp_path, resume=None)
    assert report(rows, checkpoint=tmp_path, resume=None)["backward_times"] == 2
    for other in (report(rows[:30]), report(rows, memory=None)):
        assert (other["backward_times"], other["unused"]) == (0, [])
