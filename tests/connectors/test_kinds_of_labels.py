"""Classes or values: the first labels tell, and no odd text among values is a class."""

from __future__ import annotations

import json

import pytest

from loco_stream.connectors import open_source
from loco_stream.engine._task import task_of_labels
from loco_stream.errors import SourceError

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
