"""Frames and a client of LS1, written from docs/wire.md alone."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import msgspec
import numpy as np
import zmq

HEADER = struct.Struct("<4sBBHQdII")
REQUEST = 1 << 63


def frames(
    source,
    kind,
    payload=b"",
    *,
    features=0,
    seq=0,
    t=math.nan,
    rows=0,
    dtype=0,
    crc=None,
    magic=b"LS1\0",
):
    crc = zlib.crc32(payload) if crc is None else crc
    return [source.encode(), HEADER.pack(magic, kind, dtype, features, seq, t, rows, crc), payload]


def hello(source, epoch, **more):
    return frames(source, 6, msgspec.msgpack.encode({"source": source, "epoch": epoch, **more}))


def schema(source, features, classes=None, *, task="classification", units=None, schema_id=1):
    content = {
        "schema_id": schema_id,
        "task": task,
        "features": features,
        "units": units,
        "classes": classes,
        "dtype": "float32",
    }
    return frames(source, 4, msgspec.msgpack.encode(content))


def rows(source, seq, table, labels=None, *, regression=False, kind=None, t=math.nan):
    table = np.asarray(table, "<f4")
    payload = table.tobytes()
    if labels is not None:
        payload += np.asarray(labels, "<f4" if regression else "<i4").tobytes()
    kind = (0 if labels is None else 1) if kind is None else kind
    return frames(source, kind, payload, features=table.shape[1], seq=seq, rows=len(table), t=t)


def late(source, seq, pairs, *, regression=False):
    layout = "<Qf" if regression else "<Qi"
    return frames(
        source, 2, b"".join(struct.pack(layout, *p) for p in pairs), seq=seq, rows=len(pairs)
    )


class Answer:
    """A decoded answer."""

    def __init__(self, parts):
        topic, header, payload = parts
        magic, self.kind, _, self.n_features, self.seq, _, self.n_rows, crc = HEADER.unpack(header)
        assert magic == b"LS1\0"
        assert crc == zlib.crc32(payload)
        self.source = topic.decode()
        self.payload = payload

    @property
    def content(self) -> Any:
        return msgspec.msgpack.decode(self.payload)

    @property
    def table(self):
        return np.frombuffer(self.payload, "<f4").reshape(self.n_rows, self.n_features)

    def __repr__(self):
        what = self.content if self.kind in (6, 9) else self.n_rows
        return f"Answer(kind={self.kind}, seq={self.seq}, {what})"


class Client:
    """A DEALER socket with options."""

    def __init__(self, context, address, **options):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        for name, value in options.items():
            setattr(self.socket, name, value)
        self.socket.connect(address)

    def send(self, *messages):
        for message in messages:
            self.socket.send_multipart(message)

    def answers(self):
        got = []
        while self.socket.poll(0):
            got.append(Answer(self.socket.recv_multipart()))
        return got
