"""Header lines of CSV files, which may come again and with other columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field

from loco_stream.connectors._base.table_source import check_header
from loco_stream.connectors._base.values import number
from loco_stream.errors import SourceError


@dataclass(frozen=True, slots=True)
class Header:
    """Columns that a header line names.

    Parameters
    ----------
    line
        The line.
    delimiter
        Between names, and between the cells of the rows below.
    names
        Of the columns.
    is_detected
        Whether the delimiter was detected in the line.
    may_change
        Whether a header below may name other columns, as in the next file of a log.

    Examples
    --------
    >>> header = Header.of("rows.csv", "speed,load,kind")
    >>> header.renewed('"kind";"load";"speed"').names
    ('kind', 'load', 'speed')
    >>> header.renewed("0.4,1.2,kind") is None
    True
    """

    line: str
    delimiter: str
    names: tuple[str, ...]
    is_detected: bool
    may_change: bool
    words: frozenset[str] = field(init=False)  # names that are no numbers, as cells may be

    def __post_init__(self) -> None:
        words = frozenset(name for name in self.names if number(name) is None)
        object.__setattr__(self, "words", words)

    @classmethod
    def of(
        cls, path: str, line: str, delimiter: str | None = None, *, may_change: bool = False
    ) -> Header:
        """Return the header in a line; without a delimiter, it is detected.

        Raises
        ------
        SourceError
            The line is no header, or repeats a name.
        """
        mark = delimiter or max(",;\t|", key=line.count)
        try:
            cells = next(csv.reader([line], delimiter=mark))
        except csv.Error as e:
            raise SourceError(f"cannot read the header of {path}: {e}") from None
        names = tuple(name.strip() for name in cells)
        header = cls(line, mark, names, delimiter is None, may_change)
        if not header.words:
            raise SourceError(
                f"{path} must have a header, got numbers in its first line ({line.strip()[:60]})"
            )
        check_header(path, header.names)
        return header

    def renewed(self, line: str) -> Header | None:
        """Return the header in a line below this one; None if the line is a row.

        A header has the same names in any order. If it may change, it has two of the names at
        least, and more than half of the fewer columns. It is this one if it names the same columns.
        """
        try:
            delimiter = None if self.is_detected else self.delimiter
            header = Header.of("", line, delimiter, may_change=self.may_change)
        except SourceError:
            return None
        if {*header.names} != {*self.names} and not (self.may_change and self._resembles(header)):
            return None
        is_same = (header.names, header.delimiter) == (self.names, self.delimiter)
        return self if is_same else header

    def _resembles(self, other: Header) -> bool:
        n_known = len(self.words.intersection(other.words))
        return n_known > 1 and 2 * n_known > min(len(self.names), len(other.names))

    def may_be_in(self, text: str) -> bool:
        """Return whether a line of a text may be a header."""
        probe = max(self.words, key=len)
        if probe not in text:
            return False
        lines: Iterator[str] = (line for line in text.splitlines() if probe in line)
        return any(self.renewed(line) is not None for line in lines)
