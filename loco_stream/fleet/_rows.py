"""Rows of one key and their encoding, which the log stores and workers receive."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Array, Float64, Int64
from loco_stream._numbers import plain, shown
from loco_stream._persistence.content import Plain
from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream._problems import TARGETS, known_targets
from loco_stream._text import has_surrogate
from loco_stream.engine._validation import label_fault, row_fault
from loco_stream.errors import CheckpointError, InputError
from loco_stream.estimators._inputs.row_times import row_times
from loco_stream.estimators._inputs.tables import (
    FutureRows,
    Names,
    TimesLike,
    column_names,
    table,
    target_matrix,
)
from loco_stream.estimators._inputs.tables import Table as ColumnTable

Key: TypeAlias = str | int
Named: TypeAlias = list[Mapping[Any, Any]]
Matrix: TypeAlias = Array
Table: TypeAlias = Matrix | Named
Label: TypeAlias = Any  # a class or a number
TableLike: TypeAlias = Any  # whatever can be read as rows: arrays, lists, frames, dicts
LabelsLike: TypeAlias = Any  # a sequence of labels, or one label
# number of steps, coverage of the intervals, and the features of each step
Ahead: TypeAlias = tuple[int | None, float, FutureRows]
Outputs: TypeAlias = Sequence[Label]  # predictions, one per row
# probabilities and classes, or values and no classes
Values: TypeAlias = tuple[Matrix, Outputs] | None
Numbers: TypeAlias = range | Int64

MAX_WAITING = 50_000
"""Rows that may wait for labels, of all keys together: of one, no fewer."""

LEARN = "learn"
OBSERVE = "observe"
LABELS = "labels"
RESET = "reset"
DECIDE = "decide"

_LARGEST = 2**63 - 1
_PLAIN = frozenset({str, int, float, bool})
_DIRECT = frozenset({str, float, bool})  # MessagePack holds all of them; an int may be too large


def check_key(key: object) -> Key:
    """Return a key as a plain value.

    Raises `InputError` if the key is neither a text nor an integer of 64 bits.
    """
    key = key if type(key) is str else plain(key)
    if isinstance(key, str) and not has_surrogate(key):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and -_LARGEST <= key <= _LARGEST:
        return key
    raise InputError(
        f"`key` must be a text of valid Unicode or an integer of 64 bits, got {shown(key)}"
    )


def check_keys(keys: object) -> list[Key]:
    """Return keys; raises `InputError` if they are not several, or one is none."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise InputError(f"`keys` must be a sequence of keys, got {shown(keys)}")
    return [check_key(key) for key in keys]


def group_of(key: Key, key_groups: int) -> int:
    """Return the number of the group that a key belongs to, for ever.

    Examples
    --------
    >>> group_of("press 7", 64)
    52
    """
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % key_groups


class RowInfo(NamedTuple):
    """What the prediction of a row repeats; `id`, `extra` and `t` are as in `Sample`."""

    id: Any
    extra: Mapping[str, Any] | None
    t: float


