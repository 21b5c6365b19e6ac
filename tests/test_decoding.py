"""What msgspec refused, in the words of this package."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from loco_stream._decoding import fault


class Row(msgspec.Struct, forbid_unknown_fields=True):
    x: dict[str, float | None]
    y: int = 0
    n: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    name: Annotated[str, msgspec.Meta(max_length=3)] = ""
    kind: Literal["a", "b"] = "a"
    share: int | float | None = None


class Rows(msgspec.Struct):
    rows: list[Row] = []
    deep: dict[str, dict[str, float]] = {}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"x": {"p": "high", "q": [2]}}, "`x['p']` must be a number or null, got 'high'"),
        ({"x": {"p": 1.0, "q": [2]}}, "`x['q']` must be a number or null, got a list"),
        ({"x": {"p": True}}, "`x['p']` must be a number or null, got True"),
        ({"x": 1}, "`x` must be a map, got 1"),
        ({"x": {}, "y": 1.5}, "`y` must be an integer, got 1.5"),
        ({}, "the row must have the field `x`"),
        ({"x": {}, "z": 1}, "the row must not have the field `z`"),
        ([], "the row must be a map, got a list"),
        ({"x": {}, "n": 0}, "`n` must be an integer of at least 1, got 0"),
        ({"x": {}, "n": 10}, "`n` must be an integer of at most 9, got 10"),
        ({"x": {}, "name": "long"}, "`name` must be a text with a length of at most 3, got 'long'"),
        ({"x": {}, "kind": "c"}, "`kind` cannot be 'c'"),
        ({"x": {}, "share": "1"}, "`share` must be a number or null, got '1'"),
    ],
)
def test_a_refused_field_is_named_with_its_value(values, sentence):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(values), type=Row)
    assert fault(caught.value, values, "the row") == sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rows": [{"x": {}}, {"x": 1}]}, "`rows[1].x` must be a map, got 1"),
        (
            {"rows": [{"x": {}}, {"x": {"a": "b"}}]},
            "`rows[1].x['a']` must be a number or null, got 'b'",
        ),
        ({"rows": [{"x": {}}, {}]}, "`rows[1]` must have the field `x`"),
        (
            {"deep": {"a": {"b": 1.0}, "c": {"d": "e"}}},
            "`deep[...][...]` must be a number, got a text",
        ),
    ],
)
def test_a_field_of_one_of_several_rows_is_named_with_its_row(values, sentence):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(values), type=Rows)
    assert fault(caught.value, values, "the message") == sentence


def test_a_name_that_only_messagepack_can_hold_is_named():
    message = {"x": {1: 2.0}}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Row)
    assert fault(caught.value, message) == "each name in `x` must be a text"


def test_malformed_and_deep_messages_are_named():
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b'{"x": ', type=Row)
    assert fault(caught.value).startswith("the message is malformed: it ends too early, or in")
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(b'{"x": {}, "y": 1e400}', type=Row)
    assert fault(caught.value) == "`y` holds a number out of range"
    assert fault(RecursionError()) == "the message must not be nested so deeply"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_named_with_what_to_write_instead(constant):
    body = b'{"x": {"p": 0.5, "q": %b}}' % constant.encode()
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Row)
    sentence = f"{constant} is not JSON, null stands for a missing value: invalid character"
    assert fault(caught.value, body=body).startswith(f"the message is malformed: {sentence}")


def test_a_constant_within_a_text_is_no_fault():
    body = b'{"x": {"NaN": "NaN"}'
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Row)
    assert "NaN" not in fault(caught.value, body=body)
