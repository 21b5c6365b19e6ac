"""Recorded streams in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from loco_stream.connectors.bad_rows import BadRows
from loco_stream.connectors.live_text import refuse_stream
from loco_stream.connectors.rows import Pace
from loco_stream.connectors.table import PEEK, TableSource, check_columns, check_speed
from loco_stream.connectors.values import need, plain
from loco_stream.errors import SourceError

__all__ = ["ParquetSource"]


class ParquetSource(TableSource):
    """Rows of a Parquet file; needs the extra ``loco-stream[parquet]``.

    Parameters
    ----------
    path
        The file.
    target, drop, task, time, sequence, rate, speed
        As in `CSVSource`; a timestamp column becomes seconds since 1970 UTC.

    Raises
    ------
    SourceError
        No such file, another format, an empty one, a missing or nested column.

    Examples
    --------
    >>> import os, tempfile, pyarrow, pyarrow.parquet
    >>> from loco_stream.connectors import ParquetSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.parquet")
    >>> pyarrow.parquet.write_table(pyarrow.table({"u": [0.5, 1.5], "kind": ["a", "b"]}), path)
    >>> [(row.x, row.y) for row in ParquetSource(path, target="kind")]
    [({'u': 0.5}, 'a'), ({'u': 1.5}, 'b')]
    """

    def __init__(
        self,
        path: str | Path,
        target: str | None = None,
        *,
        drop: Sequence[str] = (),
        task: str | None = None,
        time: str | None = None,
        sequence: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
        on_bad: str = "stop",
    ) -> None:
        check_speed(time, speed)
        self.path = Path(path)
        refuse_stream(self.path, "a Parquet file")
        arrow, parquet = (need(m, "parquet", "parquet") for m in ("pyarrow", "pyarrow.parquet"))
        try:
            self._file = parquet.ParquetFile(self.path, memory_map=True)
        except (OSError, arrow.ArrowException) as e:
            raise SourceError(f"cannot read {path}: {e}") from None
        schema = self._file.schema_arrow
        check_columns(str(path), schema.names, target, drop, time, sequence)
        nested = [f.name for f in schema if arrow.types.is_nested(f.type) and f.name not in drop]
        if nested:
            raise SourceError(
                f"{path}: column {nested[0]!r} is nested; leave it out with drop={nested[0]}"
            )
        self.n_rows = self._file.metadata.num_rows
        if self.n_rows == 0:
            raise SourceError(f"{path} has columns and no rows")
        self._drop = set(drop)
        self._columns = [name for name in schema.names if name not in self._drop]
        labels = [r[target] for r in islice(self._records(0), PEEK)] if target else []
        super().__init__(
            f"parquet:{self.path.name}",
            str(path),
            schema.names,
            labels,
            target=target,
            drop=drop,
            task=task,
            time=time,
            sequence=sequence,
            pace=Pace(rate, speed),
            bad=BadRows(on_bad),
        )

    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        groups = self._file.metadata.num_row_groups
        skip = start
        first = 0
        while first < groups and skip >= (rows := self._file.metadata.row_group(first).num_rows):
            skip = skip - rows
            first = first + 1
        return islice(self._read(range(first, groups)), skip, None)

    def _read(self, groups: range) -> Iterator[Mapping[str, Any]]:
        for batch in self._file.iter_batches(1024, row_groups=list(groups), columns=self._columns):
            for row in batch.to_pylist():
                yield {name: plain(value) for name, value in row.items()}

    def close(self) -> None:
        """Close the file."""
        self._file.close()
