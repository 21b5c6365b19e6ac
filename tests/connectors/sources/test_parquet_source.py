"""`ParquetSource`: rows, resume, bad files, replay."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from loco_stream.connectors import ParquetSource, open_source
from loco_stream.errors import SourceError
from loco_stream.testing import check_source


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


def test_rows(table):
    source = open_source(f"parquet:{table}?target=y&drop=list&time=when")
    got = list(source)
    assert (got[1].x, got[1].y, got[1].t) == ({"a": 1, "s": "red"}, "y", 1.0)
    assert got[9].x["a"] is None
    assert source.schema.features == ("a", "s")
    source.close()


@pytest.mark.parametrize("row", [0, 3, 4, 5, 8, 9, 10])
def test_resumes_in_any_row_group(table, row):
    source = ParquetSource(table, "y", drop=["list"])
    source.seek({"row": row})
    assert [s.seq for s in source] == list(range(row, 10))
    source.seek({"row": row})
    assert [s.x["when"] for s in source] == list(range(row, 10))
    source.close()


def test_bad_files_are_refused(table, tmp_path):
    with pytest.raises(SourceError, match="must not be nested, got 'list'"):
        ParquetSource(table, "y")
    with pytest.raises(SourceError, match="`target` must be a column, got 'z'"):
        ParquetSource(table, "z")
    with pytest.raises(SourceError, match="cannot read"):
        ParquetSource(tmp_path / "none.parquet", "y")
    (tmp_path / "text.parquet").write_text("a,b")
    with pytest.raises(SourceError, match="cannot read"):
        ParquetSource(tmp_path / "text.parquet", "y")
    parquet.write_table(
        pa.table({"a": pa.array([], pa.int32()), "y": pa.array([], pa.int32())}), table
    )
    with pytest.raises(SourceError, match="at least one row, got columns only"):
        ParquetSource(table, "y")


def test_a_speed_delays_the_rows_by_their_times(table):
    begin = time.monotonic()
    events = list(ParquetSource(table, "y", drop=["list"], time="when", speed=30))
    assert time.monotonic() - begin >= 0.3
    assert len([e for e in events if e]) == 10


def test_the_lifecycle_of_a_parquet_file(tmp_path):
    rows = pa.table({"a": list(range(100)), "y": ["u", "v"] * 50})
    parquet.write_table(rows, tmp_path / "rows.parquet", row_group_size=30)
    check_source(lambda: open_source(f"parquet:{tmp_path}/rows.parquet?target=y"), n_rows=100)
