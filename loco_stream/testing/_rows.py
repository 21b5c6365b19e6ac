"""Rows and requests of events in a form that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._numbers import shown
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

Key: TypeAlias = tuple[str, str, int, int]
"""What a row is (row, labels or request), its source, epoch and number."""


class RowTexts(NamedTuple):
    """One row, late label or request; equal texts mean equal bytes."""

    key: Key
    x: str
    y: str
    t: str
    sequence: str


def rows_of(event: Event) -> Iterator[RowTexts]:
    """Yield the rows of an event."""
    if isinstance(event, Sample):
        key = ("row", event.source, event.epoch, event.seq)
        x = _texts(event.x)
        yield RowTexts(key, x, _text(event.y), _text(event.t), _text(event.sequence))
    elif isinstance(event, Labels):
        yield from _rows_of_labels(event)
    elif isinstance(event, PredictRequest):
        yield from _rows_of_request(event)
    else:
        yield from _rows_of_block(event)


def _rows_of_labels(event: Labels) -> Iterator[RowTexts]:
    for i, (of, y) in enumerate(zip(event.of, event.y, strict=True)):
        key = ("label", event.source, event.epoch, event.seq + i)
        yield RowTexts(key, str(of), _text(y), "", "")


def _rows_of_request(event: PredictRequest) -> Iterator[RowTexts]:
    for i, values in enumerate(event.X):
        key = ("request", event.source, 0, event.seq + i)
        yield RowTexts(key, _texts(dict(zip(event.features, values, strict=True))), "", "", "")


def _rows_of_block(event: Block) -> Iterator[RowTexts]:
    for i, (values, t) in enumerate(zip(event.X, event.row_times, strict=True)):
        y = None if event.y is None else event.y[i]
        sequence = None if event.sequence is None else event.sequence[i]
        x = dict(zip(event.features, values, strict=True))
        key = ("row", event.source, event.epoch, event.seq + i)
        yield RowTexts(key, _texts(x), _text(y), _text(t), _text(sequence))


def _texts(x: Mapping[Any, object]) -> str:
    return ", ".join(f"{name!r}: {_text(value)}" for name, value in x.items())


def _text(value: object) -> str:
    """Return a text that differs for different values; numbers are compared as floats."""
    plain = value.item() if isinstance(value, np.generic) else value
    return repr(float(plain)) if type(plain) is int and abs(plain) < 2**53 else repr(plain)


def _number_fault(event: Event) -> str:
    """Return what is wrong with the source and the number of an event."""
    if isinstance(event.source, str) and isinstance(event.seq, int) and event.seq >= 0:
        return ""
    return (
        "must yield events with a text `source` and a whole number `seq` from 0, got "
        f"{event.source!r} and {event.seq!r}"
    )


def event_fault(event: object) -> str:
    """Return what is wrong with an event; an empty text if it is valid."""
    if not isinstance(event, Event):
        return f"must yield events or lists of events, got {shown(event)}"
    if fault := _number_fault(event):
        return fault
    if isinstance(event, Sample):
        is_mapping = isinstance(event.x, Mapping)
        return "" if is_mapping else f"must yield samples with a mapping `x`, got {shown(event.x)}"
    if isinstance(event, Labels):
        fits = len(event.of) == len(event.y)
        return "" if fits else f"has {len(event.of)} numbers in `of`, and {len(event.y)} labels"
    return _table_fault(event)


def _table_fault(event: Block | PredictRequest) -> str:
    X = event.X
    if not isinstance(X, np.ndarray) or X.ndim != 2 or not len(X):
        return f"must yield arrays `X` of shape (n_rows, n_features), got {shown(X)}"
    is_request = isinstance(event, PredictRequest)
    if X.dtype != np.float32 and not (is_request and X.dtype.hasobject):
        return f"must yield arrays `X` of float32, got {X.dtype}"
    if len(event.features) != X.shape[1]:
        return f"has {len(event.features)} names in `features`, and {X.shape[1]} columns in `X`"
    for name in () if is_request else ("y", "times", "sequence"):
        values: Sequence[object] | None = getattr(event, name)
        if values is not None and len(values) != len(X):
            return f"has {len(values)} values in `{name}`, and {len(X)} rows in `X`"
    return ""
