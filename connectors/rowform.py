"""The sender's rows: any shape a user has, turned into LS1 tables under a schema that may grow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.messages import SchemaPayload, encode
from loco_stream.connectors.ls1.wire import pair_dtype
from loco_stream.errors import ConfigError, InputError
from loco_stream.numbers import masked, require_number

__all__ = ["RowForm", "chunks", "has_text", "rows_a_message"]

_MESSAGE_BYTES = 1 << 20

Table = NDArray[np.float32]


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
            raise ConfigError(f"sequence is {sequence!r}; allowed is one of the features: {', '.join(features)}")
        self.task, self._sequence = task, sequence
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

    def table(self, x: Any) -> Table:
        """Return rows as (n_rows, n_features) float32, NaN where a value is missing.

        Raises
        ------
        InputError
            A text value, or an array whose width is not that of the schema.
        """
        if isinstance(x, Mapping):
            return self._named(x)
        rows = np.asarray(x)
        if rows.dtype.kind in "mM":
            raise InputError(f"x must hold numbers, not {rows.dtype}: send seconds, as a float")
        if rows.dtype not in (np.float32, np.float64):
            rows = rows.astype(np.float64)
        rows = masked(rows).astype(np.float32, copy=False)
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        if rows.ndim != 2 or 0 in rows.shape:
            raise InputError(f"x must be a dict, a row or a table (n_rows, n_features), not of shape {np.shape(x)}")
        if not self._column:
            self._column = {str(j): j for j in range(rows.shape[1])}
            self._schema = None
        if rows.shape[1] != len(self._column):
            raise InputError(f"a row has {rows.shape[1]} values and the schema {len(self._column)} features")
        return np.ascontiguousarray(rows)

    def _named(self, x: Mapping[Any, Any]) -> Table:
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
        return np.array([row], dtype=np.float32)

    def _append(self, name: str) -> int:
        j = self._column[name] = len(self._column)
        if self._units is not None:
            self._units.append("")
        self._schema = None
        return j

    def readable(self, x: Mapping[Any, Any], y: Any, seq: int, t: float) -> bytes:
        """Return a row with texts as the MessagePack of a readable message."""
        values = {str(name): value if isinstance(value, str) else _plain(name, value) for name, value in x.items()}
        label: float | str | None = None
        if y is not None:
            index = self._label(y)
            label = index if self.task == "regression" else list(self._class)[int(index)]
        return encode({"x": values, "y": label, "seq": seq, "t": t})

    def labels(self, y: Any, n: int) -> NDArray[np.generic] | None:
        """Return n labels as they go on the wire, None when none of them is known."""
        many = [y] if n == 1 and not isinstance(y, (list, tuple, np.ndarray)) else list([None] * n if y is None else y)
        if len(many) != n:
            raise InputError(f"{n} rows came with {len(many)} labels")
        if all(label is None for label in many):
            return None
        return np.array([self._label(label) for label in many], "<f4" if self.task == "regression" else "<i4")

    def _label(self, label: Any) -> float | int:
        if self.task == "regression":
            return math.nan if label is None else _as_float("y", label)
        if label is None:
            return -1
        if isinstance(label, (float, np.floating)):
            if not float(label).is_integer():
                raise InputError(f"label {label!r} has a fraction: is this a sender with task='regression'?")
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


def _plain(name: Any, value: Any) -> float | None:
    number = math.nan if value is None else _as_float(name, value)
    return None if math.isnan(number) else number


def _as_float(name: Any, value: Any) -> float:
    if isinstance(value, str):
        raise InputError(
            f"{name!r} is the text {value!r}: a reliable sender and a table carry numbers; a push or pub sender "
            "carries a dict with texts"
        )
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return math.nan
    return require_number(repr(name), value)


def has_text(x: object) -> bool:
    """Return whether a row by name holds a text: it then goes as a readable message."""
    return isinstance(x, Mapping) and any(isinstance(value, str) for value in x.values())


def chunks(n: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut n rows into ranges of at most `most`."""
    for begin in range(0, n, most):
        yield begin, min(begin + most, n)


def rows_a_message(width: int) -> int:
    """Return how many rows of so many numbers have a megabyte: an engine bounds frames and answers."""
    return max(1, min(65_536, _MESSAGE_BYTES // (4 * width)))
