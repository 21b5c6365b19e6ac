"""NumPy files as a source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from loco_stream._arrays import Array
from loco_stream._checks import checks_types
from loco_stream._joins import Item
from loco_stream.connectors._base.array_file import array_labels, load_arrays
from loco_stream.connectors._base.checks import check_task
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.numbered_source import NumberedSource, Pace, check_rows_read
from loco_stream.connectors._base.table_source import check_width, label_of
from loco_stream.connectors._base.values import sequence_id
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Position, Schema

_MARK_ROWS = 64  # first rows by which a file is known again
_ROLES = {"y": "label", "t": "time", "sequence": "sequence"}  # arrays with one value per row


class NPYSource(NumberedSource):
    """Rows of a NumPy array, yielded in blocks.

    Parameters
    ----------
    path
        An ``.npy`` file with an array (n_rows, n_columns), which is not read into memory; or an
        ``.npz`` file with an array ``X`` and, with one value per row, ``y`` (labels), ``t`` (event
        times) and ``sequence`` (sequence ids).
    target
        Column of the label in an ``.npy`` file, from 0, or negative from the end.
    time
        Column of the event time in an ``.npy`` file, in seconds since 1970.
    sequence
        Column of the sequence id in an ``.npy`` file.
    labels
        Second ``.npy`` file with one label per row, instead of `target`. With neither, rows have no
        labels.
    task
        ``classification`` or ``regression``. By default inferred from the labels: numbers with a
        fraction mean regression.
    block
        Number of rows yielded together; 1 with `rate`.
    rate
        As in `CSVSource`.

    Raises
    ------
    SourceError
        The file is missing, holds Python objects (they are never unpickled), or has another shape.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream.connectors import NPYSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
    >>> np.save(path, [[1.0, 2.0, 0], [3.0, 4.0, 1]])
    >>> next(iter(NPYSource(path, target=-1))).y
    [0, 1]
    """

    @checks_types
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
            raise ConfigError(f"`block` must be at least 1 row, got {block}")
        X, roles = _load(Path(path), labels)
        if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "fiub":
            raise SourceError(
                f"{path} must be numbers of shape (n_rows, n_columns), "
                f"got {X.dtype} of shape {X.shape}"
            )
        chosen = {"y": target, "t": time, "sequence": sequence}
        columns = _take_columns(str(path), X, roles, chosen)
        check_width(str(path), len(columns))
        self._path = path
        self._X = X
        self._columns = columns
        self._features = tuple(map(str, columns))
        self._by_role = roles
        self._y = roles.get("y")
        self._times = roles.get("t")
        self._ids = roles.get("sequence")
        self.roles = {
            str(column % X.shape[1]): f"the {_ROLES[name]}"
            for name, column in chosen.items()
            if column is not None
        }
        self._label_kind, problem = array_labels(self._y, check_task(task))
        self._block_size = 1 if rate is not None else block
        self.n_rows = len(X)
        super().__init__(f"npy:{Path(path).name}", Schema(problem, self._features), Pace(rate))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Rows that were read, up to 64 of them, and a checksum of their values per array."""
        n = min(self._row, _MARK_ROWS)
        return {"row": n, "checksums": self._checksums(n)}

    def _checksums(self, n: int) -> dict[str, int]:
        """Return a checksum of the first n rows of each array."""
        # the values, not the bytes: those of texts depend on the longest text of the file
        texts = {name: repr(values[:n].tolist()) for name, values in self._by_role.items()}
        checksums = {_ROLES[name]: crc32(text.encode()) for name, text in texts.items()}
        return {"row": crc32(self._X[:n].tobytes()), **checksums}

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Compare the first rows with a fingerprint, in the arrays that both have."""
        n = fingerprint["row"]
        known = fingerprint["checksums"]
        for name, checksum in self._checksums(n).items():
            if known.get(name, checksum) != checksum:
                raise SourceError(
                    f"{self._path} must be the file that was read before: its first {n:,} {name}s "
                    "are different"
                )

    def seek(self, position: Position) -> None:
        """Go to ``{"row": n}``; a file of fewer rows is another one."""
        super().seek(position)
        check_rows_read(self._path, self._row, len(self._X))

    def __iter__(self) -> Iterator[Item]:
        """Yield blocks from the position on, and empty lists while a paced row is not due."""
        while self._row < len(self._X):
            yield from self._pace.wait(math.nan)
            first = self._row
            self._row = min(first + self._block_size, len(self._X))
            yield self._block(first, slice(first, self._row))

    def _block(self, first: int, rows: slice) -> Block:
        table = _masked(self._X[rows][:, self._columns], np.float32)
        y = None
        if self._y is not None:
            y = [label_of(value, self._label_kind) for value in self._y[rows].tolist()]
        times = None if self._times is None else _masked(self._times[rows], np.float64)
        ids = None
        if self._ids is not None:
            ids = [sequence_id(value) for value in self._ids[rows].tolist()]
        t = math.nan if times is None else float(times[0])
        return Block(table, y, self._features, first, t, self.name, times=times, sequence=ids)


def _masked(values: Array, dtype: type) -> Array:
    """Return a copy in which NaN stands for infinite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):  # too large becomes infinite
        copy: Array = np.array(values, dtype=dtype)
    copy[~np.isfinite(copy)] = np.nan
    return copy


def _take_columns(
    path: str, X: Array, roles: dict[str, Array], chosen: Mapping[str, int | None]
) -> list[int]:
    """Move the chosen columns to `roles`, and return the feature columns."""
    n_columns = X.shape[1]
    taken = set()
    for name, column in chosen.items():
        if column is None:
            continue
        if name in roles or not -n_columns <= column < n_columns or column % n_columns in taken:
            raise SourceError(
                f"the {_ROLES[name]} column of {path} must be one of its {n_columns} columns "
                f"without another role, got {column}"
            )
        taken.add(column % n_columns)
        roles[name] = X[:, column]
    features = [column for column in range(n_columns) if column not in taken]
    if not features:
        raise SourceError(
            f"{path} must have a column for features, got {n_columns} columns, all with other roles"
        )
    _check_values(path, len(X), roles)
    return features


def _check_values(path: str, n_rows: int, given: Mapping[str, Array]) -> None:
    """Raise `SourceError` unless labels, times and ids fit the rows."""
    for name, values in given.items():
        if values.shape != (n_rows,):
            raise SourceError(
                f"{path} must have one {_ROLES[name]} for each of {n_rows:,} rows, "
                f"got the shape {values.shape}"
            )
    if "t" in given and given["t"].dtype.kind not in "fiub":
        raise SourceError(
            f"times in {path} must be numbers, in seconds since 1970, got {given['t'].dtype}"
        )


def _load(path: Path, labels: str | Path | None) -> tuple[Array, dict[str, Array]]:
    """Return the table, and the arrays with one value per row by name."""
    found = load_arrays(path, ("X", *_ROLES))
    if isinstance(found, dict):
        if "X" not in found:
            others = ", ".join(found) or "other names only"
            raise SourceError(f"{path} must have an array X, and y for labels, got {others}")
        return found.pop("X"), found
    y = None if labels is None else load_arrays(Path(labels), ())
    if isinstance(y, dict):
        raise SourceError(f"{labels} must be an .npy file with the labels, got several arrays")
    return found, {} if y is None else {"y": y}


CONNECTORS = (Connector("npy", NPYSource, {"npy:PATH?target=-1": NPYSource.guarantee}),)
