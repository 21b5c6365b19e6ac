"""One row from several topics that each carry one value."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from loco_stream.connectors.ls1.messages import ReadableRow
from loco_stream.connectors.values import parse_cell
from loco_stream.errors import SourceError

__all__ = ["TopicRows"]


class TopicRows:
    """Joins values into rows.

    A row ends `within` seconds after its first value, or when a feature comes again.

    Parameters
    ----------
    within
        Seconds between the first and the last value of a row, at most.
    target
        The feature that is the label.
    most
        Features of a row, at most.
    clock
        Seconds, monotonic.

    Examples
    --------
    >>> rows = TopicRows(0.1, "kind", most=4096)
    >>> for topic, body in (("press/3/speed", b"0.5"), ("press/3/kind", b"ok")):
    ...     rows.put(topic, body)
    >>> rows.fits("press/3/speed"), rows.end().x
    (False, {'speed': 0.5})
    """

    def __init__(
        self, within: float, target: str, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._within = within
        self._target = target
        self._most = most
        self._clock = clock
        self._values: dict[str, Any] = {}
        self._since = self._t = 0.0

    def __len__(self) -> int:
        """Return the values of the row that is open."""
        return len(self._values)

    @property
    def due(self) -> bool:
        """Whether the open row has waited long enough."""
        return bool(self._values) and self._clock() - self._since >= self._within

    def fits(self, topic: str) -> bool:
        """Whether the value of a topic belongs to the open row; if not, end that one first."""
        return (
            not self.due and len(self._values) < self._most and _feature(topic) not in self._values
        )

    def put(self, topic: str, body: bytes) -> None:
        """Add a value to the open row.

        Raises
        ------
        SourceError
            The body is more than one value.
        """
        try:
            text = body.decode().strip()
        except UnicodeDecodeError:
            raise SourceError(
                f"{topic}: with join=topic a message is one number or word, not {body[:20]!r}"
            ) from None
        if text[:1] in {"{", "["}:
            raise SourceError(
                f"{topic}: with join=topic a message is one number or word, not {text[:20]!r}"
            )
        if not self._values:
            self._since, self._t = self._clock(), time.time()
        self._values[_feature(topic)] = parse_cell(text)

    def end(self) -> ReadableRow:
        """Return the open row, and begin another."""
        x = self._values
        self._values = {}
        return ReadableRow(x, x.pop(self._target, None), None, self._t)

    def clear(self) -> None:
        """Forget the open row: its values will come again."""
        self._values = {}


def _feature(topic: str) -> str:
    return topic.rpartition("/")[2]
