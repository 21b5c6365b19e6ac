"""`check_source` accepts a correct source and names what is wrong with others."""

from __future__ import annotations

import time

import numpy as np
import pytest

from loco_stream.errors import SourceError
from loco_stream.stream import Block, Labels, PredictRequest, Sample, Schema, Source
from loco_stream.testing import check_source

N_ROWS = 12


class Rows(Source):
    """Rows, labels, a block and a request, each a commit."""

    name = "rows"
    guarantee = "exactly once (resumes from the row number)"

    def __init__(self):
        self.row = 0
        self.n_closed = 0
        self.replies = []

    @property
    def position(self):
        return {"row": self.row}

    def seek(self, position):
        self.row = position["row"]

    def events(self):
        X = np.array([[1.0, np.nan]], np.float32)
        yield from (Sample({"a": i, "b": "red"}, "uv"[i % 2], i) for i in range(9))
        yield Block(X, ["u"], ("a", "b"), seq=9)
        yield PredictRequest(X, ("a", "b"), seq=3, tag="peer")
        yield Labels([4], ["u"], seq=5)

    def __iter__(self):
        for event in list(self.events())[self.row :]:
            self.row += 1
            yield event

    def reply(self, event, values, classes):
        self.replies.append((event.seq, values.shape, tuple(classes)))

    def close(self):
        self.n_closed += 1


def test_a_correct_source_passes():
    made = []

    def make():
        made.append(Rows())
        return made[-1]

    check_source(make, n_rows=N_ROWS)
    assert {source.n_closed for source in made} == {2}
    replies = next(source.replies for source in made if source.replies)
    assert replies == [(3, (1, 2), ("a", "b"))]


class Live(Rows):
    is_live = True

    def __init__(self):
        super().__init__()
        self.is_sent = False

    def __iter__(self):
        while not self.is_sent:
            time.sleep(0.01)
            yield []
        yield from ([event] for event in super().__iter__())
        while True:
            time.sleep(0.01)
            yield []


def test_a_correct_live_source_passes():
    check_source(Live, n_rows=N_ROWS, send=lambda source: setattr(source, "is_sent", True))


class NoName(Rows):
    name = ""


class TwoLines(Rows):
    guarantee = "exactly\nonce"


class WordForLive(Rows):
    is_live = "yes"


class OtherOnBad(Rows):
    on_bad = "ignore"


class Pairs(Rows):
    def events(self):
        yield {"a": 1}, "u"


class TextNumber(Rows):
    def events(self):
        yield Sample({"a": 1}, "u", seq="7")


class ListOfValues(Rows):
    def events(self):
        yield Sample([1, 2], "u")


class FlatArray(Rows):
    def events(self):
        yield Block(np.ones(3, np.float32), None, ("a",))


class Doubles(Rows):
    def events(self):
        yield Block(np.ones((2, 1)), None, ("a",))


class OneNameTooFew(Rows):
    def events(self):
        yield Block(np.ones((2, 2), np.float32), None, ("a",))


class OneLabelTooFew(Rows):
    def events(self):
        yield Block(np.ones((2, 1), np.float32), ["u"], ("a",))


class OneNumberTooFew(Rows):
    def events(self):
        yield Labels([1], ["u", "v"])


class SameNumber(Rows):
    def events(self):
        yield Sample({"a": 1}, "u", seq=7)
        yield Sample({"a": 2}, "u", seq=7)


class TuplePosition(Rows):
    @property
    def position(self):
        return {"row": (self.row, 0)}


class SharedPosition(Rows):
    def __init__(self):
        super().__init__()
        self.rows = {"row": 0}

    @property
    def position(self):
        self.rows["row"] = self.row
        return {"rows": self.rows}

    def seek(self, position):
        self.row = position["rows"]["row"]


class ObjectSideState(Rows):
    def side_state(self):
        return {"known": object()}


class RandomRows(Rows):
    def events(self):
        yield from (Sample({"a": time.perf_counter()}, "u", seq=i) for i in range(3))


class SkipsOne(Rows):
    def seek(self, position):
        super().seek({"row": position["row"] + 1})


class Forgets(Rows):
    def seek(self, position):
        self.row = position["row"]
        self.first = self.row

    def events(self):
        first = getattr(self, "first", 0)
        return (Sample({"a": i}, "u", seq=i + (i > first > 0)) for i in range(3))


class NoSeek(Rows):
    seek = Source.seek


