"""Samples by name as rows of numbers and back, so that hold-outs fit into arrays and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.numbers import LARGEST, masked, to_number

__all__ = ["RowCodec"]


class RowCodec:
    """Give every numeric feature a column, in order of first sight, and set the others aside.

    Examples
    --------
    >>> from loco_stream.monitor.rows import RowCodec
    >>> codec = RowCodec()
    >>> row, extras = codec.encode({"a": 1.5, "b": "red"})
    >>> row.tolist(), extras
    ([1.5], {'b': 'red'})
    >>> codec.decode(row, extras)
    {'a': 1.5, 'b': 'red'}
    """

    def __init__(self) -> None:
        self.columns: dict[Hashable, int] = {}
        self._names: tuple[Hashable, ...] = ()

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Features by column."""
        return self._names

    def encode(
        self, x: Any, features: tuple[Hashable, ...] | None = None
    ) -> tuple[NDArray[np.float64], dict[Hashable, Any]]:
        """Return the numbers of `x` by column (NaN: missing) and everything that is not a number.

        `x` is a mapping, or an array of one row whose columns `features` names.
        """
        if features is not None:
            return self._encode_array(
                _numbers(np.asarray(x, dtype=np.float64).ravel()), features
            ), {}
        if tuple(x) == self._names:
            values = np.array(list(x.values()))
            if values.dtype.kind in "biuf" and values.ndim == 1:
                return _numbers(values.astype(np.float64, copy=False)), {}
        return self._encode_by_name(x)

    def _encode_array(
        self, x: NDArray[np.float64], features: tuple[Hashable, ...]
    ) -> NDArray[np.float64]:
        if features is self._names or features == self._names:
            return x
        if not self._names:
            self.restore(features)
            return x
        return self._encode_by_name(dict(zip(features, x.tolist(), strict=True)))[0]

    def _encode_by_name(
        self, x: Mapping[Hashable, Any]
    ) -> tuple[NDArray[np.float64], dict[Hashable, Any]]:
        numbers = {}
        extras = {}
        for name, value in x.items():
            number = to_number(value)
            if number == number or isinstance(value, Number):
                numbers[self.columns.setdefault(name, len(self.columns))] = number
            else:
                extras[name] = value
        if len(self.columns) > len(self._names):
            self._names = tuple(self.columns)
        row = np.full(len(self.columns), math.nan)
        for column, number in numbers.items():
            row[column] = number
        return row, extras

    def decode(
        self, row: NDArray[np.float64], extras: Mapping[Hashable, Any]
    ) -> dict[Hashable, Any]:
        """Return the sample that `encode` was given; a number that was missing stays missing."""
        named = zip(self._names, row.tolist(), strict=False)
        return {**{name: value for name, value in named if not math.isnan(value)}, **extras}

    def restore(self, names: Sequence[Hashable]) -> None:
        """Take these columns, of a checkpoint or of the first array."""
        self._names = tuple(names)
        self.columns = {name: column for column, name in enumerate(names)}


def _numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mask what is no number; the sum of squares tells at once that there is nothing to mask."""
    return values if values @ values <= LARGEST**2 else masked(values)
