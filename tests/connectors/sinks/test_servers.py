"""Sinks with real servers, while engine and server are killed.

With LOCO_SOAK=1, either is killed 20 times during 50,000 rows.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest

from loco_stream.connectors import open_sink
from loco_stream.stream import Prediction
from loco_stream.testing import check_sink
from tests.helpers import servers
from tests.helpers.engine_process import LOCO, SOAK, at_work, end, start
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until

N_ROWS, KILLS, RATE = (50_000, 20, 1000) if SOAK else (6000, 3, 1500)
DRIFT = {
    "kind": "drift",
    "source": "s",
    "seq": 9,
    "t": 1.25,
    "at": 9,
    "since": 4,
    "detector": "H",
    "what": "concept",
}


class Redis:
    """Reads the stream at the end."""

    server = servers.Redis
    program = "redis-server"
    scheme = "redis"

    def __init__(self, port):
        import redis

        self._client = redis.Redis("127.0.0.1", port)

    def records(self):
        return [json.loads(fields[b"record"]) for _, fields in self._client.xrange("out")]


class Kafka:
    """Reads the topic from its beginning."""

    server = servers.Kafka
    program = None
    scheme = "kafka"

    def __init__(self, port):
        from confluent_kafka.admin import AdminClient, NewTopic

        self._config = {
            "bootstrap.servers": f"127.0.0.1:{port}",
            "group.id": "test",
            "log_level": 0,
        }
        admin = AdminClient(self._config)
        admin.create_topics([NewTopic("out", 1, 1)])["out"].result(60)

    def records(self):
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer(self._config)
        found = []
        silent = 0
        consumer.assign([TopicPartition("out", 0, 0)])
        while silent < 20:
            messages = [m for m in consumer.consume(1000, 0.1) if not m.error()]
            silent = 0 if messages else silent + 1
            for message in messages:
                found.append(json.loads(message.value()))
                assert message.headers() == [("kind", found[-1]["kind"].encode())]
                assert message.key().decode() == found[-1]["source"]
        consumer.close()
        return found


class MQTT:
    """Subscribes with a session that the broker keeps."""

    server = servers.Mosquitto
    program = "mosquitto"
    scheme = "mqtt"

    def __init__(self, port):
        from paho.mqtt import client as mqtt

        self._found, subscribed = [], threading.Event()
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False
        )
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.on_message = lambda _c, _d, message: self._take(message)
        self._client.on_connect = lambda client, *_: client.subscribe("out/#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(60)

    def _take(self, message):
        record = json.loads(message.payload)
        assert message.topic == f"out/{record['kind']}"
        self._found.append(record)

    def records(self):
        return list(self._found)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Influx:
    """Queries the points."""

    server = servers.Influx
    program = "influxd"
    scheme = "influx"

    def __init__(self, port):
        self._url = f"http://127.0.0.1:{port}/query?db=out&q="
        urlopen(
            Request(self._url + quote('CREATE DATABASE "out"'), method="POST"), timeout=60
        ).read()

    def records(self):
        found = []
        for kind in ("prediction", "drift"):
            answer = urlopen(self._url + quote(f"SELECT * FROM loco_{kind}"), timeout=60).read()
            for table in json.loads(answer)["results"][0].get("series", []):
                found += [
                    {"kind": kind, **dict(zip(table["columns"], row, strict=True))}
                    for row in table["values"]
                ]
        return found


READERS = {reader.scheme: reader for reader in (Redis, Kafka, MQTT, Influx)}


@pytest.fixture
def opened(tmp_path):
    """Return a function that starts a server and its reader; both are stopped after the test."""
    things = []

    def make(scheme):
        kind = READERS[scheme]
        if (
            kind.program
            and shutil.which(kind.program, path=servers.PATH) is None
            and not os.environ.get("CI")
        ):
            pytest.skip(f"needs {kind.program}")
        folder = tmp_path / "server"
        folder.mkdir()
        things.append(server := kind.server() if scheme == "kafka" else kind.server(folder))
        things.append(reader := READERS[scheme](server.port))
        return server, reader

    yield make
    for thing in reversed(things):
        getattr(thing, "close", getattr(thing, "stop", lambda: None))()


def seqs(records, kind="prediction"):
    return sorted({record["seq"] for record in records if record["kind"] == kind})


@pytest.mark.slow
@pytest.mark.parametrize("scheme", READERS)
def test_a_server_receives_each_record_and_those_queued_while_it_was_down(scheme, opened):
    server, reader = opened(scheme)
    sink = open_sink(
        f"{scheme}://127.0.0.1:{server.port}/out?only=prediction,drift&timeout=2&linger=30"
    )
    for seq in range(300):
        sink.write(
            Prediction(seq, "a b", "c", {"a b": 0.75, "c": 0.25}, 5.0 + seq // 64, "press, 3")
        )
    sink.write_record(DRIFT)
    wait_until(lambda: sink.stats["sent"] == 301)
    if scheme != "kafka":  # that broker keeps its data in memory
        server.restart()
    for seq in range(300, 500):
        sink.write(
            Prediction(seq, "a b", None, {"a b": 0.75, "c": 0.25}, 5.0 + seq // 64, "press, 3")
        )
    sink.close({})
    assert sink.notes == []
    wait_until(lambda: len(seqs(reader.records())) == 500)
    found = reader.records()
    assert seqs(found) == list(range(500))
    drift = next(record for record in found if record["kind"] == "drift")
    first = next(
        record for record in found if record["kind"] == "prediction" and record["seq"] == 64
    )
    assert (drift["at"], drift["since"], drift["detector"], drift["what"]) == (9, 4, "H", "concept")
    assert (first["prediction"], first["label"], first["source"]) == ("a b", "c", "press, 3")
    if scheme == "influx":
        assert (first["confidence"], first["time"]) == (0.75, "1970-01-01T00:00:06.000000064Z")
    else:
        assert drift == DRIFT
        assert first["proba"] == {"a b": 0.75, "c": 0.25}


def test_a_later_subscriber_receives_the_retained_status(opened):
    from paho.mqtt import subscribe

    server, _ = opened("mqtt")
    sink = open_sink(f"mqtt://127.0.0.1:{server.port}/press/3")
    sink.write_record(
        {"kind": "status", "source": "s", "seq": 5, "t": 1.0, "status": {"accuracy": 0.5}}
    )
    sink.write_record(DRIFT)
    sink.close({"n_samples": 7})
    messages = subscribe.simple("press/3/#", msg_count=2, port=server.port, retained=True)
    assert {message.topic for message in messages} == {"press/3/status", "press/3/report"}


def rows(path):
    """Save rows with four changes of concept."""
    X = np.random.default_rng(5).normal(size=(N_ROWS, 4)).astype(np.float32)
    swap = np.arange(N_ROWS) * 5 // N_ROWS % 2 == 1
    y = np.where((X[:, 0] + X[:, 1] > 0) != swap, "ok", "worn")
    np.savez(path, X=X, y=y)


@pytest.mark.slow
@pytest.mark.timeout(14_400 if SOAK else 600)
@pytest.mark.parametrize("scheme", ["http", *READERS] if SOAK else ["http", "redis", "kafka"])
def test_every_record_arrives_through_kills_of_engine_and_receiver(
    scheme, opened, tmp_path, processes
):
    rows(tmp_path / "rows.npz")
    chance = random.Random(11)
    if scheme == "http":
        port = free_port()
        out = tmp_path / "out.jsonl"
        hook = (
            sys.executable,
            str(Path(__file__).parents[2] / "helpers" / "webhook.py"),
            str(port),
            str(out),
        )
        processes.append(receiver := start([], *hook))

        def restart():
            nonlocal receiver
            receiver.kill()
            receiver.wait()
            processes.append(receiver := start([], *hook))

        def records():
            lines = out.read_bytes().splitlines() if out.exists() else []
            return [json.loads(line) for line in lines if line.endswith(b"}")]
    else:
        server, reader = opened(scheme)
        port = server.port
        records = reader.records
        restart = server.restart if scheme != "kafka" else lambda: None
    sink = f"{scheme}://127.0.0.1:{port}/out?batch=200&wait=60&linger=30&timeout=2&only=prediction,drift"
    source = f"npy:{tmp_path}/rows.npz?rate={RATE}"
    command = (
        *LOCO,
        "serve",
        "--source",
        source,
        "--checkpoint",
        str(tmp_path / "state"),
        "--checkpoint-every",
        "700",
        "--report",
        str(tmp_path / "report.json"),
        "--sink",
        sink,
    )
    engine = at_work(start(processes, *command))
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.3, 2.0))
        engine.kill()
        engine.wait()
        if chance.random() < 0.7:
            restart()
        engine = at_work(start(processes, *command))
    wait_until(lambda: len(seqs(records())) == N_ROWS, 3600 if SOAK else 240)
    end(engine)
    found = records()
    assert seqs(found) == list(range(N_ROWS))
    drifts = json.loads((tmp_path / "report.json").read_text())["drifts"]
    assert drifts
    assert {drift["at"] for drift in drifts} == {
        record["at"] for record in found if record["kind"] == "drift"
    }


@pytest.mark.slow
@pytest.mark.parametrize("scheme", READERS)
def test_the_lifecycle_of_a_sink(scheme, opened):
    server, reader = opened(scheme)
    url = f"{scheme}://127.0.0.1:{server.port}/out?timeout=2"
    n_read = 0

    def make_sink():
        if server.process.poll() is not None:
            server.start()
        return open_sink(f"{url}&linger=30")

    def make_unreachable():
        server.stop()
        return open_sink(f"{url}&linger=0")

    def received():
        nonlocal n_read
        records = reader.records()
        new = records[n_read:]
        n_read = len(records)
        return new

    check_sink(
        make_sink,
        received=received if scheme != "influx" else None,  # a repeated record is the same point
        make_unreachable=make_unreachable if scheme != "kafka" else None,  # it forgets the topic
    )
