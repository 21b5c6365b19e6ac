"""Numbers that stand for a missing value are replaced before anything reads them, and counted."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCODetector, LOCORegressor, StreamEngine
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._task import find_task
from loco_stream.engine._validation import validate_events
from loco_stream.errors import ConfigError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, PredictRequest, Sample, Source
from tests.helpers.standin import ListSource

FILL = -9999.0
NAMES = ("a", "b")


class Logged(PairSource):
    """A source whose rows cannot be read again."""

    needs_log = True


def replaced(event, problem="regression", values=(FILL, 999, -999.99)):
    """Return the event as the model gets it."""
    valid = validate_events([event], problem, MissingValues(values))
    assert valid.refused == []
    return valid.events[0]


@pytest.mark.parametrize(
    ("value", "is_fill"),
    [
        (-9999, True),
        (-9999.0, True),
        (np.int16(-9999), True),
        (np.float32(-999.99), True),
        (float(np.float32(-999.99)), True),
        (Decimal("-9999"), True),
        (9.96921e36, True),
        (-9998.9, False),
        (True, False),
        ("-9999", False),
        (b"999", False),
        (np.datetime64(999, "ns"), False),
        (np.timedelta64(999, "ns"), False),
        (None, False),
        (math.nan, False),
        (10**400, False),
        ([999], False),
    ],
)
def test_a_value_is_missing_if_it_equals_a_number_and_is_no_text(value, is_fill):
    missing = MissingValues([FILL, 999, -999.99, 9.96921e36])
    assert (value in missing) is is_fill
    sample, n = missing.apply(Sample({"a": value, "b": 1}), with_labels=True)
    table = np.empty((1, 2), object)
    table[0] = [value, 1]
    block, n_in_block = missing.apply(Block(table, None, NAMES), with_labels=True)
    assert n == n_in_block == int(is_fill)
    for cell in (sample.x["a"], block.X[0, 0]):
        assert math.isnan(cell) if is_fill else cell is value


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int16])
def test_the_cells_of_an_array_become_nan(dtype):
    given = np.array([[1, FILL], [999, 2]], dtype)
    block = replaced(Block(given, None, NAMES))
    np.testing.assert_array_equal(block.X, [[1.0, np.nan], [np.nan, 2.0]])
    assert block.X.dtype == replaced(Block(given[:, :1][:1], None, ("a",))).X.dtype
    assert given[0, 1] == FILL  # the array of the source is left as it is


def test_a_fill_value_beyond_the_largest_number_refuses_no_row():
    x = {"a": 9.96921e36, "b": 1.0}
    assert validate_events([Sample(x)], "watching").n_refused == 1
    assert math.isnan(replaced(Sample(x), values=[9.96921e36]).x["a"])


@pytest.mark.parametrize("problem", ["regression", "forecasting"])
def test_a_target_that_is_a_number_becomes_a_missing_label(problem):
    assert replaced(Sample({"a": 1.0}, FILL), problem).y is None
    assert replaced(Block(np.ones((3, 1)), [1.0, FILL, None], ("a",)), problem).y == [
        1.0,
        None,
        None,
    ]
    assert replaced(Labels([4, 5], [999, 2.0]), problem).y == [None, 2.0]


def test_a_class_stays_a_class():
    for label in (FILL, 999, "999"):
        assert replaced(Sample({"a": 1.0}, label), "classification").y == label
    assert replaced(Block(np.ones((1, 1)), [999], ("a",)), "classification").y == [999]


def test_several_targets_lose_the_missing_ones():
    problem = "multi-target regression"
    assert replaced(Sample({"a": 1.0}, {"heat": FILL, "flow": 2.0}), problem).y == {"flow": 2.0}
    assert replaced(Sample({"a": 1.0}, {"heat": FILL, "flow": None}), problem).y is None


@pytest.mark.parametrize("values", [5, "999", [math.nan], [math.inf], ["9"], [None], [10**400]])
def test_what_is_no_finite_number_is_refused(values):
    with pytest.raises(ConfigError, match="`missing_values` must be a list of finite numbers, got"):
        StreamEngine(LOCODetector(), [], missing_values=values)


def rows_with_fills(n=40):
    rows = [({"a": float(i % 7), "b": float(i % 3)}, float(i % 5)) for i in range(n)]
    for i in (3, 11, 30):
        rows[i][0]["a"] = FILL
    rows[12] = (rows[12][0], 999.0)
    return rows


def test_replaced_values_are_in_report_and_table():
    model = LOCORegressor(hidden_sizes=(4,), seed=1)
    engine = StreamEngine(model, rows_with_fills(), missing_values=(FILL, 999))
    report = engine.run()
    assert (report["n_fill_values"], report["n_unlabelled"], report["n_samples"]) == (4, 1, 39)
    assert report["masked"] == {"a": 3 / 40}
    assert "fill values 4" in " ".join(str(report).split())
    assert report["mae"] < 10


def test_the_count_is_kept_in_checkpoint_and_log(tmp_path):
    rows = rows_with_fills()

    def engine(rows):
        model = LOCORegressor(hidden_sizes=(4,), seed=1)
        options = {"checkpoint": tmp_path, "resume": None, "missing_values": (FILL, 999)}
        return StreamEngine(model, Logged(rows), **options)

    first = engine(rows[:20])
    first._finish = lambda: None  # no checkpoint at the end: the log alone has the rows
    first.run()
    assert engine(rows[:20]).run()["n_fill_values"] == 3
    report = engine(rows).run()
    assert (report["n_fill_values"], report["n_samples"]) == (4, 39)


def test_a_request_is_answered_as_one_with_an_empty_cell():
    class Asked(Source):
        """Rows to learn, then two requests."""

        name = "asked"
        position = property(lambda self: {"row": 0})

        def __init__(self):
            self.replies = []

        def seek(self, position):
            pass

        def __iter__(self):
            X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
            yield Block(X, ["on" if a > 0 else "off" for a in X[:, 0]], NAMES)
            for cell in (FILL, np.nan):
                yield PredictRequest(np.array([[cell, 0.5]], np.float32), NAMES, tag=1)

        def reply(self, event, values, classes):
            self.replies.append(values.tolist())

    source = Asked()
    report = StreamEngine(LOCOClassifier(seed=1), source, missing_values=[FILL]).run()
    assert source.replies[0] == source.replies[1]
    assert (report["n_fill_values"], report["n_asked"]) == (1, 2)
    engine = StreamEngine(LOCOClassifier(seed=1), [], missing_values=[FILL])
    assert repr(engine.without_fill_values({"a": FILL, "b": 2})) == "{'a': nan, 'b': 2}"
    assert engine._handler.n_fill_values == 1
    assert not engine.counts_as_missing(FILL)  # it is a class


def test_a_late_label_that_is_missing_ends_the_wait_of_its_row():
    rows = [[Sample({"a": 1.0}, None, 0)], [Labels([0], [FILL])], [Sample({"a": 1.0}, 2.0, 1)]]
    model = LOCORegressor(hidden_sizes=(4,))
    report = StreamEngine(model, ListSource(rows), missing_values=[FILL]).run()
    assert (report["n_samples"], report["n_pending"], report["n_fill_values"]) == (1, 0, 1)


@pytest.mark.parametrize("values", [(FILL,), ()])
def test_a_missing_label_does_not_decide_the_task(values):
    commits = [[Sample({"a": 1.0}, y, i)] for i, y in enumerate([FILL, FILL, 2.5])]
    reader = SourceReader(ListSource(commits))
    found = find_task(reader, missing_values=values)
    assert found == ("regression" if values else "classification")


def test_a_run_that_waits_for_its_task_takes_no_missing_label_for_a_class():
    def choose(task):
        return LOCORegressor(hidden_sizes=(4,)), TaskMonitor(holdout=0, problem=task)

    commits = [[Sample({"a": float(i)}, y, i)] for i, y in enumerate([FILL, 2.5, FILL, 3.5])]
    options = {"choose": choose, "task": "classification", "missing_values": [FILL]}
    report = StreamEngine(LOCOClassifier(hidden_sizes=(4,)), ListSource(commits), **options).run()
    assert (report["task"], report["n_samples"], report["n_fill_values"]) == ("regression", 2, 2)
    # a settled classification takes the same labels for classes
    del options["choose"]
    report = StreamEngine(LOCOClassifier(hidden_sizes=(4,)), ListSource(commits), **options).run()
    assert (report["task"], report["n_samples"], report["n_fill_values"]) == (
        "classification",
        4,
        0,
    )


def test_a_detector_expects_no_fill_value():
    X = np.random.default_rng(1).normal(size=(800, 2))
    X[::100, 0] = FILL
    X[650, 0] = 30.0  # the fault
    rows = [(dict(zip(NAMES, row, strict=True)), None) for row in X.tolist()]
    learned = StreamEngine(LOCODetector(seed=1), rows).run()
    report = StreamEngine(LOCODetector(seed=1), rows, missing_values=[FILL]).run()
    faults = [next(a for a in r["alarms"] if a["at"] == 650) for r in (learned, report)]
    assert faults[0]["expected"][0] < -100 < -5 < faults[1]["expected"][0]
    assert faults[0]["score"] < faults[1]["score"]


def test_a_refused_row_is_kept_as_it_came():
    row = Sample({"a": -9999.0, "b": 1e31})
    valid = validate_events([row], "classification", MissingValues([-9999.0]))
    assert [event for event, _ in valid.refused] == [row]
