"""Ports for servers that are started later, or again on the same port."""

from __future__ import annotations

import random
import socket


def free_port():
    """Return a port that nobody listens on.

    It is below the ephemeral ports: otherwise another server, or a client that keeps trying to
    connect to it, could get it meanwhile.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def free_address():
    """Return ``HOST:PORT``."""
    return f"127.0.0.1:{free_port()}"
