"""Rows from a serial port: an Arduino, a scale, a weather station."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.connectors.broker import TICK, BrokerSource
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import ReadableRow, read_message, row_of
from loco_stream.connectors.values import need, number, parse_cell
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

__all__ = ["SerialSource"]

_LINE = 1 << 16  # bytes; a device that sends no line end must not fill the memory


class SerialSource(BrokerSource):
    """Lines of CSV or JSON from a serial port; needs ``loco-stream[serial]``.

    A line that begins with a brace is a row as a JSON map. Any other is a row of CSV under
    `columns`, or under the header that the device sends: a line without numbers that names the
    label. A device that is unplugged is waited for.

    Parameters
    ----------
    port
        The device, for example ``/dev/ttyUSB0``.
    baud
        Bits a second, as the device is set.
    target, time
        Column or key of the label, and of the event time in seconds since 1970; an empty target
        reads rows without labels.
    columns
        The names of the values of a CSV line. What comes first is then dropped up to the first line
        end: it may be half a line.
    task, idle, max, endless, limits
        As in `MQTTSource`.

    Raises
    ------
    SourceError
        The port cannot be opened.
    ConfigError
        An option out of range.

    Examples
    --------
    >>> from loco_stream.connectors import SerialSource
    >>> SerialSource("/dev/nothing", baud=9600)  # with a device there, it would yield rows
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot open the serial port /dev/nothing: No such file or ...
    """

    guarantee = "at most once: a serial line does not repeat what was sent while nobody read"

    def __init__(
        self,
        port: str,
        *,
        baud: int = 115200,
        target: str = "y",
        time: str = "t",
        columns: Sequence[str] = (),
        task: str | None = None,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            f"serial:{port}",
            task=task,
            target=target,
            time_key=time,
            idle=idle,
            max=max,
            endless=endless,
            limits=limits,
        )
        if baud < 1:
            raise ConfigError(f"baud must be at least 1 bit a second, not {baud}")
        if columns and target and target not in columns:
            raise ConfigError(
                f"columns must name the label {target!r}, or target must be empty; not {list(columns)}"
            )
        self._serial = need("serial", "serial", "serial")
        self._port = port
        self._baud = baud
        self._given = bool(columns)
        self._columns = list(columns)
        self._partial = b""
        self._device: Any = None
        try:
            self._open()
        except OSError as e:
            reason = (
                os.strerror(e.errno) if e.errno else str(e)
            )  # its own text names the port twice
            raise SourceError(f"cannot open the serial port {port}: {reason}") from None

    def _open(self) -> None:
        self._device = self._serial.Serial(self._port, baudrate=self._baud, timeout=TICK)
        self._partial = b""
        self._cut = self._given  # whether the next line may be half a one

    @property
    def position(self) -> dict[str, Any]:
        """``{name: {epoch: rows}}``: how many rows were handed out."""
        return self._streams.position

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go on numbering the rows from `position`; what was sent meanwhile is gone."""
        self._streams.seek(position)

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
        except OSError:  # unplugged; pyserial's own errors are of this kind
            self.close()
            time.sleep(TICK)
            return []
        *lines, self._partial = (self._partial + content).split(b"\n")
        if len(self._partial) > _LINE:
            lines.append(self._partial)
            self._partial = b""
            self._cut = True
        if self._cut and lines:
            self._cut = False
            del lines[0]
        return [self._line(line.strip()) for line in lines if line.strip()]

    def _line(self, line: bytes) -> Event | None:
        if line[:1] != b"{":
            cells = _cells(line)
            if self._is_header(cells):
                self._columns = cells
                return None
            if not self._columns:
                self._streams.stats["without_schema"] += 1
                return None
        return self._receiver.take_row(
            self.name.encode(), lambda features: self._read_line(line, features)
        )

    def _is_header(self, cells: list[str]) -> bool:
        return (
            not self._given
            and self._target in (*cells, "")
            and all(number(cell) is None for cell in cells)
        )

    def _read_line(self, line: bytes, features: tuple[str, ...] | None) -> ReadableRow:
        if line[:1] == b"{":
            return read_message(line, features, self._limits, self._target, self._time_key)
        cells = _cells(line)
        if len(cells) != len(self._columns):
            raise SourceError(
                f"a line has {len(cells)} values, and there are {len(self._columns)} columns"
            )
        values = {name: parse_cell(cell) for name, cell in zip(self._columns, cells, strict=True)}
        return row_of(values, features, self._limits, self._target, self._time_key)


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace")
    return [cell.strip() for cell in next(csv.reader([text]), [])]
