"""What a model warns of at once.

A column that brings nothing, and predictions from features it has never seen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable

from loco_stream.errors import LocoStreamWarning

__all__ = ["Notices"]

_ROWS = (
    100  # after which a column that has brought nothing is told: fewer may all be missing by chance
)
_SHOWN = 5  # names in one sentence
_DEPTH = 5  # calls between the warning and the user's own


class Notices:
    """Warns once for each column, and once of strange features.

    Attributes
    ----------
    due
        Number of learned rows at which the next column is judged.
    """

    def __init__(self) -> None:
        self._columns: dict[Hashable, int] = {}
        self.due = math.inf
        self._told_strange = False

    def copy(self) -> Notices:
        """Return the same in an object of its own."""
        made = Notices()
        made.__dict__.update(self.__dict__, _columns=self._columns.copy())
        return made

    def watch(self, columns: Iterable[Hashable], n_seen: int) -> None:
        """Judge new columns in 100 rows from now."""
        self._columns.update(dict.fromkeys(columns, n_seen + _ROWS))
        self.due = min(self._columns.values(), default=math.inf)

    def judge(self, n_seen: int, is_input: Callable[[Hashable], bool]) -> None:
        """Warn of the columns whose first 100 rows are over and that were no input in any of them."""
        over = [column for column, due in self._columns.items() if due <= n_seen]
        for column in over:
            del self._columns[column]
        self.due = min(self._columns.values(), default=math.inf)
        for column in over:
            if not is_input(column):
                _warn(
                    f"column {column!r} held no number in its first {_ROWS} rows: nothing is learned from it"
                )

    def strange(self, names: Collection[Hashable], known: Collection[Hashable]) -> None:
        """Warn that a row to predict has no feature that the model knows."""
        if not self._told_strange and names and known:
            self._told_strange = True
            _warn(
                f"none of the features to predict from ({_some(names)}) is one that the model knows ({_some(known)})"
            )


def _some(names: Collection[Hashable]) -> str:
    shown = ", ".join(repr(name) for name, _ in zip(names, range(_SHOWN), strict=False))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _warn(text: str) -> None:
    warnings.warn(text, LocoStreamWarning, stacklevel=_DEPTH)
