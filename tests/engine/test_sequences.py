"""Sequences and times of rows reach the model through engine, log and checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine
from loco_stream.engine._codec import decode_commit, encode_commit
from loco_stream.engine._row import cut
from loco_stream.stream import Block, Labels, Sample, Sink
from tests.engine.test_checkpoint import ListSource, kill_after
from tests.engine.test_time import NAMES, digest, engine_of
from tests.helpers.models import blobs


def rows_of(n=300):
    """Return rows, labels, irregular times and the ids of events of 5 to 24 rows."""
    X, y = blobs(n)
    rng = np.random.default_rng(2)
    ids = np.repeat(np.arange(n), rng.integers(5, 25, n))[:n].tolist()
    return (
        X.astype(np.float32),
        [f"c{label}" for label in y],
        np.cumsum(rng.lognormal(0, 1, n)),
        ids,
    )


def learned(X, y, **when):
    model = LOCOClassifier(hidden_sizes=(16,), seed=3, memory=(0.3, 50.0))
    model.learn_array(X, y, NAMES, **when)
    return {name: array.tobytes() for name, array in model.export_state()[1].items()}


def named(X, i):
    return dict(zip(NAMES, X[i].astype(float).tolist(), strict=True))


@pytest.mark.parametrize("size", [1, 7, 300])
def test_times_and_sequences_of_blocks_reach_the_model(size):
    X, y, t, ids = rows_of()
    whole = Block(X, y, NAMES, times=t, sequence=ids)
    engine = engine_of(None, [[cut(whole, i, min(i + size, 300))] for i in range(0, 300, size)])
    engine.run()
    assert digest(engine)[1] == learned(X, y, t=t, sequence=ids)
    assert digest(engine)[1] != learned(X, y, t=t)
    assert digest(engine)[1] != learned(X, y, sequence=ids)


def test_times_and_sequences_of_samples_reach_the_model():
    X, y, t, ids = rows_of()
    engine = engine_of(
        None, [[Sample(named(X, i), y[i], i, float(t[i]), "s", ids[i])] for i in range(300)]
    )
    engine.run()
    assert digest(engine)[1] == learned(X, y, t=t, sequence=ids)


def test_a_block_row_by_row_equals_the_block_in_one_call():
    X, y, t, ids = rows_of()
    whole = Block(X, y, NAMES, times=t, sequence=ids, t=float(t[0]))
    sink = Told()
    by_row = engine_of(None, [[whole]], sinks=[sink])
    by_row.run()
    assert sink.times == t.tolist()
    assert digest(by_row)[1] == learned(X, y, t=t, sequence=ids)


class Told(Sink):
    """A sink that wants every prediction, so that blocks are learned row by row."""

    def __init__(self):
        self.times = []

    def write(self, prediction):
        self.times.append(prediction.t)


def late_commits(regression=False, n=300, late=30):
    """Return blocks and samples without labels, with ids, and the labels some rows later."""
    X, y, t, ids = rows_of(n)
    labels = X[:, 0].astype(float).tolist() if regression else y
    commits = []
    i = 0
    while i < n:
        end = min(i + 4, n) if i % 3 else i + 1
        block = Block(
            X[i:end], None, NAMES, i, float(t[i]), "s", times=t[i:end], sequence=ids[i:end]
        )
        row = Sample(named(X, i), None, i, float(t[i]), "s", ids[i])
        commits.append([block if i % 3 else row])
        known = list(range(max(i - late, 0), max(end - late, 0)))
        if known:
            commits[-1].append(Labels(known, [labels[k] for k in known], source="s"))
        i = end
    return commits


@pytest.mark.slow
@pytest.mark.parametrize("needs_log", [False, True])
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_killed_run_with_sequences_and_late_labels_ends_the_same(tmp_path, needs_log, make):
    commits = late_commits(make is LOCORegressor)
    whole = engine_of(None, commits, make=make)
    report = whole.run().to_dict()
    assert report["n_samples"] > 200
    rng = np.random.default_rng(5)
    for attempt in range(3):
        kill_after(
            engine_of(tmp_path, commits, needs_log=needs_log, make=make, resume=attempt > 0),
            int(rng.integers(15, 40)),
        )
    last = engine_of(tmp_path, commits, needs_log=needs_log, make=make, resume=True)
    again = last.run().to_dict()
    assert digest(last) == digest(whole)
    score = "mae" if make is LOCORegressor else "accuracy"
    assert again[score] == report[score]
    plain = [
        [replace(e, sequence=None) if hasattr(e, "sequence") else e for e in commit]
        for commit in commits
    ]
    without = engine_of(None, plain, make=make)
    without.run()
    assert digest(without)[1] != digest(whole)[1]


def test_the_log_keeps_times_and_sequences():
    X, y, t, ids = rows_of(6)
    block = Block(X, y, NAMES, 3, float(t[0]), "s", 1, times=t, sequence=ids)
    bare = Block(X, y, NAMES, 3, 1.5, "s", 1)
    sample = Sample({"a": 1.0}, "x", 2, 0.5, "s", "run 7")
    (found, again, row), _, _ = decode_commit(encode_commit([block, bare, sample], {"row": 1}, 2.0))
    assert found.times.tolist() == t.tolist()
    assert found.sequence == ids
    assert (again.times, again.sequence) == (None, None)
    assert row == sample
    plain = Sample({"a": 1.0}, "x", 2, 0.5, "s")
    assert b"run 7" not in encode_commit([plain], {}, 0.0)
    assert decode_commit(encode_commit([plain], {}, 0.0))[0] == [plain]


def test_times_and_sequences_do_not_affect_a_model_without_memory():
    X, y, t, ids = rows_of(120)
    digests = []
    for commits in (
        [[Block(X, y, NAMES, times=t, sequence=ids)]],
        [[Block(X, y, NAMES)]],
    ):
        engine = StreamEngine(LOCOClassifier(hidden_sizes=(16,), seed=3), ListSource(commits))
        engine.run()
        digests.append(digest(engine)[1])
    assert digests[0] == digests[1]
