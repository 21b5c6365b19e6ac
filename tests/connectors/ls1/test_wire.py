"""Frames and MessagePack payloads of LS1: exact bytes, every bound, random damage."""

from __future__ import annotations

import json
import math
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream.connectors.ls1 import _messages as messages
from loco_stream.connectors.ls1 import _wire as wire
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._wire import Kind, pack, unpack
from loco_stream.errors import SourceError
from tests.helpers import foreign
from tests.helpers.hostile import damaged, honest


def test_the_header_is_byte_identical_to_that_of_the_page():
    ours = pack("s", Kind.LABELLED, b"\0" * 12, seq=7, t=1.5, n_rows=1, n_features=2)
    assert ours == foreign.frames("s", 1, b"\0" * 12, features=2, seq=7, t=1.5, rows=1)
    assert ours[1] == b"LS1\0" + bytes([1, 0]) + struct.pack("<HQdII", 2, 7, 1.5, 1, 0x7BD5C66F)
    assert pack("s", Kind.ACK, seq=3) == foreign.frames("s", 7, seq=3)


@given(
    st.sampled_from([Kind.SAMPLE, Kind.LABELLED, Kind.REQUEST]),
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(0, 2**62),
    st.floats(),
    st.data(),
)
def test_tables_are_packed_and_unpacked_unchanged(kind, n, width, seq, t, data):
    values = data.draw(st.lists(st.floats(width=32), min_size=n * width, max_size=n * width))
    table = np.array(values, "<f4").reshape(n, width)
    labels = np.arange(n, dtype="<i4")
    payload = table.tobytes() + (labels.tobytes() if kind is Kind.LABELLED else b"")
    message = unpack(pack("quelle", kind, payload, seq=seq, t=t, n_rows=n, n_features=width))
    assert (message.source, message.kind, message.seq, message.n_rows) == ("quelle", kind, seq, n)
    assert message.t == t or (math.isnan(message.t) and not math.isfinite(t))
    np.testing.assert_array_equal(wire.rows_of(message), table)
    assert wire.rows_of(message).flags.writeable
    if kind is Kind.LABELLED:
        assert wire.labels_of(message, "classification").tolist() == labels.tolist()


def test_late_labels_are_packed_pairs():
    message = unpack(foreign.late("s", 9, [(3, 1), (2**40, -1)]))
    of, labels = wire.pairs_of(message, "classification")
    assert (of, labels.tolist()) == ([3, 2**40], [1, -1])
    message = unpack(foreign.late("s", 9, [(3, 0.5)], regression=True))
    assert wire.pairs_of(message, "regression")[1].tolist() == [0.5]


ROW = foreign.rows("s", 1, [[1.0, 2.0]], [0])


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (ROW[:2], "3 frames"),
        ([*ROW, b""], "3 frames.* got 4"),
        ([b"", *ROW[1:]], r"1\.\.255 bytes, got 0"),
        ([b"x" * 256, *ROW[1:]], r"1\.\.255 bytes, got 256"),
        ([b"\xff", *ROW[1:]], "must be UTF-8"),
        ([ROW[0], ROW[1][:-1], ROW[2]], "32 bytes, got 31"),
        (foreign.frames("s", 1, magic=b"LS2\0"), "must start with"),
        (foreign.frames("s", 11), r"kind must be 0\.\.10, got 11"),
        (foreign.frames("s", 7, crc=1), "crc32"),
        ([ROW[0], ROW[1], ROW[2][:-1] + b"\1"], "crc32"),
        (foreign.frames("s", 0, b"\0" * 4, rows=1, features=1, dtype=1), "dtype must be 0"),
        (foreign.frames("s", 0, b"", rows=0, features=1), r"n_rows must be 1\.\.65536, got 0"),
        (
            foreign.frames("s", 0, b"", rows=65537, features=1),
            r"n_rows must be 1\.\.65536, got 65537",
        ),
        (foreign.frames("s", 2, b"", rows=2**32 - 1), r"n_rows must be 1\.\.65536"),
        (foreign.frames("s", 0, b"", rows=1, features=0), r"n_features must be 1\.\.4096, got 0"),
        (
            foreign.frames("s", 0, b"", rows=1, features=4097),
            r"n_features must be 1\.\.4096, got 4097",
        ),
        (
            foreign.frames("s", 8, b"", rows=1, features=1025),
            r"n_features must be 1\.\.1024, got 1025",
        ),
        (foreign.frames("s", 1, b"\0" * 12, rows=1, features=3), "must have 16 bytes, got 12"),
        (foreign.frames("s", 2, b"\0" * 13, rows=1), "must have 12 bytes, got 13"),
        (foreign.frames("s", 5, b"x"), "must have 0 bytes, got 1"),
        (foreign.frames("s", 0, b"\0" * 4, rows=1, features=1, seq=2**63), r"below 2\*\*63"),
        (foreign.frames("s", 0, b"\0" * 8, rows=2, features=1, seq=2**63 - 1), r"below 2\*\*63"),
    ],
)
def test_every_bound_is_checked(parts, text):
    with pytest.raises(SourceError, match=text) as caught:
        unpack(parts)
    assert "\n" not in str(caught.value)


