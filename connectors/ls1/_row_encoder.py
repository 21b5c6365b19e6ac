"""Conversion of a user's rows to LS1 tables, under a schema that may grow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream._arrays import AnyFloat, Float32, Float64
from loco_stream._numbers import NO_NUMBERS, masked, require_number, shown, to_number
from loco_stream._text import counted
from loco_stream.connectors.ls1._limits import DEFAULT_LIMITS
from loco_stream.connectors.ls1._messages import SchemaPayload, encode
from loco_stream.connectors.ls1._wire import pair_dtype
from loco_stream.errors import ConfigError, InputError

_MESSAGE_BYTES = 1 << 20
_MAX_ROWS = 65_536
_MAX_ID = 2**24  # whole numbers up to it are exact in float32

Table: TypeAlias = Float32
Named: TypeAlias = Mapping[str, float | str | None]
S = TypeVar("S", bound=np.generic)


class RowEncoder:
    """Holds the schema of a sender, and appends new features and classes as they come.

    Parameters
    ----------
    features
        Column names; None takes those of the first row.
    classes
        Labels, which are text on the wire. Must be None in regression.
    units
        One per feature, or None.
    task
        ``"classification"`` or ``"regression"``.
    sequence
        Column of the sequence id, or None.
    max_bytes
        Bytes that the message of a row may have.

    Examples
    --------
    >>> encoder = RowEncoder(["a"], None, None, "classification")
    >>> encoder.table({"b": 2, "a": None}).tolist(), encoder.schema.features
    ([[nan, 2.0]], ('a', 'b'))
    """

    def __init__(
        self,
        features: Sequence[str] | None,
        classes: Sequence[object] | None,
        units: Sequence[str] | None,
        task: Literal["classification", "regression"],
        sequence: str | None = None,
        max_bytes: int = DEFAULT_LIMITS.frame_bytes,
    ) -> None:
        self.task = task
        self._max_bytes = max_bytes
        self._sequence = sequence
        self._slots = {str(name): j for j, name in enumerate(features or ())}
        self._classes = {str(label): j for j, label in enumerate(classes or ())}
        self._units = None if units is None else list(units)
        self._schema: SchemaPayload | None = None
        self._schema_id = 0
        _check(features, classes, units, task, sequence)

    @property
    def has_features(self) -> bool:
        """Whether any feature is known."""
        return bool(self._slots)

    @property
    def schema(self) -> SchemaPayload:
        """The present schema: another object, with another id, after each change."""
        if self._schema is None:
            self._schema_id += 1
            units = None if self._units is None else tuple(self._units)
            classes = None if self.task == "regression" else tuple(self._classes)
            features = tuple(self._slots)
            self._schema = SchemaPayload(
                self._schema_id, self.task, features, units, classes, sequence=self._sequence
            )
        return self._schema

    def table(self, x: object) -> Table:
        """Return rows of numbers as (n_rows, n_features) float32; NaN means missing.

        Raises
        ------
        InputError
            The width is not that of the schema, or a row has no sequence id.
        """
        rows = self._named_row(x) if isinstance(x, Mapping) else self._reshape(_to_numbers(x))
        if self._sequence is not None:
            column = self._slots.get(self._sequence)
            _check_ids([math.nan] if column is None else rows[:, column].tolist())
        return np.ascontiguousarray(rows, np.float32)

    def _reshape(self, rows: NDArray[S]) -> NDArray[S]:
        """Return rows as a table of the schema's width, which the first ones determine."""
        shape = rows.shape
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        if rows.ndim != 2 or 0 in shape:
            raise InputError(
                f"`x` must be a dict, a row or a table (n_rows, n_features), got the shape {shape}"
            )
        if not self._slots:
            self._slots = {str(j): j for j in range(rows.shape[1])}
            self._schema = None
        if rows.shape[1] != len(self._slots):
            raise InputError(
                f"`x` must have {counted(len(self._slots), 'value')} per row, as the schema has, "
                f"got {rows.shape[1]}"
            )
        return rows

    def _named_row(self, x: Mapping[object, object]) -> Float64:
        row = [math.nan] * len(self._slots)
        for name, value in x.items():
            j = self._slots.get(name if isinstance(name, str) else str(name))
            if j is None:
                j = self._append(str(name))
                row.append(math.nan)
            if value is not None:
                row[j] = _to_float(name, value)
        if not row:
            raise InputError("`x` must have at least one feature")
        return np.array([row])

    def _append(self, name: str) -> int:
        j = self._slots[name] = len(self._slots)
        if self._units is not None:
            self._units.append("")
        self._schema = None
        return j

    def named_rows(self, x: object) -> list[Named]:
        """Return a row or table that may have texts as rows by name.

        Raises
        ------
        InputError
            As in `table`.
        """
        if isinstance(x, Mapping):
            return [self._with_texts(x)]
        try:
            table = np.array(x, object)
        except ValueError as error:
            raise InputError(
                f"`x` must be a dict, a row or a table, got {shown(x)}: {error}"
            ) from None
        rows = self._reshape(table).tolist()
        return [self._with_texts(dict(zip(self._slots, row, strict=True))) for row in rows]

    def _with_texts(self, x: Mapping[str, object]) -> Named:
        values = {
            str(name): value if isinstance(value, str) else _float_or_none(name, value)
            for name, value in x.items()
        }
        for name in values:
            if name not in self._slots:
                self._append(name)
        if self._sequence is not None and values.get(self._sequence) in (None, ""):
            _check_ids([math.nan])
        return values

    def named_message(self, x: Named, y: object, seq: int, t: float) -> bytes:
        """Return the MessagePack of a row by name.

        Raises
        ------
        InputError
            It is too long: the engine would close the connection without a word.
        """
        label: float | str | None = None
        if y is not None:
            code = self._encode_label(y)
            label = code if self.task == "regression" else list(self._classes)[int(code)]
        body = encode({"x": x, "y": label, "seq": seq, "t": t})
        if len(body) > self._max_bytes:
            raise InputError(
                f"`x` must have at most {self._max_bytes:,} bytes as a message (`frame_bytes`), "
                f"got {len(body):,}"
            )
        return body

    def labels(self, y: object, n: int) -> NDArray[np.generic] | None:
        """Return n labels as they are on the wire; None if all are missing.

        Raises
        ------
        InputError
            There is another number of labels, or a label does not fit the task.
        """
        many = label_list(y, n)
        if all(label is None for label in many):
            return None
        dtype = "<f4" if self.task == "regression" else "<i4"
        return np.array([self._encode_label(label) for label in many], dtype)

    def _encode_label(self, label: object) -> float | int:
        if self.task == "regression":
            return math.nan if label is None else _to_float("y", label)
        if label is None:
            return -1
        if isinstance(label, (float, np.floating)):
            if not float(label).is_integer():
                raise InputError(
                    f"`y` must be a class in classification, got the fraction {label!r}"
                )
            label = int(label)
        name = str(label)
        if name not in self._classes:
            self._classes[name] = len(self._classes)
            self._schema = None
        return self._classes[name]

    def pairs(self, of: Sequence[int], y: Sequence[object]) -> bytes:
        """Return late labels as the payload of kind 2.

        Raises
        ------
        InputError
            There is not one label per row number.
        """
        if len(of) != len(y) or not len(of):
            raise InputError(f"`y` must have one label per row number, got {len(y)} for {len(of)}")
        pairs = np.zeros(len(of), pair_dtype(self.task))
        pairs["seq"] = np.asarray(of, dtype=np.uint64)
        pairs["label"] = [self._encode_label(label) for label in y]
        return pairs.tobytes()


