"""Rows of a stream grouped by key, and late labels routed to the key of their row."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from loco_stream._persistence.content import State
from loco_stream._persistence.format import encode_plain
from loco_stream._text import did_you_mean, listed
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.engine._row_ids import RowIds
from loco_stream.engine._text_columns import TextColumns
from loco_stream.errors import InputError, SourceError
from loco_stream.fleet._rows import (
    LABELS,
    LEARN,
    MAX_WAITING,
    OBSERVE,
    Key,
    KeyRows,
    Label,
    Matrix,
    RowInfo,
    as_range,
    check_key,
)
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample, Source

_Names: TypeAlias = tuple[Hashable, ...] | None
_Inputs: TypeAlias = Matrix | Mapping[Any, Any]
# inputs, label, epoch and seq, what the prediction repeats, and the time that its model gets
_Row: TypeAlias = tuple[_Inputs, Label, tuple[int, int], RowInfo | None, float]

_Number: TypeAlias = tuple[str, int, int]  # source, epoch and seq

# Used ids and early labels that are remembered. They are stored at each acknowledgement.
_MAX_IDS = 10_000
_NO_INPUTS = np.zeros(0, np.float32)

_limited = LimitedLog(logging.getLogger("loco_stream.fleet.key_router"))


class _Origin(NamedTuple):
    """What rows must have in common to form one part; `names` is None for rows by name."""

    source: str
    names: _Names
    kind: str


@dataclass(slots=True)
class _PendingRow:
    """A row that waits for its label, and since when."""

    key: Key
    info: RowInfo | None
    since: float
    _encoded: msgspec.Raw | None = None

    @property
    def id(self) -> Any:
        """Its id; None if it has none."""
        return None if self.info is None else self.info.id

    def encoded(self, number: _Number) -> msgspec.Raw:
        """Return the row as it is stored; each acknowledgement stores all rows that wait."""
        if self._encoded is None:
            info = [] if self.info is None else [_plain_info(self.info)]
            self._encoded = msgspec.Raw(encode_plain([*number, self.key, *info]))
        return self._encoded


class KeyRouter:
    """Groups the events of a stream by key.

    The key's feature is removed from the rows, so that it is no input of the models.

    feature: the feature that holds the key
    capacity: rows that may wait for a label; the oldest expire when there are more
    max_age: seconds that a row waits for its label, or an early label for its row
    labelled: False lets no row wait: models learn without labels
    is_series: whether the labels of a key are the values of a series. A row without a label is then
        a missing value and does not wait, and rows keep their times.
    text_columns: takes texts that cannot be categories out of the rows of all keys; by default none

    Its attributes:
    n_without_key: rows without a key
    n_orphaned: labels by number without a pending row
    n_expired: rows whose label did not arrive in time
    ids: ids of rows that wait or were used, and labels that came before their row
    """

    def __init__(
        self,
        feature: str,
        capacity: int = MAX_WAITING,
        *,
        max_age: float = 3600.0,
        labelled: bool = True,
        is_series: bool = False,
        text_columns: TextColumns | None = None,
    ) -> None:
        self._feature = feature
        self._labelled = labelled
        self._is_series = is_series
        self.capacity = capacity
        self.max_age = max_age
        self._pending: OrderedDict[_Number, _PendingRow] = OrderedDict()
        self.ids = RowIds(min(capacity, _MAX_IDS), max_age)
        self.text_columns = text_columns or TextColumns(False)
        self._known = False  # whether any row had the feature
        self._n_rows = 0  # of the stream so far
        self.n_without_key = 0
        self.n_orphaned = 0
        self.n_expired = 0

    def __len__(self) -> int:
        """Return how many rows wait for their labels."""
        return len(self._pending)

    def route(self, events: Sequence[Event]) -> list[KeyRows]:
        """Return the rows and late labels of each key, in the order of the stream.

        Consecutive rows of a key form one part if they share source, columns and kind. Prediction
        requests are ignored.

        Raises `SourceError` as `keys` does.
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

        Raises `SourceError` if no row so far had the feature, so its name is probably misspelled.
        """
        if self._feature not in features:
            if self._known:
                return [None] * len(X), X, tuple(features)
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

    def export_state(self) -> State:
        """Return pending rows, ids and columns of texts as plain values for `encode_plain`."""
        return {
            "n_rows": self._n_rows,
            "text_columns": self.text_columns.export_state(),
            "pending": [row.encoded(number) for number, row in self._pending.items()],
            "ids": self.ids.encoded_state(),
        }

    def restore_state(self, state: State | Sequence[Any]) -> None:
        """Continue from `export_state`, stored and read; pending rows begin to wait anew."""
        now = time.monotonic()
        self._known = True
        self._pending = OrderedDict()
        if isinstance(state, Mapping):
            self.ids.restore_state(state["ids"])
            if "text_columns" in state:
                self.text_columns.restore_state(state["text_columns"])
            self._n_rows = state.get("n_rows", 0)
        # release 0.2 stored a list of the pending rows, which had no ids
        for source, epoch, seq, key, *info in (
            state["pending"] if isinstance(state, Mapping) else state
        ):
            row = _PendingRow(key, RowInfo(*info[0]) if info else None, now)
            self._keep((source, epoch, seq), row)

    def _keep(self, number: _Number, row: _PendingRow) -> None:
        """Note that a row waits for its label."""
        self._pending[number] = row
        if row.id is not None:
            self.ids.add(row.id, number)

    def _release(self, number: _Number, *, learned: bool) -> _PendingRow | None:
        """Remove and return a waiting row; None if it does not wait."""
        row = self._pending.pop(number, None)
        if row is not None and row.id is not None:
            self.ids.end(row.id, learned=learned)
        return row

    def _route_rows(self, event: Sample | Block, parts: _Parts) -> None:
        source = event.source
        for names, rows in self._by_row(event):
            labelled = _Origin(source, names, LEARN)
            unlabelled = _Origin(source, names, OBSERVE)
            for key, row in rows:
                if key is None:
                    self.n_without_key += 1
                elif not self._labelled:
                    parts.add(key, unlabelled, row)
                elif self._is_known(row):
                    continue
                elif row[1] is not None or self._is_series:
                    parts.add(key, labelled, self._with_early_value(row))
                else:
                    parts.add(key, unlabelled, row)
                    self._await_label(source, key, row, parts)

    def _is_known(self, row: _Row) -> bool:
        """Return whether a row with the same id came before; note the id of a labelled row."""
        _, y, _, info, _ = row
        if info is None or info.id is None:
            return False
        if self.ids.is_known(info.id):
            return True
        if y is not None:
            self.ids.end(info.id, learned=True)
        return False

    def _with_early_value(self, row: _Row) -> _Row:
        """Return a row without a value, as only a series has, with its value if that came before.

        A value that comes later is counted, and cannot be learned.
        """
        x, y, number, info, t = row
        if y is not None or info is None or info.id is None:
            return row
        y = self.ids.take_early(info.id)
        self.ids.end(info.id, learned=y is not None)
        return x, y, number, info, t

    def _await_label(self, source: str, key: Key, row: _Row, parts: _Parts) -> None:
        """Let a row wait for its label, or add the label if it came before.

        Such a label is a part of its own. After a crash, a source may repeat row and label in
        another order, and the row may be stored without its label.
        """
        _, _, (epoch, seq), info, _ = row
        number = (source, epoch, seq)
        waiting = _PendingRow(key, info, time.monotonic())
        early = None if waiting.id is None else self.ids.take_early(waiting.id)
        self._keep(number, waiting)
        if early is not None:
            self._add_label(number, early, parts)

    def _by_row(
        self, event: Sample | Block
    ) -> Iterator[tuple[_Names, Iterator[tuple[Key | None, _Row]]]]:
        """Yield columns, and each row that has them with its key; the key is no text column."""
        if isinstance(event, Sample):
            x = {name: value for name, value in event.x.items() if name != self._feature}
            key = key_of(event.x.get(self._feature))
            t = event.t if self._is_series else math.nan
            number = event.epoch, event.seq
            chosen = self.text_columns.select(x, self._n_rows)
            self._n_rows += 1
            yield None, iter([(key, (chosen, event.y, number, _info_of(event), t))])
            return
        keys, X, names = self.keys(event.X, event.features)
        block = replace(event, X=X, features=names, tag=None)  # type: ignore[arg-type]
        begin = 0
        first = self._n_rows
        self._n_rows += len(X)
        for part in self.text_columns.select_block(block, first):
            end = begin + len(part.X)
            yield part.features, self._rows_of(part, keys[begin:end])
            begin = end

    def _rows_of(
        self, event: Block, keys: Sequence[Key | None]
    ) -> Iterator[tuple[Key | None, _Row]]:
        """Return the rows of a block with their keys."""
        X = event.X
        labels = [None] * len(X) if event.y is None else event.y
        numbers = zip(repeat(event.epoch), range(event.seq, event.seq + len(X)), strict=False)
        times = event.row_times.tolist() if self._is_series else repeat(math.nan, len(X))
        rows = zip(X, labels, numbers, [None] * len(X), times, strict=True)
        return zip(keys, rows, strict=True)

    def _route_labels(self, event: Labels, parts: _Parts) -> None:
        now = time.time()
        for of, y in zip(event.of, event.y, strict=True):
            number: _Number | None = (event.source, event.epoch, of)
            if event.by_id:
                number = self.ids.find(of, y, now)
            if number is None or not self._add_label(number, y, parts):
                self.n_orphaned += not event.by_id

    def _add_label(self, number: _Number, y: Label, parts: _Parts, *, learned: bool = True) -> bool:
        """Add the label of a row, which then waits no more; return whether it waited."""
        row = self._release(number, learned=learned)
        if row is None:
            return False
        source, epoch, seq = number
        origin = _Origin(source, (), LABELS)
        parts.add(row.key, origin, (_NO_INPUTS, y, (epoch, int(seq)), row.info, math.nan))
        return True

    def _expire(self, parts: _Parts) -> None:
        """Drop rows that waited too long; a label None lets their models forget them too."""
        self.ids.expire(time.time())
        oldest = time.monotonic() - self.max_age
        while self._pending:
            number, row = next(iter(self._pending.items()))
            if len(self._pending) <= self.capacity and row.since >= oldest:
                return
            self._add_label(number, None, parts, learned=False)
            self.n_expired += 1
            _limited.warning(
                "a row was dropped before its label came: it waited for more than `max_age` "
                "(%g s), or more than %s rows wait",
                self.max_age,
                f"{self.capacity:,}",
            )


class _Parts:
    """Rows in their order, joined where consecutive rows of a key have the same origin.

    Their epochs may differ: where the devices behind one source number their rows themselves, each
    row may begin another epoch, and a part per row would cost as much as learning it.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Key, _Origin, list[_Row]]] = []
        self._last: dict[Key, int] = {}  # index of the part that the key's last row is in

    def add(self, key: Key, origin: _Origin, row: _Row) -> None:
        """Add a row."""
        at = self._last.get(key, -1)
        if at < 0 or not self._continues(at, origin, row):
            at = len(self._parts)
            self._last[key] = at
            self._parts.append((key, origin, []))
        self._parts[at][2].append(row)

    def _continues(self, at: int, origin: _Origin, row: _Row) -> bool:
        """Return whether a row belongs to a part: its number is larger than those before it."""
        _, before, rows = self._parts[at]
        return before == origin and (origin.kind == LABELS or row[2] > rows[-1][2])

    def joined(self) -> list[KeyRows]:
        """Return all parts."""
        return [_joined(*part) for part in self._parts]


