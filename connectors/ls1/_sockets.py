"""ZeroMQ sockets with safe options, bound to this machine unless they are encrypted."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket as system
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from loco_stream.errors import SourceError

if TYPE_CHECKING:
    from loco_stream.connectors.ls1._security import ClientKeys, ServerKeys

_FRAME_BYTES = 16 << 20
_MAX_QUEUED = 100  # messages of up to 16 MB that wait in one connection
# Older versions can be crashed or taken over by one packet (CVE-2019-6250, 2019-13132, 2020-15166).
_MIN_LIBZMQ = (4, 3, 5)
_SENDERS = frozenset({zmq.PUSH, zmq.PUB, zmq.DEALER, zmq.REQ})


def require_libzmq(version: tuple[int, int, int]) -> None:
    """Refuse a libzmq with known security holes."""
    if version < _MIN_LIBZMQ:
        found, required = (".".join(map(str, v)) for v in (version, _MIN_LIBZMQ))
        raise ImportError(
            f"libzmq {found} has known security holes: install pyzmq with libzmq >= {required}"
        )


require_libzmq(zmq.zmq_version_info())


def libzmq_version() -> str:
    """Return the version of libzmq."""
    return str(zmq.zmq_version())


def endpoint(address: str) -> str:
    """Return a ZeroMQ endpoint; ``//HOST:PORT`` means tcp.

    Raises
    ------
    SourceError
        The address has another form.

    Examples
    --------
    >>> endpoint("//127.0.0.1:5555"), endpoint("ipc:///tmp/rows.sock")
    ('tcp://127.0.0.1:5555', 'ipc:///tmp/rows.sock')
    """
    spelled = f"tcp:{address}" if address.startswith("//") else address
    scheme, separator, where = spelled.partition("://")
    fits = bool(separator and where) and scheme in {"tcp", "ipc", "inproc"}
    if scheme == "tcp":
        host, _, port = where.rpartition(":")
        fits = bool(host) and (port == "*" or (port.isdecimal() and int(port) < 65_536))
    if not fits:
        raise SourceError(
            "`address` must be tcp://HOST:PORT (//HOST:PORT in a URL) with a port of 1..65535, "
            f"or ipc://PATH, got {address!r}"
        )
    return spelled


def name_fault(address: str) -> str:
    """Return why the host name in an endpoint has no address, "" if there is nothing to report."""
    scheme, _, where = address.partition("://")
    if scheme != "tcp":
        return ""
    host = where.rpartition(";")[2].rpartition(":")[0].strip("[]")
    try:
        system.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"the host name {host!r} cannot be resolved: {reason}"
    return ""


def is_local(address: str) -> bool:
    """Whether only this machine can reach an endpoint."""
    scheme, _, where = address.partition("://")
    if scheme != "tcp":
        return True
    host = where.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name or an interface may be reached from outside


@dataclass
class OpenSocket:
    """A socket with its own context and keys; one thread owns it.

    Parameters
    ----------
    socket, context
        Of pyzmq.
    address
        The endpoint, with the port that was bound.
    keys
        CURVE keys, if any.
    closed
        Whether it is closed.
    """

    socket: zmq.Socket[bytes]
    context: zmq.Context[Any]
    address: str
    keys: ServerKeys | ClientKeys | None = None
    closed: bool = False

    def close(self, linger: float = 0.0) -> None:
        """Close everything; wait up to `linger` seconds for what is still to be sent."""
        if self.closed:
            return
        self.closed = True
        self.socket.close(linger=int(linger * 1000))
        if self.keys is not None:
            self.keys.stop()
        self.context.term()


def open_socket(
    kind: int,
    address: str,
    *,
    bind: bool,
    keys: ServerKeys | ClientKeys | None = None,
    frame_bytes: int = _FRAME_BYTES,
) -> OpenSocket:
    """Bind or connect a socket.

    Raises
    ------
    SourceError
        The address is invalid or in use, or a bind without CURVE could be reached from other
        machines.
    """
    spelled = endpoint(address)
    if bind and keys is None and not is_local(spelled):
        raise SourceError(
            f"refusing to bind {spelled}: other machines can reach it, so it needs CURVE keys",
            option="keys",
        )
    # With a second thread, one large frame does not delay all others.
    context: zmq.Context[Any] = zmq.Context(io_threads=2 if bind else 1)
    try:
        if keys is not None:
            keys.start(context)  # before the bind: an unguarded socket would admit anybody
        socket = context.socket(kind)
        _set_options(socket, kind, frame_bytes, ipv6="[" in spelled)
        if keys is not None:
            keys.apply(socket)
        _attach(socket, spelled, bind)
    except BaseException:
        if keys is not None:
            keys.stop()
        context.destroy(linger=0)
        raise
    return OpenSocket(socket, context, socket.last_endpoint.decode() if bind else spelled, keys)


def _attach(socket: zmq.Socket[bytes], address: str, bind: bool) -> None:
    if bind and address.startswith("ipc://") and not address.startswith("ipc://@"):
        _check_path(Path(address.removeprefix("ipc://")))
    try:
        (socket.bind if bind else socket.connect)(address)
    except zmq.ZMQError as e:
        verb = "bind" if bind else "connect to"
        reason = zmq.strerror(e.errno or 0).lower()
        raise SourceError(f"cannot {verb} {address}: {reason}") from None


def _check_path(path: Path) -> None:
    """Refuse to bind where a file or a live socket is: libzmq would delete it.

    A socket that nobody listens on, of an engine that was killed, is replaced.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SourceError(
                f"cannot bind ipc://{path}: the file there is not a socket, and is not replaced"
            )
    except OSError:
        return  # nothing there, or an invalid folder, which the bind reports
    with system.socket(system.AF_UNIX, system.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        if caller.connect_ex(str(path)) not in {errno.ECONNREFUSED, errno.ENOENT}:
            raise SourceError(f"cannot bind ipc://{path}: address already in use")


def _set_options(socket: zmq.Socket[bytes], kind: int, frame_bytes: int, *, ipv6: bool) -> None:
    socket.linger = 0  # each close gives its own
    socket.sndhwm = 1000
    # A flood fills the memory with messages that wait; a publisher was chosen by the user.
    socket.rcvhwm = 1000 if kind == zmq.SUB else _MAX_QUEUED
    socket.maxmsgsize = frame_bytes
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(256):
        # Many connections at once would leave no file descriptor for the log.
        socket.backlog = 8
    _set_keepalive(socket, kind)
    socket.reconnect_ivl = 100
    socket.reconnect_ivl_max = 5000
    socket.handshake_ivl = 5000
    socket.ipv6 = ipv6
    if kind in _SENDERS:
        socket.immediate = 1  # nothing is queued for a peer that is not there
    if kind == zmq.ROUTER:
        socket.router_mandatory = 1
        socket.router_handover = 1


def _set_keepalive(socket: zmq.Socket[bytes], kind: int) -> None:
    """Let TCP find peers that are gone; ZMTP heartbeats are used by senders only.

    In libzmq 4.3.5, a heartbeat on a connection that died while its incoming queue was full ends
    the process ("Assertion failed: !_io_error", issues 3937, 4364, 4767), so any flood could end an
    engine with heartbeats.
    """
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = 10
    socket.tcp_keepalive_intvl = 5
    socket.tcp_keepalive_cnt = 3
    if kind == zmq.DEALER:
        socket.rcvhwm = 0  # replies are bounded by what was sent
        socket.heartbeat_ivl = 2000
        socket.heartbeat_timeout = 6000
        socket.heartbeat_ttl = 6000
