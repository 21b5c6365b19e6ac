"""Rows by name in the reliable protocol.

A row of numbers becomes the labelled block of one row that it stands for. A row with texts does not
fit into a table of numbers, and stays a row by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable

import numpy as np

from loco_stream._numbers import require_number, shown, to_number
from loco_stream.connectors._base.values import sequence_id
from loco_stream.connectors.ls1._messages import NamedRow, SchemaPayload
from loco_stream.connectors.ls1._wire import Kind, Message
from loco_stream.errors import InputError, SourceError
from loco_stream.stream import PredictRequest, Sample


def has_text(row: NamedRow) -> bool:
    """Whether a value of a row, or its sequence id, is a text."""
    return isinstance(row.sequence, str) or any(isinstance(value, str) for value in row.x.values())


def to_sample(row: NamedRow, schema: SchemaPayload, source: str, epoch: int) -> Sample:
    """Return a row with texts as a sample.

    Raises
    ------
    SourceError
        The schema lacks a feature or the label, or it has a sequence id and the row none.
    """
    _check_names(row.x, schema)
    sequence = take_id(row, schema)
    if sequence is None and schema.sequence is not None:
        sequence_id(None)  # raises
    y = check_label(row.y, schema)
    return Sample(row.x, y, row.seq or 0, row.t, source, sequence, epoch, id=row.id)


def to_request(row: NamedRow, schema: SchemaPayload, source: str) -> PredictRequest:
    """Return a row as a request to predict.

    Raises
    ------
    SourceError
        The schema lacks a feature, or the row has no feature.
    """
    _check_names(row.x, schema)
    x = {name: value for name, value in row.x.items() if name != schema.sequence}
    if not x:
        raise SourceError("a request must have at least one feature")
    return PredictRequest(np.array([list(x.values())], object), tuple(x), row.seq or 0, source)


def to_message(row: NamedRow, schema: SchemaPayload, source: str) -> Message:
    """Return a row of numbers as a message of the kind `LABELLED`.

    Raises
    ------
    SourceError
        The schema lacks a feature or the label.
    """
    _check_names(row.x, schema)
    values = [to_number(row.x.get(name)) for name in schema.features]
    payload = np.array(values, "<f4").tobytes() + _label_bytes(row.y, schema)
    return Message(source, Kind.LABELLED, row.seq or 0, row.t, 1, len(values), payload)


def _label_bytes(y: object, schema: SchemaPayload) -> bytes:
    if schema.task == "regression":
        return np.array([math.nan if y is None else _target(y)], "<f4").tobytes()
    return np.array([_class_index(y, schema.classes or ())], "<i4").tobytes()


def take_id(row: NamedRow, schema: SchemaPayload | None) -> Hashable:
    """Return the sequence id of a row, and remove it from the values if the schema has it there."""
    given: object = row.sequence
    if schema is not None and schema.sequence is not None:
        given = row.x.pop(schema.sequence, row.sequence)
    return None if given is None else sequence_id(given)


def _check_names(x: Collection[str], schema: SchemaPayload) -> None:
    for name in x:
        if name not in schema.features:
            raise SourceError(f"a feature must be in the schema, got {shown(name)}")


def check_label(y: object, schema: SchemaPayload) -> float | str | None:
    """Return a label as the schema has it; None if it is missing.

    Raises
    ------
    SourceError
        The schema has no such class, or the task needs a number.
    """
    if y is None:
        return None
    if schema.task == "regression":
        return _target(y)
    classes = schema.classes or ()
    return classes[_class_index(y, classes)]


def _target(y: object) -> float:
    try:
        return require_number("y", y)
    except InputError as error:
        raise SourceError(str(error)) from None


def _class_index(y: object, classes: tuple[str, ...]) -> int:
    if y is None:
        return -1
    if str(y) not in classes:
        raise SourceError(f"`y` must be one of the schema's classes, got {shown(y)}")
    return classes.index(str(y))
