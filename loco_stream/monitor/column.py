"""A feature that says which task runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

__all__ = ["TaskColumn"]


class TaskColumn:
    """Tells when the value of the task's column changes.

    Parameters
    ----------
    tasks
        The monitor's setting; only "column:NAME" names a column.

    Examples
    --------
    >>> column = TaskColumn("column:room")
    >>> [column.follow({"room": room}) for room in ("hall", "hall", None, "attic")], column.n_missing
    (['hall', None, None, 'attic'], 1)
    """

    def __init__(self, tasks: str) -> None:
        self.name: Hashable = tasks.removeprefix("column:") if tasks.startswith("column:") else None
        self.value: Any = None
        self.n_missing = 0  # rows without it: the running task goes on

    def follow(self, x: Mapping[Hashable, Any]) -> str | None:
        """Return the name of the task that begins with this row, None if none does."""
        value = x.get(self.name)
        if value is None or value != value:
            self.n_missing += 1
            return None
        if value == self.value:
            return None
        self.value = value
        return str(value)
