"""Parquet files as a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from loco_stream._text import one_line
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector, Extra, Form
from loco_stream.connectors._base.numbered_source import Pace
from loco_stream.connectors._base.pipe_reader import refuse_pipe
from loco_stream.connectors._base.table_source import (
    PEEK,
    Columns,
    TableSource,
    check_header,
    check_speed,
)
from loco_stream.connectors._base.values import plain
from loco_stream.errors import SourceError

__all__ = ["CONNECTORS", "ParquetSource"]

_PARQUET = Extra("parquet", "pyarrow>=18.1", "pyarrow.parquet")
_BATCH = 1024
_SLICE = 16  # rows that are Python values at a time: a text may be long


class ParquetSource(TableSource):
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
        The file or a column is missing, the file is empty or damaged, a column is nested, or
        pyarrow is not installed.

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
        use: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - the name of the URL option
        keep: Sequence[str] = (),
        task: str | None = None,
        time: str | None = None,
        sequence: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
        on_bad: str = "stop",
    ) -> None:
        check_speed(time, speed)
        self.path = Path(path)
        columns = Columns(target, time, sequence, tuple(drop), tuple(use), id, tuple(keep))
        super().__init__(
            f"parquet:{self.path.name}",
            str(path),
            columns,
            task=task,
            pace=Pace(rate, speed),
            bad=BadRows(on_bad),
        )
        with self._reading():
            self._file = self._open()
            names = self._file.schema_arrow.names
            columns.check(str(path), names)
            check_header(str(path), names)
            self._refuse_nested(drop)
            self._names = [n for n in names if n not in columns.drop or n in columns.keep]
            self.n_rows = self._file.metadata.num_rows
        if self.n_rows == 0:
            raise SourceError(f"{path} must have at least one row, got columns only")
        labels = [r[target] for r in islice(self._records(0), PEEK)] if target else []
        self._set_columns(names, labels)

    def _open(self) -> Any:
        refuse_pipe(self.path, "a Parquet file")
        parquet = _PARQUET.load()
        types = _PARQUET.load("pyarrow").types
        file = parquet.ParquetFile(self.path, memory_map=True)
        # texts stay indices into their dictionary: written out, a small file may need gigabytes
        texts = [f.name for f in file.schema_arrow if types.is_string(f.type)]
        file.close()
        return parquet.ParquetFile(self.path, memory_map=True, read_dictionary=texts)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what a damaged file raises into a sentence."""
        arrow = _PARQUET.load("pyarrow")
        try:
            yield
        except (arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"cannot read {self.path}: {one_line(str(error))}") from None

    def _refuse_nested(self, drop: Sequence[str]) -> None:
        is_nested = _PARQUET.load("pyarrow").types.is_nested
        nested = [
            f.name for f in self._file.schema_arrow if is_nested(f.type) and f.name not in drop
        ]
        if nested:
            raise SourceError(
                f"columns of {self.path} must not be nested, got {nested[0]!r} "
                "(`drop` leaves it out)"
            )

    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        skip = start
        first = 0
        with self._reading():
            n_groups = self._file.metadata.num_row_groups
            while first < n_groups:
                n_rows = self._file.metadata.row_group(first).num_rows
                if skip < n_rows:
                    break
                skip -= n_rows
                first += 1
        return islice(self._read(range(first, n_groups)), skip, None)

    def _read(self, groups: range) -> Iterator[Mapping[str, Any]]:
        batches = iter(())
        with self._reading():
            batches = self._file.iter_batches(_BATCH, row_groups=list(groups), columns=self._names)
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            for begin in range(0, batch.num_rows, _SLICE):
                with self._reading():
                    rows = batch.slice(begin, _SLICE).to_pylist()
                for row in rows:
                    yield {name: plain(value) for name, value in row.items()}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


CONNECTORS = (
    Connector(
        "parquet",
        ParquetSource,
        (Form("parquet:PATH?target=COLUMN", ParquetSource.guarantee),),
        extra=_PARQUET,
    ),
)
