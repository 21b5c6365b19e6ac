"""Readable rows in the reliable protocol: each becomes the labelled block of one row that it stands for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from loco_stream.connectors.ls1.messages import ReadableRow, SchemaPayload
from loco_stream.connectors.ls1.wire import Kind, Message
from loco_stream.connectors.values import sequence_id
from loco_stream.errors import InputError, SourceError
from loco_stream.numbers import require_number, to_number

__all__ = ["as_block", "take_id"]


def as_block(source: str, x: Mapping[str, Any], y: Any, seq: int, t: float, schema: SchemaPayload) -> Message:
    """Return a readable row as a message of kind 1.

    Raises
    ------
    SourceError
        A feature or a label that the schema does not have, or a text where a number is needed.
    """
    unknown = [name for name in x if name not in schema.features]
    texts = [name for name, value in x.items() if isinstance(value, str)]
    if unknown or texts:
        fault = "not in the schema" if unknown else "text, not a number"
        raise SourceError(f"feature {(unknown + texts)[0]!r} is {fault}")
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


def _target(y: Any) -> float:
    try:
        return require_number("y", y)
    except InputError as error:
        raise SourceError(str(error)) from None


def _index(y: Any, classes: tuple[str, ...]) -> int:
    if y is None:
        return -1
    if str(y) not in classes:
        raise SourceError(f"y {y!r} is not among the schema's classes")
    return classes.index(str(y))
