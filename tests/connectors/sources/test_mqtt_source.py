"""`MQTTSource` against a real mosquitto: acks, repeats, joined topics, restarts."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from paho.mqtt import client as mqtt

from loco_stream.connectors import MQTTSource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source
from tests.helpers import foreign
from tests.helpers.ports import free_port
from tests.helpers.serving import drain

MOSQUITTO = shutil.which(
    "mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
)
pytestmark = pytest.mark.skipif(
    MOSQUITTO is None and not os.environ.get("CI"),
    reason="needs the mosquitto broker (apt-get install mosquitto)",
)


class Broker:
    """A mosquitto that keeps its data in a folder."""

    def __init__(self, folder, *extra):
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "user root",
        ]
        self.config.write_text("\n".join([*lines, *(extra or ["allow_anonymous true"])]) + "\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("mosquitto did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


def publish(broker, *messages):
    """Publish (topic, payload) pairs, and wait until the broker has them."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for info in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
        info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def row(value, **more):
    return json.dumps({"x": {"a": value}, "y": value % 2, **more})


def taken(source, n):
    """Return n rows without acking them."""
    events = []
    deadline = time.monotonic() + 60
    for batch in source:
        events += batch
        if len(events) >= n:
            return events
        assert time.monotonic() < deadline, source.stats
    raise AssertionError("the stream ended")


def values(events):
    return [e.x["a"] for e in events]


def test_rows_of_a_topic_filter(broker):
    source = open_source(f"mqtt://127.0.0.1:{broker.port}/sensors/+")
    assert isinstance(source, Source)
    assert source.needs_log
    assert "at least once" in source.guarantee
    publish(
        broker,
        ("sensors/one", row(1)),
        ("other", row(2)),
        ("sensors/two", json.dumps({"x": {"sky": "grey"}, "y": "rain", "t": 5})),
        ("sensors/one", b"nonsense"),
        ("sensors/one", row(3)),
    )
    events = drain(source, lambda e: len(e) == 3)
    assert [(e.source, e.x, e.y) for e in events] == [
        ("sensors/one", {"a": 1}, 1),
        ("sensors/two", {"sky": "grey"}, "rain"),
        ("sensors/one", {"a": 3}, 1),
    ]
    assert source.stats["malformed"] == 1
    assert "must be JSON or MessagePack" in source.last_error
    source.close()


def test_flat_maps_and_plain_numbers(broker):
    source = open_source(f"mqtt://127.0.0.1:{broker.port}/#?target=kind")
    publish(broker, ("flat", b'{"speed": 0.4, "kind": "ok"}'), ("temperature", b"23.5"))
    events = drain(source, lambda e: len(e) == 2)
    assert [(e.source, e.x, e.y) for e in events] == [
        ("flat", {"speed": 0.4}, "ok"),
        ("temperature", {"value": 23.5}, None),
    ]
    source.close()


def test_ls1_header_and_payload_in_one_message(broker):
    source = MQTTSource("127.0.0.1", "s", port=broker.port)

    def joined(frames):
        return ("s", frames[1] + frames[2])

    publish(
        broker,
        joined(foreign.schema("s", ["a"], ["n", "y"])),
        joined(foreign.rows("s", 1, [[1], [2]], [1, 0])),
        joined(foreign.frames("s", 5, seq=2)),
    )
    events = drain(source, lambda _: False)
    assert [(e.X.tolist(), e.y) for e in events] == [([[1.0], [2.0]], ["y", "n"])]
    source.close()


def test_unacked_messages_are_repeated_and_known_rows_dropped(broker):
    first = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, *(("s", row(i, seq=i)) for i in range(1, 11)))
    events = []
    position = {}
    for batch in first:
        events += batch
        if len(events) == 10:
            break
        position = first.position
        first.ack(position)  # except the last batch
    assert values(events) == list(range(1, 11))
    whole = first.position
    first.close()
    publish(broker, ("s", row(11, seq=11)))

    second = MQTTSource("127.0.0.1", "s", port=broker.port)  # the last batch was logged
    second.seek(json.loads(json.dumps(whole)))
    events = drain(second, lambda e: len(e) == 1)
    assert values(events) == [11]
    assert second.stats["duplicates"] >= 1
    assert second.stats["restarts"] == 0
    settle(second)

    third = MQTTSource("127.0.0.1", "s", port=broker.port, idle=0.5)
    assert not any(third)  # everything is acked
    third.close()


