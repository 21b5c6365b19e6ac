from __future__ import annotations

import re
import threading
import time
from itertools import count
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets, evaluate, linear_model, metrics, naive_bayes, preprocessing, stream

from loco_stream import Fleet, LOCOClassifier
from loco_stream.engine import StreamEngine
from loco_stream.engine._latency import LatencyHistogram
from loco_stream.engine._pending import PendingRows
from loco_stream.errors import ConfigError, InputError, SourceError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, PredictRequest, Sample, Sink, Source
from tests.helpers.standin import ListSource, Means

FEATURES = ("a", "b")


class Keep(Sink):
    """A sink that keeps what it gets."""

    def __init__(self):
        self.predictions = []
        self.report = None

    def write(self, prediction):
        self.predictions.append(prediction)

    def close(self, report):
        self.report = report


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = (rng.normal(size=(n, 2)) + y[:, None]).astype(np.float32)
    return X, [f"c{label}" for label in y]


@pytest.mark.parametrize("delay", [None, 0, 1, 7, 100, 5000])
def test_scores_equal_the_delayed_validation_of_river_exactly(delay):
    expected = evaluate.progressive_val_score(
        datasets.Phishing(), naive_bayes.GaussianNB(), metrics.Accuracy(), delay=delay
    )
    report = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing(), delay=delay).run()
    assert report.to_dict()["accuracy"] == (expected.get() if delay != 5000 else None)
    assert report["n_samples"] == 1250


@pytest.mark.parametrize("delay", [None, 30])
def test_regression_equals_river_too(delay):
    def model():
        return preprocessing.StandardScaler() | linear_model.LinearRegression()

    expected = evaluate.progressive_val_score(
        datasets.ChickWeights(), model(), metrics.MAE(), delay=delay
    )
    report = StreamEngine(model(), datasets.ChickWeights(), delay=delay).run()
    assert report["mae"] == pytest.approx(expected.get(), rel=1e-12)
    assert {"rmse", "r2", "no_change_mae"} <= report.keys()
    assert "accuracy" not in report


def test_every_report_has_the_documented_keys():
    report = (
        StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing()).run(max_samples=100).to_dict()
    )
    documented = (
        "n_samples accuracy kappa kappa_m kappa_t no_change_accuracy majority_accuracy "
        "window_accuracy samples_per_second latency_us drifts tasks accuracy_matrix "
        "average_accuracy forgetting backward_transfer forward_transfer seed version"
    )
    assert set(documented.split()) <= report.keys()
    assert list(report)[:3] == ["n_samples", "accuracy", "kappa"]
    assert set(report["latency_us"]) == {"p50", "p99", "rows"}
    assert report["latency_us"]["rows"] == 1


@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8), sinks=st.booleans())
@settings(max_examples=25, deadline=None)
def test_block_boundaries_change_nothing(cuts, sinks):
    X, y = rows(sum(cuts))
    ends = np.cumsum(cuts)
    blocks = [
        Block(X[e - n : e], y[e - n : e], FEATURES, int(e - n))
        for e, n in zip(ends, cuts, strict=True)
    ]
    one_by_one = [
        Sample(dict(zip(FEATURES, row, strict=True)), label, i)
        for i, (row, label) in enumerate(zip(X.tolist(), y, strict=True))
    ]
    states = []
    scores = []
    for source in (blocks, one_by_one, [blocks]):
        engine = StreamEngine(Means(), ListSource(source), sinks=[Keep()] if sinks else [])
        report = engine.run()
        states.append(engine.model.sums.tobytes())
        scores.append((report.to_dict()["accuracy"], report["n_samples"], report["curve"]))
    assert states[0] == states[1] == states[2]
    assert scores[0] == scores[1] == scores[2]


def test_a_model_without_array_methods_gets_blocks_row_by_row():
    X, y = rows(50)
    X[3, 1] = np.nan
    engine = StreamEngine(naive_bayes.GaussianNB(), ListSource([Block(X, y, FEATURES)]))
    other = naive_bayes.GaussianNB()
    for row, label in zip(X.tolist(), y, strict=True):
        other.learn_one({f: v for f, v in zip(FEATURES, row, strict=True) if v == v}, label)
    assert engine.run()["n_samples"] == 50
    probe = {"a": 0.5, "b": 0.5}
    assert engine.model.predict_proba_one(probe) == other.predict_proba_one(probe)


