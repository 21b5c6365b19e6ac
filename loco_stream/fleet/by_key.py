"""Rows of a stream sorted by the key they carry, and late labels by the key of the row that they belong to."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from loco_stream.errors import InputError, SourceError
from loco_stream.fleet.rows import (
    LABELS,
    LEARN,
    OBSERVE,
    Key,
    Label,
    Matrix,
    Rows,
    check_key,
    in_a_row,
)
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

__all__ = ["KeySorter"]

_Names: TypeAlias = tuple[Hashable, ...] | None
_Place: TypeAlias = tuple[str, int, _Names, str]  # source, epoch, columns (None: by name), kind
_Inputs: TypeAlias = Matrix | Mapping[Any, Any]
_Row: TypeAlias = tuple[_Inputs, Label, int]

_NO_INPUTS = np.zeros(0, np.float32)


class KeySorter:
    """Sorts what a stream brings by key.

    The key's feature is taken out of the rows: a model sees what differs between rows of one
    device.

    Parameters
    ----------
    feature
        The one that names the device.
    capacity
        Rows that may wait for their labels; the oldest leave when more do.
    max_age
        Seconds that a row waits.

    Attributes
    ----------
    n_without_key, n_orphaned, n_expired
        Rows that had no key, labels whose row does not wait, and rows whose label did not come in
        time.
    """

    def __init__(self, feature: str, capacity: int = 50_000, max_age: float = 3600.0) -> None:
        self._feature = feature
        self._capacity = capacity
        self._max_age = max_age
        self._waiting: OrderedDict[tuple[str, int, int], tuple[Key, float]] = (
            OrderedDict()
        )  # by source, epoch, number
        self._known = False  # whether any row had the feature
        self.n_without_key = self.n_orphaned = self.n_expired = 0

    def __len__(self) -> int:
        """Return how many rows wait for their labels."""
        return len(self._waiting)

    def sort(self, events: Sequence[Event]) -> list[Rows]:
        """Return rows and late labels of each key in the stream's order; questions are left out.

        Rows of a key that follow each other are one part as long as their source, columns and kind
        are the same.

        Raises
        ------
        SourceError
            See `keys`.
        """
        parts = _Parts()
        for event in events:
            if isinstance(event, Labels):
                self._labels(event, parts)
            elif not isinstance(event, PredictRequest):
                self._rows(event, parts)
        self._expire(parts)
        return parts.joined()

    def keys(
        self, X: Matrix, features: Sequence[Hashable]
    ) -> tuple[list[Key | None], Matrix, tuple[Hashable, ...]]:
        """Return the key of each row of an array, the array without it, and the names of its columns.

        Raises
        ------
        SourceError
            There is no such feature, and was none before: then it is more likely that it was
            written wrong.
        """
        if self._feature not in features and self._known:
            return [None] * len(X), X, tuple(features)
        if self._feature not in features:
            known = ", ".join(map(str, features[:20]))
            raise SourceError(
                f"rows have no feature {self._feature!r} to tell keys by, but {known}"
            )
        column = features.index(self._feature)
        names = tuple(name for name in features if name != self._feature)
        self._known = True
        return (
            [key_of(value) for value in X[:, column].tolist()],
            np.delete(X, column, axis=1),
            names,
        )

    def export_state(self) -> list[Any]:
        """Return which rows wait, as plain values."""
        return [[*place, key] for place, (key, _) in self._waiting.items()]

    def restore_state(self, waiting: Sequence[Any]) -> None:
        """Continue from `export_state`; the time in between does not count."""
        now = time.monotonic()
        self._known = True
        self._waiting = OrderedDict(
            ((source, epoch, seq), (key, now)) for source, epoch, seq, key in waiting
        )

    def _rows(self, event: Sample | Block, parts: _Parts) -> None:
        now = time.monotonic()
        epoch, names, rows = self._by_row(event)
        for key, x, y, seq in rows:
            if key is None:
                self.n_without_key += 1
                continue
            parts.add(key, (event.source, epoch, names, OBSERVE if y is None else LEARN), x, y, seq)
            if y is None:
                self._waiting[event.source, epoch, seq] = key, now

    def _by_row(
        self, event: Sample | Block
    ) -> tuple[int, _Names, Iterator[tuple[Key | None, _Inputs, Label, int]]]:
        """Return epoch and columns of an event, and key, inputs, label and number of each row."""
        if isinstance(event, Sample):
            x = {name: value for name, value in event.x.items() if name != self._feature}
            return 0, None, iter([(key_of(event.x.get(self._feature)), x, event.y, event.seq)])
        keys, X, names = self.keys(event.X, event.features)
        labels = [None] * len(X) if event.y is None else event.y
        return (
            event.epoch,
            names,
            zip(keys, X, labels, range(event.seq, event.seq + len(X)), strict=True),
        )

    def _labels(self, event: Labels, parts: _Parts) -> None:
        for of, y in zip(event.of, event.y, strict=True):
            found = self._waiting.pop((event.source, event.epoch, of), None)
            if found is None:
                self.n_orphaned += 1
            else:
                parts.add(found[0], (event.source, event.epoch, (), LABELS), _NO_INPUTS, y, int(of))

    def _expire(self, parts: _Parts) -> None:
        """Let rows go whose labels did not come: their models forget them too."""
        oldest = time.monotonic() - self._max_age
        while self._waiting:
            (source, epoch, seq), (key, since) = next(iter(self._waiting.items()))
            if len(self._waiting) <= self._capacity and since >= oldest:
                return
            del self._waiting[source, epoch, seq]
            self.n_expired += 1
            parts.add(key, (source, epoch, (), LABELS), _NO_INPUTS, None, seq)


class _Parts:
    """Rows as they come, put together where they follow each other."""

    def __init__(self) -> None:
        self._parts: list[tuple[Key, _Place, list[_Row]]] = []
        self._newest: dict[Key, int] = {}  # the part that the key's last row is in

    def add(self, key: Key, place: _Place, x: _Inputs, y: Label, seq: int) -> None:
        """Take a row; `place` says what it has in common with others."""
        at = self._newest.get(key, -1)
        if at < 0 or self._parts[at][1] != place:
            at = self._newest[key] = len(self._parts)
            self._parts.append((key, place, []))
        self._parts[at][2].append((x, y, seq))

    def joined(self) -> list[Rows]:
        """Return all parts."""
        return [_joined(*part) for part in self._parts]


def key_of(value: object) -> Key | None:
    """Return the key that a feature's value is: whole numbers stay the same as float and int.

    None for no key.
    """
    if isinstance(value, float | np.floating):
        return (
            None
            if not math.isfinite(value)
            else int(value)
            if float(value).is_integer()
            else str(float(value))
        )
    try:
        return None if value is None else check_key(value)
    except InputError:
        return None


def _joined(key: Key, place: _Place, rows: list[_Row]) -> Rows:
    source, epoch, names, kind = place
    X, y, seq = zip(*rows, strict=True)
    numbers = np.array(seq, np.int64)
    table = list(X) if names is None else np.array(X)
    if kind == LABELS:  # in any order
        return Rows(key, table, list(y), None, source, epoch, numbers, kind=kind)
    return Rows(
        key,
        table,
        [] if kind == OBSERVE else list(y),
        names,
        source,
        epoch,
        in_a_row(numbers),
        kind=kind,
    )
