"""Parquet files as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loco_stream.connectors._base.arrow_source import BATCH, ArrowSource, skipped
from loco_stream.connectors._base.connector import Connector


class ParquetSource(ArrowSource):
    """Rows of a Parquet file.

    Parameters
    ----------
    path
        The file.
    target, drop, use, id, keep, task, sequence, rate, speed, on_bad
        As in `CSVSource`.
    time
        As in `CSVSource`. A timestamp column becomes seconds since 1970 UTC.

    Raises
    ------
    SourceError
        The file or a column is missing, the file is empty or damaged, or a column is nested.

    Examples
    --------
    >>> import os, tempfile, pyarrow, pyarrow.parquet
    >>> from loco_stream.connectors import ParquetSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.parquet")
    >>> pyarrow.parquet.write_table(pyarrow.table({"u": [0.5, 1.5], "kind": ["a", "b"]}), path)
    >>> [(row.x, row.y) for row in ParquetSource(path, target="kind")]
    [({'u': 0.5}, 'a'), ({'u': 1.5}, 'b')]
    """

    _scheme = "parquet"
    _about = "a Parquet file"

    def _open(self) -> Any:
        from pyarrow import parquet
        from pyarrow.types import is_string

        file = parquet.ParquetFile(self.path, memory_map=True)
        # texts stay indices into their dictionary: written out, a small file may need gigabytes
        texts = [field.name for field in file.schema_arrow if is_string(field.type)]
        file.close()
        self._file = parquet.ParquetFile(self.path, memory_map=True, read_dictionary=texts)
        self.n_rows = self._file.metadata.num_rows
        return self._file.schema_arrow

    def _batches(self, start: int) -> Iterator[Any]:
        n_groups = self._file.metadata.num_row_groups
        first = 0
        while first < n_groups:
            n_rows = self._file.metadata.row_group(first).num_rows
            if start < n_rows:
                break
            start -= n_rows
            first += 1
        groups = list(range(first, n_groups))
        batches = self._file.iter_batches(
            BATCH, row_groups=groups, columns=self._names, use_threads=False
        )
        return skipped(self.path, batches, start)


CONNECTORS = (
    Connector(
        "parquet",
        ParquetSource,
        {"parquet:PATH?target=COLUMN": ParquetSource.guarantee},
    ),
)
