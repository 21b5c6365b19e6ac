"""A webhook that answers byte by byte holds a request no longer than the timeout."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from loco_stream.connectors import HTTPSink
from loco_stream.connectors._base.deadline import deadline


@pytest.fixture(params=[b"", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
def dripping(request):
    """A server that answers one byte per tenth of a second, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, suppress(OSError):
            peer.sendall(request.param)
            while not over.wait(0.1):
                peer.sendall(b"H")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    over.set()
    listener.close()
    thread.join()


def test_the_timeout_is_one_of_the_whole_request(dripping):
    sink = HTTPSink(f"http://127.0.0.1:{dripping}/hook", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no complete answer within 0\.5 s"):
        sink.send([{"kind": "status"}])
    assert time.monotonic() - began < 10.0
    sink.disconnect()


def test_a_connection_that_took_too_long_is_not_used():
    class Slow:
        sock = None

        def connect(self):
            time.sleep(0.5)
            self.sock = socket.socket()

    connection = Slow()
    used = []
    with pytest.raises(TimeoutError), deadline(connection, 0.05):
        used.append(connection)
    connection.sock.close()
    assert not used
