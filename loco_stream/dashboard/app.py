"""The page's routes: files, the stream of events, and what its buttons do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from loco_stream.dashboard.history import Ring

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "Pages", "make_app"]

_STATIC = Path(__file__).parent / "static"
_PERIOD = 0.05  # seconds between looks into the ring: at most 20 frames a second
_KEEP_ALIVE = (
    200  # looks without news after which a comment tells both sides that the other is there
)
_MOST_PAGES = 32
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages:
    """The open pages of one ring.

    Parameters
    ----------
    ring
        What they show.
    """

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.n_open = 0
        self.closed = False

    async def events(self, last_event_id: str) -> AsyncIterator[bytes]:
        """Yield server-sent events until the page leaves or the server ends."""
        self.n_open += 1
        try:
            news, number = self.ring.start(last_event_id)
            yield b"retry: 500\n\n" + news
            idle = 0
            closed = False
            while not closed:
                await asyncio.sleep(_PERIOD)
                closed = (
                    self.closed
                )  # before the look into the ring: what came before the end is still sent
                news, number = self.ring.since(number)
                idle = 0 if news else idle + 1
                if news:
                    yield news
                elif idle % _KEEP_ALIVE == 0:
                    yield b": still here\n\n"
        finally:
            self.n_open -= 1


class Guard:
    """Adds the headers that keep the page to its own origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, guarded)


def make_app(
    pages: Pages, actions: Mapping[str, Callable[[], object]], hosts: Sequence[str]
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    pages
        What to stream.
    actions
        Buttons of the page and what each calls, in a thread of the server.
    hosts
        Names under which the page may be asked for; any other is refused, against DNS rebinding.
    """

    async def index(request: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def state(request: Request) -> Response:
        return Response(pages.ring.state(), media_type="application/json")

    async def events(request: Request) -> Response:
        if pages.n_open >= _MOST_PAGES:
            return PlainTextResponse(f"{_MOST_PAGES} pages are open; close one", 503)
        last = request.headers.get("last-event-id") or request.query_params.get("last", "")
        return StreamingResponse(pages.events(last), media_type="text/event-stream")

    async def act(request: Request) -> Response:
        action = actions.get(request.path_params["name"])
        if action is None:
            return PlainTextResponse("there is no such button", 404)
        if request.headers.get("origin") != f"http://{request.headers['host']}":
            return PlainTextResponse(
                "buttons work from this page alone", 403
            )  # another site must not press them
        await run_in_threadpool(action)
        return Response(status_code=204)

    routes = [
        Route("/", index),
        Route("/state", state),
        Route("/events", events),
        Route("/actions/{name}", act, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
    )
