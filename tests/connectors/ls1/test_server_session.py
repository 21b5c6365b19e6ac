"""The engine's side of the reliable protocol, without a socket."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._remote_source import COUNTERS
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Labels, PredictRequest
from tests.helpers import foreign
from tests.helpers.foreign import Answer
from tests.helpers.server_harness import A, B, ServerHarness, block, kinds


def test_hello_is_answered_with_the_last_durable_row_and_the_window():
    server = ServerHarness(window=100)
    answer = server.greet()
    assert (answer.seq, answer.content, answer.source) == (0, {"credit": 100}, "s")
    server(A, block(1, 5))
    assert server.greet().seq == 0  # yielded, but not durable
    server.commit()
    assert server.greet().seq == 5
    assert server.greet(epoch=8).seq == 0
    assert server.greet(epoch=7).seq == 5


@pytest.mark.parametrize(
    "message",
    [
        block(1),
        foreign.schema("s", ["a"], ["x"]),
        foreign.frames("s", 5),
        foreign.rows("s", 1 << 63, [[1]], kind=10),
    ],
)
def test_a_message_before_hello_is_answered_by_say_hello(message):
    events, answers = ServerHarness()(A, message)
    assert events == []
    assert [(a.kind, a.seq, a.content) for a in answers] == [(9, 0, {"error": "say hello"})]


def test_two_senders_with_one_name_are_told_so():
    """The last error in the status was "say hello"."""
    server = ServerHarness()
    server(A, block(1))
    assert server.session.last_error == "'s' sent rows before its hello"
    server.greet(A)
    server.greet(B)
    server(A, block(1))
    assert server.session.last_error == (
        "another connection said hello as 's': each sender needs a name of its own"
    )


def test_heartbeats_are_never_answered():
    server = ServerHarness()
    assert server(A, foreign.frames("s", 3)) == ([], [])
    server.greet()
    assert server(A, foreign.frames("s", 3)) == ([], [])


def test_rows_become_blocks_with_the_names_of_the_schema():
    server = ServerHarness()
    server.greet()
    (event,), answers = server(
        A, foreign.rows("s", 1, [[1, math.inf], [2, 3], [4, math.nan]], [1, -1, 0], t=9.5)
    )
    assert isinstance(event, Block)
    np.testing.assert_array_equal(event.X, np.array([[1, np.nan], [2, 3], [4, np.nan]], np.float32))
    assert (event.y, event.features, event.seq, event.epoch) == (["y", None, "n"], ("a", "b"), 1, 7)
    assert (event.t, event.source, event.tag) == (9.5, "s", None)
    assert answers == []
    assert kinds(server.commit()) == [(7, 3)]
    assert server.sources.stats["masked"] == 2
    (event,), _ = server(A, foreign.rows("s", 4, [[1, 2]]))
    assert event.y is None


def test_rows_without_a_schema_are_refused():
    server = ServerHarness()
    server(A, foreign.hello("s", 7))
    _, answers = server(A, block(1))
    assert answers[0].content["error"] == "send the schema after hello"


def test_known_rows_are_dropped_and_answered_with_the_last_durable_row():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 5))
    for again in (block(1, 5), block(2, 3)):
        events, answers = server(A, again)
        assert (events, kinds(answers)) == ([], [(7, 0)])  # yielded, but not durable
    server.commit()
    events, answers = server(A, block(2, 3))
    assert (events, kinds(answers)) == ([], [(7, 5)])
    assert server.sources.stats["duplicates"] == 11


def test_only_the_new_tail_of_a_block_is_taken():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 5))
    server.commit()
    (event,), answers = server(A, block(4, 4))
    assert (event.seq, len(event.X), event.y) == (6, 2, ["n", "y"])
    np.testing.assert_array_equal(event.X[0], [404, 405])
    assert kinds(answers) == [(7, 5)]
    assert kinds(server.commit()) == [(7, 7)]


def test_a_gap_is_refused_with_the_last_durable_row():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 5))
    server.commit()
    events, answers = server(A, block(7))
    assert (events, kinds(answers)) == ([], [(9, 5)])
    assert "seq must be 6 or lower, got 7" in answers[0].content["error"]
    (event,), _ = server(A, block(6))  # the connection stays open
    assert event.seq == 6


def test_seq_zero_is_refused():
    server = ServerHarness()
    server.greet()
    assert server(A, block(0))[1][0].content == {"error": "seq must start at 1"}


def test_rows_beyond_the_window_are_refused():
    server = ServerHarness(window=64)
    server.greet()
    server(A, block(1, 60))
    events, answers = server(A, block(61, 5))
    assert (events, kinds(answers)) == ([], [(9, 0)])
    assert "flow-control window of 64" in answers[0].content["error"]
    assert len(server(A, block(61, 4))[0]) == 1
    server.commit()
    assert len(server(A, block(65, 64))[0]) == 1


def test_epochs_are_separate_and_64_earlier_ones_are_remembered():
    server = ServerHarness()
    for epoch in range(70):
        server.greet(epoch=epoch)
        server(A, block(1, 3))
        server.commit()
    position = server.sources.position["s"]
    assert list(position) == [str(e) for e in range(5, 70)]
    assert server.greet(epoch=5).seq == 3
    assert server(A, block(1, 3))[0] == []
    assert server.greet(epoch=4).seq == 0


def test_the_newest_of_two_connections_replaces_the_other():
    server = ServerHarness()
    server.greet(A)
    server(A, block(1, 2))
    server.session.take(B, foreign.hello("s", 7))
    sent = [(p, Answer(f).kind) for p, f in server.session.outbox]
    assert sent == [(A, 9), (B, 6)]
    server.session.outbox.clear()
    assert server(A, block(3))[1][0].content == {"error": "say hello"}
    server(B, foreign.schema("s", ["a", "b"], ["n", "y"]))
    assert server(B, block(3))[0][0].seq == 3
    server.session.ack(server.sources.position)
    assert [p for p, _ in server.session.outbox] == [B]


def test_hello_is_idempotent():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 2))
    server.greet()
    assert server(A, block(3))[0][0].seq == 3


def test_the_end_of_stream_is_acked_once_all_rows_are_durable():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 2))
    assert server(A, foreign.frames("s", 5, seq=2)) == ([], [])
    assert kinds(server.commit()) == [(7, 2), (7, 2)]
    assert kinds(server(A, foreign.frames("s", 5, seq=2))[1]) == [(7, 2)]
    assert kinds(server(A, foreign.frames("s", 5, seq=1))[1]) == [(7, 1)]
    assert kinds(server(A, foreign.frames("s", 5, seq=3))[1]) == [(9, 2)]
    server.greet(epoch=8)
    assert kinds(server(A, foreign.frames("s", 5, seq=0))[1]) == [(7, 0)]


def test_late_labels_are_numbered_and_deduplicated():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 3, labels=False))
    (event,), _ = server(A, foreign.late("s", 4, [(1, 0), (2, 1), (3, -1)]))
    assert isinstance(event, Labels)
    assert (event.of, event.y, event.seq, event.epoch) == ([1, 2, 3], ["n", "y", None], 4, 7)
    assert kinds(server.commit()) == [(7, 6)]
    (event,), answers = server(A, foreign.late("s", 5, [(2, 1), (3, -1), (1, 1)]))
    assert (event.of, event.seq, kinds(answers)) == ([1], 7, [(7, 6)])
    assert server.sources.stats["labels"] == 4


def test_predictions_are_sent_only_if_hello_asks_for_them():
    server = ServerHarness()
    server.greet()
    (event,), _ = server(A, block(1, 2))
    server.session.reply(event, np.ones((2, 1), np.float32), ["n"])
    assert server.answers() == []
    server.greet(predict=True)
    (event,), _ = server(A, block(3, 2))
    server.session.reply(event, np.array([[0.25, 0.75], [1, 0]], np.float32), ["y", "n"])
    server.session.ack(server.sources.position)
    prediction, ack = server.answers()
    assert (prediction.kind, prediction.seq, ack.kind, ack.seq) == (8, 3, 7, 4)
    np.testing.assert_array_equal(prediction.table, [[0.75, 0.25], [0, 1]])


def test_requests_are_answered_in_the_class_order_of_their_schema():
    server = ServerHarness()
    seq = foreign.REQUEST | 5
    server.greet(classes=["x", "y", "z"])
    (event,), _ = server(A, foreign.rows("s", seq, [[1, 2], [3, 4]], kind=10))
    assert isinstance(event, PredictRequest)
    assert (event.seq, event.features, event.X.shape) == (seq, ("a", "b"), (2, 2))
    server.session.reply(event, np.zeros((2, 0), np.float32), [])
    (answer,) = server.answers(A)
    assert (answer.kind, answer.seq, answer.n_features) == (8, seq, 3)
    np.testing.assert_allclose(answer.table, np.full((2, 3), 1 / 3, np.float32))
    server.session.reply(event, np.array([[0.5, 0.5], [1, 0]], np.float32), ["y", "new"])
    np.testing.assert_array_equal(server.answers(A)[0].table, [[0, 0.5, 0], [0, 1, 0]])
    assert server.sources.position == {"": {}}  # requests are not part of the position


def test_integer_classes_of_a_model_match_the_text_on_the_wire():
    server = ServerHarness()
    server.greet(classes=["0", "1"])
    (event,), _ = server(A, foreign.rows("s", 1 << 63, [[1, 2]], kind=10))
    server.session.reply(event, np.array([[0.25, 0.75]], np.float32), [1, 0])
    np.testing.assert_array_equal(server.answers(A)[0].table, [[0.75, 0.25]])


def test_regression_has_float_labels_and_one_column():
    server = ServerHarness()
    server(
        A, foreign.hello("s", 7, predict=True), foreign.schema("s", ["a", "b"], task="regression")
    )
    (event,), _ = server(
        A,
        foreign.rows("s", 1, [[1, 2], [3, 4], [5, 6]], [0.5, math.nan, math.inf], regression=True),
    )
    assert event.y == [0.5, None, None]
    server.session.reply(event, np.array([[1.5], [2.5], [3.5]]), [])
    assert server.answers(A)[0].table.tolist() == [[1.5], [2.5], [3.5]]


def test_a_reply_to_a_peer_that_is_gone_is_counted():
    server = ServerHarness()
    server.greet()
    (event,), _ = server(A, foreign.rows("s", 1 << 63, [[1, 2]], kind=10))
    server.session.reset()
    server.answers()
    server.session.reply(event, np.zeros((1, 0), np.float32), [])
    assert server.answers() == []
    assert server.sources.stats["unsent"] == 1


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (foreign.rows("s", 1, [[1, 2, 3]], [0]), "must have 2 values, as the schema has, got 3"),
        (
            foreign.rows("s", 1, [[1, 2]], [2]),
            "index into the schema's 2 classes, or -1 if it is missing, got 2",
        ),
        (foreign.rows("s", 1, [[1, 2]], [-2]), "got -2"),
        (foreign.late("s", 1, [(1, 9)]), "got 9"),
        (foreign.frames("s", 7, seq=1), "kind 7 must come from the engine only"),
        (foreign.rows("other", 1, [[1, 2]], [0]), "topic must be 's' as in hello, got 'other'"),
        (
            foreign.hello("other", 1)[:1] + foreign.hello("s", 1)[1:],
            "topic must be 's' as in hello, got 'other'",
        ),
        ([b"s", b"x", b""], "header must have 32 bytes"),
        ([b"s"] * 9, "3 frames"),
        ([b"s", b"{}"], "a JSON or MessagePack map"),
        ([b"s", json.dumps({"x": [1, 2], "y": "n"}).encode()], "must have a seq"),
        (
            [b"s", json.dumps({"x": {"c": "red"}, "y": "n", "seq": 1}).encode()],
            "must be in the schema, got 'c'",
        ),
        (
            [b"s", json.dumps({"x": ["red", 2], "y": "q", "seq": 1}).encode()],
            "one of the schema's classes, got 'q'",
        ),
        (
            [b"s", json.dumps({"x": {"c": 2}, "seq": 1 << 63}).encode()],
            "must be in the schema, got 'c'",
        ),
        (
            [b"s", json.dumps({"x": {"c": 2}, "y": "n", "seq": 1}).encode()],
            "must be in the schema, got 'c'",
        ),
        (
            [b"s", json.dumps({"x": [1, 2], "y": "q", "seq": 1}).encode()],
            "one of the schema's classes, got 'q'",
        ),
    ],
)
def test_a_bad_message_is_answered_and_does_not_end_the_session(message, text):
    server = ServerHarness()
    server.greet()
    events, (answer,) = server(A, message)
    assert (events, answer.kind, answer.seq) == ([], 9, 0)
    assert text in answer.content["error"]
    assert text in server.session.last_error
    assert server.sources.stats["malformed"] + server.sources.stats["rejected"] == 1
    assert len(server(A, block(1))[0]) == 1


def test_rows_by_name_are_numbered_and_acked():
    server = ServerHarness()
    server.greet()
    row = {"x": {"b": 2, "a": None}, "y": "y", "seq": 1, "t": 3.0}
    (event,), _ = server(A, [b"s", json.dumps(row).encode()])
    np.testing.assert_array_equal(event.X, np.array([[np.nan, 2]], np.float32))
    assert (event.y, event.t, event.seq) == (["y"], 3.0, 1)
    assert kinds(server.commit()) == [(7, 1)]
    assert kinds(server(A, [b"s", json.dumps(row).encode()])[1]) == [(7, 1)]


def test_a_schema_may_grow_but_no_unit_may_change():
    server = ServerHarness()
    server(A, foreign.hello("s", 7), foreign.schema("s", ["a", "b"], ["n"], units=["m", "s"]))
    server(A, foreign.schema("s", ["a", "b", "c"], ["n", "q"], units=["m", "s", "V"], schema_id=2))
    (event,), _ = server(A, foreign.rows("s", 1, [[1, 2, 3]], [1]))
    assert (event.features, event.y) == (("a", "b", "c"), ["q"])
    _, (answer,) = server(
        A, foreign.schema("s", ["a", "b", "c"], ["n"], units=["ft", "s", "V"], schema_id=3)
    )
    assert answer.content["error"] == (
        "the unit of feature 'a' must stay 'm', got 'ft': a new unit needs a new name"
    )
    (events, *_) = server(A, foreign.rows("s", 2, [[1, 2, 3]], [1]))
    assert events[0].y == ["q"]  # the old schema stays


def test_names_are_bounded_over_time():
    server = ServerHarness(limits=Limits(features=3, classes=2))
    server.greet(classes=["n"])
    for i, features in enumerate((["a", "c"], ["b", "d"])):
        _, answers = server(A, foreign.schema("s", features, ["n"], schema_id=i + 2))
        assert [a.kind for a in answers] == [9] * i
    _, (answer,) = server(A, foreign.schema("s", ["a"], ["p", "q"], schema_id=9))
    assert "at most 3 features and 2 classes" in answer.content["error"]


def test_all_sources_share_one_task():
    server = ServerHarness()
    server.greet()
    _, answers = server(B, foreign.hello("t", 1), foreign.schema("t", ["a"], task="regression"))
    assert "must be classification, got regression" in answers[-1].content["error"]
    _, answers = ServerHarness(task="regression")(
        A, foreign.hello("s", 1), foreign.schema("s", ["a"], ["x"])
    )
    assert "must be regression" in answers[-1].content["error"]


def test_sources_are_bounded_and_those_without_rows_are_forgotten_first():
    server = ServerHarness(limits=Limits(sources=2))
    server.greet(A, "s")
    server(A, block(1))
    server.greet(B, "t")
    server.greet(b"c", "u")  # t has sent no row
    server(b"c", block(1, source="u"))
    _, (answer,) = server(b"d", foreign.hello("v", 1))
    assert "2 sources are served" in answer.content["error"]


def test_a_resumed_session_has_the_rows_and_the_schema():
    first = ServerHarness()
    first(A, foreign.hello("s", 7), foreign.schema("s", ["a", "b"], ["n", "y"], units=["m", "s"]))
    first(A, block(1, 9))
    position = json.loads(json.dumps(first.sources.position))
    second = ServerHarness()
    second.sources.seek(position)
    assert second.sources.schema.units == ("m", "s")
    assert second(A, foreign.hello("s", 7))[1][0].seq == 9
    _, answers = second(A, foreign.schema("s", ["a", "b"], ["n", "y"], units=["km", "s"]))
    assert [a.kind for a in answers] == [9]
    assert second.sources.position == position
    with pytest.raises(SourceError, match="`position` must be"):
        second.sources.seek({"row": 3})


def test_a_seek_asks_for_a_new_hello():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 5))
    position = server.sources.position
    server.session.ack(position)
    server(A, block(6, 5))
    server.answers()
    server.sources.seek(position)
    server.session.reset()
    assert [a.content for a in server.answers(A)] == [{"error": "say hello"}]
    assert server.greet().seq == 5
    assert server(A, block(6, 5))[0][0].seq == 6


def test_acks_above_the_rate_are_delayed_and_no_row_is_dropped():
    server = ServerHarness(rate=10)
    server.greet(A, "s")
    server.greet(B, "t")
    for seq in range(1, 4):
        assert len(server(A, block(seq))[0]) == 1
        server.commit() if seq == 1 else server.session.ack(server.sources.position)
    assert server.answers(A) == []
    server(B, block(1, source="t"))
    server.session.ack(server.sources.position)
    assert kinds(server.answers()) == [(7, 1)]  # the rate is per connection
    server.now = 0.11
    server.session.tick()
    assert kinds(server.answers(A)) == [(7, 3)]


def test_under_curve_the_rate_is_per_key():
    server = ServerHarness(rate=10)
    for peer, source in ((A, "s"), (B, "t")):
        server(
            peer, foreign.hello(source, 1), foreign.schema(source, ["a", "b"], ["n", "y"]), key="k"
        )
        server(peer, block(1, source=source), key="k")
    acks = [a for a in server.commit() if a.kind == 7]
    assert len(acks) == 1


def test_all_counters_exist_from_the_start():
    assert set(ServerHarness().sources.stats) == set(COUNTERS)
