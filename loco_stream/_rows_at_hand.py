"""Rows that need not be waited for are joined into blocks, which cost a fraction of single rows."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from loco_stream._text import has_surrogate
from loco_stream.numbers import LARGEST
from loco_stream.stream import Block, Event, Sample

__all__ = ["in_blocks"]

_TOGETHER = 256  # rows
_MOST_KINDS = 256
_VALUES = frozenset({float, int, bool, str, type(None)})
_LABELS = frozenset({float, int, bool, str})
_TEXTS = frozenset({str})


class _Plain(NamedTuple):
    """A row that can be part of a block; a value is None where it is missing."""

    names: tuple[str, ...]
    values: list[Any]
    has_texts: bool
    sample: Sample


def in_blocks(
    rows: Generator[Event | Sequence[Event]],
) -> Generator[Event | Sequence[Event]]:
    """Yield what `rows` yields, with up to 256 single rows joined.

    A row that might be refused comes last in what is yielded together, so that position and
    location of the source are its own. That is a row with a value of another kind, and the first
    one with other names or with a label of another type.
    """
    joined = _Joined()
    with closing(rows):
        try:
            yield from _together(rows, joined)
        except Exception:
            if before := joined.take():
                yield before
            raise
    if rest := joined.take():
        yield rest


def _together(
    rows: Generator[Event | Sequence[Event]], joined: _Joined
) -> Generator[Event | Sequence[Event]]:
    """Yield what is complete; `joined` holds the rows that may be continued."""
    for item in rows:
        if isinstance(item, Sample) and joined.takes(item):
            if joined.is_full:
                yield joined.take()
        elif isinstance(item, Event):
            yield [*joined.take(), item]
        elif item:  # not for a row that was left out
            yield [*joined.take(), *item]


class _Joined:
    """Rows of one source that follow each other."""

    def __init__(self) -> None:
        self._rows: list[_Plain] = []
        self._known: set[tuple[str, ...] | type] = set()  # names and types of labels that came

    @property
    def is_full(self) -> bool:
        """Whether no more rows should be joined."""
        return len(self._rows) >= _TOGETHER

    def takes(self, sample: Sample) -> bool:
        """Append a row if it may be part of a block; return whether it was appended."""
        row = _plain_row(sample)
        if row is None:
            return False
        known = self._known
        if row.names not in known or type(sample.y) not in known:
            if len(known) < _MOST_KINDS and not any(map(has_surrogate, row.names)):
                known.add(row.names)
                known.add(type(sample.y))
            return False
        if not self._continues(sample):
            return False
        self._rows.append(row)
        return True

    def _continues(self, sample: Sample) -> bool:
        if not self._rows:
            return True
        last = self._rows[-1].sample
        return (
            sample.seq == last.seq + 1
            and sample.source == last.source
            and sample.epoch == last.epoch
        )

    def take(self) -> list[Event]:
        """Return the rows as blocks of the same columns, and forget them."""
        rows = self._rows
        self._rows = []
        return [_block(list(alike)) for _, alike in groupby(rows, lambda row: row.names)]


def _plain_row(sample: Sample) -> _Plain | None:
    """Return a row whose values and label are sure to be valid, None for any other."""
    x = sample.x
    has_more = sample.id is not None or sample.extra or sample.tag is not None
    if has_more or type(x) is not dict or not x or not _is_valid_label(sample.y):
        return None
    names = tuple(x)
    values = list(x.values())
    if not _VALUES.issuperset(map(type, values)) or not _TEXTS.issuperset(map(type, names)):
        return None
    has_texts = str in map(type, values)
    if not all(map(_is_valid, values)):
        return None
    return _Plain(names, values, has_texts, sample)


def _is_valid(value: Any) -> bool:
    """Return whether a value of a plain type is a text, missing, or a number within bounds."""
    if type(value) is float and -LARGEST <= value <= LARGEST:
        return True
    if type(value) is str:
        return not has_surrogate(value)
    return value is None or -LARGEST <= value <= LARGEST or value != value


def _is_valid_label(y: Any) -> bool:
    if type(y) is str:
        return not has_surrogate(y)
    if type(y) is int:
        return -(2**63) <= y < 2**63
    return type(y) in _LABELS and bool(-LARGEST <= y <= LARGEST)


def _block(rows: list[_Plain]) -> Block:
    first = rows[0].sample
    has_texts = any(row.has_texts for row in rows)
    times = np.array([row.sample.t for row in rows])
    sequence = [row.sample.sequence for row in rows]
    X = np.empty((len(rows), len(first.x)), object if has_texts else np.float64)
    for i, row in enumerate(rows):
        X[i] = row.values
    return Block(
        X,
        [row.sample.y for row in rows],
        rows[0].names,
        first.seq,
        first.t,
        first.source,
        first.epoch,
        times=None if np.isnan(times).all() else times,
        sequence=None if sequence.count(None) == len(rows) else sequence,
    )
