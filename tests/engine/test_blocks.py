"""Blocks of rows give the same reports and checkpoints as single rows, to the last digit."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import datasets

from loco_stream import (
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCORegressor,
    StreamEngine,
    TaskMonitor,
)
from loco_stream.connectors import CSVSource, JSONLSource
from loco_stream.connectors.sources import csv_source
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._state import export_trainer
from loco_stream.errors import InputError
from loco_stream.monitor._holdout_plan import GROUP
from loco_stream.stream import Block, Labels, Sample, Source

NAMES = ("a", "b", "c", "d")
TIMES = ("samples_per_second", "latency_us", "latency_minute_us", "version", "source")


class Rows(Source):
    """Rows as samples, or as blocks that end at `ends`."""

    name = "rows"

    def __init__(self, X, y, ends=None, t=None, sequence=None, names=NAMES):
        self.X = X
        self.y = y
        self.ends = ends
        self.t = t
        self.sequence = sequence
        self.names = names
        self.row = 0

    @property
    def position(self):
        return {"row": self.row}

    def seek(self, position):
        self.row = position["row"]

    def __iter__(self):
        bounds = [*self.ends, len(self.X)] if self.ends else range(1, len(self.X) + 1)
        for begin, end in pairwise([0, *bounds]):
            if end <= self.row:
                continue
            begin = max(begin, self.row)
            self.row = end
            yield self._event(begin, end)

    def _event(self, begin, end):
        rows = slice(begin, end)
        if self.ends is None:
            x = dict(zip(self.names, self.X[begin].tolist(), strict=True))
            t = math.nan if self.t is None else self.t[begin]
            run = None if self.sequence is None else self.sequence[begin]
            return Sample(x, self.y[begin], begin, t, self.name, run)
        times = None if self.t is None else np.array(self.t[rows])
        run = None if self.sequence is None else self.sequence[rows]
        t = math.nan if times is None else times[0]
        return Block(
            self.X[rows], self.y[rows], self.names, begin, t, self.name, times=times, sequence=run
        )


def stream(n=2600, seed=0):
    """Return rows whose concept changes, whose inputs change, and whose first concept returns."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    X[rng.random(X.shape) < 0.01] = np.nan
    X[0] = 0.5
    score = np.nan_to_num(X) @ [1.0, -2.0, 0.5, 0.0]
    third = n // 3
    score[third : 2 * third] *= -1.0
    X[2 * third :, 3] += 4.0
    return X, score


def labels_of(score):
    return ["abc"[int(v)] for v in np.digitize(score, [-1.0, 1.0])]


def outcome(model, monitor, source, **options):
    """Return report, plain state and arrays of a whole run."""
    engine = StreamEngine(model, source, monitor=monitor, **options)
    report = engine.run().to_dict()
    config, arrays = export_trainer(engine._trainer)
    report["last scored"] = last_scored(engine)
    return {k: v for k, v in report.items() if k not in TIMES}, config, arrays


def last_scored(engine):
    """Return the last scored row: a block has the probability of its label alone."""
    last = engine.last_scored
    if last is None:
        return None
    return last.row.seq, last.y, last.y_pred, last.proba[last.y] if last.proba else None


def assert_same(one, other):
    assert one[0] == other[0]
    assert repr(one[1]) == repr(other[1])  # as text, since nan is not nan
    assert one[2].keys() == other[2].keys()
    for name, array in one[2].items():
        np.testing.assert_array_equal(array, other[2][name], err_msg=name)