def test_rows_that_were_not_logged_are_delivered_again(broker):
    first = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, *(("s", row(i, seq=i)) for i in range(1, 6)))
    assert values(taken(first, 5)) == [1, 2, 3, 4, 5]
    first.close()
    second = MQTTSource("127.0.0.1", "s", port=broker.port)
    assert values(drain(second, lambda e: len(e) == 5)) == [1, 2, 3, 4, 5]
    second.close()


def test_unacked_rows_without_a_seq_are_learned_twice(broker):
    first = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, ("s", row(1)))
    assert values(taken(first, 1)) == [1]
    position = first.position
    first.close()
    second = MQTTSource("127.0.0.1", "s", port=broker.port)
    second.seek(position)
    assert values(drain(second, lambda e: len(e) == 1)) == [1]
    second.close()


def test_more_rows_than_the_broker_keeps_in_flight(broker):
    source = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, *(("s", row(i, seq=i)) for i in range(1, 501)))
    assert values(drain(source, lambda e: len(e) == 500)) == list(range(1, 501))
    source.close()


def test_messages_that_have_arrived_share_a_commit(broker):
    source = MQTTSource("127.0.0.1", "s", port=broker.port, max=15)
    publish(broker, *(("s", row(i)) for i in range(20)))
    commits = [events for events in source if events]
    assert len(commits) < 15
    assert [e.x["a"] for events in commits for e in events] == list(range(15))
    source.close()


def joined(broker, **options):
    url = f"mqtt://127.0.0.1:{broker.port}/press/3/+?join=topic&within=300ms&target=kind"
    return open_source(url + "".join(f"&{name}={value}" for name, value in options.items()))


def round_of(i):
    values = {"speed": 20 + i / 2, "load": i, "mode": "fast", "kind": ("ok", "worn")[i % 2]}
    return [(f"press/3/{name}", str(value)) for name, value in values.items()]


def settle(source):
    """Let the broker receive the acks, then close."""
    for _ in range(10):
        source._communicate()
    source.close()


def test_several_topics_form_one_row(broker):
    source = joined(broker)
    for i in range(20):  # without a pause: the next row ends the one before
        publish(broker, *round_of(i))
    events = drain(source, lambda found: len(found) == 20)
    assert [event.x for event in events] == [
        {"speed": 20 + i / 2, "load": i, "mode": "fast"} for i in range(20)
    ]
    assert [event.y for event in events] == ["ok", "worn"] * 10
    assert [(event.source, event.seq) for event in events] == [("press/3/+", i) for i in range(20)]
    assert all(abs(event.t - time.time()) < 600 for event in events)
    assert (source.stats["messages"], source.stats["rows"]) == (80, 20)
    publish(
        broker,
        ("press/3/speed", "1.5"),
        ("press/3/load", '{"x": 1}'),
        ("press/3/load", b"\xff\xfe"),
    )
    (late,) = taken(source, 1)  # ended by time
    assert (late.x, late.y) == ({"speed": 1.5}, None)
    assert source.stats["malformed"] == 2
    assert "must be one number or word with join=topic" in source.last_error
    source.close()


def test_a_row_does_not_end_while_the_engine_does_other_work(broker):
    """A first commit of a second split a row, and each label was then that of the row before."""
    source = joined(broker)
    rounds = iter(source)
    publish(broker, *round_of(0)[:2])
    while not len(source._joiner):
        next(rounds)
    time.sleep(0.5)
    publish(broker, *round_of(0)[2:], *round_of(1), *round_of(2))
    events = drain(source, lambda found: len(found) == 3)
    assert [event.x["speed"] for event in events] == [20, 20.5, 21]
    assert [event.y for event in events] == ["ok", "worn", "ok"]
    source.close()


