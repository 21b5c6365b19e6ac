"""Serial ports as a source: an Arduino, a scale, a weather station."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import counted
from loco_stream.connectors._base.broker_source import TICK, BrokerSource
from loco_stream.connectors._base.connector import Connector, Extra
from loco_stream.connectors._base.values import number, parse_cell
from loco_stream.connectors.ls1._messages import Features, NamedMessage, read_message, to_row
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

_SERIAL = Extra("serial", "pyserial>=3.5", "serial")
_MAX_LINE = 1 << 16  # bytes; a device that sends no line end must not fill the memory


def _check_columns(columns: Sequence[str], labels: Sequence[str]) -> None:
    missing = [name for name in labels if name not in columns]
    if columns and missing:
        raise ConfigError(
            f"`columns` must contain the label {missing[0]!r}, or `target` must be empty, "
            f"got {list(columns)}"
        )


class SerialSource(BrokerSource):
    """Lines of CSV or JSON from a serial port.

    A line that starts with a brace is a row as JSON map. Any other line is a CSV row under
    `columns`, or under the header that the device sends: a line without numbers that contains the
    label's name. If the device is unplugged, the source waits for it.

    Parameters
    ----------
    port
        The device, such as ``/dev/ttyUSB0``.
    baud
        Bit rate of the device.
    columns
        Names of the values in a CSV line. Everything before the first line end is then dropped, as
        it may be half a line.
    options
        Fields and bounds as in any source of messages. With an empty `target`, rows have no label.

    Raises
    ------
    SourceError
        The port cannot be opened, or pyserial is not installed.
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> from loco_stream.connectors import SerialSource
    >>> SerialSource("/dev/nothing", baud=9600)
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot open the serial port /dev/nothing: No such file or ...
    """

    guarantee = "at most once (lines sent while the engine is away are lost)"

    @checks_types
    def __init__(
        self,
        port: str,
        *,
        baud: int = 115200,
        columns: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(f"serial:{port}", **options)
        if baud < 1:
            raise ConfigError(f"`baud` must be at least 1, got {baud}")
        _check_columns(columns, self._fields.labels)
        self._serial = _SERIAL.load()
        self._port = port
        self._baud = baud
        self._has_columns = bool(columns)
        self._columns = list(columns)
        self._partial = b""
        self._device: Any = None
        try:
            self._open()
        except OSError as e:
            # pyserial's own text names the port twice.
            reason = os.strerror(e.errno) if e.errno else str(e)
            raise SourceError(f"cannot open the serial port {port}: {reason}") from None

    def _open(self) -> None:
        self._device = self._serial.Serial(self._port, baudrate=self._baud, timeout=TICK)
        self._partial = b""
        self._is_cut = self._has_columns  # whether the next line may lack its beginning

    def close(self) -> None:
        """Close the port."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _fetch(self) -> Sequence[Event | None]:
        try:
            if self._device is None:
                self._open()
            content = self._device.read(self._device.in_waiting or 1)
        except OSError:
            self._note_lost("the device is unplugged")
            self.close()
            time.sleep(TICK)
            return []
        self._note_back()
        *lines, self._partial = (self._partial + content).split(b"\n")
        if len(self._partial) > _MAX_LINE:
            lines.append(self._partial)
            self._partial = b""
            self._is_cut = True
        if self._is_cut and lines:
            self._is_cut = False
            del lines[0]
        return [self._line(line.strip()) for line in lines if line.strip()]

    def _line(self, line: bytes) -> Event | None:
        if line[:1] != b"{":
            cells = _cells(line)
            if self._is_header(cells):
                self._columns = cells
                return None
            if not self._columns:
                self._sources.stats["without_schema"] += 1
                return None
        return self._receiver.take_row(
            self.name.encode(), lambda features: self._parse(line, features)
        )

    def _is_header(self, cells: list[str]) -> bool:
        has_target = set(cells).issuperset(self._fields.labels)
        return not self._has_columns and has_target and all(number(cell) is None for cell in cells)

    def _parse(self, line: bytes, features: Features) -> NamedMessage:
        if line[:1] == b"{":
            return read_message(line, features, self._limits, self._fields)
        cells = _cells(line)
        if len(cells) != len(self._columns):
            expected = counted(len(self._columns), "value")
            raise SourceError(f"a line must have {expected}, one per column, got {len(cells)}")
        values = {name: parse_cell(cell) for name, cell in zip(self._columns, cells, strict=True)}
        return to_row(values, features, self._limits, self._fields)


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace")
    return [cell.strip() for cell in next(csv.reader([text]), [])]


CONNECTORS = (
    Connector(
        "serial",
        SerialSource,
        {"serial:/dev/ttyUSB0?baud=115200": SerialSource.guarantee},
        extra=_SERIAL,
    ),
)
