"""What counts as a number: one rule for the model, the monitor, the metrics and the wire.

A number is a bool, an int, a float or anything else that converts to float (numpy scalars, Decimal,
Fraction), and lies within ``-LARGEST`` and ``LARGEST``. Text is never a number, not even ``"3"``,
and neither is a date: numpy would read it in whatever unit it has. None, NaN and infinity say that
a value is missing.
"""

from __future__ import annotations

import math
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError

__all__ = [
    "LARGEST",
    "NO_NUMBERS",
    "is_beyond",
    "masked",
    "plain",
    "require_number",
    "shown",
    "to_number",
]

LARGEST = 1e30  # its square, summed over any stream, is far from overflow
NO_NUMBERS = (str, bytes, bytearray, np.datetime64, np.timedelta64)  # float() would take these


def to_number(value: Any) -> float:
    """Return `value` as a float, NaN where it is missing, no number, or beyond `LARGEST`.

    Examples
    --------
    >>> [to_number(value) for value in (2, True, None, "3", 10**400)]
    [2.0, 1.0, nan, nan, nan]
    """
    if isinstance(value, NO_NUMBERS) or (
        isinstance(value, np.ndarray) and value.ndim
    ):  # old numpy reads [3.0] as 3.0
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if -LARGEST <= number <= LARGEST else math.nan


def is_beyond(value: Any) -> bool:
    """Whether `value` is a finite number too large to be one here.

    A fault of whoever sent it, not a missing value.

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


def require_number(name: str, value: Any) -> float:
    """Return `value` as a float.

    Raises
    ------
    InputError
        It is missing, no number, or beyond `LARGEST`.
    """
    number = to_number(value)
    if number != number:
        raise InputError(
            f"`{name}` must be a finite number from {-LARGEST:g} to {LARGEST:g}, got {shown(value)}"
        )
    return number


def masked(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array of floats with NaN for what is infinite or beyond `LARGEST`.

    Itself where there is no such.

    Examples
    --------
    >>> masked(np.array([1.0, 1e31, -np.inf])).tolist()
    [1.0, nan, nan]
    """
    beyond = np.abs(values) > LARGEST
    return np.where(beyond, values.dtype.type(np.nan), values) if beyond.any() else values


def plain(value: Any) -> Any:
    """Return numpy scalars as Python values, which JSON and checkpoints can hold.

    Examples
    --------
    >>> plain(np.float64(0.5)), plain("ok")
    (0.5, 'ok')
    """
    return value.item() if isinstance(value, np.generic) else value


def shown(value: Any) -> str:
    """Return `value` for an error message: one line of at most 60 characters."""
    try:
        text = repr(value)
        text = " ".join(text.split()) if "\n" in text else text  # a table's spans lines
    except ValueError:  # Python spells no integer of more than 4300 digits
        text = f"an integer of {value.bit_length()} bits"
    return text if len(text) <= 60 else f"{text[:57]}..."
