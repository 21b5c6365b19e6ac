"""Bodies of requests and responses of the HTTP API, as types and as an OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from loco_stream.engine._inbox import Status
from loco_stream.stream import MAX_SEQ
from loco_stream.version import __version__

Schema: TypeAlias = dict[str, Any]
Value = int | float | bool | str | None
Features = dict[str, Value]


Label = Value | dict[str, float | int | None]  # a map where there are several targets
Time = float | str | None
Id = Annotated[str, Meta(min_length=1, max_length=255)] | int


class LabelledRow(msgspec.Struct, forbid_unknown_fields=True):
    """A row and its label; a row with an `id` may get its label later.

    `t` is the event time in seconds since 1970, or as an ISO 8601 date; null: the time of arrival.
    """

    x: Features
    y: Label = None
    id: Id | None = None
    t: Time = None


class RowLabel(msgspec.Struct, forbid_unknown_fields=True):
    """The label of the row with an id; null if the row will get none."""

    id: Id
    label: Label


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """One row as `x`, or several as `rows`.

    `in_stream`: true if they are the stream's next rows, false if they may be of any class that was
    ever learned, null if the evidence of each row decides.
    """

    x: Features | None = None
    rows: list[Features] | None = None
    in_stream: bool | None = False


class LearnBody(msgspec.Struct, forbid_unknown_fields=True):
    """One row as `x` with its label `y` and event time `t`, or several as `rows`.

    A row with an `id` may come without its label, which `/label` then brings.
    With `source`, a name that the client chooses, and `seq`, the number of the first row, a row
    that is sent again is not learned again, however long ago it was learned.
    """

    x: Features | None = None
    y: Label = None
    id: Id | None = None
    t: Time = None
    rows: list[LabelledRow] | None = None
    source: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)] | None = None


class LabelBody(msgspec.Struct, forbid_unknown_fields=True):
    """One label by the `id` of its row, or several as `labels`."""

    id: Id | None = None
    label: Value | msgspec.UnsetType = msgspec.UNSET  # null would give the row up
    labels: list[RowLabel] | None = None


class Threshold(msgspec.Struct, forbid_unknown_fields=True):
    """The probability from which a label is predicted."""

    label: Value
    probability: float


class PairCost(msgspec.Struct, forbid_unknown_fields=True):
    """What it costs to predict a label for a row of another one."""

    true: Value
    predicted: Value
    cost: float


class DecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """How predicted labels follow from probabilities: by thresholds or by costs.

    Without either, the most probable label is predicted. A mistake that is not named costs 1, and a
    correct prediction 0.
    """

    thresholds: list[Threshold] | None = None
    costs: list[PairCost] | None = None


class DecisionResponse(msgspec.Struct):
    """The rule in use, and its labels that no row has had yet."""

    thresholds: list[Threshold]
    costs: list[PairCost]
    unknown_labels: list[Value]


class ForecastResponse(msgspec.Struct):
    """The last values of a series, and the next ones with the 90 % interval of each.

    Forecasts are null before the first value, bounds while there are too few errors.
    """

    history: list[float | None]
    forecast: list[float | None]
    low: list[float | None]
    high: list[float | None]


class RefusedLabel(msgspec.Struct):
    """The id of a label that was refused, and the reason."""

    id: Id
    reason: str


class LabelResponse(msgspec.Struct, omit_defaults=True):
    """Number of labels that were taken, and the refused ones, if any.

    A label whose row has not come yet waits for it.
    """

    labels: int
    refused: list[RefusedLabel] | None = None


class PredictResponse(msgspec.Struct):
    """The prediction of a row, None before the first label, and its unknown features."""

    prediction: Value
    proba: dict[str, float] | None = None
    unknown_features: list[str] | None = None


class PredictManyResponse(msgspec.Struct):
    """Predictions of several rows."""

    predictions: list[PredictResponse]


class RowStatus(msgspec.Struct, omit_defaults=True):
    """What became of a row.

    It was learned, waits for its label, is repeated (its number or id came before) or was refused,
    with the reason.
    """

    status: Status
    reason: str | None = None


class LearnResponse(msgspec.Struct):
    """Numbers of rows by what became of them, and the same for each row.

    If every row is refused, the response is an error with the reason.
    """

    learned: int
    waiting: int
    repeated: int
    refused: int
    rows: list[RowStatus]


class ErrorResponse(msgspec.Struct):
    """One sentence about the error."""

    error: str


class HealthResponse(msgspec.Struct):
    """The process is alive."""

    status: str


class ReadyResponse(msgspec.Struct):
    """There is a model, rows become durable, and the source has its connection."""

    ready: bool
    n_samples: int


_ERRORS = {
    "400": "invalid JSON or fields",
    "401": "missing or wrong token",
    "408": "the body arrived too slowly",
    "413": "too many bytes or rows",
    "415": "not JSON",
    "422": "a value that cannot be learned or predicted; no row was learned",
    "503": "not ready, or too many rows are waiting",
}


def _document() -> Schema:
    types = (
        PredictBody,
        LearnBody,
        LabelBody,
        DecisionBody,
        DecisionResponse,
        ForecastResponse,
        PredictResponse,
        PredictManyResponse,
        LearnResponse,
        LabelResponse,
        HealthResponse,
        ReadyResponse,
        ErrorResponse,
    )
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    predict, learn, label, rule, decision, fan, *answers = schemas
    one, several, learned, labelled, health, ready, error = answers
    errors = {code: _response(text, error) for code, text in _ERRORS.items()}
    paths = {
        "/predict": {
            "post": _operation(
                "Predict rows; nothing is learned.", {"anyOf": [one, several]}, predict
            )
        },
        "/learn": {
            "post": _operation(
                "Learn rows, with source and seq once each; responds when they are durable.",
                learned,
                learn,
            )
        },
        "/label": {
            "post": _operation(
                "Label rows by their ids; responds when the labels are durable.", labelled, label
            )
        },
        "/decision": {
            "get": _operation("The rule by which labels are predicted.", decision, token=True),
            "post": _operation(
                "Predict labels by another rule; responds when it is durable.", decision, rule
            ),
        },
        "/forecast": {
            "get": _operation(
                "The next `?horizon=` values of the series, 1 to 1000; only with --forecast.",
                fan,
                token=True,
            )
        },
        "/write": {"post": _write_operation()},
        "/api/v2/write": {"post": _write_operation()},
        "/health": {"get": _operation("Whether the process is alive.", health)},
        "/ready": {"get": _operation("Whether rows are learned and predicted.", ready)},
    }
    for methods in paths.values():
        for operation in methods.values():
            operation["responses"] |= errors
    return {
        "openapi": "3.1.0",
        "info": {"title": "loco-stream", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(summary: str, result: object, body: object = None, *, token: bool = False) -> Schema:
    described: Schema = {
        "summary": summary,
        "responses": {"200": _response("done", result)},
    }
    if body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    if body is not None or token:
        described["security"] = [{}, {"token": []}]
    return described


def _write_operation() -> Schema:
    described = _operation("Take rows in the line protocol of InfluxDB.", {})
    described["responses"] = {"204": {"description": "the rows are durable"}}
    content = {"text/plain": {"schema": {"type": "string"}}}
    described["requestBody"] = {"required": True, "content": content}
    described["security"] = [{}, {"token": []}]
    return described


def _response(description: str, schema: object) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


DOCUMENT = _document()
