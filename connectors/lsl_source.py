"""Rows from a Lab Streaming Layer stream."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.rows import check_task
from loco_stream.connectors.table import label_of
from loco_stream.connectors.values import hint, need
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Event, Schema, Source

__all__ = ["LSLSource"]

_TICK = 0.1  # seconds without giving control back
_CHUNK = 256  # rows a block at most


class LSLSource(Source):
    """Samples of one numeric LSL stream, in blocks; needs ``loco-stream[lsl]``.

    Columns are named by the channel labels in the stream's description, else "0", "1", ... Event
    times are corrected to this machine's clock and given in seconds since 1970 UTC.

    Parameters
    ----------
    name
        The stream's name.
    target
        Label or number of the channel that carries the label; NaN there is a missing one. None
        reads a stream without labels.
    task
        ``"classification"`` (labels are whole numbers) or ``"regression"``.
    wait
        Seconds to look for the stream.
    buffer
        Seconds of rows that wait here while the engine is busy; older ones are lost.
    idle
        End after so many seconds without a row; None waits for the stream to come back.
    max
        End with the block that brings so many rows.

    Raises
    ------
    SourceError
        No such stream, text channels, no such channel.

    Examples
    --------
    >>> from loco_stream.connectors import LSLSource
    >>> LSLSource("EEG", target="marker", wait=0.1)  # with such a stream there, it would yield blocks
    Traceback (most recent call last):
    loco_stream.errors.SourceError: no LSL stream named 'EEG' answered within 0.1 s
    """

    is_live = True
    guarantee = "may lose rows: LSL keeps none while the engine is away, and cannot resume"

    def __init__(
        self,
        name: str,
        target: str | int | None = None,
        *,
        task: str | None = None,
        wait: float = 5.0,
        buffer: int = 360,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
    ) -> None:
        for field, value in (("wait", wait), ("buffer", buffer), ("idle", idle), ("max", max)):
            if value is not None and not value > 0:
                raise ConfigError(f"{field} must be > 0, not {value!r}")
        self._task = check_task(task) or "classification"
        self._lsl, self._errors = need("pylsl", "lsl", "lsl"), need("pylsl.util", "lsl", "lsl")
        self.name = f"lsl:{name}"
        self._inlet = self._find(name, wait, buffer)
        channels = _channels(self._inlet.info(timeout=wait))
        self._target = _channel(name, channels, target)
        self._columns = [j for j in range(len(channels)) if j != self._target]
        self._features = tuple(channels[j] for j in self._columns)
        if not self._features:
            raise SourceError(f"{self.name} has no channel beside the label")
        self._idle = math.inf if idle is None else idle
        self._rows_left = math.inf if max is None else max
        self._row = 0
        self._masked = 0
        self._offset = 0.0
        self._inlet.open_stream(timeout=wait)
        self._follow_clock(wait)

    def _find(self, name: str, wait: float, buffer: int) -> Any:
        found = self._lsl.resolve_byprop("name", name, 1, wait)
        if not found:
            there = sorted({info.name() for info in self._lsl.resolve_streams(0.5)})
            shown = f" (streams here: {', '.join(there)})" if there else ""
            raise SourceError(
                f"no LSL stream named {name!r} answered within {wait:g} s{hint(name, there)}{shown}"
            )
        info = found[0]
        if info.channel_format() == self._lsl.cf_string:
            raise SourceError(f"the LSL stream {name!r} carries text; numeric channels are needed")
        return self._lsl.StreamInlet(info, max_buflen=buffer)

    @property
    def schema(self) -> Schema | None:
        """The channels; the task if there is a label."""
        return Schema(self._task if self._target is not None else None, self._features)

    @property
    def position(self) -> dict[str, Any]:
        """``{"row": n}``: n rows were handed out."""
        return {"row": self._row}

    @property
    def stats(self) -> dict[str, int]:
        """Rows handed out, and values in them that were not finite."""
        return {"rows": self._row, "masked": self._masked}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go on counting from ``{"row": n}``; the rows in between are gone."""
        row = position.get("row")
        if not isinstance(row, int) or row < 0:
            raise SourceError(
                f"{self.name} counts on from {{'row': n}}, not from {dict(position)!r}"
            )
        self._row = row

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close_stream()

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield blocks as they come, and empty lists while nothing does."""
        heard = time.monotonic()
        while self._rows_left > 0:
            rows, stamps = self._inlet.pull_chunk(timeout=_TICK, max_samples=_CHUNK)
            if rows:
                heard = time.monotonic()
                self._rows_left -= len(rows)
                yield self._block(
                    np.array(rows, dtype=np.float64), np.array(stamps, dtype=np.float64)
                )
            elif time.monotonic() - heard >= self._idle:
                return
            else:
                yield []

    def _block(self, rows: NDArray[np.float64], stamps: NDArray[np.float64]) -> Block:
        y = None
        if self._target is not None:
            kind = "float" if self._task == "regression" else "int"
            y = [label_of(value, kind) for value in rows[:, self._target].tolist()]
        table = rows[:, self._columns].astype(np.float32)
        finite = np.isfinite(table)
        self._masked += int(table.size - finite.sum())
        table[~finite] = np.nan
        first = self._row
        self._row = self._row + len(table)
        times = self._since_1970(stamps)
        return Block(table, y, self._features, first, float(times[0]), self.name, times=times)

    def _follow_clock(self, wait: float) -> None:
        """Renew the offset between the two machines' clocks.

        Without an answer the last one holds.
        """
        with suppress(self._errors.TimeoutError, self._errors.LostError):
            self._offset = float(self._inlet.time_correction(timeout=wait))

    def _since_1970(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        self._follow_clock(0.0)
        offset = float(self._offset - self._lsl.local_clock() + time.time())
        return stamps + offset


def _channels(info: Any) -> list[str]:
    """Return the channels' labels, or their numbers where a label is missing or not unique."""
    labels = []
    channel = info.desc().child("channels").child("channel")
    for j in range(info.channel_count()):
        label = channel.child_value("label")
        labels.append(label if label and label not in labels else str(j))
        channel = channel.next_sibling("channel")
    return labels


def _channel(stream: str, channels: list[str], target: str | int | None) -> int | None:
    if target is None:
        return None
    if str(target) in channels:
        return channels.index(str(target))
    text = str(target)
    if text.lstrip("-").isdecimal() and -len(channels) <= int(text) < len(channels):
        return int(text) % len(channels)
    known = ", ".join(channels)
    raise SourceError(
        f"lsl:{stream} has no channel {target!r}{hint(text, channels)} (channels: {known})"
    )