def _check(
    features: Sequence[str] | None,
    classes: Sequence[object] | None,
    units: Sequence[str] | None,
    task: str,
    sequence: str | None,
) -> None:
    if task not in ("classification", "regression"):
        raise ConfigError(f"`task` must be 'classification' or 'regression', got {task!r}")
    for what, names in (("features", features), ("classes", classes)):
        repeated = [name for name, n in Counter(map(str, names or ())).items() if n > 1]
        if repeated:
            raise ConfigError(f"`{what}` must not repeat a name, got {repeated[0]!r} twice")
    if units is not None and (features is None or len(units) != len(features)):
        raise ConfigError(f"`units` must have one unit per feature, got {units!r}")
    if task == "regression" and classes:
        raise ConfigError(f"`classes` must be None in regression, got {classes!r}")
    if sequence is not None and features is not None and sequence not in features:
        raise ConfigError(
            f"`sequence` must be one of the features {', '.join(features)}, got {sequence!r}"
        )


def _float_or_none(name: object, value: object) -> float | None:
    number = math.nan if value is None else _to_float(name, value)
    return None if math.isnan(number) else number


def _to_float(name: object, value: object) -> float:
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return math.nan
    return require_number(str(name), value)


def _to_numbers(x: object) -> AnyFloat:
    try:
        rows = np.asarray(x)
        if rows.dtype.kind in "mM":
            raise InputError(f"`x` must hold numbers, got {rows.dtype}: send seconds, as a float")
        is_float = rows.dtype in (np.float32, np.float64)
        return masked(rows if is_float else rows.astype(np.float64))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"`x` must be a dict, a row or a table of numbers and texts, got {shown(x)}: {error}"
        ) from None


