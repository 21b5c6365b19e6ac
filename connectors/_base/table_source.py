"""Sources with named columns: which are features, which is the label, and what kind it has."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol, TypeAlias

import numpy as np

from loco_stream._checks import checks_types
from loco_stream._joins import Item
from loco_stream._problems import TARGETS
from loco_stream._text import did_you_mean, listed
from loco_stream.connectors._base.arrow_columns import (
    IrregularBlock,
    Parse,
    conversion,
    is_learnable,
    mapped,
    table_of,
)
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.checks import check_task
from loco_stream.connectors._base.fields import (
    FieldRoles,
    check_target,
    label_names,
    quoted,
    refuse_label_as,
)
from loco_stream.connectors._base.numbered_source import (
    LateLabel,
    Pace,
    RowSource,
    SourceRow,
    event_of,
)
from loco_stream.connectors._base.options import explains_options
from loco_stream.connectors._base.values import MISSING, event_time, number, sequence_id
from loco_stream.connectors.ls1._limits import DEFAULT_LIMITS
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Position, Schema

Located: TypeAlias = tuple[str, Mapping[str, Any]]
"""Where a record is, and the record."""

MAX_FEATURES = DEFAULT_LIMITS.features
PEEK = 1000  # rows read ahead to find out whether labels are integers, floats or text


@dataclass(frozen=True, slots=True)
class Columns:
    """Roles of the columns of a table.

    Parameters
    ----------
    target
        Column of the label, or several targets separated by commas; an empty name means no label,
        None that no column was named.
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
    time_format
        Form of the event times, as in `event_time`; None for seconds and ISO 8601 dates.
    """

    target: str | None
    time: str | None = None
    sequence: str | None = None
    drop: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    id: str | None = None
    keep: tuple[str, ...] = ()
    time_format: str | None = None

    def check(self, where: str, names: Sequence[str]) -> None:
        """Check that the named columns exist.

        Raises
        ------
        SourceError
            A column is missing, or no label column was named.
        ConfigError
            The names of several targets are not distinct.
        """
        self.check_target(where, names)
        for _, sentence in self.missing(where, names):
            raise SourceError(sentence)

    def check_target(self, where: str, names: Sequence[str]) -> None:
        """Check that a label column was named, as `check` does; it may be missing."""
        if self.target is None:
            raise SourceError(
                f"{where}: `target` must name the label column, or be empty for rows without "
                f"labels (columns: {listed(names)})"
            )
        if self.target not in names:
            check_target(self.target)

    def missing(self, where: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield each role whose column is not there, and a sentence on it."""
        roles = [
            *(("target", name) for name in self.targets(names)),
            ("time", self.time),
            ("sequence", self.sequence),
            ("id", self.id),
            *(("drop", name) for name in self.drop),
            *(("use", name) for name in self.use),
            *(("keep", name) for name in self.keep),
        ]
        known = frozenset(names)
        for role, name in roles:
            if name and name not in known:
                similar = did_you_mean(name, names)
                columns = _described(names)
                yield role, f"{where}: `{role}` must be a column, got {name!r}{similar} {columns}"

    def targets(self, names: Collection[str] = ()) -> tuple[str, ...]:
        """Return the columns of the label; a comma may be part of the name of an existing one."""
        if not self.target:
            return ()
        return (self.target,) if self.target in names else label_names(self.target)

    @property
    def no_features(self) -> set[str | None]:
        """The columns that are not features, besides those of the label."""
        return {self.time, self.sequence, self.id, *self.drop}

    @property
    def fields(self) -> FieldRoles:
        """The same roles, as those of a message have them."""
        time = "" if self.time is None else self.time
        return FieldRoles(self.target or "", time, self.id, self.keep, self.drop, self.use)