def test_the_last_row_of_max_has_all_values_that_have_arrived(broker):
    url = f"mqtt://127.0.0.1:{broker.port}/press/3/+?join=topic&target=kind&max=2"
    source = open_source(url)
    publish(broker, *round_of(0), *round_of(1))
    events = [event for batch in source for event in batch if event is not None]
    assert [len(event.x) for event in events] == [3, 3]
    assert [event.y for event in events] == ["ok", "worn"]
    source.close()


@pytest.mark.slow
def test_the_values_of_a_row_that_was_not_learned_are_delivered_again(broker):
    source = joined(broker)
    publish(broker, *round_of(0), *round_of(1), ("press/3/speed", "7"))
    assert taken(source, 1)[0].y == "ok"
    source.close()  # before anything was acknowledged
    source = joined(broker)
    first, second, third = taken(source, 3)
    assert [event.x.get("speed") for event in (first, second, third)] == [20, 20.5, 7]
    source.ack({"press/3/+": {"0": 1}})
    settle(source)
    source = joined(broker)
    (third,) = taken(source, 1)
    assert (third.x, third.y) == ({"speed": 7}, None)
    source.ack(source.position)
    settle(source)
    source = joined(broker, idle=1)
    assert [event for batch in source for event in batch] == []
    source.close()


def test_reconnects_after_a_restart_of_the_broker(broker, caplog):
    caplog.set_level("INFO", "loco_stream")
    source = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, ("s", row(1, seq=1)))
    assert values(drain(source, lambda e: len(e) == 1)) == [1]
    broker.stop()
    rounds = iter(source)
    assert [next(rounds) for _ in range(5)] == [[]] * 5
    assert source.outage
    broker.start()
    publish(broker, ("s", row(2, seq=2)))
    assert values(drain(source, lambda e: len(e) == 1)) == [2]
    drain(source, lambda _: "connected again" in caplog.text)  # rows may come before the answer
    lost, back = (record.getMessage() for record in caplog.records)
    assert lost.startswith(f"{source.name}: no rows come: ")
    assert back == f"{source.name}: connected again"
    assert source.outage == ""
    source.close()


def test_a_broker_that_lost_the_session_is_noted(tmp_path, caplog):
    broker = Broker(tmp_path, "allow_anonymous true", "persistence false")
    source = MQTTSource("127.0.0.1", "s", port=broker.port)
    publish(broker, ("s", row(1, seq=1)))
    drain(source, lambda events: len(events) == 1)
    source.ack(source.position)
    settle(source)
    position = source.position
    source.close()
    source = MQTTSource("127.0.0.1", "s", port=broker.port)
    source.seek(position)
    assert source.notes == ()
    broker.stop()
    broker.start()
    publish(broker, ("s", row(2, seq=2)))  # nobody keeps it
    drain(source, lambda _: source.notes)
    lost = "the broker had no session of this engine: messages sent while it was not connected are"
    assert source.notes == (f"{source.name}: {lost} lost",)
    assert source.notes[0] in caplog.text
    source.close()
    broker.stop()
    broker.start()
    source = MQTTSource("127.0.0.1", "s", port=broker.port)
    assert source.notes == ()  # a new run may have one
    source.seek(position)
    assert source.notes
    source.close()
    broker.stop()


def test_max_ends_the_stream(broker):
    source = MQTTSource("127.0.0.1", "s", port=broker.port, max=2)
    publish(broker, *(("s", row(i)) for i in range(2)))
    assert len(drain(source, lambda _: False)) == 2
    source.close()


