"""What msgspec refused, in the words of this package."""

from __future__ import annotations

import msgspec
import pytest

from loco_stream._decoding import fault


class Row(msgspec.Struct, forbid_unknown_fields=True):
    x: dict[str, float | None]
    y: int = 0


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
    ],
)
def test_a_refused_field_is_named_with_its_value(values, sentence):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(values), type=Row)
    assert fault(caught.value, values, "the row") == sentence


def test_malformed_and_deep_messages_are_named():
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b'{"x": ', type=Row)
    assert fault(caught.value).startswith("the message is malformed: it ends too early, or in")
    assert fault(RecursionError()) == "the message must not be nested so deeply"
