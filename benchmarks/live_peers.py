"""The peer processes of `python -m benchmarks live`: `python -m benchmarks.live_peers JSON`."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors import ZMQSender
from loco_stream.errors import SourceError

__all__ = ["CLASSES", "FEATURES", "main", "peer_answer", "start_peer", "table"]

FEATURES = tuple(f"f{j}" for j in range(64))
CLASSES = tuple("0123456789")


def table(n: int, seed: int = 0) -> tuple[NDArray[np.float32], list[str]]:
    """Return n rows of 64 features around ten centres, and their classes."""
    draw = random.Random(seed)
    centres = np.array([[draw.gauss(0, 1) for _ in FEATURES] for _ in CLASSES], dtype=np.float32)
    y = [draw.randrange(len(CLASSES)) for _ in range(n)]
    noise = np.array([draw.gauss(0, 1) for _ in range(n * len(FEATURES))], dtype=np.float32)
    return centres[y] + noise.reshape(n, -1), [CLASSES[label] for label in y]


def start_peer(**order: Any) -> subprocess.Popen[str]:
    """Start a peer process that calls `main` with `order`."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(order)], stdout=subprocess.PIPE, text=True
    )


def peer_answer(peer: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a peer process to end and return its result."""
    out, _ = peer.communicate()
    answer: dict[str, Any] = json.loads(out)
    return answer


def feed(
    address: str, n: int, block: int, reliable: bool, keys: str | None = None
) -> dict[str, Any]:
    """Send n rows and return the rate; a reliable mode's includes all acknowledgements."""
    X, y = table(n)
    with ZMQSender(
        address,
        name="feed",
        features=FEATURES,
        classes=CLASSES,
        reliable=reliable,
        linger=600,
        keys=keys,
    ) as sender:
        if reliable:
            sender.connect()
        began = time.perf_counter()
        for a in range(0, n, block):
            sender.send(X[a : a + block], y[a : a + block])
        sender.flush()
        return {"rows_per_second": n / (time.perf_counter() - began)}


def time_rows(address: str, n: int, warm: int, log: bool) -> dict[str, Any]:
    """Learn `warm` rows, then time single rows from sending to prediction.

    The first half is sent one by one, the second at half that rate. With `log` rows are labelled
    and learned too.
    """
    X, y = table(warm + n)
    with ZMQSender(
        address,
        name="timer",
        features=FEATURES,
        classes=CLASSES,
        reliable=True,
        predict=log,
        linger=600,
    ) as sender:
        for a in range(0, warm, 50):
            sender.send(X[a : a + 50], y[a : a + 50])
        sender.flush()
        sender.take_predictions()

        def once(i: int) -> float:
            began = time.perf_counter()
            if log:
                sender.send(X[warm + i], y[warm + i])
                while not sender.take_predictions(wait=10.0):
                    pass
            else:
                sender.predict_proba(X[warm + i])
            return time.perf_counter() - began

        full = np.array([once(i) for i in range(n // 2)])
        pace = 2 * float(full.mean())
        half = []
        due = time.perf_counter()
        for i in range(n // 2, n):
            due = max(due + pace, time.perf_counter())
            while (left := due - time.perf_counter()) > 0:
                time.sleep(min(left, 0.001))
            half.append(once(i))
    return {
        "full": _quantiles(full),
        "half": _quantiles(np.array(half)),
        "requests_per_second": 1 / float(full.mean()),
    }


def _quantiles(seconds: NDArray[np.float64]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e6
    return {"p50": float(p50), "p99": float(p99)}


def _greeting(mechanism: bytes) -> bytes:
    """Return the 64 bytes of a ZMTP 3 greeting."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def _open(address: str) -> socket.socket:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=1)


def _shake_hands(peer: socket.socket) -> None:
    """Complete the handshake as an anonymous DEALER."""
    ready = b"\x05READY" + b"\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
    peer.sendall(_greeting(b"NULL"))
    received = 0
    while received < 64 and (part := peer.recv(4096)):
        received += len(part)
    peer.sendall(b"\x04" + bytes([len(ready)]) + ready)


def flood(address: str, connections: int, seconds: float) -> dict[str, Any]:
    """Send well-framed garbage over connections as fast as possible."""
    message = b"\x01\x01s" + b"\x01\x20" + bytes(32) + b"\x00\xff" + bytes(255)
    opened = []
    for _ in range(connections):
        peer = _open(address)
        _shake_hands(peer)
        peer.setblocking(False)
        opened.append(peer)
    sent = 0
    end = time.monotonic() + seconds
    garbage = message * 200
    rest = dict.fromkeys(opened, b"")  # unsent parts of messages
    while time.monotonic() < end:
        moved = 0
        for peer in opened:
            with suppress(OSError):
                data = rest[peer] or garbage
                done = peer.send(data)
                rest[peer] = data[done:]
                moved += done
            with suppress(OSError):
                peer.recv(65536)
        sent += moved
        if not moved:
            time.sleep(0.001)
    return {"megabytes": sent / 1e6}


def strangers(address: str, connections: int, foreign_keys: str) -> dict[str, Any]:
    """Connect in turn with a key that is not admitted, no key, a huge frame and noise."""
    held: list[socket.socket] = []
    for i in range(connections):
        if i % 50 == 0:
            sender = ZMQSender(
                address,
                reliable=True,
                keys=foreign_keys,
                features=["a"],
                classes=["0"],
                timeout=0.5,
                linger=0,
            )
            with suppress(SourceError):
                sender.connect()
            sender.close(end=False)
            continue
        with suppress(OSError):
            peer = _open(address)
            held.append(peer)
            if i % 3 == 0:
                peer.sendall(_greeting(b"NULL") + b"\x04\x06\x05READY")
            elif i % 3 == 1:
                peer.sendall(_greeting(b"CURVE") + b"\x06\x3f" + b"\xff" * 7 + bytes(4096))
            else:
                peer.sendall(bytes(range(256)) * 16)
        if len(held) > 200:
            held.pop(0).close()
    for peer in held:
        peer.close()
    return {"connections": connections}


def post(url: str, n: int, warm: int) -> dict[str, Any]:
    """Time HTTP predictions of one row over one connection, in milliseconds."""
    address = urllib.parse.urlsplit(url)
    body = json.dumps({"x": {"a": 0.5, "b": -0.25, "c": 1.0, "d": 0.0}})
    took = []
    with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as connection:
        for _ in range(warm + n):
            began = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
            took.append(1000 * (time.perf_counter() - began))
            assert answer.startswith(b'{"prediction"'), answer
    return {"ms": sorted(took[warm:])}


def read(url: str) -> dict[str, Any]:
    """Read a live page's events until its server ends; print a line at the first one."""
    frames = 0
    with suppress(OSError), urllib.request.urlopen(f"{url}events") as events:
        for line in events:
            if line.startswith(b"event: state"):
                print("open", flush=True)
            frames += line.startswith(b"event: frame")
    return {"frames": frames}


def main(order: str) -> None:
    """Call the function `do` of a JSON object with its other entries; print the result."""
    arguments = json.loads(order)
    actions: dict[str, Callable[..., dict[str, Any]]]
    actions = {
        "feed": feed,
        "time_rows": time_rows,
        "flood": flood,
        "strangers": strangers,
        "read": read,
        "post": post,
    }
    action = actions[arguments.pop("do")]
    print(json.dumps(action(**arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