class TablePart(Protocol):
    """Consecutive rows of a table, as columns and one by one."""

    @property
    def table(self) -> Any:
        """The columns, a table of pyarrow; None if only rows are known."""

    @property
    def parse(self) -> Parse:
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
    target, drop, use, id, keep, task, time, time_format, sequence, rate, speed, on_bad
        As in `CSVSource`.
    """

    location = ""
    _has_labels = False  # whether a record may have nothing but an id and a label
    _needs_time = True  # whether only the column `time` has times

    @explains_options
    @checks_types
    def __init__(
        self,
        name: str,
        where: str,
        target: str | None,
        time_format: str | None = None,
        /,
        *,
        drop: Sequence[str] = (),
        use: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - the name of the URL option
        keep: Sequence[str] = (),
        task: str | None = None,
        time: str | None = None,
        sequence: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
        on_bad: str = "stop",
    ) -> None:
        if self._needs_time:
            check_speed(time, speed)
        columns = Columns(
            target, time, sequence, tuple(drop), tuple(use), id, tuple(keep), time_format
        )
        refuse_label_as("sequence", sequence, columns.targets())
        self._bad = BadRows(on_bad)
        self.on_bad = on_bad
        self._where = where
        self._roles = columns
        self._fields = columns.fields
        self.used = columns.use
        self.roles = columns.fields.roles
        if columns.sequence:
            self.roles[columns.sequence] = "the sequence id"
        self._set_targets(columns.targets())
        self._task = check_task(task)
        self._label = ""  # kind of the labels; empty until one is known
        self._is_label_late = False  # whether none was known when the columns were
        self._has_columns = False
        self._mark: int | None = None  # what `_read_mark` returned for the last row
        self._skipped_ahead: Counter[str] = Counter()  # bad rows that were read after the last row
        self._set_feature_names()
        super().__init__(name, Schema(task) if task else None, Pace(rate, speed))

    def _set_targets(self, names: tuple[str, ...]) -> None:
        """Take the columns of the label."""
        self._targets = names
        self.targets = names if len(names) > 1 else ()
        columns = "columns" if self.targets else "column"
        self.labels_from = f"{columns} {quoted(names)}" if names else ""

    def _set_columns(
        self, names: Sequence[str], labels: Sequence[Any], *, fixed: bool = True
    ) -> None:
        """Check the roles against the columns, and infer the task from the first labels.

        `fixed`: every row has these columns.
        """
        self._check_columns(names)
        self._set_targets(self._roles.targets(names))
        features = self._feature_columns(names)
        if fixed:
            check_width(self._where, len(features))
        self._has_columns = True
        self.schema = Schema(None, features if fixed else None)
        self._set_kind(labels)
        self._is_label_late = not self._label

    def _check_columns(self, names: Sequence[str]) -> None:
        self._roles.check(self._where, names)

    def _set_kind(self, labels: Sequence[Any]) -> None:
        """Infer kind and task of the labels from the first known ones, unless they are settled."""
        self._label = self._label or self._kind_of(labels)
        assert self.schema is not None
        self.schema = replace(self.schema, task=self._task_of_labels())

    def _kind_of(self, labels: Sequence[Any]) -> str:
        if self.targets:
            return "float"
        return _label_kind(labels, self._task) if self._targets else "str"

    def _continue_with(self, kind: str) -> None:
        """Take the kind of the labels in an earlier run, unless `task` asks for another one."""
        if self._task is None or (kind == "float") == (self._task == "regression"):
            self._label = kind
        if self._has_columns:
            self._set_kind([])

    def _task_of_labels(self) -> str | None:
        if self.targets and self._task == "classification":
            raise ConfigError(
                f"`task` must be regression with several targets ({listed(self.targets)}), "
                "got classification"
            )
        if self.targets or self._label == "targets":
            return TARGETS
        if self._task is not None or not self._targets or not self._label:
            return self._task
        return "regression" if self._label == "float" else "classification"

    def _first_labels(self, records: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Return the known labels in records, from which their kind is inferred."""
        if len(self._targets) != 1:
            return []
        return _known(map(self._raw_label, records))

    def _raw_label(self, record: Mapping[str, Any]) -> Any:
        """Return the label in a record as it was read, also that of an earlier row."""
        if self._has_labels and (label := self._fields.label_in(record)) is not None:
            return label[1]
        return record.get(self._targets[0])

    def _set_feature_names(self) -> None:
        """Note which names are features, from the roles."""
        self._no_features = {*self._roles.no_features, *self._targets}
        self._only = frozenset(self._roles.use) - self._no_features

    def _feature_columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that are features, and note the others."""
        self._set_feature_names()
        features = tuple(self._features_of(dict.fromkeys(names)))
        if not features:
            others = ", ".join(sorted({*names} | {name for name in self._no_features if name}))
            self.without_features = f"{self._where} must have a feature column besides {others}"
        return features

    def _features_of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the features of a record, which may have names that no record had before."""
        if only := self._only:
            return {name: value for name, value in record.items() if name in only}
        others = self._no_features
        return {name: value for name, value in record.items() if name not in others}

    @abstractmethod
    def _records(self, start: int) -> Generator[Mapping[str, Any]]:
        """Yield the records from number `start` on."""

    # Blocks

    def _parts(self, start: int) -> Generator[TablePart] | None:
        """Return the rows from number `start` on in parts; None if they are read one by one."""
        return None

    def read_blocks(self) -> Iterator[Item]:
        """Yield the rows from the position on: blocks, and single rows where one may be bad."""
        has_own = bool(self._roles.id or self._roles.keep)  # of each row, which a block has not
        reads_rows = self._pace.active or has_own
        parts = None if reads_rows else self._parts(self._row)
        if parts is None:
            yield from super().read_blocks()
            return
        with closing(parts):  # a bad row ends the iteration here, and leaves no file open
            yield from self._events_of(parts)

    def _events_of(self, parts: Iterator[TablePart]) -> Iterator[Item]:
        for part in parts:
            block = self._block_of(part)
            if block is not None:
                part.accept()
                self._row += len(block.X)
                self.location = ""
                yield block
                continue
            for location, record in self._with_kind(part.records(), self._records_of_next(parts)):
                self.location = location
                row = self._row_of(record, location)
                self._row += 1
                yield [] if row is None else event_of(row, self._row - 1, self.name)

    def _records_of_next(self, parts: Iterator[TablePart]) -> Iterator[Located]:
        """Yield the records of the next parts while the kind of the labels is not known."""
        while not self._label and (part := next(parts, None)) is not None:
            yield from part.records()

    def _block_of(self, part: TablePart) -> Block | None:
        """Return the rows of a part as a block; None if one may be bad or has the first label."""
        table = part.table
        if table is None or not table.num_rows or self.schema is None:
            return None
        try:
            with conversion():
                if not self._label and _known(mapped(table[self._targets[0]], part.text)):
                    return None
                return self._regular_block(part, self.schema.features or ())
        except (IrregularBlock, SourceError):
            return None

    def _regular_block(self, part: TablePart, features: tuple[str, ...]) -> Block:
        X = np.empty((part.table.num_rows, 0))
        if features:
            X = table_of(part.table, features, part.parse)
        y = self._labels(part)
        t = _mapped(part, self._roles.time, self._time_of)
        sequence = _mapped(part, self._roles.sequence, sequence_id)
        times = None if t is None else np.array(t, np.float64)
        first = math.nan if times is None else float(times[0])
        return Block(X, y, features, self._row, first, self.name, times=times, sequence=sequence)

    def _time_of(self, value: Any) -> float:
        return event_time(value, self._roles.time_format)

    def _labels(self, part: TablePart) -> list[Any] | None:
        columns = [self._target_column(part, name) for name in self._targets]
        if not all(is_learnable(label) for column in columns for label in set(column)):
            raise IrregularBlock
        if not self.targets:
            return columns[0] if columns else None
        rows = zip(*columns, strict=True)
        return [self._joined(zip(self.targets, row, strict=True)) for row in rows]

    def _target_column(self, part: TablePart, name: str) -> list[Any]:
        return mapped(part.table[name], lambda cell: self._value_of(name, part.text(cell)))

    @staticmethod
    def _joined(values: Iterable[tuple[str, Any]]) -> dict[str, float] | None:
        """Return the targets of a row that have a value; None if none has."""
        return {name: value for name, value in values if value is not None} or None

    def _label_in(self, record: Mapping[str, Any]) -> Any:
        """Return the label of a row.

        Raises
        ------
        SourceError
            It is of another type than those before.
        """
        found = ((name, self._value_of(name, record.get(name))) for name in self._targets)
        return self._joined(found) if self.targets else next((y for _, y in found), None)

    def _value_of(self, target: str, cell: Any) -> Any:
        """Return the value of a target.

        Raises
        ------
        SourceError
            It is of another type than those before, or no number among several targets.
        """
        try:
            return label_of(cell, self._label)
        except SourceError as error:
            if not self.targets:
                raise self._with_task(error, target, cell) from None
            raise SourceError(
                f"target {target!r} must be a number, as each of several targets, got {cell!r}"
            ) from None

    def _with_task(self, error: SourceError, target: str, cell: Any) -> SourceError:
        """Return an error that names the column, and the task that takes the label.

        A task is only named if it was inferred.
        """
        other = ""
        if self._task is None and self._label == "float":
            other = (
                "; most of the first labels are numbers, `task=classification` makes all classes"
            )
        elif self._task is None and (not isinstance(cell, str) or number(cell) is not None):
            other = "; `task=regression` takes labels with a fraction"
        return SourceError(f"column {target!r}: {error}{other}")

    @property
    def position(self) -> Position:
        """``{"row": n}``: n rows were read; with the kind of the labels if the first came late."""
        position = super().position
        has_late = self._is_label_late and self._label
        return {**position, "label": self._label} if has_late else position

    def seek(self, position: Position) -> None:
        """Go to a position."""
        super().seek(position)
        if kind := position.get("label"):
            self._continue_with(str(kind))

    @property
    def skipped(self) -> Mapping[str, int]:
        """Number of bad rows that were left out, by kind."""
        return dict(self._bad.counts - self._skipped_ahead)

    @property
    def last_error(self) -> str:
        """Description of the most recent bad row; empty if there was none."""
        return self._bad.last

    def _rows(self, start: int) -> Iterator[SourceRow | LateLabel | None]:
        with closing(self._records(start)) as records:
            located = ((self.location, record) for record in records)
            for at, (location, record) in enumerate(self._with_kind(located), start):
                self.location = location
                yield self._row_of(record, location or f"row {at:,} of {self.name}")

    def _with_kind(
        self, records: Iterator[Located], following: Iterable[Located] = ()
    ) -> Iterator[Located]:
        """Yield located records; where the first label comes, those after it show its kind.

        `following`: records after these, which are read on with if the kind needs some of them.
        """
        for located in records:
            if self._label or not self._first_labels([located[1]]):
                yield located
                continue
            rest = chain(records, following)
            first = [located]
            marks = [self._read_mark()]
            skipped = [self._bad.counts.copy()]
            for read in islice(rest, PEEK - 1):
                first.append(read)
                marks.append(self._read_mark())
                skipped.append(self._bad.counts.copy())
            self._set_kind(self._first_labels(record for _, record in first))
            n_skipped = skipped[-1]
            for read, mark, n_before in zip(first, marks, skipped, strict=True):
                self._mark = mark
                self._skipped_ahead = n_skipped - n_before
                yield read
            self._mark = None
            yield from rest

    def _begin_reading(self) -> None:
        """Forget what was noted of rows that are read again."""
        self._mark = None
        self._skipped_ahead = Counter()
        self._bad.clear()

    def _read_mark(self) -> int | None:
        """Return what `fingerprint` needs of the record that was read last."""
        return None

    def _row_of(self, record: Mapping[str, Any], location: str) -> SourceRow | LateLabel | None:
        """Return the row or label in a record; None if it is bad."""
        if self._has_labels and (label := self._fields.label_in(record)) is not None:
            return self._label_of(*label, location)
        roles = self._roles
        kind = "label of another type"
        try:
            y = self._label_in(record)
            kind = "time"
            t = self._time_of(record.get(roles.time)) if roles.time else math.nan
            kind = "sequence"
            sequence = sequence_id(record.get(roles.sequence)) if roles.sequence else None
        except SourceError as error:
            self._bad.add(kind, f"{location}: {error}")
            return None
        x = self._features_of(record)
        row_id = record.get(roles.id) if roles.id else None
        extra = {"keep": self._fields.kept(record)} if roles.keep else None
        return SourceRow(x, y, t, sequence, row_id, extra)

    def _label_of(self, row_id: Any, label: Any, location: str) -> LateLabel | None:
        """Return the label of a row with an id; None if it is bad."""
        try:
            if isinstance(label, Mapping) and self.targets:
                return LateLabel(row_id, self._label_in(label))
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


