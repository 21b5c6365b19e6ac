"""Rows that came one a message, joined into blocks.

A compiled call and a log record each cost per block.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, groupby
from typing import Any

import numpy as np

from loco_stream.stream import Block, Event

__all__ = ["merged"]


def merged(events: Iterable[Event]) -> list[Event]:
    """Join neighbouring blocks of one source whose rows follow each other.

    What waits for a reply stays alone.

    A joined block has the time of each of its rows.
    """
    joined: list[Event] = []
    for _, group in groupby(events, key=_Follower()):
        run = list(group)
        joined.append(run[0] if len(run) == 1 else _join(run))
    return joined


class _Follower:
    """A key for `groupby` that changes wherever the next event does not go on where the last one ended."""

    def __init__(self) -> None:
        self._key = 0
        self._last: Event | None = None

    def __call__(self, event: Event) -> int:
        if not _follows(self._last, event):
            self._key += 1
        self._last = event
        return self._key


def _follows(last: Any, event: Event) -> bool:
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


def _join(run: list[Any]) -> Block:
    first = run[0]
    y = None if first.y is None else list(chain.from_iterable(block.y for block in run))
    X = np.concatenate([block.X for block in run])
    moments = np.concatenate([block.row_times for block in run])
    times = None if np.isnan(moments).all() else moments
    sequence = (
        None
        if first.sequence is None
        else list(chain.from_iterable(block.sequence for block in run))
    )
    return Block(
        X, y, first.features, first.seq, first.t, first.source, first.epoch, None, times, sequence
    )
