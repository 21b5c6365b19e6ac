"""CSV files, pipes and growing files as a source."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import listed
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.csv_columns import ColumnParser, PushedLines
from loco_stream.connectors._base.csv_header import Header
from loco_stream.connectors._base.csv_records import RecordReader, undecoded
from loco_stream.connectors._base.lines import FileLines, Lines
from loco_stream.connectors._base.numbered_source import NumberedSource
from loco_stream.connectors._base.table_source import TablePart
from loco_stream.connectors._base.tail_reader import (
    FOLLOW_GUARANTEE,
    PIPE_GUARANTEE,
    Numbered,
    Record,
    TailReader,
)
from loco_stream.connectors._base.text_source import TextSource
from loco_stream.connectors._base.values import number, parse_cell
from loco_stream.errors import ConfigError, SourceError

_QUOTED_LINES = 100  # that a quoted field of a pipe or growing file may span

# Characters parsed together, two thousand rows of eight numbers; up to four times as many of rows
# with more columns.
_PART = 1 << 18
_KINDS = 64  # records that show which columns hold numbers; a part with a text costs twice as much
_GROUPED = re.compile(
    r"[-+]?\d{1,3}((,\d{3})+\.\d+|(\.\d{3})+,\d+|([ '\u00a0\u202f]\d{3})+([.,]\d+)?)"
)
_GZIP = ("\x1f\udc8b", "\x1f\x8b")  # first bytes, as UTF-8 and latin-1 read them
_DELIMITERS = {"tab": "\t", "\\t": "\t"}


class CSVSource(TextSource):
    r"""Rows of a CSV file with a header line, plain or gzip.

    Numbers and true/false are parsed; other text stays text. An empty cell, NA, N/A, NaN, null or ?
    is a missing value (None).

    Parameters
    ----------
    path
        The file; ``-`` is standard input. A pipe or FIFO is read once, as its rows arrive.
    target
        Column of the label; ``a,b`` names several targets. An empty name reads rows without labels.
    drop
        Columns that are not features.
    use
        The only columns that are features. By default all are that have no other role.
    id
        Column of the row's id, by which later labels find the row; it is not a feature.
    keep
        Columns that the record of the prediction repeats under ``keep``; they may be features too.
    delimiter
        Character between cells, or ``tab``. By default it is detected in the header: comma,
        semicolon, tab or bar.
    decimal
        Decimal separator, ``.`` or ``,``.
    encoding
        Text encoding, by any name that Python knows. By default UTF-8.
    task
        ``classification`` or ``regression``. By default inferred from the labels of the first 1000
        rows, or of 1000 rows from the first label on if that comes later: numbers with a fraction
        mean regression, in which a text is a bad row, unless half of the labels are texts. Labels
        are integers if these are whole numbers, floats in regression, otherwise text as written.
    time
        Column of the event time, in seconds since 1970 or as ISO 8601 date; it is not a feature.
    time_format
        Form of the texts in `time` as `strptime` of Python has it, such as ``%d.%m.%Y %H:%M``.
        Times without a zone count as UTC.
    sequence
        Column of the sequence id; it is not a feature. The memory of a model is reset where the id
        changes.
    rate
        Rows per second of a replay. By default rows are read as fast as they are learned.
    speed
        Multiple of the recorded speed of a replay; needs `time`.
    on_bad
        ``stop`` raises at a bad row (wrong number of cells, open quote, undecodable bytes, invalid
        label or time), so that the file can be repaired; ``skip`` leaves it out and counts it.
    follow
        Wait at the end of the file for further rows, through rotation of the file. The kind of the
        labels is inferred from the rows of the first second, or of the second after the first
        label if that comes later.
    idle
        Time without a row after which a pipe or a followed file ends. By default it does not.

    Raises
    ------
    SourceError
        The file or a column is missing, or the file is empty; while reading: a bad row.
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import CSVSource
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("colour,size,kind\nred,2,a\n,3.5,b\n")
    >>> [(s.x, s.y) for s in CSVSource(path, target="kind")]
    [({'colour': 'red', 'size': 2}, 'a'), ({'colour': None, 'size': 3.5}, 'b')]
    """

    @checks_types
    def __init__(
        self,
        path: str | Path,
        target: str | None = None,
        *,
        delimiter: str | None = None,
        decimal: str = ".",
        encoding: str | None = None,
        time: str | None = None,
        time_format: str | None = None,
        **options: Any,
    ) -> None:
        _check_time_format(time, time_format)
        if decimal not in (".", ","):
            raise ConfigError(f"`decimal` must be '.' or ',', got {decimal!r}")
        self._decimal_comma = decimal == ","
        self._delimiter = _check_delimiter(delimiter)
        self._header: Header | None = None  # of the last row
        self._n_header_lines = 0
        self._no_header: SourceError | None = None  # why the first line of a growing file is none
        self._columns: ColumnParser | None = None  # of a recording
        self._columns_of: Header | None = None
        self._records_of: RecordReader | None = None  # reads the recording line by line
        text = _check_encoding(encoding)
        super().__init__("csv", path, text, target, time_format, time=time, **options)
        if self._tail is not None:
            self._begin_tail(self._tail)
            return
        records = self._peek("row, got a header only")
        self._set_columns(self._column_names, self._first_labels(records))
        self._note_columns(records)
        self._columns = self._column_parser(records)

    def _time_of(self, value: Any) -> float:
        try:
            return super()._time_of(value)
        except SourceError as error:
            if self._roles.time_format is not None:
                raise
            other = "`time_format` reads other forms, such as %d.%m.%Y %H:%M"
            raise SourceError(f"{error}; {other}") from None

    @property
    def _column_names(self) -> tuple[str, ...]:
        """The columns of the last row, or of the rows to come."""
        return () if self._header is None else self._header.names

    def _begin_tail(self, tail: TailReader) -> None:
        """Read the header of a pipe; that of a growing file may come later, or have come earlier.

        After a truncation there may be none. A saved position then has it.
        """
        if not tail.is_growing:
            self._read_header(tail.first_lines())
            return
        try:
            if line := tail.first_lines().read():
                self._take_header(line)
        except SourceError as error:
            self._header = None
            self._no_header = error

    def _read_header(self, lines: Lines) -> None:
        self._take_header(self._first_line(lines))

    def _take_header(self, line: str) -> None:
        if line.startswith(_GZIP):
            remedy = (
                "pipe it through gunzip" if str(self.path) == "-" else "its name must end in .gz"
            )
            raise SourceError(f"{self._where} holds gzip data: {remedy}")
        if undecoded(line):
            raise SourceError(
                f"the header of {self._where} must be in {self._encoding.removesuffix('-sig')}; "
                "`encoding` names another one, such as latin-1 or cp1252"
            )
        may_change = self._tail is not None
        self._header = Header.of(self._where, line, self._delimiter, may_change=may_change)
        self._check_header(self._header)
        self._set_targets(self._roles.targets(self._column_names))

    def _check_header(self, header: Header) -> None:
        self._roles.check(self._where, header.names)

    def _set_header(self, line: str) -> None:
        before = self._column_names
        self._take_header(line)
        self._no_header = None
        new = [name for name in self._column_names if name not in before]
        gone = [name for name in before if name not in self._column_names]
        if self._has_columns and (new or gone):
            self._set_columns(self._column_names, [])
            self._note(
                f"the columns of {self._where} are others than before; "
                f"new: {listed(new) or 'none'}, gone: {listed(gone) or 'none'}"
            )

    def _first_line(self, lines: Lines) -> str:
        """Return the first line that is not blank."""
        self._n_header_lines = 0
        while line := lines.read():
            self._n_header_lines += 1
            lines.use(line)
            if line.strip():
                return line
        raise SourceError(f"{self._where} is empty: it must have a header and at least one row")

    def _parse(self, lines: Lines, bad: BadRows) -> Numbered:
        if self._no_header is not None:
            raise self._no_header
        if self._header is None:  # of a growing file, which was empty
            self._read_header(lines)
        reader = self._records_of = self._reader(lines, bad, self._n_header_lines)
        yield from self._parsed(reader, lines)

    def _parse_first(self, lines: Lines, bad: BadRows) -> Numbered:
        reader = self._reader(lines, bad, self._n_header_lines)
        for cells in self._cells(reader):
            names = reader.header.names
            yield reader.line, {name: cell or None for name, cell in zip(names, cells, strict=True)}

    def _reader(self, lines: Lines, bad: BadRows, n_before: int) -> RecordReader:
        assert self._header is not None
        quoted_lines = None if self._tail is None else _QUOTED_LINES
        return RecordReader(lines, self._header, self._where, bad, n_before, quoted_lines)

    def _parsed(self, reader: RecordReader, lines: Lines) -> Numbered:
        header = reader.header
        lines.header = header.line
        for cells in self._cells(reader):
            if reader.header is not header:
                header = reader.header
                self._check_header(header)
                lines.header = header.line
            yield reader.line, self._record(header, cells)

    def _cells(self, reader: RecordReader) -> Iterator[list[str]]:
        """Yield the cells of each record, with the point as decimal separator."""
        if not self._decimal_comma:
            return iter(reader)
        return ([_with_point(cell) for cell in cells] for cells in reader)

    def _set_columns_from(self, records: Sequence[Record]) -> None:
        super()._set_columns_from(records)
        self._note_columns(records)

    def _note_columns(self, records: Sequence[Record]) -> None:
        """Note columns that a model would learn from to no purpose, without an error."""
        self._note_a_column_without_name()
        if not self._decimal_comma:
            self._note_texts(records, _has_comma, "`decimal=,` reads them as numbers")
        self._note_texts(records, _has_groups, "without separators of thousands they are numbers")

    def _note_texts(
        self, records: Sequence[Record], is_number: Callable[[str], bool], remedy: str
    ) -> None:
        """Note which columns hold numbers that are read as texts.

        A model takes such texts as categories and learns next to nothing, without an error.
        """
        assert self.schema is not None
        examples = {}
        for name in (*self._targets, *(self.schema.features or ())):
            cells = (record.get(name) for record in records)
            example = next((c for c in cells if isinstance(c, str) and is_number(c)), None)
            if example is not None:
                examples[name] = example
        if not examples:
            return
        columns = "columns hold" if len(examples) > 1 else "column holds"
        example = next(iter(examples.values()))
        note = (
            f"{self._where}: {len(examples)} {columns} texts such as {example!r} "
            f"({listed(examples)}); {remedy}"
        )
        self._note(note)

    def _note_a_column_without_name(self) -> None:
        """Note the column without a name that pandas writes for the index; it numbers the rows."""
        if self.schema is not None and "" in (self.schema.features or ()):
            number = self._column_names.index("") + 1
            self._note(
                f"{self._where}: column {number} has no name and is a feature; "
                "if it numbers the rows, write the table without it"
            )

    # Blocks

    def _column_parser(self, records: Sequence[Record]) -> ColumnParser:
        """Return a parser for columns of the kinds that the first records probably have."""
        assert self.schema is not None
        assert self._header is not None
        self._columns_of = self._header
        features = self.schema.features or ()
        roles = self._roles
        others = filter(None, (*self._targets, roles.time, roles.sequence))
        used = list(dict.fromkeys([*features, *others]))
        first = records[:_KINDS]
        numeric = [
            name
            for name in features
            if not {str, bool} & {type(parse_cell(record[name] or "")) for record in first}
        ]
        point = "," if self._decimal_comma else "."
        return ColumnParser(self._column_names, used, numeric, self._header.delimiter, point)

    def _point(self, cell: str) -> str:
        return _with_point(cell) if self._decimal_comma else cell

    def _parse_text(self, cell: str) -> Any:
        return parse_cell(self._point(cell))

    def _parts(self, start: int) -> Generator[TablePart] | None:
        if self._tail is not None or self._columns is None:
            return None
        return self._read_parts(start)

    def _read_parts(self, start: int) -> Generator[TablePart]:
        self._lines = lines = FileLines(self.path, self._encoding)
        self._begin_reading()
        try:
            self._read_header(lines)
            text = ""
            n_lines = self._n_header_lines
            if start:  # an earlier run has read them
                yield _ReadBefore(self, lines, start)
                assert self._records_of is not None
                text = self._records_of.unread()
                n_lines = self._records_of.n_lines
                self._header = self._records_of.header
            size = _PART * min(1 + len(self._column_names) // 32, 4)
            while text := text + lines.read_text(size):
                part = _CSVPart(self, lines, text, n_lines)
                yield part
                text = part.rest
                n_lines += part.n_lines
        finally:
            lines.close()

    def _table_of(self, text: str) -> Any:
        """Return the columns in the lines of a text; None if they are parsed one by one."""
        assert self._columns is not None
        assert self._header is not None
        if self._header != self._columns_of or self._header.may_be_in(text):
            return None
        return self._columns.parse(text)

    def _record(self, header: Header, cells: Sequence[str]) -> dict[str, Any]:
        roles = self._roles
        record = dict(zip(header.names, map(parse_cell, cells), strict=True))
        for name in (*self._targets, roles.time, roles.sequence, roles.id):
            if name in record:
                record[name] = cells[header.names.index(name)] or None
        return record


def _check_time_format(time: str | None, time_format: str | None) -> None:
    if time_format is None:
        return
    if time is None:
        raise ConfigError("`time_format` needs the column of the times in `time`, got none")
    if "%" not in time_format:
        raise ConfigError(
            f"`time_format` must be a form such as '%d.%m.%Y %H:%M', got {time_format!r}"
        )


def _check_delimiter(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    delimiter = _DELIMITERS.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ConfigError(f"`delimiter` must be one character or 'tab', got {delimiter!r}")
    return delimiter


def _check_encoding(name: str | None) -> str:
    try:
        if name is None or codecs.lookup(name).name == "utf-8":
            return "utf-8-sig"
        "".encode(name)  # codecs of bytes, such as hex, refuse
    except (LookupError, ValueError):
        raise ConfigError(
            f"`encoding` must be a text encoding of Python such as latin-1, cp1252 or utf-16, "
            f"got {name!r}"
        ) from None
    return name


def _has_comma(cell: str) -> bool:
    """Return whether a cell is a number with a decimal comma."""
    return "," in cell and _with_point(cell) != cell


def _has_groups(cell: str) -> bool:
    """Return whether a cell is a number with separators of thousands, such as ``1,234.5``."""
    return _GROUPED.fullmatch(cell.strip()) is not None


def _with_point(cell: str) -> str:
    """Replace the decimal comma of a number by a point; other cells stay unchanged."""
    pointed = cell.replace(",", ".", 1)
    return pointed if "," in cell and number(pointed) is not None else cell


@dataclass(slots=True)
class _ReadBefore:
    """The row after those that an earlier run has read; see `TablePart`."""

    _source: CSVSource
    _lines: FileLines
    _start: int
    table = None
    parse = None

    def text(self, value: Any) -> Any:
        """Return the value: there are no columns."""
        return value

    def accept(self) -> None:
        """Do nothing: there are no columns."""

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield the record at the start, if there is one."""
        source = self._source
        records = source._parse(self._lines, source._bad)
        for record in islice(source._after(self._start, records, self._lines), 1):
            yield source.location, record


