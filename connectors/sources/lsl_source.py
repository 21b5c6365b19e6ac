"""Lab Streaming Layer as a source."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._checks import checks_types
from loco_stream._joins import Item
from loco_stream._text import did_you_mean
from loco_stream.connectors._base.checks import check_positive, check_task
from loco_stream.connectors._base.connector import Connector, Extra
from loco_stream.connectors._base.numbered_source import parse_row_number
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.table_source import label_of
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Position, Schema, Source

_LSL = Extra("lsl", "pylsl>=1.16.2", "pylsl")
_TICK = 0.1  # seconds
_CHUNK = 256  # rows per block at most


class LSLSource(Source):
    """Samples of a numeric stream of the Lab Streaming Layer, in blocks.

    Features are named by the channel labels in the stream's description, otherwise "0", "1", ...
    Event times are corrected to the clock of this machine.

    Parameters
    ----------
    name
        Name of the stream.
    target
        Label or number of the channel with the label of a row; NaN means missing. By default rows
        have no labels.
    task
        ``classification`` (labels are whole numbers) or ``regression``.
    wait
        Time to search for the stream.
    buffer
        Seconds of rows that are kept while the engine is busy; older ones are lost.
    idle
        Time without a row after which the source ends. By default it waits for the stream to
        come back.
    max
        Number of rows after which the source ends, with the block that reaches it.

    Raises
    ------
    SourceError
        There is no such stream or channel, the channels are text, or pylsl is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import LSLSource
    >>> LSLSource("EEG", target="marker", wait=0.1)
    Traceback (most recent call last):
    loco_stream.errors.SourceError: no LSL stream named 'EEG' was found within 0.1 s
    """

    guarantee = "may lose rows (LSL keeps none while the engine is away)"
    is_live = True

    @checks_types
    def __init__(
        self,
        name: str,
        target: str | int | None = None,
        *,
        task: str | None = None,
        wait: Seconds = 5.0,
        buffer: int = 360,
        idle: Seconds | None = None,
        max: int | None = None,  # noqa: A002 - the name of the URL option
    ) -> None:
        check_positive(wait=wait, buffer=buffer, idle=idle, max=max)
        self._task = check_task(task) or "classification"
        self._lsl = _LSL.load()
        self._errors = _LSL.load("pylsl.util")
        self.name = f"lsl:{name}"
        self._inlet = self._connect(name, wait, buffer)
        channels = _channel_labels(self._inlet.info(timeout=wait))
        self._target = _channel_index(name, channels, target)
        self._columns = [j for j in range(len(channels)) if j != self._target]
        self._features = tuple(channels[j] for j in self._columns)
        if not self._features:
            raise SourceError(f"{self.name} must have a channel besides that of the label")
        self._idle = idle or math.inf
        self._rows_left = max or math.inf
        self._row = 0
        self._n_masked = 0
        self._offset = 0.0  # between the clocks of the two machines
        self._inlet.open_stream(timeout=wait)
        self._update_offset(wait)

    def _connect(self, name: str, wait: float, buffer: int) -> Any:
        found = self._lsl.resolve_byprop("name", name, 1, wait)
        if not found:
            others = sorted({info.name() for info in self._lsl.resolve_streams(0.5)})
            shown = f" (streams: {', '.join(others)})" if others else ""
            raise SourceError(
                f"no LSL stream named {name!r} was found within {wait:g} s"
                f"{did_you_mean(name, others)}{shown}"
            )
        info = found[0]
        if info.channel_format() == self._lsl.cf_string:
            raise SourceError(f"channels of the LSL stream {name!r} must be numeric, got text")
        return self._lsl.StreamInlet(info, max_buflen=buffer)

    @property
    def schema(self) -> Schema | None:
        """The channels, and the task if there are labels."""
        return Schema(self._task if self._target is not None else None, self._features)

    @property
    def position(self) -> Position:
        """``{"row": n}``: n rows were read."""
        return {"row": self._row}

    @property
    def stats(self) -> dict[str, int]:
        """Number of rows, and of values that were not finite."""
        return {"rows": self._row, "masked": self._n_masked}

    def seek(self, position: Position) -> None:
        """Continue to count from ``{"row": n}``; rows sent meanwhile are lost."""
        self._row = parse_row_number(self.name, position)

    def close(self) -> None:
        """Disconnect from the stream."""
        self._inlet.close_stream()

    def __iter__(self) -> Iterator[Item]:
        """Yield blocks as they arrive, and empty lists while none does."""
        last = time.monotonic()
        while self._rows_left > 0:
            rows, stamps = self._inlet.pull_chunk(timeout=_TICK, max_samples=_CHUNK)
            if rows:
                last = time.monotonic()
                self._rows_left -= len(rows)
                yield self._block(np.array(rows, np.float64), np.array(stamps, np.float64))
            elif time.monotonic() - last >= self._idle:
                return
            else:
                yield []

    def _block(self, rows: Float64, stamps: Float64) -> Block:
        y = None
        if self._target is not None:
            kind = "float" if self._task == "regression" else "int"
            y = [label_of(value, kind) for value in rows[:, self._target].tolist()]
        table = rows[:, self._columns].astype(np.float32)
        finite = np.isfinite(table)
        self._n_masked += int(table.size - finite.sum())
        table[~finite] = np.nan
        first = self._row
        self._row += len(table)
        times = self._since_1970(stamps)
        return Block(table, y, self._features, first, float(times[0]), self.name, times=times)

    def _update_offset(self, wait: float) -> None:
        """Measure the offset between the clocks; without an answer the last one stays."""
        with suppress(self._errors.TimeoutError, self._errors.LostError):
            self._offset = float(self._inlet.time_correction(timeout=wait))

    def _since_1970(self, stamps: Float64) -> Float64:
        self._update_offset(0.0)
        return stamps + float(self._offset - self._lsl.local_clock() + time.time())


def _channel_labels(info: Any) -> list[str]:
    """Return the label of each channel, or its number if the label is missing or not unique."""
    labels: list[str] = []
    channel = info.desc().child("channels").child("channel")
    for j in range(info.channel_count()):
        label = channel.child_value("label")
        labels.append(label if label and label not in labels else str(j))
        channel = channel.next_sibling("channel")
    return labels


def _channel_index(stream: str, channels: list[str], target: str | int | None) -> int | None:
    if target is None:
        return None
    if str(target) in channels:
        return channels.index(str(target))
    text = str(target)
    is_number = re.fullmatch(r"-?\d{1,9}", text)
    if is_number and -len(channels) <= int(text) < len(channels):
        return int(text) % len(channels)
    raise SourceError(
        f"`target` of lsl:{stream} must be a channel, got {target!r}"
        f"{did_you_mean(text, channels)} (channels: {', '.join(channels)})"
    )


CONNECTORS = (Connector("lsl", LSLSource, {"lsl:NAME": LSLSource.guarantee}, extra=_LSL),)
