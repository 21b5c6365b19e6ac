"""Times of rows, and which rows begin a sequence: checked, and as the compiled step reads them."""

from __future__ import annotations

import math
from collections.abc import Hashable
from datetime import date
from typing import Any

import numpy as np

from loco_stream._arrays import Bool, Float64
from loco_stream._numbers import LARGEST, is_missing, shown, to_number
from loco_stream.errors import InputError
from loco_stream.estimators._inputs.frames import seconds
from loco_stream.estimators._inputs.slots import hashable_value
from loco_stream.estimators._inputs.tables import elements, one_per_row

NO_TIMES = np.zeros((0, 3))  # no times, no fresh starts, whole steps of the hidden layers


def row_time(t: Any, *, remembers: bool) -> Float64:
    """Return the time of one row as the step reads it; nothing if it is missing or not needed.

    Raises `InputError` if t is neither None nor a number.
    """
    if t is None:
        return NO_TIMES
    time = seconds_of("t", t)
    return np.array([[time, 0.0, 1.0]]) if remembers else NO_TIMES


def row_times(
    t: Any, sequence: Any, n: int, last: Hashable, *, remembers: bool
) -> tuple[Float64, Hashable]:
    """Return times and fresh starts of rows as the step reads them, and the last row's sequence.

    Raises `InputError` if one has more or fewer values than there are rows, a time is no number, or
    a sequence is NaN or not hashable.

    t, sequence: one per row, or None
    n: number of rows
    last: the sequence of the row before
    remembers: whether the model depends on earlier rows
    """
    if t is None and sequence is None:
        return NO_TIMES, last
    fresh, last = _fresh_starts(sequence, n, last)
    found = row_times_at(_times(t, n), fresh)
    return (found if remembers else NO_TIMES), last


def row_times_at(t: Float64, fresh: Bool | bool = False, share: float = 1.0) -> Float64:
    """Return times, fresh starts and the share of a step of the hidden layers, (n, 3)."""
    found = np.full((len(t), 3), share)
    found[:, 0] = t
    found[:, 1] = fresh
    return found


def seconds_of(name: str, t: Any) -> float:
    """Return a time as a float, NaN where it is missing; a date in seconds since 1970 UTC.

    Raises `InputError` if it is neither a number nor a date; `name` is that of the argument.
    """
    if is_missing(t):
        return math.nan
    if isinstance(t, np.datetime64):
        t = None if np.isnat(t) else t.astype("M8[us]").item()
        return seconds(t)
    if isinstance(t, date):
        return seconds(t)
    number = to_number(t)
    if number != number:
        raise InputError(
            f"`{name}` must be a number or a datetime between {-LARGEST:g} and {LARGEST:g}, "
            f"got {shown(t)}"
        )
    return number


def _times(t: Any, n: int) -> Float64:
    if t is None:
        return np.full(n, np.nan)
    values = one_per_row(elements(t), n, "t")
    if (
        isinstance(values, np.ndarray)
        and values.dtype.kind in "biuf"
        and not (np.abs(values) > LARGEST).any()
    ):
        return values.astype(np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        times = values.astype("M8[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, times)
    return np.array(
        [seconds_of(f"t[{row}]", value) for row, value in enumerate(values)], np.float64
    )


def _fresh_starts(sequence: Any, n: int, last: Hashable) -> tuple[Bool, Hashable]:
    """Return which rows begin a sequence, and the last one's."""
    fresh = np.zeros(n, np.bool_)
    if sequence is None:
        return fresh, last
    for row, given in enumerate(one_per_row(sequence, n, "sequence")):
        try:
            name = None if given is None else hashable_value(given)
        except InputError:
            raise InputError(
                f"`sequence[{row}]` must be a hashable value other than NaN, got {shown(given)}"
            ) from None
        fresh[row] = name != last
        last = name
    return fresh, last
