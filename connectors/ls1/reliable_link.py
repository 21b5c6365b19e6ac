"""The sender's reliable connection.

What is not acked is kept, and sent again after either side was restarted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from loco_stream.connectors.ls1.client_session import Batch, ClientSession
from loco_stream.connectors.ls1.messages import Hello, SchemaPayload
from loco_stream.connectors.ls1.patience import Patience
from loco_stream.connectors.ls1.sockets import Plug
from loco_stream.connectors.ls1.wire import REQUEST_BIT, Kind, Message, pack, rows_of, unpack
from loco_stream.errors import SourceError

__all__ = ["ReliableLink"]


class ReliableLink:
    """Moves a `ClientSession` along a socket; all is done by the thread that calls.

    Parameters
    ----------
    plug
        The open socket.
    hello
        Who this is.
    buffer
        Rows, and predictions not taken, kept at most.
    timeout
        Seconds that a wait may take.
    schema
        Returns the schema of this moment, None while no feature is known.
    """

    def __init__(
        self,
        plug: Plug,
        hello: Hello,
        buffer: int,
        timeout: float,
        schema: Callable[[], SchemaPayload | None],
    ) -> None:
        self._plug = plug
        self._timeout = timeout
        self._schema = schema
        self.session = ClientSession(hello, buffer)
        self.predictions: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=buffer)
        self._answers: dict[int, NDArray[np.float32]] = {}
        self._requests = REQUEST_BIT
        self._patience = Patience(plug.address)
        self._monitor = plug.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )

    def post(self, batch: Batch) -> None:
        """Keep a batch and send what may be sent; waits for room."""
        session = self.session
        if session.kept == 0:
            self._patience.renew()  # nobody has waited until now
        if not session.room(batch.n_rows):
            self.wait(lambda: session.room(batch.n_rows), "made room by an ack")
        session.push(batch)
        self.pump(0)

    def ask(self, request: Callable[[int], Batch]) -> NDArray[np.float32]:
        """Return the engine's answer to the request of this number, (n_rows, n_classes) or (n_rows, 1)."""
        self._requests += 1
        seq = self._requests
        session = self.session
        asked = -1
        frames = request(seq).frames(session.hello.source)

        def answered() -> bool:
            nonlocal asked
            if (
                session.greeted and asked != session.greetings
            ):  # a reconnect loses the request: ask again
                asked = session.greetings
                self._try_send(frames)
            return seq in self._answers

        self.wait(answered, "answered")
        return self._answers.pop(seq)

    def wait(self, done: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        """Work until `done`.

        Raises
        ------
        SourceError
            It is not within `timeout` seconds (None: that of the link).
        """
        limit = self._timeout if timeout is None else timeout
        if self.session.kept == 0:
            self._patience.renew()
        deadline = time.monotonic() + limit
        while True:
            self.pump(0)
            if done():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                error = self.session.error
                why = f" ({error})" if error else ""
                raise SourceError(
                    f"no engine at {self._plug.address} {what} within {limit:g} s{why}"
                )
            self._patience.check()
            self.pump(min(left, 0.1))

    def pump(self, seconds: float) -> None:
        """Send what may be sent and read what has come.

        Waits at most so long for something to come.
        """
        self._watch()
        schema = self._schema()
        if schema is not None:
            for frames in self.session.outgoing(schema):
                if not self._try_send(frames):
                    break
        if seconds and not self._plug.socket.poll(int(seconds * 1000)):
            return
        while (received := self._received()) is not None:
            try:
                message = unpack(received)
            except SourceError:
                continue  # not LS1: not from an engine
            self._patience.renew()
            self._take(message)
        if self.session.kept:
            self._patience.check()

    def _received(self) -> list[bytes] | None:
        try:
            frames: list[bytes] = self._plug.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return frames

    def _take(self, message: Message) -> None:
        if message.kind is not Kind.PREDICTION:
            self.session.take(message)
        elif message.seq & REQUEST_BIT:
            self._answers[message.seq] = rows_of(message)
        else:
            self.predictions.append((message.seq, rows_of(message)))

    def _try_send(self, frames: list[bytes]) -> bool:
        try:
            self._plug.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:  # not connected now: the next handshake says hello and sends it again
            self.session.reconnect()
            return False
        return True

    def _watch(self) -> None:
        """Notice a new connection: the engine knows nothing of it yet."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.session.reconnect()

    def end(self, last: int, linger: float) -> None:
        """Wait at most `linger` seconds for all acks, then say end of stream."""
        session = self.session
        self.wait(lambda: session.kept == 0, "acked all rows", linger)
        self._try_send(pack(session.hello.source, Kind.END, seq=last))

    def close(self) -> None:
        """Leave the socket alone; a monitor left open would hang the context's end."""
        self._plug.socket.disable_monitor()
        self._monitor.close(linger=0)
