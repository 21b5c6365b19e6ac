"""Task boundaries from a feature that names the task."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any, TypeAlias

from loco_stream._numbers import plain
from loco_stream._persistence.content import Config, State
from loco_stream._text import did_you_mean, listed

Value: TypeAlias = Any  # of a feature


class TaskColumn:
    """Reports when the value of the task column changes.

    tasks: setting `tasks` of the monitor; only "column:NAME" names a column

    Its attributes:
    name: the column, None if there is none
    n_missing: rows without a value in the column; the running task continues

    Examples
    --------
    >>> column = TaskColumn("column:room")
    >>> [column.follow(room, ("room", "heat")) for room in ("hall", "hall", None, "attic")]
    ['hall', None, None, 'attic']
    >>> column.n_missing
    1
    """

    def __init__(self, tasks: str) -> None:
        self.name: Hashable = tasks.removeprefix("column:") if tasks.startswith("column:") else None
        self.n_missing = 0
        self._value: Value = None
        self._others: Collection[Hashable] = ()  # names in the last row without a value

    def follow(self, value: Value, names: Collection[Hashable]) -> str | None:
        """Return the name of the task that begins with a row; None if none begins.

        value: of the column in the row; None and NaN are missing
        names: every name that the row has
        """
        if value is None or value != value:
            self.n_missing += 1
            self._others = names
            return None
        if value == self._value:
            return None
        self._value = value
        return str(value)

    def rows_until_change(self, column: Sequence[Value]) -> int:
        """Return how many of the next rows come before the first one that begins a task."""
        changes = (
            i
            for i, value in enumerate(column)
            if value is not None and value == value and value != self._value
        )
        return next(changes, len(column))

    @property
    def missing(self) -> str:
        """A sentence on a column that no row so far had a value in; empty if one had."""
        if self._value is not None or not self.n_missing:
            return ""
        sentence = f"no row has had a value in the task column {self.name!r} so far"
        others = [str(name) for name in self._others if name != self.name]
        known = f"; the rows have the columns {listed(others)}" if others else ""
        return sentence + (did_you_mean(str(self.name), others) or known)

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {"value": plain(self._value), "n_missing": self.n_missing}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._value = state["value"]
        self.n_missing = state["n_missing"]
