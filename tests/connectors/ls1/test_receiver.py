"""Messages of senders that get no replies: bad ones are counted and do not stop the stream."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.stream import Block, Labels, Sample
from tests.helpers import foreign
from tests.helpers.hostile import damaged, honest


@pytest.fixture
def receiver():
    return Receiver(RemoteSources(Limits()))


def take(receiver, *messages):
    return [e for m in messages if (e := receiver.take(m)) is not None]


SCHEMA = foreign.schema("s", ["a", "b"], ["n", "y"])


def test_rows_before_the_first_schema_are_counted_and_skipped(receiver):
    got = take(
        receiver,
        foreign.rows("s", 1, [[1, 2], [3, 4]], [0, 1]),
        SCHEMA,
        foreign.rows("s", 3, [[5, 6]], [1]),
    )
    assert [(e.seq, e.y) for e in got] == [(3, ["y"])]
    assert isinstance(got[0], Block)
    stats = receiver.sources.stats
    assert (stats["without_schema"], stats["rows"], stats["gaps"]) == (2, 1, 0)


def test_a_jump_in_seq_is_a_gap_but_not_before_the_first_row(receiver):
    take(receiver, SCHEMA, foreign.rows("s", 50, [[1, 2]] * 3), foreign.rows("s", 60, [[1, 2]]))
    assert receiver.sources.stats["gaps"] == 7


def test_the_gap_count_is_bounded(receiver):
    take(receiver, SCHEMA, *(foreign.rows("s", seq, [[1, 2]]) for seq in (1, 2**63 - 2) * 4))
    assert receiver.sources.stats["gaps"] == 2**63 - 1


def test_a_lower_seq_is_a_restart_and_a_new_epoch(receiver):
    got = take(
        receiver,
        SCHEMA,
        foreign.rows("s", 8, [[1, 2]]),
        foreign.rows("s", 1, [[1, 2]]),
        foreign.rows("s", 2, [[1, 2]]),
    )
    assert [(e.epoch, e.seq) for e in got] == [(0, 8), (1, 1), (1, 2)]
    assert receiver.sources.position["s"] == {"1": 2}
    stats = receiver.sources.stats
    assert (stats["restarts"], stats["gaps"], stats["duplicates"]) == (1, 0, 0)


def test_rows_by_name_after_a_restart_belong_to_the_next_epoch(receiver):
    bodies = [{"x": {"a": 1}}, {"x": {"a": 2}, "seq": 9}, {"x": {"a": 3}, "seq": 4}]
    got = take(receiver, *([b"s", json.dumps(body).encode()] for body in [*bodies, bodies[0]]))
    assert [(e.epoch, e.seq) for e in got] == [(0, 0), (0, 9), (1, 4), (1, 5)]


def test_a_resumed_engine_counts_missed_rows_and_has_the_schema(receiver):
    take(receiver, SCHEMA, foreign.rows("s", 1, [[1, 2]]))
    second = Receiver(RemoteSources(Limits()))
    second.sources.seek(json.loads(json.dumps(receiver.sources.position)))
    (event,) = take(second, foreign.rows("s", 5, [[1, 2]], [0]))
    assert (event.features, event.y) == (("a", "b"), ["n"])
    assert second.sources.stats["gaps"] == 3


def test_rows_by_name_keep_texts_and_labels(receiver):
    bodies = [
        json.dumps({"x": {"c": "red", "d": None, "e": True}, "y": 3}).encode(),
        msgspec.msgpack.encode({"x": [1, 2.5], "y": "on", "seq": 9, "t": 4.0}),
    ]
    got = take(receiver, *([b"s", body] for body in bodies))
    assert [(e.x, e.y, e.seq) for e in got] == [
        ({"c": "red", "d": None, "e": True}, 3, 0),
        ({"0": 1, "1": 2.5}, "on", 9),
    ]
    assert got[1].t == 4.0
    assert isinstance(got[0], Sample)
    assert receiver.sources.stats["gaps"] == 8


def test_late_labels(receiver):
    (rows, labels) = take(
        receiver, SCHEMA, foreign.rows("s", 1, [[1, 2]]), foreign.late("s", 2, [(1, 1)])
    )
    assert rows.y is None
    assert isinstance(labels, Labels)
    assert (labels.of, labels.y, labels.epoch) == ([1], ["y"], 0)


def test_all_ended_needs_the_end_of_every_source(receiver):
    assert not receiver.all_ended
    take(
        receiver,
        SCHEMA,
        foreign.rows("s", 1, [[1, 2]]),
        [b"t", b'{"x": [1]}'],
        foreign.frames("s", 5, seq=1),
    )
    assert not receiver.all_ended
    take(receiver, foreign.frames("t", 5, seq=1))
    assert receiver.all_ended
    take(receiver, foreign.rows("s", 1, [[1, 2]]))  # it has started again
    assert not receiver.all_ended


@pytest.mark.parametrize(
    "message",
    [
        foreign.rows("s", 1, [[1, 2, 3]], [0]),
        foreign.rows("s", 1, [[1, 2]], [7]),
        foreign.rows("s", 1 << 63, [[1, 2]], kind=10),
        foreign.frames("s", 9, msgspec.msgpack.encode({"error": "x"})),
    ],
)
def test_a_message_that_does_not_match_the_schema_is_rejected_and_counted(receiver, message):
    assert take(receiver, SCHEMA, message) == []
    assert receiver.sources.stats["rejected"] == 1
    assert receiver.last_error


def test_a_message_cannot_change_the_task(receiver):
    take(receiver, SCHEMA, foreign.schema("t", ["a"], task="regression"))
    assert "task of the schema must be classification" in receiver.last_error
    assert receiver.sources.schema.task == "classification"


@pytest.mark.slow
def test_100_000_mutated_messages_do_not_stop_the_stream(receiver):
    n = 100_000
    rng = np.random.default_rng(2)
    messages = honest()
    for i in range(n):
        receiver.take(damaged(rng, messages[i % len(messages)]))
    stats = receiver.sources.stats
    assert stats["messages"] == n
    assert stats["malformed"] > n / 2
    assert len(receiver.sources.by_name) <= Limits().sources
    (event,) = take(
        receiver, foreign.schema("new", ["a"], ["x"]), foreign.rows("new", 1, [[1.0]], [0])
    )
    assert event.y == ["x"]
