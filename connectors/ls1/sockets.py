"""ZeroMQ sockets with every option that matters set, and loopback checked."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket as system
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from loco_stream.errors import SourceError

if TYPE_CHECKING:
    from loco_stream.connectors.ls1.security import ClientKeys, Guard

__all__ = [
    "FRAME_BYTES",
    "Plug",
    "endpoint",
    "is_local",
    "libzmq_version",
    "open_plug",
    "require_libzmq",
]

FRAME_BYTES = 16 << 20
_QUEUE = 100  # messages that wait in one connection
_NEEDED = (
    4,
    3,
    5,
)  # older ones can be crashed or taken over by one packet (CVE-2019-6250, 2019-13132, 2020-15166)
_SENDERS = frozenset({zmq.PUSH, zmq.PUB, zmq.DEALER})


def require_libzmq(version: tuple[int, int, int]) -> None:
    """Refuse a libzmq with known holes."""
    if version < _NEEDED:
        spelled, needed = (".".join(map(str, v)) for v in (version, _NEEDED))
        raise ImportError(
            f"libzmq {spelled} has known security holes: install pyzmq with libzmq >= {needed}"
        )


require_libzmq(zmq.zmq_version_info())


def libzmq_version() -> str:
    """Return the version of the libzmq in use."""
    return str(zmq.zmq_version())


def endpoint(address: str) -> str:
    """Return a ZeroMQ endpoint; ``//HOST:PORT`` means tcp.

    Examples
    --------
    >>> endpoint("//127.0.0.1:5555"), endpoint("ipc:///tmp/rows.sock")
    ('tcp://127.0.0.1:5555', 'ipc:///tmp/rows.sock')
    """
    spelled = f"tcp:{address}" if address.startswith("//") else address
    scheme, separator, place = spelled.partition("://")
    if not separator or scheme not in {"tcp", "ipc", "inproc"} or not place:
        raise SourceError(f"address must be tcp://HOST:PORT or ipc://PATH, not {address!r}")
    if scheme == "tcp":
        host, colon, port = place.rpartition(":")
        if (
            not colon
            or not host
            or not (port in {"*", "0"} or (port.isdecimal() and int(port) < 65_536))
        ):
            raise SourceError(
                f"address must be tcp://HOST:PORT with a port of 1..65535, not {address!r}"
            )
    return spelled


def is_local(address: str) -> bool:
    """Whether only this machine reaches an endpoint."""
    scheme, _, place = address.partition("://")
    if scheme != "tcp":
        return True
    host = place.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name or an interface: nobody knows where it leads


@dataclass
class Plug:
    """An open socket with its own context, and what guards it. One thread owns it."""

    socket: zmq.Socket[bytes]
    context: zmq.Context[Any]
    address: str
    guard: Guard | ClientKeys | None = None
    closed: bool = field(default=False)

    def close(self, linger: float = 0.0) -> None:
        """Close everything; waits at most `linger` seconds for what is still to be sent."""
        if self.closed:
            return
        self.closed = True
        self.socket.close(linger=int(linger * 1000))
        if self.guard is not None:
            self.guard.stop()
        self.context.term()


def open_plug(
    kind: int,
    address: str,
    *,
    bind: bool,
    guard: Guard | ClientKeys | None = None,
    frame_bytes: int = FRAME_BYTES,
) -> Plug:
    """Bind or connect a socket.

    Raises
    ------
    SourceError
        A bind beyond this machine without CURVE, a port in use, an address nobody understands.
    """
    spelled = endpoint(address)
    if bind and guard is None and not is_local(spelled):
        raise SourceError(
            f"refusing to bind {spelled}: an address that other machines reach needs CURVE keys",
            option="keys",
        )
    context: zmq.Context[Any] = zmq.Context(
        io_threads=2 if bind else 1
    )  # one large frame does not hold up all others
    try:
        if guard is not None:
            guard.start(
                context
            )  # before the bind: a socket that listens unguarded admits the first to come
        socket = context.socket(kind)
        _set_options(socket, kind, frame_bytes, ipv6="[" in spelled)
        if guard is not None:
            guard.apply(socket)
        _attach(socket, spelled, bind)
    except BaseException:
        if guard is not None:
            guard.stop()
        context.destroy(linger=0)
        raise
    return Plug(socket, context, socket.last_endpoint.decode() if bind else spelled, guard)


def _attach(socket: zmq.Socket[bytes], address: str, bind: bool) -> None:
    if bind and address.startswith("ipc://") and not address.startswith("ipc://@"):
        _check_place(Path(address.removeprefix("ipc://")))
    try:
        (socket.bind if bind else socket.connect)(address)
    except zmq.ZMQError as e:
        verb = "bind" if bind else "connect to"
        raise SourceError(
            f"cannot {verb} {address}: {zmq.strerror(e.errno or 0).lower()}"
        ) from None


def _check_place(path: Path) -> None:
    """Refuse to bind where there is something.

    Libzmq would delete it, be it a file or another engine's socket.

    The socket that an engine left behind when it was killed has nobody who listens, and is taken
    over.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SourceError(
                f"cannot bind ipc://{path}: there is a file that is no socket, and it is not replaced"
            )
    except OSError:
        return  # nothing there, or a folder that bind will name
    with system.socket(system.AF_UNIX, system.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        if caller.connect_ex(str(path)) not in {errno.ECONNREFUSED, errno.ENOENT}:
            raise SourceError(f"cannot bind ipc://{path}: address already in use")


def _set_options(socket: zmq.Socket[bytes], kind: int, frame_bytes: int, *, ipv6: bool) -> None:
    socket.linger = 0  # each close names its own
    socket.sndhwm = 1000
    # A message may have 16 MB: the more wait, the more memory a flood takes. A publisher is one
    # that was chosen.
    socket.rcvhwm = 1000 if kind == zmq.SUB else _QUEUE
    socket.maxmsgsize = frame_bytes
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(256):
        socket.backlog = (
            8  # a crowd at the door is accepted at once, and would leave the log no file to open
        )
    # A peer whose host is gone is found by TCP. ZMTP heartbeats only where the queue for incoming
    # messages never fills: in libzmq 4.3.5 a heartbeat on a connection that died while its queue
    # was full ends the process with "Assertion failed: !_io_error" (issues 3937, 4364, 4767), which
    # any flood could bring about.
    socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, 10
    socket.tcp_keepalive_intvl = 5
    socket.tcp_keepalive_cnt = 3
    if kind == zmq.DEALER:
        socket.rcvhwm = 0  # answers are bounded by what was asked and sent
        socket.heartbeat_ivl = 2000
        socket.heartbeat_timeout = 6000
        socket.heartbeat_ttl = 6000
    socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 5000
    socket.handshake_ivl = 5000
    socket.ipv6 = ipv6
    if kind in _SENDERS:
        socket.immediate = 1  # a peer that is not there takes no rows
    if kind == zmq.ROUTER:
        socket.router_mandatory = 1
        socket.router_handover = 1
