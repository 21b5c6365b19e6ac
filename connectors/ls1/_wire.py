r"""Wire format of LS1: three frames ``[topic][header][payload]``, as pure functions.

The header has 32 bytes, little-endian ``<4sBBHQdII``: magic ``LS1\0``, kind, dtype (0 = float32),
n_features, seq, event time (s since 1970 UTC, NaN = unknown), n_rows, crc32 of the payload. Every
bound is checked; a violation raises `SourceError`.
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

from loco_stream._arrays import Float32
from loco_stream.connectors.ls1._limits import DEFAULT_LIMITS, Limits
from loco_stream.errors import SourceError

MAGIC = b"LS1\0"
HEADER = struct.Struct("<4sBBHQdII")
REQUEST_BIT = 1 << 63  # set in the seq of a predict request, so that it never equals that of a row


class Kind(IntEnum):
    """Kind of a message."""

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
    REQUEST = 10


_TABLES = frozenset({Kind.SAMPLE, Kind.LABELLED, Kind.PREDICTION, Kind.REQUEST})
_MAPS = frozenset({Kind.SCHEMA, Kind.HELLO, Kind.ERROR})  # MessagePack of any length
_NUMBERED = frozenset({Kind.SAMPLE, Kind.LABELLED, Kind.LABEL})  # by the seq of the source


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose payload has the length and checksum that its header states."""

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


def unpack(frames: Sequence[bytes], limits: Limits = DEFAULT_LIMITS) -> Message:
    """Check three frames and return their message.

    Raises
    ------
    SourceError
        Wrong number of frames, magic, kind, dtype or checksum, a payload whose length does not
        match the header, or a value beyond `limits`.
    """
    if len(frames) != 3:
        raise SourceError(
            f"an LS1 message must have 3 frames (topic, header, payload) or 2 (topic, row), "
            f"got {len(frames)}"
        )
    topic, head, payload = frames
    kind, dtype, n_features, seq, t, n_rows, crc = _read_header(head)
    if crc != crc32(payload):
        raise SourceError("the payload was damaged: its crc32 differs from that in the header")
    source = topic_name(topic, limits)
    t = t if math.isfinite(t) else math.nan
    message = Message(source, Kind(kind), seq, t, n_rows, n_features, payload)
    if message.kind not in _MAPS:
        _check_shape(message, dtype, limits)
    return message


def _read_header(head: bytes) -> tuple[int, int, int, int, float, int, int]:
    """Return kind, dtype, features, seq, time, rows and checksum of a header."""
    if len(head) != HEADER.size:
        raise SourceError(f"the LS1 header must have {HEADER.size} bytes, got {len(head)}")
    magic, kind, dtype, n_features, seq, t, n_rows, crc = HEADER.unpack(head)
    if magic != MAGIC:
        raise SourceError(f"the LS1 header must start with {MAGIC!r}, got {magic!r}")
    if kind > Kind.REQUEST:
        raise SourceError(f"kind must be 0..{Kind.REQUEST:d}, got {kind}")
    return kind, dtype, n_features, seq, t, n_rows, crc


def topic_name(topic: bytes, limits: Limits) -> str:
    """Return the name of the source in a topic frame.

    Raises
    ------
    SourceError
        It is empty, too long, or not UTF-8.
    """
    if not 0 < len(topic) <= limits.name_bytes:
        raise SourceError(
            f"the topic (the source's name) must have 1..{limits.name_bytes} bytes, "
            f"got {len(topic)}"
        )
    try:
        return topic.decode()
    except UnicodeDecodeError:
        raise SourceError("the topic (the source's name) must be UTF-8") from None


def _check_shape(message: Message, dtype: int, limits: Limits) -> None:
    kind = message.kind
    n_rows = message.n_rows
    n_features = message.n_features
    if kind in _TABLES or kind is Kind.LABEL:
        if not 1 <= n_rows <= limits.rows:
            raise SourceError(f"n_rows must be 1..{limits.rows}, got {n_rows}")
        _check_seq(message)
    if kind in _TABLES:
        _check_table(kind, n_features, dtype, limits)
    size = _payload_size(kind, n_rows, n_features)
    if len(message.payload) != size:
        raise SourceError(
            f"the payload of kind {kind:d} with {n_rows} rows of {n_features} values must have "
            f"{size} bytes, got {len(message.payload)}"
        )


def _check_seq(message: Message) -> None:
    if message.kind in _NUMBERED and message.seq + message.n_rows > REQUEST_BIT:
        raise SourceError(f"seq of a row must be below 2**63, got {message.seq}")


def _check_table(kind: Kind, n_features: int, dtype: int, limits: Limits) -> None:
    limit = limits.classes if kind is Kind.PREDICTION else limits.features
    if not 1 <= n_features <= limit:
        raise SourceError(f"n_features must be 1..{limit}, got {n_features}")
    if dtype != 0:
        raise SourceError(f"dtype must be 0 (float32), got {dtype}")


def _payload_size(kind: Kind, n_rows: int, n_features: int) -> int:
    if kind in _TABLES:
        return 4 * n_rows * (n_features + (kind is Kind.LABELLED))
    return 12 * n_rows if kind is Kind.LABEL else 0


def rows_of(message: Message) -> Float32:
    """Return a copy of the rows of kind 0, 1, 8 or 10, shape (n_rows, n_features)."""
    shape = (message.n_rows, message.n_features)
    flat = np.frombuffer(message.payload, "<f4", message.n_rows * message.n_features)
    return flat.reshape(shape).astype(np.float32)


def labels_of(message: Message, task: str) -> NDArray[np.generic]:
    """Return the labels of kind 1: int32 indices (-1 missing) or float32 (NaN missing)."""
    offset = 4 * message.n_rows * message.n_features
    return np.frombuffer(message.payload, _label_dtype(task), message.n_rows, offset)


def pairs_of(message: Message, task: str) -> tuple[list[int], NDArray[np.generic]]:
    """Return the row numbers and the labels of kind 2."""
    pairs = np.frombuffer(message.payload, pair_dtype(task), message.n_rows)
    return pairs["seq"].tolist(), pairs["label"]


def pair_dtype(task: str) -> np.dtype[np.void]:
    """Return the packed layout of a pair of kind 2: u64 seq, then int32 or float32 label."""
    return np.dtype([("seq", "<u8"), ("label", _label_dtype(task))])


def _label_dtype(task: str) -> str:
    return "<f4" if task == "regression" else "<i4"
