"""A service's control socket.

JSON questions and orders from this machine alone, and only from who may give them.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import zmq

from loco_stream.connectors.ls1.sockets import endpoint, is_local, open_plug
from loco_stream.errors import ConfigError, SourceError

__all__ = ["Control", "make_token", "order", "read_token"]

_TICK_MS = 100
_FRAME_BYTES = 4096  # an order is short
_OPEN = frozenset({"status"})  # orders that change nothing

Answer = Callable[[], Mapping[str, Any]]


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    do: str
    token: str = ""


class Control:
    """Answers orders from a thread until it is closed.

    An order is one frame of JSON, ``{"do": NAME, "token": TEXT}``; the answer is ``{"ok": true,
    ...}`` or ``{"ok": false, "error": SENTENCE}``. An ``ipc://`` socket is guarded by its file,
    which belongs to the service's user alone. Every user of the machine reaches a ``tcp://`` port:
    there only ``status`` is answered without the token.

    Parameters
    ----------
    address
        ``tcp://127.0.0.1:PORT`` or ``ipc://PATH``.
    orders
        What to do and to answer, by name; called in the control's thread.
    token
        What an order has to bring along; None asks for none over ``ipc://`` and refuses all orders
        but ``status`` over ``tcp://``.

    Raises
    ------
    ConfigError
        The address can be reached from other machines: whoever may send rows must not stop the
        engine.
    SourceError
        The address is in use or makes no sense.

    Examples
    --------
    >>> control = Control("tcp://127.0.0.1:*", {"status": lambda: {"n_samples": 5}})
    >>> order(control.address, "status")
    {'ok': True, 'n_samples': 5}
    >>> control.close()
    """

    def __init__(
        self, address: str, orders: Mapping[str, Answer], token: str | None = None
    ) -> None:
        if not is_local(endpoint(address)):
            raise ConfigError(
                f"control is for this machine alone: use tcp://127.0.0.1:PORT or ipc://PATH, not {address}"
            )
        self._orders = dict(orders)
        self._token = token
        self._plug = open_plug(zmq.REP, address, bind=True, frame_bytes=_FRAME_BYTES)
        path = self._plug.address.removeprefix("ipc://")
        if path != self._plug.address and not path.startswith("@"):
            Path(path).chmod(0o600)
        self._guarded = token is not None or not self._plug.address.startswith("ipc:")
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
            wanted = msgspec.json.decode(b"".join(frames), type=_Order)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return {"ok": False, "error": f"an order is JSON such as {{'do': 'status'}}: {error}"}
        name = wanted.do
        if name not in self._orders:
            return {"ok": False, "error": f"no order {name!r} (allowed: {', '.join(self._orders)})"}
        if self._guarded and name not in _OPEN and not self._knows(wanted.token):
            return {"ok": False, "error": f"the order {name!r} needs the service's control token"}
        return {"ok": True, **self._orders[name]()}

    def _knows(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())


def make_token(path: str | Path) -> str:
    """Return the token in a file of this user alone; a missing file is made, with a new token.

    Raises
    ------
    ConfigError
        The file can be read by others, holds no token, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return read_token(path)
    except OSError as e:
        raise ConfigError(f"cannot write the control token to {path}: {e.strerror or e}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return read_token(path)


def read_token(path: str | Path) -> str:
    """Return the token in a file.

    Raises
    ------
    ConfigError
        The file can be read by others, holds no token, or cannot be read.
    """
    try:
        with Path(path).open() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(
                    f"the control token {path} can be read by others: chmod 600 {path}"
                )
            token = file.readline(1024).strip()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"cannot read the control token {path}: {getattr(e, 'strerror', None) or e}"
        ) from None
    if len(token) < 16:
        raise ConfigError(
            f"the control token {path} must have at least 16 characters, not {len(token)}"
        )
    return token


def order(address: str, name: str, timeout: float = 5.0, token: str = "") -> dict[str, Any]:
    """Give a running service an order and return its answer.

    `token` is needed where the service asks for one.

    Raises
    ------
    SourceError
        Nobody answered in time, or the order was refused.
    """
    plug = open_plug(zmq.REQ, address, bind=False)
    try:
        plug.socket.send(msgspec.json.encode({"do": name, "token": token}))
        if not plug.socket.poll(int(timeout * 1000)):
            raise SourceError(f"nobody answers at {address} within {timeout:g} s")
        answer: dict[str, Any] = msgspec.json.decode(plug.socket.recv(), type=dict)
    finally:
        plug.close()
    if not answer["ok"]:
        raise SourceError(f"{address} refuses: {answer['error']}")
    return answer