ENDS = {
    "one": [1],  # the rest is one block
    "odd": list(range(7, 2600, 37)),
    "groups": list(range(GROUP, 2600, GROUP)),
}
MONITORS = {
    "no hold-out": {"holdout": 0},
    "full hold-out": {"holdout": 10, "share": 0.2, "seed": 3},
    "many segments": {"holdout": 30, "share": 0.1, "max_segments": 2, "min_segment": 20},
    "no inputs": {"inputs": False, "holdout": 40, "drift_detector": "DDM"},
    "no inputs, groups": {"inputs": False, "holdout": 20, "rescore_every": 7},
    "two-sided": {"holdout": 20, "detector_options": {"two_sided_test": True}},
}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("settings", MONITORS)
def test_blocks_of_a_classification_equal_rows(settings, ends):
    X, score = stream()
    y = labels_of(score)

    def run(ends):
        model = LOCOClassifier(hidden_sizes=(12,), seed=1)
        return outcome(model, TaskMonitor(**MONITORS[settings]), Rows(X, y, ends))

    rows = run(None)
    assert_same(run(ENDS[ends]), rows)
    assert rows[0]["n_drifts"] > 0
    if settings != "no hold-out":
        assert rows[0]["n_held_out"] > 10


MODELS = {
    "classification": lambda: LOCOClassifier(hidden_sizes=(4,), seed=1),
    "regression": lambda: LOCORegressor(hidden_sizes=(4,), seed=1),
    "forecasting": lambda: LOCOForecaster(heads=3, hidden_sizes=(4,), seed=1),
    "watching": lambda: LOCODetector(seed=1),
}


@pytest.mark.parametrize("problem", MODELS)
@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    dtype=st.sampled_from([np.float64, np.float32, object]),
    seed=st.integers(0, 2**16),
)
def test_fill_values_in_blocks_and_rows_equal_empty_cells(problem, cuts, dtype, seed):
    rng = np.random.default_rng(seed)
    n = sum(cuts)
    X = rng.normal(size=(n, 4)).astype(np.float32).astype(dtype)
    y = rng.normal(size=n).round(2).tolist()
    if dtype is object:
        X[:, 3] = rng.choice(["red", "-9999"], n)
    if problem == "classification":
        y = ["on" if value > 0 else 999.0 for value in y]
    fills = rng.choice([-9999.0, 999.0, -999.99], (n, 3))
    cells = rng.random((n, 3)) < 0.1
    cells[0] = False  # a column is known with its first value, in a block with its name
    rows = rng.random(n) < (0.1 if problem in ("regression", "forecasting") else 0.0)

    def run(ends, is_filled):
        table = X.copy()
        table[:, :3][cells] = fills[cells] if is_filled else np.nan
        labels = [(-9999 if is_filled else None) if rows[i] else y[i] for i in range(n)]
        monitor = TaskMonitor(holdout=0, problem="regression") if "on" not in y else None
        options = {"missing_values": (-9999, 999, -999.99)} if is_filled else {}
        source = Rows(table, labels, ends)
        report, config, arrays = outcome(MODELS[problem](), monitor, source, **options)
        del config["trainer"][
            "pending"
        ]  # rows by name or as arrays, with the time of their arrival
        assert report.pop("n_fill_values") == (cells.sum() + rows.sum() if is_filled else 0)
        return report, config, arrays

    expected = run(None, False)
    ends = np.cumsum(cuts)[:-1].tolist()
    for filled in (run(None, True), run(ends, True), run([1], True)):
        assert_same(filled, expected)


class Counting(TaskMonitor):
    """Counts the groups of rows that are taken at once."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.taken = []

    def update_rows(self, *group):
        self.taken.append(super().update_rows(*group))
        return self.taken[-1]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("text", [False, True])
def test_rows_without_an_event_are_taken_at_once(ends, text):
    """Long segments have a thinner signature, and full hold-outs another share."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((2600, 4)).astype(object if text else float)
    y = labels_of(X[:, 0].astype(float))
    if text:
        X[:, 3] = rng.choice(["red", "blue"], 2600)
    settings = {"holdout": 10, "share": 0.1, "rescore_every": 7}

    def run(monitor, ends):
        model = LOCOClassifier(hidden_sizes=(12,), seed=1)
        return outcome(model, monitor, Rows(X, y, ends))

    monitor = Counting(**settings)
    blocks = run(monitor, ENDS[ends])
    assert_same(blocks, run(TaskMonitor(**settings), None))
    assert np.mean(monitor.taken) > 0.8
    assert blocks[0]["n_held_out"] > 10


