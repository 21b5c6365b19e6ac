"""The routes of the HTTP API, and what they accept and refuse."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loco_stream.dashboard._openapi import DOCUMENT, LabelledRow, LearnBody, PredictBody
from loco_stream.dashboard._page_app import SecurityHeaders
from loco_stream.dashboard._service import Service
from loco_stream.engine.inbox import Inbox, InboxClosedError, InboxFullError, RowResult
from loco_stream.engine.validation import label_fault, row_fault
from loco_stream.errors import LocoStreamError
from loco_stream.records import label_keys
from loco_stream.stream import MAX_SEQ

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

__all__ = ["http_app"]

MAX_BYTES = 1 << 20
MAX_ROWS = 256
TIMEOUT = 10.0  # seconds that a body may take to arrive, and a row to be learned

_PATHS = "POST /predict, POST /learn, GET /health, GET /ready, GET /openapi.json"
_WRONG_PATH = {
    404: f"there is no such path; there are {_PATHS}",
    405: f"this path has another method; there are {_PATHS}",
}

Row: TypeAlias = Mapping[str, Any]  # values by feature
Endpoint = Callable[[Request], Awaitable[object]]
Body = TypeVar("Body", PredictBody, LearnBody)


class _Routes:
    """The endpoints; each returns what becomes the JSON of the response."""

    def __init__(self, service: Service, inbox: Inbox) -> None:
        self._service = service
        self._inbox = inbox

    async def predict(self, request: Request) -> object:
        asked = await _read(request, PredictBody)
        engine = self._service.engine
        if engine is None:
            raise HTTPException(503, f"there is no model yet: {self._service.status['phase']}")
        rows = _checked_rows(asked)
        predicted = await run_in_threadpool(lambda: [_prediction(engine, x) for x in rows])
        return predicted[0] if asked.rows is None else {"predictions": predicted}

    async def learn(self, request: Request) -> object:
        given = await _read(request, LearnBody)
        rows = self._checked_labels(given)
        try:
            client = "" if request.client is None else request.client.host
            submitted = self._inbox.put(rows, given.source, given.seq or 0, client)
            waiting = asyncio.wrap_future(submitted)
            results = await asyncio.wait_for(asyncio.shield(waiting), TIMEOUT)
        except (InboxFullError, InboxClosedError) as error:
            raise HTTPException(503, str(error)) from None
        except TimeoutError:
            alarm = self._service.alarm
            why = f": {alarm}" if alarm else ""
            raise HTTPException(
                503, f"not learned within {TIMEOUT:g} s; it may still be{why}"
            ) from None
        return _learn_response(results)

    def _checked_labels(self, given: LearnBody) -> Sequence[tuple[Row, object]]:
        """Return rows and labels; raises an HTTP error for what cannot be learned."""
        several = [LabelledRow(given.x or {}, given.y)] if given.rows is None else given.rows
        rows = [(row.x, row.y) for row in several]
        if (given.source is None) != (given.seq is None):
            raise HTTPException(400, "source and seq belong together: give both, or neither")
        if not rows or (given.seq or 0) + len(rows) - 1 > MAX_SEQ:
            raise HTTPException(422, f"a request has a row or more, numbered up to {MAX_SEQ}")
        task = "regression" if "mae" in self._service.status else "classification"
        for x, y in rows:
            if fault := _fault(x) or _label_fault(y, task):
                raise HTTPException(422, fault)
        return rows

    async def health(self, request: Request) -> object:
        return {"status": "ok"}

    async def ready(self, request: Request) -> object:
        service = self._service
        if service.engine is None or service.alarm:
            raise HTTPException(503, service.alarm or service.status["phase"])
        return {"ready": True, "n_samples": service.status["n_samples"]}

    async def document(self, request: Request) -> object:
        return DOCUMENT


def http_app(service: Service, inbox: Inbox, token: str | None, hosts: Sequence[str]) -> Starlette:
    """Return the application.

    Parameters
    ----------
    service
        What to predict with and report on.
    inbox
        Takes the rows to learn.
    token
        Bearer token of requests for predictions and with rows; None needs no token.
    hosts
        Accepted Host headers; ``*`` for any.
    """
    routes = _Routes(service, inbox)
    return Starlette(
        routes=[
            Route("/predict", _json(routes.predict, token), methods=["POST"]),
            Route("/learn", _json(routes.learn, token), methods=["POST"]),
            Route("/health", _json(routes.health, None)),
            Route("/ready", _json(routes.ready, None)),
            Route("/openapi.json", _json(routes.document, None)),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
        exception_handlers={HTTPException: _refuse},
    )


def _json(handle: Endpoint, token: str | None) -> Callable[[Request], Awaitable[Response]]:
    """Wrap an endpoint: check the origin and the token, and encode the result as JSON."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("origin") is not None:
            raise HTTPException(403, "pages of a browser may not use this API")
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        is_right = token is None or hmac.compare_digest(shown.encode(), token.encode())
        if token is not None and not (is_bearer and is_right):
            raise HTTPException(401, "send the token: Authorization: Bearer TOKEN")
        return Response(msgspec.json.encode(await handle(request)), media_type="application/json")

    return endpoint


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = _WRONG_PATH.get(error.status_code, error.detail)
    body = msgspec.json.encode({"error": detail})
    return Response(body, error.status_code, headers=error.headers, media_type="application/json")


