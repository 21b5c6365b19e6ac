"""Sequence ids on the wire: a column that the schema names, or a field of a row by name."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from loco_stream.connectors import ZMQSender, ZMQSource
from loco_stream.connectors.ls1._json_rows import to_message
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import (
    NamedRow,
    SchemaPayload,
    encode,
    read_row,
    read_schema,
)
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._wire import Kind, pack
from loco_stream.errors import ConfigError, SourceError

SCHEMA = SchemaPayload(
    1, "classification", ("a", "run", "b"), ("V", "", "A"), ("n", "y"), sequence="run"
)


def receive(*messages):
    """Return the events of one source's messages, and the receiver."""
    receiver = Receiver(RemoteSources(Limits()))
    events = [receiver.take(message) for message in messages]
    return [event for event in events if event is not None], receiver


def rows(values, seq=1, kind=Kind.SAMPLE):
    table = np.array(values, "<f4")
    return pack("s", kind, table.tobytes(), seq=seq, n_rows=len(table), n_features=table.shape[1])


def test_the_column_that_the_schema_names_holds_ids_and_is_not_a_feature():
    schema = pack("s", Kind.SCHEMA, encode(SCHEMA))
    (block,), receiver = receive(schema, rows([[1.0, 7.0, 2.0], [3.0, 8.0, 4.0]]))
    assert (block.features, block.sequence) == (("a", "b"), [7, 8])
    assert block.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    public = receiver.sources.schema
    assert (public.features, public.units) == (("a", "b"), ("V", "A"))


def test_a_row_without_its_id_is_refused():
    events, receiver = receive(pack("s", Kind.SCHEMA, encode(SCHEMA)), rows([[1.0, np.nan, 2.0]]))
    assert events == []
    assert "`sequence` must be a text or a number in every row, got nan" in receiver.last_error


def test_a_row_by_name_may_have_an_id():
    (row,), _ = receive([b"s", b'{"x": {"a": 1.5}, "sequence": "run 3"}'])
    assert (row.x, row.sequence) == ({"a": 1.5}, "run 3")
    (row,), _ = receive(pack("s", Kind.SCHEMA, encode(SCHEMA)), [b"s", b'{"x": [1.5, 4, 2.5]}'])
    assert (row.x, row.sequence) == ({"a": 1.5, "b": 2.5}, 4)
    row = read_row(b'{"x": {"sequence": 1}}')
    assert row.x == {"sequence": 1}  # a feature of this name stays one


def test_an_older_schema_has_no_ids_and_an_older_receiver_ignores_them():
    class Older(msgspec.Struct):
        schema_id: int
        task: str
        features: tuple[str, ...]

    old = {"schema_id": 1, "task": "classification", "features": ["a"]}
    assert read_schema(msgspec.msgpack.encode(old)).sequence is None
    assert msgspec.msgpack.decode(encode(SCHEMA), type=Older).features == ("a", "run", "b")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"features": ["a"], "sequence": "run"},
            "`sequence` of the schema must be one of its features, got 'run'",
        ),
        ({"features": ["run"], "sequence": "run"}, "the schema must name a feature"),
    ],
)
def test_a_schema_with_a_bad_sequence_column_is_refused(fields, sentence):
    with pytest.raises(SourceError, match=sentence):
        read_schema(encode({"schema_id": 1, "task": "classification", **fields}))


def test_a_sender_names_the_column():
    with pytest.raises(
        ConfigError, match="`sequence` must be one of the features a, run, got 'ran'"
    ):
        ZMQSender("tcp://127.0.0.1:*", features=["a", "run"], sequence="ran", bind=True)
    source = ZMQSource("tcp://127.0.0.1:*", idle=2.0)
    with ZMQSender(source.address, features=["a", "run"], sequence="run", name="s") as sender:
        sender.send([[0.5, 1], [0.6, 1], [0.7, 2]])
        sender.send({"a": 0.8, "run": "third"})
        deadline = time.monotonic() + 20.0
        events = []
        for taken in source:
            events += taken
            if len(events) == 2 or time.monotonic() > deadline:
                break
    source.close()
    block, row = events
    assert (block.features, block.sequence, row.x, row.sequence) == (
        ("a",),
        [1, 1, 2],
        {"a": 0.8},
        "third",
    )


def test_a_row_by_name_of_the_reliable_protocol_has_its_id_in_the_column():
    row = NamedRow({"a": 1.0, "run": 4, "b": 2.0}, "y", 1, 0.5)
    message = to_message(row, SCHEMA, "s")
    block = RemoteSources(Limits()).find("s", "").event(message, SCHEMA)
    assert (block.features, block.sequence, block.y) == (("a", "b"), [4], ["y"])
