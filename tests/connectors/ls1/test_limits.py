"""Bounds on what peers may send, request, keep open and claim to be."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from loco_stream.connectors import ZMQSender, ZMQSource, open_source
from loco_stream.connectors._urls import check_url
from loco_stream.connectors.ls1 import _connections as connections
from loco_stream.connectors.ls1 import _remote_source
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._server_session import ServerSession
from loco_stream.errors import ConfigError, InputError, SourceTimeoutError
from tests.helpers import foreign
from tests.helpers.attacks import raw
from tests.helpers.server_harness import A, B, ServerHarness, block, kinds
from tests.helpers.serving import FREE, Serving, wait_until


def peer(i):
    return b"\0" + i.to_bytes(4, "big")


def hello(server, i, *messages):
    return server(
        peer(i),
        foreign.hello(f"n{i}", 1),
        foreign.schema(f"n{i}", ["a", "b"], ["n", "y"]),
        *messages,
    )


def test_an_active_source_is_not_forgotten_in_favour_of_hellos():
    server = ServerHarness()
    server.greet()
    server(A, block(1, 2))
    server.commit()
    for i in range(1100):
        hello(server, i)
    assert server(A, block(3))[0][0].seq == 3
    assert (7, 3) in kinds(server.commit())
    assert server.greet().seq == 3


def test_a_source_that_was_forgotten_must_say_hello_again():
    server = ServerHarness()
    server.greet()
    for i in range(1100):
        hello(server, i)
    events, answers = server(A, block(1))
    assert (events, answers[0].content) == ([], {"error": "say hello"})


@pytest.mark.slow
def test_100_000_hellos_leave_a_bounded_state():
    server = ServerHarness(limits=Limits(sources=64))
    for i in range(100_000):
        server.session.take(peer(i), foreign.hello(f"n{i}", 1))
        server.session.outbox.clear()
    assert len(server.sources.by_name) <= 64
    assert (
        max(
            map(
                len,
                (server.session._by_peer, server.session._by_source, server.sources._without_rows),
            )
        )
        <= 64
    )


def test_short_epochs_do_not_displace_a_long_one():
    server = ServerHarness()
    server.greet(epoch=7)
    server(A, block(1, 5))
    for epoch in range(100, 170):
        server.greet(epoch=epoch)
        server(A, block(1))
    assert server.greet(epoch=7).seq == 0  # nothing is durable yet
    server.commit()
    assert server.greet(epoch=7).seq == 5
    assert server(A, block(1, 5))[0] == []


def test_sources_that_are_gone_are_forgotten_and_active_ones_are_not(monkeypatch):
    server = ServerHarness(limits=Limits(sources=3, forget=60.0))
    sources = server.sources
    monkeypatch.setattr(_remote_source, "time", SimpleNamespace(monotonic=lambda: server.now))
    server.greet()
    server(A, block(1, 9))
    for i in (0, 1):
        hello(server, i, block(1, source=f"n{i}"))
        server.session.close(peer(i))
    _, (answer,) = server(B, foreign.hello("new", 1))
    assert "3 sources are served" in answer.content["error"]
    assert "gone for 60 s" in answer.content["error"]
    server.now = 61.0
    _, (answer,) = server(B, foreign.hello("new", 1))
    assert answer.kind == 6
    assert "s" in sources.by_name


def test_connections_that_are_gone_are_found_when_there_are_too_many_sources():
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
    server = ServerHarness()
    server.keys = Keys(**clients)
    server.sources = RemoteSources(Limits(), None, server.keys)
    server.session = ServerSession(server.sources, 64)
    return server


def test_the_name_of_a_client_belongs_to_its_key():
    server = under_curve(press="kp", other="ko")
    _, (answer,) = server(B, foreign.hello("press", 1), key="ko")
    assert answer.content["error"].startswith("the source name 'press' belongs to another key")
    assert server(A, foreign.hello("press", 1), key="kp")[1][0].kind == 6


def test_a_name_belongs_to_the_key_whose_rows_it_had_even_after_a_restart():
    server = under_curve(one="k1", two="k2")
    schema = foreign.schema("s", ["a", "b"], ["n", "y"])
    server(A, foreign.hello("s", 7), schema, block(1), key="k1")
    position = server.sources.position
    again = under_curve(one="k1", two="k2")
    again.sources.seek(position)
    for one in (server, again):
        _, (answer,) = one(B, foreign.hello("s", 7), key="k2")
        assert "belongs to another key" in answer.content["error"]
    del again.keys.clients["one"]  # a key that is no longer admitted
    assert again(B, foreign.hello("s", 7), key="k2")[1][0].kind == 6


def test_sources_after_the_first_may_bring_few_names():
    server = ServerHarness(window=10_000)
    server.greet()
    server(A, block(1))
    many = [f"x{i}" for i in range(4000)]
    _, answers = server(B, foreign.hello("t", 1), foreign.schema("t", many, ["n"]))
    assert "got 4000 with source 't'" in answers[-1].content["error"]
    _, answers = server(B, foreign.schema("t", ["a"], many[:1000]))
    assert "new classes (guest_names), got 1000" in answers[-1].content["error"]
    events, _ = server(
        B, foreign.schema("t", many[:24], ["n"]), foreign.rows("t", 1, np.ones((1, 24)), [0])
    )
    assert len(events) == 1
    _, answers = server(b"c", foreign.hello("u", 1), foreign.schema("u", ["late"], ["n"]))
    assert (
        "at most 24 new features (guest_names), got 25 with source 'u'"
        in answers[-1].content["error"]
    )
    more = ["a", "b", *many[:1000]]
    events, _ = server(
        A,
        foreign.schema("s", more, ["n"], schema_id=2),
        foreign.rows("s", 2, np.ones((1, 1002)), [0]),
    )
    assert len(events) == 1


def test_names_over_all_sources_are_bounded():
    server = ServerHarness(limits=Limits(model_features=3))
    server.greet()
    server(A, block(1))
    _, answers = server(B, foreign.hello("t", 1), foreign.schema("t", ["c", "d"], ["n"]))
    assert "at most 3 features (model_features), got 4" in answers[-1].content["error"]


def request(seq, n_rows, source="s"):
    return foreign.rows(source, foreign.REQUEST | seq, np.zeros((n_rows, 2)), kind=10)


def test_a_reply_is_bounded_before_it_is_computed():
    server = ServerHarness(limits=Limits(reply_bytes=80, waiting_rows=15))
    server.greet()
    assert server.session.take(A, request(1, 10)) is None
    assert server.answers() == []
    for message, text in (
        (request(2, 11), "at most 80 bytes (reply_bytes), got 88"),
        (request(3, 6), "besides 10 of earlier requests"),
    ):
        server.session.take(A, message)
        assert text in server.answers(A)[0].content["error"]


def test_requests_are_answered_in_slices_and_the_peers_take_turns():
    server = ServerHarness()
    server.greet()
    server.greet(B, "t")
    server.session.take(A, request(1, 1000))
    server.session.take(A, request(2, 1))
    server.session.take(B, request(3, 5, "t"))
    slices = list(server.session.requests.take(100))
    assert [len(part.X) for part in slices] == [50, 5, 45]
    for part in [*slices, *server.session.requests.take(10_000)]:
        server.session.reply(part, np.full((len(part.X), 2), 0.5), ["n", "y"])
    assert [(a.n_rows, a.seq & 0xFF) for a in server.answers()] == [(5, 3), (1000, 1), (1, 2)]
    assert not server.session.requests


def test_a_peer_with_unread_replies_gets_no_more():
    server = ServerHarness()
    server.greet()
    server.session.unread = lambda peer: 17 << 20
    _, (answer,) = server(A, request(1, 1))
    assert "bytes of replies may be unread" in answer.content["error"]


def test_unread_replies_are_counted():
    with _source("reply", unread_bytes=1 << 20, reply_bytes=1 << 20) as source:
        replies = source._replies
        with foreign.zmq.Context() as context:
            client = foreign.Client(context, source.address, rcvhwm=1)
            client.send(foreign.hello("s", 1), foreign.schema("s", ["a", "b"], ["n", "y"]))
            who = []
            original = source._session.take
            payload = foreign.frames("s", 8, bytes(1 << 20))

            def flooding(peer, *rest):  # by the thread that owns the socket
                if not who:
                    for _ in range(40):
                        replies.send(peer, payload)
                    who.append(peer)
                return original(peer, *rest)

            source._session.take = flooding
            client.send(foreign.frames("s", 3))
            wait_until(lambda: who)
            assert replies.unread(who[0]) > 1 << 20
            client.socket.close()


def pour(connection):
    """Send frames of a message without end until the connection is shut down."""
    connection.settimeout(1.0)
    for _ in range(1 << 16):  # 2 GiB
        connection.sendall(b"\x03" + (1 << 15).to_bytes(8, "big") + bytes(1 << 15))


def test_the_bytes_received_are_those_of_a_connection_only():
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


def test_a_signal_during_the_measurement_closes_no_connection():
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


def test_a_message_without_end_closes_its_connection_only():
    settings = {"features": ["a"], "classes": ["x"], "reliable": True, "timeout": 30}
    with _source(frame_bytes=1 << 16) as source, ZMQSender(source.address, **settings) as sender:
        sender.send([1.0], "x")
        sender.flush()
        with raw(source.address) as connection:
            with pytest.raises((ConnectionError, TimeoutError)):
                pour(connection)
            # The library ends the connection itself if the limit is noticed too late.
            wait_until(lambda: source.stats["cut"] + source.stats["disconnects"] == 1)
        sender.send([1.0], "x")
        sender.flush()
        assert sender.acked == 2


def test_a_row_beyond_the_bound_of_a_frame_is_named_and_the_next_one_comes():
    """The engine closed the connection again and again, and the sender waited in vain."""
    with _source() as source, ZMQSender(source.address, reliable=True, timeout=30) as sender:
        message = r"`x` must have at most 16,777,216 bytes as a message .*, got 20,000,0\d\d"
        with pytest.raises(InputError, match=message):
            sender.send({"a": 2.0, "text": "x" * 20_000_000}, "ok")
        sender.send({"a": 3.0, "text": "y"}, "ok")
        sender.flush()
        assert source.stats["rows"] == sender.acked == 1


def test_a_connection_that_a_long_frame_ends_is_counted():
    with (
        _source(frame_bytes=1 << 16) as source,
        ZMQSender(source.address, timeout=30, reliable=True, linger=0) as sender,
    ):
        sender.send({"a": 1.0, "text": "x" * 100_000}, "ok")
        with contextlib.suppress(SourceTimeoutError):
            sender.flush(1.0)
        wait_until(lambda: source.stats["disconnects"] >= 1)
        with contextlib.suppress(SourceTimeoutError):
            sender.close()


def test_silent_connections_are_closed_first():
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


def test_many_large_messages_are_accepted():
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
    ("url", "text"),
    [
        ("zmq+pull://127.0.0.1:*?sources=0", "`sources` must be above 0, got 0"),
        ("zmq+pull://127.0.0.1:*?sources=many", "`sources` must be a whole number, got 'many'"),
        ("zmq+pull://127.0.0.1:*?sorces=3", "sources"),
    ],
)
def test_limits_are_options_of_the_url(url, text):
    with pytest.raises(ConfigError, match=text):
        open_source(url)
    source = open_source("zmq+reply://127.0.0.1:*?sources=3&forget=0.5", limits={"rows": "7"})
    assert (source._limits.sources, source._limits.forget, source._limits.rows) == (3, 0.5, 7)
    source.close()


@pytest.mark.parametrize("scheme", ["mqtt", "redis", "kafka", "nats", "opcua"])
def test_limits_are_options_of_the_url_of_a_broker(scheme):
    """They had the bounds, but no URL set them."""
    check_url(f"{scheme}://127.0.0.1:1/rows?sources=5000&name_bytes=99")
    with pytest.raises(ConfigError, match=f"{scheme}: `sources` must be a whole number"):
        check_url(f"{scheme}://127.0.0.1:1/rows?sources=many")


def test_limits_reach_a_source_of_messages():
    master, slave = os.openpty()
    url = f"serial:{os.ttyname(slave)}?sources=5000"
    source = open_source(url, limits={"name_bytes": "99"}, endless=True)
    assert (source._limits.sources, source._limits.name_bytes) == (5000, 99)
    assert source._endless
    source.close()
    os.close(master)
    os.close(slave)


def test_limits_are_for_sources_with_peers():
    with pytest.raises(ConfigError, match="there is no limit 'x'"):
        open_source("zmq+pull://127.0.0.1:*", limits={"x": "7"})
    with pytest.raises(ConfigError, match="there is no limit 'sorces'; did you mean 'sources'"):
        open_source("zmq+pull://127.0.0.1:*", limits={"sorces": "7"})
    with pytest.raises(ConfigError, match="`limits` must be empty unless other processes send"):
        open_source("river:Phishing", limits={"rows": "7"})


@pytest.mark.parametrize("width", [1, 300])
def test_a_large_table_is_sent_and_predicted_within_the_bounds(width):
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


def test_a_sender_that_knows_no_columns_does_not_wait_for_an_answer():
    """The hello names the columns: none was sent, and `connect` waited for ever."""
    with (
        ZMQSender("tcp://127.0.0.1:9", reliable=True, timeout=5, linger=0) as sender,
        pytest.raises(ConfigError, match="`features` must name the columns before `connect`"),
    ):
        sender.connect()
