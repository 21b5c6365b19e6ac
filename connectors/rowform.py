"""The sender's rows: any shape a user has, turned into LS1 tables under a schema that may grow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream.connectors.ls1.messages import SchemaPayload, encode
from loco_stream.connectors.ls1.wire import pair_dtype
from loco_stream.errors import ConfigError, InputError
from loco_stream.numbers import NO_NUMBERS, masked, require_number, shown, to_number

__all__ = ["RowForm", "chunks", "has_text", "one_a_row", "rows_a_message", "times_of"]

_MESSAGE_BYTES = 1 << 20
_MOST_ID = 2**24  # whole numbers up to it are exact in float32

Table = NDArray[np.float32]
Named = Mapping[str, float | str | None]
S = TypeVar("S", bound=np.generic)


class RowForm:
    """Keeps the schema of one sender; new features and classes are appended as they come.

    Parameters
    ----------
    features
        Column names; None takes those of the first row.
    classes
        Labels, as text on the wire; None begins without any. Regression has none.
    units
        One for each feature, or None.
    task
        ``"classification"`` or ``"regression"``.
    sequence
        Name of the column with the ids of events, or None.

    Examples
    --------
    >>> form = RowForm(["a"], None, None, "classification")
    >>> form.table({"b": 2, "a": None}).tolist(), form.schema.features
    ([[nan, 2.0]], ('a', 'b'))
    """

    def __init__(
        self,
        features: Sequence[str] | None,
        classes: Sequence[Any] | None,
        units: Sequence[str] | None,
        task: Literal["classification", "regression"],
        sequence: str | None = None,
    ) -> None:
        if task not in ("classification", "regression"):
            raise ConfigError(f"task must be 'classification' or 'regression', not {task!r}")
        if units is not None and (features is None or len(units) != len(features)):
            raise ConfigError(f"units must give one unit for each feature, not {units!r}")
        if task == "regression" and classes:
            raise ConfigError(f"classes must be None in regression, not {classes!r}")
        if sequence is not None and features is not None and sequence not in features:
            raise ConfigError(
                f"sequence is {sequence!r}; allowed is one of the features: {', '.join(features)}"
            )
        self.task = task
        self._sequence = sequence
        self._column = {str(name): j for j, name in enumerate(features or ())}
        self._class = {str(label): j for j, label in enumerate(classes or ())}
        if len(self._column) < len(features or ()) or len(self._class) < len(classes or ()):
            raise ConfigError("features and classes must not repeat a name")
        self._units = None if units is None else list(units)
        self._schema: SchemaPayload | None = None
        self._id = 0

    @property
    def ready(self) -> bool:
        """Whether the features are known."""
        return bool(self._column)

    @property
    def schema(self) -> SchemaPayload:
        """The schema now; another object, with another id, after each change."""
        if self._schema is None:
            self._id += 1
            units = None if self._units is None else tuple(self._units)
            classes = None if self.task == "regression" else tuple(self._class)
            self._schema = SchemaPayload(
                self._id, self.task, tuple(self._column), units, classes, sequence=self._sequence
            )
        return self._schema

    def table(self, x: object) -> Table:
        """Return rows as (n_rows, n_features) float32, NaN where a value is missing.

        Raises
        ------
        InputError
            An array whose width is not that of the schema, or a row without the id of its event.
        """
        rows = self._named(x) if isinstance(x, Mapping) else self._shaped(_numbers(x))
        if self._sequence is not None:
            _check_ids(
                rows[:, self._column[self._sequence]].tolist()
                if self._sequence in self._column
                else [math.nan]
            )
        return np.ascontiguousarray(rows, np.float32)

    def _shaped(self, rows: NDArray[S]) -> NDArray[S]:
        """Return rows of the schema's width, which the first ones decide."""
        shape = rows.shape
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        if rows.ndim != 2 or 0 in shape:
            raise InputError(
                f"x must be a dict, a row or a table (n_rows, n_features), not of shape {shape}"
            )
        if not self._column:
            self._column = {str(j): j for j in range(rows.shape[1])}
            self._schema = None
        if rows.shape[1] != len(self._column):
            raise InputError(
                f"a row has {rows.shape[1]} values and the schema {len(self._column)} features"
            )
        return rows

    def _named(self, x: Mapping[object, object]) -> NDArray[np.float64]:
        row = [math.nan] * len(self._column)
        for name, value in x.items():
            j = self._column.get(name if isinstance(name, str) else str(name))
            if j is None:
                j = self._append(str(name))
                row.append(math.nan)
            if value is not None:
                row[j] = _as_float(name, value)
        if not row:
            raise InputError("x must have at least one feature")
        return np.array([row])

    def _append(self, name: str) -> int:
        j = self._column[name] = len(self._column)
        if self._units is not None:
            self._units.append("")
        self._schema = None
        return j

    def rows_by_name(self, x: object) -> list[Named]:
        """Return a row or a table with texts as rows by name.

        Raises
        ------
        InputError
            As `table` does.
        """
        if isinstance(x, Mapping):
            rows: list[Mapping[str, object]] = [x]
        else:
            try:
                table = np.array(x, object)
            except ValueError as error:
                raise InputError(
                    f"x must be a dict, a row or a table, not {shown(x)}: {error}"
                ) from None
            rows = [
                dict(zip(self._column, row, strict=True)) for row in self._shaped(table).tolist()
            ]
        return [self._row_by_name(row) for row in rows]

    def _row_by_name(self, x: Mapping[str, object]) -> Named:
        values = {
            str(name): value if isinstance(value, str) else _plain(name, value)
            for name, value in x.items()
        }
        for name in values:
            if name not in self._column:
                self._append(name)
        if self._sequence is not None and values.get(self._sequence) in (None, ""):
            _check_ids([math.nan])
        return values

    def readable(self, x: Named, y: object, seq: int, t: float) -> bytes:
        """Return a row by name as the MessagePack of a readable message."""
        label: float | str | None = None
        if y is not None:
            index = self._label(y)
            label = index if self.task == "regression" else list(self._class)[int(index)]
        return encode({"x": x, "y": label, "seq": seq, "t": t})

    def labels(self, y: object, n: int) -> NDArray[np.generic] | None:
        """Return n labels as they go on the wire, None when none of them is known."""
        many = one_a_row(y, n)
        if all(label is None for label in many):
            return None
        return np.array(
            [self._label(label) for label in many], "<f4" if self.task == "regression" else "<i4"
        )

    def _label(self, label: object) -> float | int:
        if self.task == "regression":
            return math.nan if label is None else _as_float("y", label)
        if label is None:
            return -1
        if isinstance(label, (float, np.floating)):
            if not float(label).is_integer():
                raise InputError(
                    f"label {label!r} has a fraction: is this a sender with task='regression'?"
                )
            label = int(label)
        name = str(label)
        if name not in self._class:
            self._class[name] = len(self._class)
            self._schema = None
        return self._class[name]

    def pairs(self, of: Sequence[int], y: Sequence[Any]) -> bytes:
        """Return late labels as the payload of kind 2."""
        if len(of) != len(y) or not len(of):
            raise InputError(f"{len(of)} rows came with {len(y)} labels")
        pairs = np.zeros(len(of), pair_dtype(self.task))
        pairs["seq"] = np.asarray(of, dtype=np.uint64)
        pairs["label"] = [self._label(label) for label in y]
        return pairs.tobytes()


