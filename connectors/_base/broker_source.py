"""Base class of sources whose rows are messages of a broker or device."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loco_stream.connectors._base.block_merge import merged
from loco_stream.connectors._base.checks import check_positive, check_task
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import NamedRow, read_message
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import RemoteSources
from loco_stream.connectors.ls1.wire import HEADER, MAGIC
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Event, Position, Schema, Source

__all__ = ["BATCH", "CONNECT_SECONDS", "TICK", "BrokerSource"]

TICK = 0.1  # seconds after which a wait yields an empty list
BATCH = 1024  # messages taken together
CONNECT_SECONDS = 10.0  # that the first connection may take


class BrokerSource(Source):
    """Messages that hold one row or one LS1 block each.

    Parameters
    ----------
    name
        Name of the source.
    task
        Schemas of another task are refused. With ``regression``, labels in messages are values.
    target, time_key
        Keys of label and event time in messages that are flat maps.
    idle
        Time without a row after which the source ends. By default it does not.
    max
        Number of rows after which the source ends, with the message that reaches it.
    endless
        Continue after all senders have sent an end of stream.
    limits
        Bounds on what senders may send.
    """

    is_live = True

    def __init__(
        self,
        name: str,
        *,
        task: str | None,
        target: str = "y",
        time_key: str = "t",
        idle: float | None,
        max: int | None,  # noqa: A002 - the name of the URL option
        endless: bool,
        limits: Limits | None,
    ) -> None:
        check_positive(idle=idle, max=max)
        self.name = name
        self._limits = limits or Limits()
        self._sources = RemoteSources(self._limits, check_task(task))
        self._receiver = Receiver(self._sources)
        self._target = target
        self._time_key = time_key
        self._idle = math.inf if idle is None else idle
        self._rows_left = math.inf if max is None else max
        self._endless = endless

    @property
    def stats(self) -> dict[str, int]:
        """Counts of messages and rows, and of what was wrong with them."""
        return dict(self._sources.stats)

    @property
    def last_error(self) -> str:
        """Most recent sentence about a bad message."""
        return self._receiver.last_error

    @property
    def schema(self) -> Schema | None:
        """Schema of the first sender; None until it is known."""
        return self._sources.schema

    @property
    def position(self) -> Position:
        """``{source: {epoch: seq}}`` of the rows read; under the empty name, the schemas."""
        return self._sources.position

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position: rows up to it are duplicates."""
        self._sources.seek(position)

    @abstractmethod
    def _fetch(self) -> Sequence[Event | None]:
        """Return the events in the messages that have arrived; wait at most 0.1 s for the first."""

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield lists of events, empty ones while nothing arrives."""
        last = time.monotonic()
        while self._rows_left > 0:
            events = merged(event for event in self._fetch() if event is not None)
            if events:
                last = time.monotonic()
            elif time.monotonic() - last >= self._idle or (
                self._receiver.all_ended and not self._endless
            ):
                return
            self._rows_left -= sum(map(_n_rows, events))
            yield events

    def _read_message(
        self,
        source: str,
        body: bytes,
        label: Any = None,
        t: float = math.nan,
        *,
        repeated: bool = False,
    ) -> Event | None:
        """Return the event in a message: LS1 header and payload, or a row as a map.

        Parameters
        ----------
        source
            Name of the sender.
        body
            The message.
        label, t
            Label and event time that the message has besides its body; those in the body take
            precedence.
        repeated
            Whether the broker says that it may have delivered the message before. Known rows are
            then dropped.
        """
        name = source.encode()
        if body[:4] == MAGIC:
            frames = [name, body[: HEADER.size], body[HEADER.size :]]
            return self._receiver.take(frames, repeated=repeated)
        return self._receiver.take_row(
            name, lambda features: self._read_row(body, features, label, t), repeated=repeated
        )

    def _read_row(
        self, body: bytes, features: tuple[str, ...] | None, label: Any, t: float
    ) -> NamedRow:
        row = read_message(body, features, self._limits, self._target, self._time_key)
        if row.y is None and label is not None:
            row.y = label
        if math.isnan(row.t):
            row.t = t
        return row

    def _seek_rows(self, position: Mapping[str, Any], key: str) -> None:
        """Seek in ``{key: ..., "rows": ...}``, of which `key` is the broker's part."""
        rows = position.get("rows")
        if key not in position or not isinstance(rows, Mapping):
            raise SourceError(
                f"`position` of {self.name} must be {{{key!r}: ..., 'rows': ...}}, "
                f"got {dict(position)!r}"
            )
        self._sources.seek(rows)


def _n_rows(event: Event) -> int:
    return len(event.X) if isinstance(event, Block) else 1
