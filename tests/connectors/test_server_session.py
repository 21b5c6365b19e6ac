"""The engine's end of the reliable protocol, rule by rule, without a socket."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.remote_source import COUNTERS
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Labels, PredictRequest
from tests.helpers import foreign
from tests.helpers.foreign import Answer
from tests.helpers.session_table import A, B, Table, block, kinds


def test_hello_is_answered_with_the_last_durable_row_and_the_credit():
    table = Table(credit=100)
    answer = table.greet()
    assert (answer.seq, answer.note, answer.source) == (0, {"credit": 100}, "s")
    table(A, block(1, 5))
    assert table.greet().seq == 0  # handed out is not durable
    table.commit()
    assert table.greet().seq == 5
    assert table.greet(epoch=8).seq == 0
    assert table.greet(epoch=7).seq == 5


@pytest.mark.parametrize(
    "message",
    [
        block(1),
        foreign.schema("s", ["a"], ["x"]),
        foreign.frames("s", 5),
        foreign.rows("s", 1 << 63, [[1]], kind=10),
    ],
)
def test_anything_before_hello_is_told_to_say_hello(message):
    events, answers = Table()(A, message)
    assert events == []
    assert [(a.kind, a.seq, a.note) for a in answers] == [(9, 0, {"error": "say hello"})]


def test_heartbeats_are_never_answered():
    table = Table()
    assert table(A, foreign.frames("s", 3)) == ([], [])
    table.greet()
    assert table(A, foreign.frames("s", 3)) == ([], [])


def test_rows_become_blocks_with_the_schemas_names():
    table = Table()
    table.greet()
    (event,), answers = table(
        A, foreign.rows("s", 1, [[1, math.inf], [2, 3], [4, math.nan]], [1, -1, 0], t=9.5)
    )
    assert isinstance(event, Block)
    np.testing.assert_array_equal(event.X, np.array([[1, np.nan], [2, 3], [4, np.nan]], np.float32))
    assert (event.y, event.features, event.seq, event.epoch) == (["y", None, "n"], ("a", "b"), 1, 7)
    assert (event.t, event.source, event.tag) == (9.5, "s", None)
    assert answers == []
    assert kinds(table.commit()) == [(7, 3)]
    assert table.streams.stats["masked"] == 2
    (event,), _ = table(A, foreign.rows("s", 4, [[1, 2]]))
    assert event.y is None


def test_rows_without_a_schema_are_refused():
    table = Table()
    table(A, foreign.hello("s", 7))
    _, answers = table(A, block(1))
    assert answers[0].note["error"] == "send the schema after hello"


def test_old_rows_are_dropped_and_acked_with_the_last_durable():
    table = Table()
    table.greet()
    table(A, block(1, 5))
    for again in (block(1, 5), block(2, 3)):
        events, answers = table(A, again)
        assert (events, kinds(answers)) == ([], [(7, 0)])  # handed out, and not durable yet
    table.commit()
    events, answers = table(A, block(2, 3))
    assert (events, kinds(answers)) == ([], [(7, 5)])
    assert table.streams.stats["duplicates"] == 11


def test_only_the_new_tail_of_a_block_is_taken():
    table = Table()
    table.greet()
    table(A, block(1, 5))
    table.commit()
    (event,), answers = table(A, block(4, 4))
    assert (event.seq, len(event.X), event.y) == (6, 2, ["n", "y"])
    np.testing.assert_array_equal(event.X[0], [404, 405])
    assert kinds(answers) == [(7, 5)]
    assert kinds(table.commit()) == [(7, 7)]


def test_a_gap_is_refused_with_the_last_durable_row():
    table = Table()
    table.greet()
    table(A, block(1, 5))
    table.commit()
    events, answers = table(A, block(7))
    assert (events, kinds(answers)) == ([], [(9, 5)])
    assert "row 7 does not follow row 5" in answers[0].note["error"]
    (event,), _ = table(A, block(6))  # the connection stays open
    assert event.seq == 6


def test_seq_zero_is_refused():
    table = Table()
    table.greet()
    assert table(A, block(0))[1][0].note == {"error": "seq starts at 1"}


def test_an_overrun_of_the_credit_is_not_taken():
    table = Table(credit=64)
    table.greet()
    table(A, block(1, 60))
    events, answers = table(A, block(61, 5))
    assert (events, kinds(answers)) == ([], [(9, 0)])
    assert "credit of 64" in answers[0].note["error"]
    assert len(table(A, block(61, 4))[0]) == 1
    table.commit()
    assert len(table(A, block(65, 64))[0]) == 1


def test_epochs_are_kept_apart_and_64_old_ones_remembered():
    table = Table()
    for epoch in range(70):
        table.greet(epoch=epoch)
        table(A, block(1, 3))
        table.commit()
    position = table.streams.position["s"]
    assert list(position) == [str(e) for e in range(5, 70)]
    assert table.greet(epoch=5).seq == 3
    assert table(A, block(1, 3))[0] == []
    assert table.greet(epoch=4).seq == 0


def test_the_newest_of_two_connections_wins():
    table = Table()
    table.greet(A)
    table(A, block(1, 2))
    table.session.take(B, foreign.hello("s", 7))
    told = [(p, Answer(f).kind) for p, f in table.session.outbox]
    assert told == [(A, 9), (B, 6)]
    table.session.outbox.clear()
    assert table(A, block(3))[1][0].note == {"error": "say hello"}
    table(B, foreign.schema("s", ["a", "b"], ["n", "y"]))
    assert table(B, block(3))[0][0].seq == 3
    table.session.ack(table.streams.position)
    assert [p for p, _ in table.session.outbox] == [B]


def test_hello_is_idempotent():
    table = Table()
    table.greet()
    table(A, block(1, 2))
    table.greet()
    assert table(A, block(3))[0][0].seq == 3


def test_end_of_stream_is_acked_when_all_before_is_durable_and_again_when_repeated():
    table = Table()
    table.greet()
    table(A, block(1, 2))
    assert table(A, foreign.frames("s", 5, seq=2)) == ([], [])
    assert kinds(table.commit()) == [(7, 2), (7, 2)]
    assert kinds(table(A, foreign.frames("s", 5, seq=2))[1]) == [(7, 2)]
    assert kinds(table(A, foreign.frames("s", 5, seq=1))[1]) == [(7, 1)]
    assert kinds(table(A, foreign.frames("s", 5, seq=3))[1]) == [(9, 2)]
    table.greet(epoch=8)
    assert kinds(table(A, foreign.frames("s", 5, seq=0))[1]) == [(7, 0)]


def test_late_labels_take_seqs_and_are_deduplicated():
    table = Table()
    table.greet()
    table(A, block(1, 3, labels=False))
    (event,), _ = table(A, foreign.late("s", 4, [(1, 0), (2, 1), (3, -1)]))
    assert isinstance(event, Labels)
    assert (event.of, event.y, event.seq, event.epoch) == ([1, 2, 3], ["n", "y", None], 4, 7)
    assert kinds(table.commit()) == [(7, 6)]
    (event,), answers = table(A, foreign.late("s", 5, [(2, 1), (3, -1), (1, 1)]))
    assert (event.of, event.seq, kinds(answers)) == ([1], 7, [(7, 6)])
    assert table.streams.stats["labels"] == 4


def test_predictions_go_back_only_when_asked_for():
    table = Table()
    table.greet()
    (event,), _ = table(A, block(1, 2))
    table.session.reply(event, np.ones((2, 1), np.float32), ["n"])
    assert table.answers() == []
    table.greet(predict=True)
    (event,), _ = table(A, block(3, 2))
    table.session.reply(event, np.array([[0.25, 0.75], [1, 0]], np.float32), ["y", "n"])
    table.session.ack(table.streams.position)
    prediction, ack = table.answers()
    assert (prediction.kind, prediction.seq, ack.kind, ack.seq) == (8, 3, 7, 4)
    np.testing.assert_array_equal(prediction.table, [[0.75, 0.25], [0, 1]])


def test_questions_are_always_answered_in_the_askers_columns():
    table = Table()
    seq = foreign.REQUEST | 5
    table.greet(classes=["x", "y", "z"])
    (event,), _ = table(A, foreign.rows("s", seq, [[1, 2], [3, 4]], kind=10))
    assert isinstance(event, PredictRequest)
    assert (event.seq, event.features, event.X.shape) == (seq, ("a", "b"), (2, 2))
    table.session.reply(event, np.zeros((2, 0), np.float32), [])
    (answer,) = table.answers(A)
    assert (answer.kind, answer.seq, answer.n_features) == (8, seq, 3)
    np.testing.assert_allclose(answer.table, np.full((2, 3), 1 / 3, np.float32))
    table.session.reply(event, np.array([[0.5, 0.5], [1, 0]], np.float32), ["y", "new"])
    np.testing.assert_array_equal(table.answers(A)[0].table, [[0, 0.5, 0], [0, 1, 0]])
    assert table.streams.position == {"": {}}  # nothing was handed out that a log has to hold


def test_integer_classes_of_a_model_meet_the_text_on_the_wire():
    table = Table()
    table.greet(classes=["0", "1"])
    (event,), _ = table(A, foreign.rows("s", 1 << 63, [[1, 2]], kind=10))
    table.session.reply(event, np.array([[0.25, 0.75]], np.float32), [1, 0])
    np.testing.assert_array_equal(table.answers(A)[0].table, [[0.75, 0.25]])


def test_regression_has_float_labels_and_one_column():
    table = Table()
    table(
        A, foreign.hello("s", 7, predict=True), foreign.schema("s", ["a", "b"], task="regression")
    )
    (event,), _ = table(
        A,
        foreign.rows("s", 1, [[1, 2], [3, 4], [5, 6]], [0.5, math.nan, math.inf], regression=True),
    )
    assert event.y == [0.5, None, None]
    table.session.reply(event, np.array([[1.5], [2.5], [3.5]]), [])
    assert table.answers(A)[0].table.tolist() == [[1.5], [2.5], [3.5]]


def test_a_question_whose_asker_has_gone_is_counted():
    table = Table()
    table.greet()
    (event,), _ = table(A, foreign.rows("s", 1 << 63, [[1, 2]], kind=10))
    table.session.reset()
    table.answers()
    table.session.reply(event, np.zeros((1, 0), np.float32), [])
    assert table.answers() == []
    assert table.streams.stats["unsent"] == 1


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (foreign.rows("s", 1, [[1, 2, 3]], [0]), "3 values and the schema 2 features"),
        (foreign.rows("s", 1, [[1, 2]], [2]), "label 2 is outside the schema's 2 classes"),
        (foreign.rows("s", 1, [[1, 2]], [-2]), "label -2 is outside"),
        (foreign.late("s", 1, [(1, 9)]), "label 9 is outside"),
        (foreign.frames("s", 7, seq=1), "kind 7 is the engine's to send"),
        (foreign.rows("other", 1, [[1, 2]], [0]), "said hello as 's', and the topic is 'other'"),
        (
            foreign.hello("other", 1)[:1] + foreign.hello("s", 1)[1:],
            "hello names the source 's', and the topic is",
        ),
        ([b"s", b"x", b""], "header has 32 bytes"),
        ([b"s"] * 9, "3 frames"),
        ([b"s", b"{}"], "neither a JSON"),
        ([b"s", json.dumps({"x": [1, 2], "y": "n"}).encode()], "needs its seq"),
        (
            [b"s", json.dumps({"x": {"c": "red"}, "y": "n", "seq": 1}).encode()],
            "'c' is not in the schema",
        ),
        ([b"s", json.dumps({"x": ["red", 2], "y": "q", "seq": 1}).encode()], "'q' is not among"),
        ([b"s", json.dumps({"x": {"c": 2}, "seq": 1 << 63}).encode()], "'c' is not in the schema"),
        (
            [b"s", json.dumps({"x": {"c": 2}, "y": "n", "seq": 1}).encode()],
            "'c' is not in the schema",
        ),
        ([b"s", json.dumps({"x": [1, 2], "y": "q", "seq": 1}).encode()], "'q' is not among"),
    ],
)
def test_a_broken_message_is_answered_and_stops_nothing(message, says):
    table = Table()
    table.greet()
    events, (answer,) = table(A, message)
    assert (events, answer.kind, answer.seq) == ([], 9, 0)
    assert says in answer.note["error"]
    assert says in table.session.last_error
    assert table.streams.stats["malformed"] + table.streams.stats["rejected"] == 1
    assert len(table(A, block(1))[0]) == 1


def test_readable_rows_take_part_in_the_protocol():
    table = Table()
    table.greet()
    row = {"x": {"b": 2, "a": None}, "y": "y", "seq": 1, "t": 3.0}
    (event,), _ = table(A, [b"s", json.dumps(row).encode()])
    np.testing.assert_array_equal(event.X, np.array([[np.nan, 2]], np.float32))
    assert (event.y, event.t, event.seq) == (["y"], 3.0, 1)
    assert kinds(table.commit()) == [(7, 1)]
    assert kinds(table(A, [b"s", json.dumps(row).encode()])[1]) == [(7, 1)]


def test_a_schema_may_grow_but_no_unit_may_change():
    table = Table()
    table(A, foreign.hello("s", 7), foreign.schema("s", ["a", "b"], ["n"], units=["m", "s"]))
    table(A, foreign.schema("s", ["a", "b", "c"], ["n", "q"], units=["m", "s", "V"], schema_id=2))
    (event,), _ = table(A, foreign.rows("s", 1, [[1, 2, 3]], [1]))
    assert (event.features, event.y) == (("a", "b", "c"), ["q"])
    _, (answer,) = table(
        A, foreign.schema("s", ["a", "b", "c"], ["n"], units=["ft", "s", "V"], schema_id=3)
    )
    assert answer.note["error"] == "feature 'a' was in 'm', not 'ft': a new unit needs a new name"
    assert table(A, foreign.rows("s", 2, [[1, 2, 3]], [1]))[0][0].y == ["q"]  # the old schema stays


def test_names_are_bounded_over_time():
    table = Table(limits=Limits(features=3, classes=2))
    table.greet(classes=["n"])
    for i, features in enumerate((["a", "c"], ["b", "d"])):
        _, answers = table(A, foreign.schema("s", features, ["n"], schema_id=i + 2))
        assert [a.kind for a in answers] == [9] * i
    _, (answer,) = table(A, foreign.schema("s", ["a"], ["p", "q"], schema_id=9))
    assert "3 and 2 are allowed" in answer.note["error"]


def test_all_sources_share_one_task():
    table = Table()
    table.greet()
    _, answers = table(B, foreign.hello("t", 1), foreign.schema("t", ["a"], task="regression"))
    assert "learns classification, and the schema says regression" in answers[-1].note["error"]
    _, answers = Table(task="regression")(
        A, foreign.hello("s", 1), foreign.schema("s", ["a"], ["x"])
    )
    assert "learns regression" in answers[-1].note["error"]


def test_sources_are_bounded_and_silent_ones_make_room():
    table = Table(limits=Limits(sources=2))
    table.greet(A, "s")
    table(A, block(1))
    table.greet(B, "t")
    table.greet(b"c", "u")  # t has sent nothing
    table(b"c", block(1, source="u"))
    _, (answer,) = table(b"d", foreign.hello("v", 1))
    assert "2 sources are served already" in answer.note["error"]


def test_a_resumed_desk_knows_rows_and_schema_of_before():
    first = Table()
    first(A, foreign.hello("s", 7), foreign.schema("s", ["a", "b"], ["n", "y"], units=["m", "s"]))
    first(A, block(1, 9))
    position = json.loads(json.dumps(first.streams.position))
    second = Table()
    second.streams.seek(position)
    assert second.streams.schema.units == ("m", "s")
    assert second(A, foreign.hello("s", 7))[1][0].seq == 9
    _, answers = second(A, foreign.schema("s", ["a", "b"], ["n", "y"], units=["km", "s"]))
    assert [a.kind for a in answers] == [9]
    assert second.streams.position == position
    with pytest.raises(SourceError, match="a position is"):
        second.streams.seek({"row": 3})


def test_going_back_asks_for_a_new_hello():
    table = Table()
    table.greet()
    table(A, block(1, 5))
    position = table.streams.position
    table.session.ack(position)
    table(A, block(6, 5))
    table.answers()
    table.streams.seek(position)
    table.session.reset()
    assert [a.note for a in table.answers(A)] == [{"error": "say hello"}]
    assert table.greet().seq == 5
    assert table(A, block(6, 5))[0][0].seq == 6


def test_above_the_rate_acks_are_late_and_nothing_is_dropped():
    table = Table(rate=10)
    table.greet(A, "s")
    table.greet(B, "t")
    for seq in range(1, 4):
        assert len(table(A, block(seq))[0]) == 1
        table.commit() if seq == 1 else table.session.ack(table.streams.position)
    assert table.answers(A) == []
    table(B, block(1, source="t"))
    table.session.ack(table.streams.position)
    assert kinds(table.answers()) == [(7, 1)]  # another connection has a rate of its own
    table.now = 0.11
    table.session.tick()
    assert kinds(table.answers(A)) == [(7, 3)]


def test_under_curve_the_rate_belongs_to_the_key():
    table = Table(rate=10)
    for peer, source in ((A, "s"), (B, "t")):
        table(
            peer, foreign.hello(source, 1), foreign.schema(source, ["a", "b"], ["n", "y"]), key="k"
        )
        table(peer, block(1, source=source), key="k")
    acks = [a for a in table.commit() if a.kind == 7]
    assert len(acks) == 1


def test_all_counters_are_there_from_the_start():
    assert set(Table().streams.stats) == set(COUNTERS)
