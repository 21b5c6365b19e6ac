"""What all sources of named columns share.

Which are features, which is the label, and of what kind.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loco_stream.connectors.bad_rows import BadRows
from loco_stream.connectors.ls1.limits import DEFAULT_LIMITS
from loco_stream.connectors.rows import Pace, Row, RowSource, check_task
from loco_stream.connectors.values import MISSING, event_time, hint, listed, number, sequence_id
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Schema

__all__ = ["PEEK", "TableSource", "check_columns", "check_speed", "check_width", "label_of"]

MAX_FEATURES = DEFAULT_LIMITS.features
PEEK = 1000  # rows read ahead to tell whole numbers, numbers and words apart among the labels


class TableSource(RowSource):
    """Rows with named columns; subclasses give records, mappings from column to value.

    Parameters
    ----------
    name, where
        The source's name, and its place for errors.
    columns
        Names of the columns, in order.
    labels
        The first labels; None where no row has come yet: `_judge` is then called with the first
        ones.
    target, drop, task, time, sequence
        As in `CSVSource`.
    pace
        When rows may leave.
    fixed
        Whether every row has these columns and no others.
    bad
        What is done with rows that cannot be read.
    """

    location = ""

    def __init__(
        self,
        name: str,
        where: str,
        columns: Sequence[str],
        labels: Sequence[Any] | None,
        *,
        target: str | None,
        drop: Sequence[str],
        task: str | None,
        time: str | None,
        sequence: str | None,
        pace: Pace,
        bad: BadRows,
        fixed: bool = True,
    ) -> None:
        self._bad = bad
        self.on_bad = bad.on_bad
        self._where, self._left_out, self._given = where, drop, check_task(task)
        self._target = target
        self._time = time
        self._sequence = sequence
        self._fixed = fixed
        self._label = ""
        self._away: set[str | None] | None = (
            None  # the columns that are no features; None before any column is known
        )
        super().__init__(name, Schema(task) if task else None, pace)
        if labels is not None:
            self._judge(columns, labels)

    def _judge(self, columns: Sequence[str], labels: Sequence[Any]) -> None:
        """Check the options against the columns, and tell the task by the first labels."""
        target = self._target
        task = self._given
        check_columns(self._where, columns, target, self._left_out, self._time, self._sequence)
        self._away = {target, self._time, self._sequence, *self._left_out}
        used = tuple(name for name in columns if name not in self._away)
        if not used:
            away = ", ".join(sorted(name for name in self._away if name))
            raise SourceError(f"{self._where} has no feature column left beside {away}")
        check_width(self._where, len(used))
        self._label = self._label or _label_kind(labels, task)
        if task is None and target:
            task = "regression" if self._label == "float" else "classification"
        self._schema = Schema(task, used if self._fixed else None)

    @abstractmethod
    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        """Yield the records from number `start` on."""

    @property
    def skipped(self) -> dict[str, int]:
        """Bad rows that were left out, by kind."""
        return dict(self._bad.counts)

    @property
    def last_error(self) -> str:
        """The last sentence said about a bad row; empty if there was none."""
        return self._bad.last

    def _rows(self, start: int) -> Iterator[Row | None]:
        for at, record in enumerate(self._records(start), start):
            yield self._row_of(record, self.location or f"row {at} of {self.name}")

    def _row_of(self, record: Mapping[str, Any], place: str) -> Row | None:
        """Return the row in a record, None for a bad one."""
        away = self._away or ()
        target = self._target
        time = self._time
        kind = "label of another type"
        try:
            y = label_of(record.get(target), self._label) if target else None
            kind = "time"
            t = event_time(record.get(time)) if time else math.nan
            kind = "sequence"
            sequence = sequence_id(record.get(self._sequence)) if self._sequence else None
        except SourceError as error:
            self._bad.found(kind, f"{place}: {error}")
            return None
        return Row(
            {name: value for name, value in record.items() if name not in away}, y, t, sequence
        )


def check_width(where: str, n_features: int) -> None:
    """Refuse more features than a model may have: its state grows with their square.

    Raises
    ------
    SourceError
        There are more.
    """
    if n_features > MAX_FEATURES:
        raise SourceError(
            f"{where} has {n_features} features, and {MAX_FEATURES} are allowed: leave some out with drop="
        )


def check_columns(
    where: str,
    columns: Sequence[str],
    target: str | None,
    drop: Sequence[str],
    time: str | None,
    sequence: str | None = None,
) -> None:
    """Refuse a column that was named and does not exist.

    Raises
    ------
    SourceError
        A missing column, or no word on which one holds the label.
    """
    shown = listed(columns)
    if target is None:
        raise SourceError(
            f"{where}: name the label's column with target=, or give an empty target for rows without labels "
            f"(columns: {shown})"
        )
    named = [
        ("target", target),
        ("time", time),
        ("sequence", sequence),
        *(("drop", d) for d in drop),
    ]
    for role, name in named:
        if name and name not in columns:
            header = "; is its first line a row and no header?" if any(map(number, columns)) else ""
            raise SourceError(
                f"{where} has no {role} column {name!r}{hint(name, columns)} (columns: {shown}){header}"
            )


def _label_kind(peeked: Sequence[Any], task: str | None) -> str:
    """Return "int", "float" (regression) or "str" (as written), judged by the task and the first labels."""
    if task == "regression":
        return "float"
    known = [v for v in peeked if v is not None and str(v).strip().lower() not in MISSING]
    values = [number(v) if isinstance(v, str) else v for v in known]
    if known and all(type(v) is int for v in values):
        return "int"
    if task is None and known and all(type(v) in (int, float) for v in values):
        return "float"
    return "str"


def label_of(value: Any, kind: str) -> Any:
    """Return a label: `kind` "int" for a column of whole numbers, "float" for regression, "str" as written."""
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
        what = "number" if kind == "float" else "whole number"
        raise SourceError(
            f"label {value!r} is not a {what}, as the labels before it were"
        ) from None


def check_speed(time: str | None, speed: float | None) -> None:
    """Refuse a speed without recorded times."""
    if speed is not None and time is None:
        raise ConfigError("speed replays recorded times: name their column with time=")