async def _read(request: Request, kind: type[Body]) -> Body:
    """Return the decoded body; raises an HTTP error if it is invalid."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send JSON with Content-Type: application/json")
    try:
        body = await asyncio.wait_for(_body(request), TIMEOUT)
        given = msgspec.json.decode(body, type=kind)
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {TIMEOUT:g} s") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, str(error)) from None
    if (given.x is None) == (given.rows is None):
        raise HTTPException(400, "give one row as x, or several as rows")
    if given.rows is not None and len(given.rows) > MAX_ROWS:
        raise HTTPException(413, f"at most {MAX_ROWS} rows per request, got {len(given.rows)}")
    return given


async def _body(request: Request) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise HTTPException(413, f"at most {MAX_BYTES} bytes per request")
        parts.append(part)
    return b"".join(parts)


def _checked_rows(asked: PredictBody) -> Sequence[Row]:
    """Return rows to predict; raises an HTTP error for values that the model cannot take."""
    rows = [asked.x or {}] if asked.rows is None else asked.rows
    for x in rows:
        if fault := _fault(x):
            raise HTTPException(422, fault)
    return rows


def _prediction(engine: StreamEngine, x: Row) -> dict[str, object]:
    model = engine.model
    try:
        predicted: dict[str, object] = {"prediction": model.predict_one(x)}
        if hasattr(model, "predict_proba_one"):
            proba = model.predict_proba_one(x)
            predicted["proba"] = dict(zip(label_keys(proba), proba.values(), strict=True))
    except LocoStreamError as error:
        raise HTTPException(422, str(error)) from None
    engine.count_request(x)
    # None before the first row; models of other libraries have no such attribute
    known = getattr(model, "features", None)
    unknown = [name for name in x if name not in known] if known else []
    return {**predicted, "unknown_features": unknown} if unknown else predicted


def _learn_response(results: Sequence[RowResult]) -> dict[str, object]:
    """Return the counts and what became of each row; an HTTP error if every row is refused."""
    counts = Counter(result.status for result in results)
    if counts["refused"] == len(results):
        raise HTTPException(422, results[0].reason)
    return {
        "learned": counts["learned"],
        "repeated": counts["repeated"],
        "refused": counts["refused"],
        "rows": [
            {"status": result.status, **({"reason": result.reason} if result.reason else {})}
            for result in results
        ],
    }


def _fault(x: Row) -> str | None:
    return row_fault(x) if x else "a row has at least one feature: x is empty"


def _label_fault(y: object, task: str) -> str | None:
    return "a row to learn needs its label y" if y in (None, "") else label_fault(y, task)
