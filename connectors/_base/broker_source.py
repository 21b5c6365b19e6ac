"""Base class of sources whose rows are messages of a broker or device."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from loco_stream._checks import checks_types, require_instance
from loco_stream._joins import Item, join_blocks, n_rows
from loco_stream._text import did_you_mean
from loco_stream.connectors._base.checks import check_positive, check_task
from loco_stream.connectors._base.fields import FieldRoles, check_target, quoted
from loco_stream.connectors._base.options import Seconds, explains_options
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import (
    Features,
    NamedLabel,
    NamedMessage,
    NamedRow,
    read_message,
)
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._wire import HEADER, MAGIC
from loco_stream.errors import SourceError
from loco_stream.stream import Event, Position, Schema, Source

_log = logging.getLogger(__name__)

TICK = 0.1  # seconds after which a wait yields an empty list
BATCH = 1024  # messages taken together
_ID_ROWS = 20
_SILENT_SECONDS = 10.0  # in which an outage for the same reason is not logged again
CONNECT_SECONDS = 10.0  # that the first connection may take


class BrokerSource(Source):
    """Messages that hold one row or one LS1 block each.

    Parameters
    ----------
    name
        Name of the source.
    target
        Field of the label in messages that are flat maps; ``a,b`` names several targets.
    time
        Field of the event time in flat maps, in seconds since 1970 or as ISO 8601 date.
    id
        Field of the row's id, by which later labels find the row; it is not a feature.
    keep
        Fields that the record of the prediction repeats under ``keep``; they may be features too.
    drop
        Fields that are not features.
    use
        The only fields that are features. By default all are that have no other role.
    task
        Schemas of another task are refused. With ``regression``, labels in messages are values.
    idle
        Time without a row after which the source ends. By default it does not.
    max
        Number of rows after which the source ends, with the message that reaches it.
    endless
        Continue after all senders have sent an end of stream (LS1 kind 5).
    limits
        Bounds on what senders may send.
    """

    is_live = True
    outage = ""

    @explains_options
    @checks_types
    def __init__(
        self,
        name: str,
        *,
        target: str = "y",
        time: str = "t",
        id: str | None = None,  # noqa: A002 - the name of the URL option
        keep: Sequence[str] = (),
        drop: Sequence[str] = (),
        use: Sequence[str] = (),
        task: str | None = None,
        idle: Seconds | None = None,
        max: int | None = None,  # noqa: A002 - the name of the URL option
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        check_positive(idle=idle, max=max)
        self.name = name
        require_instance("limits", limits, Limits)
        self._limits = limits or Limits()
        self._sources = RemoteSources(self._limits, check_task(task))
        self._receiver = Receiver(self._sources)
        check_target(target)
        self._fields = FieldRoles(target, time, id, tuple(keep), tuple(drop), tuple(use))
        self._label_fields = replace(self._fields, only_labels=True)
        self.used = self._fields.use
        self.roles = self._fields.roles
        names = self._fields.labels
        self.targets = names if len(names) > 1 else ()
        self.labels_from = f"the field{'s' * (len(names) > 1)} {quoted(names)}" if names else ""
        self._idle = idle or math.inf
        self._rows_left = max or math.inf
        self._endless = endless
        self._n_without_id: float = 0 if id else math.inf  # rows, before the first with an id
        self._logged_outage = ""  # the one that lasts, if it was logged
        self._last_outage = ""  # logged
        self._silent_until = 0.0

    @property
    def stats(self) -> dict[str, int]:
        """Counts of messages and rows, and of what was wrong with them."""
        return dict(self._sources.stats)

    @property
    def last_error(self) -> str:
        """Description of the most recent bad message; empty if there was none."""
        return self._receiver.last_error

    @property
    def schema(self) -> Schema | None:
        """Schema of the first sender; None until it is known."""
        return self._sources.schema

    @property
    def position(self) -> Position:
        """``{source: {epoch: seq}}`` of the rows read; under the empty name, the schemas."""
        return self._sources.position

    def seek(self, position: Position) -> None:
        """Go to a position: rows up to it are duplicates."""
        self._sources.seek(position)

    @abstractmethod
    def _fetch(self) -> Sequence[Event | None]:
        """Return the events in the messages that have arrived; wait at most 0.1 s for the first."""

    def __iter__(self) -> Iterator[Item]:
        """Yield lists of events, empty ones while nothing arrives."""
        last = monotonic()
        while self._rows_left > 0:
            events = join_blocks(event for event in self._fetch() if event is not None)
            self._log_outage()
            if events:
                last = monotonic()
            elif monotonic() - last >= self._idle or (
                self._receiver.all_ended and not self._endless
            ):
                return
            self._rows_left -= sum(map(n_rows, events))
            yield events

    def _read_message(
        self,
        source: str,
        body: bytes,
        label: Any = None,
        t: float = math.nan,
        *,
        entry: str = "",
        repeated: bool = False,
        only_labels: bool = False,
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
        entry
            The broker's own id or offset of the message, which the record of the prediction
            repeats.
        repeated
            Whether the broker marks the message as perhaps delivered before. Known rows are
            then dropped.
        only_labels
            Whether the message is from where labels are, and rows are not.
        """
        fields = self._label_fields if only_labels else self._fields
        name = source.encode()
        if body[:4] == MAGIC:
            frames = [name, body[: HEADER.size], body[HEADER.size :]]
            return self._receiver.take(frames, repeated=repeated)

        def read(features: Features) -> NamedMessage:
            try:
                row = read_message(body, features, self._limits, fields)
            except SourceError as error:  # several topics may have the same kind of message
                raise SourceError(f"{source!r}: {error}") from None
            if isinstance(row, NamedRow):
                self._check_id(row)
            return completed(row, label, t, entry)

        return self._receiver.take_row(name, read, repeated=repeated)

    def _check_id(self, row: NamedRow) -> None:
        """Note that the first rows have no field of the id: its name is probably misspelled."""
        if row.id is not None:
            self._n_without_id = math.inf
        self._n_without_id += 1
        if self._n_without_id == _ID_ROWS:
            name = self._fields.id or ""
            self._note(
                f"{self.name}: none of the first {_ID_ROWS} rows had the field {name!r} of the id"
                f"{did_you_mean(name, row.x)}"
            )

    def _note(self, sentence: str) -> None:
        """Log a sentence, which the report repeats."""
        _log.warning("%s", sentence)
        self.notes = (*self.notes, sentence)

    def _note_lost(self, reason: object) -> None:
        """Note why no rows can come; the source connects again by itself."""
        self.outage = str(reason).rstrip(".")

    def _note_back(self) -> None:
        """Note that an outage is over."""
        self.outage = ""

    def _log_outage(self) -> None:
        """Log why no rows can come, once per reason, and that the source is connected again.

        An outage soon after one that was logged, for the same reason, is logged if it lasts: where
        another client ends each connection, there is one every second.
        """
        if self.outage == self._logged_outage:
            return
        if not self.outage:
            _log.info("%s: connected again", self.name)
        elif self.outage != self._last_outage or monotonic() >= self._silent_until:
            _log.warning("%s: no rows come: %s; trying again", self.name, self.outage)
            self._last_outage = self.outage
            self._silent_until = monotonic() + _SILENT_SECONDS
        else:
            return
        self._logged_outage = self.outage

    def _name_labels(self, labels: str) -> None:
        """Note that labels also come from a topic or stream of their own."""
        self.labels_from = " or ".join(filter(None, (self.labels_from, f"messages of {labels}")))

    def _seek_rows(self, position: Position, key: str) -> None:
        """Seek in ``{key: ..., "rows": ...}``, of which `key` is the broker's part."""
        rows = position.get("rows")
        if key not in position or not isinstance(rows, Mapping):
            raise SourceError(
                f"`position` of {self.name} must be {{{key!r}: ..., 'rows': ...}}, "
                f"got {dict(position)!r}"
            )
        self._sources.seek(rows)

    def _number_in(self, position: Position, name: str) -> int:
        """Return a number of a position; 0 if it is missing."""
        try:
            return int(position.get(name, 0))
        except (TypeError, ValueError):
            raise SourceError(
                f"`position` of {self.name} must hold an integer under {name!r}, "
                f"got {position[name]!r}"
            ) from None


def completed(row: NamedMessage, label: Any, t: float, entry: str) -> NamedMessage:
    """Add to a row what the broker knows about its message."""
    if isinstance(row, NamedLabel):
        return row
    if row.y is None and label is not None:
        row.y = label
    if math.isnan(row.t):
        row.t = t
    if entry:
        row.extra = {"entry": entry, **(row.extra or {})}
    return row
