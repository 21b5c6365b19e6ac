"""Classes or values: the first labels tell, and no odd text among values is a class."""

from __future__ import annotations

import json
import os
import threading
import time
from itertools import islice

import pyarrow
import pytest
from pyarrow import parquet

from loco_stream.connectors import CSVSource, JSONLSource, ParquetSource, open_source
from loco_stream.engine import StreamEngine
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._task import find_task, task_of_labels
from loco_stream.errors import SourceError
from loco_stream.estimators import LOCOClassifier, LOCORegressor
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, Sample, Schema
from loco_stream.testing import check_source
from tests.engine.test_checkpoint import kill_after
from tests.helpers.standin import ListSource

VALUES = [f"{i + 0.5}" for i in range(10)]


@pytest.fixture(params=["csv", "jsonl"])
def table(request, tmp_path):
    """Return what writes labels as a table, and returns its URL."""

    def write(labels):
        path = tmp_path / f"rows.{request.param}"
        if request.param == "csv":
            rows = [f"{i},{label}\n" for i, label in enumerate(labels)]
            path.write_text("".join(["a,y\n", *rows]))
        else:
            path.write_text("".join(json.dumps({"a": 1, "y": label}) + "\n" for label in labels))
        return f"{request.param}:{path}?target=y"

    return write


@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_text_among_values_is_a_bad_row_with_line_column_and_the_other_task(table, at):
    url = table([*VALUES[:at], "error", *VALUES[at:]])
    source = open_source(url)
    assert source.schema.task == "regression"
    line = at + (2 if url.startswith("csv") else 1)
    with pytest.raises(
        SourceError, match=rf"line {line} .*column 'y'.* number.*'error'; .* `task=classification`"
    ):
        list(source)
    source = open_source(url, on_bad="skip")
    assert [event.y for event in source if event] == [float(value) for value in VALUES]
    assert source.skipped == {"label of another type": 1}


def test_the_task_that_is_named_takes_every_label(table):
    source = open_source(table([*VALUES, "error"]), task="classification")
    assert [event.y for event in source] == [*VALUES, "error"]
    with pytest.raises(SourceError, match=r"column 'y': the label must be a number, got 'error'$"):
        list(open_source(table([*VALUES, "error"]), task="regression"))


@pytest.mark.parametrize(
    "labels",
    [
        ["1.5", "2.5", "x", "y"],
        ["1", "2", "3", "x"],
        ["1.0", "2.0", "unknown", "1.0", "3.0"],
        ["x", "y", "1.5"],
    ],
)
def test_as_many_texts_as_numbers_and_whole_numbers_with_a_text_are_classes(table, labels):
    source = open_source(table(labels))
    assert source.schema.task == "classification"
    assert [event.y for event in source] == labels


def test_a_fraction_among_whole_numbers_names_regression(table):
    source = open_source(table([*["1"] * 1000, "1.5"]))
    with pytest.raises(SourceError, match=r"column 'y'.*whole number.*`task=regression`"):
        list(source)
    source = open_source(table([*["1"] * 1000, "error"]))
    with pytest.raises(SourceError, match=r"whole number, got 'error'$"):
        list(source)


def test_the_first_labels_of_a_stream_are_values_unless_half_of_them_are_texts():
    assert task_of_labels([1.5, "error", 2]) == "regression"
    assert task_of_labels([1.5, "error"]) == "classification"
    assert task_of_labels(["a", "b", 1.5]) == "classification"


N_UNLABELLED = 1500
MEASURED = [20, 20.5, 21, 22.25] * 300


def late_csv(path):
    rows = [f"{i},\n" for i in range(N_UNLABELLED)]
    rows += [f"{i},{y}\n" for i, y in enumerate(MEASURED)]
    path.write_text("".join(["a,y\n", *rows]))


