"""The end of an HTTP request after some seconds in all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from socket import SHUT_RDWR
from threading import Event, Timer


@contextmanager
def deadline(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Connect, and end the request in the block after `seconds`; `TimeoutError` is raised then.

    The timeout of a socket is one per read: an answer that comes byte by byte never reaches it.
    """
    is_over = Event()
    sock = connection.sock

    def end() -> None:
        is_over.set()
        with suppress(OSError, AttributeError):  # closed meanwhile; not connected yet
            (sock or connection.sock).shutdown(SHUT_RDWR)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        if sock is None:
            connection.connect()
            sock = connection.sock  # which an answer that closes the connection takes away
        if not is_over.is_set():  # the timer ends nothing that begins after it
            yield
    finally:
        timer.cancel()
        if is_over.is_set():
            raise TimeoutError(f"no complete answer within {seconds:g} s")