def test_late_labels_join_the_stored_prediction():
    X, y = rows(40)
    model = Means()
    model.learn_one({"a": 0.0, "b": 0.0}, "c0")
    keep = Keep()
    commits = [
        Block(X, None, FEATURES, 1, source="s"),
        Labels([2, 1, 99], [y[1], y[0], "c1"], source="s"),
    ]
    report = StreamEngine(model, ListSource(commits), sinks=[keep]).run()
    assert report["n_unlabelled"] == 40
    assert report["n_samples"] == 2
    assert report["n_orphaned"] == 1
    assert report["n_pending"] == 38
    assert [p.seq for p in keep.predictions] == [*range(1, 41), 2, 1]
    assert all(p.y_pred == "c0" for p in keep.predictions)
    assert report["accuracy"] == (y[:2].count("c0")) / 2


def test_labels_of_another_source_or_epoch_do_not_join():
    X, _ = rows(1)
    commits = [Block(X, None, FEATURES, 1, source="s", epoch=4)]
    commits += [Labels([1], ["c0"], source="t", epoch=4), Labels([1], ["c0"], source="s", epoch=5)]
    report = StreamEngine(Means(), ListSource(commits)).run()
    assert (report["n_samples"], report["n_orphaned"], report["n_pending"]) == (0, 2, 1)


def test_pending_rows_are_bounded_in_number_and_age(monkeypatch):
    X, _ = rows(30)
    report = StreamEngine(Means(), ListSource([Block(X, None, FEATURES)]), max_pending=10).run()
    assert (report["n_pending"], report["n_expired"]) == (10, 20)


@pytest.mark.parametrize("year", [1970, 2026, 2100])
def test_the_age_of_pending_rows_does_not_depend_on_the_system_clock(monkeypatch, year):
    """The clock jumps with the second row and jumps back with the third.

    The run itself takes two seconds a row.
    """
    commits = [[Sample({"a": 1.0}, None, i)] for i in range(4)] + [
        [Labels([i], ["c0"])] for i in (0, 2, 3)
    ]
    source = ListSource(commits)
    clock = SimpleNamespace(
        time=lambda: (year - 1970) * 3.16e7 if source.position["commit"] == 2 else 1.8e9,
        monotonic=lambda: 2.0 * source.position["commit"],
    )
    monkeypatch.setattr("loco_stream.engine._commits.time", clock)
    engine = StreamEngine(Means(), source, max_age=np.int64(7))
    report = engine.run()
    assert (report["n_expired"], report["n_orphaned"], report["n_samples"]) == (2, 1, 2)


def test_partly_labelled_blocks():
    X, y = rows(6)
    y[2] = y[4] = None
    report = StreamEngine(Means(), ListSource([Block(X, y, FEATURES)])).run()
    assert (report["n_samples"], report["n_unlabelled"]) == (4, 2)


@pytest.mark.parametrize("missing", [float("nan"), pd.NA, pd.NaT, np.ma.masked])
def test_a_pair_without_a_label_may_have_what_frames_hold_for_it(missing):
    X, labels = rows(30)
    pairs = [({"a": float(x), "b": 1.0}, y) for x, y in zip(X[:, 0], labels, strict=True)]

    def run(label):
        model = LOCOClassifier(hidden_sizes=8, seed=1)
        return StreamEngine(model, [*pairs[:10], ({"a": 0.5, "b": 1.0}, label), *pairs[10:]]).run()

    report = run(missing)
    assert (report["n_rows"], report["n_samples"], report["n_pending"]) == (31, 30, 1)
    assert report["accuracy"] == run(None)["accuracy"]


def test_requests_are_answered_and_not_learned():
    X, y = rows(20)
    source = ListSource(
        [
            [PredictRequest(X[:3], FEATURES, 7, tag=1)],
            Block(X, y, FEATURES),
            PredictRequest(X[:3], FEATURES, 8, tag=2),
        ]
    )
    engine = StreamEngine(Means(), source)
    report = engine.run()
    (first, nothing, no_classes), (second, values, classes) = source.replies
    assert (first.seq, nothing.shape, no_classes) == (7, (3, 0), [])
    assert second.seq == 8
    np.testing.assert_allclose(values, engine.model.predict_proba_array(X[:3], FEATURES), rtol=1e-6)
    assert classes == engine.model.classes
    assert (report["n_asked"], report["n_samples"]) == (6, 20)


