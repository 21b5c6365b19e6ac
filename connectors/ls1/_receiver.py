"""Messages of senders that get no replies (pull, sub, brokers): missing rows are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from loco_stream.connectors.ls1._json_rows import take_id
from loco_stream.connectors.ls1._messages import (
    Features,
    NamedLabel,
    NamedMessage,
    read_row,
    read_schema,
)
from loco_stream.connectors.ls1._remote_source import RemoteSource, RemoteSources
from loco_stream.connectors.ls1._wire import Kind, Message, topic_name, unpack
from loco_stream.errors import SourceError
from loco_stream.stream import MAX_SEQ, Event, Labels, Sample

LABELS = "#labels"
"""Ending of the name under which the labels of a sender are numbered."""

ReadRow: TypeAlias = Callable[[Features], NamedMessage]
"""Returns the row or label in a message, given the features of its sender's schema."""


class Receiver:
    """Converts frames to events, for senders that are known by name only.

    Senders number their rows. A jump forward is counted as a gap; a jump back as a restart, which
    begins the next epoch. Messages that are malformed or do not match the schema are counted and
    dropped.

    Parameters
    ----------
    sources
        The senders.

    Attributes
    ----------
    last_error
        Description of the most recent bad message; empty if there was none.
    """

    def __init__(self, sources: RemoteSources) -> None:
        self.sources = sources
        self.last_error = ""

    @property
    def all_ended(self) -> bool:
        """Whether every sender has sent an end of stream."""
        ended = [s.ended for s in self.sources.by_name.values() if s.ended is not None]
        return bool(ended) and all(ended)

    def take(
        self, frames: Sequence[bytes], key: str = "", *, repeated: bool = False
    ) -> Event | None:
        """Return the event in a message; None if there is none.

        Parameters
        ----------
        frames
            The message.
        key
            Public key of the sender under CURVE.
        repeated
            Whether the message may have come before. Rows that are known are then dropped.
        """
        if len(frames) == 2:
            body = frames[1]
            limits = self.sources.limits
            return self.take_row(
                frames[0], lambda features: read_row(body, features, limits), key, repeated=repeated
            )
        self.sources.stats["messages"] += 1
        fault = "malformed"
        try:
            message = unpack(frames, self.sources.limits)
            fault = "rejected"
            return self._take(message, key, repeated)
        except Exception as e:  # one message must not end the stream, whatever it contains
            self._count_fault(fault, e)
            return None

    def take_row(
        self, topic: bytes, read: ReadRow, key: str = "", *, repeated: bool = False
    ) -> Event | None:
        """Return the row that `read` finds in a message; None if it is malformed or known."""
        self.sources.stats["messages"] += 1
        try:
            return self._row(topic, read, key, repeated)
        except Exception as e:  # one message must not end the stream, whatever it contains
            self._count_fault("malformed", e)
            return None

    def refuse(self, error: SourceError) -> None:
        """Count a malformed message."""
        self.sources.stats["messages"] += 1
        self._count_fault("malformed", error)

    def _count_fault(self, counter: str, error: Exception) -> None:
        self.sources.stats[counter] += 1
        is_foreseen = isinstance(error, SourceError)
        self.last_error = str(error) if is_foreseen else f"{type(error).__name__}: {error}"

    def _take(self, message: Message, key: str, repeated: bool) -> Event | None:
        if message.kind in {Kind.HELLO, Kind.HEARTBEAT}:
            return None
        source = self.sources.find(message.source, key)
        if message.kind is Kind.SCHEMA:
            self.sources.adopt(source, read_schema(message.payload, self.sources.limits))
            return None
        if message.kind is Kind.END:
            source.ended = True
            return None
        if message.kind > Kind.LABEL:
            raise SourceError(f"kind {message.kind:d} needs a reply, and this socket has none")
        return self._rows(source, message, repeated)

    def _rows(self, source: RemoteSource, message: Message, repeated: bool) -> Event | None:
        if repeated and self._is_known(source, message.seq, message.n_rows):
            return None
        epoch = self._advance(source, message.seq, message.n_rows)
        if source.schema is None:
            self.sources.stats["without_schema"] += message.n_rows
            return None
        self.sources.claim(source, source.schema)
        return source.event(message, source.schema, epoch=epoch)

    def _row(self, topic: bytes, read: ReadRow, key: str, repeated: bool) -> Event | None:
        source = self.sources.find(topic_name(topic, self.sources.limits), key)
        row = read(source.schema.features if source.schema else None)
        if isinstance(row, NamedLabel):
            return self._label(source.name, row)
        if row.seq is not None and row.seq > MAX_SEQ:
            raise SourceError(f"seq must be 0 to {MAX_SEQ}, got {row.seq}")
        if repeated and row.seq is not None and self._is_known(source, row.seq, 1):
            return None
        sequence = take_id(row, source.schema)
        self.sources.model_names.add(source.name, row.x, self._classes_in(row.y))
        seq = row.seq
        if seq is None:
            seq = _number_after(source)
        epoch = self._advance(source, seq, 1)
        self.sources.stats["rows"] += 1
        y = self._typed(row.y)
        extra = row.extra or None
        return Sample(row.x, y, seq, row.t, source.name, sequence, epoch, id=row.id, extra=extra)

    def _typed(self, y: Any) -> Any:
        """Return a label as the task has it."""
        is_value = self.sources.task == "regression" and isinstance(y, (int, float))
        return float(y) if is_value else y

    def _label(self, name: str, label: NamedLabel) -> Labels:
        """Return the label of a row with an id; labels of a sender are numbered by themselves."""
        source = self.sources.find(name + LABELS)
        self.sources.model_names.add(name, (), self._classes_in(label.label))
        seq = _number_after(source)
        source.advance(0 if source.newest is None else source.newest[0], seq)
        self.sources.stats["labels"] += 1
        return Labels([label.id], [self._typed(label.label)], seq, source.name, by_id=True)

    def _classes_in(self, y: Any) -> tuple[str, ...]:
        """Return the class that a label names; while the task is unknown, a number names none."""
        is_value = self.sources.task == "regression"
        if isinstance(y, dict):  # the names of several targets
            return tuple(map(str, y))
        is_unknown = self.sources.task is None and not isinstance(y, str)
        return () if y is None or is_value or is_unknown else (str(y),)

    def _is_known(self, source: RemoteSource, seq: int, n_rows: int) -> bool:
        """Whether rows were read before; they are then counted as duplicates."""
        if source.newest is None or seq > source.newest[1]:
            return False
        self.sources.stats["duplicates"] += n_rows
        return True

    def _advance(self, source: RemoteSource, seq: int, n_rows: int) -> int:
        """Note rows from `seq` on, and return the epoch that they belong to."""
        source.ended = False
        epoch = 0
        if source.newest is not None:
            epoch, last = source.newest
            if seq <= last:
                self.sources.stats["restarts"] += 1
                epoch += 1
                source.last.clear()  # an earlier epoch never comes back without a hello
                source.durable.clear()
            else:
                self.sources.count_gap(seq - last - 1)
        source.advance(epoch, seq + n_rows - 1)
        return epoch


def _number_after(source: RemoteSource) -> int:
    """Return the number of a row that has none; after the largest one, numbers restart."""
    if source.newest is None:
        return 0
    last = source.newest[1]
    return last + 1 if last < MAX_SEQ else 0