@dataclass(slots=True)  # not frozen: creating a frozen one takes several times longer
class KeyRows:
    """Rows of one key, in order.

    key: the key
    X: (n, n_features) float32 or float64, object if it holds texts, or n rows by name
    y: n labels, dicts of several targets; empty for OBSERVE. For LABELS, the labels, None where a
        label will not arrive.
    features: names of the columns; None for the model's slots in order
    source, epoch, seq: who sent the rows, in which of its runs, and the ascending numbers of the
        rows: a range, or (n,) int64 if some are left out. For LABELS, the numbers of the rows that
        the labels belong to. Where the rows are of several runs, `epoch` is (n,) uint64 and
        ascends, and the numbers ascend in each run.
    content: the bytes that the rows were decoded from
    times: (n,) times of the rows, NaN where unknown; None if no time is known, or the model gets
        none
    kind: LEARN; OBSERVE for rows whose labels arrive later; LABELS for such labels, with an `X`
        without columns; RESET for no rows, where the model of the key starts anew; DECIDE for no
        rows, where the key predicts by another rule from there on, which is the only value of `y`
    infos: what the predictions of the n rows repeat; None if that is nothing. Neither logged nor
        sent to workers.
    """

    key: Key
    X: Table
    y: LabelsLike
    features: tuple[Hashable, ...] | None
    source: str
    epoch: int | NDArray[np.uint64]
    seq: Numbers
    content: bytes | None = None
    kind: str = LEARN
    times: Float64 | None = None
    infos: Sequence[RowInfo | None] | None = None

    def __len__(self) -> int:
        return len(self.X)

    def number(self, i: int) -> tuple[int, int]:
        """Return epoch and seq of a row; later rows of a source have larger ones."""
        epoch = self.epoch[i] if isinstance(self.epoch, np.ndarray) else self.epoch
        return int(epoch), int(self.seq[i])

    def part(self, rows: slice) -> KeyRows:
        """Return some of the rows."""
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            epoch=self.epoch[rows] if isinstance(self.epoch, np.ndarray) else self.epoch,
            seq=self.seq[rows],
            content=None,
            times=None if self.times is None else self.times[rows],
            infos=None if self.infos is None else self.infos[rows],
        )

    def encode(self) -> bytes:
        """Return the rows as MessagePack, which cannot contain code.

        Only fields that may hold values of several types are converted value by value, because that
        takes longer than all the rest.

        Raises `CheckpointError` if a value cannot be stored, for example a text that is not valid
        Unicode.
        """
        if self.content is not None:
            return self.content
        names = None if self.features is None else _raw(self.features)
        seq = self.seq.start if isinstance(self.seq, range) else self.seq.tobytes()
        epoch = self.epoch
        fields = [
            self.key,
            *self._encoded_inputs(),
            self._encoded_labels(),
            isinstance(self.y, np.ndarray),
            names,
            self.source,
            epoch.astype("<u8").tobytes() if isinstance(epoch, np.ndarray) else epoch,
            seq,
        ]
        # the last fields of the format, left out for most rows
        if self.kind != LEARN or self.times is not None:
            fields.append(self.kind)
        if self.times is not None:
            fields.append(self.times.astype("<f8").tobytes())
        try:
            return msgspec.msgpack.encode(fields)
        except UnicodeEncodeError as error:
            raise CheckpointError(f"cannot store these rows: {self._fault() or error}") from error

    def _fault(self) -> str | None:
        """Return what is wrong with the first label, or else row by name, that cannot be stored."""
        labels = () if isinstance(self.y, np.ndarray) else self.y
        classes = (label for label in labels if not isinstance(label, Mapping))
        rows = self.X if isinstance(self.X, list) else ()
        faults = (
            *(label_fault(label, "classification", is_stored=True) for label in classes),
            *map(row_fault, rows),
        )
        return next(filter(None, faults), None)

    def _encoded_inputs(self) -> tuple[object, list[object] | None]:
        """Return the data of `X`, and its shape and dtype; None for rows by name."""
        X = self.X
        if isinstance(X, list):
            return _raw([dict(row) for row in X]), None
        data = _raw(X.tolist()) if X.dtype == object else X.tobytes()
        return data, [*X.shape, X.dtype.str]

    def _encoded_labels(self) -> object:
        y = self.y
        if isinstance(y, np.ndarray):
            return [y.dtype.str, y.tobytes()]
        if _DIRECT.issuperset(map(type, y)):
            return y
        try:
            return _raw(y)
        except CheckpointError as error:
            raise CheckpointError(f"cannot store these rows: {self._fault() or error}") from error

    @classmethod
    def decode(cls, content: bytes) -> KeyRows:
        """Return the rows that `encode` made bytes of.

        Raises `CheckpointError` if the bytes are damaged.
        """
        key, data, shape, y, packed, features, source, epoch, seq, *rest = decode_plain(content)
        X = data if shape is None else _matrix(data, *shape)
        y = np.frombuffer(y[1], y[0]).copy() if packed else y
        epoch = np.frombuffer(epoch, "<u8") if isinstance(epoch, bytes) else epoch
        numbers = range(seq, seq + len(X)) if isinstance(seq, int) else np.frombuffer(seq, np.int64)
        kind = rest[0] if rest else LEARN
        times = np.frombuffer(rest[1], "<f8") if len(rest) > 1 else None
        return cls(key, X, y, features, source, epoch, numbers, content, kind, times)


def reset_of(key: Key) -> KeyRows:
    """Return the entry of the log at which the model of a key starts anew."""
    return KeyRows(key, np.zeros((0, 0), np.float32), [], None, "", 0, range(0), kind=RESET)


def decision_entry(key: Key, decision: Plain) -> KeyRows:
    """Return the entry of the log from which on a key predicts by its own rule.

    The rule is that of `Decision.to_plain`; None lets the key follow the rule of the fleet.
    """
    return replace(reset_of(key), y=[decision], kind=DECIDE)


def make_rows(
    key: object,
    X: TableLike,
    y: LabelsLike,
    features: Names,
    source: str,
    epoch: int,
    seq: int | Sequence[int],
) -> KeyRows:
    """Return checked rows; what depends on the key's model is checked later.

    Raises `InputError` if an argument is invalid; nothing was learned.
    """
    key = check_key(key)
    table, names = read_rows(X, features)
    labels = _labels(y, len(table))
    numbers = _numbers(seq, len(table))
    return KeyRows(key, table, labels, names, source, epoch, numbers)


