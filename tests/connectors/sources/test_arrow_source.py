"""Arrow IPC and Feather files as a source; `test_file_blocks` compares rows and blocks."""

from __future__ import annotations

import pyarrow
import pyarrow.feather
import pytest

from loco_stream.connectors import ArrowFileSource, open_source
from loco_stream.errors import SourceError
from loco_stream.testing import check_source

TABLE = pyarrow.table({"u": [0.5, 1.5, 2.5], "kind": ["a", "b", "a"]})


def test_a_feather_file_is_a_source(tmp_path):
    path = tmp_path / "rows.feather"
    pyarrow.feather.write_feather(TABLE, path)
    check_source(lambda: ArrowFileSource(path, target="kind"), n_rows=3)
    source = open_source(f"arrow:{path}?target=kind")
    assert [(row.x, row.y) for row in source] == [
        ({"u": 0.5}, "a"),
        ({"u": 1.5}, "b"),
        ({"u": 2.5}, "a"),
    ]
    source.close()


def test_bad_files_are_refused(tmp_path):
    path = tmp_path / "rows.feather"
    path.write_bytes(b"no arrow file")
    with pytest.raises(SourceError, match="cannot read"):
        ArrowFileSource(path, target="kind")
    pyarrow.feather.write_feather(TABLE.slice(0, 0), path)
    with pytest.raises(SourceError, match="must have at least one row, got columns only"):
        ArrowFileSource(path, target="kind")
    nested = pyarrow.table({"u": [[1.0]], "kind": ["a"]})
    pyarrow.feather.write_feather(nested, path)
    with pytest.raises(SourceError, match="must not be nested, got 'u'"):
        ArrowFileSource(path, target="kind")
    with pytest.raises(SourceError, match="cannot read"):
        ArrowFileSource(tmp_path / "absent", target="kind")
