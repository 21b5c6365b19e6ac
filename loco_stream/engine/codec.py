"""A commit as bytes: what the write-ahead log keeps of the events that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from loco_stream.persistence.format import decode_plain, encode_plain
from loco_stream.stream import Block, Event, Labels, Sample

__all__ = ["decode_commit", "encode_commit"]


def encode_commit(events: Sequence[Event], position: Mapping[str, Any], now: float) -> bytes:
    """Return the bytes of a commit.

    Its rows and labels, where its source stood after it, and the time it came.

    Questions are not kept: nothing is learned from them, and who asked is gone after a restart.
    """
    rows = [row for event in events if (row := _pack(event))]
    return encode_plain([rows, msgspec.Raw(msgspec.msgpack.encode(position)), now])


def decode_commit(content: bytes) -> tuple[list[Event], dict[str, Any], float]:
    """Undo `encode_commit`."""
    rows, position, now = decode_plain(content)
    return [_unpack(row) for row in rows], position, now


def _pack(event: Event) -> list[Any] | None:
    if isinstance(event, Sample):
        row = ["s", dict(event.x), event.y, event.seq, event.t, event.source]
        if event.epoch:
            return [*row, event.sequence, event.epoch]
        return row if event.sequence is None else [*row, event.sequence]
    if isinstance(event, Block):
        y = None if event.y is None else list(event.y)
        shape = list(event.X.shape)
        data = np.ascontiguousarray(event.X, dtype="<f4").tobytes()
        block = [
            "b",
            data,
            shape,
            y,
            _names(event.features),
            event.seq,
            event.t,
            event.source,
            event.epoch,
        ]
        if event.times is None and event.sequence is None:
            return block
        times = (
            None
            if event.times is None
            else np.ascontiguousarray(event.times, dtype="<f8").tobytes()
        )
        return [*block, times, None if event.sequence is None else list(event.sequence)]
    if isinstance(event, Labels):
        return ["l", list(event.of), list(event.y), event.seq, event.source, event.epoch]
    return None


@lru_cache(maxsize=64)
def _names(features: tuple[str, ...]) -> msgspec.Raw:
    """Return column names encoded: the same few are written with every block."""
    return msgspec.Raw(msgspec.msgpack.encode(features))


def _unpack(row: list[Any]) -> Event:
    kind, *fields = row
    if kind == "s":
        return Sample(*fields)
    if kind == "l":
        return Labels(*fields)
    data, shape, y, features, seq, t, source, epoch, *when = fields
    stamps, sequence = when or (None, None)
    X = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape)
    times = None if stamps is None else np.frombuffer(stamps, dtype="<f8").astype(np.float64)
    return Block(X, y, tuple(features), seq, t, source, epoch, None, times, sequence)
