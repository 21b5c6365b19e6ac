"""JSON lines, NumPy and Parquet files as sources: rows, labels, resume, pace, dirt."""

from __future__ import annotations

import builtins
import gzip
import json
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from loco_stream.connectors import JSONLSource, NPYSource, ParquetSource, open_source
from loco_stream.errors import ConfigError, LocoStreamError, SourceError
from loco_stream.stream import Source


def lines(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def test_flat_lines_keep_their_kinds(tmp_path):
    path = lines(
        tmp_path / "r.jsonl", {"a": 1, "b": True, "y": "on"}, "", {"a": 2.5, "c": "red", "y": None}
    )
    source = open_source(f"jsonl:{path}?target=y")
    assert isinstance(source, Source)
    assert [(s.x, s.y, s.seq) for s in source] == [
        ({"a": 1, "b": True}, "on", 0),
        ({"a": 2.5, "c": "red"}, None, 1),
    ]
    assert source.schema.features is None  # rows may have different keys
    assert source.schema.task == "classification"


def test_lines_as_live_messages_are_written(tmp_path):
    path = lines(
        tmp_path / "r.jsonl",
        {"x": {"y": 1, "t": 5}, "y": 2.5, "t": 100.0},
        {"x": {"y": None}, "y": 3},
    )
    path.write_text('{"x": {"a": 1}, "y": 2.5, "t": 100.0}\n{"x": {"a": null}, "y": 3}\n')
    source = JSONLSource(path)
    got = list(source)
    assert source.schema.task == "regression"
    assert [(s.x, s.y) for s in got] == [({"a": 1}, 2.5), ({"a": None}, 3.0)]
    assert got[0].t == 100.0
    assert got[1].t != got[1].t


def test_lines_resume_and_gzip(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    with gzip.open(path, "wt") as f:
        f.writelines(json.dumps({"a": i, "y": i % 2}) + "\n" for i in range(10))
    source = JSONLSource(path, "y")
    source.seek({"row": 7})
    assert [(s.x["a"], s.y, s.seq) for s in source] == [(7, 1, 7), (8, 0, 8), (9, 1, 9)]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", "target=y", "is empty"),
        ('{"a": 1}\n', "target=y", "no target column 'y'"),
        ('{"a": 1}\n', "", "name the label's column"),
        ('{"a": 1, "y": 0}\n[1]\n', "target=y", "line 2 of .* is no flat JSON object"),
        ('{"a": {"b": 1}, "y": 0}\n', "target=y", "line 1 of .* is no flat JSON object"),
        ('{"a": 1, "y": 0}\n{"a": \n', "target=y", "line 2"),
        ('{"a": 1, "y": 0}\n', "target=y&delimiter=;", "no option 'delimiter'"),
        ("[" * 100_000, "target=y", "line 1"),
    ],
)
def test_broken_lines(tmp_path, text, options, says):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(LocoStreamError, match=says) as caught:
        list(open_source(f"jsonl:{path}?{options}"))
    assert "\n" not in str(caught.value)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "r.parquet"
    when = [datetime(1970, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(10)]
    columns = {
        "when": when,
        "a": pa.array([*range(9), None], pa.int32()),
        "s": ["red"] * 10,
        "y": ["n", "y"] * 5,
        "list": [[1]] * 10,
    }
    parquet.write_table(pa.table(columns), path, row_group_size=4)
    return path


def test_parquet_rows(table):
    source = open_source(f"parquet:{table}?target=y&drop=list&time=when")
    got = list(source)
    assert (got[1].x, got[1].y, got[1].t) == ({"a": 1, "s": "red"}, "y", 1.0)
    assert got[9].x["a"] is None
    assert source.schema.features == ("a", "s")
    source.close()


@pytest.mark.parametrize("row", [0, 3, 4, 5, 8, 9, 10])
def test_parquet_resumes_in_any_row_group(table, row):
    source = ParquetSource(table, "y", drop=["list"])
    source.seek({"row": row})
    assert [s.seq for s in source] == list(range(row, 10))
    source.seek({"row": row})
    assert [s.x["when"] for s in source] == list(range(row, 10))
    source.close()


def test_broken_parquet(table, tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="column 'list' is nested; leave it out with drop=list"):
        ParquetSource(table, "y")
    with pytest.raises(SourceError, match="no target column 'z'"):
        ParquetSource(table, "z")
    with pytest.raises(SourceError, match="cannot read"):
        ParquetSource(tmp_path / "none.parquet", "y")
    (tmp_path / "text.parquet").write_text("a,b")
    with pytest.raises(SourceError, match="cannot read"):
        ParquetSource(tmp_path / "text.parquet", "y")
    parquet.write_table(
        pa.table({"a": pa.array([], pa.int32()), "y": pa.array([], pa.int32())}), table
    )
    with pytest.raises(SourceError, match="columns and no rows"):
        ParquetSource(table, "y")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("loco_stream.connectors.values.import_module", without)
    with pytest.raises(SourceError, match=r"pip install 'loco-stream\[parquet\]'"):
        ParquetSource(table, "y")


def test_npy_blocks(tmp_path):
    X = np.arange(30.0).reshape(10, 3)
    X[4, 1] = np.inf
    X[:, 2] = np.arange(10) % 2
    np.save(tmp_path / "r.npy", X)
    source = open_source(f"npy:{tmp_path}/r.npy?target=-1&block=4")
    blocks = list(source)
    assert [(b.seq, b.X.shape) for b in blocks] == [(0, (4, 2)), (4, (4, 2)), (8, (2, 2))]
    assert blocks[0].y == [0, 1, 0, 1]
    assert np.isnan(blocks[1].X[0, 1])
    assert blocks[0].features == ("0", "1")
    assert blocks[0].X.flags.writeable
    assert source.schema.task == "classification"
    assert source.position == {"row": 10}
    source.seek({"row": 6})
    assert [(b.seq, b.X[0, 0]) for b in source] == [(6, 18.0)]
    first = open_source(f"npy:{tmp_path}/r.npy?target=0")
    assert next(iter(first)).features == ("1", "2")


def test_npz_and_separate_labels(tmp_path):
    X = np.ones((4, 2), np.float32)
    np.savez(tmp_path / "r.npz", X=X, y=np.array(["a", "b", "a", "b"]))
    source = NPYSource(tmp_path / "r.npz")
    assert next(iter(source)).y == ["a", "b", "a", "b"]
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.array([0.5, np.nan, 2, 3]))
    source = open_source(f"npy:{tmp_path}/x.npy?labels={tmp_path}/y.npy")
    assert source.schema.task == "regression"
    assert next(iter(source)).y == [0.5, None, 2.0, 3.0]
    assert next(iter(NPYSource(tmp_path / "x.npy"))).y is None


