"""The live page of a fleet: keys with the largest error, the last drifts, any key by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from loco_stream.dashboard._server import (
    ServerThread,
    accepted_hosts,
    forecast_steps,
    missing_extra,
)
from loco_stream.engine._queries import Query, RunnerQueries
from loco_stream.errors import ConfigError, InputError, SourceError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from loco_stream.fleet._runner import FleetRunner

_TIMEOUT = 10.0  # seconds until the runner has answered a query


class FleetPage:
    """A page that queries a running fleet; pass it to a `FleetRunner` as a watcher.

    Queries wait for the runner's thread, which answers them between two commits: no other thread
    uses the fleet.

    Raises `ConfigError` if Starlette or uvicorn is not installed, the port is in use, or a page on
    all addresses has no accepted Host header.

    port: port of the page; 0 selects a free one, which `url` names
    host: address to listen on. Everybody who reaches it sees the page.
    allowed_hosts: further Host headers that are accepted
    token: token that a browser must send as password, with any user name; by default none
    """

    def __init__(
        self,
        port: int = 8765,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        self._queries = RunnerQueries()
        app = _app(self, accepted_hosts(host, allowed_hosts), token)
        self._server = ServerThread(app, host, port, "show the page", "fleet page")
        self.url = self._server.url

    def __enter__(self) -> FleetPage:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.close()

    def __call__(self, runner: FleetRunner) -> None:
        """Answer the waiting queries, in the runner's thread."""
        self._queries(runner)

    async def query(self, query: Query) -> tuple[int, object]:
        """Return the status and the body of a response."""
        try:
            answer = asyncio.wrap_future(self._queries.submit(query))
            found = await asyncio.wait_for(answer, _TIMEOUT)
        except InputError as error:
            return 404, {"error": str(error)}
        except ConfigError as error:
            return 422, {"error": str(error)}
        except SourceError as error:
            return 503, {"error": str(error)}
        except TimeoutError:
            return 503, {"error": f"the fleet waits for rows and did not answer in {_TIMEOUT:g} s"}
        if found is None:
            return 404, {"error": "no row of this key arrived in this run"}
        return 200, found


def _app(page: FleetPage, hosts: Sequence[str], token: str | None) -> Starlette:
    try:
        from starlette.responses import FileResponse, Response
        from starlette.routing import Route

        from loco_stream.dashboard._page_app import STATIC, page_with
    except ImportError as error:
        raise missing_extra() from error

    async def respond(query: Query) -> Response:
        status, body = await page.query(query)
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    async def index(request: Request) -> Response:
        return FileResponse(STATIC / "fleet.html")

    async def fleet(request: Request) -> Response:
        return await respond(lambda runner: runner.report())

    async def search(request: Request) -> Response:
        text = request.query_params.get("text", "")
        return await respond(lambda runner: runner.search(text))

    async def device(request: Request) -> Response:
        text = request.query_params.get("key", "")
        return await respond(lambda runner: runner.device(text))

    async def forecast(request: Request) -> Response:
        key = request.query_params.get("key", "")
        horizon = request.query_params.get("horizon")
        return await respond(lambda runner: runner.forecast(key, forecast_steps(horizon)))

    return page_with(
        [
            Route("/", index),
            Route("/fleet", fleet),
            Route("/search", search),
            Route("/device", device),
            Route("/forecast", forecast),
        ],
        hosts,
        token,
    )
