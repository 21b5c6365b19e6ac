"""The source's end of the reliable protocol, and both ends over a network that loses and restarts."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream.connectors.ls1.client_session import Batch, ClientSession
from loco_stream.connectors.ls1.messages import Hello, SchemaPayload
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.connectors.ls1.server_session import ServerSession
from loco_stream.connectors.ls1.wire import Kind, Limits, unpack
from loco_stream.errors import SourceError
from tests.helpers import foreign

NOTE = SchemaPayload(1, "classification", ("a",), None, ("n", "y"))
GROWN = SchemaPayload(2, "classification", ("a", "b"), None, ("n", "y"))


def batch(first, n=1, note=NOTE):
    table = np.full((n, len(note.features)), first, "<f4")
    return Batch(
        Kind.LABELLED,
        first,
        n,
        len(note.features),
        table.tobytes() + np.zeros(n, "<i4").tobytes(),
        float("nan"),
        note,
    )


def session(capacity=1000, epoch=7, clock=lambda: 0.0):
    return ClientSession(Hello("s", epoch), capacity, clock)


def sent(c, note=NOTE):
    return [(m.kind, m.seq) for m in map(unpack, c.outgoing(note))]


def tell(c, kind, seq=0, **note):
    import msgspec

    c.take(
        unpack(foreign.frames("s", kind, msgspec.msgpack.encode(note) if note else b"", seq=seq))
    )


def test_hello_and_schema_go_first_and_rows_wait_for_the_answer():
    c = session()
    c.push(batch(1))
    assert sent(c) == [(6, 0), (4, 0)]
    assert sent(c) == []
    tell(c, 6, credit=64)
    assert sent(c) == [(1, 1)]
    assert sent(c) == []


def test_never_more_than_the_credit_is_on_the_way():
    c = session()
    sent(c)
    tell(c, 6, credit=64)
    for first in range(1, 101, 20):
        c.push(batch(first, 20))
    assert [s for _, s in sent(c)] == [1, 21, 41]
    tell(c, 7, 40)
    assert [s for _, s in sent(c)] == [61, 81]
    assert c.kept == 60


def test_capacity_bounds_what_is_kept():
    c = session(capacity=100)
    c.push(batch(1, 80))
    assert c.room(20)
    assert not c.room(21)
    sent(c)
    tell(c, 6, credit=64)
    assert (
        sent(c) == []
    )  # 80 rows are beyond a credit of 64: the sender cuts blocks to 64 for that reason
    tell(c, 7, 80)
    assert c.room(100)


def test_after_a_reconnect_everything_un_acked_goes_again():
    c = session()
    sent(c)
    tell(c, 6, credit=64)
    for first in (1, 11, 21):
        c.push(batch(first, 10))
    sent(c)
    c.reconnect()
    assert sent(c) == [(6, 0), (4, 0)]
    tell(c, 6, seq=15, credit=64)
    assert sent(c) == [(1, 11), (1, 21)]


@pytest.mark.parametrize("how", ["say hello", "a gap"])
def test_an_error_makes_it_say_hello(how):
    c = session()
    sent(c)
    tell(c, 6, credit=64)
    c.push(batch(1))
    sent(c)
    tell(c, 9, error=how)
    assert sent(c) == [(6, 0), (4, 0)]


def test_it_gives_up_when_the_engine_refuses_the_same_again_and_again():
    c = session()
    tell(c, 9, error="say hello")
    tell(c, 9, error="label 5 is outside")
    tell(c, 9, error="row 9 does not follow row 3")
    with pytest.raises(SourceError, match="refuses source 's': label 5 is outside"):
        tell(c, 9, error="label 5 is outside")


def test_an_ack_shows_that_it_goes_on():
    c = session()
    c.push(batch(1))
    for _ in range(2):
        tell(c, 9, error="x")
    tell(c, 7, 1)
    for _ in range(2):
        tell(c, 9, error="x")


def test_an_engine_that_forgot_acked_rows_is_reported():
    c = session()
    sent(c)
    tell(c, 6, seq=10, credit=64)
    c.reconnect()
    sent(c)
    with pytest.raises(SourceError, match="acked row 10 and now knows 4 rows"):
        tell(c, 6, seq=4, credit=64)


def test_silence_makes_it_say_hello_again():
    now = [0.0]
    c = session(clock=lambda: now[0])
    sent(c)
    tell(c, 6, credit=64)
    c.push(batch(1))
    sent(c)
    now[0] = 4.9
    assert sent(c) == []
    now[0] = 5.1
    assert sent(c) == [(6, 0), (4, 0)]
    tell(c, 6, seq=1, credit=64)
    now[0] = 100.0
    assert sent(c) == []  # nothing is un-acked: silence is in order


def test_each_row_travels_under_its_own_schema():
    c = session()
    sent(c)
    tell(c, 6, credit=64)
    c.push(batch(1))
    c.push(batch(2, note=GROWN))
    assert sent(c, GROWN) == [(1, 1), (4, 0), (1, 2)]
    c.reconnect()
    schemas = [unpack(f) for f in c.outgoing(GROWN)]
    assert b"\xa1b" not in schemas[1].payload  # the oldest row's schema comes first again
    tell(c, 6, credit=64)
    assert sent(c, GROWN) == [(1, 1), (4, 0), (1, 2)]


class Engine:
    """A session whose log and state survive; what was handed out and not logged dies with it."""

    def __init__(self):
        self.learned: list[float] = []
        self.position: dict = {}
        self.start()

    def start(self):
        self.streams = Streams(Limits())
        self.streams.seek(self.position)
        self.session = ServerSession(self.streams, credit=64)
        self.open: list = []

    def take(self, peer, frames):
        event = self.session.take(peer, frames)
        if event is not None:
            self.open += event.X[:, 0].tolist()

    def commit(self):
        self.learned += self.open
        self.open = []
        self.position = self.streams.position
        self.session.ack(self.position)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_learned_twice_whatever_breaks(seed):
    rng = np.random.default_rng(seed)
    engine = Engine()
    total = 6000
    now = [0.0]
    peer = 0
    next_seq = 1
    c = session(capacity=200, clock=lambda: now[0])
    kills = 0
    while len(engine.learned) < total:
        now[0] += 0.01
        assert now[0] < 1000, "no progress"
        if next_seq <= total and c.room(9):
            n = int(min(rng.integers(1, 10), total + 1 - next_seq))
            table = np.arange(next_seq, next_seq + n, dtype="<f4")
            labels = np.zeros(n, "<i4").tobytes()
            c.push(Batch(Kind.LABELLED, next_seq, n, 1, table.tobytes() + labels, 0.0, NOTE))
            next_seq += n
        lossy = rng.random() < 0.03  # the connection dies with what is on the way
        for frames in c.outgoing(NOTE):
            if not (lossy and rng.random() < 0.5):
                engine.take(str(peer).encode(), frames)
        if rng.random() < 0.3:
            engine.commit()
        if rng.random() < 0.01:  # the engine is killed: before or after its commit
            kills += 1
            engine.start()
            lossy = True
        answers = [f for p, f in engine.session.outbox if p == str(peer).encode()]
        engine.session.outbox.clear()
        for frames in answers:
            if not lossy:
                c.take(unpack(frames))
        if lossy:
            peer += 1
            c.reconnect()
        if rng.random() < 0.005:  # the source is killed, and goes on after the row the engine names
            kills += 1
            peer += 1
            c = session(capacity=200, clock=lambda: now[0])
            list(c.outgoing(NOTE))
            next_seq = _resume(engine, c, peer) + 1
    assert engine.learned == list(range(1, total + 1))
    assert kills > 0


def _resume(engine, c, peer):
    """A restarted source says hello with its old epoch and reads where it stands."""
    name = str(peer).encode()
    engine.take(name, foreign.hello("s", 7))
    engine.take(name, foreign.schema("s", ["a"], ["n", "y"]))
    for p, frames in engine.session.outbox:
        if p == name:
            c.take(unpack(frames))
    engine.session.outbox.clear()
    return c.acked
