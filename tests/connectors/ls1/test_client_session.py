"""The sender's side of the reliable protocol, and both sides over an unreliable network."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from loco_stream.connectors.ls1._client_session import Batch, ClientSession
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import Hello, SchemaPayload
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._server_session import ServerSession
from loco_stream.connectors.ls1._wire import Kind, unpack
from loco_stream.errors import SourceError
from tests.helpers import foreign

SCHEMA = SchemaPayload(1, "classification", ("a",), None, ("n", "y"))
LARGER_SCHEMA = SchemaPayload(2, "classification", ("a", "b"), None, ("n", "y"))


def batch(first, n=1, schema=SCHEMA):
    table = np.full((n, len(schema.features)), first, "<f4")
    return Batch(
        Kind.LABELLED,
        first,
        n,
        len(schema.features),
        table.tobytes() + np.zeros(n, "<i4").tobytes(),
        float("nan"),
        schema,
    )


def session(capacity=1000, epoch=7, clock=lambda: 0.0):
    return ClientSession(Hello("s", epoch), capacity, clock)


def sent(client, schema=SCHEMA):
    return [(m.kind, m.seq) for m in map(unpack, client.outgoing(schema))]


def answer(client, kind, seq=0, **content):
    payload = msgspec.msgpack.encode(content) if content else b""
    client.take(unpack(foreign.frames("s", kind, payload, seq=seq)))


def test_rows_are_sent_after_the_engine_answers_hello_and_schema():
    client = session()
    client.push(batch(1))
    assert sent(client) == [(6, 0), (4, 0)]
    assert sent(client) == []
    answer(client, 6, credit=64)
    assert sent(client) == [(1, 1)]
    assert sent(client) == []


def test_the_flow_control_window_bounds_the_rows_in_flight():
    client = session()
    sent(client)
    answer(client, 6, credit=64)
    for first in range(1, 101, 20):
        client.push(batch(first, 20))
    assert [s for _, s in sent(client)] == [1, 21, 41]
    answer(client, 7, 40)
    assert [s for _, s in sent(client)] == [61, 81]
    assert client.kept == 60


def test_capacity_bounds_the_rows_kept():
    client = session(capacity=100)
    client.push(batch(1, 80))
    assert client.has_room(20)
    assert not client.has_room(21)
    sent(client)
    answer(client, 6, credit=64)
    assert sent(client) == []  # 80 rows exceed the window, which is why senders use blocks of 64
    answer(client, 7, 80)
    assert client.has_room(100)


def test_after_a_reconnect_everything_unacked_is_sent_again():
    client = session()
    sent(client)
    answer(client, 6, credit=64)
    for first in (1, 11, 21):
        client.push(batch(first, 10))
    sent(client)
    client.reconnect()
    assert sent(client) == [(6, 0), (4, 0)]
    answer(client, 6, seq=15, credit=64)
    assert sent(client) == [(1, 11), (1, 21)]


@pytest.mark.parametrize("how", ["say hello", "a gap"])
def test_an_error_restarts_the_session(how):
    client = session()
    sent(client)
    answer(client, 6, credit=64)
    client.push(batch(1))
    sent(client)
    answer(client, 9, error=how)
    assert sent(client) == [(6, 0), (4, 0)]


def test_three_errors_without_an_ack_raise():
    client = session()
    answer(client, 9, error="say hello")
    answer(client, 9, error="label 5 is outside")
    answer(client, 9, error="row 9 does not follow row 3")
    with pytest.raises(SourceError, match="refuses source 's': label 5 is outside"):
        answer(client, 9, error="label 5 is outside")


def test_an_ack_resets_the_errors():
    client = session()
    client.push(batch(1))
    for _ in range(2):
        answer(client, 9, error="x")
    answer(client, 7, 1)
    for _ in range(2):
        answer(client, 9, error="x")


def test_an_engine_that_lost_acked_rows_is_reported():
    client = session()
    sent(client)
    answer(client, 6, seq=10, credit=64)
    client.reconnect()
    sent(client)
    with pytest.raises(SourceError, match="lost its state: it acked row 10 and now has 4 rows"):
        answer(client, 6, seq=4, credit=64)


def test_silence_restarts_the_session():
    now = [0.0]
    client = session(clock=lambda: now[0])
    sent(client)
    answer(client, 6, credit=64)
    client.push(batch(1))
    sent(client)
    now[0] = 4.9
    assert sent(client) == []
    now[0] = 5.1
    assert sent(client) == [(6, 0), (4, 0)]
    answer(client, 6, seq=1, credit=64)
    now[0] = 100.0
    assert sent(client) == []  # everything is acked: no answer is due


def test_each_row_is_sent_under_its_own_schema():
    client = session()
    sent(client)
    answer(client, 6, credit=64)
    client.push(batch(1))
    client.push(batch(2, schema=LARGER_SCHEMA))
    assert sent(client, LARGER_SCHEMA) == [(1, 1), (4, 0), (1, 2)]
    client.reconnect()
    schemas = [unpack(f) for f in client.outgoing(LARGER_SCHEMA)]
    assert b"\xa1b" not in schemas[1].payload  # the oldest row's schema comes first again
    answer(client, 6, credit=64)
    assert sent(client, LARGER_SCHEMA) == [(1, 1), (4, 0), (1, 2)]


class Engine:
    """A session whose log and state survive a restart; rows that were not logged are lost."""

    def __init__(self):
        self.learned: list[float] = []
        self.position: dict = {}
        self.start()

    def start(self):
        self.sources = RemoteSources(Limits())
        self.sources.seek(self.position)
        self.session = ServerSession(self.sources, window=64)
        self.open: list = []

    def take(self, peer, frames):
        event = self.session.take(peer, frames)
        if event is not None:
            self.open += event.X[:, 0].tolist()

    def commit(self):
        self.learned += self.open
        self.open = []
        self.position = self.sources.position
        self.session.ack(self.position)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_lost_or_learned_twice_through_failures(seed):
    rng = np.random.default_rng(seed)
    engine = Engine()
    total = 6000
    now = [0.0]
    peer = 0
    next_seq = 1
    client = session(capacity=200, clock=lambda: now[0])
    kills = 0
    while len(engine.learned) < total:
        now[0] += 0.01
        assert now[0] < 1000, "no progress"
        if next_seq <= total and client.has_room(9):
            n = int(min(rng.integers(1, 10), total + 1 - next_seq))
            table = np.arange(next_seq, next_seq + n, dtype="<f4")
            labels = np.zeros(n, "<i4").tobytes()
            client.push(Batch(Kind.LABELLED, next_seq, n, 1, table.tobytes() + labels, 0.0, SCHEMA))
            next_seq += n
        lossy = rng.random() < 0.03  # the connection breaks, with what is in flight
        for frames in client.outgoing(SCHEMA):
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
                client.take(unpack(frames))
        if lossy:
            peer += 1
            client.reconnect()
        if rng.random() < 0.005:  # the sender is killed, and continues after the engine's last row
            kills += 1
            peer += 1
            client = session(capacity=200, clock=lambda: now[0])
            list(client.outgoing(SCHEMA))
            next_seq = _resume(engine, client, peer) + 1
    assert engine.learned == list(range(1, total + 1))
    assert kills > 0


def _resume(engine, client, peer):
    """A restarted source says hello with its old epoch and reads where it stands."""
    name = str(peer).encode()
    engine.take(name, foreign.hello("s", 7))
    engine.take(name, foreign.schema("s", ["a"], ["n", "y"]))
    for p, frames in engine.session.outbox:
        if p == name:
            client.take(unpack(frames))
    engine.session.outbox.clear()
    return client.acked
