"""Arrays as inputs: read once, and checked as a whole before anything is learned from them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from datetime import date
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Array, Float64, Int64
from loco_stream._numbers import LARGEST, is_missing, require_number, to_number
from loco_stream._text import counted, has_surrogate
from loco_stream.errors import InputError
from loco_stream.estimators._inputs.categories import is_text, spelled
from loco_stream.estimators._inputs.frames import (
    Frame,
    as_frame,
    columns_of,
    is_category,
    named_columns,
    numbers_of,
)
from loco_stream.estimators._inputs.slots import hashable_value

Names: TypeAlias = Iterable[Hashable] | None  # of the columns; None: those that the model knows
TimeLike: TypeAlias = float | date | np.datetime64 | None  # of one row
TimesLike: TypeAlias = ArrayLike | Sequence[TimeLike] | None  # a time per row
FutureRows: TypeAlias = Sequence[Mapping[Hashable, object]] | None  # features of the steps ahead
SequenceIds: TypeAlias = Iterable[Any] | None  # one per row


class Table(NamedTuple):
    """Rows of an array.

    numbers: (n, columns) float64, NaN for cells that are masked or no number
    texts: by number of the column, the cells of columns that hold texts
    names: of the columns of a frame, None for an array
    categories: names of the columns of a frame whose type is that of categories
    """

    numbers: Float64
    texts: dict[int, Array]
    names: tuple[Hashable, ...] | None = None
    categories: frozenset[Hashable] = frozenset()


def table(X: Any) -> Table:
    """Return an array or a frame as numbers, the columns that hold texts, and a frame's names.

    Compiled code sees one kind of array, since it would be compiled again for another: a copy is
    made where X is read-only, mapped from a file, or not in C order.

    Raises `InputError` if X is not two-dimensional, or a column of a frame holds something else.
    """
    if type(X) is np.ndarray and X.dtype == np.float32:
        X = X.astype(np.float64, order="C")
    if type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2 and X.flags.carray:
        return Table(X, {})
    frame = as_frame(X)
    if frame is not None:
        categories = {name for name, series in named_columns(frame) if is_category(series)}
        read = _frame_table(*columns_of(frame), len(frame))
        return read._replace(categories=frozenset(categories))
    if not isinstance(X, np.ndarray | list | tuple) and not hasattr(X, "__array__"):
        advice = ": call its `toarray`" if hasattr(X, "toarray") else ""  # a sparse one of scipy
        raise InputError(
            f"`X` must be a matrix of numbers, (rows, features), got {type(X).__name__}{advice}"
        )
    array = _matrix("X", X, "features")
    if array.dtype.kind in "SU":
        array = np.asarray(X, object)  # numpy made texts of the numbers beside a text
    texts = {}
    if array.dtype.kind not in "biuf":
        columns = [_object_column(column) for column in array.T]
        texts = {j: array[:, j] for j, (_, has_texts) in enumerate(columns) if has_texts}
        numbers = [column for column, _ in columns]
        array = np.stack(numbers, axis=1) if numbers else np.zeros((len(array), 0))
    # a long double beyond float64 becomes infinite, which is masked
    with np.errstate(over="ignore"):
        return Table(np.require(array, np.float64, ["C", "A", "W", "E"]), texts)


def with_categories(
    given: Table, names: Sequence[Hashable], categorical: frozenset[Hashable]
) -> Table:
    """Return rows in which numbers of the features `categorical` are texts."""
    chosen = [j for j, name in enumerate(names) if name in categorical]
    if not chosen:
        return given
    numbers = given.numbers.copy()
    texts = dict(given.texts)
    for j in chosen:
        distinct, places = np.unique(numbers[:, j], return_inverse=True)
        cells = np.array([spelled(number) for number in distinct.tolist()], object)[places]
        if j in texts:
            is_number = ~np.isnan(numbers[:, j])
            cells = np.where(is_number, cells, texts[j])
        texts[j] = cells
        numbers[:, j] = np.nan
    return given._replace(numbers=numbers, texts=texts)


def _frame_table(columns: list[Array], names: tuple[Hashable, ...], n: int) -> Table:
    numbers = np.empty((n, len(columns)))
    texts = {}
    for j, column in enumerate(columns):
        if column.dtype.hasobject:
            numbers[:, j], has_texts = _object_column(column)
            if has_texts:
                texts[j] = column
        else:
            numbers[:, j] = column
    return Table(numbers, texts, names)


def _object_column(column: Array) -> tuple[Float64, bool]:
    """Return the numbers of a column of objects, NaN for others, and whether it has texts."""
    if column.dtype.kind in "mM":  # in nanoseconds, `tolist` would return integers
        return np.full(len(column), np.nan), False
    cells = column.tolist()
    kinds = set(map(type, cells))
    if kinds <= {str, type(None)}:
        return np.full(len(cells), np.nan), any(cells)
    return np.array([to_number(cell) for cell in cells], np.float64), any(map(is_text, cells))


def _matrix(name: str, given: Any, columns: str) -> Array:
    """Return a two-dimensional array of any type; masked values are NaN.

    Raises `InputError` if it is ragged, or has another number of dimensions.
    """
    try:
        is_masked = np.ma.isMaskedArray(given)
        array = np.asarray(np.ma.filled(given.astype(np.float64), np.nan) if is_masked else given)
    except ValueError as error:
        raise InputError(
            f"`{name}` must be a matrix of numbers, (rows, {columns}): {error}"
        ) from None
    if array.ndim != 2:
        raise InputError(f"`{name}` must have 2 dimensions, (rows, {columns}), got {array.ndim}")
    return array


def held_rows(held_out: Iterable[int], n: int) -> list[int]:
    """Return which of `n` rows are held out, checked.

    Raises `InputError` if `held_out` has anything but positions of rows.
    """
    if not isinstance(held_out, Iterable):
        raise InputError(f"`held_out` must be positions of rows, got {held_out!r}")
    positions = list(held_out)
    for position in positions:
        if isinstance(position, bool) or not isinstance(position, int | np.integer):
            raise InputError(f"`held_out` must be positions of rows, got {position!r}")
        if not 0 <= position < n:
            raise InputError(f"`held_out` must be positions of the {n:,} rows, got {position}")
    return positions


def labels(y: Any, n: int, learned: Int64) -> tuple[list[Hashable], Int64]:
    """Return the distinct labels in the order they came, and the position of each row's label.

    Those are the labels of the rows at the positions `learned`.

    Raises `InputError` if y is not one-dimensional, has another length, or a value cannot be a
    label.
    """
    values = one_per_row(y, n)
    if len(learned) < n:
        values = [values[row] for row in learned]
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuU":
        return _labels_of_array(values, learned)
    is_plain = {str, int, bool}.issuperset(map(type, values))
    if not is_plain or any(map(has_surrogate, {*values})):
        values = _checked(values, learned)
    found = {value: slot for slot, value in enumerate(dict.fromkeys(values))}
    return list(found), np.fromiter(map(found.__getitem__, values), np.int64, len(values))


def _checked(values: Iterable[Any], rows: Int64) -> list[Hashable]:
    """Return labels; an error names the row, one of `rows`."""
    return [hashable_value(y, f"y[{row}]") for row, y in zip(rows, values, strict=True)]


def _labels_of_array(values: Array, rows: Int64) -> tuple[list[Hashable], Int64]:
    distinct, first, places = np.unique(values, return_index=True, return_inverse=True)
    order = first.argsort()
    return _checked(distinct[order], rows[first[order]]), order.argsort()[places]


def targets(y: Any, n: int, held: Sequence[int] = ()) -> Float64:
    """Return `n` regression targets, 0 in the rows `held`, whose values are not read.

    Raises `InputError` if y is not one-dimensional, has another length, or a value is missing, no
    number, or beyond `LARGEST`.
    """
    values = one_per_row(y, n)
    if held:
        values = values.copy()
        for row in held:
            values[row] = 0.0
    are_numbers = isinstance(values, np.ndarray) and values.dtype.kind in "biuf"
    if not are_numbers and not {float}.issuperset(map(type, values)):
        return _required(values)
    numbers = np.array(values, np.float64)
    return numbers if (np.abs(numbers) <= LARGEST).all() else _required(values)


def _required(values: Iterable[Any]) -> Float64:
    """Return targets as numbers, checked one by one."""
    return np.array(
        [require_number(f"y[{row}]", value) for row, value in enumerate(values)], np.float64
    )


def target_matrix(Y: Any, n: int) -> Float64:
    """Return the values of several targets for `n` rows, (n, targets), NaN where missing.

    Raises `InputError` if Y is not two-dimensional, has another length or no column, or a value is
    no number or beyond `LARGEST`.
    """
    array = _matrix("Y", Y, "targets")
    if len(array) != n or array.shape[1] == 0:
        raise InputError(
            f"`Y` must have {counted(n, 'row')} and a column or more, got shape {array.shape}"
        )
    if array.dtype.kind not in "biuf":
        cells = [
            read_target(f"Y[{k // array.shape[1]}]", cell) for k, cell in enumerate(array.flat)
        ]
        return np.array(cells, np.float64).reshape(array.shape)
    values = array.astype(np.float64)
    bad = np.abs(values) > LARGEST
    if bad.any():
        row, column = np.unravel_index(int(bad.argmax()), bad.shape)
        require_number(f"Y[{row}, {column}]", values[row, column])
    return values


def target_columns(y: Frame) -> tuple[Float64, tuple[Hashable, ...]]:
    """Return the columns of a frame of targets, (n, targets), NaN where missing, and their names.

    Raises `InputError` if a value is no number or beyond `LARGEST`, such as a date: `learn_one`
    refuses it too. Infinite and larger numbers of a column of numbers are left to `target_matrix`.
    """
    named = named_columns(y)
    values = np.empty((len(y), len(named)))
    for j, (name, series) in enumerate(named):
        numbers = numbers_of(series)
        if numbers is None:
            cells = enumerate(series.to_list())
            numbers = np.array([read_target(f"y[{name!r}][{i}]", cell) for i, cell in cells])
        values[:, j] = numbers
    return values, tuple(name for name, _ in named)


def _sequence(y: Any, n: int, name: str) -> Any:
    """Return values as an array or a sequence; of an iterable without a length, n + 1 at most."""
    if np.ma.is_masked(y):
        row = int(np.ma.getmaskarray(np.ma.asarray(y)).ravel().argmax())
        raise InputError(f"`{name}` must have a value for every row, but row {row:,} is masked")
    if hasattr(y, "to_pylist"):  # a column of pyarrow
        return y.to_pylist()
    if hasattr(y, "ndim"):
        y = np.asarray(y)
        if y.ndim != 1:
            raise InputError(
                f"`{name}` must have 1 dimension, one value per row, got shape {y.shape}"
            )
    return y if hasattr(y, "__len__") else list(islice(y, n + 1))


def elements(y: Any) -> Any:
    """Return a masked array as the list of its values, some of them missing; else y itself."""
    return list(y) if np.ma.isMaskedArray(y) and y.ndim == 1 else y


def read_target(name: str, value: Any) -> float:
    """Return the value of a target as a float, NaN where it is missing; see `is_missing`.

    Raises `InputError` if it is no number, or beyond `LARGEST`; the text calls it `name`.
    """
    return np.nan if is_missing(value) else require_number(name, value)


def one_per_row(y: Any, n: int, name: str = "y") -> Array | list[Any]:
    """Return a sequence of `n` values; errors call it `name`.

    Raises `InputError` if it is no sequence, not one-dimensional, has another length, or a masked
    value.
    """
    if type(y) is not list:
        is_frame = hasattr(y, "columns")  # it may yield its columns
        if is_frame or isinstance(y, str | bytes | Mapping | Set) or not isinstance(y, Iterable):
            raise _no_sequence(y, n, name)
        y = _sequence(y, n, name)
    if len(y) != n:
        raise InputError(
            f"`{name}` must have {counted(n, 'value')}, one per row of `X`, got {len(y)}"
        )
    return y if isinstance(y, np.ndarray | list) else list(y)


def _no_sequence(y: Any, n: int, name: str) -> InputError:
    advice = "; pass one of its columns" if hasattr(y, "columns") else ""
    return InputError(
        f"`{name}` must be a sequence of {counted(n, 'value')}, one per row, "
        f"got {type(y).__name__}{advice}"
    )


def column_names(
    features: Iterable[Hashable], width: int, name: str = "features", matrix: str = "X"
) -> tuple[Hashable, ...]:
    """Return the distinct names of `width` columns; raises `InputError` for others.

    `name` and `matrix` are what the caller's parameters are called.
    """
    if isinstance(features, str) or not isinstance(features, Iterable):
        raise InputError(
            f"`{name}` must be a sequence of {width} names, one per column, got {features!r}"
        )
    names = features if type(features) is tuple else tuple(islice(features, width + 1))
    try:
        distinct = len(set(names))
    except TypeError:
        raise InputError(f"`{name}` must be hashable names, got {features!r}") from None
    if len(names) != width or distinct != width:
        raise InputError(
            f"`{name}` must name the {width} columns of `{matrix}`, got {distinct} distinct names"
        )
    return names
