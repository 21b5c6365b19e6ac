"""What sources share whose rows come as messages from a broker."""

from __future__ import annotations

import math
import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import read_message
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.connectors.ls1.wire import HEADER, MAGIC
from loco_stream.connectors.merge import merged
from loco_stream.connectors.rows import check_task
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Schema, Source

__all__ = ["BATCH", "TICK", "BrokerSource", "password"]

TICK = 0.1  # seconds without giving control back
BATCH = 1024  # messages taken together


def password(service: str) -> str | None:
    """Return the password for a service.

    A command line or a URL would show it in logs and process lists.

    It stands in the environment variable ``LOCO_STREAM_<SERVICE>_PASSWORD``, or in the file that
    ``LOCO_STREAM_<SERVICE>_PASSWORD_FILE`` names; None without either.

    Raises
    ------
    ConfigError
        The file cannot be read.
    """
    variable = f"LOCO_STREAM_{service}_PASSWORD"
    path = os.environ.get(f"{variable}_FILE")
    if path is None:
        return os.environ.get(variable)
    try:
        return Path(path).read_text().rstrip("\r\n")
    except OSError as e:
        raise ConfigError(f"{variable}_FILE: cannot read {path}: {e.strerror or e}") from None


class BrokerSource(Source):
    """Messages from a broker, one row or one LS1 block each.

    Parameters
    ----------
    name
        The source's name.
    task
        Refuse schemas of another task; with regression, readable labels are values.
    target, time_key
        Keys of the label and of the event time in messages that are flat maps.
    idle
        End after so many seconds without a row; None never does.
    max
        End with the message that brings so many rows.
    endless
        Go on after the end of stream (kind 5) of every source heard.
    limits
        What peers may send.
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
        max: int | None,  # noqa: A002 - the option's name in the URL
        endless: bool,
        limits: Limits | None,
    ) -> None:
        for option, value in (("idle", idle), ("max", max)):
            if value is not None and not value > 0:
                raise ConfigError(f"{option} must be > 0, not {value!r}")
        self.name = name
        self._limits = limits or Limits()
        self._streams = Streams(self._limits, check_task(task))
        self._receiver = Receiver(self._streams)
        self._target = target
        self._time_key = time_key
        self._idle = math.inf if idle is None else idle
        self._rows_left = math.inf if max is None else max
        self._endless = endless

    @property
    def stats(self) -> dict[str, int]:
        """What has come since the start, and what was wrong with it."""
        return dict(self._streams.stats)

    @property
    def last_error(self) -> str:
        """The last sentence said about a bad message; empty if there was none."""
        return self._receiver.last_error

    @property
    def schema(self) -> Schema | None:
        """The first source's schema; None until one has come."""
        return self._streams.schema

    @abstractmethod
    def _fetch(self) -> Sequence[Event | None]:
        """Return the events of the messages that have come, waiting at most a tick for the first."""

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield lists of events, empty ones while nothing comes."""
        heard = time.monotonic()
        while self._rows_left > 0:
            events = merged(event for event in self._fetch() if event is not None)
            if events:
                heard = time.monotonic()
            elif time.monotonic() - heard >= self._idle or (
                self._receiver.all_ended and not self._endless
            ):
                return
            self._rows_left -= sum(len(getattr(event, "X", (event,))) for event in events)
            yield events

    def _take(
        self,
        source: str,
        body: bytes,
        label: Any = None,
        t: float = math.nan,
        *,
        repeated: bool = False,
    ) -> Event | None:
        """Read one message: an LS1 header and its payload, or a row as a JSON or MessagePack map.

        `label` and `t` are what the message says beside its body; what the body says comes first.
        Rows of a `repeated` message are dropped if they are known.
        """
        name = source.encode()
        if body[:4] == MAGIC:
            return self._receiver.take(
                [name, body[: HEADER.size], body[HEADER.size :]], repeated=repeated
            )
        return self._receiver.take_row(
            name, lambda features: self._read(body, features, label, t), repeated=repeated
        )

    def _read(self, body: bytes, features: tuple[str, ...] | None, label: Any, t: float) -> Any:
        row = read_message(body, features, self._limits, self._target, self._time_key)
        if row.y is None and label is not None:
            row.y = label
        if math.isnan(row.t):
            row.t = t
        return row

    def _seek_rows(self, position: Mapping[str, Any], key: str) -> None:
        rows = position.get("rows")
        if key not in position or not isinstance(rows, Mapping):
            raise SourceError(
                f"{self.name} resumes at {{{key!r}: ..., 'rows': ...}}, not at {dict(position)!r}"
            )
        self._streams.seek(rows)
