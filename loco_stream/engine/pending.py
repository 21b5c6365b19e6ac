"""Rows that wait for their labels, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.engine.model_adapter import Row
from loco_stream.errors import ConfigError

__all__ = ["Pending", "Waiting"]

Key = tuple[str, int, int]  # source, epoch, seq


@dataclass(slots=True)
class Waiting:
    """A row, what the model said of it when it came, and when that was (seconds).

    `ticket` is what the model wants to be told of that when the label comes: numbers, or None.
    """

    row: Row
    y_pred: Any
    proba: Mapping[Any, float] | None
    since: float
    interval: tuple[float, float] | None = None
    ticket: NDArray[np.float64] | None = None

    def export(self, names: dict[tuple[str, ...], int]) -> list[Any]:
        """Return it as plain values; `names` gathers the distinct feature tuples."""
        row = self.row
        proba = None if self.proba is None else dict(self.proba)
        x, features = (
            (dict(row.x), None) if row.features is None else (row.x.tobytes(), row.features)
        )
        index = None if features is None else names.setdefault(features, len(names))
        ticket = None if self.ticket is None else self.ticket.tobytes()
        return [
            x,
            index,
            row.seq,
            row.t,
            row.source,
            row.epoch,
            self.y_pred,
            proba,
            self.since,
            self.interval,
            ticket,
        ]

    @classmethod
    def restore(cls, fields: Sequence[Any], names: Sequence[tuple[str, ...]]) -> Waiting:
        """Undo `export`."""
        x, index, seq, t, source, epoch, y_pred, proba, since, interval, ticket = fields
        if index is None:
            row = Row(x, None, seq, t, source, epoch)
        else:
            values = np.frombuffer(x, dtype=np.float32).reshape(1, -1).copy()
            row = Row(values, names[index], seq, t, source, epoch)
        said = None if ticket is None else np.frombuffer(ticket, np.float64).copy()
        return cls(row, y_pred, proba, since, None if interval is None else tuple(interval), said)


class Pending:
    """Predictions whose labels have not come, oldest first.

    Parameters
    ----------
    capacity
        Rows kept; the oldest leave when more wait.
    max_age
        Seconds a row waits for its label.
    """

    def __init__(self, capacity: int = 10_000, max_age: float = 3600.0) -> None:
        if capacity < 1:
            raise ConfigError(f"max_pending must be at least 1 row, not {capacity}")
        if not max_age > 0:
            raise ConfigError(f"max_age must be more than 0 seconds, not {max_age}")
        self.capacity = capacity
        self.max_age = max_age
        self.expired = 0
        self.orphaned = 0
        self._rows: OrderedDict[Key, Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, waiting: Waiting) -> None:
        """Keep a row; what is too much leaves and is counted as expired."""
        row = waiting.row
        key = (row.source, row.epoch, row.seq)
        if self._rows.pop(key, None) is not None:
            self.expired += (
                1  # the source numbers from the start again: the older row's label will not come
            )
        self._rows[key] = waiting
        if len(self._rows) > self.capacity:
            self._rows.popitem(last=False)
            self.expired += 1

    def take(self, source: str, epoch: int, seq: int) -> Waiting | None:
        """Hand out the row a label belongs to; a label without its row is counted as orphaned."""
        waiting = self._rows.pop((source, epoch, seq), None)
        self.orphaned += waiting is None
        return waiting

    def expire(self, now: float) -> None:
        """Drop the rows older than `max_age` at the time `now`."""
        while self._rows:
            oldest = next(iter(self._rows.values()))
            if now - oldest.since <= self.max_age:
                return
            self._rows.popitem(last=False)
            self.expired += 1

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        names: dict[tuple[str, ...], int] = {}
        rows = [waiting.export(names) for waiting in self._rows.values()]
        return {
            "expired": self.expired,
            "orphaned": self.orphaned,
            "features": list(names),
            "rows": rows,
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`."""
        self.expired = state["expired"]
        self.orphaned = state["orphaned"]
        self._rows.clear()
        for fields in state["rows"]:
            waiting = Waiting.restore(fields, state["features"])
            self._rows[waiting.row.source, waiting.row.epoch, waiting.row.seq] = waiting
