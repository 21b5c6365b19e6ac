"""Which column a feature has and which output a class has: first come, append-only.

Positions that moved when a new key arrives would permute learned weights; here a key keeps its
slot for ever. Keys new in one sample are ordered by type name, then value (numbers as numbers),
so the order of a dict does not matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.numbers import NO_NUMBERS, shown, to_number

__all__ = ["FeatureSlots", "plain_label", "require_mapping", "to_number"]

_NO_NUMBERS = frozenset({*NO_NUMBERS, np.str_, np.bytes_})  # numpy would read these as numbers


def require_mapping(x: object) -> None:
    """Raise `InputError` unless `x` maps feature names to values."""
    if type(x) is not dict and not isinstance(x, Mapping):
        raise InputError(f"x is of type {type(x).__name__}; a sample must be a dict of feature names and values")


def plain_label(y: Any) -> Hashable:
    """Return a class label as a plain Python value; raises `InputError` for None, NaN and unhashable ones."""
    label = y.item() if isinstance(y, np.generic) else y
    try:
        hash(label)
    except TypeError:
        raise InputError(f"y is of type {type(y).__name__}; a class label must be hashable") from None
    if label is None or not _equals_itself(label):
        raise InputError(f"y is {shown(y)}; a class label may be any hashable value but None and NaN")
    return label  # type: ignore[no-any-return]


def _equals_itself(label: Hashable) -> bool:
    """Return False for NaN, and for what other libraries have for a missing value: they say no or cannot say."""
    try:
        return bool(label == label)
    except TypeError:
        return False


def _order(key: Hashable) -> tuple[str, Any]:
    return type(key).__name__, key


class FeatureSlots:
    """The slot of each feature name, and rows of numbers in slot order."""

    def __init__(self, keys: Iterable[Hashable] = ()) -> None:
        self.index: dict[Hashable, int] = {key: slot for slot, key in enumerate(keys)}
        self._last_keys: tuple[Hashable, ...] = ()
        self._last_columns: NDArray[np.intp] = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self.index)

    def register(self, keys: Iterable[Hashable]) -> None:
        """Give every new key the next free slot."""
        new = [key for key in keys if key not in self.index]
        try:
            new.sort(key=_order)
        except TypeError:  # keys of one type that have no order among themselves
            new.sort(key=lambda key: (type(key).__name__, repr(key)))
        for key in new:
            self.index.setdefault(key, len(self.index))

    def forget(self, n: int) -> None:
        """Take back all slots but the first `n`."""
        self.index = dict(islice(self.index.items(), n))
        self._last_keys, self._last_columns = (), np.zeros(0, np.intp)

    def knows(self, keys: tuple[Hashable, ...]) -> bool:
        """Return whether every key has a slot; cheap when the keys are those of the last row."""
        if keys == self._last_keys:
            return True
        index = self.index
        if not all(key in index for key in keys):
            return False
        self._last_keys = keys
        self._last_columns = np.array([index[key] for key in keys], np.intp)
        return True

    def fill(self, x: Mapping[Hashable, Any], row: NDArray[np.float64]) -> None:
        """Write a sample into `row` in slot order; what is absent, unknown or no number becomes NaN or is left out."""
        row.fill(np.nan)
        if self.knows(tuple(x)):
            values = list(x.values())
            try:
                if not _NO_NUMBERS.isdisjoint(map(type, values)):
                    raise TypeError
                row[self._last_columns] = values
            except (TypeError, ValueError, OverflowError):
                row[self._last_columns] = [to_number(value) for value in values]
            return
        for key, value in x.items():
            slot = self.index.get(key)
            if slot is not None:
                row[slot] = to_number(value)
