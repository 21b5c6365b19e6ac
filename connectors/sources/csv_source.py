"""CSV files, pipes and growing files as a source."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from loco_stream._text import listed
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.csv_columns import ColumnParser, PushedLines
from loco_stream.connectors._base.csv_records import RecordReader, undecoded
from loco_stream.connectors._base.lines import FileLines, Lines
from loco_stream.connectors._base.numbered_source import NumberedSource
from loco_stream.connectors._base.table_source import TablePart, check_header
from loco_stream.connectors._base.tail_reader import FOLLOW_GUARANTEE, PIPE_GUARANTEE, Record
from loco_stream.connectors._base.text_source import TextSource
from loco_stream.connectors._base.values import number, parse_cell
from loco_stream.errors import ConfigError, SourceError

_QUOTED_LINES = 100  # that a quoted field of a pipe or growing file may span

# Characters parsed together, two thousand rows of eight numbers; up to four times as many of rows
# with more columns.
_PART = 1 << 18
_KINDS = 64  # records that show which columns hold numbers; a part with a text costs twice as much
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
        self._header: list[str] = []
        self._n_header_lines = 0
        self._columns: ColumnParser | None = None  # of a recording
        self._records_of: RecordReader | None = None  # reads the recording line by line
        text = _check_encoding(encoding)
        super().__init__("csv", path, text, target, time_format, time=time, **options)
        if self._tail is not None:
            self._read_header(self._tail.first_lines())
            return
        records = self._peek("row, got a header only")
        self._set_columns(self._header, self._first_labels(records))
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

    def _read_header(self, lines: Lines) -> None:
        line = self._header_line = self._first_line(lines)
        if undecoded(line):
            raise SourceError(
                f"the header of {self.path} must be in {self._encoding.removesuffix('-sig')}; "
                "`encoding` names another one, such as latin-1 or cp1252"
            )
        if self._delimiter is None:
            self._delimiter = max(",;\t|", key=line.count)
        self._header = _column_names(str(self.path), line, self._delimiter)
        self._roles.check(str(self.path), self._header)
        self._set_targets(self._roles.targets(self._header))

    def _first_line(self, lines: Lines) -> str:
        """Return the first line that is not blank."""
        self._n_header_lines = 0
        while line := lines.read():
            self._n_header_lines += 1
            lines.use(line)
            if line.strip():
                return line
        raise SourceError(f"{self.path} is empty: it must have a header and at least one row")

    def _parse(self, lines: Lines, bad: BadRows) -> Iterator[tuple[int, Record]]:
        reader = self._records_of = self._reader(lines, bad, self._n_header_lines)
        yield from self._parsed(reader)

    def _parse_first(self, lines: Lines, bad: BadRows) -> Iterator[tuple[int, Record]]:
        reader = self._reader(lines, bad, self._n_header_lines)
        for cells in self._cells(reader):
            yield (
                reader.line,
                {name: cell or None for name, cell in zip(self._header, cells, strict=True)},
            )

    def _reader(self, lines: Lines, bad: BadRows, n_before: int) -> RecordReader:
        assert self._delimiter is not None
        path = str(self.path)
        quoted_lines = None if self._tail is None else _QUOTED_LINES
        return RecordReader(
            lines, self._delimiter, len(self._header), path, bad, n_before, quoted_lines
        )

    def _parsed(self, reader: RecordReader) -> Iterator[tuple[int, Record]]:
        for cells in self._cells(reader):
            yield reader.line, self._record(cells)

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
        self._note_commas(records)

    def _note_commas(self, records: Sequence[Record]) -> None:
        """Note which columns hold numbers with a decimal comma, which are texts without `decimal`.

        A model takes such texts as categories and learns next to nothing, without an error.
        """
        if self._decimal_comma or self.schema is None:
            return
        examples = {}
        for name in (*self._targets, *(self.schema.features or ())):
            cells = (record[name] for record in records)
            texts = (cell for cell in cells if isinstance(cell, str) and "," in cell)
            example = next((text for text in texts if _with_point(text) != text), None)
            if example is not None:
                examples[name] = example
        if not examples:
            return
        columns = "columns hold" if len(examples) > 1 else "column holds"
        example = next(iter(examples.values()))
        note = (
            f"{self.path}: {len(examples)} {columns} texts such as {example!r} "
            f"({listed(examples)}); `decimal=,` reads them as numbers"
        )
        self._note(note)

    def _note_a_column_without_name(self) -> None:
        """Note the column without a name that pandas writes for the index; it numbers the rows."""
        if self.schema is not None and "" in (self.schema.features or ()):
            self._note(
                f"{self.path}: column {self._header.index('') + 1} has no name and is a feature; "
                "if it numbers the rows, write the table without it"
            )

    # Blocks

    def _column_parser(self, records: Sequence[Record]) -> ColumnParser:
        """Return a parser for columns of the kinds that the first records probably have."""
        assert self.schema is not None
        assert self._delimiter is not None
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
        return ColumnParser(self._header, used, numeric, self._delimiter, point)

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
        self._mark = None
        self._bad.clear()
        try:
            self._read_header(lines)
            text = ""
            n_lines = self._n_header_lines
            n_read = max(start, (self._expected or {}).get("row", 0))
            if n_read:  # an earlier run has read them: they are compared row by row
                yield _ReadBefore(self, lines, start, n_read)
                assert self._records_of is not None
                text = self._records_of.unread()
                n_lines = self._records_of.n_lines
            size = _PART * min(1 + len(self._header) // 32, 4)
            while text := text + lines.read_text(size):
                part = _CSVPart(self, lines, text, n_lines)
                yield part
                text = part.rest
                n_lines += part.n_lines
        finally:
            lines.close()

    def _record(self, cells: Sequence[str]) -> dict[str, Any]:
        roles = self._roles
        record = dict(zip(self._header, map(parse_cell, cells), strict=True))
        for name in (*self._targets, roles.time, roles.sequence, roles.id):
            if name in record:
                record[name] = cells[self._header.index(name)] or None
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


def _column_names(path: str, line: str, delimiter: str) -> list[str]:
    """Return the names in a header line.

    Raises
    ------
    SourceError
        The line is no header, or repeats a name.
    """
    try:
        names = next(csv.reader([line], delimiter=delimiter))
    except csv.Error as e:
        raise SourceError(f"cannot read the header of {path}: {e}") from None
    header = [name.strip() for name in names]
    if all(number(name) is not None for name in header):
        raise SourceError(
            f"{path} must have a header, got numbers in its first line ({line.strip()[:60]})"
        )
    check_header(path, header)
    return header


def _with_point(cell: str) -> str:
    """Replace the decimal comma of a number by a point; other cells stay unchanged."""
    pointed = cell.replace(",", ".", 1)
    return pointed if "," in cell and number(pointed) is not None else cell


class _ReadBefore:
    """Rows up to the end of what an earlier run has read, with one more; see `TablePart`."""

    table = None
    parse = None

    def __init__(self, source: CSVSource, lines: FileLines, start: int, n_read: int) -> None:
        self._source = source
        self._lines = lines
        self._start = start
        self._n_read = n_read

    def text(self, value: Any) -> Any:
        """Return the value: there are no columns."""
        return value

    def accept(self) -> None:
        """Do nothing: there are no columns."""

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield the records from the start on."""
        source = self._source
        records = source._parse(self._lines, source._bad)
        for i, record in enumerate(source._after(self._start, records, self._lines)):
            yield source.location, record
            if self._start + i >= self._n_read:
                return


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
        assert source._columns is not None
        self.table = source._columns.parse(text)
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
        for line, record in source._parsed(reader):
            yield f"line {line} of {source.path}", record
            if pushed.is_used:
                break
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