class _CSVPart:
    """Some lines of a recording; see `TablePart`.

    Attributes
    ----------
    rest
        Lines read beyond the part, in search of the end of a quote.
    n_lines
        Lines that were used.
    """

    def __init__(self, source: CSVSource, lines: FileLines, text: str, n_before: int) -> None:
        self.table = source._table_of(text)
        self.parse = source._parse_text
        self.rest = ""
        self.n_lines = 0
        self._source = source
        self._lines = lines
        self._text = text
        self._n_before = n_before

    def text(self, value: Any) -> Any:
        """Return a cell, None if it is empty."""
        return self._source._point(value) if value else None

    def accept(self) -> None:
        """Add the text to the checksum of what was read."""
        self._lines.use(self._text)
        self.n_lines = self.table.num_rows

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield the records of the lines."""
        source = self._source
        pushed = PushedLines(self._text, self._lines)
        reader = source._reader(pushed, source._bad, self._n_before)
        for line, record in source._parsed(reader, pushed):
            yield f"line {line} of {source.path}", record
            if pushed.is_used:
                break
        source._header = reader.header
        self.rest = reader.unread()
        self.n_lines = reader.n_lines - self._n_before


CONNECTORS = (
    Connector(
        "csv",
        CSVSource,
        {
            "csv:PATH?target=COLUMN": NumberedSource.guarantee,
            "csv:PATH?target=COLUMN&follow=1": FOLLOW_GUARANTEE,
            "csv:-?target=COLUMN": PIPE_GUARANTEE,
        },
        aliases={"separator": "delimiter"},
    ),
)
