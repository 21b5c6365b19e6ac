"""Plain values out of what files and libraries hand over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from loco_stream.errors import SourceError

__all__ = ["event_time", "hint", "label_of", "number", "parse_cell", "plain"]

# What tables write for "no value", besides nothing at all (compared in lower case).
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


def number(text: str) -> int | float | None:
    """Return the number `text` spells, or None. Python's own ``1_000`` is not a number in a table."""
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
        return None if isinstance(value, float) and math.isnan(value) else value
    word = text.strip().lower()
    if word in MISSING:
        return None
    return word == "true" if word in {"true", "false"} else text


def plain(value: Any) -> Any:
    """Return a value the encoder knows: numbers, bools, strings and None; a date becomes seconds since 1970 UTC."""
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
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
            return float(spelled)
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise SourceError(f"time {value!r} is neither seconds since 1970 nor an ISO 8601 date") from None
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(value)


def label_of(value: Any, kind: str) -> Any:
    """Return the label in a cell: `kind` "int" for a column of whole numbers, "float" for regression, else "str"."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return None
    if kind == "str":
        return value
    try:
        return int(value) if kind == "int" else float(value)
    except (TypeError, ValueError):
        raise SourceError(f"label {value!r} is not a number, as the labels before it were") from None


def hint(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for a word that is close to a known one, else nothing."""
    lowered = {k.lower(): k for k in known}
    close = get_close_matches(word.lower(), lowered, n=2, cutoff=0.6)
    return "; did you mean " + " or ".join(repr(lowered[c]) for c in close) + "?" if close else ""
