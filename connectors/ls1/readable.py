"""Readable rows in the reliable protocol.

Each becomes the labelled block of one row that it stands for.

One with texts has no place in a table of numbers: it stays a row by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping

import numpy as np

from loco_stream.connectors.ls1.messages import ReadableRow, SchemaPayload
from loco_stream.connectors.ls1.wire import Kind, Message
from loco_stream.connectors.values import sequence_id
from loco_stream.errors import InputError, SourceError
from loco_stream.numbers import require_number, to_number
from loco_stream.stream import PredictRequest, Sample

__all__ = ["as_ask", "as_block", "as_sample", "has_text", "take_id"]


def has_text(row: ReadableRow) -> bool:
    """Return whether a value of a row, or the id of its event, is a text."""
    return isinstance(row.sequence, str) or any(isinstance(value, str) for value in row.x.values())


def as_sample(row: ReadableRow, schema: SchemaPayload, source: str, epoch: int) -> Sample:
    """Return a row with texts.

    Raises
    ------
    SourceError
        A feature or a label that the schema does not have, or no id of its event where the schema
        has a column for it.
    """
    _check_names(row.x, schema)
    sequence = take_id(row, schema)
    if sequence is None and schema.sequence is not None:
        sequence_id(None)  # which tells what is allowed
    y = row.y
    if y is not None:
        y = (
            _target(y)
            if schema.task == "regression"
            else (schema.classes or ())[_index(y, schema.classes or ())]
        )
    return Sample(row.x, y, row.seq or 0, row.t, source, sequence, epoch)


def as_ask(row: ReadableRow, schema: SchemaPayload, source: str) -> PredictRequest:
    """Return a request in words.

    Raises `SourceError` for a feature that the schema does not have.
    """
    _check_names(row.x, schema)
    x = {name: value for name, value in row.x.items() if name != schema.sequence}
    if not x:
        raise SourceError("a request needs a value to predict from")
    return PredictRequest(np.array([list(x.values())], object), tuple(x), row.seq or 0, source)


def as_block(
    source: str, x: Mapping[str, object], y: object, seq: int, t: float, schema: SchemaPayload
) -> Message:
    """Return a readable row as a message of kind 1.

    Raises
    ------
    SourceError
        A feature or a label that the schema does not have.
    """
    _check_names(x, schema)
    values = [to_number(x.get(name)) for name in schema.features]
    row = np.array(values, "<f4").tobytes()
    if schema.task == "regression":
        label = np.array([math.nan if y is None else _target(y)], "<f4")
    else:
        label = np.array([_index(y, schema.classes or ())], "<i4")
    return Message(source, Kind.LABELLED, seq, t, 1, len(values), row + label.tobytes())


def take_id(row: ReadableRow, schema: SchemaPayload | None) -> Hashable:
    """Return the id of the event that a readable row is of, taken out of its values where its schema says so."""
    given = row.sequence
    if schema is not None and schema.sequence is not None:
        given = row.x.pop(schema.sequence, given)
    return None if given is None else sequence_id(given)


def _check_names(x: Collection[str], schema: SchemaPayload) -> None:
    for name in x:
        if name not in schema.features:
            raise SourceError(f"feature {name!r} is not in the schema")


def _target(y: object) -> float:
    try:
        return require_number("y", y)
    except InputError as error:
        raise SourceError(str(error)) from None


def _index(y: object, classes: tuple[str, ...]) -> int:
    if y is None:
        return -1
    if str(y) not in classes:
        raise SourceError(f"y {y!r} is not among the schema's classes")
    return classes.index(str(y))
