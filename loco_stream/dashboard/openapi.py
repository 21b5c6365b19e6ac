"""What the HTTP door takes and answers, as types and as an OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from loco_stream.engine.deduplicator import MAX_NUMBER
from loco_stream.version import __version__

__all__ = ["DOCUMENT", "Learn", "Predict", "Row"]

Value = int | float | bool | str | None
Features = dict[str, Value]


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """A row and its label."""

    x: Features
    y: Value


class Predict(msgspec.Struct, forbid_unknown_fields=True):
    """One row as `x`, or several as `rows`."""

    x: Features | None = None
    rows: list[Features] | None = None


class Learn(msgspec.Struct, forbid_unknown_fields=True):
    """One row as `x` with its label `y`, or several as `rows`.

    With `source`, a name of the client's, and `seq`, the number of the first row, a row that is
    sent again is not learned again: the 64 numbers up to the highest of each source are remembered.
    """

    x: Features | None = None
    y: Value = None
    rows: list[Row] | None = None
    source: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    seq: Annotated[int, Meta(ge=0, le=MAX_NUMBER)] | None = None


class Answer(msgspec.Struct):
    """What the model says of a row, None before any label is known, and which of its features it does not know."""

    prediction: Value
    proba: dict[str, float] | None = None
    unknown_features: list[str] | None = None


class Answers(msgspec.Struct):
    """What the model says of several rows."""

    predictions: list[Answer]


class Learned(msgspec.Struct):
    """How many rows were learned and logged, and how many of those with a `seq` had been before."""

    learned: int
    repeated: int | None = None


class Error(msgspec.Struct):
    """One sentence on what is wrong."""

    error: str


class Health(msgspec.Struct):
    """The process answers."""

    status: str


class Ready(msgspec.Struct):
    """There is a model, and what it learns becomes durable."""

    ready: bool
    n_samples: int


_ERRORS = {
    "400": "no such JSON",
    "401": "the token is missing",
    "408": "too slow",
    "409": "a seq so far below the highest that nobody knows whether its row was learned",
    "413": "too large",
    "415": "not JSON",
    "422": "a value that cannot be learned or predicted",
    "503": "not ready, or too much waits",
}


def _document() -> dict[str, Any]:
    types = (Predict, Learn, Answer, Answers, Learned, Health, Ready, Error)
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    predict, learn, one, several, learned, health, ready, error = schemas
    errors = {code: _response(what, error) for code, what in _ERRORS.items()}

    def operation(what: str, answers: Any, body: Any = None) -> dict[str, Any]:
        described: dict[str, Any] = {
            "summary": what,
            "responses": {"200": _response("done", answers), **errors},
        }
        if body is not None:
            described["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": body}},
            }
            security: list[dict[str, list[str]]] = [{}, {"token": []}]
            described["security"] = security
        return described

    return {
        "openapi": "3.1.0",
        "info": {"title": "loco-stream", "version": __version__},
        "paths": {
            "/predict": {
                "post": operation(
                    "Predict rows; nothing is learned.", {"anyOf": [one, several]}, predict
                )
            },
            "/learn": {
                "post": operation(
                    "Learn rows, with source and seq each once; answered when they are logged and learned.",
                    learned,
                    learn,
                )
            },
            "/health": {"get": operation("Whether the process answers.", health)},
            "/ready": {
                "get": operation("Whether there is a model, and its log can be written.", ready)
            },
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _response(what: str, schema: Any) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


DOCUMENT = _document()
