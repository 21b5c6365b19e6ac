"""Texts as inputs: which slot a text of a feature has.

A text gets the next free slot when it is first learned and keeps it. A feature that holds as many
texts as it may gives every further one the slot of a known text, chosen by a checksum: memory stays
bounded, however many texts come. In a row the slot of its text holds 1 and the feature's other
slots are masked, so that only the present text counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard
from zlib import crc32

import numpy as np

from loco_stream._arrays import Bool, Float64, Int64
from loco_stream._numbers import to_number
from loco_stream._options import MAX_CATEGORIES

MAX_LENGTH = 256  # characters by which a text is known
# How many texts a feature may hold before it leaves how many of the last slots to features with
# fewer, so that columns of ids leave room for categories that come later.
RESERVES = ((256, 256), (16, 64))
UNKNOWN = -1


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a category; an empty text is a missing value."""
    return isinstance(value, str) and value != ""


def spelled(value: object) -> object:
    """Return a number as a text, whole numbers without a fraction; what is no number as it is."""
    if is_text(value) or math.isnan(number := to_number(value)):
        return value
    return str(int(number)) if number.is_integer() else repr(number)


def known_by(text: str) -> str:
    """Return what a text is known by: its first characters, without those no file can hold."""
    if len(text) <= MAX_LENGTH and text.isascii():
        return str(text)
    return text[:MAX_LENGTH].encode("utf-8", "replace").decode()


