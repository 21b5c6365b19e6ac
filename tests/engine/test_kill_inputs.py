"""SIGKILL of the engine on NATS, InfluxDB's line protocol and OPC UA.

Sources that can deliver a row again end in the state of an uninterrupted run. Pipes and OPC UA
cannot: there, no learned row is lost and none is learned twice. LOCO_SOAK=1 runs 20 kills each.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest

from tests.connectors.sources.test_opcua_source import Plant
from tests.engine.test_kill_brokers import (
    BLOCK,
    KILLS,
    N_ROWS,
    ROWS_PER_SECOND,
    Engine,
    check,
    killed,
    payloads,
    uninterrupted,
)
from tests.helpers.children import end_with_parent
from tests.helpers.engine_process import LOCO, SOAK, at_work, end, inspect
from tests.helpers.live_source import FEATURES, table
from tests.helpers.ports import free_port
from tests.helpers.servers import NATS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if SOAK else 600)]
SECONDS = 120.0  # for an engine to answer
T0 = 1_700_000_000_000_000_000  # ns


def pause(chance):
    time.sleep(chance.uniform(0.1, 1.5))


class Stream:
    """Publishes messages one after another, each acknowledged by the server, on one connection."""

    def __init__(self, server, subject):
        import nats

        self._subject = subject
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = self._do(nats.connect(f"nats://127.0.0.1:{server.port}"))
        self._stream = self._client.jetstream()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def send(self, payload):
        self._do(self._stream.publish(self._subject, payload))

    def close(self):
        self._do(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_kills_of_the_engine_on_nats(tmp_path, processes):
    server = NATS(tmp_path / "nats")
    server.add_stream("rows", "rows")
    stream = Stream(server, "rows")
    stream.send(next(payloads(1)))
    url = f"nats://127.0.0.1:{server.port}/rows?task=classification"
    killed(Engine(processes, url, tmp_path / "s"), stream.send)
    stream.close()
    server.stop()


# InfluxDB's line protocol


def line(i, row, label):
    """Return a row as a line; a missing value is a missing field."""
    names = zip(FEATURES, row.tolist(), strict=True)
    fields = [f"{name}={value!r}" for name, value in names if not math.isnan(value)]
    return f'press {",".join(fields)},y="{label}" {T0 + i * 1_000_000}'


def write(port, lines):
    """Post lines until they are taken, as a client of InfluxDB does."""
    url = f"http://127.0.0.1:{port}/api/v2/write"
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            body = "\n".join(lines).encode()
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
                assert answer.status == 204
                return
        except urllib.error.HTTPError as error:
            answer = f"{error.code} {error.read()}"
        except OSError as error:  # the engine is dead, or died before it answered
            answer = str(error)
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)


class HttpEngine(Engine):
    """A service without a source that takes rows by HTTP."""

    def start(self):
        if not hasattr(self, "port"):
            self.port = free_port()
        http = f"{self.port}?target=y&drop=measurement"
        options = ["--checkpoint-every", "1000", "--task", "classification"]
        self.process = at_work(
            start_serve(
                self.processes, self.folder, "--http", http, *options, *self._control_options
            )
        )

    @property
    def _control_options(self):
        return ["--control", f"tcp://{self.control}"]


def start_serve(processes, folder, *options, stdin=subprocess.DEVNULL):
    command = [*LOCO, "serve", "--checkpoint", str(folder), *options]
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent,
    )
    processes.append(process)
    return process


def test_kills_of_the_engine_on_influx_writes(tmp_path, processes):
    # the first row gives the features their slots, and has to have all of them
    n = next(n for n in range(N_ROWS, 2 * N_ROWS) if not np.isnan(table(n)[0][0]).any())
    X, y = table(n)
    expected = uninterrupted(n)
    engine = HttpEngine(processes, "", tmp_path / "s")

    def publish():
        for at in range(0, n, BLOCK):
            part = range(at, min(at + BLOCK, n))
            write(engine.port, [line(i, X[i], y[i]) for i in part])
            time.sleep(BLOCK / ROWS_PER_SECOND)

    sender = threading.Thread(target=publish)
    sender.start()
    chance = random.Random(7)
    for _ in range(KILLS):
        pause(chance)
        engine.kill()
        engine.start()
    sender.join()
    check(engine, n, expected)


class PipeEngine(Engine):
    """A service that reads its standard input."""

    def start(self):
        options = ["--source", self.url, "--control", f"tcp://{self.control}"]
        self.process = start_serve(self.processes, self.folder, *options, stdin=subprocess.PIPE)


def status(engine):
    """Return the status of an engine that is at work."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        asked = [*LOCO, "control", f"tcp://{engine.control}", "status"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0 and "n_rows" in (found := json.loads(done.stdout)):
            return found
        time.sleep(0.1)
    raise AssertionError("the engine does not answer")