def test_blocks_of_a_regression_equal_rows():
    X, score = stream(1500)

    def run(monitor, ends):
        model = LOCORegressor(hidden_sizes=(12,), seed=1)
        return outcome(model, monitor, Rows(X, score.tolist(), ends))

    settings = {"problem": "regression", "holdout": 20, "share": 0.1}
    monitor = Counting(**settings)
    assert_same(run(monitor, [5, 700]), run(TaskMonitor(**settings), None))
    assert 0.3 < np.mean(monitor.taken) < 1.0


def test_blocks_with_times_sequences_and_a_task_column_equal_rows():
    X, score = stream(1200)
    X = np.column_stack([X, np.repeat([1.0, 2.0, np.nan, 1.0], 300)])
    sequence = [f"run {i // 50}" for i in range(1200)]
    t = np.arange(1200.0).tolist()
    names = (*NAMES, "task")

    def run(ends):
        model = LOCOClassifier(hidden_sizes=(8,), memory=(0.3, 20.0), max_delay=2, seed=1)
        monitor = TaskMonitor(tasks="column:task", holdout=20, share=0.1)
        source = Rows(X, labels_of(score), ends, t, sequence, names)
        return outcome(model, monitor, source)

    blocks = run([11, 600])
    assert_same(blocks, run(None))
    assert [task["start"] for task in blocks[0]["tasks"]] == [0, 300, 900]


@pytest.mark.parametrize("stop", [870, 880, 1745])
def test_a_run_in_blocks_that_is_resumed_within_a_group_equals_one_in_rows(stop, tmp_path, caplog):
    caplog.set_level("INFO", "loco_stream.engine")
    X, score = stream()
    y = labels_of(score)
    monitor = {"holdout": 10, "share": 0.2, "min_segment": 20}

    def engine(**options):
        model = LOCOClassifier(hidden_sizes=(12,), seed=1)
        return StreamEngine(model, Rows(X, y, [64, 900]), monitor=TaskMonitor(**monitor), **options)

    engine(checkpoint=tmp_path).run(max_samples=stop)
    resumed = engine(checkpoint=tmp_path, resume=True)
    report = resumed.run().to_dict()
    (line,) = (line for line in caplog.messages if line.startswith("resumed at commit"))
    assert re.search(
        r"commit \d+ and \d+ rows of the next, after", line
    )  # beyond the position of the source, which is that of a block
    model = LOCOClassifier(hidden_sizes=(12,), seed=1)
    whole = outcome(model, TaskMonitor(**monitor), Rows(X, y))
    report = {k: v for k, v in report.items() if k not in TIMES}
    report["last scored"] = last_scored(resumed)
    assert_same((report, *export_trainer(resumed._trainer)), whole)


def test_alarms_and_predictions_come_in_the_order_of_rows():
    X, score = stream()
    records = []
    engine = StreamEngine(
        LOCOClassifier(hidden_sizes=(12,), seed=1),
        Rows(X, labels_of(score), [1]),
        monitor=TaskMonitor(holdout=20),
    )
    for kind in ("prediction", "drift"):
        engine.on(kind, records.append)
    engine.run()
    at = [r["seq"] if r["kind"] == "prediction" else r["at"] for r in records]
    assert len([r for r in records if r["kind"] == "prediction"]) == len(X)
    assert any(r["kind"] == "drift" for r in records)
    assert all(late - GROUP <= early for late, early in pairwise(at))