def test_broken_arrays(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="no array of numbers"):
        NPYSource(tmp_path / "o.npy")
    np.save(tmp_path / "x.npy", np.ones((4, 2)))
    np.save(tmp_path / "y.npy", np.ones(3))
    np.savez(tmp_path / "z.npz", A=np.ones(3))
    np.save(tmp_path / "flat.npy", np.ones(3))
    for make, says in [
        (lambda: NPYSource(tmp_path / "none.npy"), "cannot read"),
        (
            lambda: NPYSource(tmp_path / "x.npy", labels=tmp_path / "none.npy"),
            r"cannot read .*none\.npy",
        ),
        (
            lambda: NPYSource(tmp_path / "x.npy", labels=tmp_path / "y.npy"),
            "4 rows, and the labels have the shape",
        ),
        (lambda: NPYSource(tmp_path / "x.npy", 2), "no label column 2"),
        (lambda: NPYSource(tmp_path / "z.npz"), "has no array X"),
        (lambda: NPYSource(tmp_path / "flat.npy"), r"shape \(n_rows, n_columns\)"),
    ]:
        with pytest.raises(SourceError, match=says):
            make()
    with pytest.raises(ConfigError, match="block must be at least 1"):
        NPYSource(tmp_path / "x.npy", block=0)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:100])
    with pytest.raises(SourceError):
        NPYSource(tmp_path / "cut.npy")


def test_replay_at_a_chosen_rate_is_one_row_at_a_time(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    begin = time.monotonic()
    events = list(NPYSource(tmp_path / "x.npy", 1, rate=10))
    assert time.monotonic() - begin >= 0.2
    assert [len(e.X) for e in events if e] == [1, 1, 1]


def test_replay_at_recorded_speed(table):
    begin = time.monotonic()
    events = list(ParquetSource(table, "y", drop=["list"], time="when", speed=30))
    assert time.monotonic() - begin >= 0.3
    assert len([e for e in events if e]) == 10
