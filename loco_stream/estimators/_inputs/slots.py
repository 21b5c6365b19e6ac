"""Slots: the column of each feature and of each of its texts, first come, append-only.

Positions that moved when a new key arrives would permute learned weights; here a key keeps its
slot. Keys that are new in one row are ordered by type name, then value (numbers as numbers), so the
order of a dict does not matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Float64
from loco_stream._numbers import NO_NUMBERS, python_scalar, shown, to_number
from loco_stream._text import has_surrogate
from loco_stream.errors import InputError
from loco_stream.estimators._inputs.categories import UNKNOWN, Categories, is_text

# numpy would read these as numbers
_NO_NUMBERS = frozenset({*NO_NUMBERS, np.str_, np.bytes_, np.ndarray})


def require_mapping(x: object) -> None:
    """Raise `InputError` unless `x` maps feature names to values."""
    if type(x) is not dict and not isinstance(x, Mapping):
        raise InputError(f"`x` must be a dict from feature names to values, got {type(x).__name__}")


def hashable_value(value: Any, field: str = "y", what: str = "class label") -> Hashable:
    """Return a class label, or the name of a sequence or a target, as a plain Python value.

    Raises `InputError` for None, NaN, unhashable values and what `require_storable` refuses;
    `field` and `what` are for its message.
    """
    plain = python_scalar(value)
    try:
        hash(plain)
    except TypeError:
        raise InputError(
            f"`{field}` must be a hashable {what}, got {type(value).__name__}"
        ) from None
    if type(plain) is not str and (plain is None or not _equals_itself(plain)):
        raise InputError(
            f"`{field}` must be a hashable {what} other than None and NaN, got {shown(value)}"
        )
    require_storable(plain, field, what)
    return plain


def require_storable(value: Hashable, field: str, what: str) -> None:
    """Raise `InputError` for a complex number and a text with a lone surrogate: no file holds them.

    `field` and `what` are for the message.
    """
    if isinstance(value, complex | np.complexfloating) or has_surrogate(value):
        raise InputError(
            f"`{field}` must be a {what} other than complex numbers and texts of invalid Unicode, "
            f"got {shown(value)}"
        )


def require_name(name: Hashable) -> None:
    """Raise `InputError` if a feature cannot have this name: NaN, or what no file holds."""
    if not _equals_itself(name):  # each row would bring another feature
        raise InputError(f"`x` must have names of features other than NaN, got {shown(name)}")
    require_storable(name, "x", "name of a feature")


def _equals_itself(label: Hashable) -> bool:
    """Return False for NaN, and for other libraries' missing values, which cannot be compared.

    A tuple that has one within equals itself only as long as it holds the same object.
    """
    if isinstance(label, tuple | frozenset):
        return all(_equals_itself(part) for part in label)
    try:
        return bool(label == label)
    except TypeError:
        return False


def _order(key: Hashable) -> tuple[str, Any]:
    return type(key).__name__, key


def in_order(keys: list[Hashable]) -> list[Hashable]:
    """Return keys by type name, then value."""
    try:
        return sorted(keys, key=_order)
    except TypeError:  # keys of one type that have no order among themselves
        return sorted(keys, key=lambda key: (type(key).__name__, repr(key)))


class FeatureSlots:
    """The slot of each feature and of each text of a feature, and rows of numbers in slot order.

    A feature's slot is for its number; its texts have further ones, see `Categories`.

    keys: features in the order of their slots
    bound: distinct texts that a feature may hold
    """

    def __init__(self, keys: Iterable[Hashable] = (), bound: int = 0) -> None:
        self.index: dict[Hashable, int] = {key: slot for slot, key in enumerate(keys)}
        self.categories = Categories(bound)
        self._last_keys: tuple[Hashable, ...] = ()
        self._last_columns: NDArray[np.intp] = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self.index) + len(self.categories)

    def copy(self) -> FeatureSlots:
        """Return an independent copy."""
        return self.restored(self.index, self.categories.copy())

    @classmethod
    def restored(cls, index: Iterable[Hashable], categories: Categories) -> FeatureSlots:
        """Restore it from the features in order and their texts.

        A slot that no text has is the next feature's.

        Raises `ValueError` if a slot is given twice, or to a text of no feature, or left out.
        """
        made = cls()
        taken = {slot for _, _, slot in categories}
        made.index = dict(zip(index, (slot for slot in count() if slot not in taken), strict=False))
        made.categories = categories
        slots = sorted([*made.index.values(), *(slot for _, _, slot in categories)])
        if slots != list(range(len(slots))) or not all(
            key in made.index for key, _, _ in categories
        ):
            raise ValueError("texts must belong to the features and have slots of their own")
        return made

    def register(
        self, keys: Iterable[Hashable], row: Iterable[tuple[Hashable, object]] = ()
    ) -> list[int]:
        """Give every new key, then every new text of a row, the next free slot.

        The order of a row's texts is that of its features' slots, so the order of a dict does not
        matter.

        Returns the slots of the new texts.
        """
        for key in in_order([key for key in keys if key not in self.index]):
            self.index.setdefault(key, len(self))
        texts = [(key, value) for key, value in row if is_text(value)]
        before = len(self)
        for key, text in sorted(texts, key=lambda item: self.index[item[0]]):
            self.categories.add(key, text, len(self))
        return list(range(before, len(self)))

    def has_new_texts(self, row: Iterable[tuple[Hashable, object]]) -> bool:
        """Return whether a text of a row would get a slot."""
        return any(is_text(value) and self.categories.takes(key, value) for key, value in row)

    def count_shared(self, x: Mapping[Hashable, object]) -> None:
        """Count the texts of a learned row that share a slot."""
        for key, value in x.items():
            if is_text(value) and self.categories.find(key, value)[1]:
                self.categories.share(key)

    def forget(self, n: int) -> None:
        """Take back all slots but the first `n`."""
        self.categories.forget(n)
        self.index = {key: slot for key, slot in self.index.items() if slot < n}
        self._last_keys = ()
        self._last_columns = np.zeros(0, np.intp)

    def knows_any(self, keys: Iterable[Hashable]) -> bool:
        """Return whether a key has a slot."""
        return any(key in self.index for key in keys)

    @property
    def n_features(self) -> int:
        """Features that have a slot."""
        return len(self.index)

    def is_input(self, counts: Float64, key: Hashable) -> bool:
        """Return whether a feature was ever a number, by the slots' counts, or has texts."""
        return self.is_number(counts, key) or self.categories.holds(key)

    def is_number(self, counts: Float64, key: Hashable) -> bool:
        """Return whether a feature was ever a number, by the slots' counts."""
        return key in self.index and bool(counts[self.index[key]])

    def fill(self, x: Mapping[Hashable, Any], row: Float64) -> bool:
        """Write a sample into `row` in slot order.

        What is absent, unknown or no number becomes NaN or is left out.

        Return whether nothing in it would get a new slot.
        """
        row.fill(np.nan)
        keys = tuple(x)
        if keys != self._last_keys and not self._knows(keys):
            self._fill_each(x, row)
            return False
        values = list(x.values())
        try:
            if _NO_NUMBERS.isdisjoint(map(type, values)):
                row[self._last_columns] = values
                return True
        except (TypeError, ValueError, OverflowError):
            pass
        return self._fill_each(x, row)

    def _fill_each(self, x: Mapping[Hashable, Any], row: Float64) -> bool:
        """Write each value of a sample that has a slot; return whether no text would get one."""
        is_whole = True
        for key, value in x.items():
            slot = self.index.get(key)
            if slot is None:
                continue
            if not is_text(value):
                row[slot] = to_number(value)
            elif (place := self.categories.find(key, value)[0]) != UNKNOWN:
                row[place] = 1.0
            elif self.categories.takes(key, value):
                is_whole = False
        return is_whole

    def _knows(self, keys: tuple[Hashable, ...]) -> bool:
        """Return whether every key has a slot, and keep the keys' columns if so."""
        index = self.index
        if not all(key in index for key in keys):
            return False
        self._last_keys = keys
        self._last_columns = np.array([index[key] for key in keys], np.intp)
        return True