def write_log(path, n=700):
    """Write rows with a number that gets stuck, a time, an id, a category and a label."""
    rng = np.random.default_rng(5)
    load = rng.standard_normal(n).round(3)
    lines = ["load,stuck,at,order,colour,kind"]
    for i in range(n):
        colour = ("red", "green", "blue")[rng.integers(3)]
        stuck = 1.5 if 200 < i < 400 else round(rng.standard_normal(), 3)
        kind = "ok" if load[i] > 0 and colour != "red" else "worn"
        order = f"o-{i:05d}" if i > 3 else ""
        lines.append(f"{load[i]},{stuck},2026-05-04T10:{i % 60:02d}:00Z,{order},{colour},{kind}")
    path.write_text("\n".join(lines) + "\n")


def run_log(path, in_blocks, *, model=LOCOClassifier, strict=True, **options):
    source = CSVSource(path, target="kind", **options)
    records = []
    engine = StreamEngine(
        model(hidden_sizes=(12,), seed=1),
        SourceReader(source, in_blocks=in_blocks),
        monitor=TaskMonitor(holdout=10, share=0.2, seed=3),
        strict=strict,
    )
    engine.on("prediction", records.append)
    report = engine.run().to_dict()
    config, arrays = export_trainer(engine._trainer)
    handled = engine._handler.export_state()
    del handled["now"]
    report = {name: value for name, value in report.items() if name not in TIMES}
    return (report, [config, handled], arrays), records


def test_text_columns_are_left_out_of_blocks_from_the_same_row_on(tmp_path):
    write_log(tmp_path / "rows.csv")
    (blocks, rows) = (run_log(tmp_path / "rows.csv", in_blocks)[0] for in_blocks in (True, False))
    assert_same(blocks, rows)
    assert blocks[1][1]["text_columns"]["left_out"][0][0] == "at"
    assert [name for name, _ in blocks[1][1]["text_columns"]["left_out"]] == ["at", "order"]
    assert {drift["detector"] for drift in blocks[0]["drifts"]} >= {"stuck"}
    assert blocks[0]["roc_auc"] > 0.5


def test_rows_of_a_file_with_ids_keep_them(tmp_path):
    write_log(tmp_path / "rows.csv")
    for in_blocks in (True, False):
        _, records = run_log(tmp_path / "rows.csv", in_blocks, id="order", keep=["at"])
        assert records[9]["id"] == "o-00009"
        assert records[9]["keep"] == {"at": "2026-05-04T10:09:00Z"}


@pytest.mark.parametrize("model", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize(
    ("cell", "refused", "missing"),
    [("foo", 0, 1), ("2026-05-04", 0, 1), ("NA", 0, 1), ("9" * 400, 1, 0)],
)
@pytest.mark.parametrize("at", [10, 2000])  # among the rows that are read ahead, and later
def test_an_odd_cell_has_one_result_wherever_it_stands(
    model, cell, refused, missing, at, tmp_path, monkeypatch
):
    monkeypatch.setattr(csv_source, "_PART", 20_000)
    values = np.random.default_rng(2).standard_normal((2500, 2))
    rows = [f"{a:.3f},{b:.3f},{(a > b) + 0.5 * (b > 0)}" for a, b in values]
    rows[at - 1] = f"{cell},{rows[at - 1].partition(',')[2]}"
    path = tmp_path / "rows.csv"
    path.write_text("a,b,kind\n" + "\n".join(rows) + "\n")
    both = [
        run_log(path, in_blocks, model=model, strict=False, on_bad="skip")[0]
        for in_blocks in (True, False)
    ]
    assert_same(*both)
    report = both[0][0]
    assert report["n_samples"] == 2500 - refused
    assert report["n_masked"] == missing
    assert report["skipped"] == ({"value out of range": 1} if refused else {})
    assert not report["categories"]
    odd = [note for note in report["notes"] if "in place of a number" in note]
    assert odd == (
        []
        if refused or cell == "NA"
        else [
            f"column 'a' had a text in place of a number in 1 row; "
            f"the last is row {at - 1:,}: {cell!r}"
        ]
    )


def test_odd_cells_in_columns_of_numbers_are_missing_values(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "_PART", 8_000)
    write_log(tmp_path / "sound.csv")
    header, *lines = (tmp_path / "sound.csv").read_text().splitlines()
    odd = {250: "2026-05-04T10:00:00Z", 300: "2026-05-04T10:00:00Z", 301: "E7", 650: "", 651: "?!"}
    for name, cells in (("odd", odd), ("empty", dict.fromkeys(odd, ""))):
        edited = [*lines]
        for row, cell in cells.items():
            edited[row] = f"{cell},{lines[row].partition(',')[2]}"
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *edited]) + "\n")
    (blocks, rows) = (run_log(tmp_path / "odd.csv", in_blocks)[0] for in_blocks in (True, False))
    assert_same(blocks, rows)
    report, state, arrays = blocks
    empty_report, empty_state, empty_arrays = run_log(tmp_path / "empty.csv", True)[0]
    assert report["masked"] == empty_report["masked"]
    assert report["masked"]["load"] == 5 / 700
    assert_same(
        (report["accuracy"], state[0], arrays),
        (empty_report["accuracy"], empty_state[0], empty_arrays),
    )
    assert [note for note in report["notes"] if note not in empty_report["notes"]] == [
        "column 'load' had a text in place of a number in 4 rows; the last is row 651: '?!'"
    ]


