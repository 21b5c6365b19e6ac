"""Recognition of numbered rows that are sent again, in any order and at any time later."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from loco_stream._persistence.content import Plain, State
from loco_stream.errors import SourceError

MAX_SOURCES = 256
MAX_PER_CLIENT = 64  # sources of one client: nobody can use up the names of all
_MAX_RANGES = 64  # of row numbers without a gap, per source
_FORGET_SECONDS = 600.0  # without a row, after which a source may be forgotten for a new one
_OLD_WINDOW = 64  # rows that release 0.2 remembered per source

Range = tuple[int, int]


class _Numbers(NamedTuple):
    """Rows of a source that have arrived.

    ranges: first and last row number of each run without a gap, ascending
    floor: rows below this number that are in no range cannot be decided on
    client: who sent the first row
    active_at: time of the last row, seconds since 1970
    n_rows: rows that have arrived
    """

    ranges: tuple[Range, ...] = ()
    floor: int = 0
    client: str = ""
    active_at: float = 0.0
    n_rows: int = 0

    def contains(self, seq: int) -> bool:
        """Return whether a row has arrived."""
        i = bisect_right(self.ranges, (seq, seq + 1)) - 1
        if i + 1 < len(self.ranges) and self.ranges[i + 1][0] == seq:
            return True
        return i >= 0 and self.ranges[i][0] <= seq <= self.ranges[i][1]

    def add(self, seq: int, now: float) -> _Numbers:
        """Return the rows with a new one; of too many ranges, the lowest is forgotten."""
        ranges = _merged((*self.ranges, (seq, seq)))
        floor = self.floor
        if len(ranges) > _MAX_RANGES:
            floor = ranges[0][1] + 1
            ranges = ranges[1:]
        return _Numbers(tuple(ranges), floor, self.client, now, self.n_rows + 1)


class Deduplicator:
    """Remembers which numbered rows of each source arrived, as ranges without a gap.

    A source that numbers its rows in order needs one range, however many rows it has; each gap
    needs another one, and at most 64 are remembered. When there are 256 sources, or 64 of one
    client, a new one takes the place of the one with the fewest rows that was silent for ten
    minutes.

    `clock`: seconds since 1970.

    Examples
    --------
    >>> rows = Deduplicator()
    >>> [rows.is_new("press", seq) for seq in (1, 2, 4, 2, 3, 3)]
    [True, True, True, False, True, False]
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sources: dict[str, _Numbers] = {}

    def is_new(self, source: str, seq: int, client: str = "") -> bool:
        """Return whether a row is new, and remember it.

        Raises `SourceError` if it is too long ago to decide, or there are too many sources.

        source: name of the source
        seq: number of the row, 0 or more
        client: who sends it, such as a network address
        """
        numbers = self._sources.get(source)
        if numbers is None:
            self._make_room(client)
            numbers = _Numbers(client=client)
        if numbers.contains(seq):
            return False
        if seq < numbers.floor:
            raise SourceError(
                f"row {seq:,} of source {source!r} is below {numbers.floor:,}, under more than "
                f"{_MAX_RANGES} gaps, so whether it was learned is not known"
            )
        self._sources[source] = numbers.add(seq, self._clock())
        return True

    def forget(self, source: str) -> bool:
        """Forget a source; return whether there was one."""
        return self._sources.pop(source, None) is not None

    def _make_room(self, client: str) -> None:
        own = [name for name, numbers in self._sources.items() if numbers.client == client]
        if len(own) >= MAX_PER_CLIENT:
            self._forget_one(own, f"{MAX_PER_CLIENT} sources of this client")
        elif len(self._sources) >= MAX_SOURCES:
            self._forget_one(self._sources, f"{MAX_SOURCES} sources")

    def _forget_one(self, names: Iterable[str], what: str) -> None:
        before = self._clock() - _FORGET_SECONDS
        silent = [name for name in names if self._sources[name].active_at <= before]
        if not silent:
            raise SourceError(
                f"{what} have numbered rows; another is accepted when one of them was silent for "
                f"{_FORGET_SECONDS:g} s"
            )
        del self._sources[min(silent, key=lambda name: self._sources[name].n_rows)]

    def export_state(self) -> dict[str, Plain]:
        """Return everything as plain values."""
        return {**self._sources}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`, of release 0.2 as well."""
        self._sources = {name: _restored(fields) for name, fields in state.items()}


def _restored(fields: Sequence[Plain]) -> _Numbers:
    if len(fields) == 2:
        return _of_window(*map(int, fields))
    ranges, floor, client, active_at, n_rows = fields
    return _Numbers(tuple((a, b) for a, b in ranges), floor, client, active_at, n_rows)


def _of_window(highest: int, arrived: int) -> _Numbers:
    """Return the rows of release 0.2; in bit i of `arrived`, whether row highest - i arrived."""
    arrived_rows = (highest - i for i in range(_OLD_WINDOW) if arrived >> i & 1)
    ranges = _merged([(row, row) for row in arrived_rows])
    return _Numbers(tuple(ranges), max(highest - _OLD_WINDOW + 1, 0), n_rows=len(ranges))


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in order, those without a gap between them as one."""
    merged: list[Range] = []
    for begin, end in sorted(ranges):
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
