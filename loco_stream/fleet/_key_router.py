"""Rows of a stream grouped by key, and late labels routed to the key of their row."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream.engine.row_ids import id_text
from loco_stream.errors import InputError, SourceError
from loco_stream.fleet._rows import (
    LABELS,
    LEARN,
    OBSERVE,
    Key,
    Label,
    Matrix,
    Rows,
    as_range,
    check_key,
)
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

__all__ = ["KeyRouter"]

_Names: TypeAlias = tuple[Hashable, ...] | None
_Inputs: TypeAlias = Matrix | Mapping[Any, Any]
_Row: TypeAlias = tuple[_Inputs, Label, int]  # inputs, label and number

_Number: TypeAlias = tuple[str, int, int]  # source, epoch and seq

_NO_INPUTS = np.zeros(0, np.float32)


class _Origin(NamedTuple):
    """What rows must have in common to form one part; `names` is None for rows by name."""

    source: str
    epoch: int
    names: _Names
    kind: str


class KeyRouter:
    """Groups the events of a stream by key.

    The key's feature is removed from the rows, so that it is no input of the models.

    Parameters
    ----------
    feature
        The feature that holds the key.
    capacity
        Rows that may wait for a label; the oldest expire when there are more.
    max_age
        Seconds that a row waits.
    labelled
        False lets no row wait: models learn without labels.

    Attributes
    ----------
    n_without_key
        Rows without a key.
    n_orphaned
        Labels without a pending row.
    n_expired
        Rows whose label did not arrive in time.
    """

    def __init__(
        self,
        feature: str,
        capacity: int = 50_000,
        max_age: float = 3600.0,
        *,
        labelled: bool = True,
    ) -> None:
        self._feature = feature
        self._labelled = labelled
        self._capacity = capacity
        self._max_age = max_age
        # by source, epoch and number: the key, and when the row arrived
        self._pending: OrderedDict[_Number, tuple[Key, float]] = OrderedDict()
        self._by_id: dict[str, _Number] = {}  # pending rows with an id
        self._ids: dict[_Number, str] = {}
        self._known = False  # whether any row had the feature
        self.n_without_key = 0
        self.n_orphaned = 0
        self.n_expired = 0

    def __len__(self) -> int:
        """Return how many rows wait for their labels."""
        return len(self._pending)

    def route(self, events: Sequence[Event]) -> list[Rows]:
        """Return the rows and late labels of each key, in the order of the stream.

        Consecutive rows of a key form one part if they share source, columns and kind. Prediction
        requests are ignored.

        Raises
        ------
        SourceError
            See `keys`.
        """
        parts = _Parts()
        for event in events:
            if isinstance(event, Labels):
                self._route_labels(event, parts)
            elif not isinstance(event, PredictRequest):
                self._route_rows(event, parts)
        self._expire(parts)
        return parts.joined()

    def keys(
        self, X: Matrix, features: Sequence[Hashable]
    ) -> tuple[list[Key | None], Matrix, tuple[Hashable, ...]]:
        """Return the key of each row of an array, the array without it, and its column names.

        Raises
        ------
        SourceError
            No row so far had the feature, so its name is probably misspelled.
        """
        if self._feature not in features and self._known:
            return [None] * len(X), X, tuple(features)
        if self._feature not in features:
            known = ", ".join(map(str, features[:20]))
            raise SourceError(
                f"`key` must be a feature of the rows ({known}), got {self._feature!r}"
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
        """Return the pending rows as plain values, each with its id or None."""
        return [[*number, key, self._ids.get(number)] for number, (key, _) in self._pending.items()]

    def restore_state(self, pending: Sequence[Any]) -> None:
        """Continue from `export_state`; the time in between does not count."""
        now = time.monotonic()
        self._known = True
        self._pending = OrderedDict()
        self._by_id = {}
        self._ids = {}
        for source, epoch, seq, key, *row_id in pending:  # release 0.2 had no ids
            self._keep((source, epoch, seq), key, now, row_id[0] if row_id else None)

    def _keep(self, number: _Number, key: Key, now: float, row_id: str | None) -> None:
        """Note that a row waits for its label."""
        self._pending[number] = key, now
        if row_id is not None:
            self._by_id[row_id] = number
            self._ids[number] = row_id

    def _release(self, number: _Number) -> Key | None:
        """Remove a waiting row and return its key; None if it does not wait."""
        key, _ = self._pending.pop(number, (None, 0.0))
        row_id = self._ids.pop(number, None)
        if row_id is not None and self._by_id.get(row_id) == number:
            del self._by_id[row_id]
        return key

    def _route_rows(self, event: Sample | Block, parts: _Parts) -> None:
        now = time.monotonic()
        epoch, names, rows = self._by_row(event)
        labelled = _Origin(event.source, epoch, names, LEARN)
        unlabelled = _Origin(event.source, epoch, names, OBSERVE)
        for key, row in rows:
            _, label, number = row
            if key is None:
                self.n_without_key += 1
            elif not self._labelled:
                parts.add(key, unlabelled, row)
            elif label is not None:
                parts.add(key, labelled, row)
            else:
                parts.add(key, unlabelled, row)
                row_id = getattr(event, "id", None)
                text = None if row_id is None else id_text(row_id)
                self._keep((event.source, epoch, number), key, now, text)

    def _by_row(
        self, event: Sample | Block
    ) -> tuple[int, _Names, Iterator[tuple[Key | None, _Row]]]:
        """Return epoch and columns of an event, and each row with its key."""
        if isinstance(event, Sample):
            x = {name: value for name, value in event.x.items() if name != self._feature}
            key = key_of(event.x.get(self._feature))
            return event.epoch, None, iter([(key, (x, event.y, event.seq))])
        keys, X, names = self.keys(event.X, event.features)
        labels = [None] * len(X) if event.y is None else event.y
        numbers = range(event.seq, event.seq + len(X))
        rows = zip(X, labels, numbers, strict=True)
        return event.epoch, names, zip(keys, rows, strict=True)

    def _route_labels(self, event: Labels, parts: _Parts) -> None:
        for of, y in zip(event.of, event.y, strict=True):
            number = (event.source, event.epoch, of)
            if event.by_id:
                number = self._by_id.get(id_text(of), number)
            key = self._release(number)
            if key is None:
                self.n_orphaned += 1
            else:
                source, epoch, seq = number
                origin = _Origin(source, epoch, (), LABELS)
                parts.add(key, origin, (_NO_INPUTS, y, int(seq)))

    def _expire(self, parts: _Parts) -> None:
        """Drop rows that waited too long; a label None lets their models forget them too."""
        oldest = time.monotonic() - self._max_age
        while self._pending:
            (source, epoch, seq), (key, since) = next(iter(self._pending.items()))
            if len(self._pending) <= self._capacity and since >= oldest:
                return
            self._release((source, epoch, seq))
            self.n_expired += 1
            parts.add(key, _Origin(source, epoch, (), LABELS), (_NO_INPUTS, None, seq))


class _Parts:
    """Rows in their order, joined where consecutive rows of a key have the same origin."""

    def __init__(self) -> None:
        self._parts: list[tuple[Key, _Origin, list[_Row]]] = []
        self._last: dict[Key, int] = {}  # index of the part that the key's last row is in

    def add(self, key: Key, origin: _Origin, row: _Row) -> None:
        """Add a row."""
        at = self._last.get(key, -1)
        if at < 0 or self._parts[at][1] != origin:
            at = len(self._parts)
            self._last[key] = at
            self._parts.append((key, origin, []))
        self._parts[at][2].append(row)

    def joined(self) -> list[Rows]:
        """Return all parts."""
        return [_joined(*part) for part in self._parts]


def key_of(value: object) -> Key | None:
    """Return the key that a feature's value is; None for no key.

    An integral float is the same key as the int.
    """
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return None
        number = float(value)
        value = int(number) if number.is_integer() else str(number)
    try:
        return None if value is None else check_key(value)
    except InputError:
        return None


def _joined(key: Key, origin: _Origin, rows: list[_Row]) -> Rows:
    source, epoch, names, kind = origin
    X, y, seq = zip(*rows, strict=True)
    numbers = np.array(seq, np.int64)
    table = list(X) if names is None else np.array(X)
    if kind == LABELS:  # their numbers may come in any order
        return Rows(key, table, list(y), None, source, epoch, numbers, kind=kind)
    labels = [] if kind == OBSERVE else list(y)
    return Rows(key, table, labels, names, source, epoch, as_range(numbers), kind=kind)
