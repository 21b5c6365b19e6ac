"""Sources with named columns: which are features, which is the label, and what kind it has."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from loco_stream._text import did_you_mean, listed
from loco_stream.connectors._base.arrow_columns import (
    IrregularBlock,
    is_learnable,
    mapped,
    table_of,
)
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.checks import check_task
from loco_stream.connectors._base.fields import Fields
from loco_stream.connectors._base.numbered_source import (
    LateLabel,
    Pace,
    Row,
    RowSource,
    event_of,
)
from loco_stream.connectors._base.values import MISSING, event_time, number, sequence_id
from loco_stream.connectors.ls1.limits import DEFAULT_LIMITS
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Event, Schema

__all__ = [
    "PEEK",
    "Columns",
    "Part",
    "TableSource",
    "check_header",
    "check_speed",
    "check_width",
    "label_of",
]

MAX_FEATURES = DEFAULT_LIMITS.features
PEEK = 1000  # rows read ahead to find out whether labels are integers, floats or text


@dataclass(frozen=True, slots=True)
class Columns:
    """Roles of the columns of a table.

    Parameters
    ----------
    target
        Column of the label; an empty name means no label, None that no column was named.
    time, sequence
        Columns of event time and sequence id, or None.
    drop
        Columns that are not features.
    use
        The only columns that are features; empty for all.
    id
        Column of the row's id, or None.
    keep
        Columns that the record of the prediction repeats; they may be features too.
    """

    target: str | None
    time: str | None = None
    sequence: str | None = None
    drop: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    id: str | None = None
    keep: tuple[str, ...] = ()

    def check(self, where: str, names: Sequence[str]) -> None:
        """Check that the named columns exist.

        Raises
        ------
        SourceError
            A column is missing, or no label column was named.
        """
        if self.target is None:
            raise SourceError(
                f"{where}: `target` must name the label column, or be empty for rows without "
                f"labels (columns: {listed(names)})"
            )
        roles = [
            ("target", self.target),
            ("time", self.time),
            ("sequence", self.sequence),
            ("id", self.id),
            *(("drop", name) for name in self.drop),
            *(("use", name) for name in self.use),
            *(("keep", name) for name in self.keep),
        ]
        for role, name in roles:
            if name and name not in names:
                raise SourceError(
                    f"{where}: `{role}` must be a column, got {name!r}"
                    f"{did_you_mean(name, names)} {_described(names)}"
                )

    @property
    def no_features(self) -> set[str | None]:
        """The columns that are not features."""
        return {self.target, self.time, self.sequence, self.id, *self.drop}

    @property
    def fields(self) -> Fields:
        """The same roles, as those of a message have them."""
        time = "" if self.time is None else self.time
        return Fields(self.target or "", time, self.id, self.keep, self.drop, self.use)


class Part(Protocol):
    """Consecutive rows of a table, as columns and one by one."""

    @property
    def table(self) -> Any:
        """The columns, a table of pyarrow; None if only rows are known."""

    @property
    def parse(self) -> Callable[[str], Any] | None:
        """What returns the value of a text in a feature column; None if it is the text."""

    def text(self, value: Any) -> Any:
        """Return the value of label, time or sequence id as `records` does."""

    def accept(self) -> None:
        """Note that the columns are used; otherwise `records` is called."""

    def records(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the rows one by one, each with its location."""


