"""Recorded streams in NumPy files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.array_file import load_arrays
from loco_stream.connectors.rows import NumberedSource, Pace, check_task
from loco_stream.connectors.table import check_width, label_of
from loco_stream.connectors.values import sequence_id
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Event, Schema

__all__ = ["NPYSource"]


class NPYSource(NumberedSource):
    """Rows of a NumPy array in ``.npy``, or of several arrays in ``.npz``, handed out in blocks.

    Parameters
    ----------
    path
        ``.npy``: an array (n_rows, n_columns), mapped, not read into memory. ``.npz``: an array
        ``X`` and, with one value a row, ``y`` for labels, ``t`` for event times, ``sequence`` for
        the ids of events.
    target
        ``.npy``: the label's column, from 0, or negative from the end.
    time, sequence
        ``.npy``: columns of the event time (seconds since 1970) and of the id of the event that a
        row is of.
    labels
        ``.npy``: a second ``.npy`` file with one label a row, instead of `target`. With neither,
        rows have no labels.
    task
        None decides by the labels: numbers with a fraction mean regression.
    block
        Rows handed out together; 1 with `rate`.
    rate
        Replay at so many rows a second; None as fast as the engine takes.

    Raises
    ------
    SourceError
        No such file, Python objects inside (never unpickled), a wrong shape.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream.connectors import NPYSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, [[1.0, 2.0, 0], [3.0, 4.0, 1]])
    >>> next(iter(NPYSource(path, target=-1))).y
    [0, 1]
    """

    def __init__(
        self,
        path: str | Path,
        target: int | None = None,
        *,
        time: int | None = None,
        sequence: int | None = None,
        labels: str | Path | None = None,
        task: str | None = None,
        block: int = 64,
        rate: float | None = None,
    ) -> None:
        if block < 1:
            raise ConfigError(f"block must be at least 1 row, not {block}")
        X, given = _arrays(Path(path), labels)
        if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "fiub":
            raise SourceError(
                f"{path} must be numbers of shape (n_rows, n_columns), not {X.dtype} of shape {X.shape}"
            )
        columns = _take_columns(str(path), X, given, {"y": target, "t": time, "sequence": sequence})
        check_width(str(path), len(columns))
        y = given.get("y")
        self._X = X
        self._y = y
        self._columns = columns
        self._times, self._ids = given.get("t"), given.get("sequence")
        self._features = tuple(map(str, columns))
        kind, found = _array_labels(y, check_task(task))
        self._kind = kind
        self._size = 1 if rate is not None else block
        self.n_rows = len(X)
        super().__init__(f"npy:{Path(path).name}", Schema(found, self._features), Pace(rate))

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield blocks from the position on, and empty lists while a paced row is not due."""
        while self._row < len(self._X):
            yield from self._pace.wait(math.nan)
            rows = slice(self._row, self._row + self._size)
            table = np.array(self._X[rows][:, self._columns], dtype=np.float32)
            table[~np.isfinite(table)] = np.nan
            y = (
                None
                if self._y is None
                else [label_of(v, self._kind) for v in self._y[rows].tolist()]
            )
            first = self._row
            self._row = min(rows.stop, len(self._X))
            times = None if self._times is None else np.array(self._times[rows], dtype=np.float64)
            t = math.nan
            if times is not None:
                times[~np.isfinite(times)] = np.nan
                t = float(times[0])
            ids = (
                None
                if self._ids is None
                else [sequence_id(value) for value in self._ids[rows].tolist()]
            )
            yield Block(table, y, self._features, first, t, self.name, times=times, sequence=ids)


_ROLES = {"y": "label", "t": "time", "sequence": "sequence"}  # what one value a row may be


def _take_columns(
    path: str, X: NDArray[Any], given: dict[str, NDArray[Any]], chosen: Mapping[str, int | None]
) -> list[int]:
    """Enter the chosen columns among the arrays of one value a row, and return those left for features."""
    n_columns = X.shape[1]
    taken = set()
    for name, column in chosen.items():
        if column is None:
            continue
        if name in given or not -n_columns <= column < n_columns or column % n_columns in taken:
            raise SourceError(
                f"{path} has {n_columns} columns and no {_ROLES[name]} column {column} beside features"
            )
        taken.add(column % n_columns)
        given[name] = X[:, column]
    left = [column for column in range(n_columns) if column not in taken]
    if not left:
        raise SourceError(f"{path} has {n_columns} columns, and none is left for features")
    for name, values in given.items():
        if values.shape != (len(X),):
            raise SourceError(
                f"{path} has {len(X)} rows, and the {_ROLES[name]}s have the shape {values.shape}"
            )
    if "t" in given and given["t"].dtype.kind not in "fiub":
        raise SourceError(
            f"{path} has times of type {given['t'].dtype}; allowed are numbers, seconds since 1970"
        )
    return left


def _arrays(path: Path, labels: str | Path | None) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    found = load_arrays(path, ("X", *_ROLES))
    if isinstance(found, dict):
        if "X" not in found:
            raise SourceError(f"{path} has no array X; X (and y for labels) are needed")
        return found.pop("X"), found
    y = None if labels is None else load_arrays(Path(labels), ())
    if isinstance(y, dict):
        raise SourceError(
            f"{labels} holds several arrays; a .npy file with the labels alone is needed"
        )
    return found, {} if y is None else {"y": y}


def _array_labels(y: NDArray[Any] | None, task: str | None) -> tuple[str, str | None]:
    """Return the kind of the labels and their task."""
    if y is None or task == "regression":
        return "float", task
    if y.dtype.kind == "f":
        known = y[np.isfinite(y)]
        whole = bool((known == np.floor(known)).all())
        return ("int", "classification") if whole or task else ("float", "regression")
    return "str", "classification"
