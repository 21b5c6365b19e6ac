"""Control socket of a service: JSON commands from this machine."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import zmq

from loco_stream._decoding import fault, values_in
from loco_stream._numbers import shown
from loco_stream._text import reason_of
from loco_stream.connectors._base.secrets import read_private
from loco_stream.connectors.ls1._sockets import endpoint, is_local, open_socket
from loco_stream.errors import ConfigError, LocoStreamError, SourceError

_log = logging.getLogger("loco_stream.connectors.control")

_TICK_MS = 100
_FRAME_BYTES = 1 << 16
# commands that change nothing
_WITHOUT_TOKEN = frozenset({"status", "worst", "changed", "rules", "rule"})
_MIN_TOKEN = 16  # characters
_CONNECT_SECONDS = 5.0  # in which a service that was just started opens its address

Handler = Callable[..., Mapping[str, Any]]


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    do: str
    token: str = ""
    arguments: dict[str, Any] = {}  # msgspec copies an empty default


class Control:
    """Answers commands in a thread until it is closed.

    A command is one frame of JSON, ``{"do": NAME, "token": TEXT, "arguments": {NAME: VALUE}}``; all
    but the name may be left out. The answer is ``{"ok": true,
    ...}`` or ``{"ok": false, "error": SENTENCE}``. An ``ipc://`` socket is protected by the mode of
    its file. Every user of the machine can reach a ``tcp://`` port: there, only commands that read
    something are answered without the token.

    Parameters
    ----------
    address
        ``tcp://127.0.0.1:PORT`` or ``ipc://PATH``.
    handlers
        Functions that carry out the commands, by name; called in the thread with the command's
        arguments. A `LocoStreamError` becomes the error of the answer; a `TypeError` refuses the
        arguments.
    token
        Token that a command must have. None requires none over ``ipc://``, and refuses all commands
        but ``status`` over ``tcp://``.

    Raises
    ------
    ConfigError
        The address is invalid, or other machines could reach it.
    SourceError
        The address is in use.

    Examples
    --------
    >>> control = Control("tcp://127.0.0.1:*", {"status": lambda: {"n_samples": 5}})
    >>> send_command(control.address, "status")
    {'ok': True, 'n_samples': 5}
    >>> control.close()
    """

    def __init__(
        self, address: str, handlers: Mapping[str, Handler], token: str | None = None
    ) -> None:
        check_control(address)
        self._handlers = dict(handlers)
        self._token = token
        self._socket = open_socket(zmq.REP, address, bind=True, frame_bytes=_FRAME_BYTES)
        self.address = self._socket.address
        _keep_private(self.address)
        self._needs_token = token is not None or not self.address.startswith("ipc://")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        socket = self._socket.socket
        while not self._stop.is_set():
            if socket.poll(_TICK_MS):
                socket.send(msgspec.json.encode(self._answer(socket.recv_multipart())))
        self._socket.close(linger=1.0)

    def _answer(self, frames: list[bytes]) -> dict[str, Any]:
        body = b"".join(frames)
        try:
            given = msgspec.json.decode(body, type=_Command)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = fault(error, values_in(body), body=body)
            return _error(f'a command must be JSON such as {{"do": "status"}}: {reason}')
        name = given.do
        if name not in self._handlers:
            return _error(f"there is no command {name!r} (commands: {', '.join(self._handlers)})")
        if self._needs_token and name not in _WITHOUT_TOKEN and not self._is_token(given.token):
            return _error(f"the command {name!r} needs the service's control token", "token")
        try:
            return {"ok": True, **self._handlers[name](**given.arguments)}
        except LocoStreamError as error:
            return _error(str(error), error.option)
        except TypeError:
            _log.debug("command %r", name, exc_info=True)
            return _error(f"the command {name!r} cannot take {shown(given.arguments)}")

    def _is_token(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())


def _error(sentence: str, option: str = "") -> dict[str, Any]:
    return {"ok": False, "error": sentence, "option": option}


def check_control(address: str) -> None:
    """Check the address of a control socket without opening it.

    Raises
    ------
    ConfigError
        It has another form, its path is too long, or other machines could reach it.

    Examples
    --------
    >>> check_control("/run/loco")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: `control` must be tcp://127.0.0.1:PORT or ipc://PATH, got ...
    """
    try:
        fits = is_local(endpoint(address)) and not address.startswith("inproc:")
    except SourceError:
        fits = False
    if not fits:
        raise ConfigError(f"`control` must be tcp://127.0.0.1:PORT or ipc://PATH, got {address!r}")
    path = address.removeprefix("ipc://")
    if path != address and len(os.fsencode(path)) > zmq.IPC_PATH_MAX_LEN:
        raise ConfigError(
            f"`control` must have a path of at most {zmq.IPC_PATH_MAX_LEN} bytes, got {path!r}"
        )


def make_token(path: str | Path) -> str:
    """Return the token in a file, which is created with a new token if it does not exist.

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
        raise ConfigError(f"cannot write the token to {path}: {reason_of(e)}") from None
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
    token = read_private(path, "the token file ").partition("\n")[0].strip()
    if len(token) < _MIN_TOKEN:
        raise ConfigError(
            f"the token in {path} must have at least {_MIN_TOKEN} characters, got {len(token)}"
        )
    return token


def _keep_private(address: str) -> None:
    """Make the file of an IPC socket accessible to its owner only; an abstract socket has none."""
    if address.startswith("ipc://") and not address.startswith("ipc://@"):
        Path(address.removeprefix("ipc://")).chmod(0o600)


def send_command(
    address: str, name: str, timeout: float = 5.0, token: str = "", **arguments: Any
) -> dict[str, Any]:
    """Send a command to a running service, and return its answer.

    Parameters
    ----------
    address
        Of its control socket.
    name
        Of the command.
    timeout
        Seconds to wait for the answer.
    token
        The control token, if the service needs one.
    arguments
        Plain values that the command takes.

    Raises
    ------
    SourceError
        No service listens, there is no answer in time, or the command is refused.
    """
    connection = open_socket(zmq.REQ, address, bind=False)
    try:
        if not connection.socket.poll(int(min(timeout, _CONNECT_SECONDS) * 1000), zmq.POLLOUT):
            raise SourceError(f"no service can be reached at {address}")
        connection.socket.send(
            msgspec.json.encode({"do": name, "token": token, "arguments": arguments})
        )
        if not connection.socket.poll(int(timeout * 1000)):
            raise SourceError(f"no answer from {address} within {timeout:g} s")
        answer: dict[str, Any] = msgspec.json.decode(connection.socket.recv(), type=dict)
    finally:
        connection.close()
    if not answer["ok"]:
        option = str(answer.get("option", ""))
        raise SourceError(f"{address} refuses: {answer['error']}", option=option)
    return answer