def _mapped(part: TablePart, name: str | None, function: Callable[[Any], Any]) -> list[Any] | None:
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


def _label_kind(known: Sequence[Any], task: str | None) -> str:
    """Return the kind of labels, as in `label_of`, from the task and the first known ones.

    It is empty if neither shows it. If most labels are numbers and one has a fraction, the task is
    regression. A row whose label is a text is then a bad row, and the numbers do not become
    classes.
    """
    if task == "regression":
        return "float"
    if not known:
        return ""
    if isinstance(known[0], Mapping):
        return "targets"
    values = [number(v) if isinstance(v, str) else v for v in known]
    if all(type(v) is int for v in values):
        return "int"
    numbers = [value for value in values if type(value) in (int, float)]
    has_fraction = any(isinstance(v, float) and not v.is_integer() for v in numbers)
    are_values = 2 * len(numbers) > len(values) if has_fraction else len(numbers) == len(values)
    if task is None and numbers and are_values:
        return "float"
    return "str"


def _known(labels: Iterable[Any]) -> list[Any]:
    """Return the labels that are not missing."""
    return [label for label in labels if label == label and not _is_missing(label)]  # no NaN


def _is_missing(label: Any) -> bool:
    return label is None or (isinstance(label, str) and label.strip().lower() in MISSING)


def label_of(value: Any, kind: str) -> Any:
    """Return a label of the kind "int", "float" (regression) or "str" (as written), or None.

    One of the kind "targets" is a mapping.

    Raises
    ------
    SourceError
        The value is of another kind.
    """
    if _is_missing(value):
        return None
    if (kind == "targets") != isinstance(value, Mapping):
        what = "a mapping" if kind == "targets" else "no mapping"
        raise SourceError(f"the label must be {what}, as the labels before it, got {value!r}")
    if kind in ("str", "targets"):
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
        raise SourceError(f"the label must be {what}, got {value!r}") from None
