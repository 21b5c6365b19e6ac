"""Counts the values of columns, and finds columns that are no longer sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import not_
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Array, Bool
from loco_stream._numbers import masked, to_number
from loco_stream._persistence.content import Config, State
from loco_stream._text import counted, listed
from loco_stream.engine._row import Features, Values

Counts: TypeAlias = dict[Hashable, int]

_MAX_NAMES = 4096  # features counted by name: as many as a model may have
_MAX_SENDERS = 1000  # whose columns are counted
_LOST_ROWS = 100  # with a value of a feature, and then without one
SHOWN = 5  # columns with a sentence of their own, and names in one sentence


class ColumnCounts:
    """Counts the rows that name each feature, and its masked values.

    The cost per row is a few counts: a row whose values add up to a finite number has no masked
    value.

    takes_text: whether the model learns from texts
    is_left_out: whether the engine leaves out a column, which is then not missed

    Examples
    --------
    >>> columns = ColumnCounts(takes_text=False)
    >>> for i in range(300):
    ...     columns.count_row({"speed": 1.0} if i < 150 else {"load": 1.0})
    >>> columns.lost["speed"].partition(", which")[2]
    " have 'load' instead"
    """

    def __init__(
        self, takes_text: bool, is_left_out: Callable[[Hashable], bool] = lambda _name: False
    ) -> None:
        self._takes_text = takes_text
        self._wanted = "usable value" if takes_text else "usable number"
        self._is_left_out = is_left_out
        self._rows: Counts = {}  # rows in which a feature was named
        self._masked: Counts = {}
        # masked values that follow one another: their number, and that in `_rows` after the last
        self._masked_runs: dict[Hashable, tuple[int, int]] = {}
        self._names: Features = ()  # of the last rows, which are not in `_rows` yet
        self._n_named = 0  # the number of these rows
        self._n_rows = 0  # all rows before these
        self._last: Counts = {}  # number of the last row that named a feature

    def count_row(self, x: Values) -> None:
        """Count a row by name."""
        self._count_names(tuple(x), 1)
        try:
            total = sum(x.values())
        except (TypeError, ValueError, ArithmeticError):
            total = None
        if isinstance(total, int | float) and total - total == 0:
            return
        for name, value in x.items():
            if not self._is_input(value):
                self._mask(name, 1, 1, 1)

    def count_block(self, X: Array, features: Features) -> None:
        """Count rows of an array (n, n_features), in which NaN, or what is no input, is masked."""
        self._count_names(features, len(X))
        absent = self._absent(X) if X.dtype.hasobject else np.isnan(X)
        if absent.any():
            for j in np.flatnonzero(absent.any(axis=0)).tolist():
                n = int(absent[:, j].sum())
                n_last = _n_last(absent[:, j])
                self._mask(features[j], n, n_last, len(X))

    def _absent(self, X: Array) -> Bool:
        """Return which objects are no input."""
        absent = np.empty(X.shape, np.bool_)
        for j, cells in enumerate(X.T.tolist()):
            kinds = set(map(type, cells))
            if kinds == {str} and self._takes_text:
                absent[:, j] = list(map(not_, cells))
            elif kinds == {float}:
                absent[:, j] = np.isnan(masked(np.array(cells)))
            else:
                absent[:, j] = [not self._is_input(cell) for cell in cells]
        return absent

    def _is_input(self, value: object) -> bool:
        is_text = self._takes_text and isinstance(value, str) and value
        return bool(is_text) or not math.isnan(to_number(value))

    def _count_names(self, names: Features, n: int) -> None:
        if names != self._names:
            self._flush_names()
            self._names = names
        self._n_named += n

    def _flush_names(self) -> None:
        """Count the last rows by feature; rows with the same names follow one another."""
        if self._n_named:
            count_bounded(self._rows, self._names, self._n_named, _MAX_NAMES)
            self._n_rows += self._n_named
            known = filter(self._rows.__contains__, self._names)
            self._last.update(dict.fromkeys(known, self._n_rows))
        self._n_named = 0

    def _mask(self, name: Hashable, n: int, n_last: int, n_rows: int) -> None:
        """Count the masked values of a feature in the last rows.

        n_last: those after the last value
        n_rows: the number of these rows
        """
        count_bounded(self._masked, [name], n, _MAX_NAMES)
        if name not in self._masked:
            return
        end = self._rows.get(name, 0) + self._n_named
        n_before, before = self._masked_runs.get(name, (0, 0))
        goes_on = n_last == n_rows and before == end - n_rows
        self._masked_runs[name] = (n_last + n_before if goes_on else n_last, end)

    @property
    def n_masked(self) -> int:
        """Number of masked values."""
        return sum(self._masked.values())

    def _masked_in_order(self) -> Counts:
        """Return the masked values by feature, in the order of the features."""
        named = {name: self._masked[name] for name in self._rows if name in self._masked}
        return {**named, **self._masked}

    def sentences(self) -> Iterator[str]:
        """Yield sentences about the masked values."""
        masked = self._masked_in_order()
        worst = sorted(masked, key=lambda name: -masked[name] / self._rows.get(name, 1))
        for name in worst[:SHOWN]:
            n = self._masked[name]
            n_rows = self._rows.get(name, n)
            rows = counted(n_rows, "row")
            if n >= n_rows:
                yield f"column {name!r} had no {self._wanted} in any of {rows} and was not learned"
            else:
                yield f"column {name!r} had no {self._wanted} in {n:,} of {rows}"
        if len(worst) > SHOWN:
            yield f"{len(worst) - SHOWN} more columns had no {self._wanted} in some rows"

    @property
    def lost(self) -> dict[Hashable, str]:
        """A sentence per feature that had values and has none any more."""
        self._flush_names()
        return {**self._without_values(), **self._absent_names()}

    def _absent_names(self) -> dict[Hashable, str]:
        """Return a sentence per feature that came with every row, and then with none."""
        return {
            name: f"column {name!r} came with each of the first {n:,} rows, and with none of the "
            f"{self._n_rows - n:,} rows since{self._in_place(n)}"
            for name, n in self._rows.items()
            if self._last.get(name) == n
            and n >= _LOST_ROWS
            and self._n_rows - n >= _LOST_ROWS
            and not self._is_left_out(name)
        }

    def _in_place(self, n: int) -> str:
        """Return the features that came with every row after the first n, and with none before."""
        new = [
            name
            for name, rows in self._rows.items()
            if rows == self._n_rows - n and self._last.get(name) == self._n_rows
        ]
        return f", which have {listed(map(repr, new), SHOWN)} instead" if new else ""

    def _without_values(self) -> dict[Hashable, str]:
        """Return a sentence per feature that had values, and has none in its last rows."""
        lost = {}
        for name, n, end in self._open_runs():
            n_before = end - n
            n_values = end - self._masked[name]
            if _is_unexpected(n, n_values, n_before):
                many = "each" if n_values == n_before else f"{n_values:,}"
                lost[name] = (
                    f"column {name!r} had a {self._wanted} in {many} of the first {n_before:,} "
                    f"rows, and in none of the {n:,} rows since"
                )
        return lost

    def _open_runs(self) -> Iterator[tuple[Hashable, int, int]]:
        """Yield feature, length and end of the runs of masked values that may go on."""
        for name in self._masked_in_order():
            n, end = self._masked_runs.get(name, (0, 0))
            if n and end == self._rows.get(name):
                yield name, n, end

    def masked_shares(self) -> dict[Hashable, float]:
        """Return the share of masked values per feature that has any."""
        self._flush_names()
        return {name: n / self._rows.get(name, n) for name, n in self._masked.items()}

    def export_state(self) -> Config:
        """Return everything as plain values."""
        self._flush_names()
        return {
            "rows": list(self._rows.items()),
            "n_rows": self._n_rows,
            "steady": [name for name, n in self._rows.items() if self._last.get(name) == n],
            "masked": list(self._masked_in_order().items()),
            "masked_runs": list(self._open_runs()),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._names = ()
        self._n_named = 0
        self._rows = dict(state["rows"])
        self._n_rows = state["n_rows"]
        self._last = {name: self._rows[name] for name in state["steady"]}
        self._masked = dict(state["masked"])
        self._masked_runs = {name: (n, end) for name, n, end in state["masked_runs"]}


class SenderColumns:
    """Counts the columns of all rows, and those of each of several senders.

    The counts of senders begin with the first row of the second one in this process, and end at
    1,000 senders.

    label: what a sender is, such as "source"
    takes_text, is_left_out: as in `ColumnCounts`

    Its attribute `all`: the counts of all rows
    """

    def __init__(
        self,
        label: str,
        takes_text: bool,
        is_left_out: Callable[[Hashable], bool] = lambda _name: False,
    ) -> None:
        self._label = label
        self._make = partial(ColumnCounts, takes_text, is_left_out)
        self.all = self._make()
        self._first: Hashable = None
        self._by_sender: dict[Hashable, ColumnCounts] = {}
        self._counted: dict[Hashable, None] = {}  # senders since the last look at `_lost`
        self._lost: dict[Hashable, Mapping[Hashable, str]] = {}
        self._returned: set[tuple[Hashable, Hashable]] = set()  # by `newly_lost`

    def counts_of(self, sender: Hashable) -> ColumnCounts | None:
        """Return the counts of a sender; None while there is one sender, and beyond the limit."""
        if not self._by_sender:
            if self._first is None:
                self._first = sender
            if sender == self._first:
                return None
        counts = self._by_sender.get(sender)
        if counts is None:
            if len(self._by_sender) >= _MAX_SENDERS:
                return None
            counts = self._by_sender[sender] = self._make()
        self._counted[sender] = None
        return counts

    @property
    def lost(self) -> dict[tuple[Hashable, Hashable], str]:
        """A sentence per sender and column that is no longer sent; None stands for all senders."""
        for sender in self._counted:
            self._lost[sender] = self._by_sender[sender].lost
        self._counted.clear()
        everywhere = self.all.lost
        lost: dict[tuple[Hashable, Hashable], str] = {
            (None, name): sentence for name, sentence in everywhere.items()
        }
        for sender, columns in self._lost.items():
            for name, sentence in columns.items():
                if name not in everywhere:
                    lost[sender, name] = f"{self._label} {sender!r}: {sentence}"
        return lost

    def newly_lost(self) -> list[str]:
        """Return the sentences of `lost` that were not returned before."""
        lost = self.lost
        new = [column for column in lost if column not in self._returned]
        self._returned.update(new)
        return [lost[column] for column in new]


def _is_unexpected(n: int, n_values: int, n_before: int) -> bool:
    """Whether a hundred values would have come in n rows, if they came as in the rows before."""
    return n_values >= _LOST_ROWS and n * n_values >= _LOST_ROWS * n_before


def _n_last(absent: Bool) -> int:
    """Return the number of absent values after the last that is present."""
    present = np.flatnonzero(~absent)
    return len(absent) - 1 - int(present[-1]) if present.size else len(absent)


def count_bounded(counts: Counts, names: Iterable[Hashable], n: int, max_names: int) -> None:
    """Add n to the count of each name; names beyond `max_names` are not counted."""
    for name in names:
        if name in counts or len(counts) < max_names:
            counts[name] = counts.get(name, 0) + n


def first_sentences(sentences: Sequence[str], more: str) -> Iterator[str]:
    """Yield the first sentences, and one with the number of the others."""
    yield from sentences[:SHOWN]
    if len(sentences) > SHOWN:
        yield f"{len(sentences) - SHOWN} {more}"
