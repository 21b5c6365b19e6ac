"""The live page of an engine."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from loco_stream._checks import checks_types
from loco_stream.dashboard._compared import ComparedRuns
from loco_stream.dashboard._engine_frames import (
    EngineFrames,
    changed_settings,
    score_columns,
)
from loco_stream.dashboard._frame_buffer import FrameBuffer
from loco_stream.dashboard._server import ServerThread, accepted_hosts, missing_extra
from loco_stream.metrics._keys import problem_of

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

_UNSEEN_SECONDS = 1.0  # between two frames while no page is open: the first page has values


class Dashboard:
    """A page that shows an engine while it learns; needs the extra ``dashboard``.

    Pass it to an engine as a watcher. The engine hands it a frame ten times per second and never
    waits: pages read from a ring buffer in a thread of their own. While no page is open, it takes
    one frame per second.

    Parameters
    ----------
    port
        Port of the page; 0 selects a free one, which `url` names.
    host
        Address to listen on. Everybody who reaches it sees the page and can press its buttons.
    allowed_hosts
        Further Host headers that are accepted.
    actions
        Buttons: name and function, which is called without arguments in a thread of the server.
    title
        Title of the page; the source's name by default.
    note
        A sentence about the run and its buttons.
    rivals
        Other models whose scores are drawn too: name, and a function that returns the sliding score
        at this moment. It is called in the engine's thread.
    token
        Token that a browser must send as password, with any user name; by default none.
    compare
        Addresses of other pages, whose runs are drawn beside this one by row number. This server
        reads them with the same token; browsers do not.

    Attributes
    ----------
    url
        Address of the page, with the port in use.

    Raises
    ------
    ConfigError
        Starlette or uvicorn is not installed, the port is in use, or a page on all addresses has no
        accepted Host header.

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

    @checks_types
    def __init__(
        self,
        port: int = 8765,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        actions: Mapping[str, Callable[[], object]] | None = None,
        title: str = "",
        note: str = "",
        rivals: Mapping[str, Callable[[], float | None]] | None = None,
        *,
        token: str | None = None,
        compare: Sequence[str] = (),
    ) -> None:
        self._rivals = dict(rivals or {})
        self._title = title
        self._buffer = FrameBuffer(secrets.token_hex(4))
        self._frames: EngineFrames | None = None
        self._has_ended = False
        self._due = 0.0  # when the next frame is taken while no page is open
        compared = ComparedRuns(compare, token)
        actions = dict(actions or {})
        self._buffer.publish(
            {
                "actions": list(actions),
                "note": note,
                "rivals": list(self._rivals),
                "n_compared": compared.n_runs,
            }
        )
        hosts = accepted_hosts(host, allowed_hosts)
        try:
            from loco_stream.dashboard._page_app import OpenPages, page_app
        except ImportError as error:
            raise missing_extra() from error
        self._pages = OpenPages(self._buffer)
        app = page_app(self._pages, actions, hosts, compared, token)
        self._server = ServerThread(app, host, port, "show the page", "dashboard")
        self.url = self._server.url

    def __repr__(self) -> str:
        return f"<Dashboard at {self.url}>"

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, engine: StreamEngine) -> None:
        """Take a frame of the engine; called in its thread."""
        if self._frames is None:
            self._frames = self._begin(engine)
        point = self._frames.point(engine)
        now = time.monotonic()
        if engine.stream_ended and not self._has_ended:  # the last values stay on the page
            self._has_ended = True
            self._due = now
            self._frames.renew()
        if self._pages.n_open or now >= self._due:
            self._due = now + _UNSEEN_SECONDS
            self._buffer.publish(self._frames.frame(engine), point)
            self._buffer.keep({"predictions": list(self._frames.predictions)})
        else:
            self._buffer.add_point(point)

    def close(self) -> None:
        """End the server; open pages show the last values and wait for the next run here."""
        self._buffer.publish({"ended": True})
        self._pages.closed = True
        self._server.close()

    def _begin(self, engine: StreamEngine) -> EngineFrames:
        """Publish what does not change during the run, and the course of a resumed run."""
        task = problem_of(engine.status)
        scores = score_columns(task)
        names = [score["name"] for score in scores]
        frames = EngineFrames(names, list(self._rivals.values()))
        for point in frames.past(engine):
            self._buffer.add_point(point)
        self._buffer.publish(
            {
                "title": self._title or engine.source.name,
                "model": type(engine.model).__name__,
                "settings": changed_settings(engine.model),
                "task": task,
                "scores": scores,
            }
        )
        return frames
