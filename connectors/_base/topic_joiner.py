"""One row from several topics with one value each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.connectors._base.values import parse_cell
from loco_stream.connectors.ls1._messages import NamedRow
from loco_stream.errors import SourceError


class TopicJoiner:
    """Collects values to rows.

    A row ends some time after its first value, or when a feature repeats.

    Parameters
    ----------
    within
        Seconds from the first value of a row to its end.
    fields
        Names the features that are the label.
    max_features
        Number of values in a row at most.
    clock
        Seconds that the caller has listened for values. While it does other work, values wait, and
        a row that is in between must not end.

    Examples
    --------
    >>> joiner = TopicJoiner(0.1, FieldRoles(target="kind"), max_features=4096)
    >>> for topic, body in (("press/3/speed", b"0.5"), ("press/3/kind", b"ok")):
    ...     joiner.put(topic, body)
    >>> joiner.fits("press/3/speed"), joiner.end().x
    (False, {'speed': 0.5})
    """

    def __init__(
        self,
        within: float,
        fields: FieldRoles,
        max_features: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._within = within
        self._fields = fields
        self._max_features = max_features
        self._clock = clock
        self._values: dict[str, Any] = {}
        self._since = 0.0
        self._t = 0.0

    def __len__(self) -> int:
        """Return the number of values in the open row."""
        return len(self._values)

    @property
    def due(self) -> bool:
        """Whether the open row has to end now."""
        return bool(self._values) and self._clock() - self._since >= self._within

    def fits(self, topic: str) -> bool:
        """Whether the value of a topic belongs to the open row; otherwise end that one first."""
        has_room = not self.due and len(self._values) < self._max_features
        return has_room and _feature(topic) not in self._values

    def put(self, topic: str, body: bytes) -> None:
        """Add a value to the open row.

        Raises
        ------
        SourceError
            The body is more than one value.
        """
        text = _one_value(topic, body)
        if not self._values:
            self._since = self._clock()
            self._t = time.time()
        self._values[_feature(topic)] = parse_cell(text)

    def end(self) -> NamedRow:
        """Return the open row and start a new one."""
        x = self._values
        self._values = {}
        y = self._fields.label(x)
        for name in self._fields.labels:
            x.pop(name, None)
        return NamedRow(x, y, None, self._t)

    def clear(self) -> None:
        """Discard the open row: its values will be delivered again."""
        self._values = {}


def _one_value(topic: str, body: bytes) -> str:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        text = "{"
    if text[:1] in {"{", "["}:
        raise SourceError(
            f"a message of {topic} must be one number or word with join=topic, got {body[:20]!r}"
        )
    return text


def _feature(topic: str) -> str:
    return topic.rpartition("/")[2]