def _plain(name: object, value: object) -> float | None:
    number = math.nan if value is None else _as_float(name, value)
    return None if math.isnan(number) else number


def _as_float(name: object, value: object) -> float:
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return math.nan
    return require_number(repr(name), value)


def _numbers(x: object) -> NDArray[np.floating]:
    try:
        rows = np.asarray(x)
        if rows.dtype.kind in "mM":
            raise InputError(f"x must hold numbers, not {rows.dtype}: send seconds, as a float")
        return masked(rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"x must be a dict, a row or a table of numbers and texts, not {shown(x)}: {error}"
        ) from None


def _check_ids(ids: Sequence[float]) -> None:
    """Refuse ids that float32 does not hold, which is what goes on the wire."""
    for value in ids:
        if not value.is_integer() or abs(value) > _MOST_ID:
            missing = "missing" if value != value else f"{value:.17g}"
            raise InputError(
                f"the id of a row's sequence is {missing}; allowed is a whole number up to {_MOST_ID} for every row, "
                "or a text"
            )


def one_a_row(y: Any, n: int) -> list[object]:
    """Return n labels, None where there is none; raises `InputError` for another number of them."""
    many = (
        [y]
        if n == 1 and not isinstance(y, (list, tuple, np.ndarray))
        else list([None] * n if y is None else y)
    )
    if len(many) != n:
        raise InputError(f"{n} rows came with {len(many)} labels")
    return many


def times_of(t: ArrayLike, n: int) -> list[float]:
    """Return the event times of n rows from those of all of them, or from that of the first.

    Raises
    ------
    InputError
        It is neither.
    """
    many = [t] + [math.nan] * (n - 1) if np.ndim(t) == 0 else np.asarray(t, object).tolist()
    if len(many) != n:
        raise InputError(f"{n} rows came with {len(many)} times")
    if any(isinstance(moment, NO_NUMBERS) for moment in many):
        raise InputError(
            f"t is {shown(t)}; allowed are seconds since 1970-01-01 UTC, one for each row or the first's"
        )
    return [to_number(moment) for moment in many]


def has_text(x: object) -> bool:
    """Return whether a row or a table holds a text: it then goes in words, a row a message."""
    if isinstance(x, Mapping):
        return any(isinstance(value, str) for value in x.values())
    if isinstance(x, np.ndarray) and x.dtype != object:
        return x.dtype.kind in "SU"
    cells = x.flat if isinstance(x, np.ndarray) else x if isinstance(x, (list, tuple)) else ()
    return any(
        isinstance(cell, str) or (isinstance(cell, (list, tuple)) and has_text(cell))
        for cell in cells
    )


def chunks(n: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut n rows into ranges of at most `most`."""
    for begin in range(0, n, most):
        yield begin, min(begin + most, n)


def rows_a_message(width: int) -> int:
    """Return how many rows of so many numbers have a megabyte.

    An engine bounds frames and answers.
    """
    return max(1, min(65_536, _MESSAGE_BYTES // (4 * width)))
