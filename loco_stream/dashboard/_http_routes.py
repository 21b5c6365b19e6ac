"""The routes of the HTTP API, and what they accept and refuse."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
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

from loco_stream._decoding import fault, syntax_fault, values_in
from loco_stream._numbers import shown
from loco_stream._prediction_mode import mode_arguments
from loco_stream.connectors._base.values import event_time
from loco_stream.connectors._line_protocol import LineReader
from loco_stream.dashboard._openapi import (
    DOCUMENT,
    DecisionBody,
    Id,
    LabelBody,
    LabelledRow,
    LabelResponse,
    LearnBody,
    LearnResponse,
    PredictBody,
    RefusedLabel,
    RowLabel,
    RowStatus,
)
from loco_stream.dashboard._page_app import SecurityHeaders
from loco_stream.dashboard._server import forecast_steps
from loco_stream.dashboard._service import Service
from loco_stream.engine._inbox import (
    Inbox,
    InboxClosedError,
    InboxFullError,
    InboxRow,
    RowResult,
)
from loco_stream.engine._model_adapter import last_step
from loco_stream.engine._prometheus import SCHEMES, shows_token
from loco_stream.engine._queries import Query
from loco_stream.engine._report import jsonable
from loco_stream.engine._validation import label_fault, row_fault
from loco_stream.errors import ConfigError, InputError, LocoStreamError, SourceError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._decision import Rule, labels_of, rule_of, shown_rule
from loco_stream.metrics._keys import problem_of
from loco_stream.records import label_keys
from loco_stream.stream import MAX_SEQ

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._forecasting import ForecastAdapter

MAX_BYTES = 1 << 20  # of a body, as sent and unpacked
_MAX_READ = 16 * MAX_BYTES  # read to its end before it is refused, as many clients need
MAX_ROWS = 256  # of a request, and labels of one
MAX_RULES = 1024  # entries of a decision; each is a step of every prediction
TIMEOUT = 10.0  # seconds that a body may take to arrive, and a row to be learned

_WRITE_ROWS = 256  # rows in the line protocol that are logged together

_PATHS = (
    "POST /predict, POST /learn, POST /label, GET and POST /decision, GET /forecast, POST /write, "
    "POST /api/v2/write, GET /health, GET /ready, GET /openapi.json"
)
_WRONG_PATH = {
    404: f"there is no such path; there are {_PATHS}",
    405: f"this path has another method; there are {_PATHS}",
}

Row: TypeAlias = Mapping[str, Any]  # values by feature
Endpoint = Callable[[Request], Awaitable[object]]
Body = TypeVar("Body", PredictBody, LearnBody)
Answer = TypeVar("Answer", bound=msgspec.Struct)


@dataclass(slots=True)
class _ApiRoutes:
    """The endpoints; each returns what becomes the JSON of the response."""

    _service: Service
    _inbox: Inbox
    _lines: LineReader | None

    async def predict(self, request: Request) -> object:
        asked = await _read(request, PredictBody)
        engine = self._engine()
        rows = self._checked_rows(asked, engine)
        predicted = await run_in_threadpool(
            lambda: [_prediction(engine, x, asked.in_stream) for x in rows]
        )
        return predicted[0] if asked.rows is None else {"predictions": predicted}

    async def learn(self, request: Request) -> object:
        given = await _read(request, LearnBody)
        rows = self._checked_labels(given)
        client = "" if request.client is None else request.client.host
        submit = partial(self._inbox.put, rows, given.source, given.seq or 0, client)
        results = await self._durable(submit)
        return _learn_response(self._without_labels(rows, results))

    def _without_labels(
        self, rows: Sequence[InboxRow], results: Sequence[RowResult]
    ) -> Sequence[RowResult]:
        """Return the results, in which a row waits if its label counts as missing."""
        engine = self._engine()
        return [
            RowResult("waiting")
            if result.status == "learned" and engine.counts_as_missing(row.y)
            else result
            for row, result in zip(rows, results, strict=True)
        ]

    async def label(self, request: Request) -> object:
        labels = _labels_in(await _decoded(request, LabelBody))
        if not 1 <= len(labels) <= MAX_ROWS:
            raise HTTPException(
                413, f"`labels` must have 1 to {MAX_ROWS} entries, got {len(labels)}"
            )
        for one in labels:
            self._check_label(one.label)
        ids = [one.id for one in labels]
        values = [one.label for one in labels]
        results = await self._durable(partial(self._inbox.put_labels, ids, values))
        return _label_response(ids, results)

    async def decision(self, request: Request) -> object:
        engine = self._engine()
        model = last_step(engine.model)
        if not isinstance(model, LOCOClassifier):
            raise HTTPException(422, f"a {type(model).__name__} predicts by no such rule")
        if request.method == "POST":
            await self._decide(engine, await _decoded(request, DecisionBody))
        return _shown_decision(model)

    async def _decide(self, engine: StreamEngine, given: DecisionBody) -> None:
        """Set the rule in the engine's thread, between two commits."""
        late = f"not in use within {TIMEOUT:g} s; it may still be"
        with _refused_values():
            rule = _rule(given)
            await _answer(engine, lambda engine: engine.set_decision(**rule), late)

    async def forecast(self, request: Request) -> object:
        engine = self._engine()
        if engine.forecasts is None:
            raise HTTPException(422, f"a {type(last_step(engine.model)).__name__} has no forecast")
        late = f"no answer within {TIMEOUT:g} s"
        with _refused_values():
            horizon = forecast_steps(request.query_params.get("horizon"))
            fan = await _answer(engine, lambda engine: engine.forecasts.fan(horizon), late)
        return jsonable(fan)

    def _engine(self) -> StreamEngine:
        """Return the engine; an HTTP error before there is one."""
        if self._service.engine is None:
            raise HTTPException(503, f"there is no model yet: {self._service.status['phase']}")
        return self._service.engine

    async def write(self, request: Request) -> object:
        """Take rows in the line protocol of InfluxDB."""
        body = await _raw(request)
        rows = self._line_rows(body, request.query_params.get("precision", "ns"))
        results: list[RowResult] = []
        for at in range(0, len(rows), _WRITE_ROWS):
            part = rows[at : at + _WRITE_ROWS]
            results += await self._durable(partial(self._inbox.put, part))
        refused = [result.reason for result in results if result.status == "refused"]
        if refused:
            raise HTTPException(
                422,
                f"rows refused: {len(refused)} of {len(results)}; the first error: {refused[0]}",
            )
        return None

    async def _durable(self, submit: Callable[[], Future[list[RowResult]]]) -> list[RowResult]:
        """Submit rows or labels and wait until they are durable; an HTTP error otherwise."""
        try:
            waiting = asyncio.wrap_future(submit())
            # nobody reads an error that comes after the timeout, which asyncio would log
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
            return await asyncio.wait_for(asyncio.shield(waiting), TIMEOUT)
        except (InboxFullError, InboxClosedError) as error:
            raise HTTPException(503, str(error)) from None
        except TimeoutError:
            alarm = self._service.alarm
            why = f": {alarm}" if alarm else ""
            raise HTTPException(
                503, f"not learned within {TIMEOUT:g} s; it may still be{why}"
            ) from None

    @property
    def _task(self) -> str:
        status = self._service.status
        return problem_of(status) if "mae" in status else "classification"

    def _checked_labels(self, given: LearnBody) -> Sequence[InboxRow]:
        """Return rows and labels; raises an HTTP error for what cannot be learned."""
        several = given.rows
        if several is None:
            several = [LabelledRow(given.x or {}, given.y, given.id, given.t)]
        rows = [InboxRow(row.x, row.y, row.id, _time_of(row)) for row in several]
        if (given.source is None) != (given.seq is None):
            raise HTTPException(400, "`source` and `seq` must be given together")
        if not rows:
            raise HTTPException(422, f"`rows` must have 1 to {MAX_ROWS} entries, got 0")
        if (given.seq or 0) + len(rows) - 1 > MAX_SEQ:
            raise HTTPException(422, f"the numbers of rows must be at most {MAX_SEQ}")
        for row in rows:
            self._check_row(row.x)
            if row.id is None or row.y is not None:  # else the label comes later
                self._check_label(row.y, may_miss=False)
        return rows

    def _line_rows(self, body: bytes, precision: str) -> Sequence[InboxRow]:
        """Return rows in line protocol; raises an HTTP error for what cannot be learned."""
        if self._lines is None:
            raise HTTPException(
                501, "install line-protocol-parser: pip install 'loco-stream[influx]'"
            )
        try:
            lines = self._lines.read(body, precision)
        except SourceError as error:
            raise HTTPException(400, str(error)) from None
        for row in lines:
            self._check_row(row.x)
            self._check_label(row.y)
        return [InboxRow(row.x, row.y, row.id, row.t, row.extra) for row in lines]

    def _checked_rows(self, asked: PredictBody, engine: StreamEngine) -> Sequence[Row]:
        """Return rows to predict; raises an HTTP error for values that the model cannot take."""
        given = [asked.x or {}] if asked.rows is None else asked.rows
        rows = [engine.without_fill_values(x) for x in given]
        for x in rows:
            self._check_row(x)
        return rows

    def _check_row(self, x: Row) -> None:
        engine = self._service.engine
        needs_features = engine is None or engine.forecasts is None
        if needs_features and not x:
            raise HTTPException(422, "`x` must have at least one feature, got none")
        if fault := row_fault(x):
            raise HTTPException(422, fault)

    def _check_label(self, y: object, *, may_miss: bool = True) -> None:
        if y is None and may_miss:
            return
        if y in (None, ""):
            raise HTTPException(422, "`y` must be the label of the row, got none")
        if fault := label_fault(y, self._task):
            raise HTTPException(422, fault)

    async def health(self, request: Request) -> object:
        return {"status": "ok"}

    async def ready(self, request: Request) -> object:
        service = self._service
        fault = service.alarm or service.outage
        if service.engine is None or fault:
            raise HTTPException(503, fault or service.status["phase"])
        return {"ready": True, "n_samples": service.status["n_samples"]}

    async def document(self, request: Request) -> object:
        return DOCUMENT


