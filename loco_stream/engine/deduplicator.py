"""Recognition of numbered rows that are sent again, also out of order."""

from __future__ import annotations

from loco_stream.errors import SourceError
from loco_stream.persistence.content import State

__all__ = ["MAX_NUMBER", "Deduplicator"]

MAX_NUMBER = 2**63 - 1
_WINDOW = 64  # rows up to the highest number that may arrive out of order
_MAX_SOURCES = 256


class Deduplicator:
    """Remembers the highest row number of each source, and which of the 64 up to it arrived.

    Examples
    --------
    >>> rows = Deduplicator()
    >>> [rows.is_new("press", seq) for seq in (1, 2, 4, 2, 3, 3)]
    [True, True, True, False, True, False]
    """

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}
        self._arrived: dict[str, int] = {}  # bit i: the row i below the highest arrived

    def is_new(self, source: str, seq: int) -> bool:
        """Return whether a row is new, and remember it.

        Raises
        ------
        SourceError
            The number is too far below the highest one to decide, or there are too many sources.
        """
        highest = self._highest.get(source)
        if highest is None:
            if len(self._highest) >= _MAX_SOURCES:
                raise SourceError(
                    f"{_MAX_SOURCES} sources have numbered rows, and no more are remembered"
                )
            highest = seq
        if seq > highest:
            self._shift(source, seq - highest)
            highest = seq
        if highest - seq >= _WINDOW:
            raise SourceError(_too_old(source, seq, highest))
        return self._mark(source, seq, highest)

    def _shift(self, source: str, rows: int) -> None:
        """Move the window of a source up by a number of rows."""
        self._arrived[source] = self._arrived[source] << min(rows, _WINDOW) & (1 << _WINDOW) - 1

    def _mark(self, source: str, seq: int, highest: int) -> bool:
        arrived = self._arrived.get(source, 0)
        below = highest - seq
        self._highest[source] = highest
        self._arrived[source] = arrived | 1 << below
        return not arrived >> below & 1

    def export_state(self) -> dict[str, list[int]]:
        """Return everything as plain values."""
        return {name: [highest, self._arrived[name]] for name, highest in self._highest.items()}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._highest = {name: int(highest) for name, (highest, _) in state.items()}
        self._arrived = {name: int(arrived) for name, (_, arrived) in state.items()}


def _too_old(source: str, seq: int, highest: int) -> str:
    return (
        f"row {seq} of source {source!r} is {highest - seq} below its highest, {highest}; whether "
        f"a row has arrived is remembered for {_WINDOW} of them, so it is not learned"
    )
