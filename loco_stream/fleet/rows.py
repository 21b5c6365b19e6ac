"""Rows of one key on their way, and their bytes: what the log keeps and what workers are sent."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, InputError
from loco_stream.estimators.inputs.tables import column_names, table
from loco_stream.numbers import plain
from loco_stream.persistence.format import decode_plain, encode_plain

__all__ = [
    "LABELS",
    "LEARN",
    "OBSERVE",
    "Key",
    "Label",
    "Rows",
    "Said",
    "Table",
    "Values",
    "check_key",
    "group_of",
    "in_a_row",
    "make_rows",
    "read_names",
    "read_rows",
]

Key: TypeAlias = str | int
Named: TypeAlias = list[Mapping[Any, Any]]
Matrix: TypeAlias = NDArray[Any]
Table: TypeAlias = Matrix | Named
Label: TypeAlias = Any  # a class or a number
Said: TypeAlias = Sequence[Label]  # what was said of rows, one answer each
Values: TypeAlias = (
    tuple[Matrix, Said] | None
)  # probabilities and classes, or values and no classes
Numbers: TypeAlias = range | NDArray[np.int64]

LEARN = "learn"
OBSERVE = "observe"
LABELS = "labels"

_LARGEST = 2**63 - 1
_PLAIN = frozenset({str, int, float, bool})
_ALIKE = frozenset({str, float, bool})  # the same in MessagePack, which an int may be too large for


def check_key(key: object) -> Key:
    """Return a key as a plain value.

    Raises
    ------
    InputError
        It is neither a text nor a whole number of 64 bits.
    """
    key = key if type(key) is str else plain(key)
    if isinstance(key, str) and (
        key.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in key)
    ):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and -_LARGEST <= key <= _LARGEST:
        return key
    raise InputError(
        f"key is {key!r:.80}; allowed is a text of valid Unicode, or a whole number of at most 64 bits"
    )


def group_of(key: Key, key_groups: int) -> int:
    """Return the number of the group a key belongs to.

    It never changes, so that a key can be found.

    Examples
    --------
    >>> group_of("press 7", 64)
    52
    """
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % key_groups


@dataclass(slots=True)  # not frozen: to make a frozen one takes several times longer
class Rows:
    """Rows of one key, in order.

    `X` is (n, n_features) float32, float64, or object where it holds texts, its columns named by
    `features` (None: the model's slots in order), or n rows by name. `seq` (n,) numbers the rows of
    `source`, ascending: a range unless some are left out. `epoch` tells runs of the source apart.
    `content` are the bytes that they were decoded from.

    `kind` says what they are for: LEARN; OBSERVE, whose labels come later, with an empty `y`; or
    LABELS, which are such labels, with the numbers of their rows as `seq`, an `X` of no columns,
    and None where no label will come.
    """

    key: Key
    X: Table
    y: Any
    features: tuple[Hashable, ...] | None
    source: str
    epoch: int
    seq: Numbers
    content: bytes | None = None
    kind: str = LEARN

    def __len__(self) -> int:
        return len(self.X)

    def part(self, rows: slice) -> Rows:
        """Return some of the rows."""
        return replace(self, X=self.X[rows], y=self.y[rows], seq=self.seq[rows], content=None)

    def encode(self) -> bytes:
        """Return the rows as MessagePack; nothing in it can run code.

        Only what may hold values of other kinds is looked through, for that takes longer than all
        the rest.

        Raises
        ------
        CheckpointError
            A value cannot be stored, for example a text that is no UTF-8.
        """
        if self.content is not None:
            return self.content
        X = self.X
        y = self.y
        names = self.features
        packed = isinstance(y, np.ndarray)
        shape: list[Any] | None
        data: Any
        if isinstance(X, list):
            shape = None
            data = _raw([dict(row) for row in X])
        else:
            shape = [*X.shape, X.dtype.str]
            data = _raw(X.tolist()) if X.dtype == object else X.tobytes()
        labels = (
            [y.dtype.str, y.tobytes()]
            if packed
            else y
            if _ALIKE.issuperset(map(type, y))
            else _raw(y)
        )
        seq = self.seq.start if isinstance(self.seq, range) else self.seq.tobytes()
        place = [None if names is None else _raw(names), self.source, self.epoch, seq]
        kind = () if self.kind == LEARN else (self.kind,)  # the last field
        try:
            return msgspec.msgpack.encode([self.key, data, shape, labels, packed, *place, *kind])
        except UnicodeEncodeError as error:
            raise CheckpointError(f"cannot store these rows: {error}") from error

    @classmethod
    def decode(cls, content: bytes) -> Rows:
        """Undo `encode`; raises `CheckpointError` for anything it did not make."""
        key, data, shape, y, packed, features, source, epoch, seq, *kind = decode_plain(content)
        X = data if shape is None else _matrix(data, *shape)
        y = np.frombuffer(y[1], y[0]).copy() if packed else y
        numbers = range(seq, seq + len(X)) if isinstance(seq, int) else np.frombuffer(seq, np.int64)
        return cls(key, X, y, features, source, epoch, numbers, content, *kind)


def make_rows(
    key: object,
    X: Any,
    y: Any,
    features: Iterable[Hashable] | None,
    source: str,
    epoch: int,
    seq: int | Sequence[int],
) -> Rows:
    """Check what a caller hands in, as far as that is possible without the key's model.

    Raises
    ------
    InputError
        A field is not what is allowed; nothing was learned.
    """
    key = check_key(key)
    table = read_rows(X)
    labels = _labels(y, len(table))
    numbers = _numbers(seq, len(table))
    names = read_names(features, table)
    return Rows(key, table, labels, names, source, epoch, numbers)


def read_rows(X: Any) -> Table:
    """Return rows by name as a list, and anything else as a matrix of numbers, or of numbers and texts."""
    if type(X) is np.ndarray and X.dtype == np.float32 and X.ndim == 2:
        return np.ascontiguousarray(X)
    if isinstance(X, Mapping):
        return [X]
    if isinstance(X, list | tuple) and len(X) and all(isinstance(row, Mapping) for row in X):
        return list(X)
    given = table(X)
    return np.array(X, object) if given.texts else given.numbers


def read_names(features: Iterable[Hashable] | None, X: Table) -> tuple[Hashable, ...] | None:
    """Return the names of the columns of a matrix.

    Raises `InputError` for others than it has columns.
    """
    return None if features is None or isinstance(X, list) else column_names(features, X.shape[1])


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(encode_plain(value))


def _matrix(data: Any, n_rows: int, n_columns: int, kind: str) -> Matrix:
    if isinstance(data, list):
        return np.array(data, object).reshape(n_rows, n_columns)
    return np.frombuffer(data, kind).reshape(n_rows, n_columns).copy()


def _labels(y: Any, n: int) -> Any:
    if type(y) is list and len(y) == n and _PLAIN.issuperset(map(type, y)):
        return y.copy()
    single = isinstance(y, str | bytes | Mapping) or not hasattr(y, "__len__")
    if single and n != 1:
        raise InputError(
            f"y is of type {type(y).__name__}; allowed is a sequence of {n} values, one a row"
        )
    if single:
        y = [y]
    if len(y) != n:
        raise InputError(f"X has {n} rows, but y has {len(y)} values")
    if isinstance(y, np.ndarray):
        if y.ndim != 1:
            raise InputError(f"y has {y.ndim} dimensions; allowed is 1, one value a row")
        if y.dtype.kind in "biuf":
            return np.ascontiguousarray(y, y.dtype.newbyteorder("<"))
    return list(y) if _PLAIN.issuperset(map(type, y)) else [plain(label) for label in y]


def _numbers(seq: int | Sequence[int], n: int) -> Numbers:
    if isinstance(seq, int):
        return range(seq, seq + n)
    numbers = np.array(seq, np.int64)
    if numbers.shape != (n,) or (n > 1 and not (np.diff(numbers) > 0).all()):
        raise InputError(f"seq must number the {n} rows in ascending order, not {seq!r:.80}")
    return in_a_row(numbers)


def in_a_row(numbers: NDArray[np.int64]) -> Numbers:
    """Return ascending numbers as a range if none is left out."""
    n = len(numbers)
    first = int(numbers[0]) if n else 0
    return range(first, first + n) if not n or int(numbers[-1]) - first == n - 1 else numbers
