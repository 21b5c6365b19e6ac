"""The options `time` and `sequence` of every kind of table."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loco_stream.connectors import open_source
from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.errors import ConfigError, SourceError

RUNS = ["a", "a", "b", "b"]
TIMES = [0.0, 1.5, 7.0, 7.5]
LEVELS = [0.1, 0.2, 0.3, 0.4]
KINDS = ["x", "y", "x", "y"]
QUERY = "?target=kind&time=at&sequence=run"


def table_of(folder, kind, runs=RUNS):
    """Write the four rows and return the URL."""
    path = folder / f"rows.{kind}"
    columns = {"run": runs, "at": TIMES, "level": LEVELS, "kind": KINDS}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind == "csv":
        cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
        path.write_text("\n".join(",".join(line) for line in [list(columns), *cells]) + "\n")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.table(columns), path)
    return f"{kind}:{path}{QUERY}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_have_their_time_and_sequence_id(tmp_path, kind):
    rows = list(open_source(table_of(tmp_path, kind)))
    assert [(row.t, row.sequence, row.x, row.y) for row in rows] == [
        (t, run, {"level": level}, y)
        for t, run, level, y in zip(TIMES, RUNS, LEVELS, KINDS, strict=True)
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_of_a_growing_file_have_sequence_ids(tmp_path, kind):
    source = open_source(f"{table_of(tmp_path, kind)}&follow=1&idle=0.3")
    rows = [event for event in source if event != []]
    source.close()
    assert [row.sequence for row in rows] == RUNS


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_row_without_an_id_is_a_bad_row(tmp_path, kind):
    url = table_of(tmp_path, kind, ["a", None, "b", "b"])
    with pytest.raises(
        SourceError, match="`sequence` must be a text or a number in every row, got None"
    ):
        list(open_source(url))
    source = open_source(url, on_bad="skip")
    assert [row.sequence for row in source if row != []] == ["a", "b", "b"]
    assert source.skipped == {"sequence": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_missing_sequence_column_is_named(tmp_path, kind):
    url = table_of(tmp_path, kind).replace("sequence=run", "sequence=ran")
    with pytest.raises(
        SourceError, match=r"`sequence` must be a column, got 'ran'.*did you mean 'run'"
    ):
        open_source(url)


@pytest.mark.parametrize("role", ["time", "sequence", "id"])
def test_the_label_cannot_be_another_role_as_well(tmp_path, role):
    url = table_of(tmp_path, "csv").partition("?")[0]
    sentence = f"`target` must be another field than `{role}`, got 'kind' for both"
    with pytest.raises(ConfigError, match=sentence):
        open_source(f"{url}?target=kind&{role}=kind")
    with pytest.raises(ConfigError, match=sentence):
        open_source(f"{url}?target=level,kind&{role}=kind")


def test_the_label_of_a_message_cannot_be_its_time():
    with pytest.raises(ConfigError, match="`target` must be another field than `time`, got 't'"):
        FieldRoles(target="t")
    assert FieldRoles(target="t", time="at").label({"t": 20.5}) == 20.5


def test_columns_of_an_array_are_times_and_ids(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(
        path, np.column_stack([LEVELS, [1, 1, 2, 2], np.array(TIMES) + 1.7e9 + 0.25, [0, 1, 0, 1]])
    )
    first, second = open_source(f"npy:{path}?target=-1&time=2&sequence=1&block=3")
    assert first.features == ("0",)
    assert first.X[:, 0].tolist() == pytest.approx(LEVELS[:3])
    assert [*first.times, *second.times] == [t + 1.7e9 + 0.25 for t in TIMES]
    assert (first.t, second.t) == (1.7e9 + 0.25, 1.7e9 + 7.75)
    assert [*first.sequence, *second.sequence] == [1, 1, 2, 2]


def test_an_archive_may_hold_times_and_ids(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(
        path,
        X=np.array(LEVELS)[:, None],
        y=[0, 1, 0, 1],
        t=[0.0, np.nan, np.inf, 3.0],
        sequence=RUNS,
    )
    (block,) = open_source(f"npy:{path}")
    assert (block.y, block.sequence) == ([0, 1, 0, 1], RUNS)
    assert np.isnan(block.times).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "target=0&sequence=0",
            "the sequence column .* must be one of its 2 columns without another role, got 0",
        ),
        ("time=5", "the time column .* must be one of its 2 columns without another role, got 5"),
        ("time=0&sequence=1", "a column for features, got 2 columns"),
    ],
)
def test_columns_of_an_array_are_checked(tmp_path, query, sentence):
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((4, 2)))
    with pytest.raises(SourceError, match=sentence):
        open_source(f"npy:{path}?{query}")


def test_a_missing_id_in_an_array_raises(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, [[0.0, 1.0], [0.5, np.nan]])
    with pytest.raises(SourceError, match=r"`sequence` must be .* got nan"):
        list(open_source(f"npy:{path}?sequence=1"))