class Categories:
    """The slots of the texts of each feature.

    `bound`: distinct texts that a feature may hold; 0: none, every text is masked.

    `n`: number of slots.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._slots: dict[Hashable, dict[str, int]] = {}
        # the same slots of a feature as a list, for the checksum
        self._order: dict[Hashable, list[int]] = {}
        self._shared: dict[Hashable, int] = {}
        self.n = 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[Hashable, str, int]]:
        """Yield feature, text and slot in the order in which they came."""
        every = (
            (key, text, slot) for key, texts in self._slots.items() for text, slot in texts.items()
        )
        return iter(sorted(every, key=lambda entry: entry[2]))

    def find(self, key: Hashable, text: str) -> tuple[int, bool]:
        """Return the slot of a text and whether it is shared.

        The slot is `UNKNOWN` while the text may yet get one, and, shared by all texts of a feature
        that has none, if no slot is left.
        """
        texts = self._slots.get(key, {})
        text = known_by(text)
        slot = texts.get(text)
        if slot is not None:
            return slot, False
        if not self._is_full(texts):
            return UNKNOWN, False
        if not texts:
            return UNKNOWN, True
        order = self._order[key]
        return order[crc32(text.encode()) % len(order)], True

    def holds(self, key: Hashable) -> bool:
        """Return whether a feature has texts."""
        return key in self._slots

    def takes(self, key: Hashable, text: str) -> bool:
        """Return whether a text would get a slot of its own."""
        texts = self._slots.get(key, {})
        return known_by(text) not in texts and not self._is_full(texts)

    def add(self, key: Hashable, text: str, slot: int) -> bool:
        """Give a text that is new the slot, where its feature may hold one more.

        Return whether it did.
        """
        if not self.takes(key, text):
            return False
        self._put(key, text, slot)
        return True

    def _put(self, key: Hashable, text: str, slot: int) -> None:
        self._slots.setdefault(key, {})[known_by(text)] = slot
        self._order.setdefault(key, []).append(slot)
        self.n += 1

    def share(self, key: Hashable, n: int = 1) -> None:
        """Count learned values of texts without a slot of their own."""
        self._shared[key] = self._shared.get(key, 0) + n

    def forget(self, n: int) -> None:
        """Take back the slots from number `n` on."""
        kept = [entry for entry in self if entry[2] < n]
        self._slots = {}
        self._order = {}
        self.n = 0
        for entry in kept:
            self._put(*entry)

    def copy(self) -> Categories:
        """Return an independent copy."""
        return self.restored(self.bound, self, self._shared)

    @classmethod
    def restored(
        cls,
        bound: int,
        entries: Iterable[tuple[Hashable, str, int]],
        shared: Mapping[Hashable, int],
    ) -> Categories:
        """Restore it from what `__iter__` and `shared` returned.

        Raises `ValueError` if a text comes twice, there are more than the bound allows, or `shared`
        is no mapping.
        """
        if not isinstance(shared, Mapping):
            raise ValueError(f"`shared` must map features to counts, got {shared!r}")
        made = cls(bound)
        for key, text, slot in entries:
            texts = made._slots.get(key, {})
            has_room = made.n < MAX_CATEGORIES and len(texts) < bound
            if not isinstance(text, str) or known_by(text) in texts or not has_room:
                raise ValueError(f"{text!r} cannot be a category of feature {key!r}")
            made._put(key, text, slot)
        made._shared = {key: int(n) for key, n in shared.items()}
        return made

    @property
    def shared(self) -> dict[Hashable, int]:
        """Learned values of each feature whose texts have no slot of their own."""
        return dict(self._shared)

    def report(self) -> dict[Hashable, dict[str, int]]:
        """Return, per feature, texts with a slot, the bound, and values of texts without one."""
        return {
            key: {
                "distinct": len(self._slots.get(key, {})),
                "bound": self.bound,
                "shared": self._shared.get(key, 0),
            }
            for key in {**self._slots, **self._shared}
        }

    def _is_full(self, texts: dict[str, int]) -> bool:
        left = MAX_CATEGORIES - self.n
        reserved = (slots for most, slots in RESERVES if len(texts) >= most)
        return len(texts) >= self.bound or left <= max(reserved, default=0)


class TextColumn:
    """The texts in one column of an array: which rows have which.

    key: the column's feature
    cells: one value per row; what is no text is passed over
    """

    def __init__(self, key: Hashable, cells: Iterable[object]) -> None:
        self.key = key
        numbers: dict[str, int] = {}
        codes = [
            numbers.setdefault(cell, len(numbers)) if is_text(cell) else UNKNOWN for cell in cells
        ]
        self._codes: Int64 = np.array(codes, np.int64)
        self._texts = list(numbers)

    def text(self, row: int) -> str:
        """Return the text of a row, empty where it has none."""
        code = int(self._codes[row])
        return "" if code == UNKNOWN else self._texts[code]

    def first_rows(self, categories: Categories, learned: Bool) -> set[int]:
        """Return the learned rows in which a text comes for the first time that may get a slot."""
        new = [code for code, text in enumerate(self._texts) if categories.takes(self.key, text)]
        if not new:
            return set()
        codes, rows = np.unique(np.where(learned, self._codes, UNKNOWN), return_index=True)
        firsts = dict(zip(codes.tolist(), rows.tolist(), strict=True))
        return {firsts[code] for code in new if code in firsts}

    def mark(self, rows: Float64, begin: int, categories: Categories) -> None:
        """Write 1 into the slot of each text of the rows from `begin` on."""
        codes = self._codes[begin : begin + len(rows)].tolist()
        slot_of = {code: self._find(code, categories)[0] for code in set(codes)}
        slots = np.fromiter(map(slot_of.__getitem__, codes), np.int64, len(codes))
        known = np.flatnonzero(slots != UNKNOWN)
        rows[known, slots[known]] = 1.0

    def count_shared(self, categories: Categories, learned: Bool) -> None:
        """Count the values of learned rows that share a slot, once all rows are learned.

        Until then none of the feature's did.
        """
        counts = Counter(self._codes[learned].tolist())
        shared = [n for code, n in counts.items() if self._find(code, categories)[1]]
        if shared:
            categories.share(self.key, sum(shared))

    def _find(self, code: int, categories: Categories) -> tuple[int, bool]:
        return (UNKNOWN, False) if code == UNKNOWN else categories.find(self.key, self._texts[code])


def text_columns(
    names: Sequence[Hashable], texts: Mapping[int, Iterable[object]]
) -> list[TextColumn]:
    """Return the columns that hold texts, `texts` by number."""
    return [TextColumn(names[j], cells) for j, cells in texts.items()]


def first_rows(columns: Iterable[TextColumn], categories: Categories, learned: Bool) -> list[int]:
    """Return the learned rows in which any column has a text for the first time, in order."""
    return sorted(set().union(*(column.first_rows(categories, learned) for column in columns)))