def _check_ids(ids: Sequence[float]) -> None:
    """Refuse sequence ids that float32 does not represent."""
    for value in ids:
        if not value.is_integer() or abs(value) > _MAX_ID:
            given = "none" if value != value else f"{value:.17g}"
            raise InputError(
                f"the sequence id must be a text or a whole number up to {_MAX_ID} in every row, "
                f"got {given}"
            )


def label_list(y: object, n: int) -> list[object]:
    """Return n labels, None for a missing one.

    Raises
    ------
    InputError
        There is another number of labels.
    """
    if n == 1 and not isinstance(y, (list, tuple, np.ndarray)):
        return [y]
    many = [None] * n if y is None else list(y)  # type: ignore[call-overload] # raises for a scalar
    if len(many) != n:
        raise InputError(f"`y` must have {n} labels, got {len(many)}")
    return many


def time_list(t: ArrayLike, n: int) -> list[float]:
    """Return the event times of n rows, from those of all rows or that of the first.

    Raises
    ------
    InputError
        It is neither.
    """
    many = [t] + [math.nan] * (n - 1) if np.ndim(t) == 0 else np.asarray(t, object).tolist()
    if len(many) != n:
        raise InputError(f"`t` must have {n} times, got {len(many)}")
    if any(isinstance(time, NO_NUMBERS) for time in many):
        raise InputError(
            f"`t` must be seconds since 1970-01-01 UTC, per row or of the first, got {shown(t)}"
        )
    return [to_number(time) for time in many]


def has_text(x: object) -> bool:
    """Whether a row or table holds a text; it is then sent row by row, by name."""
    if isinstance(x, Mapping):
        return any(isinstance(value, str) for value in x.values())
    if isinstance(x, np.ndarray) and x.dtype != object:
        return x.dtype.kind in "SU"
    cells = x.flat if isinstance(x, np.ndarray) else x if isinstance(x, (list, tuple)) else ()
    return any(
        isinstance(cell, str) or (isinstance(cell, (list, tuple)) and has_text(cell))
        for cell in cells
    )


def chunks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of up to `size` rows that cover n rows."""
    for begin in range(0, n, size):
        yield begin, min(begin + size, n)


def rows_per_message(width: int) -> int:
    """Return how many rows of `width` numbers fit into a message of a megabyte."""
    return max(1, min(_MAX_ROWS, _MESSAGE_BYTES // (4 * width)))
