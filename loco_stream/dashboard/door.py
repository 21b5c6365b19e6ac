"""Predictions and labelled rows over HTTP: the routes, and what they take and refuse."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loco_stream.dashboard.app import Guard
from loco_stream.dashboard.openapi import DOCUMENT, Learn, Predict, Row
from loco_stream.engine.admission import label_fault, row_fault
from loco_stream.engine.inbox import Inbox, InboxFullError
from loco_stream.engine.numbered import MOST_NUMBER
from loco_stream.errors import LocoStreamError, SourceError

__all__ = ["make_door"]

MOST_BYTES = 1 << 20
MOST_ROWS = 256
SECONDS = 10.0  # that a body may take to come, and a row to be learned

_WAYS = "POST /predict, POST /learn, GET /health, GET /ready, GET /openapi.json"
_NO_WAY = {
    404: f"there is no such path; there are {_WAYS}",
    405: f"this path is not asked like that; there are {_WAYS}",
}

Endpoint = Callable[[Request], Awaitable[Any]]


def make_door(service: Any, inbox: Inbox, token: str | None, hosts: list[str]) -> Starlette:
    """Return the application.

    Parameters
    ----------
    service
        Has `engine`, None until there is one, `status` and `alarm`.
    inbox
        Takes the rows to learn.
    token
        What ``Authorization: Bearer`` has to show for predictions and rows; None asks for none.
    hosts
        Names under which it may be asked for; ``*`` for any.
    """

    async def predict(request: Request) -> Any:
        asked = await _read(request, Predict)
        engine = service.engine
        if engine is None:
            raise HTTPException(503, f"there is no model yet: {service.status['phase']}")
        answers = await run_in_threadpool(lambda: [_answer(engine, x) for x in _checked(asked)])
        return answers[0] if asked.rows is None else {"predictions": answers}

    async def learn(request: Request) -> Any:
        given = await _read(request, Learn)
        rows = [
            (row.x, row.y)
            for row in ([Row(given.x, given.y)] if given.rows is None else given.rows)
        ]
        if (given.source is None) != (given.seq is None):
            raise HTTPException(400, "source and seq belong together: give both, or neither")
        if not rows or (given.seq or 0) + len(rows) - 1 > MOST_NUMBER:
            raise HTTPException(422, f"a request has a row or more, numbered up to {MOST_NUMBER}")
        task = "regression" if "mae" in service.status else "classification"
        for x, y in rows:
            fault = _fault(x) or (
                "a row to learn needs its label y" if y in (None, "") else label_fault(y, task)
            )
            if fault:
                raise HTTPException(422, fault)
        try:
            waiting = asyncio.wrap_future(inbox.put(rows, given.source, given.seq or 0))
            learned = await asyncio.wait_for(asyncio.shield(waiting), SECONDS)
        except InboxFullError as error:
            raise HTTPException(503, str(error)) from None
        except SourceError as error:
            raise HTTPException(409, str(error)) from None
        except TimeoutError:
            raise HTTPException(503, f"not learned within {SECONDS:g} s; it may still be") from None
        return {"learned": learned} | (
            {} if given.source is None else {"repeated": len(rows) - learned}
        )

    async def health(request: Request) -> Any:
        return {"status": "ok"}

    async def ready(request: Request) -> Any:
        if service.engine is None or service.alarm:
            raise HTTPException(503, service.alarm or service.status["phase"])
        return {"ready": True, "n_samples": service.status["n_samples"]}

    async def document(request: Request) -> Any:
        return DOCUMENT

    routes = [
        Route("/predict", _json(predict, token), methods=["POST"]),
        Route("/learn", _json(learn, token), methods=["POST"]),
        *(
            Route(path, _json(answer, None))
            for path, answer in (
                ("/health", health),
                ("/ready", ready),
                ("/openapi.json", document),
            )
        ),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        exception_handlers={HTTPException: _refuse},
    )


def _json(answer: Endpoint, token: str | None) -> Callable[[Request], Awaitable[Response]]:
    """Wrap an endpoint: whoever may not ask is refused, and the answer is JSON."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("origin") is not None:
            raise HTTPException(403, "pages of a browser may not ask")
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token is not None and not hmac.compare_digest(shown.encode(), token.encode()):
            raise HTTPException(401, "show the token: Authorization: Bearer TOKEN")
        return Response(msgspec.json.encode(await answer(request)), media_type="application/json")

    return endpoint


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = _NO_WAY.get(error.status_code, error.detail)
    body = msgspec.json.encode({"error": detail})
    return Response(body, error.status_code, headers=error.headers, media_type="application/json")


async def _read(request: Request, kind: type[Any]) -> Any:
    """Return the body as what it must be."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send JSON with Content-Type: application/json")
    try:
        body = await asyncio.wait_for(_body(request), SECONDS)
        given = msgspec.json.decode(body, type=kind)
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {SECONDS:g} s") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, str(error)) from None
    if (given.x is None) == (given.rows is None):
        raise HTTPException(400, "give one row as x, or several as rows")
    if given.rows is not None and len(given.rows) > MOST_ROWS:
        raise HTTPException(413, f"at most {MOST_ROWS} rows a request, not {len(given.rows)}")
    return given


async def _body(request: Request) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise HTTPException(413, f"at most {MOST_BYTES} bytes a request")
        parts.append(part)
    return b"".join(parts)


def _checked(asked: Any) -> list[Mapping[str, Any]]:
    rows = [asked.x] if asked.rows is None else asked.rows
    for x in rows:
        if fault := _fault(x):
            raise HTTPException(422, fault)
    return rows


def _answer(engine: Any, x: Mapping[str, Any]) -> dict[str, Any]:
    model = engine.model
    try:
        answer = {"prediction": model.predict_one(x)}
        if hasattr(model, "predict_proba_one"):
            answer["proba"] = {str(label): p for label, p in model.predict_proba_one(x).items()}
    except LocoStreamError as error:
        raise HTTPException(422, str(error)) from None
    engine.asked(x)
    known = getattr(
        model, "features", None
    )  # none before the first row, and other libraries' models do not tell
    unknown = [name for name in x if name not in known] if known else []
    return answer | ({"unknown_features": unknown} if unknown else {})


def _fault(x: Mapping[str, Any]) -> str | None:
    return row_fault(x) if x else "a row has at least one feature: x is empty"
