r"""The LS1 wire format: three frames ``[topic][header][payload]``, in pure functions.

The header is 32 bytes, little-endian ``<4sBBHQdII``: magic ``LS1\0``, kind, dtype (0 = float32),
n_features, seq, event time (s since 1970 UTC, NaN = unknown), n_rows, crc32 of the payload.
Everything here checks every bound and raises `SourceError` with one sentence; nothing here knows a
socket.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.limits import DEFAULT_LIMITS, Limits
from loco_stream.errors import SourceError

__all__ = [
    "REQUEST_BIT",
    "Kind",
    "Limits",
    "Message",
    "labels_of",
    "pack",
    "pairs_of",
    "rows_of",
    "unpack",
]

MAGIC = b"LS1\0"
HEADER = struct.Struct("<4sBBHQdII")
REQUEST_BIT = 1 << 63  # set in the seq of a predict request, so that it never equals a sample's


class Kind(IntEnum):
    """What a message is."""

    SAMPLE = 0
    LABELLED = 1
    LABEL = 2
    HEARTBEAT = 3
    SCHEMA = 4
    END = 5
    HELLO = 6
    ACK = 7
    PREDICTION = 8
    ERROR = 9
    ASK = 10


_TABLES = frozenset({Kind.SAMPLE, Kind.LABELLED, Kind.PREDICTION, Kind.ASK})
_FREE = frozenset({Kind.SCHEMA, Kind.HELLO, Kind.ERROR})  # MessagePack of any length
_ROWS = frozenset({Kind.SAMPLE, Kind.LABELLED, Kind.LABEL})  # what takes a seq of the source


@dataclass(frozen=True, slots=True)
class Message:
    """One checked message: its payload has the length and the checksum that the header claims."""

    source: str
    kind: Kind
    seq: int
    t: float
    n_rows: int
    n_features: int
    payload: bytes


def pack(
    source: str,
    kind: Kind,
    payload: bytes = b"",
    *,
    seq: int = 0,
    t: float = math.nan,
    n_rows: int = 0,
    n_features: int = 0,
) -> list[bytes]:
    """Return the three frames of a message.

    Examples
    --------
    >>> frames = pack("sensor", Kind.ACK, seq=7)
    >>> len(frames[1]), unpack(frames).seq
    (32, 7)
    """
    header = HEADER.pack(MAGIC, kind, 0, n_features, seq, t, n_rows, crc32(payload))
    return [source.encode(), header, payload]


def unpack(frames: Sequence[bytes], limits: Limits | None = None) -> Message:
    """Check three frames and return what they say.

    Raises
    ------
    SourceError
        Wrong frame count, magic, kind, dtype, checksum, a payload of another length than kind,
        n_rows and n_features imply, or a value beyond `limits`.
    """
    limits = limits or DEFAULT_LIMITS
    if len(frames) != 3:
        raise SourceError(
            f"an LS1 message has 3 frames (topic, header, payload), not {len(frames)}"
        )
    topic, head, payload = frames
    if len(head) != HEADER.size:
        raise SourceError(f"the LS1 header has {HEADER.size} bytes, not {len(head)}")
    magic, kind, dtype, n_features, seq, t, n_rows, crc = HEADER.unpack(head)
    if magic != MAGIC:
        raise SourceError(f"the LS1 header starts with {MAGIC!r}, not {magic!r}")
    if kind > Kind.ASK:
        raise SourceError(f"kind must be 0..{Kind.ASK:d}, not {kind}")
    if crc != crc32(payload):
        raise SourceError(
            "the payload's crc32 is not the one in the header: it was damaged on the way"
        )
    _check_shape(Kind(kind), dtype, n_features, seq, n_rows, len(payload), limits)
    source = topic_name(topic, limits)
    return Message(
        source, Kind(kind), seq, t if math.isfinite(t) else math.nan, n_rows, n_features, payload
    )


def topic_name(topic: bytes, limits: Limits) -> str:
    """Return the source's name in a topic frame."""
    if not 0 < len(topic) <= limits.name_bytes:
        raise SourceError(
            f"the topic (the source's name) has 1..{limits.name_bytes} bytes, not {len(topic)}"
        )
    try:
        return topic.decode()
    except UnicodeDecodeError:
        raise SourceError("the topic (the source's name) is not utf-8") from None


def _check_shape(
    kind: Kind, dtype: int, n_features: int, seq: int, n_rows: int, size: int, limits: Limits
) -> None:
    if kind in _FREE:
        return
    if kind in _TABLES or kind is Kind.LABEL:
        if not 1 <= n_rows <= limits.rows:
            raise SourceError(f"n_rows must be 1..{limits.rows}, not {n_rows}")
        if kind in _ROWS and seq + n_rows > REQUEST_BIT:
            raise SourceError(f"seq of a row must be below 2**63, not {seq}")
    if kind in _TABLES:
        most = limits.classes if kind is Kind.PREDICTION else limits.features
        if not 1 <= n_features <= most:
            raise SourceError(f"n_features must be 1..{most}, not {n_features}")
        if dtype != 0:
            raise SourceError(f"dtype must be 0 (float32), not {dtype}")
    implied = _payload_size(kind, n_rows, n_features)
    if size != implied:
        raise SourceError(
            f"kind {kind:d} with {n_rows} rows of {n_features} has {implied} payload bytes, not {size}"
        )


def _payload_size(kind: Kind, n_rows: int, n_features: int) -> int:
    if kind in _TABLES:
        return 4 * n_rows * (n_features + (kind is Kind.LABELLED))
    return 12 * n_rows if kind is Kind.LABEL else 0


def rows_of(message: Message) -> NDArray[np.float32]:
    """Return the rows of kind 0, 1, 8 or 10, shape (n_rows, n_features), in memory of their own."""
    n = message.n_rows
    width = message.n_features
    return np.frombuffer(message.payload, "<f4", n * width).reshape(n, width).astype(np.float32)


def labels_of(message: Message, task: str) -> NDArray[np.generic]:
    """Return the n_rows labels of kind 1.

    Int32 class indices (-1 missing) or float32 values (NaN missing).
    """
    return np.frombuffer(
        message.payload, _label_dtype(task), message.n_rows, 4 * message.n_rows * message.n_features
    )


def pairs_of(message: Message, task: str) -> tuple[list[int], NDArray[np.generic]]:
    """Return the seqs and the labels of kind 2."""
    pairs = np.frombuffer(message.payload, pair_dtype(task), message.n_rows)
    return pairs["seq"].tolist(), pairs["label"]


def pair_dtype(task: str) -> np.dtype[np.void]:
    """Return the packed layout of one pair of kind 2: u64 seq, then int32 or float32 label."""
    return np.dtype([("seq", "<u8"), ("label", _label_dtype(task))])


def _label_dtype(task: str) -> str:
    return "<f4" if task == "regression" else "<i4"
