"""Frames of pandas, polars, pyarrow and other libraries that narwhals knows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import date, time, timedelta
from typing import Any, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._numbers import timestamp
from loco_stream.errors import InputError

Frame: TypeAlias = Any  # a DataFrame of narwhals, or of the caller's library
Series: TypeAlias = Any
_ARRAYS = (np.ndarray, list, tuple)


def as_frame(X: object) -> Frame | None:
    """Return X as a frame of narwhals; None if it is none.

    Raises `InputError` if X is a frame whose rows are not in memory, such as a LazyFrame of polars,
    or two of its columns have the same name.
    """
    if isinstance(X, _ARRAYS):
        return None
    import narwhals.stable.v2 as nw

    if hasattr(X, "to_pylist") and hasattr(X, "schema"):  # a batch of pyarrow is none for narwhals
        import pyarrow as pa

        X = pa.table(X)
    try:
        frame = nw.from_native(X, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        repeated = " and ".join(str(error).splitlines()[1:]).replace("- ", "")
        raise InputError(f"columns of a frame must have different names, got {repeated}") from None
    except (TypeError, ValueError):
        return None
    if isinstance(frame, nw.LazyFrame):
        raise InputError(
            f"`X` must be a frame in memory, got {type(X).__name__}: call its `collect`"
        )
    return frame if isinstance(frame, nw.DataFrame) else None


def require_frame(X: object, name: str = "X") -> Frame:
    """Return X as a frame of narwhals; raises `InputError` if it is none."""
    frame = as_frame(X)
    if frame is None:
        raise InputError(
            f"`{name}` must be a frame of pandas, polars or pyarrow, got {type(X).__name__}; "
            "arrays go to learn_array, predict_array and predict_proba_array"
        )
    return frame


def columns_of(frame: Frame) -> tuple[list[Array], tuple[Hashable, ...]]:
    """Return the columns of a frame and their names.

    Numbers and bools become float64, dates and times seconds since 1970 UTC, durations seconds,
    all with NaN for null; texts and categories become objects with None for null.

    Raises `InputError` if a column is of another kind, or two have the same name.
    """
    named = named_columns(frame)
    return [_column(name, series) for name, series in named], tuple(name for name, _ in named)


def named_columns(frame: Frame) -> list[tuple[Hashable, Series]]:
    """Return the columns of a frame with their names."""
    # narwhals takes names as texts; those of pandas may be anything
    is_pandas = frame.implementation.is_pandas_like()
    names = frame.to_native().columns if is_pandas else frame.columns
    return list(zip(names, frame.iter_columns(), strict=True))


def is_category(series: Series) -> bool:
    """Return whether a column is one of categories, as `category` of pandas and Enum of polars."""
    return str(series.dtype).startswith(("Categorical", "Enum"))


def _column(name: Hashable, series: Series) -> Array:
    numbers = numbers_of(series)
    if numbers is not None:
        return numbers
    kind = series.dtype
    if kind.is_temporal():
        return np.array([seconds(value) for value in series.to_list()], np.float64)
    if str(kind) in ("List", "Struct", "Array", "Binary") or kind.is_nested():
        raise InputError(
            f"column {name!r} of `X` must hold numbers, texts, categories or times, got {kind}"
        )
    found = np.empty(len(series), dtype=object)
    found[:] = [_cell(value) for value in series.to_list()]
    return found


def _cell(value: Any) -> Any:
    """Return a cell of a column whose type says nothing; date64 of pyarrow is one of them."""
    if _is_null(value):
        return None
    return seconds(value) if isinstance(value, date | time | timedelta) else value


def numbers_of(series: Series) -> Float64 | None:
    """Return a column of numbers or bools with NaN for null; None if its type is another one."""
    if not series.dtype.is_numeric() and str(series.dtype) != "Boolean":
        return None
    is_wide = str(series.dtype) in ("Int128", "UInt128")  # numpy has no such integers
    if is_wide or series.dtype.is_decimal() or series.null_count():
        values = (np.nan if _is_null(value) else float(value) for value in series.to_list())
        return np.fromiter(values, np.float64, len(series))
    return np.asarray(series.to_numpy(), dtype=np.float64)


def _is_null(value: Any) -> bool:
    """Return whether a cell is None, NaN, the NaT or NA of pandas, or an array."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # NA and arrays have no truth value
        return True


def seconds(value: Any) -> float:
    """Return a date, time of day or duration in seconds, since 1970 UTC for dates; NaN for null.

    A time without a zone counts as UTC, so that results do not depend on the machine.

    Examples
    --------
    >>> seconds(date(1970, 1, 2)), seconds(timedelta(minutes=1)), seconds(None)
    (86400.0, 60.0, nan)
    """
    if _is_null(value):
        return float("nan")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return timestamp(value)
    return float(value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6)


def series_like(
    frame: Frame, values: Sequence[Any] | Array, name: str, labels: Iterable[Hashable] = ()
) -> Series:
    """Return values as a series of the caller's library, with the index of a frame of pandas.

    Other libraries have one type per series: see `_of_one_type`.

    labels: what the values are among; empty for numbers
    """
    import narwhals.stable.v2 as nw

    if frame.implementation.is_pandas_like():
        library = frame.implementation.to_native_namespace()
        kind = "object" if np.asarray(values).dtype.hasobject else None  # keeps None as it is
        return library.Series(values, index=frame.to_native().index, dtype=kind)
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    listed = _of_one_type(listed, labels)
    return nw.new_series(name, listed, backend=frame.implementation).to_native()


def _of_one_type(values: list[Any], labels: Iterable[Any]) -> list[Any]:
    """Return values among `labels` as values of one type.

    Where labels are tuples, integers of more than 64 bits, or of several types, they become texts,
    as in the names of the columns of probabilities; integers beside floats become floats.
    """
    labels = list(labels)
    kinds = {*map(type, labels)}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    is_large = kinds == {int} and any(not -(2**63) <= label < 2**63 for label in labels)
    if len(kinds) < 2 and tuple not in kinds and not is_large:
        return values
    return [None if value is None else str(value) for value in values]


def frame_like(frame: Frame, table: Float64, names: Sequence[Hashable]) -> Frame:
    """Return columns as a frame of the caller's library, with the index of a frame of pandas.

    Other libraries have texts as names.

    Raises `InputError` if two names are the same text.
    """
    import narwhals.stable.v2 as nw

    if frame.implementation.is_pandas_like():
        library = frame.implementation.to_native_namespace()
        return library.DataFrame(table, index=frame.to_native().index, columns=list(names))
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError(f"column names must differ as texts, got {list(names)!r}")
    columns = {text: table[:, j].tolist() for j, text in enumerate(texts)}
    return nw.from_dict(columns, backend=frame.implementation).to_native()
