"""Rows that need not be waited for are joined into blocks, which cost a fraction of single rows."""

from __future__ import annotations

from collections.abc import Container, Generator, Hashable, Iterable, Sequence
from contextlib import closing
from itertools import chain, groupby
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._numbers import LARGEST
from loco_stream._text import has_surrogate
from loco_stream.stream import Block, Event, Sample

T = TypeVar("T")
Item: TypeAlias = Event | Sequence[Event]  # what a source yields

_TOGETHER = 256  # rows
_MOST_KINDS = 256
_VALUES = frozenset({float, int, bool, str, type(None)})
_LABELS = frozenset({float, int, bool, str})
_TEXTS = frozenset({str})
_NUMBERS = frozenset({float})


class _Plain(NamedTuple):
    """A row that can be part of a block; a value is None where it is missing."""

    names: tuple[str, ...]
    values: list[Any]
    has_texts: bool
    sample: Sample


def n_rows(event: Event) -> int:
    """Return the number of rows to learn in an event; events are not validated yet."""
    if isinstance(event, Block):
        return len(event.X) if np.ndim(event.X) else 0
    return int(isinstance(event, Sample))


def join_blocks(events: Iterable[Event]) -> list[Event]:
    """Join neighbouring blocks of one source whose rows follow each other.

    A block whose sender waits for a reply stays separate. A joined block has the event time of each
    of its rows.
    """
    runs: list[list[Event]] = []
    for event in events:
        if runs and _are_alike(runs[-1][-1], event):
            runs[-1].append(event)
        else:
            runs.append([event])
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _are_alike(last: Event, event: Event) -> bool:
    """Return whether an event is a block that may be joined to the one before it."""
    return (
        isinstance(event, Block)
        and isinstance(last, Block)
        and event.tag is None
        and last.tag is None
        and _follows(last, len(last.X), event)
        and (event.y is None) == (last.y is None)
        and (event.sequence is None) == (last.sequence is None)
        and (event.features is last.features or event.features == last.features)
    )


def _joined(events: list[Event]) -> Block:
    run = [event for event in events if isinstance(event, Block)]
    X = np.concatenate([block.X for block in run])
    times = np.concatenate([block.row_times for block in run])
    y = _chained(block.y for block in run)
    sequence = _chained(block.sequence for block in run)
    return _block(run[0], X, y, run[0].features, times, sequence)


def _chained(parts: Iterable[Sequence[T] | None]) -> list[T] | None:
    known = [part for part in parts if part is not None]
    return list(chain.from_iterable(known)) if known else None


def _follows(last: Sample | Block, n_rows: int, event: Sample | Block) -> bool:
    """Return whether an event begins where the last one, of so many rows, ended."""
    return (
        event.seq == last.seq + n_rows and event.source == last.source and event.epoch == last.epoch
    )


def _block(
    first: Sample | Block,
    X: Array,
    y: Sequence[Any] | None,
    features: tuple[str, ...],
    times: Float64,
    sequence: Sequence[Hashable] | None,
) -> Block:
    return Block(
        X,
        y,
        features,
        first.seq,
        first.t,
        first.source,
        first.epoch,
        times=None if np.isnan(times).all() else times,
        sequence=sequence,
    )


def join_rows(
    rows: Generator[Item],
) -> Generator[Item]:
    """Yield what `rows` yields, with up to 256 single rows joined.

    A row that might be refused comes last in what is yielded together, so that position and
    location of the source are its own. That is a row with a value of another kind, and the first
    one with other names or with a label of another type.
    """
    joined = _RowRun()
    with closing(rows):
        try:
            yield from _together(rows, joined)
        except Exception:
            if before := joined.take():
                yield before
            raise
    if rest := joined.take():
        yield rest


def _together(rows: Generator[Item], joined: _RowRun) -> Generator[Item]:
    """Yield what is complete; `joined` holds the rows that may be continued."""
    for item in rows:
        if isinstance(item, Sample) and joined.takes(item):
            if joined.is_full:
                yield joined.take()
        elif isinstance(item, Event):
            yield [*joined.take(), item]
        elif item:  # not for a row that was left out
            yield [*joined.take(), *item]


class _RowRun:
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
        known = self._known
        row = _plain_row(sample, known)
        if row is None:
            return False
        if row.names not in known or type(sample.y) not in known:
            if len(known) < _MOST_KINDS and not any(map(has_surrogate, row.names)):
                known.add(row.names)
                known.add(type(sample.y))
            return False
        if self._rows and not _follows(self._rows[-1].sample, 1, sample):
            return False
        self._rows.append(row)
        return True

    def take(self) -> list[Event]:
        """Return the rows as blocks of the same columns, and forget them."""
        rows = self._rows
        self._rows = []
        return [_block_of(list(alike)) for _, alike in groupby(rows, lambda row: row.names)]


def _plain_row(sample: Sample, known: Container[object]) -> _Plain | None:
    """Return a row whose values and label are sure to be valid, None for any other.

    `known`: names of columns that are texts.
    """
    x = sample.x
    has_more = sample.id is not None or sample.extra or sample.tag is not None
    if has_more or type(x) is not dict or not x or not isinstance(sample.t, int | float):
        return None
    if not _is_valid_label(sample.y):
        return None
    names = tuple(x)
    if names not in known and not _TEXTS.issuperset(map(type, names)):
        return None
    values = list(x.values())
    kinds = set(map(type, values))
    if not kinds <= _VALUES or not _are_valid(values, kinds):
        return None
    return _Plain(names, values, str in kinds, sample)


def _are_valid(values: list[Any], kinds: set[type]) -> bool:
    """Return whether values of plain types are texts, missing, or numbers within bounds."""
    if kinds == _NUMBERS and sum(map(abs, values)) <= LARGEST:  # not if one is missing
        return True
    return all(map(_is_valid, values))


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


def _block_of(rows: list[_Plain]) -> Block:
    has_texts = any(row.has_texts for row in rows)
    times = np.array([row.sample.t for row in rows])
    sequence = [row.sample.sequence for row in rows]
    X = np.array([row.values for row in rows], object if has_texts else np.float64)
    has_sequence = sequence.count(None) < len(rows)
    y = [row.sample.y for row in rows]
    return _block(rows[0].sample, X, y, rows[0].names, times, sequence if has_sequence else None)
