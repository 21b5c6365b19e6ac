"""Months in short: the served engine among hostile peers, and through a day's rows.

LOCO_SOAK=1 runs the full counts.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zmq
import zmq.auth

from loco_stream.connectors import ZMQSender, keygen
from tests.helpers import foreign
from tests.helpers.engine_process import SOAK, at_work, end, inspect, serve
from tests.helpers.hostile import damaged, honest, intrude
from tests.helpers.live_source import CLASSES, EPOCH, FEATURES, NAME, table
from tests.helpers.serving import wait_until

MUTATIONS, STRANGERS, HONEST = (100_000, 1000, 50_000) if SOAK else (10_000, 100, 5000)
A_DAY = 10_000_000 if SOAK else 150_000
BLOCK = 500
LIGHT = ["--task", "classification", "--set", "rule=frozen", "--set", "hidden_sizes=8"]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if SOAK else 600), linux]


def resident_bytes(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def folder_bytes(folder):
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # the engine tidies up meanwhile
            total += path.stat().st_size
    return total


def sender(address, **options):
    return ZMQSender(
        f"tcp://{address}",
        name=NAME,
        features=FEATURES,
        classes=CLASSES,
        reliable=True,
        epoch=EPOCH,
        timeout=120.0,
        linger=600.0,
        **options,
    )


def rave(address, keys, n):
    """Send n damaged messages with a key that is admitted, and stay until they are read.

    A connection that is closed while answers wait in it is reset, and what its other end has not
    read is gone.
    """
    public, secret = zmq.auth.load_certificate(keys / "source.key_secret")
    server, _ = zmq.auth.load_certificate(keys / "engine.key")
    curve = {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": server}
    draw = np.random.default_rng(6)
    messages = honest()
    with zmq.Context() as context:
        client = foreign.Client(context, f"tcp://{address}", **curve)
        for i in range(n):
            client.send(damaged(draw, messages[i % len(messages)]) or [b""])
            if i % 100 == 0:
                client.answers()

        def answered():
            client.send(foreign.hello("raver", 1))
            return any(answer.kind == 6 and answer.source == "raver" for answer in client.answers())

        wait_until(answered)
        client.socket.close()


def knock(address, keys, n):
    """Come with a key that nobody knows, and with none."""
    public, secret = zmq.curve_keypair()
    server, _ = zmq.auth.load_certificate(keys / "engine.key")
    with zmq.Context() as context:
        for i in range(n):
            foreigner = {
                "curve_publickey": public,
                "curve_secretkey": secret,
                "curve_serverkey": server,
            }
            client = foreign.Client(context, f"tcp://{address}", **(foreigner if i % 2 else {}))
            client.socket.sndtimeo = 1000  # one refused before it could send would wait for ever
            with suppress(zmq.Again):
                client.send(foreign.hello("intruder", i))
            assert not client.socket.poll(20)
            client.socket.close()


def test_hostile_peers_of_every_kind_at_once_cost_no_row_and_no_memory(
    tmp_path, processes, address
):
    keys = tmp_path / "keys"
    keygen(keys)
    state = tmp_path / "state"
    report = tmp_path / "report.json"
    here = f"tcp://{address}"
    engine = at_work(
        serve(processes, address, state, "--keys", str(keys), "--report", str(report), *LIGHT)
    )
    X, y = table(HONEST)
    stop = threading.Event()
    crowd = [
        threading.Thread(target=rave, args=(address, keys, MUTATIONS // 10)),
        threading.Thread(target=intrude, args=(here, STRANGERS, stop)),
        threading.Thread(target=knock, args=(address, keys, STRANGERS)),
    ]
    rave(address, keys, MUTATIONS // 10)
    before = resident_bytes(engine)
    # beside another peer that was served within a second most of them would not even be read
    time.sleep(2.0)
    rave(address, keys, MUTATIONS)
    with sender(address, keys=keys) as feed:
        for thread in crowd:
            thread.start()
        sent = 0
        while sent < HONEST or any(thread.is_alive() for thread in crowd):
            a = sent % HONEST
            feed.send(X[a : a + BLOCK], y[a : a + BLOCK])
            feed.flush()
            sent += BLOCK
        grown = resident_bytes(engine) - before
        assert grown < 100e6
        assert engine.poll() is None
    end(engine)
    assert inspect(state)["sources"][NAME] == {str(EPOCH): sent}
    transport = json.loads(report.read_text())["transport"]
    print({**transport, "MB": round(grown / 1e6, 1)})
    assert transport["malformed"] > MUTATIONS / 2
    assert transport["ignored"] > 0
    assert transport["refused"] > 0


def test_a_days_rows_leave_memory_and_disk_flat(tmp_path, processes, address):
    engine = at_work(serve(processes, address, tmp_path, *LIGHT))
    X, y = table(100_000)
    memory = []
    disk = []
    with sender(address) as feed:
        for sent in range(0, A_DAY, BLOCK):
            a = sent % len(X)
            feed.send(X[a : a + BLOCK], y[a : a + BLOCK])
            if sent % (A_DAY // 50) < BLOCK:
                feed.flush()
                memory.append(resident_bytes(engine))
                disk.append(folder_bytes(tmp_path))
        feed.flush()
    end(engine)
    assert inspect(tmp_path)["n_samples"] == A_DAY
    print(
        f"{A_DAY:,} rows: MB {min(memory[5:]) / 1e6:.1f} to {max(memory[5:]) / 1e6:.1f}, "
        f"disk {max(disk) / 1e6:.1f}"
    )
    assert max(memory[-10:]) < max(memory[5:15]) + 5e6
    assert max(disk) < 50e6