class TableSource(RowSource):
    """Base class of sources of named columns; subclasses yield records, one mapping per row.

    Parameters
    ----------
    name
        Name of the source.
    where
        File, for error messages.
    columns
        Roles of the columns.
    task
        The task, or None to infer it from the labels.
    pace
        When rows are due.
    bad
        What happens to bad rows.
    """

    location = ""
    _has_labels = False  # whether a record may have nothing but an id and a label

    def __init__(
        self,
        name: str,
        where: str,
        columns: Columns,
        *,
        task: str | None,
        pace: Pace,
        bad: BadRows,
    ) -> None:
        self._bad = bad
        self.on_bad = bad.on_bad
        self._where = where
        self._roles = columns
        self._fields = columns.fields
        self.used = columns.use
        self.labels_from = f"column {columns.target!r}" if columns.target else ""
        self._task = check_task(task)
        self._label = ""  # kind of the labels
        self._no_features: set[str | None] | None = None  # None before the columns are known
        super().__init__(name, Schema(task) if task else None, pace)

    def _set_columns(
        self, names: Sequence[str], labels: Sequence[Any], *, fixed: bool = True
    ) -> None:
        """Check the roles against the columns, and infer the task from the first labels.

        `fixed`: every row has these columns.
        """
        self._roles.check(self._where, names)
        features = self._feature_columns(names)
        check_width(self._where, len(features))
        task = self._task
        self._label = self._label or _label_kind(labels, task)
        if task is None and self._roles.target:
            task = "regression" if self._label == "float" else "classification"
        self._schema = Schema(task, features if fixed else None)

    def _feature_columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that are features, and note the others."""
        self._no_features = self._roles.no_features
        if self._roles.use:
            self._no_features |= {name for name in names if name not in self._roles.use}
        features = tuple(name for name in names if name not in self._no_features)
        if not features:
            others = ", ".join(sorted(name for name in self._no_features if name))
            raise SourceError(f"{self._where} must have a feature column besides {others}")
        return features

    @abstractmethod
    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the records from number `start` on."""

    # Blocks

    def _parts(self, start: int) -> Iterator[Part]:
        """Yield the rows from number `start` on in parts; by default there are none."""
        raise NotImplementedError

    def _reads_parts(self) -> bool:
        """Whether `_parts` can be used."""
        return False

    def read_blocks(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows from the position on: blocks, and single rows where one may be bad."""
        has_own = bool(self._roles.id or self._roles.keep)  # of each row, which a block has not
        if self._pace.active or has_own or not self._reads_parts():
            yield from self
            return
        for part in self._parts(self._row):
            block = self._block_of(part)
            if block is not None:
                part.accept()
                self._row += len(block.X)
                self.location = ""
                yield block
                continue
            for location, record in part.records():
                self.location = location
                row = self._row_of(record, location)
                self._row += 1
                yield [] if row is None else event_of(row, self._row - 1, self.name)

    def _block_of(self, part: Part) -> Block | None:
        """Return the rows of a part as a block; None if one of them may be bad."""
        table = part.table
        if table is None or not table.num_rows or self._schema is None:
            return None
        features = self._schema.features
        assert features is not None
        roles = self._roles
        try:
            X = table_of([table[name] for name in features], part.parse)
            y = self._labels(part) if roles.target else None
            t = _mapped(part, roles.time, event_time)
            sequence = _mapped(part, roles.sequence, sequence_id)
        except (IrregularBlock, SourceError):
            return None
        times = None if t is None else np.array(t, np.float64)
        first = math.nan if times is None else float(times[0])
        return Block(X, y, features, self._row, first, self.name, times=times, sequence=sequence)

    def _labels(self, part: Part) -> list[Any] | None:
        labels = _mapped(part, self._roles.target, lambda value: label_of(value, self._label))
        if labels is not None and not all(map(is_learnable, set(labels))):
            raise IrregularBlock
        return labels

    @property
    def skipped(self) -> Mapping[str, int]:
        """Number of bad rows that were left out, by kind."""
        return dict(self._bad.counts)

    @property
    def last_error(self) -> str:
        """Most recent sentence about a bad row."""
        return self._bad.last

    def _rows(self, start: int) -> Iterator[Row | LateLabel | None]:
        for at, record in enumerate(self._records(start), start):
            yield self._row_of(record, self.location or f"row {at} of {self.name}")

    def _row_of(self, record: Mapping[str, Any], location: str) -> Row | LateLabel | None:
        """Return the row or label in a record; None if it is bad."""
        if self._has_labels and (label := self._fields.label_in(record)) is not None:
            return self._label_of(*label, location)
        no_features = self._no_features or ()
        roles = self._roles
        kind = "label of another type"
        try:
            y = label_of(record.get(roles.target), self._label) if roles.target else None
            kind = "time"
            t = event_time(record.get(roles.time)) if roles.time else math.nan
            kind = "sequence"
            sequence = sequence_id(record.get(roles.sequence)) if roles.sequence else None
        except SourceError as error:
            self._bad.add(kind, f"{location}: {error}")
            return None
        x = {name: value for name, value in record.items() if name not in no_features}
        row_id = record.get(roles.id) if roles.id else None
        extra = {"keep": self._fields.kept(record)} if roles.keep else None
        return Row(x, y, t, sequence, row_id, extra)

    def _label_of(self, row_id: Any, label: Any, location: str) -> LateLabel | None:
        """Return the label of a row with an id; None if it is bad."""
        try:
            return LateLabel(row_id, label_of(label, self._label))
        except SourceError as error:
            self._bad.add("label of another type", f"{location}: {error}")
            return None


def _described(names: Sequence[str]) -> str:
    """Return the columns that there are, for an error message."""
    if not names:
        return "(the source has none)"
    is_row = any(number(name) is not None for name in names)
    header = "; is its first line a row instead of a header?" if is_row else ""
    return f"(columns: {listed(names)}){header}"


def _mapped(part: Part, name: str | None, function: Callable[[Any], Any]) -> list[Any] | None:
    """Return the result of a function for each value of a column that is no feature."""
    if not name:
        return None
    return mapped(part.table[name], lambda value: function(part.text(value)))


def check_width(where: str, n_features: int) -> None:
    """Check the number of features: the state of a model grows with its square.

    Raises
    ------
    SourceError
        There are too many.
    """
    if n_features > MAX_FEATURES:
        raise SourceError(
            f"{where} must have at most {MAX_FEATURES} features, got {n_features}; "
            "`drop` leaves some out"
        )


def check_header(where: str, names: Sequence[str]) -> None:
    """Check that column names are unique.

    Raises
    ------
    SourceError
        Two columns have the same name.
    """
    repeated = sorted(name for name, n in Counter(names).items() if n > 1)
    if repeated:
        raise SourceError(f"{where} must have distinct column names, got {repeated[0]!r} twice")


def check_speed(time: str | None, speed: float | None) -> None:
    """Refuse a speed without recorded times."""
    if speed is not None and time is None:
        raise ConfigError("`speed` needs the column of the recorded times in `time`, got none")


def _label_kind(labels: Sequence[Any], task: str | None) -> str:
    """Return the kind of labels, as in `label_of`, from the task and the first ones."""
    if task == "regression":
        return "float"
    known = [v for v in labels if v is not None and str(v).strip().lower() not in MISSING]
    values = [number(v) if isinstance(v, str) else v for v in known]
    if known and all(type(v) is int for v in values):
        return "int"
    if task is None and known and all(type(v) in (int, float) for v in values):
        return "float"
    return "str"


def label_of(value: Any, kind: str) -> Any:
    """Return a label of the kind "int", "float" (regression) or "str" (as written), or None.

    Raises
    ------
    SourceError
        The value is of another kind.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return None
    if kind == "str":
        return value
    try:
        if kind == "float" or isinstance(value, float):
            value = float(value)
            if kind == "float" or math.isnan(value):
                return value if math.isfinite(value) else None
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        what = "a number" if kind == "float" else "a whole number"
        raise SourceError(
            f"the label must be {what}, as the labels before it, got {value!r}"
        ) from None