def test_a_block_that_wants_predictions_gets_those_made_before_learning():
    X, y = rows(20)
    twin = Means()
    expected = []
    for i in range(20):
        expected.append(twin.predict_proba_array(X[i : i + 1], FEATURES)[0])
        twin.learn_array(X[i : i + 1], [y[i]], FEATURES)
    source = ListSource([Block(X, y, FEATURES, tag="me")])
    StreamEngine(Means(), source).run()
    ((event, values, classes),) = source.replies
    assert event.tag == "me"
    assert classes == twin.classes
    for row, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(row[: len(wanted)], wanted, rtol=1e-6)
        assert not row[len(wanted) :].any()


def test_acknowledged_after_learning_and_in_order():
    X, y = rows(9)
    source = ListSource([Block(X[i : i + 3], y[i : i + 3], FEATURES, i) for i in (0, 3, 6)])
    StreamEngine(Means(), source).run()
    assert source.acked == [1, 2, 3]
    assert source.closed


@pytest.mark.parametrize("blocks", [False, True])
def test_the_last_row_of_the_matrix_is_of_the_final_model(blocks):
    X, y = rows(900)
    X[450:] += 3.0  # another concept: what was withheld before is answered differently since
    named = [dict(zip(FEATURES, row, strict=True)) for row in X.tolist()]
    commits = [Sample(x, label, i) for i, (x, label) in enumerate(zip(named, y, strict=True))]
    if blocks:
        commits = [Block(X[a : a + 50], y[a : a + 50], FEATURES, a) for a in range(0, 900, 50)]
    monitor = TaskMonitor(holdout=20, share=0.2, tasks="auto", min_segment=100)
    engine = StreamEngine(Means(), ListSource(commits), monitor=monitor)
    report = engine.run()
    expected = []
    for segment in monitor._timeline.segments:
        samples = [
            (dict(zip(FEATURES, held.row.tolist(), strict=True)), held.y)
            for held in segment.hold.rows
        ]
        expected.append(np.mean([engine.model.predict_one(x) == label for x, label in samples]))
    assert len(expected) >= 2
    assert report["accuracy_matrix"][-1] == expected


def test_the_final_measurement_does_not_affect_a_resumed_run(tmp_path):
    X, y = rows(600)
    commits = [
        Sample(dict(zip(FEATURES, row, strict=True)), label, i)
        for i, (row, label) in enumerate(zip(X.tolist(), y, strict=True))
    ]

    def run(folder, end, resume=False):
        monitor = TaskMonitor(holdout=20, share=0.2)
        engine = StreamEngine(
            Means(), ListSource(commits), monitor=monitor, checkpoint=folder, resume=resume
        )
        return engine.run(end)["accuracy_matrix"]

    run(tmp_path / "parts", 300)
    assert run(tmp_path / "parts", None, resume=True) == run(tmp_path / "whole", None)


def test_blocks_and_rows_by_name_leave_the_monitor_in_the_same_state():
    X, y = rows(400)
    X[7, 1] = np.nan
    named = [{f: v for f, v in zip(FEATURES, row, strict=True) if v == v} for row in X.tolist()]
    states = []
    for commits in (
        [Block(X, y, FEATURES)],
        [Sample(x, label, i) for i, (x, label) in enumerate(zip(named, y, strict=True))],
    ):
        monitor = TaskMonitor(holdout=20, share=0.2)
        StreamEngine(Means(), ListSource(commits), monitor=monitor).run()
        config, arrays = monitor.export_state()
        states.append((config, {name: array.tobytes() for name, array in arrays.items()}))
    assert states[0] == states[1]


def test_refused_rows_end_a_strict_run_and_are_counted_otherwise():
    commits = [
        Sample({"a": 1.0}, "c0", 0),
        Sample({"a": 1.0}, "refuse me", 1),
        Sample({"a": 2.0}, "c1", 2),
    ]
    with pytest.raises(InputError, match="refused"):
        StreamEngine(Means(), ListSource(commits)).run()
    report = StreamEngine(Means(), ListSource(commits), strict=False).run()
    assert (report["n_samples"], report["n_rejected"], report["notes"]) == (
        2,
        1,
        ["this label is refused"],
    )
    block = Block(np.ones((2, 1), np.float32), ["c0", "refuse me"], ("a",))
    report = StreamEngine(Means(), ListSource([block]), strict=False).run()
    assert (report["n_samples"], report["n_rejected"]) == (1, 1)


