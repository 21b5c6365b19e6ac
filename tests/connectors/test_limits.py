"""Bounds on what peers may bring, ask, keep open and claim to be.

Without a socket where none is needed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest

from loco_stream.connectors import ZMQSender, ZMQSource, open_source
from loco_stream.connectors.ls1 import connections
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.connectors.ls1.server_session import ServerSession
from loco_stream.errors import ConfigError
from tests.helpers import foreign
from tests.helpers.attacks import raw
from tests.helpers.serving import FREE, Serving, wait_until
from tests.helpers.session_table import A, B, Table, block, kinds


def peer(i):
    return b"\0" + i.to_bytes(4, "big")


def hello(table, i, *messages):
    return table(
        peer(i),
        foreign.hello(f"n{i}", 1),
        foreign.schema(f"n{i}", ["a", "b"], ["n", "y"]),
        *messages,
    )


def test_a_source_at_work_is_never_forgotten_for_hellos():
    table = Table()
    table.greet()
    table(A, block(1, 2))
    table.commit()
    for i in range(1100):
        hello(table, i)
    assert table(A, block(3))[0][0].seq == 3
    assert (7, 3) in kinds(table.commit())
    assert table.greet().seq == 3


def test_a_source_without_rows_that_made_room_is_told_to_say_hello_before_any_row_is_learned():
    table = Table()
    table.greet()
    for i in range(1100):
        hello(table, i)
    events, answers = table(A, block(1))
    assert (events, answers[0].note) == ([], {"error": "say hello"})


@pytest.mark.slow
def test_100_000_hellos_leave_no_more_than_the_bound_behind():
    table = Table(limits=Limits(sources=64))
    for i in range(100_000):
        table.session.take(peer(i), foreign.hello(f"n{i}", 1))
        table.session.outbox.clear()
    assert len(table.streams.by_name) <= 64
    assert (
        max(map(len, (table.session._sessions, table.session._by_source, table.streams._silent)))
        <= 64
    )


def test_short_runs_under_its_name_do_not_displace_the_run_of_a_source():
    table = Table()
    table.greet(epoch=7)
    table(A, block(1, 5))
    for epoch in range(100, 170):
        table.greet(epoch=epoch)
        table(A, block(1))
    assert table.greet(epoch=7).seq == 0  # nothing was made durable yet
    table.commit()
    assert table.greet(epoch=7).seq == 5
    assert table(A, block(1, 5))[0] == []


def test_names_that_are_gone_make_room_and_those_at_work_do_not():
    table = Table(limits=Limits(sources=3, forget=60.0))
    streams = table.streams
    streams._clock = lambda: table.now
    table.greet()
    table(A, block(1, 9))
    for i in (0, 1):
        hello(table, i, block(1, source=f"n{i}"))
        table.session.lost(peer(i))
    _, (answer,) = table(B, foreign.hello("new", 1))
    assert "3 sources are served already" in answer.note["error"]
    assert "gone for 60 s" in answer.note["error"]
    table.now = 61.0
    _, (answer,) = table(B, foreign.hello("new", 1))
    assert answer.kind == 6
    assert "s" in streams.by_name


def test_a_source_that_does_not_read_or_is_gone_is_found_when_places_run_short():
    with _source(sources=2, forget=0.1) as source:
        for i in (1, 2):
            with ZMQSender(
                source.address,
                name=f"n{i}",
                features=["a"],
                classes=["x"],
                reliable=True,
                timeout=30,
            ) as sender:
                sender.send([1.0], "x")
                sender.flush()
        time.sleep(0.2)
        late = {
            "name": "late",
            "features": ["a"],
            "classes": ["x"],
            "reliable": True,
            "timeout": 30,
        }
        with ZMQSender(source.address, **late) as sender:
            assert sender.connect() == 0


class _source:
    """A source that is read and acked by a thread."""

    def __init__(self, mode="reliable", **limits):
        self.source = ZMQSource(FREE, mode, limits=Limits(**limits))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        for events in self.source:
            if events:
                self.source.ack(self.source.position)
            if self.over.is_set():
                return

    def __enter__(self):
        self.thread.start()
        return self.source

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.source.close()


class Keys:
    """An allow-list of two clients."""

    def __init__(self, **clients):
        self.clients = clients

    def admits(self, key):
        return key.decode() in self.clients.values()

    def key_of(self, client):
        return self.clients.get(client, "")


def under_curve(**clients):
    table = Table()
    table.keys = Keys(**clients)
    table.streams = Streams(Limits(), None, table.keys)
    table.session = ServerSession(table.streams, 64)
    return table


def test_a_clients_name_belongs_to_its_key():
    table = under_curve(press="kp", other="ko")
    _, (answer,) = table(B, foreign.hello("press", 1), key="ko")
    assert answer.note["error"].startswith("the source name 'press' belongs to another key")
    assert table(A, foreign.hello("press", 1), key="kp")[1][0].kind == 6


def test_a_name_under_which_a_key_has_sent_rows_belongs_to_it_also_after_a_restart():
    table = under_curve(one="k1", two="k2")
    schema = foreign.schema("s", ["a", "b"], ["n", "y"])
    table(A, foreign.hello("s", 7), schema, block(1), key="k1")
    position = table.streams.position
    again = under_curve(one="k1", two="k2")
    again.streams.seek(position)
    for one in (table, again):
        _, (answer,) = one(B, foreign.hello("s", 7), key="k2")
        assert "belongs to another key" in answer.note["error"]
    del again.keys.clients["one"]  # a key that is not admitted any more holds no name
    assert again(B, foreign.hello("s", 7), key="k2")[1][0].kind == 6


def test_a_later_source_brings_only_so_many_names_and_the_first_is_free():
    table = Table(credit=10_000)
    table.greet()
    table(A, block(1))
    many = [f"x{i}" for i in range(4000)]
    _, answers = table(B, foreign.hello("t", 1), foreign.schema("t", many, ["n"]))
    assert "source 't' would bring 4000 new features to the model" in answers[-1].note["error"]
    _, answers = table(B, foreign.schema("t", ["a"], many[:1000]))
    assert "1000 new classes" in answers[-1].note["error"]
    events, _ = table(
        B, foreign.schema("t", many[:24], ["n"]), foreign.rows("t", 1, np.ones((1, 24)), [0])
    )
    assert len(events) == 1
    _, answers = table(b"c", foreign.hello("u", 1), foreign.schema("u", ["late"], ["n"]))
    assert "24 (guest_names), and 24 are taken" in answers[-1].note["error"]
    more = ["a", "b", *many[:1000]]
    events, _ = table(
        A,
        foreign.schema("s", more, ["n"], schema_id=2),
        foreign.rows("s", 2, np.ones((1, 1002)), [0]),
    )
    assert len(events) == 1


def test_names_over_all_sources_are_bounded():
    table = Table(limits=Limits(model_features=3))
    table.greet()
    table(A, block(1))
    _, answers = table(B, foreign.hello("t", 1), foreign.schema("t", ["c", "d"], ["n"]))
    assert "4 features; 3 (model_features) are allowed" in answers[-1].note["error"]


def ask(seq, n_rows, source="s"):
    return foreign.rows(source, foreign.REQUEST | seq, np.zeros((n_rows, 2)), kind=10)


def test_an_answer_is_bounded_before_it_is_computed():
    table = Table(limits=Limits(reply_bytes=80, waiting_rows=15))
    table.greet()
    assert table.session.take(A, ask(1, 10)) is None
    assert table.answers() == []
    for request, says in (
        (ask(2, 11), "88 bytes; 80 (reply_bytes)"),
        (ask(3, 6), "10 rows of earlier requests"),
    ):
        table.session.take(A, request)
        assert says in table.answers(A)[0].note["error"]


def test_requests_are_answered_in_slices_and_the_peers_take_turns():
    table = Table()
    table.greet()
    table.greet(B, "t")
    table.session.take(A, ask(1, 1000))
    table.session.take(A, ask(2, 1))
    table.session.take(B, ask(3, 5, "t"))
    slices = list(table.session.asks.take(100))
    assert [len(part.X) for part in slices] == [50, 5, 45]
    for part in [*slices, *table.session.asks.take(10_000)]:
        table.session.reply(part, np.full((len(part.X), 2), 0.5), ["n", "y"])
    assert [(a.n_rows, a.seq & 0xFF) for a in table.answers()] == [(5, 3), (1000, 1), (1, 2)]
    assert not table.session.asks


def test_who_leaves_answers_unread_gets_no_more():
    table = Table()
    table.greet()
    table.session.unread = lambda peer: 17 << 20
    _, (answer,) = table(A, ask(1, 1))
    assert "bytes of answers are not read yet" in answer.note["error"]


def test_answers_that_nobody_reads_are_counted_by_the_socket():
    with _source("reply", unread_bytes=1 << 20, reply_bytes=1 << 20) as source:
        outgoing = source._outgoing
        with foreign.zmq.Context() as context:
            client = foreign.Client(context, source.address, rcvhwm=1)
            client.send(foreign.hello("s", 1), foreign.schema("s", ["a", "b"], ["n", "y"]))
            who = []
            original = source._session.take
            source._session.take = lambda peer, *rest: who.append(peer) or original(peer, *rest)
            client.send(foreign.frames("s", 3))
            wait_until(lambda: who)
            payload = foreign.frames("s", 8, bytes(1 << 20))
            for _ in range(40):
                outgoing.send(who[0], payload)
            assert outgoing.unread(who[0]) > 1 << 20
            client.socket.close()


def pour(connection):
    """Send the parts of a message that never ends until nobody takes them any more."""
    connection.settimeout(1.0)
    while True:
        connection.sendall(b"\x03" + (1 << 15).to_bytes(8, "big") + bytes(1 << 15))


def test_a_look_at_a_connection_knows_its_bytes_and_no_file_for_one():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as theirs,
    ):
        ours, _ = server.accept()
        with ours:
            theirs.sendall(b"still open")
            wait_until(lambda: connections._received(ours.fileno()) == 10)
            assert ours.recv(16) == b"still open"
    with open(os.devnull) as file:
        assert connections._received(file.fileno()) == 0


class _Interrupt(Exception):
    pass


def test_a_signal_in_the_middle_of_a_look_closes_no_connection():
    def interrupt(number, frame):
        raise _Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    ours, theirs = socket.socketpair()
    try:
        for i in range(2000):
            with contextlib.suppress(_Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 5e-5 + 1e-8 * i)
                while True:
                    connections._received(ours.fileno())
            os.fstat(ours.fileno())
    finally:
        signal.signal(signal.SIGALRM, before)
        ours.close()
        theirs.close()


def test_a_message_that_never_ends_cuts_its_connection_alone():
    settings = {"features": ["a"], "classes": ["x"], "reliable": True, "timeout": 30}
    with _source(frame_bytes=1 << 16) as source, ZMQSender(source.address, **settings) as sender:
        sender.send([1.0], "x")
        sender.flush()
        with raw(source.address) as connection, pytest.raises((ConnectionError, TimeoutError)):
            pour(connection)
        wait_until(lambda: source.stats["cut"] == 1)  # it is counted when it has been cut
        sender.send([1.0], "x")
        sender.flush()
        assert sender.acked == 2


def test_connections_that_say_nothing_are_closed_first():
    with _source(connections=10) as source:
        host, _, port = source.address.removeprefix("tcp://").rpartition(":")
        with ZMQSender(
            source.address, features=["a"], classes=["x"], reliable=True, timeout=30
        ) as sender:
            sender.send([1.0], "x")
            sender.flush()
            bare = [socket.create_connection((host, int(port))) for _ in range(40)]
            wait_until(lambda: source.stats["cut"] >= 31)
            sender.send([1.0], "x")
            sender.flush()
            for connection in bare:
                connection.close()


def test_many_large_honest_messages_are_no_attack():
    X = np.zeros((65_536, 8), np.float32)
    seen = 0
    source = ZMQSource(FREE, limits=Limits(frame_bytes=4 << 20), max=20 * 65_536)
    thread = threading.Thread(target=lambda: [sender.send(X) for _ in range(20)])
    with ZMQSender(source.address, features=list("abcdefgh")) as sender:
        thread.start()
        time.sleep(0.5)
        for events in source:
            seen += sum(len(event.X) for event in events)
        thread.join()
    assert seen == 20 * 65_536
    assert source.stats["cut"] == 0
    source.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("zmq+pull://127.0.0.1:*?sources=0", "sources must be above 0, not 0"),
        ("zmq+pull://127.0.0.1:*?sources=many", "sources must be a whole number, not 'many'"),
        ("zmq+pull://127.0.0.1:*?sorces=3", "sources"),
    ],
)
def test_limits_are_options_of_the_url(url, says):
    with pytest.raises(ConfigError, match=says):
        open_source(url)
    source = open_source("zmq+reply://127.0.0.1:*?sources=3&forget=0.5", limits={"rows": "7"})
    assert (source._limits.sources, source._limits.forget, source._limits.rows) == (3, 0.5, 7)
    source.close()


def test_limits_belong_to_sources_with_peers():
    with pytest.raises(ConfigError, match="there is no limit 'x'"):
        open_source("zmq+pull://127.0.0.1:*", limits={"x": "7"})
    with pytest.raises(ConfigError, match="there is no limit 'sorces'; did you mean 'sources'"):
        open_source("zmq+pull://127.0.0.1:*", limits={"sorces": "7"})
    with pytest.raises(ConfigError, match="limits bound the peers"):
        open_source("river:Phishing", limits={"rows": "7"})


@pytest.mark.parametrize("width", [1, 300])
def test_a_large_table_is_sent_and_asked_within_the_bounds(width):
    table = np.zeros((70_000, width), np.float32)
    names = [f"f{i}" for i in range(width)]
    source = ZMQSource(FREE, max=len(table))
    with ZMQSender(source.address, features=names) as sender:
        thread = threading.Thread(target=sender.send, args=(table,))
        thread.start()
        assert sum(len(event.X) for events in source for event in events) == len(table)
        thread.join()
    source.close()
    with (
        Serving(ZMQSource(FREE, "reply")) as engine,
        ZMQSender(
            engine.source.address, reliable=True, features=names, classes=["n", "y"], timeout=60
        ) as sender,
    ):
        assert sender.predict_proba(table).shape == (len(table), 2)
