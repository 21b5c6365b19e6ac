"""Ports for servers that are started later, or again at the same place."""

from __future__ import annotations

import random
import socket


def free_port():
    """Return a port nobody listens at.

    It lies below those that the system hands out: meanwhile no other server gets it by asking for
    any, and no client that keeps trying to connect to it gets it as its own end, and thus itself as
    its server.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def free_address():
    """Return ``HOST:PORT``."""
    return f"127.0.0.1:{free_port()}"