def test_stop_from_another_thread_ends_with_a_report():
    def endless():
        for i in count():
            if i == 100:
                stopper.start()
            yield {"a": float(i % 2)}, i % 2

    engine = StreamEngine(Means(), endless())
    stopper = threading.Thread(target=engine.stop)
    report = engine.run()
    stopper.join()
    assert report["interrupted"]
    assert report["n_samples"] >= 100


def test_stop_interrupts_a_source_that_waits():
    """As a signal handler does: `stop` runs in the thread that waits."""
    source = ListSource([Sample({"a": 1.0}, "c0")])
    engine = StreamEngine(Means(), source)

    def waits():
        yield Sample({"a": 1.0}, "c0")
        engine.stop()
        raise AssertionError("stop must not return while the source waits")

    source.__class__ = type("Waits", (ListSource,), {"__iter__": lambda self: waits()})
    assert engine.run()["n_samples"] == 1


def test_an_error_names_the_refused_row_of_a_list():
    rows = [({"a": float(i)}, [1] if i in (57, 90) else "x") for i in range(200)]
    with pytest.raises(InputError, match=r"^row 57 of list: `y` must be a hashable class label"):
        StreamEngine(Means(), rows).run()
    rows = [({"a": 1e31 if i == 7 else float(i)}, "x") for i in range(20)]
    with pytest.raises(InputError, match=r"^row 7 of generator: feature 'a' must be a number"):
        StreamEngine(LOCOClassifier(hidden_sizes=4), (row for row in rows)).run()


def test_arguments_of_other_types_are_refused():
    with pytest.raises(SourceError, match="`source` must be"):
        StreamEngine(Means(), 5)

    class Duck:
        def __iter__(self):
            return iter([])

        def ack(self, position):
            pass

    with pytest.raises(SourceError, match=r"derived from loco_stream\.stream\.Source, got Duck"):
        StreamEngine(Means(), Duck())
    with pytest.raises(ConfigError, match=r"derived from loco_stream\.stream\.Sink, got list"):
        StreamEngine(Means(), [], sinks=[[]])
    with pytest.raises(TypeError, match="write"):
        Sink()
    with pytest.raises(TypeError, match="position"):
        Source()
    with pytest.raises(InputError, match=r"pairs.*row 0"):
        StreamEngine(Means(), [({"a": 1}, 1, 2)]).run()
    with pytest.raises(ConfigError, match=r"`model` must have .* without predict_one"):
        StreamEngine(object(), [])


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"score_window": 0},
        {"max_pending": 0},
        {"max_age": 0.0},
        {"checkpoint_every": 0},
        {"checkpoint_every": "5"},
        {"score_window": "500"},
        {"max_pending": 2.5},
        {"durability": "some"},
        {"delay": "an hour"},
        {"max_age": "1h"},
        {"max_age": True},
        {"settings": 5},
        {"watchers": 3},
        {"monitor": metrics.Accuracy()},
        {"bounds": 100},
        {"resume": True},  # without a checkpoint there is nothing to resume
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(ConfigError, match=f"`{next(iter(options))}`"):
        StreamEngine(Means(), [], **options)


def test_a_url_is_no_source_and_names_what_opens_one():
    text = r"`source` must be .* got str; connectors\.open_source opens a URL$"
    with pytest.raises(SourceError, match=text):
        StreamEngine(Means(), "csv:rows.csv?target=y")


def test_an_iterator_of_pairs_may_have_columns():
    class Rows(list):
        columns = ("speed",)

    report = StreamEngine(Means(), Rows([({"speed": 0.4}, 1.0)])).run()
    assert report["n_samples"] == 1


def test_a_frame_is_no_source_and_names_what_yields_its_rows():
    frame = pa.table({"speed": [0.4, 0.9], "kind": ["ok", "worn"]})
    text = r"`source` must be .* got Table; river\.stream\.iter_frame\(X, y\) yields the pairs"
    with pytest.raises(SourceError, match=text):
        StreamEngine(Means(), frame)
    pairs = stream.iter_frame(frame.select(["speed"]), frame["kind"])
    assert StreamEngine(Means(), pairs).run()["n_samples"] == 2


@pytest.mark.parametrize("source", [(np.eye(2), [0, 1]), zip(np.eye(2), [0, 1], strict=True)])
def test_rows_of_arrays_are_refused_with_what_yields_their_pairs(source):
    with pytest.raises(InputError, match=r"river\.stream\.iter_array\(X, y\) yields the pairs"):
        StreamEngine(Means(), source).run()