def test_kills_of_the_engine_on_a_pipe_of_lines(tmp_path, processes):
    n = 2000 * (KILLS + 1)
    X, y = table(n)
    engine = PipeEngine(processes, "influx:-?target=y&drop=measurement&id=n", tmp_path / "s")
    chance = random.Random(7)
    n_sent = 0
    n_learned = 0

    def feed(until):
        nonlocal n_sent
        while n_sent < until:
            part = range(n_sent, min(n_sent + BLOCK, until))
            text = "\n".join(line(i, X[i], y[i]).replace("press ", f"press n={i}i,") for i in part)
            engine.process.stdin.write(text + "\n")
            engine.process.stdin.flush()
            n_sent = part[-1] + 1

    for life in range(KILLS):
        before = n_sent
        feed(before + 200)
        at_work(engine.process)
        engine.wait_for(n_learned)  # what was learned in an earlier life
        feed(before + 2000)
        time.sleep(chance.uniform(0.0, 0.3))
        n_learned = status(engine)["n_samples"]
        engine.kill()
        with suppress(BrokenPipeError):
            engine.process.stdin.close()
        assert n_learned <= 2000 * (life + 1)
        engine.start()
    feed(n)
    at_work(engine.process)
    engine.wait_for(n_learned + 1)
    found = wait_until_still(engine)
    assert found["n_rows_repeated"] == 0
    assert n_learned + 2000 <= found["n_samples"] <= n
    end(engine.process)  # and closes the pipe
    assert inspect(engine.folder)["n_samples"] == found["n_samples"]
    print(
        f"{KILLS} kills: {n - found['n_samples']} of {n} rows were lost in the pipe, none doubled"
    )


def wait_until_still(engine):
    """Return the status once no row has come for two seconds."""
    found = status(engine)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        time.sleep(2.0)
        before = found
        found = status(engine)
        if found["n_samples"] == before["n_samples"]:
            return found
    raise AssertionError("rows still come")


# OPC UA


@pytest.mark.filterwarnings("ignore::DeprecationWarning:asyncua")
def test_kills_of_the_engine_on_opcua(tmp_path, processes):
    plant = Plant()
    stopped = threading.Event()
    n_changes = 0

    def change():
        nonlocal n_changes
        while not stopped.wait(0.1):
            n_changes += 1
            plant.set(speed=float(n_changes))

    changer = threading.Thread(target=change)
    changer.start()
    query = f"node={plant.folder}&interval=50ms&target=state&id=speed&task=classification"
    engine = Engine(processes, f"opcua://127.0.0.1:{plant.port}/plant?{query}", tmp_path / "s")
    chance = random.Random(7)
    n_learned = 0
    for _ in range(KILLS):
        pause(chance)
        engine.wait_for(n_learned + 1)
        found = status(engine)
        assert found["n_rows_repeated"] == 0
        n_learned = found["n_samples"]
        engine.kill()
        engine.start()
        engine.wait_for(n_learned)
    engine.wait_for(n_learned + 5)
    stopped.set()
    changer.join()
    found = wait_until_still(engine)
    assert found["n_rows_repeated"] == 0
    assert found["n_samples"] <= n_changes + 1
    end(engine.process)
    assert inspect(engine.folder)["n_samples"] == found["n_samples"]
    plant.close()
    n = found["n_samples"]
    print(f"{KILLS} kills: {n} of {n_changes} changes were learned, none twice")
