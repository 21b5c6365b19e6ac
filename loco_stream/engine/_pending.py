"""Rows that wait for their labels, in bounded memory."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loco_stream._checks import require, row_count
from loco_stream._numbers import is_number, plain
from loco_stream._persistence.content import Config, Plain, State
from loco_stream.engine._codec import pack_table, unpack_table
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.engine._model_adapter import RowPrediction
from loco_stream.engine._row import Features, Row
from loco_stream.engine._row_ids import Key, RowIds
from loco_stream.errors import ConfigError

_limited = LimitedLog(logging.getLogger("loco_stream.engine.pending"))


@dataclass(slots=True)
class PendingRow:
    """A row, its prediction, and when it arrived (seconds since 1970)."""

    row: Row
    prediction: RowPrediction
    since: float

    def export_state(self, names: dict[Features, int]) -> list[Plain]:
        """Return the row as plain values; `names` collects the distinct feature tuples."""
        row = self.row
        y_pred, proba, interval, ticket = self.prediction
        return [
            dict(row.x) if row.features is None else pack_table(row.x)[0],
            None if row.features is None else names.setdefault(row.features, len(names)),
            row.seq,
            row.t,
            row.source,
            row.epoch,
            y_pred,
            None if proba is None else dict(proba),
            self.since,
            interval,
            None if ticket is None else ticket.tobytes(),
            row.id,
            None if row.extra is None else dict(row.extra),
        ]

    @classmethod
    def restore_state(cls, fields: Sequence[Plain], names: Sequence[Features]) -> PendingRow:
        """Undo `export_state`."""
        x, index, seq, t, source, epoch, y_pred, proba, since, interval, ticket, *joins = fields
        features = None
        if index is not None:
            features = names[index]
            x = unpack_table(x, (1, len(features)))
        numbers = None if ticket is None else np.frombuffer(ticket, np.float64).copy()
        prediction = RowPrediction(y_pred, proba, _interval(interval), numbers)
        row_id, extra = joins
        row = Row(x, features, seq, t, source, epoch, id=row_id, extra=extra)
        return cls(row, prediction, since)


def _interval(saved: Plain) -> Plain:
    """Return an interval, or those of several targets, as the model gave them."""
    if isinstance(saved, dict):
        return {name: tuple(ends) for name, ends in saved.items()}
    return None if saved is None else tuple(saved)


class PendingRows:
    """Rows whose labels have not come, oldest first.

    capacity: rows kept; the oldest ones are dropped when more wait
    max_age: seconds that a row waits for its label

    Its attributes:
    expired: rows dropped before their label came
    orphaned: labels without a row that waits for them
    ids: ids of these rows, and of rows before
    """

    def __init__(self, capacity: int = 10_000, max_age: float = 3600.0) -> None:
        capacity = require("max_pending", capacity, row_count)
        max_age = plain(max_age)
        if not is_number(max_age) or not max_age > 0:
            raise ConfigError(f"`max_age` must be more than 0 seconds, got {max_age!r}")
        self.capacity = capacity
        self.max_age = max_age
        self.expired = 0
        self.orphaned = 0
        self.ids = RowIds(capacity, max_age)
        self._rows: OrderedDict[Key, PendingRow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, pending: PendingRow) -> None:
        """Keep a row, and drop the oldest one if there are too many."""
        row = pending.row
        key = (row.source, row.epoch, row.seq)
        if key in self._rows:
            self._drop(key, "its source numbers from the start again")
        self._rows[key] = pending
        if row.id is not None:
            self.ids.add(row.id, key)
        while len(self._rows) > self.capacity:  # a resumed run may keep fewer than before
            reason = f"more than `max_pending` rows wait ({self.capacity:,})"
            self._drop(next(iter(self._rows)), reason)

    def take(self, source: str, epoch: int, seq: int) -> PendingRow | None:
        """Remove and return the row of a label; None counts the label as orphaned."""
        pending = self._rows.pop((source, epoch, seq), None)
        if pending is None:
            self.orphaned += 1
            _limited.warning(
                "a label came for row %s of %r, which was not waiting", f"{seq:,}", source
            )
        elif pending.row.id is not None:
            self.ids.end(pending.row.id, learned=True)
        return pending

    def forget_predictions(self) -> None:
        """Drop the predictions of all rows: they are of another model than the one to come."""
        for pending in self._rows.values():
            pending.prediction = RowPrediction(None)

    def expire(self, now: float) -> None:
        """Drop the rows that are older than `max_age` at the time `now`."""
        self.ids.expire(now)
        while self._rows:
            key, oldest = next(iter(self._rows.items()))
            if now - oldest.since <= self.max_age:
                return
            self._drop(key, f"it waited for more than `max_age` ({self.max_age:g} s)")

    def _drop(self, key: Key, reason: str) -> None:
        row_id = self._rows.pop(key).row.id
        if row_id is not None:
            self.ids.end(row_id, learned=False)
        self.expired += 1
        _limited.warning("a row was dropped before its label came: %s", reason)

    def sentences(self) -> list[str]:
        """Return a sentence on dropped rows, if there are any, and those on ids."""
        found = self.ids.sentences()
        if self.expired:
            found.append(
                f"rows dropped before their label came: {self.expired:,}; a row waits `max_age` "
                f"({self.max_age:g} s), and `max_pending` ({self.capacity:,}) rows wait at most"
            )
        return found

    def export_state(self) -> Config:
        """Return everything as plain values."""
        names: dict[Features, int] = {}
        rows = [pending.export_state(names) for pending in self._rows.values()]
        return {
            "expired": self.expired,
            "orphaned": self.orphaned,
            "features": list(names),
            "rows": rows,
            "ids": self.ids.export_state(),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self.expired = state["expired"]
        self.orphaned = state["orphaned"]
        self.ids.restore_state(state["ids"])
        self._rows.clear()
        for fields in state["rows"]:
            pending = PendingRow.restore_state(fields, state["features"])
            row = pending.row
            key = (row.source, row.epoch, row.seq)
            self._rows[key] = pending
            if row.id is not None:
                self.ids.add(row.id, key)
