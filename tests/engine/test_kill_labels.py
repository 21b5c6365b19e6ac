"""SIGKILL of the engine while rows and labels come in messages of their own.

LOCO_SOAK=1 runs the full count: 20 kills for each broker.
"""

from __future__ import annotations

import json
import random
import threading
import time

import pytest

from loco_stream.cli._parameters import build_model
from loco_stream.engine.state import export_model, state_sha256
from tests.engine.test_kill_brokers import Engine
from tests.helpers.engine_process import SOAK, end, inspect
from tests.helpers.servers import NATS, Redis, needs

N_ROWS, KILLS = (10_000, 20) if SOAK else (600, 3)
LATE = 40  # rows between a row and its label
ROWS_PER_SECOND = 150
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if SOAK else 600)]


def row(i):
    return {"id": i, "a": i % 7, "b": i * i % 11}


def label(i):
    return {"id": i, "label": "odd" if (i % 7 + i * i % 11) % 2 else "even"}


def uninterrupted():
    """The state of a model that met the rows and labels in this order, in one process."""
    model = build_model("classification", 0, {})
    tickets = {}
    for i in range(N_ROWS + LATE):
        if i < N_ROWS:
            tickets[i] = model.observe_one({name: row(i)[name] for name in ("a", "b")}, float(i))
        if i >= LATE:
            model.learn_one(tickets.pop(i - LATE), label(i - LATE)["label"])
    return state_sha256(*export_model(model))


def killed(engine, send_row, send_label):
    """Kill the engine while rows and labels come; every label is then learned, once."""
    expected = uninterrupted()

    def publish():
        for i in range(N_ROWS + LATE):
            if i < N_ROWS:
                send_row({**row(i), "t": i})
            if i >= LATE:
                send_label(label(i - LATE))
            time.sleep(1 / ROWS_PER_SECOND)

    sender = threading.Thread(target=publish)
    sender.start()
    chance = random.Random(11)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.2, 1.5))
        engine.kill()
        engine.start()
    sender.join()
    engine.wait_for(N_ROWS)
    end(engine.process)
    found = inspect(engine.folder)
    assert found["n_samples"] == N_ROWS
    assert found["state_sha256"] == expected


@needs("redis-server", "redis-server")
def test_kills_between_rows_and_labels_of_one_redis_stream(tmp_path, processes):
    import redis

    server = Redis(tmp_path)
    with redis.Redis(port=server.port) as client:
        url = f"redis://127.0.0.1:{server.port}/rows?id=id&group=engines&task=classification"
        engine = Engine(processes, url, tmp_path / "s")

        def send(message):
            client.xadd("rows", {"data": json.dumps(message)})

        killed(engine, send, send)
    server.stop()


def test_kills_between_rows_and_labels_of_a_nats_stream(tmp_path, processes):
    server = NATS(tmp_path)
    server.add_stream("plant", "plant.>")
    url = f"nats://127.0.0.1:{server.port}/plant.>?id=id&task=classification"
    engine = Engine(processes, url, tmp_path / "s")

    def send(message):
        server.publish("plant.rows", json.dumps(message).encode())

    killed(engine, send, send)
    server.stop()
