"""Commits as bytes: the records of the write-ahead log.

Their fields have positions and no names. A record has no version of its own: a change of the layout
needs another kind letter, and the old kind stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from loco_stream._arrays import Array
from loco_stream._persistence.content import Plain, State
from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.engine._row import cut
from loco_stream.stream import Block, Event, Labels, Sample

_SAMPLE = "s"
_BLOCK = "b"
_LABELS = "l"
_JOINED_SAMPLE = "S"  # with an id, or with what its record repeats
_LABELS_BY_ID = "L"


def encode_commit(events: Sequence[Event], cursor: State, now: float) -> bytes:
    """Return the bytes of a commit: its rows and labels, the cursor after it, and its time.

    Requests to predict are left out: nothing is learned from them, and their sender is gone after a
    restart.
    """
    rows = [row for event in events if (row := _pack(event))]
    return encode_plain([rows, msgspec.Raw(msgspec.msgpack.encode(cursor)), now])


def separate_encodable(
    events: Sequence[Event],
) -> tuple[list[Event], list[tuple[Event, Exception]]]:
    """Return the events that a log can hold, and the others with the error; blocks by row."""
    kept: list[Event] = []
    refused: list[tuple[Event, Exception]] = []
    for event in events:
        if _encoding_error(event) is None:
            kept.append(event)
            continue
        parts: Sequence[Event] = [event]
        if isinstance(event, Block):
            parts = [cut(event, i, i + 1) for i in range(len(event.X))]
        for part in parts:
            error = _encoding_error(part)
            if error is None:
                kept.append(part)
            else:
                refused.append((part, error))
    return kept, refused


def _encoding_error(event: Event) -> Exception | None:
    try:
        encode_commit([event], {}, 0.0)
    except Exception as error:
        return error
    return None


def decode_commit(content: bytes) -> tuple[list[Event], dict[str, Plain], float]:
    """Undo `encode_commit`."""
    rows, cursor, now = decode_plain(content)
    return [_unpack(row) for row in rows], cursor, now


def _pack(event: Event) -> list[Plain] | None:
    if isinstance(event, Sample):
        return _pack_sample(event)
    if isinstance(event, Block):
        return _pack_block(event)
    if isinstance(event, Labels):
        kind = _LABELS_BY_ID if event.by_id else _LABELS
        return [kind, list(event.of), list(event.y), event.seq, event.source, event.epoch]
    return None


def _pack_sample(event: Sample) -> list[Plain]:
    fields = [dict(event.x), event.y, event.seq, event.t, event.source]
    if event.id is not None or event.extra is not None:
        extra = None if event.extra is None else dict(event.extra)
        return [_JOINED_SAMPLE, *fields, event.sequence, event.epoch, event.id, extra]
    row = [_SAMPLE, *fields]
    if event.epoch:
        return [*row, event.sequence, event.epoch]
    return row if event.sequence is None else [*row, event.sequence]


def _pack_block(event: Block) -> list[Plain]:
    block = [
        _BLOCK,
        *pack_table(event.X),
        None if event.y is None else list(event.y),
        _names(event.features),
        event.seq,
        event.t,
        event.source,
        event.epoch,
    ]
    if event.times is None and event.sequence is None:
        return block
    times = None
    if event.times is not None:
        times = np.ascontiguousarray(event.times, dtype="<f8").tobytes()
    return [*block, times, None if event.sequence is None else list(event.sequence)]


def pack_table(X: Array) -> list[Plain]:
    """Return content and shape; the content is bytes, or a list of values if some are text."""
    if X.dtype.hasobject:
        return [X.ravel().tolist(), list(X.shape)]
    if X.dtype == np.float64:
        return [np.ascontiguousarray(X, dtype="<f8").tobytes(), list(X.shape)]
    return [np.ascontiguousarray(X, dtype="<f4").tobytes(), list(X.shape)]


def unpack_table(content: Any, shape: Sequence[int]) -> Array:
    """Undo `pack_table`."""
    if isinstance(content, list):
        X = np.empty(len(content), dtype=object)
        X[:] = content
        return X.reshape(shape)
    n = math.prod(shape)
    if len(content) == 8 * n:
        return np.frombuffer(content, dtype="<f8").astype(np.float64).reshape(shape)
    return np.frombuffer(content, dtype="<f4").astype(np.float32).reshape(shape)


@lru_cache(maxsize=64)
def _names(features: tuple[str, ...]) -> msgspec.Raw:
    """Return encoded column names: the same few are written with every block."""
    return msgspec.Raw(msgspec.msgpack.encode(features))


def _unpack(row: list[Plain]) -> Event:
    kind, *fields = row
    if kind == _SAMPLE:
        return Sample(*fields)
    if kind == _JOINED_SAMPLE:
        *sample, row_id, extra = fields
        return replace(Sample(*sample), id=row_id, extra=extra)
    if kind in {_LABELS, _LABELS_BY_ID}:
        return replace(Labels(*fields), by_id=kind == _LABELS_BY_ID)
    data, shape, y, features, seq, t, source, epoch, *context = fields
    times, sequence = context or (None, None)
    X = unpack_table(data, shape)
    if times is not None:
        times = np.frombuffer(times, dtype="<f8").astype(np.float64)
    return Block(X, y, tuple(features), seq, t, source, epoch, None, times, sequence)
