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

Table: TypeAlias = Any  # of pyarrow, which ships no types
Column: TypeAlias = Any  # a pyarrow.ChunkedArray
Cells: TypeAlias = Float64 | list[Any]
Parse: TypeAlias = Callable[[str], Any] | None  # of texts in cells; None keeps them


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


def table_of(table: Table, names: Sequence[str], parse: Parse = None) -> Array:
    """Return columns as an array (n, n_columns): float64, or objects if some values are text.

    Parameters
    ----------
    table
        With a row at least.
    names
        Of one column per feature, at least one.
    parse
        Returns the value that a text spells; None keeps texts as they are.

    Raises
    ------
    IrregularBlock
        A number is beyond `LARGEST`, or infinite where it was read from a text, which may spell a
        larger integer.
    """
    import pyarrow.types as types

    columns = table.select(names)
    if all(map(types.is_float64, columns.schema.types)):
        (batch,) = columns.combine_chunks().to_batches()
        X = np.require(batch.to_tensor(null_to_nan=True).to_numpy(), requirements="W")
        return _within_range(X, parse)
    cells = [_cells(column, parse) for column in columns.columns]
    n = table.num_rows
    if not any(isinstance(column, list) for column in cells):
        return np.stack(cells, axis=1)
    X = np.empty((n, len(cells)), dtype=object)
    for j, column in enumerate(cells):
        if not isinstance(column, list):
            column = [None if value != value else value for value in column.tolist()]
        X[:, j] = column
    return X


def _cells(column: Column, parse: Parse) -> Cells:
    """Return a column as numbers, NaN where missing, or as values if some are text."""
    import pyarrow.types as types

    kind = column.type
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind):
        if not types.is_float64(kind):
            column = column.cast("uint8") if types.is_boolean(kind) else column
            column = column.cast("float64", safe=False)
        return _within_range(column.to_numpy(), parse)
    if types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _found(mapped(column, lambda value: _value(value, parse)))
    return _found([_value(value, parse) for value in column.to_pylist()])


def _value(value: Any, parse: Parse) -> Any:
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
    return _within_range(np.fromiter(found, np.float64, len(values)), None)


def _within_range(values: Float64, parse: Parse) -> Float64:
    """Return numbers with NaN for infinite ones."""
    size = np.abs(values)
    beyond = size > LARGEST
    if not beyond.any():
        return values
    if parse is not None or (size[beyond] < math.inf).any():
        raise IrregularBlock
    return np.where(beyond, math.nan, values)


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