def test_a_class_in_place_of_an_object_is_named():
    with pytest.raises(ConfigError, match="`model` must be an object, got the class Means"):
        StreamEngine(Means, [])
    with pytest.raises(SourceError, match="`source` must be an object, got the class ListSource"):
        StreamEngine(Means(), ListSource)


def test_an_unknown_task_and_a_file_as_folder_are_refused_by_their_names(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^`task` must be one of classification, .* got 'ranking'"
    ):
        StreamEngine(Means(), [], task="ranking")
    path = tmp_path / "rows.csv"
    path.write_text("")
    text = f"cannot use the checkpoint folder {re.escape(str(path))}: it is a file"
    with pytest.raises(ConfigError, match=text):
        StreamEngine(Means(), [({"a": 1.0}, "ok")], checkpoint=path).run()
    with pytest.raises(ConfigError, match=text):
        Fleet(LOCOClassifier(hidden_sizes=(4,)), path)


def test_an_engine_runs_once():
    engine = StreamEngine(Means(), [])
    with pytest.raises(ConfigError, match="max_samples"):
        engine.run(max_samples=0)
    with pytest.raises(ConfigError, match=r"`max_samples` must be .*, got 'all'"):
        engine.run(max_samples="all")
    engine.run()
    with pytest.raises(ConfigError, match="one run"):
        engine.run()


def test_an_empty_stream_gives_a_report_without_scores():
    keep = Keep()
    report = StreamEngine(Means(), [], sinks=[keep]).run().to_dict()
    assert report["n_samples"] == 0
    assert report["accuracy"] is None
    assert keep.report == report


@given(
    st.lists(st.integers(100, 10**11), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99])
)
def test_latency_quantiles_are_within_a_bucket(values, q):
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(int(np.ceil(q * len(values))) - 1, 0)] / 1000
    assert histogram.quantile(q) == pytest.approx(exact, rel=0.05, abs=0.01)
    assert histogram.cumulative()[-1][1] == len(values)


def test_pending_rows_are_restored_bit_identically():
    X, _ = rows(3)
    pending = PendingRows(5, 10.0)
    engine = StreamEngine(
        Means(),
        ListSource(
            [Block(X, None, FEATURES, 5, source="s", epoch=2), Sample({"z": "text"}, None, 9)]
        ),
    )
    engine.run()
    state = engine._trainer.pending.export_state()
    pending.restore_state(state)
    assert pending.export_state() == state
    assert pending.take("s", 2, 6).row.x.tobytes() == X[1:2].tobytes()


def test_compiling_counts_neither_as_latency_nor_as_work(monkeypatch):
    compiled = [0.0]
    for module in ("_core", "_events"):
        monkeypatch.setattr(
            f"loco_stream.engine.{module}.compile_seconds", lambda: compiled[0], raising=False
        )

    class Compiled(Means):
        def learn_one(self, x, y):
            if not compiled[0]:
                time.sleep(0.3)
                compiled[0] = 0.3
            super().learn_one(x, y)

    report = StreamEngine(Compiled(), ListSource([Sample({"a": 1.0}, "ok", 0)])).run()
    assert report["latency_us"]["p99"] < 200_000
    assert report["samples_per_second"] > 5


def test_what_another_thread_has_compiled_makes_no_latency_negative(monkeypatch):
    """The end of a compilation adds seconds to the clock that began before the row."""
    compiled = [0.0]

    def compile_seconds():
        compiled[0] += 30.0
        return compiled[0]

    monkeypatch.setattr("loco_stream.engine._events.compile_seconds", compile_seconds)
    engine = StreamEngine(Means(), ListSource([Sample({"a": 1.0}, "ok", 0)]))
    engine.run()
    assert engine._handler.trainer.measures.latency.total_us == 0.0


def test_waiting_for_rows_does_not_lower_the_speed():
    class Slow(ListSource):
        is_live = True

        def __iter__(self):
            for i in range(40):
                time.sleep(0.02)
                yield []
                yield [Sample({"a": float(i)}, i % 2, i)]

    began = time.perf_counter()
    report = StreamEngine(Means(), Slow([])).run()
    assert report["n_samples"] == 40
    assert report["samples_per_second"] > 2 * 40 / (time.perf_counter() - began)
    assert {**report["latency_minute_us"], "rows": 1} == report["latency_us"]
