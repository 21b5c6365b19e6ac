"""A service's control socket: JSON questions and orders from this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import zmq

from loco_stream.connectors.ls1.sockets import endpoint, is_local, open_plug
from loco_stream.errors import ConfigError, SourceError

__all__ = ["Control", "order"]

_TICK_MS = 100
_FRAME_BYTES = 4096  # an order is short

Answer = Callable[[], Mapping[str, Any]]


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    do: str


class Control:
    """Answers orders from a thread until it is closed.

    An order is one frame of JSON, ``{"do": NAME}``; the answer is ``{"ok": true, ...}`` or
    ``{"ok": false, "error": SENTENCE}``.

    Parameters
    ----------
    address
        ``tcp://127.0.0.1:PORT`` or ``ipc://PATH``.
    orders
        What to do and to answer, by name; called in the control's thread.

    Raises
    ------
    ConfigError
        The address can be reached from other machines: whoever may send rows must not stop the engine.
    SourceError
        The address is in use or makes no sense.

    Examples
    --------
    >>> control = Control("tcp://127.0.0.1:*", {"status": lambda: {"n_samples": 5}})
    >>> order(control.address, "status")
    {'ok': True, 'n_samples': 5}
    >>> control.close()
    """

    def __init__(self, address: str, orders: Mapping[str, Answer]) -> None:
        if not is_local(endpoint(address)):
            raise ConfigError(
                f"control is for this machine alone: use tcp://127.0.0.1:PORT or ipc://PATH, not {address}"
            )
        self._orders = dict(orders)
        self._plug = open_plug(zmq.REP, address, bind=True, frame_bytes=_FRAME_BYTES)
        self.address = self._plug.address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        socket = self._plug.socket
        while not self._over.is_set():
            if socket.poll(_TICK_MS):
                socket.send(msgspec.json.encode(self._answer(socket.recv_multipart())))
        self._plug.close(linger=1.0)

    def _answer(self, frames: list[bytes]) -> dict[str, Any]:
        try:
            name = msgspec.json.decode(b"".join(frames), type=_Order).do
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return {"ok": False, "error": f"an order is JSON such as {{'do': 'status'}}: {error}"}
        if name not in self._orders:
            return {"ok": False, "error": f"no order {name!r} (allowed: {', '.join(self._orders)})"}
        return {"ok": True, **self._orders[name]()}


def order(address: str, name: str, timeout: float = 5.0) -> dict[str, Any]:
    """Give a running service an order and return its answer.

    Raises
    ------
    SourceError
        Nobody answered in time, or the order was refused.
    """
    plug = open_plug(zmq.REQ, address, bind=False)
    try:
        plug.socket.send(msgspec.json.encode({"do": name}))
        if not plug.socket.poll(int(timeout * 1000)):
            raise SourceError(f"nobody answers at {address} within {timeout:g} s")
        answer: dict[str, Any] = msgspec.json.decode(plug.socket.recv(), type=dict)
    finally:
        plug.close()
    if not answer["ok"]:
        raise SourceError(f"{address} refuses: {answer['error']}")
    return answer
