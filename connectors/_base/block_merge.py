"""Joins rows that arrived one per message: a compiled call and a log record each cost per block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from typing import TypeVar

import numpy as np

from loco_stream.stream import Block, Event

__all__ = ["merged"]

T = TypeVar("T")


def merged(events: Iterable[Event]) -> list[Event]:
    """Join neighbouring blocks of one source whose rows follow each other.

    A block whose sender waits for a reply stays separate. A joined block has the event time of each
    of its rows.
    """
    result: list[Event] = []
    for _, group in groupby(events, key=_RunNumber()):
        run = list(group)
        result.append(run[0] if len(run) == 1 else _join(run))
    return result


class _RunNumber:
    """Key for `groupby` that changes wherever an event does not continue the one before."""

    def __init__(self) -> None:
        self._number = 0
        self._last: Event | None = None

    def __call__(self, event: Event) -> int:
        if not _continues(self._last, event):
            self._number += 1
        self._last = event
        return self._number


def _continues(last: Event | None, event: Event) -> bool:
    return (
        isinstance(event, Block)
        and isinstance(last, Block)
        and event.tag is None
        and last.tag is None
        and event.seq == last.seq + len(last.X)
        and event.source == last.source
        and event.epoch == last.epoch
        and (event.y is None) == (last.y is None)
        and (event.sequence is None) == (last.sequence is None)
        and (event.features is last.features or event.features == last.features)
    )


def _join(events: list[Event]) -> Block:
    run = [event for event in events if isinstance(event, Block)]
    first = run[0]
    times = np.concatenate([block.row_times for block in run])
    return Block(
        np.concatenate([block.X for block in run]),
        None if first.y is None else _joined(block.y for block in run),
        first.features,
        first.seq,
        first.t,
        first.source,
        first.epoch,
        times=None if np.isnan(times).all() else times,
        sequence=None if first.sequence is None else _joined(block.sequence for block in run),
    )


def _joined(parts: Iterable[Sequence[T] | None]) -> list[T]:
    return list(chain.from_iterable(part or () for part in parts))
