"""Task boundaries from a feature that names the task."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from loco_stream.numbers import plain
from loco_stream.persistence.content import Config, State

__all__ = ["TaskColumn"]

Value: TypeAlias = Any  # of a feature


class TaskColumn:
    """Reports when the value of the task column changes.

    Parameters
    ----------
    tasks
        Setting `tasks` of the monitor; only "column:NAME" names a column.

    Attributes
    ----------
    name
        The column, None if there is none.
    n_missing
        Rows without a value in the column; the running task continues.

    Examples
    --------
    >>> column = TaskColumn("column:room")
    >>> [column.follow({"room": room}) for room in ("hall", "hall", None, "attic")]
    ['hall', None, None, 'attic']
    >>> column.n_missing
    1
    """

    def __init__(self, tasks: str) -> None:
        self.name: Hashable = tasks.removeprefix("column:") if tasks.startswith("column:") else None
        self.n_missing = 0
        self._value: Value = None

    def follow(self, x: Mapping[Hashable, Value]) -> str | None:
        """Return the name of the task that begins with this row; None if none begins."""
        value = x.get(self.name)
        if value is None or value != value:
            self.n_missing += 1
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

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {"value": plain(self._value), "n_missing": self.n_missing}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._value = state["value"]
        self.n_missing = state["n_missing"]