def late_jsonl(path):
    rows = [{"a": i, "y": None} for i in range(N_UNLABELLED)]
    rows += [{"a": i, "y": y} for i, y in enumerate(MEASURED)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def late_parquet(path):
    labels = [None] * N_UNLABELLED + [float(y) for y in MEASURED]
    parquet.write_table(pyarrow.table({"a": list(range(len(labels))), "y": labels}), path)


def labels_by_id(path):
    rows = [{"a": i, "id": i} for i in range(N_UNLABELLED)]
    rows += [{"id": i, "label": y} for i, y in enumerate(MEASURED)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


LATE = {
    "csv": (late_csv, lambda path: CSVSource(path, "y")),
    "csv row by row": (late_csv, lambda path: CSVSource(path, "y", keep=["a"])),
    "csv, growing": (late_csv, lambda path: CSVSource(path, "y", follow=True, idle=0.5)),
    "jsonl": (late_jsonl, lambda path: JSONLSource(path, "y")),
    "jsonl, growing": (late_jsonl, lambda path: JSONLSource(path, "y", follow=True, idle=0.5)),
    "jsonl by id": (
        labels_by_id,
        lambda path: JSONLSource(path, "y", id="id", follow=True, idle=0.5),
    ),
    "parquet": (late_parquet, lambda path: ParquetSource(path, "y")),
    "parquet row by row": (late_parquet, lambda path: ParquetSource(path, "y", keep=["a"])),
}


def labels_of(items):
    for item in items:
        for event in item if isinstance(item, list) else [item]:
            if isinstance(event, Sample):
                yield event.y
            elif isinstance(event, Block | Labels):
                yield from event.y or ()


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("kind", LATE)
def test_labels_that_come_late_decide_when_they_come(kind, in_blocks, tmp_path):
    write, make = LATE[kind]
    write(tmp_path / "rows")
    source = make(tmp_path / "rows")
    assert source.schema is None or source.schema.task is None
    read = labels_of(source.read_blocks() if in_blocks else source)
    assert [repr(y) for y in read if y is not None] == [repr(float(y)) for y in MEASURED]
    assert source.schema.task == "regression"


@pytest.mark.parametrize("kind", ["csv", "csv row by row", "jsonl", "parquet row by row"])
def test_a_table_whose_labels_come_late_is_resumed(kind, tmp_path):
    write, make = LATE[kind]
    write(tmp_path / "rows")
    check_source(lambda: make(tmp_path / "rows"))


def test_the_first_label_at_the_end_of_a_part_is_read_on_from(tmp_path):
    path = tmp_path / "rows.csv"
    unlabelled = "0.123456,\n"
    path.write_text("a,y\n" + unlabelled * 60_000)
    n = next(len(block.X) for block in CSVSource(path, "y").read_blocks())
    first = [3, *MEASURED[1:]]
    labelled = "".join(f"0.123456,{y}\n" for y in first)
    path.write_text(f"a,y\n{unlabelled * (n - 1)}{labelled}{unlabelled * 60_000}")
    items = list(CSVSource(path, "y").read_blocks())
    assert [y for y in labels_of(items) if y is not None] == first
    assert isinstance(items[-1], Block)  # parts are columns again


def test_bad_rows_that_are_read_ahead_are_not_counted_yet(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("".join(["a,y\n", *["1,\n"] * 1000, "1,2\n", "1,2\n", "1,2,3\n", "1,2\n"]))
    source = CSVSource(path, "y", on_bad="skip")
    assert [len(source.skipped) for y in labels_of(source) if y is not None] == [0, 0, 1]


def test_a_resumed_table_keeps_the_kind_of_its_late_labels(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("".join(["a,y\n", *["1,\n"] * 1000, "1,x\n", "1,2\n", *["1,3\n"] * 5]))
    source = CSVSource(path, "y")
    assert list(islice(labels_of(source), 1002))[-2:] == ["x", "2"]
    position = json.loads(json.dumps(source.position))
    source = CSVSource(path, "y")
    source.seek(position)
    assert list(labels_of(source)) == ["3"] * 5


def test_a_task_that_is_given_overrides_the_kind_of_an_earlier_run(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,1\n2,2\n3,3\n")
    source = CSVSource(path, "y", follow=True, idle=0.5)
    first = next(event for event in source if event)
    assert repr(first.y) == "1"
    position = source.position
    source.close()
    source = CSVSource(path, "y", follow=True, idle=0.5, task="regression")
    source.seek(position)
    assert list(map(repr, labels_of(source))) == ["2.0", "3.0"]


def test_a_table_without_labels_shows_no_task_and_is_not_read_to_its_end(tmp_path):
    late_csv(tmp_path / "rows")
    source = CSVSource(tmp_path / "rows", "y")
    assert find_task(SourceReader(source)) is None
    assert source.position["row"] < 1100


def choose(task):
    model = LOCORegressor(seed=1) if task == "regression" else LOCOClassifier(seed=1)
    return model, TaskMonitor(holdout=0, problem=task)


@pytest.mark.parametrize("kind", ["csv", "jsonl, growing"])
def test_late_values_are_learned_by_a_regressor_also_after_a_resume(kind, tmp_path):
    write, make = LATE[kind]
    write(tmp_path / "rows")
    runs = [(N_UNLABELLED - 1, None), (N_UNLABELLED + 1, None), (None, "regression")]
    for n, stored in runs:
        model, monitor = choose(stored or "classification")
        engine = StreamEngine(
            model,
            make(tmp_path / "rows"),
            monitor=monitor,
            task=stored or "classification",
            choose=None if stored else choose,
            checkpoint=tmp_path / "state",
            resume=None,
        )
        report = engine.run(max_samples=n)
    assert (report["task"], report["n_samples"]) == ("regression", len(MEASURED))


def test_labels_that_come_late_in_a_pipe_decide_together(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write():
        with path.open("w") as pipe:
            print("a,y\n1,\n2,", file=pipe, flush=True)
            time.sleep(1.5)
            print("3,20", file=pipe, flush=True)
            time.sleep(0.2)
            print("4,20.5", file=pipe, flush=True)

    writer = threading.Thread(target=write)
    writer.start()
    source = CSVSource(path, "y")
    assert list(labels_of(source)) == [None, None, 20.0, 20.5]
    assert source.schema.task == "regression"
    writer.join()
    source.close()


def test_a_live_stream_waits_for_columns_that_the_first_rows_lack(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' * 5)
    source = JSONLSource(path, "y", use=["a", "b"], follow=True, idle=3.0)
    events = filter(None, source)
    first = next(events)
    assert (first.x, first.y) == ({"a": 1}, None)
    assert "`use` must be a column, got 'b'" in "".join(source.notes)
    with path.open("a") as file:
        print('{"a": 2, "b": 3, "y": "on", "other": 4}', file=file)
    *_, last = events
    assert (last.x, last.y) == ({"a": 2, "b": 3}, "on")
    source.close()


def test_a_task_that_the_source_inferred_outlasts_a_kill(tmp_path):
    rows = [[Sample({"a": float(i)}, 3 if i >= 5 else None, i)] for i in range(40)]
    source = ListSource(rows, needs_log=True)
    source.schema = Schema("regression")  # from labels that the log does not have yet
    model, monitor = choose("classification")
    options = {"task": "classification", "choose": choose, "checkpoint": tmp_path}
    kill_after(StreamEngine(model, source, monitor=monitor, **options), 12)
    model, monitor = choose("regression")
    source = ListSource(rows, needs_log=True)
    options = {"task": "regression", "checkpoint": tmp_path, "resume": True}
    report = StreamEngine(model, source, monitor=monitor, **options).run()
    assert (report["task"], report["n_samples"]) == ("regression", 35)
