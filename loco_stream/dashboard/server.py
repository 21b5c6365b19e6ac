"""The live page: give a `Dashboard` to an engine as a watcher and open its address."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loco_stream.dashboard.history import Ring
from loco_stream.dashboard.probe import Probe, score_columns
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

__all__ = ["Background", "Dashboard", "listen", "local_hosts"]

_LOOPBACK = ("127.0.0.1", "localhost")
_START_SECONDS = 10.0


class Dashboard:
    """A page that shows an engine while it learns; needs the extra `dashboard`.

    The engine hands it a frame ten times a second and never waits: pages read from a ring of the
    latest frames in a thread of their own. While no page is open, only the course of the scores is
    kept.

    Parameters
    ----------
    port
        Of the page; 0 takes a free one, named in `url`.
    host
        Address to listen at. Whoever reaches it sees the page and can press its buttons.
    allowed_hosts
        Further names under which the page may be asked for.
    actions
        Buttons: the name and what to call, without arguments, in a thread of the server.
    title
        Of the page; else the source's name.
    note
        A sentence on what is shown, and what the buttons do.
    rivals
        Other models drawn beside the engine's: the name, and what returns its windowed score at
        this moment, in the engine's thread.

    Raises
    ------
    ConfigError
        Starlette or uvicorn is missing, the port is in use, or a listener beyond this machine has
        no name.

    Examples
    --------
    >>> import urllib.request
    >>> from river import datasets, naive_bayes
    >>> from loco_stream import StreamEngine
    >>> from loco_stream.dashboard import Dashboard
    >>> with Dashboard(port=0) as page:
    ...     engine = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing(), watchers=[page])
    ...     _ = engine.run(max_samples=200)
    ...     b"uplot" in urllib.request.urlopen(page.url).read()
    True
    """

    def __init__(
        self,
        port: int = 8765,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        actions: Mapping[str, Callable[[], object]] | None = None,
        title: str = "",
        note: str = "",
        rivals: Mapping[str, Callable[[], float | None]] | None = None,
    ) -> None:
        actions = dict(actions or {})
        self._rivals = dict(rivals or {})
        self._title = title
        self._ring = Ring(secrets.token_hex(4))
        self._ring.publish({"actions": list(actions), "note": note, "rivals": list(self._rivals)})
        self._probe: Probe | None = None
        server, self._pages = _server(self._ring, actions, _hosts(host, allowed_hosts))
        self._socket = listen(host, port, "show the page")
        self.url = (
            f"http://{_LOOPBACK[0] if host == '0.0.0.0' else host}:{self._socket.getsockname()[1]}/"
        )
        self._background = Background(server, self._socket, "dashboard")

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, engine: StreamEngine) -> None:
        """Take a look at the engine, in its thread."""
        if self._probe is None:
            self._probe = Probe(self._rivals)
            self._begin(engine)
        if self._pages.n_open:
            self._ring.publish(self._probe.look(engine))
        else:
            self._ring.remember(self._probe.score(engine))

    def close(self) -> None:
        """End the server; open pages wait for the next one at this address."""
        self._pages.closed = True
        self._background.close()

    def _begin(self, engine: StreamEngine) -> None:
        """Tell what runs, and what a resumed run has behind it."""
        scores = score_columns(engine)
        curve = engine.curve
        for i, at in enumerate(curve["at"]):
            known = [curve[s["name"]][i] if s["name"] in curve else None for s in scores]
            self._ring.remember([at, None, *known, *[None] * len(self._rivals)])
        task = "regression" if "mae" in engine.status else "classification"
        self._ring.publish(
            {
                "title": self._title or engine.source.name,
                "model": type(engine.model).__name__,
                "task": task,
                "scores": scores,
            }
        )


def _server(
    ring: Ring, actions: Mapping[str, Callable[[], object]], hosts: Sequence[str]
) -> tuple[Any, Any]:
    try:
        import uvicorn

        from loco_stream.dashboard.app import Pages, make_app
    except ImportError as error:
        raise ConfigError(
            "the page needs starlette and uvicorn: pip install 'loco-stream[dashboard]'"
        ) from error
    pages = Pages(ring)
    config = uvicorn.Config(
        make_app(pages, actions, hosts),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config), pages


def _hosts(host: str, allowed: Sequence[str]) -> list[str]:
    if host == "0.0.0.0" and not allowed:
        raise ConfigError(
            "a page at 0.0.0.0 needs the names it may be asked for under, for example my-host.local"
        )
    return [*_LOOPBACK, host, *allowed]


class Background:
    """A server of uvicorn in a thread of its own; it has started when this returns."""

    def __init__(self, server: Any, listener: socket.socket, name: str) -> None:
        self._server = server
        self._socket = listener
        self._thread = threading.Thread(
            target=server.run, args=([listener],), name=name, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        """End the server, and let go of its port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def local_hosts() -> tuple[str, ...]:
    """Return the names of this machine that others cannot reach."""
    return _LOOPBACK


def listen(host: str, port: int, purpose: str) -> socket.socket:
    """Return a bound socket.

    Raises
    ------
    ConfigError
        The port is in use, or this machine has no such address.
    """
    # asyncio turns Nagle off only where it is told that this is TCP; else an answer waits 40 ms for
    # an ACK
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # a restarted engine takes its old port at once
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot {purpose} at {host}:{port}: {reason}; choose another port"
        ) from error
    return listener