def test_a_missing_broker_and_a_refusal_are_reported(tmp_path):
    port = free_port()
    with pytest.raises(
        SourceError, match=rf"cannot reach the MQTT broker 127\.0\.0\.1:{port}: .*refused"
    ):
        MQTTSource("127.0.0.1", "s", port=port)
    (tmp_path / "passwords").write_text("")
    (tmp_path / "passwords").chmod(0o600)
    closed = Broker(tmp_path, "allow_anonymous false", f"password_file {tmp_path}/passwords")
    with pytest.raises(SourceError, match="refuses the client: Not authorized"):
        MQTTSource("127.0.0.1", "s", port=closed.port)
    closed.stop()


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("mqtt://127.0.0.1:1883", ConfigError, "must be mqtt://127.0.0.1:1883/TOPIC"),
        ("mqtt:topic", ConfigError, "must be mqtt://127.0.0.1:1883/TOPIC"),
        ("mqtt:///topic", ConfigError, "must be mqtt://127.0.0.1:1883/TOPIC"),
        ("mqtt://127.0.0.1/t?tls=yes", ConfigError, "`tls` must be 0 or 1"),
        ("mqtt://127.0.0.1/t?client_id=", ConfigError, "`client_id` must not be empty"),
        ("mqtt://127.0.0.1/t?idle=0", ConfigError, "`idle` must be a number above 0"),
        ("mqtt://127.0.0.1/t?qos=1", ConfigError, "no option 'qos'"),
    ],
)
def test_bad_urls_are_refused(url, error, text):
    with pytest.raises(error, match=text):
        open_source(url)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("join=rows", "`join` must be 'topic', got 'rows'"),
        ("within=300ms", "`within` needs join=topic, got 0.3 without it"),
        ("join=topic&within=0", "`within` must be a number above 0, got 0.0"),
        ("join=topic&within=soon", "a duration such as 0.1, 0.1s or 100ms"),
    ],
)
def test_bad_options_of_a_join_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        open_source(f"mqtt://127.0.0.1:1/rows/+?{options}")


@pytest.mark.parametrize(("name", "extra"), [("MQTTSource", "mqtt"), ("LSLSource", "lsl")])
def test_a_missing_extra_is_named_when_it_is_used(name, extra):
    code = f"""
import sys
for name in ("paho", "paho.mqtt", "paho.mqtt.client", "pylsl"):
    sys.modules[name] = None
from loco_stream.connectors import {name}
from loco_stream.errors import SourceError
try:
    {name}("127.0.0.1", "0")
except SourceError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'loco-stream[{extra}]'" in done.stdout


def test_regression_labels_are_values(broker):
    source = MQTTSource("127.0.0.1", "s", port=broker.port, task="regression")
    publish(broker, ("s", json.dumps({"x": [1, 2], "y": 3})))
    (event,) = drain(source, lambda e: len(e) == 1)
    assert isinstance(event.y, float)
    assert np.isnan(event.t)
    source.close()


def test_the_lifecycle_of_messages(broker):
    names = iter(range(100))

    def make_source():
        return MQTTSource("127.0.0.1", "rows/+", port=broker.port, client_id=f"n{next(names)}")

    check_source(
        make_source,
        n_rows=20,
        send=lambda _: publish(broker, *(("rows/a", row(i, seq=i)) for i in range(20))),
        resumes=False,  # the broker repeats only what was not acknowledged
    )


def test_two_engines_with_one_client_id_are_told_so_once(broker, caplog):
    """The broker ends the connection of the other one each time, and gives no reason.

    The log has a line about the first such outage, and one that is over, not one per second.
    """
    caplog.set_level(logging.INFO, "loco_stream.connectors")
    sources = [MQTTSource("127.0.0.1", "s", port=broker.port) for _ in range(2)]
    rounds = [iter(source) for source in sources]
    deadline = time.monotonic() + 60
    while not any(source.notes for source in sources) and time.monotonic() < deadline:
        for each in rounds:
            next(each)
    notes = [note for source in sources for note in source.notes]
    assert len(notes) == 1
    assert notes[0].startswith(f"{sources[0].name}: the broker ends each connection within seconds")
    assert "`client_id` 'loco-stream'" in notes[0]
    assert caplog.text.count("no rows come") <= len(sources)
    assert caplog.text.count("connected again") <= len(sources)
    for source in sources:
        source.close()