class AckMoves(Rows):
    def ack(self, position):
        self.row = position["row"] - 1


class RefusesRepeatedAck(Rows):
    acked = -1

    def ack(self, position):
        if position["row"] <= self.acked:
            raise SourceError("acknowledged before")
        self.acked = position["row"]


class TextCount(Rows):
    stats = {"rows": "many"}  # noqa: RUF012


class NoLocation(Rows):
    location = None


class OtherTask(Rows):
    schema = Schema(task="ranking")


class Percent(Rows):
    progress = 50.0


class ClosesOnce(Rows):
    def close(self):
        if self.n_closed:
            raise SourceError("closed before")
        super().close()


@pytest.mark.parametrize(
    ("cls", "error", "sentence"),
    [
        (NoName, AssertionError, "NoName: `name` must be one line of text, got ''"),
        (TwoLines, AssertionError, "`guarantee` must be one line of text"),
        (WordForLive, AssertionError, "`is_live` must be True or False, got 'yes'"),
        (OtherOnBad, AssertionError, "`on_bad` must be 'stop' or 'skip', got 'ignore'"),
        (Pairs, AssertionError, "must yield events or lists of events, got {'a': 1}"),
        (TextNumber, AssertionError, "a whole number `seq` from 0, got '' and '7'"),
        (ListOfValues, AssertionError, r"must yield samples with a mapping `x`, got \[1, 2\]"),
        (FlatArray, AssertionError, r"arrays `X` of shape \(n_rows, n_features\)"),
        (Doubles, AssertionError, "must yield arrays `X` of float32, got float64"),
        (OneNameTooFew, AssertionError, "has 1 names in `features`, and 2 columns in `X`"),
        (OneLabelTooFew, AssertionError, "has 1 values in `y`, and 2 rows in `X`"),
        (OneNumberTooFew, AssertionError, "has 1 numbers in `of`, and 2 labels"),
        (SameNumber, AssertionError, "a number of its own in `seq`"),
        (TuplePosition, AssertionError, r"`position` must be a JSON value, got \{'row': \(1, 0\)"),
        (SharedPosition, AssertionError, "must not change a `position` that was read"),
        (ObjectSideState, AssertionError, "`side_state` must be a JSON value"),
        (RandomRows, AssertionError, "yields the rows again, but row 0 is Row"),
        (SkipsOne, AssertionError, "yields them from the start, but row 0"),
        (Forgets, AssertionError, "continues at {'row': 1}, but row 1 is"),
        (NoSeek, SourceError, "rows cannot resume: it defines no `seek`"),
        (AckMoves, AssertionError, "`ack` must not move the position"),
        (RefusesRepeatedAck, SourceError, "acknowledged before"),
        (TextCount, AssertionError, "`stats` must map names to counts"),
        (NoLocation, AssertionError, "`location` must be a text, got None"),
        (OtherTask, AssertionError, "`schema` must be a Schema with a known task, or None"),
        (Percent, AssertionError, "`progress` must rise from 0 to 1, got 50.0 after 0.0"),
        (ClosesOnce, SourceError, "closed before"),
    ],
)
def test_a_faulty_source_is_named(cls, error, sentence):
    with pytest.raises(error, match=sentence):
        check_source(cls)


def test_a_source_must_derive_from_the_base_class():
    class Other:
        is_live = False

    with pytest.raises(AssertionError, match=r"must derive from loco_stream\.stream\.Source"):
        check_source(Other)


def test_the_number_of_rows_is_checked():
    with pytest.raises(AssertionError, match=f"must yield 11 rows, got {N_ROWS}"):
        check_source(Rows, n_rows=11)
    with pytest.raises(AssertionError, match="is live: `n_rows` must be given"):
        check_source(Live)


def test_a_source_that_blocks_is_named():
    class Blocks(Rows):
        def __iter__(self):
            time.sleep(5)
            yield []

    with pytest.raises(AssertionError, match=r"reading the source must end within 0\.3 s"):
        check_source(Blocks, timeout=0.3)


def test_a_live_source_that_is_silent_is_named():
    class Silent(Live):
        def __iter__(self):
            yield from Rows.__iter__(self)
            time.sleep(2.1)
            yield []

    with pytest.raises(AssertionError, match=r"at least an empty list every 0\.1 s, took 2\.1 s"):
        check_source(Silent, n_rows=N_ROWS)


def test_an_error_while_sending_is_raised():
    def send(_):
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route"):
        check_source(Live, n_rows=N_ROWS, send=send)
