"""Rows as maps: times as numbers and as dates."""

from __future__ import annotations

import json
import math

import msgspec
import pytest

from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.connectors.ls1._messages import read_message, read_row
from loco_stream.errors import SourceError

NOON = 1790942400.0


@pytest.mark.parametrize("encode", [lambda row: json.dumps(row).encode(), msgspec.msgpack.encode])
@pytest.mark.parametrize("read", [read_row, read_message])
@pytest.mark.parametrize(
    "t", [NOON, "2026-10-02T12:00:00Z", "2026-10-02T14:00:00+02:00", "2026-10-02 12:00"]
)
def test_a_time_is_a_number_or_a_date(encode, read, t):
    row = read(encode({"x": {"speed": 0.4}, "t": t}))
    assert row.t == NOON
    assert row.x == {"speed": 0.4}


@pytest.mark.parametrize("encode", [lambda row: json.dumps(row).encode(), msgspec.msgpack.encode])
@pytest.mark.parametrize("read", [read_row, read_message])
def test_a_time_may_be_null_or_absent(encode, read):
    row = {"x": {"speed": 0.4}, "y": "ok", "seq": 7, "t": None}  # as docs/wire.md has it
    for given in (row, {"x": row["x"]}):
        found = read(encode(given))
        assert math.isnan(found.t)
        assert found.x == {"speed": 0.4}


def test_a_flat_map_has_its_date_in_a_field_of_its_own():
    row = read_message(
        b'{"speed": 0.4, "when": "2026-10-02T12:00:00Z"}', fields=FieldRoles(time="when")
    )
    assert row.t == NOON
    assert row.x == {"speed": 0.4}


@pytest.mark.parametrize("read", [read_row, read_message])
def test_a_text_that_is_no_date_is_refused(read):
    with pytest.raises(SourceError, match="1970 or an ISO 8601 date, got 'noon'"):
        read(b'{"x": {"speed": 0.4}, "t": "noon"}')


@pytest.mark.parametrize("read", [read_row, read_message])
def test_a_byte_order_mark_before_a_text_is_left_out(read):
    assert read(b'\xef\xbb\xbf {"x": {"a": 1}, "y": "ok"}').x == {"a": 1}


@pytest.mark.parametrize("body", [b"[1, 2]", b'"7"'])
def test_a_text_that_is_no_map_is_read_as_json(body):
    with pytest.raises(SourceError, match="a row must be a map of numbers, texts and truth values"):
        read_message(body)


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "row",
    [
        {"a": 1, "t": LONG},
        {"x": {"a": 1}, "sequence": [LONG]},
        {"x": {LONG: [1]}},
        {"x": {"a": [LONG]}},
        {"x": {"a": 1}, "id": [LONG]},
        {"x": {"a": 1}, "y": [LONG]},
    ],
)
def test_an_error_does_not_repeat_a_long_message(row):
    with pytest.raises(SourceError) as raised:
        read_message(json.dumps(row).encode())
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("number", [34, 45, 91, 123])
def test_a_number_alone_in_messagepack_is_no_json(number):
    assert read_message(msgspec.msgpack.encode(number)).x == {"value": number}


def test_an_empty_text_is_no_label():
    assert read_message(b'{"speed": 0.4, "y": ""}').y is None
    assert read_message(b'{"x": {"speed": 0.4}, "y": ""}').y is None
    with pytest.raises(SourceError, match="`label` must be the label of the row, or null for none"):
        read_message(b'{"id": 7, "label": ""}')