def check_feature(key: str, source: Source) -> None:
    """Check that the rows of a source have the feature that holds the key.

    Raises `SourceError` if `key` is a column that is not a feature, or if every row has the same
    features and none is `key`.
    """
    features = None if source.schema is None else source.schema.features
    role = source.roles.get(key)
    if role is None and (features is None or key in features):
        return
    names = list(map(str, features or ()))
    reason = did_you_mean(key, names) if role is None else f", which is {role}"
    allowed = f" (features: {listed(names)})" if names else ""
    raise SourceError(
        f"{source.name}: `key` must be a feature of the rows, got {key!r}{reason}{allowed}"
    )


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


def _joined(key: Key, origin: _Origin, rows: list[_Row]) -> KeyRows:
    source, names, kind = origin
    X, y, pairs, given, t = zip(*rows, strict=True)
    infos = given if any(given) else None
    epochs, seq = zip(*pairs, strict=True)
    epoch = epochs[0] if epochs.count(epochs[0]) == len(rows) else np.array(epochs, np.uint64)
    numbers = np.array(seq, np.int64)
    table = list(X) if names is None else np.array(X)
    if kind == LABELS:  # their numbers may come in any order
        return KeyRows(key, table, list(y), None, source, epoch, numbers, kind=kind, infos=infos)
    labels = [] if kind == OBSERVE else list(y)
    times = np.array(t, np.float64) if any(time == time for time in t) else None
    return KeyRows(
        key,
        table,
        labels,
        names,
        source,
        epoch,
        as_range(numbers) if isinstance(epoch, int) else numbers,
        kind=kind,
        times=times,
        infos=infos,
    )


def _info_of(event: Sample) -> RowInfo | None:
    """Return what the prediction of a row repeats; None if that is nothing."""
    if event.id is None and event.extra is None and event.t != event.t:
        return None
    return RowInfo(event.id, event.extra, event.t)


def _plain_info(info: RowInfo) -> list[Any]:
    return [info.id, None if info.extra is None else dict(info.extra), info.t]
