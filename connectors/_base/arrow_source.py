"""Base class of sources whose files pyarrow reads as record batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.numbered_source import Pace
from loco_stream.connectors._base.pipe_reader import refuse_pipe
from loco_stream.connectors._base.table_source import PEEK, Columns, Part, TableSource
from loco_stream.connectors._base.values import plain
from loco_stream.errors import SourceError

__all__ = ["BATCH", "ArrowSource"]

BATCH = 1024  # rows

Table: TypeAlias = Any  # of pyarrow, which ships no types
Batch: TypeAlias = Any
Record: TypeAlias = Mapping[str, Any]


class ArrowSource(TableSource):
    """Rows of a file of record batches.

    Parameters
    ----------
    kind
        Scheme of the URL, the first part of the name.
    path
        The file.
    about
        What it should be, for error messages.
    columns
        Roles of the columns.
    task, on_bad
        As in `CSVSource`.
    pace
        When rows are due.
    """

    def __init__(
        self,
        kind: str,
        path: str | Path,
        about: str,
        columns: Columns,
        *,
        task: str | None,
        pace: Pace,
        on_bad: str,
    ) -> None:
        self.path = Path(path)
        super().__init__(
            f"{kind}:{self.path.name}",
            str(path),
            columns,
            task=task,
            pace=pace,
            bad=BadRows(on_bad),
        )
        refuse_pipe(self.path, about)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as e:  # the package index may have none for this platform
            raise SourceError(f"{self.path} cannot be read without pyarrow: {e}") from None
        try:
            schema = self._open()
        except (OSError, pyarrow.ArrowException) as e:
            raise SourceError(f"cannot read {self.path}: {e}") from None
        columns.check(str(path), schema.names)
        self._refuse_nested(schema, columns.drop)
        self._names = [n for n in schema.names if n not in columns.drop or n in columns.keep]
        first = list(islice(self._records(0), PEEK))
        if not first:
            raise SourceError(f"{path} must have at least one row, got columns only")
        target = columns.target
        self._set_columns(schema.names, [record[target] for record in first] if target else [])

    @abstractmethod
    def _open(self) -> Any:
        """Open the file and return its schema; sets `n_rows` if it is known."""

    @abstractmethod
    def _batches(self, start: int) -> Iterator[Batch]:
        """Yield the columns in `_names` of the rows from number `start` on."""

    def _refuse_nested(self, schema: Any, drop: Sequence[str]) -> None:
        from pyarrow.types import is_nested

        nested = [f.name for f in schema if is_nested(f.type) and f.name not in drop]
        if nested:
            raise SourceError(
                f"columns of {self.path} must not be nested, got {nested[0]!r} "
                "(`drop` leaves it out)"
            )

    def _records(self, start: int) -> Iterator[Record]:
        for batch in self._batches(start):
            yield from records_of(batch)

    def _reads_parts(self) -> bool:
        return True

    def _parts(self, start: int) -> Iterator[Part]:
        self._bad.clear()
        for batch in self._batches(start):
            yield _BatchPart(self, batch, start)
            start += batch.num_rows


class _BatchPart:
    """Rows of one batch; see `Part`."""

    parse = None

    @staticmethod
    def text(value: Any) -> Any:
        """Return a plain value."""
        return plain(value)

    def __init__(self, source: ArrowSource, batch: Batch, start: int) -> None:
        import pyarrow

        self.table: Table = pyarrow.Table.from_batches([batch])
        self._source = source
        self._batch = batch
        self._start = start

    def accept(self) -> None:
        """Do nothing: positions are row numbers."""

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield the rows."""
        for i, record in enumerate(records_of(self._batch), self._start):
            yield f"row {i} of {self._source.name}", record


def records_of(batch: Batch) -> Iterator[Record]:
    """Yield the rows of a batch with plain values."""
    for row in batch.to_pylist():
        yield {name: plain(value) for name, value in row.items()}


def skipped(batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """Yield batches of at most `BATCH` rows without the first `n` rows of all."""
    for batch in batches:
        if n >= batch.num_rows:
            n -= batch.num_rows
            continue
        for begin in range(n, batch.num_rows, BATCH):
            yield batch.slice(begin, BATCH)
        n = 0