def test_header_fields_that_a_kind_does_not_use_are_ignored():
    assert unpack(foreign.frames("s", 7, seq=5, features=9, rows=3, t=1.0, dtype=4)).seq == 5
    assert (
        unpack(foreign.frames("s", 10, b"\0" * 4, rows=1, features=1, seq=2**64 - 1)).seq
        == 2**64 - 1
    )


def test_limits_can_be_set():
    with pytest.raises(SourceError, match=r"n_features must be 1\.\.1, got 2"):
        unpack(ROW, Limits(features=1))


def test_damaged_messages_raise_source_error_only():
    rng = np.random.default_rng(1)
    refused = []
    for i in range(20_000):
        parts = damaged(rng, honest()[i % 11])
        try:
            if len(parts) == 2:
                messages.read_row(parts[1])
                continue
            message = unpack(parts)
            if message.kind is Kind.SCHEMA:
                messages.read_schema(message.payload)
            elif message.kind is Kind.HELLO:
                messages.decode(message.payload, messages.Hello)
        except SourceError as e:
            refused.append(str(e))
    assert len(refused) > 15_000
    assert not any("\n" in text for text in refused)


SCHEMA = {
    "schema_id": 1,
    "task": "classification",
    "features": ["a", "b"],
    "units": None,
    "classes": ["x"],
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features": []}, "must name a feature"),
        ({"features": ["a", "a"]}, "each feature once, got 'a' twice"),
        ({"classes": ["x", "x"]}, "each class once, got 'x' twice"),
        ({"features": [str(i) for i in range(4097)]}, "at most 4096 feature names, got 4097"),
        ({"classes": [str(i) for i in range(1025)]}, "at most 1024 class names, got 1025"),
        ({"features": ["a", "ä" * 128]}, "at most 255 bytes"),
        ({"units": ["m"]}, "2 features and 1 units"),
        ({"units": ["m", "x" * 256]}, "at most 255 bytes"),
        ({"task": "ranking"}, "must be the MessagePack of a schema"),
        ({"dtype": "float64"}, "must be the MessagePack of a schema"),
        ({"features": [1, 2]}, "must be the MessagePack of a schema"),
        ({"schema_id": "one"}, "must be the MessagePack of a schema"),
    ],
)
def test_a_schema_is_checked(change, text):
    with pytest.raises(SourceError, match=text):
        messages.read_schema(msgspec.msgpack.encode(SCHEMA | change))


def test_an_epoch_may_be_any_u64():
    payload = msgspec.msgpack.encode({"source": "s", "epoch": 2**64 - 1})
    assert messages.decode(payload, messages.Hello).epoch == 2**64 - 1
    with pytest.raises(SourceError, match="MessagePack of a hello"):
        messages.decode(msgspec.msgpack.encode({"source": "s", "epoch": -1}), messages.Hello)


@pytest.mark.parametrize("write", [lambda row: json.dumps(row).encode(), msgspec.msgpack.encode])
def test_rows_by_name(write):
    row = messages.read_row(
        write({"x": {"a": 1.5, "b": None, "c": "red", "d": True}, "y": 3, "seq": 8, "t": 2.0})
    )
    assert (row.x, row.y, row.seq, row.t) == (
        {"a": 1.5, "b": None, "c": "red", "d": True},
        3,
        8,
        2.0,
    )
    row = messages.read_row(write({"x": [1, None], "y": None}), ("u", "v"))
    assert (row.x, row.y, row.seq, math.isnan(row.t)) == ({"u": 1, "v": None}, None, None, True)
    assert messages.read_row(write({"x": [1]})).x == {"0": 1}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "must be a JSON or MessagePack map"),
        (b"[1]", "must be a JSON or MessagePack map"),
        (b"{" * 100_000, "must be a JSON or MessagePack map"),
        (b'{"x": ' + b"[" * 100_000, "must be a JSON or MessagePack map"),
        (b"\x81\xa1x" + b"\x91" * 100_000, "must be a JSON or MessagePack map"),
        (b'{"x": {}}', "1 to 4096 values, got 0"),
        (b'{"x": [1, 2]}', "must have 1 value, as the schema has, got 2"),
        (b'{"x": [[1]]}', "must be a JSON or MessagePack map"),
        (b'{"y": 1}', "must be a JSON or MessagePack map"),
        (b'{"x": [1], "seq": -1}', "must be a JSON or MessagePack map"),
        (b"\x80\x04\x95\x0b", "must be a JSON or MessagePack map"),  # the start of a pickle
    ],
)
def test_bad_rows_by_name(body, text):
    with pytest.raises(SourceError, match=text):
        messages.read_row(body, ("a",))