def http_app(
    service: Service,
    inbox: Inbox,
    token: str | None,
    hosts: Sequence[str],
    lines: LineReader | None,
) -> Starlette:
    """Return the application.

    service: what to predict with and report on
    inbox: takes the rows to learn
    token: bearer token of requests for predictions and with rows; None needs no token
    hosts: accepted Host headers; ``*`` for any
    lines: reads rows in the line protocol of InfluxDB; None if its library is not installed
    """
    routes = _ApiRoutes(service, inbox, lines)
    return Starlette(
        routes=[
            Route("/predict", _json(routes.predict, token), methods=["POST"]),
            Route("/learn", _json(routes.learn, token), methods=["POST"]),
            Route("/label", _json(routes.label, token), methods=["POST"]),
            Route("/decision", _json(routes.decision, token), methods=["GET", "POST"]),
            Route("/forecast", _json(routes.forecast, token)),
            Route("/write", _json(routes.write, token, SCHEMES), methods=["POST"]),
            Route("/api/v2/write", _json(routes.write, token, SCHEMES), methods=["POST"]),
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


def _json(
    handle: Endpoint, token: str | None, schemes: Collection[str] = ("bearer",)
) -> Callable[[Request], Awaitable[Response]]:
    """Wrap an endpoint: check the origin and the token, and encode the result as JSON."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("origin") is not None:
            raise HTTPException(403, "pages of a browser may not use this API")
        given = request.headers.get("authorization", "")
        if token is not None and not shows_token(given, token, schemes):
            raise HTTPException(401, "send the token: Authorization: Bearer TOKEN")
        answer = await handle(request)
        if answer is None:
            return Response(status_code=204)
        return _as_json(answer)

    return endpoint


def _as_json(
    answer: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response of one line: a terminal shows each answer on a line of its own."""
    body = msgspec.json.encode(answer) + b"\n"
    return Response(body, status, headers=headers, media_type="application/json")


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = _WRONG_PATH.get(error.status_code, error.detail)
    return _as_json({"error": detail}, error.status_code, error.headers)


@contextmanager
def _refused_values() -> Iterator[None]:
    """Answer 422 where the engine refuses a value of the request."""
    try:
        yield
    except (ConfigError, InputError) as error:
        raise HTTPException(422, str(error)) from None


def _time_of(row: LabelledRow) -> float | None:
    """Return the event time of a row, None for that of its arrival."""
    if row.t is None:
        return None
    try:
        time = event_time(row.t)
    except SourceError:
        time = math.nan
    if math.isnan(time):
        wanted = "must be seconds since 1970 or an ISO 8601 date"
        raise HTTPException(422, f"`t` {wanted}, got {shown(row.t)}")
    return time


async def _read(request: Request, kind: type[Body]) -> Body:
    """Return the decoded rows; raises an HTTP error if they are invalid."""
    given = await _decoded(request, kind)
    if (given.x is None) == (given.rows is None):
        raise HTTPException(400, "give one row as x, or several as rows")
    if given.rows is not None and len(given.rows) > MAX_ROWS:
        raise HTTPException(
            413, f"`rows` must have at most {MAX_ROWS} entries, got {len(given.rows)}"
        )
    return given


async def _decoded(request: Request, kind: type[Answer]) -> Answer:
    """Return the decoded body; raises an HTTP error if it is invalid."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send JSON with Content-Type: application/json")
    body = await _raw(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, _reason(error, body, kind)) from None


def _reason(error: Exception, body: bytes, kind: type[Answer]) -> str:
    """Return in a sentence why a body was refused."""
    try:
        values = msgspec.json.decode(body)
    except msgspec.ValidationError:  # a number out of range
        values = values_in(body, json.loads)
    except RecursionError as deep:
        return fault(deep, whole="the body")
    except (msgspec.MsgspecError, UnicodeDecodeError) as syntax:
        return f"the body must be JSON: {syntax_fault(syntax, body)}"
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in values if isinstance(values, dict) else ():
        if name not in known:
            return f"the body must not have the field `{name:.60}`; it may have {', '.join(known)}"
    return fault(error, values, "the body")


async def _raw(request: Request) -> bytes:
    """Return the body, unpacked; raises an HTTP error if it is too large or too slow."""
    if int(request.headers.get("content-length", 0)) > _MAX_READ:
        raise HTTPException(413, f"at most {MAX_BYTES} bytes per request")
    coding = request.headers.get("content-encoding", "identity").lower()
    is_packed = coding in ("gzip", "x-gzip")
    if not is_packed and coding != "identity":
        raise HTTPException(415, f"`Content-Encoding` must be gzip or identity, got {coding:.60}")
    try:
        body = await asyncio.wait_for(_body(request), TIMEOUT)
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {TIMEOUT:g} s") from None
    return _unpacked(body) if is_packed else body


def _unpacked(body: bytes) -> bytes:
    """Return the content of a gzip body; raises an HTTP error if it is too large or cut."""
    try:
        content = gzip.GzipFile(fileobj=BytesIO(body)).read(MAX_BYTES + 1)
    except EOFError:
        raise HTTPException(400, "the body is not gzip: it ends too early") from None
    except (OSError, zlib.error) as error:
        raise HTTPException(400, f"the body is not gzip: {error}") from None
    if len(content) > MAX_BYTES:
        raise HTTPException(413, f"at most {MAX_BYTES} bytes per request")
    return content


async def _body(request: Request) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= MAX_BYTES:
            parts.append(part)
        if size > _MAX_READ:
            break
    if size > MAX_BYTES:
        raise HTTPException(413, f"at most {MAX_BYTES} bytes per request")
    return b"".join(parts)


def _labels_in(given: LabelBody) -> Sequence[RowLabel]:
    """Return one label or several; raises an HTTP error for both or neither."""
    if (given.id is None) == (given.labels is None):
        raise HTTPException(400, "give one label as id and label, or several as labels")
    if given.labels is not None:
        return given.labels
    assert given.id is not None
    if given.label is msgspec.UNSET:
        raise HTTPException(400, "`label` must be given; null says that the row will get none")
    return [RowLabel(given.id, given.label)]


async def _answer(engine: StreamEngine, query: Query, late: str) -> object:
    """Return the answer of the engine's thread between two commits.

    Raises an HTTP error if the engine cannot answer, or with the text `late` if it has not answered
    yet. Raises `ConfigError` or `InputError` if the query is wrong.
    """
    try:
        waiting = engine.queries.submit(query)
        return await asyncio.wait_for(asyncio.wrap_future(waiting), TIMEOUT)
    except (ConfigError, InputError):
        raise
    except LocoStreamError as error:
        raise HTTPException(503, str(error)) from None
    except TimeoutError:
        raise HTTPException(503, late) from None


def _prediction(engine: StreamEngine, x: Row, in_stream: bool | None) -> dict[str, object]:
    if engine.forecasts is not None:
        predicted = _next_value(engine.forecasts, x)
        engine.count_request(x)
        return predicted
    model = engine.model
    mode = mode_arguments(model.predict_one, in_stream)
    try:
        predicted = {"prediction": model.predict_one(x, **mode)}
        if hasattr(model, "predict_proba_one"):
            proba = model.predict_proba_one(x, **mode)
            predicted["proba"] = dict(zip(label_keys(proba), proba.values(), strict=True))
    except LocoStreamError as error:
        raise HTTPException(422, str(error)) from None
    engine.count_request(x)
    unknown = _unknown_features(model, x)
    return {**predicted, "unknown_features": unknown} if unknown else predicted


def _next_value(forecasts: ForecastAdapter, x: Row) -> dict[str, object]:
    """Return the forecast of the next value, with the features of its row."""
    named: Mapping[Any, object] = x
    try:
        values, _ = forecasts.forecast(named)
    except LocoStreamError as error:
        raise HTTPException(422, str(error)) from None
    return {"prediction": jsonable(values[0])}


def _unknown_features(model: object, x: Row) -> list[str]:
    """Return the features of a row that the model does not know; none before its first row."""
    known = getattr(model, "features", None)  # models of other libraries have no such attribute
    return [name for name in x if name not in known] if known else []


def _rule(given: DecisionBody) -> Rule:
    """Return the arguments of `set_decision`; raises an HTTP error if they cannot be such."""
    thresholds = given.thresholds or []
    costs = given.costs or []
    if (entries := max(len(thresholds), len(costs))) > MAX_RULES:
        raise HTTPException(413, f"a rule must have at most {MAX_RULES} entries, got {entries}")
    by_label = [(one.label, one.probability) for one in thresholds]
    by_pair = [((one.true, one.predicted), one.cost) for one in costs]
    rule = rule_of(
        None if given.thresholds is None else by_label, None if given.costs is None else by_pair
    )
    for label in labels_of(rule):
        if fault := label_fault(label, "classification"):
            raise HTTPException(422, f"a label of the rule cannot be learned: {fault}")
    return rule


def _shown_decision(model: LOCOClassifier) -> dict[str, object]:
    """Return the rule of a classifier, and its labels that no row has had yet."""
    rule = model.decision or {}
    unknown = [label for label in labels_of(rule) if label not in model.classes]
    return {**shown_rule(rule), "unknown_labels": unknown}


def _learn_response(results: Sequence[RowResult]) -> LearnResponse:
    """Return the counts and what became of each row; an HTTP error if every row is refused."""
    n = Counter(result.status for result in results)
    if n["refused"] == len(results):
        raise HTTPException(422, results[0].reason)
    rows = [RowStatus(result.status, result.reason or None) for result in results]
    return LearnResponse(n["learned"], n["waiting"], n["repeated"], n["refused"], rows)


def _label_response(ids: Sequence[Id], results: Sequence[RowResult]) -> LabelResponse:
    """Return how many labels were taken, and which were refused; an HTTP error if all were."""
    pairs = zip(ids, results, strict=True)
    refused = [RefusedLabel(of, one.reason) for of, one in pairs if one.status == "refused"]
    if len(refused) == len(results):
        raise HTTPException(422, results[0].reason)
    return LabelResponse(len(results) - len(refused), refused or None)
