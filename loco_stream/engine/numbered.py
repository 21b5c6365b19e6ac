"""Which numbered rows of each name have come.

A row that is sent again is known, also after others.
"""

from __future__ import annotations

from collections.abc import Mapping

from loco_stream.errors import SourceError

__all__ = ["MOST_NUMBER", "NumberedRows"]

MOST_NUMBER = 2**63 - 1
_WINDOW = 64  # rows up to the highest that may come in another order than their numbers have
_NAMES = 256


class NumberedRows:
    """Remembers for each name its highest number, and which of the 64 up to it have come.

    Examples
    --------
    >>> rows = NumberedRows()
    >>> [rows.take("press", seq) for seq in (1, 2, 4, 2, 3, 3)]
    [True, True, True, False, True, False]
    """

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}
        self._come: dict[str, int] = {}  # bit i: the row i below the highest has come

    def take(self, name: str, seq: int) -> bool:
        """Return whether a row is new, and remember it.

        Raises
        ------
        SourceError
            The row is so far below the highest that nobody knows, or too many names have numbered
            rows.
        """
        highest = self._highest.get(name)
        if highest is None:
            if len(self._highest) >= _NAMES:
                raise SourceError(
                    f"{_NAMES} sources have numbered rows, and no more are remembered"
                )
            highest = seq
        if seq > highest:
            shift = min(seq - highest, _WINDOW)
            self._come[name] = self._come[name] << shift & (1 << _WINDOW) - 1
            highest = seq
        below = highest - seq
        if below >= _WINDOW:
            raise SourceError(
                f"row {seq} of source {name!r} is {below} below its highest, {highest}; whether a row has come is "
                f"remembered for {_WINDOW} of them, so it is not learned"
            )
        known = self._come.get(name, 0)
        self._highest[name] = highest
        self._come[name] = known | 1 << below
        return not known >> below & 1

    def export_state(self) -> dict[str, list[int]]:
        """Return everything as plain values."""
        return {name: [highest, self._come[name]] for name, highest in self._highest.items()}

    def restore_state(self, state: Mapping[str, list[int]]) -> None:
        """Continue from `export_state`."""
        self._highest = {name: int(highest) for name, (highest, _) in state.items()}
        self._come = {name: int(come) for name, (_, come) in state.items()}
