"""Messages without a way back (pull, sub, MQTT): count what is missing, never stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loco_stream.connectors.ls1.messages import ReadableRow, read_row, read_schema
from loco_stream.connectors.ls1.readable import take_id
from loco_stream.connectors.ls1.remote_source import Stream, Streams
from loco_stream.connectors.ls1.wire import Kind, Message, topic_name, unpack
from loco_stream.errors import SourceError
from loco_stream.stream import Event, Sample

__all__ = ["Receiver"]


class Receiver:
    """Turns frames into events for sources that are known by their name alone.

    A source numbers its rows; a jump forward is counted as a gap, falling back as a restart, which
    opens the next epoch. What is malformed or does not fit the schema is counted and dropped, its
    sentence kept in `last_error`.
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.last_error = ""

    @property
    def all_ended(self) -> bool:
        """Whether every source that was heard has said end of stream."""
        ended = [
            stream.ended for stream in self.streams.by_name.values() if stream.ended is not None
        ]
        return bool(ended) and all(ended)

    def take(
        self, frames: Sequence[bytes], key: str = "", *, repeated: bool = False
    ) -> Event | None:
        """Return the event in a message, or None.

        Rows of a `repeated` message are dropped if they are known; `key` is the sender's under
        CURVE.
        """
        if len(frames) == 2:
            body = frames[1]
            limits = self.streams.limits
            return self.take_row(
                frames[0], lambda features: read_row(body, features, limits), key, repeated=repeated
            )
        self.streams.stats["messages"] += 1
        fault = "malformed"
        try:
            message = unpack(frames, self.streams.limits)
            fault = "rejected"
            return self._take(message, key, repeated)
        except SourceError as e:
            self._refuse(fault, e)
            return None

    def take_row(
        self,
        topic: bytes,
        read: Callable[[tuple[str, ...] | None], ReadableRow],
        key: str = "",
        *,
        repeated: bool = False,
    ) -> Event | None:
        """Return the row that `read` makes of a message, given its source's features.

        None if it is malformed.
        """
        self.streams.stats["messages"] += 1
        try:
            return self._readable(topic, read, key, repeated)
        except SourceError as e:
            self._refuse("malformed", e)
            return None

    def refuse(self, error: SourceError) -> None:
        """Count a message that cannot be read, and keep its sentence."""
        self.streams.stats["messages"] += 1
        self._refuse("malformed", error)

    def _refuse(self, what: str, error: SourceError) -> None:
        self.streams.stats[what] += 1
        self.last_error = str(error)

    def _take(self, message: Message, key: str, repeated: bool) -> Event | None:
        if message.kind in {Kind.HELLO, Kind.HEARTBEAT}:
            return None
        stream = self.streams.find(message.source, key)
        if message.kind is Kind.SCHEMA:
            self.streams.adopt(stream, read_schema(message.payload, self.streams.limits))
            return None
        if message.kind is Kind.END:
            stream.ended = True
            return None
        if message.kind > Kind.LABEL:
            raise SourceError(f"kind {message.kind:d} needs a way back, and this socket has none")
        return self._rows(stream, message, repeated)

    def _rows(self, stream: Stream, message: Message, repeated: bool) -> Event | None:
        if repeated and self._known(stream, message.seq, message.n_rows):
            return None
        epoch = self._count(stream, message.seq, message.n_rows)
        if stream.schema is None:
            self.streams.stats["without_schema"] += message.n_rows
            return None
        self.streams.claim(stream, stream.schema)
        return stream.event(message, stream.schema, epoch=epoch)

    def _classes(self, y: Any) -> tuple[str, ...]:
        """Return the class that a label names.

        A number may be a value while the task is not known.
        """
        if (
            y is None
            or self.streams.task == "regression"
            or not (self.streams.task or isinstance(y, str))
        ):
            return ()
        return (str(y),)

    def _known(self, stream: Stream, seq: int, n: int) -> bool:
        """Whether rows were handed out before; counts them as duplicates then."""
        if seq > next(reversed(stream.last.values()), -1):
            return False
        self.streams.stats["duplicates"] += n
        return True

    def _count(self, stream: Stream, seq: int, n: int) -> int:
        """Compare a seq with the last one, and return the epoch it belongs to."""
        stream.ended = False
        stats = self.streams.stats
        epoch, last = next(reversed(stream.last.items()), (0, None))
        if last is not None and seq <= last:
            stats["restarts"] += 1
            epoch += 1
            stream.last.clear()  # without a hello an old epoch never comes back
            stream.durable.clear()
        elif last is not None:
            self.streams.count_gap(seq - last - 1)
        stream.reach(epoch, seq + n - 1)
        return epoch

    def _readable(
        self,
        topic: bytes,
        read: Callable[[tuple[str, ...] | None], ReadableRow],
        key: str,
        repeated: bool,
    ) -> Event | None:
        stream = self.streams.find(topic_name(topic, self.streams.limits), key)
        row = read(stream.schema.features if stream.schema else None)
        if repeated and row.seq is not None and self._known(stream, row.seq, 1):
            return None
        sequence = take_id(row, stream.schema)
        self.streams.names.add(stream.name, row.x, self._classes(row.y))
        after = next(reversed(stream.last.values()), 0) + 1
        self._count(stream, after if row.seq is None else row.seq, 1)
        self.streams.stats["rows"] += 1
        y: Any = (
            float(row.y)
            if self.streams.task == "regression" and isinstance(row.y, (int, float))
            else row.y
        )
        return Sample(row.x, y, next(reversed(stream.last.values())), row.t, stream.name, sequence)
