"""`ZMQSource` and `ZMQSender` over real sockets: every mode, restarts, hostile peers."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time

import msgspec
import numpy as np
import pytest
import zmq

from loco_stream.connectors import ZMQSender, ZMQSource, open_source
from loco_stream.connectors.ls1._sockets import endpoint, is_local, require_libzmq
from loco_stream.errors import ConfigError, InputError, SourceError
from loco_stream.stream import PredictRequest, Sample, Source
from loco_stream.testing import check_source
from tests.helpers import foreign
from tests.helpers.hostile import damaged, honest
from tests.helpers.ports import free_address
from tests.helpers.serving import FREE, Serving, ask_for_more, drain, rows_of, wait_until


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


def test_a_host_name_without_an_address_is_named(caplog):
    open_source("zmq+sub://no-such-host.invalid:5555").close()
    assert "the host name 'no-such-host.invalid' cannot be resolved: " in caplog.text


def test_each_mode_has_its_guarantee():
    for mode, word in [
        ("pull", "at most once"),
        ("sub", "may lose"),
        ("reliable", "exactly once"),
        ("reply", "not logged"),
    ]:
        source = ZMQSource(FREE, mode, bind=True)
        assert isinstance(source, Source)
        assert word in source.guarantee
        assert source.needs_log == (mode == "reliable")
        assert source.schema is None
        source.close()
        source.close()


def test_a_script_of_five_lines_sends_rows_from_another_process():
    source = ZMQSource(FREE)
    script = f"""
        from loco_stream.connectors import ZMQSender
        with ZMQSender({source.address!r}, features=["a", "b"], classes=["off", "on"]) as s:
            for i in range(1000):
                s.send({{"a": i, "b": None}}, "on" if i % 3 else "off")
    """
    feeder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    events = drain(source, lambda _: False)  # its end of stream ends the source
    assert feeder.wait(60) == 0
    table = np.array(rows_of(events))
    assert table[:, 0].tolist() == list(range(1000))
    assert np.isnan(table[:, 1]).all()
    assert [y for e in events for y in e.y][:4] == ["off", "on", "on", "off"]
    assert source.stats["gaps"] == 0
    assert source.schema.classes == ("off", "on")
    source.close()


def test_endless_continues_after_the_end_of_stream():
    source = ZMQSource(FREE, endless=True)
    for _ in range(2):
        with ZMQSender(source.address, name="s") as sender:
            sender.send([1.0], 0)
        assert len(drain(source, lambda e: len(e) == 1)) == 1
    assert source.stats["restarts"] == 1
    source.close()


def test_idle_and_max_end_a_stream():
    source = open_source("zmq+pull://127.0.0.1:*?idle=0.3")
    begin = time.monotonic()
    assert not any(source)
    assert time.monotonic() - begin >= 0.3
    source.close()
    source = ZMQSource(FREE, max=5)
    with ZMQSender(source.address) as sender:
        sender.send(np.ones((3, 2)), [0, 1, 0])
        sender.send(np.ones((3, 2)), [0, 1, 0])
        assert sum(len(e.X) for e in drain(source, lambda _: False)) == 6
    source.close()


def test_an_empty_list_is_yielded_while_no_row_arrives():
    source = ZMQSource(FREE)
    assert next(iter(source)) == []
    source.close()


def test_a_subscriber_receives_the_schema_after_it_connects():
    sender = ZMQSender(FREE, mode="pub", name="s.1", features=["a"], classes=["n", "y"])
    sender.send({"a": 0.0}, "n")  # there is no subscriber yet
    source = ZMQSource(sender.address, "sub", topic="s.")
    other = ZMQSource(sender.address, "sub", topic="t", idle=0.2)
    (event, *_) = ask_for_more(source, lambda: sender.send({"a": 1.0}, "y"))
    assert event.seq > 1
    assert set(event.y) == {"y"}
    assert [e for e in other if e] == []
    sender.close()
    source.close()
    other.close()


def test_push_sends_the_schema_again_to_a_restarted_engine():
    source = ZMQSource(f"tcp://{free_address()}")
    address = source.address
    with ZMQSender(address, name="s", features=["a"], classes=["n", "y"]) as sender:
        sender.send([1.0], "y")
        drain(source, lambda e: len(e) == 1)
        source.close()
        source = ZMQSource(address)
        # Rows before the schema are dropped.
        (event, *_) = ask_for_more(source, lambda: sender.send([2.0], "n"))
        assert set(event.y) == {"n"}
    source.close()


def test_rows_by_name_from_a_foreign_client(context):
    source = ZMQSource(FREE)
    push = context.socket(zmq.PUSH)
    push.connect(source.address)
    push.send_multipart(
        [b"weather", json.dumps({"x": {"sky": "grey", "t": 3}, "y": "rain"}).encode()]
    )
    push.send_multipart([b"weather", msgspec.msgpack.encode({"x": {"sky": "blue"}, "y": None})])
    events = drain(source, lambda e: len(e) == 2)
    assert [(e.x, e.y) for e in events] == [
        ({"sky": "grey", "t": 3}, "rain"),
        ({"sky": "blue"}, None),
    ]
    assert all(isinstance(e, Sample) for e in events)
    push.close(0)
    source.close()


def test_a_client_written_from_the_page_uses_the_reliable_protocol(context):
    with Serving(ZMQSource(FREE, "reliable", credit=64)) as engine:
        client = foreign.Client(context, engine.source.address)
        client.send(foreign.hello("s", 9, predict=True), foreign.schema("s", ["a"], ["n", "y"]))
        client.send(foreign.rows("s", 1, [[0.25], [1.0]], [0, 1]), foreign.rows("s", 3, [[0.5]]))
        client.send(foreign.late("s", 4, [(3, 1)]), foreign.frames("s", 5, seq=4))
        client.send(foreign.rows("s", foreign.REQUEST | 1, [[0.75]], kind=10))
        answers = []

        def is_complete():
            answers.extend(client.answers())
            return {4, foreign.REQUEST | 1} <= {a.seq for a in answers if a.kind in (7, 8)}

        wait_until(is_complete)
        assert (answers[0].kind, answers[0].content) == (6, {"credit": 64})
        predictions = {a.seq: a.table.tolist() for a in answers if a.kind == 8}
        assert predictions == {
            1: [[0.75, 0.25], [0.0, 1.0]],
            3: [[0.5, 0.5]],
            foreign.REQUEST | 1: [[0.25, 0.75]],
        }
        first_ack = next(i for i, a in enumerate(answers) if a.kind == 7)
        assert next(i for i, a in enumerate(answers) if a.kind == 8) < first_ack
        client.socket.close()


def test_reliable_rows_arrive_once_in_order_and_flush_waits():
    with Serving(ZMQSource(FREE, "reliable", credit=64)) as engine:
        with ZMQSender(
            engine.source.address, reliable=True, features=["a"], classes=["n", "y"], timeout=60
        ) as sender:
            sender.send(np.arange(1000).reshape(-1, 1), ["n", "y"] * 500)
            sender.send({"a": 1000.0}, "y")
            assert sender.send({"a": 1001.0, "new": 1}, "other") == 1002
            sender.flush()
            assert sender.acked == 1002
        assert [r[0] for r in rows_of(engine.events)] == list(range(1002))
        assert engine.events[-1].features == ("a", "new")
        assert engine.events[-1].y == ["other"]


def test_a_hello_is_answered_with_the_reason_why_nothing_is_acknowledged():
    reason = "cannot write the log: No space left on device"
    with zmq.Context() as context:
        source = ZMQSource(FREE, "reliable")
        client = foreign.Client(context, source.address)
        client.send(foreign.hello("s", 1), foreign.schema("s", ["a"], ["n", "y"]))
        wait_until(lambda: source.hold(0.01, reason) or client.socket.poll(0))
        (answer,) = client.answers()
        assert (answer.kind, answer.content["error"]) == (9, reason)
        client.send(foreign.hello("s", 1))  # as a sender does after an error
        source.hold(0.2, reason)
        assert client.answers() == []  # a sender gives up at the third error
        client.send(foreign.schema("s", ["a"], ["n", "y"]), foreign.rows("s", 1, [[1.0]], [1]))
        found = []
        stream = iter(source)
        wait_until(lambda: found.extend(next(stream)) or found)
        assert [event.y for event in found] == [["y"]]
        wait_until(lambda: 6 in [answer.kind for answer in client.answers()])
        client.socket.close()
        source.close()


def test_messages_that_are_kept_while_nothing_is_acknowledged_are_bounded(monkeypatch):
    monkeypatch.setattr("loco_stream.connectors.sources.zmq_source._MAX_AHEAD", 10)
    with zmq.Context() as context:
        source = ZMQSource(FREE, "reliable")
        client = foreign.Client(context, source.address)
        client.send(foreign.hello("s", 1), foreign.schema("s", ["a"], ["n", "y"]))
        for seq in range(1, 31):
            client.send(foreign.rows("s", seq, [[1.0]], [1]))
        wait_until(lambda: source.hold(0.01, "full") or len(source._ahead) == 10)
        source.hold(0.05, "full")
        assert len(source._ahead) == 10
        found = []
        stream = iter(source)
        wait_until(lambda: found.extend(next(stream)) or sum(len(e.X) for e in found) == 30)
        client.socket.close()
        source.close()


def test_a_sender_waits_when_its_buffer_is_full():
    source = ZMQSource(FREE, "reliable")
    sender = ZMQSender(source.address, reliable=True, buffer=128, timeout=0.3, linger=0)
    sender.send(np.ones((128, 1)), [0] * 128)
    with pytest.raises(SourceError, match=r"no engine at .* acked enough rows within 0.3 s"):
        sender.send([1.0], 0)
    with pytest.raises(SourceError, match="acked all rows within 0 s"):
        sender.close()
    source.close()


def test_a_sender_without_an_engine_raises():
    with (
        pytest.raises(SourceError, match=r"nobody at tcp://127.0.0.1:9 took a row within 0.1 s"),
        ZMQSender("tcp://127.0.0.1:9", timeout=0.1, linger=0) as sender,
    ):
        sender.send([1.0], 0)
    with (
        pytest.raises(SourceError, match=r"no engine at tcp://127.0.0.1:9 replied within 0.1 s"),
        ZMQSender(
            "tcp://127.0.0.1:9", reliable=True, features=["a"], classes=["x"], timeout=0.1, linger=0
        ) as sender,
    ):
        sender.predict([1.0])


def test_no_row_is_lost_or_repeated_through_restarts_of_the_engine():
    source = ZMQSource(f"tcp://{free_address()}", "reliable", credit=64)
    address = source.address
    learned = []
    position = {}
    sender = ZMQSender(
        address, reliable=True, features=["a"], classes=["n", "y"], name="s", timeout=60, linger=60
    )

    def feed():
        for i in range(600):
            sender.send([float(i)], "y")
        sender.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    for life in range(4):
        if life:
            source = ZMQSource(address, "reliable", credit=64)
            source.seek(position)
        for batch in source:
            if not batch:
                if not feeder.is_alive():
                    break
                continue
            if life < 3 and len(learned) > 150 * (life + 1):
                break  # killed with rows that were not logged
            learned += [r[0] for r in rows_of(batch)]
            position = source.position
            source.ack(position)
        source.close()
    feeder.join()
    assert learned == list(range(600))


def test_the_last_ack_is_delivered_when_the_engine_ends(monkeypatch):
    monkeypatch.setattr("loco_stream.connectors.sources.zmq_source._FAREWELL_SECONDS", 3.0)
    source = ZMQSource(FREE, "reliable", max=50)

    def serve():
        for batch in source:
            if batch:
                source.ack(source.position)
        source.close()

    engine = threading.Thread(target=serve)
    engine.start()
    sender = ZMQSender(
        source.address, reliable=True, features=["a"], classes=["y"], timeout=60, linger=60
    )
    sender.connect()
    sender.send(np.zeros((50, 1)), ["y"] * 50)
    time.sleep(0.2)  # the ack has arrived, but was not read
    sender.close()
    engine.join()
    assert sender.acked == 50


def test_a_restarted_sender_continues_after_the_last_durable_row():
    with Serving(ZMQSource(FREE, "reliable", credit=64)) as engine:
        make = {
            "reliable": True,
            "features": ["a"],
            "classes": ["n", "y"],
            "name": "s",
            "epoch": 3,
            "timeout": 60,
            "linger": 60,
        }
        first = ZMQSender(engine.source.address, **make)
        for i in range(100):
            first.send([float(i)], "y")
        first.flush()
        first.close(end=False)  # as if killed
        with ZMQSender(engine.source.address, **make) as second:
            begin = second.connect()
            assert begin == 100
            for i in range(begin, 150):
                assert second.send([float(i)], "y") == i + 1
        wait_until(lambda: len(rows_of(engine.events)) >= 150)
        assert [r[0] for r in rows_of(engine.events)] == list(range(150))


def test_predictions_are_returned_for_the_rows_sent():
    with (
        Serving(ZMQSource(FREE, "reliable")) as engine,
        ZMQSender(
            engine.source.address,
            reliable=True,
            predict=True,
            features=["a"],
            classes=["n", "y"],
            timeout=60,
        ) as sender,
    ):
        sender.send([[0.25], [0.5]], ["n", "y"])
        sender.send([1.0])
        sender.flush()
        got = sender.take_predictions()
        assert [(seq, table.tolist()) for seq, table in got] == [
            (1, [[0.75, 0.25], [0.5, 0.5]]),
            (3, [[0.0, 1.0]]),
        ]
        assert sender.take_predictions() == []


@pytest.mark.parametrize("mode", ["reply", "reliable"])
def test_request_and_reply(mode):
    with Serving(ZMQSource(FREE, mode)) as engine:
        with ZMQSender(
            engine.source.address, reliable=True, features=["a"], classes=["n", "y"], timeout=60
        ) as client:
            assert client.predict({"a": 0.9}) == "y"
            assert client.predict([[0.1], [0.9]]) == ["n", "y"]
            assert client.predict_proba([0.25]) == {"n": 0.75, "y": 0.25}
            assert client.predict_proba([[0.25], [0.5]]).tolist() == [[0.75, 0.25], [0.5, 0.5]]
        assert all(isinstance(e, PredictRequest) for e in engine.events)


def test_a_request_is_repeated_after_a_restart_of_the_engine():
    source = ZMQSource(f"tcp://{free_address()}", "reply")
    address = source.address
    client = ZMQSender(
        address, reliable=True, features=["a"], classes=["n", "y"], timeout=60, linger=0
    )
    with Serving(source):
        assert client.predict([0.9]) == "y"
    restarted = []

    def restart():
        time.sleep(0.5)
        restarted.append(ZMQSource(address, "reply"))

    thread = threading.Thread(target=restart)
    thread.start()
    answers = []
    asker = threading.Thread(target=lambda: answers.append(client.predict([0.1])))
    asker.start()
    thread.join()
    with Serving(restarted[0]):
        asker.join()
    assert answers == ["n"]
    client.close(end=False)


def test_the_sender_raises_when_the_engine_refuses_its_rows():
    with Serving(ZMQSource(FREE, "reliable", task="regression")) as engine:
        sender = ZMQSender(
            engine.source.address, reliable=True, classes=["n"], timeout=60, linger=0, name="s"
        )
        sender.send([1.0], "n")
        with pytest.raises(
            SourceError, match="refuses source 's': the task of the schema must be regression"
        ):
            sender.flush()
        sender.close(end=False)


@pytest.mark.slow
def test_10_000_mutated_messages_leave_the_engine_running(context):
    rng = np.random.default_rng(3)
    with Serving(ZMQSource(FREE, "reliable")) as engine:
        hostile = foreign.Client(context, engine.source.address)
        messages = honest()
        for i in range(10_000):
            parts = damaged(rng, messages[i % len(messages)])
            hostile.send(parts or [b""])
            if i % 500 == 0:
                hostile.answers()
        wait_until(lambda: engine.source.stats["malformed"] > 5000)
        with ZMQSender(
            engine.source.address, reliable=True, name="honest", classes=["n", "y"], timeout=60
        ) as sender:
            sender.send([[1.0], [2.0]], ["n", "y"])
            sender.flush()
        assert [e.y for e in engine.events if e.source == "honest"] == [["n", "y"]]
        hostile.socket.close()


def test_too_many_frames_are_one_malformed_message(context):
    with Serving(ZMQSource(FREE, "reliable")) as engine:
        client = foreign.Client(context, engine.source.address)
        client.send([b"s"] * 5000)
        assert client.socket.poll(60_000)
        (answer,) = client.answers()
        assert answer.kind == 9
        assert "3 frames" in answer.content["error"]
        client.socket.close()


def test_a_huge_frame_closes_its_connection_only(context):
    with Serving(ZMQSource(FREE, "reliable")) as engine:
        hostile = foreign.Client(context, engine.source.address)
        hostile.send([b"s", bytes(17 << 20)])
        client = foreign.Client(context, engine.source.address)
        client.send(foreign.hello("t", 1))
        assert client.socket.poll(60_000)
        assert client.answers()[0].kind == 6
        assert hostile.answers() == []
        hostile.socket.close()
        client.socket.close()


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        (
            "zmq+pull://0.0.0.0:5555",
            SourceError,
            "refusing to bind tcp://0.0.0.0:5555: .* needs CURVE keys",
        ),
        ("zmq+reliable://*:5555", SourceError, "needs CURVE"),
        ("zmq+reply://eth0:5555", SourceError, "needs CURVE"),
        ("zmq+sub://0.0.0.0:5555?bind=1", SourceError, "needs CURVE"),
        ("zmq+pull://127.0.0.1", SourceError, "must be tcp://HOST:PORT"),
        ("zmq+pull://127.0.0.1:70000", SourceError, "a port of 1..65535"),
        ("zmq+pull:udp://127.0.0.1:1", SourceError, "must be tcp://HOST:PORT .* or ipc://PATH"),
        ("zmq+pull:ipc:///no/such/folder/x", SourceError, "cannot bind ipc:///no/such/folder/x"),
        (
            "zmq+pull://127.0.0.1:*?bind=1&connect=1",
            ConfigError,
            r"'bind' \(or as connect\) must be given at most once",
        ),
        ("zmq+pull://127.0.0.1:*?idle=-1", ConfigError, "`idle` must be a number above 0"),
        ("zmq+pull://127.0.0.1:*?max=few", ConfigError, "`max` must be a whole number, got 'few'"),
        ("zmq+pull://127.0.0.1:*?credit=100", ConfigError, "no option 'credit'"),
        ("zmq+reliable://127.0.0.1:*?credit=63", ConfigError, "`credit` must be at least 64"),
        ("zmq+reliable://127.0.0.1:*?task=x", ConfigError, "`task` must be"),
    ],
)
def test_bad_addresses_and_options_are_refused(url, error, text):
    with pytest.raises(error, match=text) as caught:
        open_source(url)
    assert "\n" not in str(caught.value)


def test_a_port_in_use_is_named():
    source = ZMQSource(FREE)
    with pytest.raises(SourceError, match=f"cannot bind {source.address}: address already in use"):
        ZMQSource(source.address)
    source.close()


def test_addresses():
    assert endpoint("//127.0.0.1:1") == "tcp://127.0.0.1:1"
    assert [is_local(f"tcp://{h}:1") for h in ("127.0.0.1", "127.8.8.8", "[::1]", "localhost")] == [
        True
    ] * 4
    assert [is_local(f"tcp://{h}:1") for h in ("0.0.0.0", "*", "10.0.0.1", "[::]", "eth0")] == [
        False
    ] * 5
    assert is_local("ipc:///tmp/x")


def test_ipv6_loopback_and_ipc(tmp_path):
    for address in ("tcp://[::1]:*", f"ipc://{tmp_path}/s"):
        try:
            source = ZMQSource(address)
        except SourceError:
            assert "[" in address  # a machine without IPv6
            continue
        with ZMQSender(source.address) as sender:
            sender.send([1.0], 0)
        assert rows_of(drain(source, lambda _: False)) == [[1.0]]
        source.close()


def test_an_old_libzmq_is_refused():
    require_libzmq((4, 3, 5))
    with pytest.raises(
        ImportError, match=r"libzmq 4\.3\.4 has known security holes: .* >= 4\.3\.5"
    ):
        require_libzmq((4, 3, 4))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"mode": "pull"}, "`mode` must be 'push' or 'pub'"),
        ({"predict": True}, "need reliable=True"),
        ({"epoch": 1}, "need reliable=True"),
        ({"epoch": 1, "reliable": True}, "needs a `name`"),
        ({"name": ""}, "1..255 bytes"),
        ({"buffer": 10}, "`buffer` must be at least 128 rows"),
        ({"task": "ranking"}, "`task` must be"),
        ({"units": ["m"]}, "one unit per feature"),
        ({"features": ["a", "a"]}, "`features` must not repeat a name, got 'a' twice"),
        ({"features": "ab"}, "`features` must be None or a list or tuple of texts, got str"),
        ({"classes": "ok"}, "`classes` must be None or a list or tuple, got str"),
        ({"task": "regression", "classes": ["x"]}, "`classes` must be None in regression"),
    ],
)
def test_bad_settings_of_the_sender_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        ZMQSender("tcp://127.0.0.1:9", **settings)


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        ([1.0, 2.0], 0, "must have 1 value per row, as the schema has, got 2"),
        ({"a": [1]}, 0, "`a` must be a finite number"),
        ({"a": np.datetime64(1, "ns")}, 0, "`a` must be a finite number"),
        (np.array([["2020-01-01"]], "M8[ns]"), 0, r"must hold numbers, got datetime64\[ns\]"),
        ({}, 0, None),
        ([1.0], 0.5, "got the fraction 0.5"),
        ([[1.0], [2.0]], [0], "`y` must have 2 labels, got 1"),
        (np.ones((2, 2, 2)), None, "must be a dict, a row or a table"),
    ],
)
def test_bad_rows_are_refused_before_they_are_sent(x, y, text):
    source = ZMQSource(FREE)
    with ZMQSender(source.address, features=["a"], classes=[0]) as sender:
        if text is None:
            sender.send(x, y)  # a row of missing values
        else:
            with pytest.raises(InputError, match=text):
                sender.send(x, y)
    source.close()


def test_a_best_effort_sender_cannot_predict():
    source = ZMQSource(FREE)
    with ZMQSender(source.address, features=["a"], classes=["n"]) as sender:
        sender.flush()
        with pytest.raises(ConfigError, match="`reliable` must be True"):
            sender.predict([1.0])
    source.close()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "kind"), [("pull", "PUSH"), ("reliable", "DEALER")])
def test_the_engine_survives_a_peer_that_dies_while_its_queue_is_full(mode, kind):
    """With ZMTP heartbeats on the engine's socket, libzmq 4.3.5 would end the process."""
    flood = f"""
        import os, sys, time, zmq
        socket = zmq.Context().socket(zmq.{kind})
        socket.connect(sys.argv[1])
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                socket.send_multipart([b"s", bytes(32), bytes(256)], zmq.NOBLOCK)
            except zmq.Again:
                time.sleep(0.001)
        os._exit(0)
    """
    engine = f"""
        import subprocess, sys, time
        from loco_stream.connectors import ZMQSource
        source = ZMQSource("tcp://127.0.0.1:*", {mode!r}, idle=0.5)
        subprocess.run([sys.executable, "-c", sys.argv[1], source.address], check=True)
        time.sleep(4.5)  # two heartbeats would be due
        for events in source:
            assert not events
        print(source.stats["malformed"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(engine), textwrap.dedent(flood)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150  # more than the queue of 100 holds


def send_all(source, **options):
    """Send 60 rows, without those that are durable."""
    names = {"features": ("a", "b", "c"), "classes": ("u", "v"), "timeout": 60, "linger": 60}
    with ZMQSender(source.address, name="s", **names, **options) as sender:
        start = sender.connect() if options.get("reliable") else 0
        for i in range(start, 60, 7):
            table = np.arange(3 * 60, dtype=np.float32).reshape(60, 3)[i : i + 7]
            sender.send(table, [["u", "v", None][row % 3] for row in range(60)][i : i + 7])
        sender.flush()


@pytest.mark.parametrize("mode", ["reliable", "reply"])
@pytest.mark.parametrize("options", [{}, {"predict": True}])
def test_the_lifecycle_of_acknowledged_rows(mode, options):
    check_source(
        lambda: ZMQSource(FREE, mode),
        n_rows=60,
        send=lambda source: send_all(source, reliable=True, epoch=1, **options),
    )


def test_the_lifecycle_of_pushed_rows():
    check_source(lambda: ZMQSource(FREE, "pull"), n_rows=60, send=send_all, resumes=False)


def test_the_lifecycle_of_published_rows(context):
    def publish(source):
        frames = [foreign.schema("s", ["a"], ["u", "v"]), foreign.rows("s", 1, [[1.0]], [0])]
        with context.socket(zmq.PUB) as publisher:
            publisher.connect(source.address)
            deadline = time.monotonic() + 60
            while not source.stats["rows"] and time.monotonic() < deadline:
                for message in frames:  # until it has subscribed
                    publisher.send_multipart(message)
                time.sleep(0.02)

    check_source(lambda: ZMQSource(FREE, "sub", bind=True), n_rows=1, send=publish, resumes=False)
