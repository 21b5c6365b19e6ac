"""Base class of sources whose files pyarrow reads as record batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from zlib import crc32

from loco_stream._checks import checks_types
from loco_stream._text import one_line
from loco_stream.connectors._base.numbered_source import check_rows_read
from loco_stream.connectors._base.pipe_reader import refuse_pipe
from loco_stream.connectors._base.table_source import (
    PEEK,
    TablePart,
    TableSource,
    check_header,
)
from loco_stream.connectors._base.values import plain_scalar
from loco_stream.errors import SourceError

BATCH = 1024  # rows
_SLICE = 16  # rows that are Python values at a time: a text may be long
_FINGERPRINT_SIZE = 64  # first rows, and columns, by which a file is known again

Table: TypeAlias = Any  # of pyarrow, which ships no types
Batch: TypeAlias = Any
Record: TypeAlias = Mapping[str, Any]


class ArrowSource(TableSource):
    """Rows of a file of record batches.

    Subclasses document the parameters. They are those of `CSVSource` for a recording, without the
    format of the text.
    """

    _scheme: ClassVar[str]  # of the URL, the first part of the name
    _about: ClassVar[str]  # what the file should be, for error messages
    _file: Any  # of pyarrow

    @checks_types
    def __init__(self, path: str | Path, target: str | None = None, **options: Any) -> None:
        self.path = Path(path)
        super().__init__(f"{self._scheme}:{self.path.name}", str(path), target, **options)
        columns = self._roles
        refuse_pipe(self.path, self._about)
        with self._reading():
            schema = self._open()
            names = schema.names  # decoded here: those of a damaged file may be no texts
        check_header(str(path), names)
        columns.check(str(path), names)
        self._refuse_nested(schema, columns.drop)
        self._names = [n for n in names if n not in columns.drop or n in columns.keep]
        self._set_targets(columns.targets(names))
        needed = list(self._targets) or self._names[:1]
        batches = (batch.select(needed) for batch in self._safe_batches(0))
        first = list(islice(chain.from_iterable(map(self.records_of, batches)), PEEK))
        if not first:
            raise SourceError(f"{path} must have at least one row, got columns only")
        self._set_columns(names, self._first_labels(first))
        self._checksums = self._read_checksums()

    @abstractmethod
    def _open(self) -> Any:
        """Open the file as `_file` and return its schema; sets `n_rows` if it is known."""

    @abstractmethod
    def _batches(self, start: int) -> Iterator[Batch]:
        """Yield the columns in `_names` of the rows from number `start` on."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Rows that were read, up to 64 of them, and a checksum of their values per column."""
        n = min(self._row, _FINGERPRINT_SIZE)
        return {"row": n, "checksums": {name: sums[n] for name, sums in self._checksums.items()}}

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Compare the first rows with a fingerprint, in the columns that both have."""
        n = fingerprint["row"]
        known = fingerprint["checksums"]
        for name, sums in self._checksums.items():
            if name in known and (len(sums) <= n or sums[n] != known[name]):
                raise SourceError(
                    f"{self.path} must be the file that was read before: its first {n:,} rows are "
                    "different"
                )

    def _read_checksums(self) -> dict[str, list[int]]:
        """Return checksums of the first 0, 1, 2 ... values of each column."""
        names = self._names[:_FINGERPRINT_SIZE]
        batches = (batch.select(names) for batch in self._safe_batches(0))
        rows = chain.from_iterable(map(self.records_of, batches))
        checksums = {name: [0] for name in names}
        for row in islice(rows, _FINGERPRINT_SIZE):
            for name, sums in checksums.items():
                sums.append(crc32(repr(row[name]).encode(), sums[-1]))
        return checksums

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse_nested(self, schema: Any, drop: Sequence[str]) -> None:
        from pyarrow.types import is_nested

        nested = [f.name for f in schema if is_nested(f.type) and f.name not in drop]
        if nested:
            raise SourceError(
                f"columns of {self.path} must not be nested, got {nested[0]!r} "
                "(`drop` leaves it out)"
            )

    def _records(self, start: int) -> Generator[Record]:
        for batch in self._safe_batches(start):
            yield from self.records_of(batch)

    def _parts(self, start: int) -> Generator[TablePart]:
        self._begin_reading()
        for batch in self._safe_batches(start):
            yield _BatchPart(self, batch, start)
            start += batch.num_rows

    def _safe_batches(self, start: int) -> Iterator[Batch]:
        if self.n_rows is not None:
            check_rows_read(self.path, start, self.n_rows)
        with self._reading():
            batches = self._batches(start)
        while True:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def records_of(self, batch: Batch) -> Iterator[Record]:
        """Yield the rows of a batch with plain values."""
        for begin in range(0, batch.num_rows, _SLICE):
            with self._reading():
                rows = batch.slice(begin, _SLICE).to_pylist()
            for row in rows:
                yield {name: plain_scalar(value) for name, value in row.items()}

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what a damaged file raises into a sentence."""
        import pyarrow

        try:
            yield
        except SourceError:
            raise
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            raise SourceError(f"cannot read {self.path}: {one_line(str(error))}") from None


class _BatchPart:
    """Rows of one batch; see `TablePart`."""

    parse = None

    @staticmethod
    def text(value: Any) -> Any:
        """Return a plain value."""
        return plain_scalar(value)

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
        for i, record in enumerate(self._source.records_of(self._batch), self._start):
            yield f"row {i:,} of {self._source.name}", record


def skipped(path: Path, batches: Iterator[Batch], n: int) -> Iterator[Batch]:
    """Yield batches of at most `BATCH` rows without the first `n` rows of all.

    Raises `SourceError` if there are fewer.
    """
    left = n
    for batch in batches:
        if left >= batch.num_rows:
            left -= batch.num_rows
            continue
        for begin in range(left, batch.num_rows, BATCH):
            yield batch.slice(begin, BATCH)
        left = 0
    check_rows_read(path, n, n - left)
