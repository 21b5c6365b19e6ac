"""What counts as a number, for models, monitor, metrics and connectors alike.

A number is a bool, an int, a float or anything else that converts to float (numpy scalars, Decimal,
Fraction), between ``-LARGEST`` and ``LARGEST``. Text is never a number, not even ``"3"``, and
neither is a date, which numpy would convert in its own unit. None, NaN and infinity mean that a
value is missing.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from typing import Any

import numpy as np

from loco_stream._arrays import Array
from loco_stream.errors import InputError

LARGEST = 1e30  # sums of its square over any stream do not overflow
_COMPLEX = (np.complex64, np.complex128, np.clongdouble)
_MASKED = type(np.ma.masked)  # an element of a masked array, of which float() warns
# What float() would convert all the same.
NO_NUMBERS = (str, bytes, bytearray, np.datetime64, np.timedelta64, _MASKED, *_COMPLEX)


def to_number(value: object) -> float:
    """Return `value` as a float; NaN if it is missing, not a number, or beyond `LARGEST`.

    Examples
    --------
    >>> [to_number(value) for value in (2, True, None, "3", 10**400)]
    [2.0, 1.0, nan, nan, nan]
    """
    # old numpy converts [3.0] to 3.0
    if isinstance(value, NO_NUMBERS) or (isinstance(value, np.ndarray) and value.ndim):
        return math.nan
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if -LARGEST <= number <= LARGEST else math.nan


def is_missing(value: object) -> bool:
    """Return whether `value` is None, NaN, NA or NaT of pandas, or masked in an array of numpy.

    Examples
    --------
    >>> [is_missing(value) for value in (None, np.float32("nan"), 0.0, "")]
    [True, True, False, False]
    """
    if value is None or isinstance(value, float | np.floating):
        return value is None or bool(value != value)
    # the first two without importing pandas
    return type(value).__name__ in ("NAType", "NaTType") or value is np.ma.masked


def is_beyond(value: object) -> bool:
    """Return whether `value` is a finite number beyond `LARGEST`: an error, not a missing value.

    Examples
    --------
    >>> [is_beyond(value) for value in (1e30, 1e31, 10**400, float("inf"), None, "1e31")]
    [False, True, True, False, False, False]
    """
    if not isinstance(value, Number) or isinstance(
        value, complex | np.complexfloating | np.timedelta64
    ):
        return False
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return False
    return math.isfinite(number) and abs(number) > LARGEST


def require_number(name: str, value: object) -> float:
    """Return `value` as a float.

    Raises `InputError` if it is missing, not a number, or beyond `LARGEST`.
    """
    number = to_number(value)
    if number != number:
        raise InputError(
            f"`{name}` must be a finite number from {-LARGEST:g} to {LARGEST:g}, got {shown(value)}"
        )
    return number


def masked(values: Array) -> Array:
    """Return an array with NaN for what is infinite or beyond `LARGEST`; itself if nothing is.

    Examples
    --------
    >>> masked(np.array([1.0, 1e31, -np.inf])).tolist()
    [1.0, nan, nan]
    """
    beyond = np.abs(values) > LARGEST
    return np.where(beyond, values.dtype.type(np.nan), values) if beyond.any() else values


def is_number(value: object) -> bool:
    """Return whether a plain value is a number; a bool is none.

    Examples
    --------
    >>> is_number(2), is_number(True)
    (True, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """Return numpy scalars, decimals and fractions as what JSON and checkpoints can hold.

    Examples
    --------
    >>> plain(np.float64(0.5)), plain(Decimal("0.5")), plain("ok")
    (0.5, 0.5, 'ok')
    """
    if isinstance(value, Decimal | Fraction):
        return float(value)
    return python_scalar(value)


def python_scalar(value: Any) -> Any:
    """Return a scalar of numpy as one of Python, anything else as it is.

    Examples
    --------
    >>> python_scalar(np.datetime64("2020-01-01", "ns"))
    datetime.datetime(2020, 1, 1, 0, 0)
    """
    if isinstance(value, np.datetime64 | np.timedelta64) and isinstance(value.item(), int):
        value = value.astype(f"{value.dtype.kind}8[us]")  # in nanoseconds `item` is an integer
    return value.item() if isinstance(value, np.generic) else value


def shown(value: object) -> str:
    """Return `value` for an error message: one line of at most 60 characters.

    Examples
    --------
    >>> shown(np.float64("nan")), shown(np.timedelta64(7, "s"))
    ('nan', "np.timedelta64(7,'s')")
    """
    if isinstance(value, np.generic) and not isinstance(value, NO_NUMBERS):
        value = value.item()  # nan, not np.float64(nan)
    try:
        text = repr(value)
    except ValueError:  # Python does not print integers of more than 4300 digits
        if not isinstance(value, int):
            return f"a {type(value).__name__} with an integer of more than 4300 digits"
        return f"an integer of {value.bit_length()} bits"
    if "\n" in text:  # as of a table
        text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def timestamp(value: date) -> float:
    """Return a datetime as seconds since 1970; without a zone it is taken as UTC."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
