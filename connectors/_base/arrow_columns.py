"""Columns of pyarrow as blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._numbers import LARGEST, is_beyond, to_number
from loco_stream.connectors._base.values import plain_scalar

Column: TypeAlias = Any  # a pyarrow.ChunkedArray: pyarrow ships no types
Cells: TypeAlias = Float64 | list[Any]


class IrregularBlock(Exception):
    """Rows that must be read one by one, because one of them may be refused."""


@contextmanager
def conversion() -> Iterator[None]:
    """Raise `IrregularBlock` for values that pyarrow or Python cannot convert.

    Reading them one by one gives the sentence with the place.
    """
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise IrregularBlock from error


def table_of(columns: Sequence[Column], parse: Callable[[str], Any] | None = None) -> Array:
    """Return columns as an array (n, n_columns): float64, or objects if some values are text.

    Parameters
    ----------
    columns
        One column per feature, all of one length, at least one.
    parse
        Returns the value that a text spells; None keeps texts as they are.

    Raises
    ------
    IrregularBlock
        A number is beyond `LARGEST`.
    """
    cells = [_cells(column, parse) for column in columns]
    n = len(columns[0])
    if not any(isinstance(column, list) for column in cells):
        X = np.empty((n, len(cells)))
        for j, column in enumerate(cells):
            X[:, j] = column
        return X
    table = np.empty((n, len(cells)), dtype=object)
    for j, column in enumerate(cells):
        if not isinstance(column, list):
            column = [None if value != value else value for value in column.tolist()]
        table[:, j] = column
    return table


def _cells(column: Column, parse: Callable[[str], Any] | None) -> Cells:
    """Return a column as numbers, NaN where missing, or as values if some are text."""
    import pyarrow.types as types

    kind = column.type
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind):
        if not types.is_float64(kind):
            column = column.cast("uint8") if types.is_boolean(kind) else column
            column = column.cast("float64", safe=False)
        return _within_range(column.to_numpy())
    if types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _found(mapped(column, lambda value: _value(value, parse)))
    return _found([_value(value, parse) for value in column.to_pylist()])


def _value(value: Any, parse: Callable[[str], Any] | None) -> Any:
    """Return the value of a cell.

    Raises
    ------
    IrregularBlock
        It is a finite number beyond `LARGEST`, for which the engine refuses a row.
    """
    found = parse(value) if parse is not None and isinstance(value, str) else plain_scalar(value)
    if is_beyond(found):
        raise IrregularBlock
    return found


def _found(values: list[Any]) -> Cells:
    """Return values as they are if some are text, else as numbers."""
    if any(isinstance(v, str) for v in values):
        return values
    found = (math.nan if value is None else float(value) for value in values)
    return _within_range(np.fromiter(found, np.float64, len(values)))


def _within_range(values: Float64) -> Float64:
    """Return numbers with NaN for infinite ones."""
    size = np.abs(values)
    if (size <= LARGEST).all():
        return values
    if ((size > LARGEST) & (size < math.inf)).any():
        raise IrregularBlock
    return np.where(size <= LARGEST, values, math.nan)


def mapped(column: Column, function: Callable[[Any], Any]) -> list[Any]:
    """Return the result of a function for each value of a column, called once per distinct value.

    Missing values are passed as None.
    """
    import pyarrow.types as types

    if not types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = column.combine_chunks()
    if not hasattr(encoded, "dictionary"):  # a chunked array of several chunks, or of none
        return [function(value) for value in column.to_pylist()]
    found = [function(value) for value in encoded.dictionary.to_pylist()]
    indices = encoded.indices
    if not indices.null_count:
        return [found[i] for i in indices.to_numpy().tolist()]
    missing = function(None)
    return [missing if i is None else found[i] for i in indices.to_pylist()]


def is_learnable(label: Any) -> bool:
    """Return whether a label is one that no model refuses."""
    if isinstance(label, float):
        return to_number(label) == label
    return not isinstance(label, int) or -(2**63) <= label < 2**63
