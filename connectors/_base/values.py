"""Conversion of what files and libraries return to plain values."""

from __future__ import annotations

import math
from collections.abc import Hashable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from loco_stream._numbers import shown, timestamp, to_number
from loco_stream.errors import ConfigError, SourceError

# Texts that mean a missing value in a table, compared in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


def number(text: str) -> int | float | None:
    """Return the number that `text` spells, or None; Python's ``1_000`` is not a number here."""
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    try:
        return value if "." in text else int(text)
    except ValueError:  # 1e3, or more digits than an integer may have
        return value


def parse_cell(text: str) -> Any:
    """Return a table cell as int, float, bool, str, or None if it is missing.

    Examples
    --------
    >>> [parse_cell(cell) for cell in ("3", "2.5", "true", "red", "", "NA")]
    [3, 2.5, True, 'red', None, None]
    """
    value = number(text)
    if value is not None:
        return None if isinstance(value, float) and not math.isfinite(value) else value
    word = text.strip().lower()
    if word in MISSING:
        return None
    return word == "true" if word in {"true", "false"} else text


def plain_scalar(value: Any) -> Any:
    """Return a number, bool, text or None for any scalar; a date becomes seconds since 1970 UTC."""
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
    if isinstance(value, np.datetime64):  # `item` would be a plain number in some units
        return plain_scalar(value.astype("M8[us]").item())
    if isinstance(value, np.timedelta64):
        return plain_scalar(value.astype("m8[us]").item())
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (date, datetime)):
        return event_time(value)
    item = getattr(value, "item", None)  # of a numpy scalar
    if item is not None:
        return item()
    try:
        return float(value)  # Decimal, Fraction
    except (TypeError, ValueError):
        return str(value)


def sequence_id(value: Any) -> Hashable:
    """Return a sequence id; a whole number is the same id as int or float.

    Examples
    --------
    >>> sequence_id("run 3"), sequence_id(3.0)
    ('run 3', 3)

    Raises
    ------
    SourceError
        The value is missing or neither text nor number.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or value != value or not isinstance(value, str | int | float):
        raise SourceError(f"`sequence` must be a text or a number in every row, got {shown(value)}")
    return value


def event_time(value: Any, form: str | None = None) -> float:
    """Return seconds since 1970-01-01 UTC for a number, date or ISO 8601 text; NaN if missing.

    A time without a zone counts as UTC, so that a replay does not depend on the machine. `form`
    is the form of a text as `strptime` of Python has it; texts of another form are refused.

    Examples
    --------
    >>> event_time("1970-01-02"), event_time(3)
    (86400.0, 3.0)
    >>> event_time("02.01.1970 00:00", "%d.%m.%Y %H:%M")
    86400.0

    Raises
    ------
    SourceError
        The text is neither a number nor a date, or not of the given form.
    """
    if value is None:
        return math.nan
    if isinstance(value, str) and form is not None:
        try:
            value = datetime.strptime(value.strip(), form)
        except ValueError:
            raise SourceError(f"`time` must be of the form {form!r}, got {shown(value)}") from None
    if isinstance(value, str):
        spelled = number(value)
        if spelled is not None:
            return to_number(spelled)
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise SourceError(
                f"`time` must be seconds since 1970 or an ISO 8601 date, got {shown(value)}"
            ) from None
    if isinstance(value, date):
        return timestamp(value)
    return to_number(value)


def split_server(where: str, form: str, *, needs_name: bool = True) -> tuple[str, int | None, str]:
    """Split ``//HOST:PORT/NAME`` into host, port and name; the port may be missing.

    Parameters
    ----------
    where
        What follows the scheme of a URL.
    form
        The form of the URL, for the error message.
    needs_name
        Whether the name must not be empty.

    Raises
    ------
    ConfigError
        The text has another form.

    Examples
    --------
    >>> split_server("//broker/sensors/a", "mqtt://HOST:PORT/TOPIC")
    ('broker', None, 'sensors/a')
    """
    server, _, name = where.removeprefix("//").partition("/")
    host, colon, port = server.rpartition(":")
    if not colon:
        host = server
        port = ""
    is_port = port.isdecimal() and 0 < int(port) < 65_536
    if (
        not where.startswith("//")
        or not host
        or (needs_name and not name)
        or (colon and not is_port)
    ):
        raise ConfigError(f"the URL must be {form}, got '{form.partition(':')[0]}:{where}'")
    return host, int(port) if colon else None, name
