"""Plain values out of what files and libraries hand over."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import numpy as np

from loco_stream.errors import ConfigError, SourceError
from loco_stream.numbers import to_number

__all__ = [
    "MISSING",
    "event_time",
    "hint",
    "host_port",
    "listed",
    "need",
    "number",
    "parse_cell",
    "plain",
    "sequence_id",
]

# What tables write for "no value", besides nothing at all (compared in lower case).
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


def number(text: str) -> int | float | None:
    """Return the number `text` spells, or None.

    Python's own ``1_000`` is not a number in a table.
    """
    if "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def parse_cell(text: str) -> Any:
    """Read one table cell as int, float, bool, str, or None where it is missing.

    >>> [parse_cell(c) for c in ("3", "2.5", "true", "red", "", "NA")]
    [3, 2.5, True, 'red', None, None]
    """
    value = number(text)
    if value is not None:
        return None if isinstance(value, float) and not math.isfinite(value) else value
    word = text.strip().lower()
    if word in MISSING:
        return None
    return word == "true" if word in {"true", "false"} else text


def plain(value: Any) -> Any:
    """Return a value the encoder knows: numbers, bools, strings and None.

    A date becomes seconds since 1970 UTC.
    """
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
    if isinstance(
        value, (np.datetime64, np.timedelta64)
    ):  # `item` of some units would be a bare number
        return plain(
            value.astype("M8[us]" if isinstance(value, np.datetime64) else "m8[us]").item()
        )
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (date, datetime)):
        return event_time(value)
    item = getattr(value, "item", None)  # a numpy scalar
    if item is not None:
        return item()
    try:
        return float(value)  # Decimal, Fraction
    except (TypeError, ValueError):
        return str(value)


def sequence_id(value: Any) -> Hashable:
    """Return the id of an event from a text or a number.

    A whole number is one however it is written.

    >>> sequence_id("run 3"), sequence_id(3.0)
    ('run 3', 3)
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or value != value or not isinstance(value, str | int | float):
        raise SourceError(
            f"the id of a sequence is {value!r}; allowed are texts and numbers, one for every row"
        )
    return value


def event_time(value: Any) -> float:
    """Return seconds since 1970-01-01 UTC from a number, a date or ISO 8601 text; NaN when missing.

    A time without a zone is taken as UTC, so that a replay does not depend on the machine.

    >>> event_time("1970-01-02"), event_time(3)
    (86400.0, 3.0)
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        spelled = number(value)
        if spelled is not None:
            return to_number(spelled)
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise SourceError(
                f"time {value!r} is neither seconds since 1970 nor an ISO 8601 date"
            ) from None
    if isinstance(value, date):
        moment = (
            value
            if isinstance(value, datetime)
            else datetime(value.year, value.month, value.day, tzinfo=UTC)
        )
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return to_number(value)


def hint(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the three nearest known words, nothing if none is near."""
    lowered = {k.lower(): k for k in known}
    *others, last = [
        repr(lowered[c]) for c in get_close_matches(word.lower(), lowered, n=3, cutoff=0.6)
    ] or [""]
    return f"; did you mean {', '.join(others)}{' or ' * bool(others)}{last}?" if last else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names for an error message: the first ones, and how many more there are.

    >>> listed("abcde", most=3)
    'a, b, c and 2 more'
    """
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def host_port(where: str, port: int, form: str) -> tuple[str, int, str]:
    """Split ``//HOST:PORT/PLACE``; `port` is the default.

    Raises
    ------
    ConfigError
        It is not of that form; the text shows `form`.

    Examples
    --------
    >>> host_port("//broker/sensors/a", 1883, "mqtt://HOST:PORT/TOPIC")
    ('broker', 1883, 'sensors/a')
    """
    server, _, place = where.removeprefix("//").partition("/")
    host, colon, given = server.rpartition(":")
    if not colon:
        host = server
        given = str(port)
    if (
        not where.startswith("//")
        or not host
        or not place
        or not given.isdecimal()
        or not 0 < int(given) < 65_536
    ):
        raise ConfigError(f"{where} is not of the form {form}")
    return host, int(given), place


def need(module: str, extra: str, kind: str) -> Any:
    """Import a library that only one kind of source needs.

    Raises
    ------
    SourceError
        It is not installed; the text names the extra that brings it.
    """
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as e:  # pylsl without its binary raises the latter
        library = module.partition(".")[0]
        raise SourceError(
            f"{kind} needs {library}: pip install 'loco-stream[{extra}]' ({e})"
        ) from None
