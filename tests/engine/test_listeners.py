from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.connectors import open_sink
from loco_stream.engine import StreamEngine
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, Sample
from loco_stream.stream import Sink as BaseSink
from tests.helpers.sinks import Kept
from tests.helpers.standin import ListSource, Means


def rows(n, task):
    """Rows with gaps whose classes come one after the other, the last in the middle of a block."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    if task == "regression":
        return X, np.nansum(X, axis=1).tolist()
    return X, [
        f"c{int(abs(row[0]) * 2)}" if row[0] == row[0] and i > 20 else "none"
        for i, row in enumerate(X)
    ]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_listeners_get_the_same_records_of_blocks_as_of_rows(task, tmp_path, monkeypatch):
    X, y = rows(300, task)
    names = ("a", "b", "c")
    model = LOCOClassifier if task == "classification" else LOCORegressor
    times = np.arange(300) * 2.0
    samples = [
        Sample(
            {f: v for f, v in zip(names, row, strict=True) if v == v},
            label,
            i,
            float(times[i]),
            "s",
        )
        for i, (row, label) in enumerate(zip(X.tolist(), y, strict=True))
    ]
    cuts = [slice(i, i + 64) for i in range(0, 300, 64)]
    blocks = [
        Block(X[cut], y[cut], names, cut.start, times[cut][0], "s", times=times[cut])
        for cut in cuts
    ]

    def run(events, name):
        sink = open_sink(f"jsonl:{tmp_path / name}?only=prediction&batch=7")
        told = []
        engine = StreamEngine(
            model(hidden_sizes=(8,), seed=0),
            ListSource(events),
            [sink],
            TaskMonitor(problem=task, holdout=0),
        )
        engine.on("prediction", told.append)
        monkeypatch.setattr(
            engine._handler, "_handle_row", engine._handler._handle_row if name == "rows" else None
        )
        report = engine.run().to_dict()
        scores = {
            key: report[key]
            for key in ("accuracy", "log_loss", "rmse", "coverage", "drifts")
            if key in report
        }
        return (
            told,
            (tmp_path / name).read_bytes(),
            scores,
            state_sha256(*export_model(engine.model)),
        )

    one_by_one = run(samples, "rows")
    assert [record["label"] for record in one_by_one[0]] == y
    assert run(blocks, "blocks") == one_by_one


class Sink(BaseSink):
    def __init__(self, broken_at=None, broken_end=False):
        self.n = 0
        self.report = None
        self._broken_at = broken_at
        self._broken_end = broken_end

    def write(self, prediction):
        self.n += 1
        if self.n == self._broken_at:
            raise BrokenPipeError("the reader is gone")

    def close(self, report):
        self.report = report
        if self._broken_end:
            raise OSError("disk full")


def test_sinks_are_drained_at_the_same_time():
    calls = []

    class Patient(Sink):
        def __init__(self, name, broken=False):
            super().__init__()
            self.name = name
            self._broken = broken

        def drain(self, report):
            calls.append(f"drain {self.name}")
            if self._broken:
                raise OSError("disk full")

        def close(self, report):
            calls.append(f"close {self.name}")

    sinks = [Patient("a", broken=True), Sink(), Patient("b")]
    report = StreamEngine(Means(), ListSource([Sample({"a": 1.0}, "x", 0)]), sinks=sinks).run()
    assert calls == ["drain a", "drain b", "close a", "close b"]
    assert report["notes"] == ["the sink a failed: OSError: disk full"]


def test_a_callback_gets_each_record_of_its_kind_and_may_fail():
    rows = [
        Sample({"a": float(i % 2)}, ("x", "y")[(i + i // 500) % 2], i, source="s")
        for i in range(1000)
    ]
    engine = StreamEngine(Means(), ListSource(rows))
    heard = {kind: [] for kind in ("prediction", "drift", "status", "report")}
    for kind, told in heard.items():
        engine.on(kind, told.append)

    def broken(record):
        raise KeyError("no such field")

    engine.on("prediction", broken)
    with pytest.raises(
        ConfigError, match=r"`kind` must be one of prediction, drift, .* got 'drfit'"
    ):
        engine.on("drfit", print)
    with pytest.raises(ConfigError, match="`function` must be callable, got list"):
        engine.on("drift", [])
    report = engine.run()
    assert [record["seq"] for record in heard["prediction"]] == list(range(1000))
    assert (
        [record["at"] for record in heard["drift"]]
        == [drift["at"] for drift in report["drifts"]]
        != []
    )
    assert heard["report"][0]["report"]["n_samples"] == 1000
    assert heard["status"]
    assert report["n_failed_calls"] == 1000
    assert report["notes"] == ["the callback broken raised KeyError: 'no such field'"]
    with pytest.raises(ConfigError, match="call `on` before `run`"):
        engine.on("drift", print)


@pytest.mark.parametrize("late", [False, True])
def test_a_drift_record_names_the_row_that_raised_it_also_in_blocks(late):
    y = [("x", "y")[(i + i // 512) % 2] for i in range(1024)]
    X = np.arange(1024, dtype=np.float32).reshape(-1, 1) % 2
    blocks = [
        Block(X[i : i + 64], None if late else y[i : i + 64], ("a",), i, 5.0, "s", 3)
        for i in range(0, 1024, 64)
    ]
    labels = [Labels(range(i, i + 64), y[i : i + 64], i, "s", 3) for i in range(0, 1024, 64)]
    commits = [
        [block, label] if late else [block] for block, label in zip(blocks, labels, strict=True)
    ]
    engine = StreamEngine(Means(), ListSource(commits))
    told = []
    engine.on("drift", told.append)
    report = engine.run()
    assert [record["at"] for record in told] == [drift["at"] for drift in report["drifts"]] != []
    first = told[0]
    assert (first["source"], first["epoch"], first["t"]) == ("s", 3, 5.0)
    assert first["at"] <= first["seq"] < first["at"] + 8


def test_a_sink_or_watcher_that_raises_ends_itself_and_not_the_engine():
    rows = [Sample({"a": float(i)}, f"c{i % 2}", i) for i in range(20)]
    good = Sink()
    broken = Sink(broken_at=5)
    last = Sink(broken_end=True)
    looks = []

    def watcher(engine):
        looks.append(engine)
        raise KeyError("no such field")

    engine = StreamEngine(Means(), ListSource(rows), sinks=[broken, good, last], watchers=[watcher])
    report = engine.run()
    assert (good.n, broken.n, last.n, report["n_samples"]) == (20, 5, 20, 20)
    assert len(looks) == 1
    assert good.report["n_samples"] == report["n_ended"] + 18 == 20
    assert repr(engine) == (
        "StreamEngine(Means, 'list', monitor=TaskMonitor(problem='classification', "
        "drift_detector='HDDMA', tasks='auto', holdout=0, n_drifts=0, segments=1), n_samples=20)"
    )
    assert broken.report is None
    assert report["notes"] == [
        "the watcher watcher failed: KeyError: 'no such field'",
        "the sink Sink failed: BrokenPipeError: the reader is gone",
        "the sink Sink failed: OSError: disk full",
    ]


def test_a_source_that_cannot_be_closed_leaves_no_sink_and_no_folder_open(tmp_path):
    class Lost(ListSource):
        def close(self):
            raise OSError("the connection is lost")

    sink = Kept()
    samples = [[Sample({"a": float(i)}, i % 2, i)] for i in range(4)]
    engine = StreamEngine(Means(), Lost(samples), [sink], checkpoint=tmp_path)
    with pytest.raises(OSError, match="connection is lost"):
        engine.run()
    assert sink.report["n_samples"] == len(sink.rows) == 4
    again = StreamEngine(Means(), ListSource(samples), checkpoint=tmp_path, resume=True)
    assert again.run()["n_samples"] == 4
