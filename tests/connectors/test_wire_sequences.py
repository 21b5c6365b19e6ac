"""Ids of events on the wire: a column that the schema names, or a field of a readable row."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from loco_stream.connectors import ZMQSender, ZMQSource
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import SchemaPayload, encode, read_row, read_schema
from loco_stream.connectors.ls1.readable import as_block
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import Streams, describe
from loco_stream.connectors.ls1.wire import Kind, pack
from loco_stream.errors import ConfigError, SourceError

NOTE = SchemaPayload(
    1, "classification", ("a", "run", "b"), ("V", "", "A"), ("n", "y"), sequence="run"
)


def heard(*messages):
    """Return the events of one source's messages, and the receiver."""
    receiver = Receiver(Streams(Limits()))
    events = [receiver.take(message) for message in messages]
    return [event for event in events if event is not None], receiver


def rows(values, seq=1, kind=Kind.SAMPLE):
    table = np.array(values, "<f4")
    return pack("s", kind, table.tobytes(), seq=seq, n_rows=len(table), n_features=table.shape[1])


def test_the_column_that_the_schema_names_holds_ids_and_is_no_input():
    schema = pack("s", Kind.SCHEMA, encode(NOTE))
    (block,), _ = heard(schema, rows([[1.0, 7.0, 2.0], [3.0, 8.0, 4.0]]))
    assert (block.features, block.sequence) == (("a", "b"), [7, 8])
    assert block.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert (describe(NOTE).features, describe(NOTE).units) == (("a", "b"), ("V", "A"))


def test_a_row_without_its_id_is_refused():
    events, receiver = heard(pack("s", Kind.SCHEMA, encode(NOTE)), rows([[1.0, np.nan, 2.0]]))
    assert events == []
    assert "the id of a sequence is nan" in receiver.last_error


def test_a_readable_row_may_have_an_id():
    (row,), _ = heard([b"s", b'{"x": {"a": 1.5}, "sequence": "run 3"}'])
    assert (row.x, row.sequence) == ({"a": 1.5}, "run 3")
    (row,), _ = heard(pack("s", Kind.SCHEMA, encode(NOTE)), [b"s", b'{"x": [1.5, 4, 2.5]}'])
    assert (row.x, row.sequence) == ({"a": 1.5, "b": 2.5}, 4)
    assert read_row(b'{"x": {"sequence": 1}}').x == {
        "sequence": 1
    }  # a feature of this name stays one


def test_a_schema_of_an_older_sender_has_no_ids_and_an_older_receiver_skips_the_field():
    class Older(msgspec.Struct):
        schema_id: int
        task: str
        features: tuple[str, ...]

    old = {"schema_id": 1, "task": "classification", "features": ["a"]}
    assert read_schema(msgspec.msgpack.encode(old)).sequence is None
    assert msgspec.msgpack.decode(encode(NOTE), type=Older).features == ("a", "run", "b")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"features": ["a"], "sequence": "run"},
            "no feature 'run', which is to hold the id of a sequence",
        ),
        ({"features": ["run"], "sequence": "run"}, "the schema names no feature"),
    ],
)
def test_a_schema_whose_ids_have_no_place_is_refused(fields, sentence):
    with pytest.raises(SourceError, match=sentence):
        read_schema(encode({"schema_id": 1, "task": "classification", **fields}))


def test_a_sender_names_the_column_once():
    with pytest.raises(
        ConfigError, match="sequence is 'ran'; allowed is one of the features: a, run"
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


def test_a_readable_row_of_the_reliable_protocol_has_its_id_in_the_column():
    message = as_block("s", {"a": 1.0, "run": 4, "b": 2.0}, "y", 1, 0.5, NOTE)
    streams = Streams(Limits())
    block = streams.find("s", "").event(message, NOTE)
    assert (block.features, block.sequence, block.y) == (("a", "b"), [4], ["y"])