def read_rows(X: TableLike, features: Names) -> tuple[Table, tuple[Hashable, ...] | None]:
    """Return rows, and the names of their columns.

    Rows by name are a list, and anything else is a matrix, of objects if it holds texts. Names are
    None for rows by name, and where neither `features` nor a frame has any.

    Raises `InputError` if X cannot be read as rows, or the number of names differs from the number
    of columns.
    """
    if isinstance(X, Mapping):
        return [X], None
    if isinstance(X, list | tuple) and len(X) and all(isinstance(row, Mapping) for row in X):
        return list(X), None
    if type(X) is np.ndarray and X.dtype == np.float32 and X.ndim == 2:
        matrix = np.ascontiguousarray(X)
    else:
        given = table(X)
        features = given.names if features is None else features
        matrix = _objects(X, given) if given.texts else given.numbers
    return matrix, None if features is None else column_names(features, matrix.shape[1])


def _objects(X: TableLike, given: ColumnTable) -> Matrix:
    """Return a matrix of the cells of rows that hold texts."""
    if given.names is None:
        return np.array(X, object)
    matrix = given.numbers.astype(object)
    for j, cells in given.texts.items():
        matrix[:, j] = cells
    return matrix


def read_targets(y: LabelsLike, targets: Iterable[Hashable] | None) -> list[dict[Hashable, float]]:
    """Return labels of several targets as dicts without the missing values.

    Raises `InputError` if a label has no value or one that is no number, or the names do not fit
    the columns.

    Examples
    --------
    >>> read_targets([[20.5, 2.0], [21.0, float("nan")]], ("heat", "flow"))
    [{'heat': 20.5, 'flow': 2.0}, {'heat': 21.0}]
    """
    labels = [y] if isinstance(y, Mapping) else y
    if not (isinstance(labels, list | tuple) and labels and isinstance(labels[0], Mapping)):
        labels = _rows_of_targets(labels, targets)
    elif targets is not None:
        raise InputError("`targets` must be None where `y` holds dicts")
    for label in labels:
        if (fault := label_fault(label, TARGETS)) is not None:
            raise InputError(fault)
    return [known_targets(label) for label in labels]


def read_times(t: TimesLike, n: int) -> Float64 | None:
    """Return the times of `n` rows as numbers, NaN where missing; None if there is none.

    Raises `InputError` if a time is no number, or there is not one per row.
    """
    if t is None:
        return None
    given = t if hasattr(t, "__len__") else [t]
    return np.ascontiguousarray(row_times(given, None, n, None, remembers=True)[0][:, 0])


def _rows_of_targets(
    Y: LabelsLike, targets: Iterable[Hashable] | None
) -> list[dict[Hashable, float]]:
    """Return each row of an array or frame, by the names of its columns."""
    given = table(Y)
    values = target_matrix(given.numbers, len(given.numbers))
    targets = given.names if targets is None else targets
    width = values.shape[1]
    names = tuple(range(width)) if targets is None else column_names(targets, width, "targets", "Y")
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encode_plain(value))


def _matrix(data: Any, n_rows: int, n_columns: int, kind: str) -> Matrix:
    if isinstance(data, list):
        return np.array(data, object).reshape(n_rows, n_columns)
    return np.frombuffer(data, kind).reshape(n_rows, n_columns).copy()


def _labels(y: LabelsLike, n: int) -> LabelsLike:
    if type(y) is list and len(y) == n and _PLAIN.issuperset(map(type, y)):
        return y.copy()
    single = isinstance(y, str | bytes | Mapping) or not hasattr(y, "__len__")
    if single and n != 1:
        raise InputError(
            f"`y` must be a sequence of {n} values, one per row, got {type(y).__name__}"
        )
    if single:
        y = [y]
    if len(y) != n:
        raise InputError(f"`y` must have as many values as X has rows, {n}, got {len(y)}")
    if isinstance(y, np.ndarray) and y.ndim != 1:
        raise InputError(f"`y` must have 1 dimension, one value per row, got {y.ndim}")
    if isinstance(y, np.ndarray) and y.dtype.kind in "biuf":
        return np.ascontiguousarray(y, y.dtype.newbyteorder("<"))
    return list(y) if _PLAIN.issuperset(map(type, y)) else [plain(label) for label in y]


def _numbers(seq: int | Sequence[int], n: int) -> Numbers:
    if isinstance(seq, int):
        return range(seq, seq + n)
    numbers = np.array(seq, np.int64)
    if numbers.shape != (n,) or (n > 1 and not (np.diff(numbers) > 0).all()):
        raise InputError(f"`seq` must number the {n:,} rows in ascending order, got {seq!r:.80}")
    return as_range(numbers)


def as_range(numbers: Int64) -> Numbers:
    """Return ascending numbers as a range if no number is left out."""
    n = len(numbers)
    first = int(numbers[0]) if n else 0
    return range(first, first + n) if not n or int(numbers[-1]) - first == n - 1 else numbers
