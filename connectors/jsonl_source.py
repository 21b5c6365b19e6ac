"""Recorded streams of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from loco_stream.connectors.bad_rows import BadRows
from loco_stream.connectors.csv_source import TextSource
from loco_stream.connectors.rows import Pace
from loco_stream.connectors.table import check_speed, check_width
from loco_stream.errors import SourceError
from loco_stream.stream import Event

__all__ = ["JSONLSource"]

_Value = float | int | bool | str | None


class _Recorded(msgspec.Struct):
    """A line as live readable messages are written."""

    x: dict[str, _Value]
    y: _Value = None
    t: float | None = None


_FLAT = msgspec.json.Decoder(dict[str, _Value])
_RECORDED = msgspec.json.Decoder(_Recorded)


class JSONLSource(TextSource):
    r"""One JSON object a line, plain or ``.gz``; rows may have different keys.

    Parameters
    ----------
    path
        The file, UTF-8; ``-`` is standard input. A pipe or FIFO is read once, as it comes.
    target
        The label's key; an empty name reads rows without labels. Lines of the form
        ``{"x": {...}, "y": label, "t": seconds}`` need none.
    drop, task, time, sequence, rate, speed, on_bad, follow, idle
        As in `CSVSource`; lines with "t" need no `time`.

    Raises
    ------
    SourceError
        No such file, an empty one, a key that the first 1000 rows do not have; while reading, a
        line that is no flat JSON object.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import JSONLSource
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.jsonl"
    >>> _ = path.write_text('{"a": 1, "y": "on"}\n{"b": null, "y": "off"}\n')
    >>> [(s.x, s.y) for s in JSONLSource(path, target="y")]
    [({'a': 1}, 'on'), ({'b': None}, 'off')]
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
        follow: bool = False,
        idle: float | None = None,
    ) -> None:
        self._bad = BadRows(on_bad)
        self.path = Path(path)
        self._names: set[str] = set()
        self._wrapped: bool | None = None if target is None else False
        pace = Pace(rate, speed)
        live = self._go_live(follow, idle, pace)
        peeked = [] if live else self._first_objects()
        if self._wrapped:
            target = "y"
            time = "t"
        check_speed(time, speed)
        columns = list(dict.fromkeys(name for record in peeked for name in record))
        super().__init__(
            f"jsonl:{self.path.name}",
            str(path),
            columns,
            None if live else [r.get(target) for r in peeked if target],
            target=target,
            drop=drop,
            task=task,
            time=time,
            sequence=sequence,
            pace=pace,
            fixed=False,
            bad=self._bad,
        )

    def _first_objects(self) -> list[dict[str, Any]]:
        with self._open() as file:
            peeked = self._peek(self._objects(file))
        if not peeked:
            raise SourceError(
                f"{self.path} is empty: at least one line with a JSON object is needed"
            )
        return peeked

    def _lines(self, file: IO[str]) -> Iterator[str]:
        try:
            while line := self._read_line(file):
                yield line
        except (UnicodeError, OSError, EOFError) as e:
            raise SourceError(f"cannot read {self.path}: {e}") from None

    def _objects(self, file: IO[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines(file), 1):
            self._sum_up(line)
            if line.strip() and (record := self._read(number, line)) is not None:
                self._names.update(record)
                check_width(str(self.path), len(self._names))
                self.location = f"line {number} of {self.path}"
                yield record

    def _read(self, number: int, line: str) -> dict[str, Any] | None:
        bad = self._reading or self._bad
        try:
            if (
                self._wrapped is None
            ):  # the first object tells whether all have the form of live readable messages
                record = msgspec.json.decode(line)
                self._wrapped = (
                    isinstance(record.get("x"), dict) if isinstance(record, dict) else None
                )
            if not self._wrapped:
                return _FLAT.decode(line)
            row = _RECORDED.decode(line)
        except msgspec.ValidationError as e:
            kind = (
                "nested value" if "$" in str(e) else "no object"
            )  # a path into the object is named
            bad.found(kind, f"line {number} of {self.path} is no flat JSON object: {e}")
        except UnicodeError:
            bad.found("encoding", f"line {number} of {self.path} is not UTF-8")
        except (msgspec.DecodeError, RecursionError) as e:
            bad.found("no JSON", f"line {number} of {self.path} is no flat JSON object: {e}")
        else:
            return {**row.x, "y": row.y, "t": row.t}
        return None

    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        with self._open() as file:
            yield from self._from(self._objects(file), start)

    def _parsed(self, file: IO[str]) -> Iterator[Mapping[str, Any]]:
        return self._objects(file)

    def _judge(self, columns: Sequence[str], labels: Sequence[Any]) -> None:
        if self._wrapped:
            self._target = "y"
            self._time = "t"
        super()._judge(columns, labels)

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows from the position on."""
        return self._live_events() if self._live else super().__iter__()
