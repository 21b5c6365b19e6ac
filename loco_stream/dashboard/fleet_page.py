"""The live page of a fleet.

The devices served worst, those that drifted last, and any one by its key.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from loco_stream.dashboard.server import Background, listen, local_hosts
from loco_stream.errors import ConfigError

__all__ = ["FleetPage"]

_STATIC = Path(__file__).parent / "static"
_PATIENCE = 10.0  # seconds until the thread that learns has looked at a question
_MOST_WAITING = 32

Question = Callable[[Any], Any]


class FleetPage:
    """A page at 127.0.0.1 that asks a running fleet; give it to a `FleetRunner` as a watcher.

    Questions wait for the thread that learns, which answers them between two commits: nobody else
    touches a fleet.

    Parameters
    ----------
    port
        Of the page; 0 takes a free one, named in `url`.

    Raises
    ------
    ConfigError
        Starlette or uvicorn is missing, or the port is in use.
    """

    def __init__(self, port: int = 8765) -> None:
        self._questions: queue.Queue[tuple[Question, Future[Any]]] = queue.Queue(_MOST_WAITING)
        server = _server(self)
        self._socket = listen(local_hosts()[0], port, "show the page")
        self.url = f"http://{local_hosts()[0]}:{self._socket.getsockname()[1]}/"
        self._background = Background(server, self._socket, "fleet page")

    def __enter__(self) -> FleetPage:
        return self

    def __exit__(self, *error: object) -> None:
        self._background.close()

    def __call__(self, runner: Any) -> None:
        """Answer what was asked meanwhile, in the runner's thread."""
        while not self._questions.empty():
            question, answer = self._questions.get()
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question(runner))
                except Exception as error:
                    answer.set_exception(error)

    async def ask(self, question: Question) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        answer: Future[Any] = Future()
        try:
            self._questions.put_nowait((question, answer))
            found = await asyncio.wait_for(asyncio.wrap_future(answer), _PATIENCE)
        except queue.Full:
            return 503, {"error": f"{_MOST_WAITING} questions wait; ask later"}
        except TimeoutError:
            return 503, {
                "error": f"the fleet did not answer within {_PATIENCE:g} s: it waits for rows"
            }
        return (
            (404, {"error": "no row of such a device came in this run"})
            if found is None
            else (200, found)
        )


def _server(page: FleetPage) -> Any:
    try:
        import uvicorn
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import FileResponse, Response
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

        from loco_stream.dashboard.app import Guard
    except ImportError as error:
        raise ConfigError(
            "the page needs starlette and uvicorn: pip install 'loco-stream[dashboard]'"
        ) from error

    async def index(request: Any) -> Any:
        return FileResponse(_STATIC / "fleet.html")

    async def answer(question: Question) -> Any:
        status, body = await page.ask(question)
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    async def fleet(request: Any) -> Any:
        return await answer(lambda runner: runner.report())

    async def search(request: Any) -> Any:
        text = request.query_params.get("text", "")
        return await answer(lambda runner: runner.search(text))

    async def device(request: Any) -> Any:
        text = request.query_params.get("key", "")
        return await answer(lambda runner: runner.device(text))

    routes = [
        Route("/", index),
        Route("/fleet", fleet),
        Route("/search", search),
        Route("/device", device),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=list(local_hosts()))
    config = uvicorn.Config(
        Starlette(routes=routes, middleware=[Middleware(Guard), hosts]),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config)
