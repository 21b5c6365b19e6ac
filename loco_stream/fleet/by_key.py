"""Rows of a stream sorted by the key they carry."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from loco_stream.errors import InputError, SourceError
from loco_stream.fleet.rows import Key, Rows, check_key, in_a_row
from loco_stream.stream import Block, Event, Sample

__all__ = ["rows_by_key"]


def rows_by_key(events: Sequence[Event], feature: str) -> tuple[list[Rows], int, int]:
    """Return the labelled rows of each key in order, how many rows had no key, and how many no label.

    The key's feature is taken out of the rows: a model sees what differs between rows of one device. Rows of a key that
    follow each other are one part as long as their source and columns are the same; the order is that of the stream.

    Raises
    ------
    SourceError
        A block has no such feature.
    """
    parts: list[tuple[Key, tuple[str, int, Any], list[tuple[Any, Any, int]]]] = []
    newest: dict[Key, int] = {}  # the part that the key's last row is in
    without_key = without_label = 0
    for event in events:
        epoch, names = (event.epoch, _names(event, feature)) if isinstance(event, Block) else (0, None)
        place = (event.source, epoch, names)
        for key, row in _rows(event, feature):
            if key is None:
                without_key += 1
            elif row[1] is None:
                without_label += 1
            else:
                if key not in newest or parts[newest[key]][1] != place:
                    newest[key] = len(parts)
                    parts.append((key, place, []))
                parts[newest[key]][2].append(row)
    return [_joined(key, *place, rows) for key, place, rows in parts], without_key, without_label


def key_of(value: Any) -> Key | None:
    """Return the key that a feature's value is: whole numbers stay the same as float and int; None for no key."""
    if isinstance(value, float | np.floating):
        return None if not math.isfinite(value) else int(value) if float(value).is_integer() else str(float(value))
    try:
        return None if value is None else check_key(value)
    except InputError:
        return None


def _rows(event: Event, feature: str) -> Iterator[tuple[Key | None, tuple[Any, Any, int]]]:
    if isinstance(event, Sample):
        rest = {name: value for name, value in event.x.items() if name != feature}
        yield key_of(event.x.get(feature)), (rest, event.y, event.seq)
    elif isinstance(event, Block):
        if feature not in event.features:
            known = ", ".join(map(str, event.features[:20]))
            raise SourceError(f"{event.source or 'the source'} has no feature {feature!r} to tell keys by, but {known}")
        column = event.features.index(feature)
        X = np.delete(event.X, column, axis=1)
        for i, value in enumerate(event.X[:, column].tolist()):
            yield key_of(value), (X[i], None if event.y is None else event.y[i], event.seq + i)


def _names(event: Block, feature: str) -> tuple[Hashable, ...]:
    return tuple(name for name in event.features if name != feature)


def _joined(key: Key, source: str, epoch: int, names: Any, rows: list[tuple[Any, Any, int]]) -> Rows:
    X, y, seq = zip(*rows, strict=True)
    table = list(X) if names is None else np.array(X)
    return Rows(key, table, list(y), names, source, epoch, in_a_row(np.array(seq, np.int64)))