def test_the_report_says_how_many_rows_share_a_latency(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,kind\n" + "1.5,x\n0.5,y\n" * 300)
    for in_blocks, rows in ((True, 600), (False, 1)):
        reader = SourceReader(CSVSource(path, "kind"), in_blocks=in_blocks)
        report = StreamEngine(LOCOClassifier(hidden_sizes=(12,), seed=1), reader).run()
        assert report["latency_us"]["rows"] == rows
        assert ("latency p50" in str(report)) != in_blocks


class Generated:
    """Pairs that come one after the other, as from a generator."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        yield from self.pairs


class AtHand(list):
    """Pairs that are at hand."""


AtHand.__name__ = Generated.__name__  # the name of a source is that of its class


def odd_pairs(n=900):
    """Return pairs of which some have other names, texts, no label, or values beyond a float."""
    X, score = stream(n)
    labels = labels_of(score)
    pairs = [
        (dict(zip(NAMES, row, strict=True)), label)
        for row, label in zip(X.tolist(), labels, strict=True)
    ]
    for i in range(0, n, 31):
        del pairs[i][0]["b"]
    for i in range(5, n, 47):
        pairs[i][0]["c"] = "a text"
    for i in range(9, n, 53):
        pairs[i] = (pairs[i][0], None)
    for i in range(20, n, 61):
        pairs[i][0]["d"] = 10**400
    for i in range(23, n, 67):
        pairs[i][0]["d"] = 3
    for i in range(25, n, 71):
        pairs[i][0]["a"] = True
    for i in range(27, n, 73):
        pairs[i] = (dict(reversed(pairs[i][0].items())), pairs[i][1])
    for i in range(29, n, 79):
        pairs[i][0]["a"] = np.float32(0.25)
    return pairs


@pytest.mark.parametrize("most", [None, 333])
def test_pairs_at_hand_equal_those_of_a_generator(most):
    def run(kind):
        engine = StreamEngine(
            LOCOClassifier(hidden_sizes=(12,), seed=1),
            kind(odd_pairs()),
            monitor=TaskMonitor(holdout=20, share=0.1),
            strict=False,
        )
        report = engine.run(max_samples=most).to_dict()
        config, arrays = export_trainer(engine._trainer)
        del config["trainer"]["pending"]  # with the times at which rows came
        return {k: v for k, v in report.items() if k not in TIMES}, config, arrays

    pairs = run(AtHand)
    assert_same(pairs, run(Generated))
    assert pairs[0]["n_held_out"] > 10


@pytest.mark.parametrize("kind", ["classes", "texts", "values"])
def test_labels_and_sequences_in_arrays_are_learned_as_lists_are(kind):
    X, score = stream(600)
    labels = {
        "classes": np.digitize(score, [-1.0, 1.0]),
        "texts": np.array(labels_of(score)),
        "values": np.where(np.arange(600) % 7, score, np.nan),
    }[kind]
    listed = [None if y != y else y for y in labels.tolist()]
    runs = np.arange(600) // 100
    model = LOCORegressor if kind == "values" else LOCOClassifier
    (report, _, arrays), (expected, _, expected_arrays) = (
        outcome(model(seed=1), None, Rows(X, y, [50, 300], sequence=sequence))
        for y, sequence in ((labels, runs), (listed, runs.tolist()))
    )
    assert report == expected
    assert report["n_samples"] == sum(y is not None for y in listed)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected_arrays[name], err_msg=name)


def test_late_labels_in_arrays_are_learned():
    X, score = stream(100)
    late = Labels(np.arange(100), np.array(labels_of(score)), source="rows")
    source = PairSource([Block(X, None, NAMES, source="rows"), late])
    assert StreamEngine(LOCOClassifier(seed=1), source).run()["n_samples"] == 100


def late_blocks(is_reused):
    """Yield blocks and then their labels; the array of a block may be filled again meanwhile."""
    X, score = stream(320)
    y = labels_of(score)
    buffer = np.empty((16, 4))
    for first in range(0, len(X), 16):
        rows = slice(first, first + 16)
        buffer = buffer if is_reused else np.empty((16, 4))
        buffer[:] = X[rows]
        yield Block(buffer, None, NAMES, first, source="rows")
        if is_reused:
            buffer[:] = -99.0
        yield Labels(range(first, first + 16), y[rows], source="rows")


def test_rows_that_wait_for_labels_outlive_the_array_they_came_in():
    reused, fresh = (
        outcome(LOCOClassifier(seed=1), None, PairSource(late_blocks(is_reused)))
        for is_reused in (True, False)
    )
    assert_same(reused, fresh)


def test_a_single_value_is_no_array_of_labels():
    late = Labels(np.float32(2.0), np.str_("on"))
    assert late.of == 2.0
    source = PairSource([late])
    report = StreamEngine(LOCOClassifier(seed=1), source, strict=False).run()
    assert report["n_samples"] == 0


class Broken(datasets.base.Dataset):
    """A dataset whose file cannot be read to its end."""

    def __init__(self):
        super().__init__("Binary classification", n_features=2)

    def __iter__(self):
        for i in range(300):
            yield {"a": float(i), "b": 0.0}, "odd" if i % 2 else "even"
        raise OSError("the disk is gone")


def test_the_rows_before_an_error_are_learned():
    source = PairSource(Broken())
    read = []
    with pytest.raises(OSError, match="the disk is gone"):
        read.extend(source.read_blocks())
    events = [event for commit in read for event in commit]
    assert [len(event.X) for event in events if isinstance(event, Block)] == [256, 43]
    assert source.position == {"row": 300}


def test_position_and_place_of_a_row_that_may_be_refused_are_its_own(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"a": 0.5, "y": "ok"}] * 9
    rows[5] = {"a": 1e31, "y": "ok"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = JSONLSource(path, target="y")
    sizes = [
        (len(commit), source.position["row"], source.location) for commit in source.read_blocks()
    ]
    assert [row for _, row, _ in sizes] == [1, 6, 9]
    engine = StreamEngine(LOCOClassifier(seed=1), JSONLSource(path, target="y"), strict=True)
    with pytest.raises(InputError, match=r"line 6 of .*feature 'a' must be a number"):
        engine.run()
    kinds = [
        {"a": 0.5, "y": 1.5},
        {"a": 0.5, "y": 2.5},
        {"a": 0.5, "y": "text"},
        {"a": 0.5, "y": 1.5},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in kinds))
    source = JSONLSource(path, target="y", task="regression", on_bad="skip")
    assert StreamEngine(LOCORegressor(seed=1), source, strict=False).run()["n_samples"] == 3
