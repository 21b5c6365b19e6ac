"""Attacks by hostile peers, to be run as processes.

Usage: python -m tests.helpers.attacks ATTACK ADDRESS SECONDS
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time

import numpy as np
import zmq

from tests.helpers import foreign

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def raw(address, kind=b"DEALER"):
    """Return a TCP connection after the handshake of ZMTP 3.0."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    peer = socket.create_connection((host, int(port)), timeout=5)
    body = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    peer.sendall(GREETING + bytes([4, len(body)]) + body)
    while len(peer.recv(4096)) == 4096:
        pass
    return peer


def greeted(context, address, name, features, classes):
    client = foreign.Client(context, address)
    client.socket.sndtimeo = 1000
    client.send(foreign.hello(name, 1), foreign.schema(name, features, classes))
    return client


def endless_message(address, until):
    """Send a message without end, again whenever the connection is closed."""
    frame = b"\x03" + struct.pack(">Q", 1 << 20) + bytes(1 << 20)
    while time.monotonic() < until:
        with contextlib.suppress(OSError), raw(address) as peer:
            while time.monotonic() < until:
                peer.sendall(frame)
        time.sleep(0.05)


def new_names(address, until):
    """Bring thousands of features and classes, each time under another source name."""
    with zmq.Context() as context:
        for i in range(1 << 30):
            if time.monotonic() > until:
                return
            features = [f"x{i}-{j}" for j in range(4000)]
            classes = [f"c{i}-{j}" for j in range(1000)]
            client = greeted(context, address, f"names-{i}", features, classes)
            with contextlib.suppress(zmq.Again):
                client.send(foreign.rows(f"names-{i}", 1, np.ones((1, 4000)), [i % 1000]))
            client.socket.poll(500)
            client.socket.close()


def one_name_per_row(address, until):
    """Bring a new feature with each row."""
    with zmq.Context() as context:
        features = []
        client = greeted(context, address, "grow", ["g"], ["a"])
        while time.monotonic() < until and len(features) < 4000:
            features.append(f"g{len(features)}")
            with contextlib.suppress(zmq.Again):
                client.send(foreign.schema("grow", features, ["a"], schema_id=len(features)))
                client.send(foreign.rows("grow", len(features), np.ones((1, len(features))), [0]))
            client.answers()
        client.socket.close()


def unread_requests(address, until):
    """Request predictions for the largest tables, and never read a reply."""
    table = np.zeros((65_536, 8), np.float32)
    with zmq.Context() as context:
        client = greeted(context, address, "asks", [f"f{i}" for i in range(8)], ["a", "b", "c"])
        client.socket.rcvhwm = 1
        seq = foreign.REQUEST
        while time.monotonic() < until:
            seq += 1
            with contextlib.suppress(zmq.Again):
                client.send(foreign.rows("asks", seq, table, kind=10))
        client.socket.close()


def bare_connections(address, until):
    """Open connections and send nothing."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    peers = []
    while time.monotonic() < until:
        while len(peers) < 400:
            with contextlib.suppress(OSError):
                peers.append(socket.create_connection((host, int(port)), timeout=0.2))
                continue
            break
        time.sleep(1.0)
        for peer in peers:
            peer.close()
        peers = []


def many_names(address, until, rows=False):
    """Send hellos under new names, each with a row if `rows`."""
    with zmq.Context() as context:
        client = foreign.Client(context, address)
        client.socket.sndtimeo = 200
        i = 0
        while time.monotonic() < until:
            i += 1
            name = f"n{i}"
            with contextlib.suppress(zmq.Again):
                client.send(foreign.hello(name, 1), foreign.schema(name, ["f0"], ["a"]))
                if rows:
                    client.send(foreign.rows(name, 1, [[1.0]], [0]))
            client.answers()
        client.socket.close()


def many_sources(address, until):
    """Send one row under each of many names."""
    many_names(address, until, rows=True)


def large_messages(address, until):
    """Send garbage messages of the largest size, as fast as the socket takes them."""
    message = [b"large", bytes(32), bytes(15 << 20)]
    with zmq.Context() as context:
        client = foreign.Client(context, address)
        client.socket.sndtimeo = 200
        while time.monotonic() < until:
            with contextlib.suppress(zmq.Again):
                client.send(message)
            client.answers()
        client.socket.close()


ATTACKS = {
    attack.__name__: attack
    for attack in (
        endless_message,
        new_names,
        one_name_per_row,
        unread_requests,
        bare_connections,
        many_names,
        many_sources,
        large_messages,
    )
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](sys.argv[2], time.monotonic() + float(sys.argv[3]))
