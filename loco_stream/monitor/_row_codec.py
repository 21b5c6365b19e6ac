"""Rows by name as rows of numbers and back, for hold-outs and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Number
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._numbers import LARGEST, masked, to_number

Row: TypeAlias = Any  # a mapping of feature names to values, or an array of one row
Vector: TypeAlias = Float64
Table: TypeAlias = Array  # (n, n_features) numbers, or objects if some values are text
Names: TypeAlias = tuple[Hashable, ...]
Extras: TypeAlias = dict[Hashable, Any]  # values that are not numbers, by feature

_NUMBERS = {float}  # types of values in a column of numbers
_EXTRAS = {str, type(None)}


class CodedRows(NamedTuple):
    """Rows of an array as `RowCodec` encodes them.

    `numbers` and `extras` have one entry per row; `extras` is empty if no row has any.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream import TaskMonitor
    >>> TaskMonitor().encode(np.array([[1.0], [2.0]]), ("load",)).column("load")
    [1.0, 2.0]
    """

    X: Table
    features: Names
    numbers: Sequence[Vector] | Table
    extras: Sequence[Extras]

    def column(self, name: Hashable) -> list[Any]:
        """Return the values of a feature, None in each row if there is no such feature."""
        if name not in self.features:
            return [None] * len(self.X)
        column: list[Any] = self.X[:, self.features.index(name)].tolist()
        return column

    def extras_of(self, i: int) -> Extras:
        """Return the values of a row that are no numbers, by name."""
        return self.extras[i] if self.extras else {}


class RowCodec:
    """Gives every numeric feature a column, in order of first sight; other values are extras.

    Examples
    --------
    >>> from loco_stream.monitor._row_codec import RowCodec
    >>> codec = RowCodec()
    >>> row, extras = codec.encode({"a": 1.5, "b": "red"})
    >>> row.tolist(), extras
    ([1.5], {'b': 'red'})
    >>> codec.decode(row, extras)
    {'a': 1.5, 'b': 'red'}
    """

    def __init__(self) -> None:
        self.columns: dict[Hashable, int] = {}
        self.names: Names = ()  # features by column

    def encode(self, x: Row, features: Names | None = None) -> tuple[Vector, Extras]:
        """Return the numbers of a row by column (NaN: missing), and its other values by name.

        `x` is a mapping, or an array of one row whose columns `features` names.
        """
        if features is not None and isinstance(x, np.ndarray) and x.dtype.hasobject:
            x = dict(zip(features, x.ravel().tolist(), strict=True))
        elif features is not None:
            values = _masked(np.array(x, dtype=np.float64).ravel())
            return self._encode_array(values, features), {}
        if tuple(x) == self.names:
            values = np.array(list(x.values()))
            if values.dtype.kind in "biuf" and values.ndim == 1:
                return _masked(values.astype(np.float64, copy=False)), {}
        return self._encode_by_name(x)

    def encode_rows(self, X: Table, features: Names) -> CodedRows:
        """Return what `encode` does for each row of an array (n, n_features)."""
        if X.dtype.hasobject:
            cells = dict(zip(features, X.T.tolist(), strict=True))
            kinds = {name: set(map(type, column)) for name, column in cells.items()}
            if all(kind == _NUMBERS or kind <= _EXTRAS for kind in kinds.values()):
                numbers = [name for name, kind in kinds.items() if kind == _NUMBERS]
                return CodedRows(X, features, *self._encode_columns(cells, numbers, len(X)))
            coded = [self.encode(dict(zip(features, row, strict=True))) for row in X.tolist()]
            return CodedRows(X, features, [row for row, _ in coded], [more for _, more in coded])
        if not self.names:
            self._set_names(features)
        if features == self.names:
            return CodedRows(X, features, _masked(X.astype(np.float64)), ())
        return CodedRows(X, features, [self.encode(x, features)[0] for x in X], ())

    def _encode_array(self, x: Vector, features: Names) -> Vector:
        if features is self.names or features == self.names:
            return x
        if not self.names:
            self._set_names(features)
            return x
        return self._encode_by_name(dict(zip(features, x.tolist(), strict=True)))[0]

    def _encode_by_name(self, x: Mapping[Hashable, object]) -> tuple[Vector, Extras]:
        numbers = {}
        extras = {}
        for name, value in x.items():
            number = to_number(value)
            if number == number or isinstance(value, Number):
                numbers[self.columns.setdefault(name, len(self.columns))] = number
            else:
                extras[name] = value
        if len(self.columns) > len(self.names):
            self.names = tuple(self.columns)
        row = np.full(len(self.columns), math.nan)
        for column, number in numbers.items():
            row[column] = number
        return row, extras

    def _encode_columns(
        self, cells: dict[Hashable, list[Any]], numbers: list[Hashable], n: int
    ) -> tuple[Table, list[Extras]]:
        """Return what `_encode_by_name` does for `n` rows by column; `numbers` are numeric ones."""
        places = [self.columns.setdefault(name, len(self.columns)) for name in numbers]
        if len(self.columns) > len(self.names):
            self.names = tuple(self.columns)
        columns = [cells.pop(name) for name in numbers]
        extras = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        rows = np.full((n, len(self.columns)), math.nan)
        for place, column in zip(places, columns, strict=True):
            rows[:, place] = column
        return masked(rows), extras

    def decode(self, row: Vector, extras: Mapping[Hashable, Any]) -> Extras:
        """Return the row by name; missing numbers are left out."""
        named = zip(self.names, row.tolist(), strict=False)
        return {**{name: value for name, value in named if not math.isnan(value)}, **extras}

    def restore_names(self, names: Sequence[Hashable]) -> None:
        """Take the columns of a checkpoint.

        Raises ValueError for a name that comes twice, TypeError for one that is not hashable.
        """
        if len(set(names)) != len(names):
            raise ValueError(f"feature names must be distinct, got {names!r}")
        self._set_names(names)

    def _set_names(self, names: Sequence[Hashable]) -> None:
        self.names = tuple(names)
        self.columns = {name: column for column, name in enumerate(names)}


def _masked(values: Array) -> Array:
    """Mask values that are not numbers; the sum of squares shows whether there are any."""
    return values if np.vdot(values, values) <= LARGEST**2 else masked(values)
