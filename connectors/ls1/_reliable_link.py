"""The sender's reliable connection, which survives a restart of either side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from loco_stream._arrays import Float32
from loco_stream.connectors.ls1._client_session import Batch, ClientSession
from loco_stream.connectors.ls1._idle_warning import IdleWarning
from loco_stream.connectors.ls1._messages import Hello, SchemaPayload
from loco_stream.connectors.ls1._sockets import OpenSocket
from loco_stream.connectors.ls1._wire import REQUEST_BIT, Kind, Message, pack, rows_of, unpack
from loco_stream.errors import SourceError, SourceTimeoutError

_TICK = 0.1


class ReliableLink:
    """Connects a `ClientSession` to a socket; all work is done in the calling thread.

    Parameters
    ----------
    connection
        The open socket.
    hello
        The sender's hello.
    buffer
        Number of rows, and of predictions that are not taken, kept at most.
    timeout
        Seconds that a wait may take.
    schema
        Returns the present schema, None while no feature is known.
    """

    def __init__(
        self,
        connection: OpenSocket,
        hello: Hello,
        buffer: int,
        timeout: float,
        schema: Callable[[], SchemaPayload | None],
    ) -> None:
        self.session = ClientSession(hello, buffer)
        self.predictions: deque[tuple[int, Float32]] = deque(maxlen=buffer)
        self._connection = connection
        self._timeout = timeout
        self._schema = schema
        self._last_request = REQUEST_BIT
        self._replies: dict[int, Float32] = {}  # to the last request
        self._warning = IdleWarning(connection.address)
        self._monitor = connection.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )

    def post(self, batch: Batch) -> None:
        """Keep a batch, and send what may be sent; wait for room if necessary."""
        session = self.session
        if session.kept == 0:
            self._warning.reset()  # nothing was expected of the engine until now
        if not session.has_room(batch.n_rows):
            self.wait(lambda: session.has_room(batch.n_rows), "acked enough rows")
        session.push(batch)
        self.pump(0)

    def request(self, make: Callable[[int], Batch], timeout: float) -> Float32:
        """Send the request that `make` returns for a number, and return the reply.

        (n_rows, n_classes) or (n_rows, 1). Raises what `wait` raises.
        """
        self._last_request += 1
        seq = self._last_request
        session = self.session
        frames = make(seq).frames(session.hello.source)
        sent_at = -1  # greeting after which the request was sent

        def is_answered() -> bool:
            nonlocal sent_at
            if session.greeted and sent_at != session.n_greetings:  # a reconnect loses the request
                sent_at = session.n_greetings
                self._try_send(frames)
            return seq in self._replies

        self.wait(is_answered, "replied", timeout)
        return self._replies.pop(seq)

    def _timeout_error(self, what: str, seconds: float) -> SourceTimeoutError:
        error = self.session.error
        why = f" ({error})" if error else ""
        return SourceTimeoutError(
            f"no engine at {self._connection.address} {what} within {seconds:g} s{why}"
        )

    def wait(self, done: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        """Send and receive until `done`.

        Raises
        ------
        SourceTimeoutError
            It takes more than `timeout` seconds (None: those of the link).
        SourceError
            The engine refuses the rows, or has lost some.
        """
        limit = self._timeout if timeout is None else timeout
        if self.session.kept == 0:
            self._warning.reset()
        deadline = time.monotonic() + limit
        while True:
            self.pump(0)
            if done():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._timeout_error(what, limit)
            self._warning.check()
            self.pump(min(left, _TICK))

    def pump(self, seconds: float) -> None:
        """Send what may be sent, and read what has arrived; wait up to `seconds` for something."""
        self._check_connection()
        self._send_outgoing()
        if seconds and not self._connection.socket.poll(int(seconds * 1000)):
            return
        while (received := self._receive()) is not None:
            try:
                message = unpack(received)
            except SourceError:
                continue  # not from an engine
            self._warning.reset()
            self._take(message)
        if self.session.kept:
            self._warning.check()

    def _send_outgoing(self) -> None:
        schema = self._schema()
        if schema is None:
            return
        for frames in self.session.outgoing(schema):
            if not self._try_send(frames):
                return

    def _receive(self) -> list[bytes] | None:
        try:
            frames: list[bytes] = self._connection.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return frames

    def _take(self, message: Message) -> None:
        if message.kind is not Kind.PREDICTION:
            self.session.take(message)
        elif message.seq & REQUEST_BIT:
            if message.seq == self._last_request:  # no one waits for an earlier one any more
                self._replies[message.seq] = rows_of(message)
        else:
            self.predictions.append((message.seq, rows_of(message)))

    def _try_send(self, frames: list[bytes]) -> bool:
        try:
            self._connection.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:  # not connected: it is sent again after the next handshake
            self.session.reconnect()
            return False
        return True

    def _check_connection(self) -> None:
        """Start the session again on a new connection, of which the engine knows nothing."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.session.reconnect()

    def end(self, last: int, linger: float) -> None:
        """Wait up to `linger` seconds for all acks, then send the end of stream."""
        session = self.session
        self.wait(lambda: session.kept == 0, "acked all rows", linger)
        self._try_send(pack(session.hello.source, Kind.END, seq=last))

    def close(self) -> None:
        """Close the monitor; left open it would block the end of the context."""
        self._connection.socket.disable_monitor()
        self._monitor.close(linger=0)
