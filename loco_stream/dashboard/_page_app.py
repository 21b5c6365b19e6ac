"""The application of the page: static files, server-sent events, and the page's buttons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from loco_stream.dashboard._compared import ComparedRuns
from loco_stream.dashboard._frame_buffer import FrameBuffer
from loco_stream.engine._prometheus import shows_token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
_PERIOD = 0.05  # seconds between two reads of the buffer: at most 20 frames per second
_KEEP_ALIVE = 200  # reads without a frame after which a comment shows that both sides are there
_MAX_PAGES = 32
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class OpenPages:
    """The open pages of one run."""

    def __init__(self, buffer: FrameBuffer) -> None:
        self.buffer = buffer
        self.n_open = 0
        self.closed = False

    async def events(self, last_event_id: str) -> AsyncIterator[bytes]:
        """Yield server-sent events until the page is closed or the server ends."""
        self.n_open += 1
        try:
            content, number = self.buffer.start(last_event_id)
            yield b"retry: 500\n\n" + content
            idle = 0
            closed = False
            while not closed:
                await asyncio.sleep(_PERIOD)
                # before the read, so that frames published before the end are still sent
                closed = self.closed
                content, number = self.buffer.since(number)
                idle = 0 if content else idle + 1
                if content:
                    yield content
                elif idle % _KEEP_ALIVE == 0:
                    yield b": keep-alive\n\n"
        finally:
            self.n_open -= 1


class SecurityHeaders:
    """Middleware that adds headers which restrict a page to its own origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and add the headers to the response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)


class RequireToken:
    """Middleware that refuses requests without the token.

    A program sends it as bearer token, a browser as password with any user name.

    app: the application
    token: the token; None lets every request pass
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request that shows the token; answer 401 to others."""
        if (
            self._token is None
            or scope["type"] != "http"
            or shows_token(Headers(scope=scope).get("authorization", ""), self._token)
        ):
            await self._app(scope, receive, send)
            return
        asks = {"WWW-Authenticate": 'Basic realm="loco-stream", charset="UTF-8"'}
        refusal = PlainTextResponse("send the token as password", 401, asks)
        await refusal(scope, receive, send)


def page_with(routes: Sequence[Route], hosts: Sequence[str], token: str | None) -> Starlette:
    """Return a page with these routes, the guide and static files, behind checks.

    hosts: accepted Host headers; others are refused, as a defence against DNS rebinding
    token: token that every request must show; None needs none
    """

    async def guide(request: Request) -> Response:
        return FileResponse(STATIC / "guide.html")

    return Starlette(
        routes=[*routes, Route("/guide", guide), Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
            Middleware(RequireToken, token=token),
        ],
    )


class _PageRoutes:
    """The endpoints of the page."""

    def __init__(
        self,
        pages: OpenPages,
        actions: Mapping[str, Callable[[], object]],
        compared: ComparedRuns,
    ) -> None:
        self._pages = pages
        self._actions = actions
        self._compared = compared
        self._index = (STATIC / "index.html").read_text(encoding="utf-8")

    async def index(self, request: Request) -> Response:
        # the state is part of the page, so that the first picture shows its values; in JSON only
        # texts hold a "<", which would end the element
        state = self._pages.buffer.state().decode().replace("<", "\\u003c")
        return HTMLResponse(self._index.replace("STATE", state, 1))

    async def compared(self, request: Request) -> Response:
        return JSONResponse(await self._compared.states())

    async def state(self, request: Request) -> Response:
        return Response(self._pages.buffer.state(), media_type="application/json")

    async def events(self, request: Request) -> Response:
        if self._pages.n_open >= _MAX_PAGES:
            return PlainTextResponse(f"{_MAX_PAGES} pages are open; close one", 503)
        last = request.headers.get("last-event-id") or request.query_params.get("last", "")
        return StreamingResponse(self._pages.events(last), media_type="text/event-stream")

    async def act(self, request: Request) -> Response:
        action = self._actions.get(request.path_params["name"])
        if action is None:
            return PlainTextResponse("there is no such button", 404)
        # a page of another site must not press buttons
        if request.headers.get("origin") != f"http://{request.headers['host']}":
            return PlainTextResponse("buttons can only be pressed on this page", 403)
        await run_in_threadpool(action)
        return Response(status_code=204)


def page_app(
    pages: OpenPages,
    actions: Mapping[str, Callable[[], object]],
    hosts: Sequence[str],
    compared: ComparedRuns,
    token: str | None = None,
) -> Starlette:
    """Return the application.

    pages: what to stream
    actions: buttons of the page: name and function, which is called in a thread of the server
    compared: other runs that the page shows too
    hosts, token: see `page_with`
    """
    routes = _PageRoutes(pages, actions, compared)
    return page_with(
        [
            Route("/", routes.index),
            Route("/state", routes.state),
            Route("/compared", routes.compared),
            Route("/events", routes.events),
            Route("/actions/{name}", routes.act, methods=["POST"]),
        ],
        hosts,
        token,
    )
